"""The host's end: faults of every kind are recovered from, and no unsound answer is taken."""

from __future__ import annotations

import importlib.util
import termios
import time
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from fake_board import FINGERPRINT, FakeBoard, FakeLine, Fault, at

from convexon.errors import LinkError, MissingToolError
from convexon.link import session as session_module
from convexon.link import transport
from convexon.link.codec import read_results
from convexon.link.frame import MOST_BYTES, Frame, FrameReader, encode
from convexon.link.protocol import ANSWER, CHUNK_BYTES, FLAG, REFUSED, Kind, Reason
from convexon.link.session import Patience, Session
from convexon.link.transport import POLL_BYTES, SerialTransport, SpiTransport, open_port

HASTE = Patience(seconds=0.02, quiet_seconds=0.001, tries=6, sessions=3)
BODIES = [bytes(range(k, k + 6)) for k in range(20)]


def session_on(line: FakeLine, **changes: object) -> Session:
    members: dict[str, object] = {"fingerprint": FINGERPRINT, "patience": HASTE, **changes}
    return Session(line, **members)  # type: ignore[arg-type]


def answers(session: Session) -> list[bytes]:
    return [session.infer(body) for body in BODIES]


EXPECTED = [body[::-1] for body in BODIES]


def test_a_sound_line_has_no_faults() -> None:
    board = FakeBoard()
    session = session_on(FakeLine(board))
    assert answers(session) == EXPECTED
    assert str(session.counts) == f"{len(BODIES) + 1} requests, no faults"
    assert board.inferences == len(BODIES)


def test_sequence_numbers_go_round() -> None:
    session = session_on(FakeLine(FakeBoard()))
    for k in range(600):
        body = k.to_bytes(6, "big")
        assert session.infer(body) == body[::-1]
    assert session.counts.sessions == 1


def flip(place: int) -> Fault:
    return lambda _, piece: (
        piece[:place] + bytes([piece[place] ^ 4]) + piece[place + 1 :]
        if place < len(piece)
        else piece
    )


@pytest.mark.parametrize("place", range(14))
def test_a_damaged_byte_on_the_way_there(place: int) -> None:
    board = FakeBoard()
    session = session_on(FakeLine(board, there=at((3, 7, 8), flip(place))))
    assert answers(session) == EXPECTED
    assert session.counts.resent == 3
    assert session.counts.silences + session.counts.refusals == 3
    assert board.inferences == len(BODIES)


@pytest.mark.parametrize("place", range(14))
def test_a_damaged_byte_on_the_way_back(place: int) -> None:
    board = FakeBoard()
    session = session_on(FakeLine(board, back=at((3, 7, 8), flip(place))))
    assert answers(session) == EXPECTED
    assert session.counts.resent >= 3
    assert board.inferences == len(BODIES)  # what was asked again was not run again


@pytest.mark.parametrize("place", [0, 1, 5, -1])
@pytest.mark.parametrize("way", ["there", "back"])
def test_a_dropped_byte(place: int, way: str) -> None:
    board = FakeBoard()

    def drop(_: int, piece: bytes) -> bytes:
        return piece[:place] + piece[place:][1:]

    line = FakeLine(board)
    setattr(line, way, at((2, 5), drop))
    session = session_on(line)
    assert answers(session) == EXPECTED
    assert board.inferences == len(BODIES)


def test_random_faults_on_both_ways() -> None:
    rng = np.random.default_rng(3)

    def noise(_: int, piece: bytes) -> bytes:
        out = bytearray()
        for byte in piece:
            draw = rng.random()
            if draw < 0.01:
                out.append(int(rng.integers(256)))
            elif draw > 0.01 + 0.01:
                out.append(byte)
            if draw > 0.995:
                out += rng.bytes(3)
        return bytes(out)

    board = FakeBoard()
    session = session_on(
        FakeLine(board, there=noise, back=noise), patience=Patience(seconds=0.01, tries=60)
    )
    for k in range(500):
        body = k.to_bytes(6, "big")
        assert session.infer(body) == body[::-1]
    assert session.counts.resent > 50


