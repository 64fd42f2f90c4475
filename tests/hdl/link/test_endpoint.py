# amaranth: UnusedElaboratable=no
"""The board's end of the protocol: right answers, and none to what is damaged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Const, Value
from link_bench import (
    DIGEST,
    HELLO,
    TIMEOUT,
    Board,
    expected_bytes,
    framed,
    infer,
    network_of,
    request_bytes,
    samples_of,
    sent,
)

from convexon.data.encoder import Encoder, EncoderKind
from convexon.link.frame import Frame, encode
from convexon.link.protocol import (
    ANSWER,
    CHUNK_BYTES,
    ESCAPE,
    FLAG,
    REFUSED,
    VERSION,
    Kind,
    Reason,
    Status,
)
from convexon.plan.image import weight_image
from convexon.plan.mapping import Folded, Mapping, Weights
from convexon.snn.decision import Decision, Rule, decided_trace
from convexon.snn.models import golden
from convexon.snn.neuron import ReadoutMode
from convexon_hdl.link import frame
from convexon_hdl.link.endpoint import Endpoint
from convexon_hdl.link.frame import Check, FrameDecoder
from convexon_hdl.link.shape import LinkShape

NETWORK = network_of()
SAMPLES = samples_of(NETWORK)
GREETING = Frame(Kind.HELLO | ANSWER, 9, bytes([VERSION, 0]) + bytes.fromhex(DIGEST[7:23]))


def answer(sample: np.ndarray, sequence: int = 10) -> Frame:
    return Frame(Kind.INFER | ANSWER, sequence, expected_bytes(NETWORK, sample))


def refusal(expected: int, reason: Reason) -> Frame:
    return Frame(REFUSED, expected, bytes([reason]))


REQUEST = infer(request_bytes(SAMPLES[0]))
ANSWERED = [GREETING, answer(SAMPLES[0])]


@pytest.mark.parametrize("slow", [1, 7])
def test_inferences_are_answered(slow: int) -> None:
    requests = [infer(request_bytes(s), 10 + k) for k, s in enumerate(SAMPLES)]
    seen = Board(NETWORK).run(sent(HELLO, *requests, gap=400), slow=slow)
    assert seen.frames == [GREETING, *(answer(s, 10 + k) for k, s in enumerate(SAMPLES))]
    assert seen.transfers == SAMPLES.shape[0] * NETWORK.n_steps


def test_long_inferences_come_in_chunks() -> None:
    network = network_of(n_steps=140)
    (sample,) = samples_of(network, 1)
    body = request_bytes(sample)
    assert CHUNK_BYTES < len(body) < 2 * CHUNK_BYTES
    first, second = body[:CHUNK_BYTES], body[CHUNK_BYTES:]
    requests = [infer(first), infer(first), infer(second, 11), infer(second, 11), infer(first, 12)]
    seen = Board(network).run(sent(HELLO, *requests, gap=700))
    results = Frame(Kind.INFER | ANSWER, 11, expected_bytes(network, sample))
    part = Frame(Kind.INFER | ANSWER, 10, b"")
    last = Frame(Kind.INFER | ANSWER, 12, b"")
    assert seen.frames == [GREETING, part, part, results, results, last]
    assert seen.transfers == network.n_steps + CHUNK_BYTES // 2


def test_a_result_for_each_step_comes_in_one_answer() -> None:
    network = network_of(mode=ReadoutMode.STEP)
    (sample,) = samples_of(network, 1)
    seen = Board(network).run(sent(HELLO, infer(request_bytes(sample))))
    results = expected_bytes(network, sample)
    assert seen.frames == [GREETING, Frame(Kind.INFER | ANSWER, 10, results)]
    assert len(results) == 4 * Board(network).shape.answer_bytes // network.n_steps


@pytest.mark.parametrize("bit", [0, 5])
def test_a_damaged_byte_changes_nothing(bit: int) -> None:
    wire = framed(REQUEST)
    script: list[bytes | int] = sent(HELLO)
    for place in range(len(wire)):
        damaged = bytearray(wire)
        damaged[place] ^= 1 << bit
        script += [bytes(damaged), 150]
    board = Board(NETWORK)
    seen = board.run(script)
    assert seen.transfers == 0
    assert set(seen.frames[1:]) == {refusal(10, Reason.DAMAGED)}
    again = board.run([*script, *sent(REQUEST)])
    assert again.frames[-1] == answer(SAMPLES[0])
    assert again.transfers == NETWORK.n_steps


def test_a_dropped_byte_changes_nothing() -> None:
    wire = framed(REQUEST)
    script: list[bytes | int] = sent(HELLO)
    for place in range(1, len(wire) - 1):
        script += [wire[:place] + wire[place + 1 :], 150]
    seen = Board(NETWORK).run([*script, *sent(REQUEST)])
    assert seen.frames == [GREETING, *[refusal(10, Reason.DAMAGED)] * (len(wire) - 2), ANSWERED[1]]
    assert seen.transfers == NETWORK.n_steps


class Credulous(FrameDecoder):
    """Takes every frame for sound."""

    def agrees(self, match: Value) -> Value:
        return Const(1)


def test_a_decoder_that_does_not_check_is_caught() -> None:
    wire = bytearray(framed(REQUEST))
    wire[4] ^= 1
    seen = Board(NETWORK, decoder=Credulous).run([*sent(HELLO), bytes(wire), 150])
    assert seen.transfers > 0


class Patient(FrameDecoder):
    """Waits for the rest of a frame for ever."""

    def silent(self, quiet: Value) -> Value:
        return Const(0)


@pytest.mark.parametrize("decoder", [FrameDecoder, Patient])
@pytest.mark.parametrize("cut", [2, 8])
def test_a_frame_that_breaks_off_is_forgotten(decoder: type[FrameDecoder], cut: int) -> None:
    script = [*sent(HELLO), framed(REQUEST)[:cut], TIMEOUT + 10, *sent(REQUEST)]
    seen = Board(NETWORK, decoder=decoder).run(script)
    assert (seen.frames == ANSWERED) == (decoder is FrameDecoder)


def test_the_rest_of_a_frame_that_broke_off_is_no_frame() -> None:
    wire = framed(REQUEST)
    script = [*sent(HELLO), wire[:4], TIMEOUT + 10, wire[4:], 150, *sent(REQUEST)]
    assert Board(NETWORK).run(script).frames == ANSWERED


def test_a_frame_is_not_lost_by_short_pauses() -> None:
    wire = framed(REQUEST)
    script: list[bytes | int] = sent(HELLO)
    for byte in wire:
        script += [bytes([byte]), TIMEOUT - 10]
    assert Board(NETWORK).run(script).frames == ANSWERED


class Forgetful(Endpoint):
    """Knows no request again."""

    def again(self, sequence: Value, expected: Value) -> Value:
        return Const(0)


@pytest.mark.parametrize("endpoint", [Endpoint, Forgetful])
def test_the_same_request_is_answered_again_and_not_run_again(endpoint: type[Endpoint]) -> None:
    requests = [REQUEST, REQUEST, REQUEST]
    seen = Board(NETWORK, endpoint=endpoint).run(sent(HELLO, *requests))
    assert seen.transfers == NETWORK.n_steps
    if endpoint is Endpoint:
        assert seen.frames == [GREETING, *[answer(SAMPLES[0])] * 3]
    else:
        assert seen.frames == [*ANSWERED, *[refusal(11, Reason.SEQUENCE)] * 2]


class Narrow(Endpoint):
    """Knows a request again by the lower half of its number."""

    def again(self, sequence: Value, expected: Value) -> Value:
        return sequence[:8] == (expected - 1)[:8]


@pytest.mark.parametrize("endpoint", [Endpoint, Narrow])
def test_the_request_of_256_later_is_another_one(endpoint: type[Endpoint]) -> None:
    later = infer(request_bytes(SAMPLES[1]), 10 + 256)
    seen = Board(NETWORK, endpoint=endpoint).run(sent(HELLO, REQUEST, later))
    refused = seen.frames[2:] == [refusal(11, Reason.SEQUENCE)]
    assert refused == (endpoint is Endpoint)


def test_a_refusal_leaves_the_last_answer() -> None:
    wrong = [infer(REQUEST.body, 77), infer(b"short", 11), Frame(66, 11, b""), REQUEST]
    seen = Board(NETWORK).run(sent(HELLO, REQUEST, *wrong))
    reasons = [Reason.SEQUENCE, Reason.LENGTH, Reason.KIND]
    assert seen.frames == [*ANSWERED, *(refusal(11, reason) for reason in reasons), ANSWERED[1]]
    assert seen.transfers == NETWORK.n_steps


def test_sequence_numbers_wrap() -> None:
    hello = Frame(Kind.HELLO, 0xFFFE, HELLO.body)
    requests = [infer(REQUEST.body, k) for k in (0xFFFF, 0, 0, 1)]
    seen = Board(NETWORK).run(sent(hello, *requests))
    assert seen.frames[1:] == [answer(SAMPLES[0], k) for k in (0xFFFF, 0, 0, 1)]


def test_no_session_no_answer() -> None:
    plain = encode(REQUEST)
    seen = Board(NETWORK).run([*sent(REQUEST, Frame(Kind.HELLO, 9, b"four!")), plain, 200])
    assert seen.frames == [refusal(0, Reason.CLOSED)] * 3


OTHERS = [encode(REQUEST, nonce) for nonce in (b"", b"that", bytes([3, *HELLO.body[1:]]))]


def test_a_request_of_another_session_is_refused() -> None:
    script: list[bytes | int] = [piece for other in OTHERS for piece in (other, 150)]
    seen = Board(NETWORK).run([*sent(HELLO), *script, *sent(REQUEST), *script])
    wrong = [refusal(expected, Reason.DAMAGED) for expected in (10, 11) for _ in OTHERS]
    assert seen.frames == [GREETING, *wrong[:3], ANSWERED[1], *wrong[3:]]
    assert seen.transfers == NETWORK.n_steps


def test_an_answer_is_of_the_latest_greetings_session() -> None:
    first = encode(Frame(Kind.HELLO, 9, b"then"))
    script = [first, 200, encode(REQUEST, b"then"), 200, *sent(HELLO, REQUEST)]
    seen = Board(NETWORK).run(script, foreign=2)
    assert seen.frames == ANSWERED
    assert seen.transfers == 2 * NETWORK.n_steps


class Deaf(Check):
    """Checks every frame as if there were no session."""

    def start(self, kind: Value, nonce: Value) -> Value:
        return Const(0, len(nonce))


def test_a_check_without_the_nonce_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame, "Check", Deaf)
    seen = Board(NETWORK).run([*sent(HELLO), OTHERS[0], 200], foreign=2)
    assert seen.transfers > 0


@pytest.mark.parametrize(
    "noise", [b"\x00" * 5, bytes([FLAG] * 9), bytes([FLAG, ESCAPE, FLAG]), bytes([FLAG, 1, FLAG])]
)
def test_noise_is_no_request(noise: bytes) -> None:
    seen = Board(NETWORK).run([*sent(HELLO), noise, 150, *sent(REQUEST)])
    assert [frame for frame in seen.frames if frame.kind != REFUSED] == ANSWERED


class Lenient(Endpoint):
    """Takes a body of any length."""

    def due(self, length: Value, chunk: Value) -> Value:
        return Const(1)


def test_an_endpoint_that_takes_any_length_is_caught() -> None:
    seen = Board(NETWORK, endpoint=Lenient).run(sent(HELLO, infer(REQUEST.body[:-2])))
    assert seen.frames == [GREETING]  # and waits for ever for the last step's result
    assert seen.transfers == NETWORK.n_steps - 1


def test_what_comes_too_early_is_dropped() -> None:
    other = infer(request_bytes(SAMPLES[1]), 11)
    script = [*sent(HELLO, gap=400), framed(REQUEST) + framed(other), 400, *sent(other, gap=400)]
    seen = Board(NETWORK).run(script, slow=12, byte_clocks=1)
    assert seen.frames == [*ANSWERED, answer(SAMPLES[1], 11)]
    assert seen.transfers == 2 * NETWORK.n_steps


def test_a_new_session_forgets_half_an_inference() -> None:
    network = network_of(n_steps=140)
    (sample,) = samples_of(network, 1)
    body = request_bytes(sample)
    half = infer(body[:CHUNK_BYTES])
    requests = [half, HELLO, half, infer(body[CHUNK_BYTES:], 11)]
    seen = Board(network).run(sent(HELLO, *requests, gap=700))
    assert seen.frames[-1] == Frame(Kind.INFER | ANSWER, 11, expected_bytes(network, sample))


@pytest.mark.parametrize("n_steps", [4, 140])
def test_an_early_decision_waits_for_the_whole_request(n_steps: int) -> None:
    network = network_of(n_steps=n_steps)
    decision = Decision(rule=Rule.THRESHOLD, threshold=20)
    board = Board(network, replace(Mapping.spatial(network), decision=decision))
    samples = samples_of(network, 2)
    script: list[bytes | int] = sent(HELLO)
    for k, sample in enumerate(samples):
        body = request_bytes(sample)
        parts = [body[at : at + CHUNK_BYTES] for at in range(0, len(body), CHUNK_BYTES)]
        first = 10 + k * len(parts)
        script += sent(*(infer(part, first + j) for j, part in enumerate(parts)), gap=700)
    seen = board.run(script)
    bodies = [frame.body for frame in seen.frames[1:] if frame.body]
    assert bodies == [expected_bytes(network, sample, decision) for sample in samples]
    assert seen.transfers == len(samples) * n_steps
    steps = decided_trace(decision, network, golden.run(network, samples)).steps
    assert steps is not None
    assert (steps < n_steps).any()


def test_an_encoder_on_chip_reads_levels_in_one_transfer() -> None:
    encoder = Encoder(kind=EncoderKind.HOLD, bits=2)
    board = Board(NETWORK, replace(Mapping.spatial(NETWORK), encoder=encoder))
    levels = SAMPLES[:, :1]
    requests = [infer(request_bytes(sample), 10 + k) for k, sample in enumerate(levels)]
    seen = board.run(sent(HELLO, *requests))
    held = np.repeat(levels, NETWORK.n_steps, axis=1)
    assert [frame.body for frame in seen.frames[1:]] == [expected_bytes(NETWORK, s) for s in held]
    assert seen.transfers == len(levels)


def loadable() -> Board:
    network = network_of()
    choice = Folded(lanes=2, banks=2, updates=1, weights=Weights.LOADED)
    return Board(network, Mapping(layers=((choice,),)))


def chunks(image: bytes, sequence: int) -> list[Frame]:
    starts = range(0, len(image), 64)
    return [Frame(Kind.LOAD, sequence + k, image[at : at + 64]) for k, at in enumerate(starts)]


def test_weights_are_loaded_over_the_link() -> None:
    board = loadable()
    image = weight_image(board.network, board.mapping)
    loads = chunks(image, 10)
    after = 10 + len(loads)
    request = infer(request_bytes(SAMPLES[0]), after)
    script = sent(HELLO, infer(REQUEST.body), *loads[:1], *loads[:1], *loads[1:], request, gap=500)
    seen = board.run(script)
    status = [frame.body[0] for frame in seen.frames if frame.kind == Kind.LOAD | ANSWER]
    assert seen.frames[0].body[1] == Status.LOADABLE
    assert seen.frames[1] == refusal(10, Reason.UNLOADED)
    assert status == [Status.LOADABLE] * len(loads) + [Status.LOADABLE | Status.LOADED]
    assert seen.frames[-1] == answer(SAMPLES[0], after)


def test_an_unsound_image_is_refused_and_a_sound_one_taken_after_it() -> None:
    board = loadable()
    image = weight_image(board.network, board.mapping)
    damaged = image[:-1] + bytes([image[-1] ^ 1])
    loads = chunks(damaged, 10)
    second = chunks(image, 10 + len(loads))
    request = infer(REQUEST.body, 10 + 2 * len(loads))
    wrong = Frame(Kind.LOAD, 10, image[:6])
    seen = board.run(sent(HELLO, wrong, *loads, *second, request, gap=500))
    assert seen.frames[1] == refusal(10, Reason.LENGTH)
    status = [frame.body[0] for frame in seen.frames if frame.kind == Kind.LOAD | ANSWER]
    assert status[len(loads) - 1] == Status.LOADABLE | Status.IMAGE_REFUSED
    assert status[-1] == Status.LOADABLE | Status.LOADED
    assert seen.frames[-1].body == answer(SAMPLES[0]).body


def test_a_plain_accelerator_refuses_weights() -> None:
    seen = Board(NETWORK).run(sent(HELLO, Frame(Kind.LOAD, 10, bytes(4))))
    assert seen.frames[1] == refusal(10, Reason.KIND)


@pytest.mark.parametrize("name", ["i_bits", "o_bits", "transfers", "results"])
def test_a_shape_of_nothing_is_refused(name: str) -> None:
    sizes = {"i_bits": 1, "o_bits": 2, "last_bit": 1, "transfers": 1, "results": 1, name: 0}
    with pytest.raises(ValueError, match=rf"^{name} must be 1 or more, not 0$"):
        LinkShape(**sizes)