def test_a_board_that_was_reset_gets_a_new_session() -> None:
    board = FakeBoard(body=600, loadable=True)
    board.image = bytes(range(100)) * 8

    def reset(_: int, piece: bytes) -> bytes:
        board.reset()
        return piece

    line = FakeLine(board, there=at((7,), reset))
    session = session_on(line, image=board.image)
    bodies = [np.random.default_rng(k).bytes(600) for k in range(4)]
    assert [session.infer(body) for body in bodies] == [body[::-1] for body in bodies]
    assert session.counts.sessions == 2
    assert "2 sessions" in str(session.counts)


def test_weights_are_sent_first_whatever_the_board_has() -> None:
    board = FakeBoard(loadable=True)
    board.image = b"0123" * 200
    seen: list[bytes] = []
    line = FakeLine(board, there=lambda _, piece: seen.append(piece) or piece)  # type: ignore[func-returns-value]
    session_on(line, image=board.image).infer(BODIES[0])
    first = len(seen)
    assert first == 2 + -(-800 // CHUNK_BYTES)
    session = session_on(line, image=board.image)  # the board is loaded, but by whom
    session.infer(BODIES[0])
    assert len(seen) == 2 * first
    session.load(board.image)
    session.infer(BODIES[0])
    assert len(seen) == 3 * first


def test_an_image_that_is_refused_is_no_success() -> None:
    board = FakeBoard(loadable=True)
    board.image = b"0123" * 4
    with pytest.raises(LinkError, match=r"^the board refused an image of 4 words"):
        session_on(FakeLine(board), image=b"0124" * 4).infer(BODIES[0])
    with pytest.raises(LinkError, match=r"must be given weights, and none were$"):
        session_on(FakeLine(board)).infer(BODIES[0])


def test_another_design_or_version_is_refused() -> None:
    board = FakeBoard()
    board.fingerprint = 5
    with pytest.raises(LinkError, match=r"must hold the design 0123456789abcdef, not 0{15}5"):
        session_on(FakeLine(board)).infer(BODIES[0])
    board.version = 9
    with pytest.raises(
        LinkError,
        match=r"must speak version 2 of the link, not 9: run convexon build, then convexon flash$",
    ):
        session_on(FakeLine(board)).infer(BODIES[0])


@pytest.mark.parametrize("reason", [1, 3, 5])
def test_a_board_of_the_first_version_is_told_from_a_silent_one(reason: int) -> None:
    """It finds a greeting too long, and refuses with a number of one byte."""
    content = bytes([REFUSED, 9, reason])
    refusal = content + zlib.crc32(content).to_bytes(4, "little")
    flag = bytes([FLAG])
    line = FakeLine(FakeBoard(), back=lambda _, piece: flag + refusal + flag)
    with pytest.raises(LinkError, match=r"must speak version 2 of the link, not 1: run convexon b"):
        session_on(line).infer(BODIES[0])


def test_a_board_in_another_session_is_won_back() -> None:
    board = FakeBoard()
    other = encode(Frame(Kind.HELLO, 0, b"them"))
    line = FakeLine(board, there=at((5,), lambda _, piece: other + piece))
    session = session_on(line)
    assert answers(session) == EXPECTED
    assert session.counts.sessions == 2


class Hostile(FakeBoard):
    """Answers with sound frames of the session whose bodies are anything."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.rng = np.random.default_rng(seed)

    def answer(self, frame: Frame) -> Frame:
        super().answer(frame)  # which keeps the nonce
        kind = [frame.kind | ANSWER, REFUSED, int(self.rng.integers(256))][self.rng.integers(3)]
        body = self.rng.bytes(int(self.rng.choice([0, 1, 2, 9, 10, 11, 2000])))
        if frame.kind == Kind.HELLO and self.rng.random() < 0.8:
            told = bytes([self.version, self.rng.integers(256)]) + FINGERPRINT.to_bytes(8, "big")
            kind, body = Kind.HELLO | ANSWER, told
        return Frame(kind, frame.sequence, body)


@pytest.mark.parametrize("seed", range(60))
def test_what_a_board_makes_up_is_an_error_or_results_of_the_right_form(seed: int) -> None:
    field = {"offset": 0, "width": 2, "count": 1, "signed": False}
    fields = [
        {**field, "name": "label"},
        {"name": "scores", "offset": 2, "width": 4, "count": 3, "signed": True},
        {**field, "name": "last", "offset": 14, "width": 1},
    ]
    ports = {"streams": {"o": {"width": 15, "fields": fields}}}
    patience = Patience(seconds=0.001, quiet_seconds=0.0, tries=3, sessions=3)
    session = session_on(FakeLine(Hostile(seed)), patience=patience, image=bytes(8))
    told = []
    for body in BODIES[:5]:
        try:
            found = read_results(ports, session.infer(body), count=1)
        except LinkError as error:
            told.append(str(error))
        else:
            labels, scores = found
            assert (labels.shape, scores.shape) == ((1,), (1, 3))
    assert all(line.isprintable() and len(line) < 300 for line in told)


@pytest.mark.parametrize("piece", [encode(Frame(3, 4, b"5")), bytes(4096), bytes([FLAG] * 64)])
def test_a_board_that_never_stops_talking_is_given_up(piece: bytes) -> None:
    class Endless(FakeLine):
        def read(self, seconds: float) -> bytes:
            return piece

    began = time.monotonic()
    with pytest.raises(LinkError, match=r"^the board gave no sound answer to 6 requests"):
        session_on(Endless(FakeBoard())).infer(BODIES[0])
    assert time.monotonic() - began < 10


def test_a_dead_line_is_reported_with_what_was_tried() -> None:
    line = FakeLine(FakeBoard(), back=lambda _, piece: b"")
    with pytest.raises(
        LinkError, match=r"^the board gave no sound answer to 6 requests .*5 resent"
    ):
        session_on(line).infer(BODIES[0])


def test_a_body_of_another_length_ends_in_an_error() -> None:
    with pytest.raises(LinkError, match=r"^the board lost the session 3 times"):
        session_on(FakeLine(FakeBoard(body=7))).infer(BODIES[0])


def test_strays_of_an_earlier_session_are_not_taken() -> None:
    board = FakeBoard()
    line = FakeLine(board)
    stale = [Frame(Kind.INFER | ANSWER, k, b"WRONG!") for k in range(256)]
    stale += [Frame(Kind.HELLO | ANSWER, 0, bytes(10))]
    line.back = at((1,), lambda _, piece: b"".join(encode(f, b"then") for f in stale) + piece)
    line.waiting = encode(Frame(REFUSED, 3, bytes([Reason.SEQUENCE])))
    session = session_on(line)
    assert answers(session) == EXPECTED
    assert (session.counts.damaged, session.counts.strays) == (len(stale), 1)


def test_no_number_stands_for_two_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "SEQUENCES", 40)
    board = FakeBoard(body=600)
    seen: dict[tuple[bytes, int], bytes] = {}

    def note(_: int, piece: bytes) -> bytes:
        (frame,) = FrameReader(board.reader.nonce).feed(piece)
        nonce = frame.body if frame.kind == Kind.HELLO else board.reader.nonce
        assert (nonce, frame.sequence) not in seen
        seen[nonce, frame.sequence] = piece
        return piece

    session = session_on(FakeLine(board, there=note))
    for k in range(100):
        body = k.to_bytes(2, "big") * 300
        assert session.infer(body) == body[::-1]
    assert session.counts.sessions == 300 // 39 + 1
    assert max(number for _, number in seen) == 39
    with pytest.raises(LinkError, match=r"must take fewer requests than 40 of 256 bytes$"):
        session_on(FakeLine(FakeBoard(body=256 * 40))).infer(bytes(256 * 40))


class Broken(FakeLine):
    """Breaks off in the middle of a request, once, after the board has heard it."""

    def __init__(self, board: FakeBoard, *, at: int) -> None:
        super().__init__(board)
        self.place = at

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.sent == self.place:
            raise LinkError("the port is gone")


@pytest.mark.parametrize("place", range(1, 6))
def test_an_inference_after_one_that_was_broken_off_is_answered_anew(place: int) -> None:
    board = FakeBoard()
    session = session_on(Broken(board, at=place))
    found = []
    for body in BODIES:
        try:
            found.append(session.infer(body))
        except LinkError:
            found.append(b"")
    assert found.count(b"") == 1
    assert all(answer in (b"", right) for answer, right in zip(found, EXPECTED, strict=True))


def test_weights_that_another_host_loaded_in_between_are_not_used() -> None:
    board = FakeBoard(loadable=True)
    loaded: list[bytes] = []
    board.image = bytes(800)
    line = FakeLine(board)
    session = session_on(line, image=board.image)
    session.infer(BODIES[0])
    board.image = bytes([1] * 800)
    session_on(line, image=board.image).infer(BODIES[1])
    board.image = bytes(800)  # which the board takes for sound again
    line.there = lambda _, piece: loaded.append(piece) or piece  # type: ignore[func-returns-value]
    assert session.infer(BODIES[2]) == EXPECTED[2]
    assert sum(len(piece) > CHUNK_BYTES for piece in loaded) >= 800 // CHUNK_BYTES


def test_a_reader_forgets_endless_noise() -> None:
    reader = FrameReader()
    for _ in range(3):
        assert reader.feed(bytes(MOST_BYTES)) == []
    assert reader.feed(bytes([FLAG]) + encode(Frame(1, 2, b"3"))) == [Frame(1, 2, b"3")]


class Port:
    """What pyserial's port does."""

    name = "/dev/fake"

    def __init__(self) -> None:
        self.came = bytearray(b"abc")
        self.sent = b""
        self.timeout = 0.0
        self.broken = False

    @property
    def in_waiting(self) -> int:
        return len(self.came)

    def read(self, size: int) -> bytes:
        if self.broken:
            raise OSError("unplugged")
        out, self.came = bytes(self.came[:size]), self.came[size:]
        return out

    def write(self, data: bytes) -> None:
        if self.broken:
            raise OSError("unplugged")
        self.sent += data

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.broken = True


def test_a_serial_port_reads_what_there_is() -> None:
    port = Port()
    line = SerialTransport(port)
    line.write(b"x")
    assert (port.sent, line.read(0.1), line.read(0.1)) == (b"x", b"abc", b"")
    line.close()
    for act in (lambda: line.read(0.1), lambda: line.write(b"y")):
        with pytest.raises(LinkError, match=r"^/dev/fake is gone: unplugged$"):
            act()


def test_spi_polls_until_the_board_speaks() -> None:
    board = FakeBoard()
    waiting: Iterator[int] = iter(())

    def transfer(data: bytes) -> bytes:
        nonlocal waiting
        out = bytes([next(waiting, FLAG) for _ in data])
        answer = board.feed(data)
        if answer:
            waiting = iter(bytes([FLAG] * 40) + answer)
        return out

    line = SpiTransport(transfer)
    assert answers(session_on(line)) == EXPECTED  # type: ignore[arg-type]
    assert set(line.read(0.001)) <= {FLAG}
    line.close()


@pytest.mark.parametrize("length", range(1, 2 * POLL_BYTES + 1))
def test_spi_ends_an_answer_wherever_its_last_byte_falls(length: int) -> None:
    """The flag that closes a frame may be the first byte of a poll, and look like silence."""
    waiting = iter(bytes([FLAG, *([1] * length), FLAG]))
    polls = 0

    def transfer(data: bytes) -> bytes:
        nonlocal polls
        polls += 1
        return bytes([next(waiting, FLAG) for _ in data])

    line, idle = SpiTransport(transfer), bytes([FLAG])
    came = line.read(60.0)
    while not came.endswith(idle):
        came += line.read(1.0)
    assert came.strip(idle) == bytes([1] * length)
    assert polls <= (length + 2) // POLL_BYTES + 1


def test_a_controller_that_fails_and_a_terminal_that_is_pulled_out_end_in_one_line() -> None:
    def transfer(_: bytes) -> bytes:
        raise OSError(5, "Input/output error")

    with pytest.raises(LinkError, match=r"^the SPI controller fails: Input/output error$"):
        SpiTransport(transfer).write(b"x")

    class Pulled(Port):
        def flush(self) -> None:
            raise termios.error(5, "Input/output error")

    with pytest.raises(LinkError, match=r"^/dev/fake is gone: "):
        SerialTransport(Pulled()).write(b"x")


@pytest.mark.skipif(importlib.util.find_spec("serial") is None, reason="needs pyserial")
def test_a_port_that_is_not_there_is_refused() -> None:
    with pytest.raises(LinkError, match=r"^/nowhere/tty cannot be opened: No such file"):
        open_port("/nowhere/tty", 115200)
    with pytest.raises(LinkError, match=r"^port must be named like /dev/spidev0.0, not"):
        open_port("/dev/spidev0", 1)


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(transport.importlib, "import_module", absent)
    with pytest.raises(MissingToolError, match=r"^pyserial is not installed: pip install pyserial"):
        open_port("/dev/ttyUSB0", 115200)
    with pytest.raises(MissingToolError, match=r"^spidev is not installed: pip install spidev$"):
        open_port("/dev/spidev0.0", 1)
