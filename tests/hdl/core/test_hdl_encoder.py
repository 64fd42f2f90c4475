# amaranth: UnusedElaboratable=no
"""Encoders on chip against their twins, under idle clocks, back-pressure and resets."""

from __future__ import annotations

import re

import numpy as np
import pytest
from amaranth.hdl import Module, ResetInserter, Signal, Value
from amaranth.sim import Simulator
from hdl_bench import random_layer, random_network, words_of

from convexon.data.encoder import LEVEL_KINDS, Encoder, EncoderKind, encode_levels
from convexon.errors import InputError
from convexon.snn.network import FixedPointNetwork
from convexon_hdl.core.encoder import LevelEncoder
from convexon_hdl.formal.prover import Verdict, prove
from convexon_hdl.formal.specs.handshake import StreamSpecification
from faulty_parts import mutated


def encoder_of(kind: EncoderKind, bits: int) -> Encoder:
    return Encoder(kind=kind, bits=bits, seed=5 if kind is EncoderKind.RATE else None)


def network_for(encoder: Encoder, *, n_inputs: int = 5, n_steps: int = 6) -> FixedPointNetwork:
    rng = np.random.default_rng(1)
    layer = random_layer(rng, n_inputs, 2)
    return random_network(
        rng, ((layer,),), n_steps=n_steps, input_bits=encoder.output_bits, n_classes=2
    )


CASES = [
    *((kind, bits, 6) for kind in LEVEL_KINDS for bits in (1, 3, 8)),
    *((kind, 4, 1) for kind in LEVEL_KINDS),
    *((kind, 2, 16) for kind in LEVEL_KINDS),
]


def steps_given(
    unit: LevelEncoder, words: list[int], *, idle: float, stall: float, reset_at: int | None = None
) -> tuple[list[tuple[int, int, int]], list[int], list[int]]:
    """Steps (inputs, first, last) and the edges at which levels were taken and steps were given.

    With ``reset_at``, that edge resets the encoder, and ``words`` are sent once more from there on.
    """
    rng = np.random.default_rng(8)
    expected = len(words) * unit.network.n_steps
    steps: list[tuple[int, int, int]] = []
    taken, given = [], []
    reset = Signal()

    async def bench(ctx) -> None:  # type: ignore[no-untyped-def]
        position, offered, held = 0, False, None
        for edge in range(4000):
            ctx.set(reset, int(edge == reset_at))
            offered = position < len(words) and (offered or rng.random() >= idle)
            ctx.set(unit.i.valid, int(offered))
            ctx.set(unit.i.payload, words[position] if offered else 0)
            ready = bool(rng.random() >= stall)
            ctx.set(unit.o.ready, int(ready))
            payload = ctx.get(unit.o.payload)
            valid, step = ctx.get(unit.o.valid), (payload.inputs, payload.first, payload.last)
            assert held is None or (valid and held == step), "a stalled step was not held"
            held = step if valid and not ready else None
            if valid and ready:
                steps.append(step)
                given.append(edge)
            if offered and ctx.get(unit.i.ready):
                position, offered = position + 1, False
                taken.append(edge)
            if edge == reset_at:
                position, offered, held = 0, False, None
                steps.clear()
            await ctx.tick()
            if len(steps) == expected and (reset_at is None or edge > reset_at):
                return

    simulator = Simulator(ResetInserter(reset)(unit))
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return steps, taken, given


def expectation(unit: LevelEncoder, levels: np.ndarray) -> list[tuple[int, int, int]]:
    n_steps = unit.network.n_steps
    inputs = encode_levels(unit.encoder, levels, n_steps=n_steps)
    return [
        (word, int(k % n_steps == 0), int(k % n_steps == n_steps - 1))
        for k, word in enumerate(words_of(inputs, unit.network.input_bits))
    ]


def levels_for(unit: LevelEncoder, samples: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    levels = rng.integers(0, unit.encoder.max_level + 1, (samples, unit.network.n_inputs))
    levels[0], levels[1] = 0, unit.encoder.max_level
    return levels


def agrees(unit: LevelEncoder, *, samples: int = 6) -> bool:
    levels = levels_for(unit, samples)
    words = words_of(levels[:, None], unit.encoder.bits)
    return steps_given(unit, words, idle=0.2, stall=0.3)[0] == expectation(unit, levels)


@pytest.mark.parametrize(("kind", "bits", "n_steps"), CASES)
def test_encoder_equals_its_twin(kind: EncoderKind, bits: int, n_steps: int) -> None:
    encoder = encoder_of(kind, bits)
    network = network_for(encoder, n_steps=n_steps)
    for idle, stall in ((0.0, 0.0), (0.5, 0.0), (0.2, 0.5)):
        unit = LevelEncoder(network, encoder)
        levels = levels_for(unit, 5)
        words = words_of(levels[:, None], bits)
        steps, taken, given = steps_given(unit, words, idle=idle, stall=stall)
        assert steps == expectation(unit, levels)
        if idle == stall == 0:  # a step a clock, and no bubble between inferences
            assert taken == [k * n_steps for k in range(5)]
            assert given == list(range(1, 5 * n_steps + 1))


@pytest.mark.parametrize("bits", range(1, 5))
@pytest.mark.parametrize("kind", [EncoderKind.THRESHOLD, EncoderKind.RATE])
def test_every_level_is_encoded_alike(kind: EncoderKind, bits: int) -> None:
    encoder = encoder_of(kind, bits)
    unit = LevelEncoder(network_for(encoder, n_inputs=1, n_steps=7), encoder)
    levels = np.arange(1 << bits)[:, None]
    words = words_of(levels[:, None], bits)
    assert steps_given(unit, words, idle=0, stall=0)[0] == expectation(unit, levels)


def test_rate_of_a_whole_row_of_columns_equals_its_twin() -> None:
    encoder = encoder_of(EncoderKind.RATE, 8)
    assert agrees(LevelEncoder(network_for(encoder, n_inputs=300, n_steps=4), encoder), samples=3)


@pytest.mark.parametrize("edge", range(1, 12))
@pytest.mark.parametrize("kind", LEVEL_KINDS)
def test_reset_in_mid_inference_loses_that_inference_alone(kind: EncoderKind, edge: int) -> None:
    encoder = encoder_of(kind, 3)
    unit = LevelEncoder(network_for(encoder, n_steps=4), encoder)
    levels = levels_for(unit, 3)
    words = words_of(levels[:, None], 3)
    steps, _, _ = steps_given(unit, words, idle=0, stall=0.2, reset_at=edge)
    assert steps == expectation(unit, levels)


StrictThreshold = mutated(LevelEncoder, "level >= threshold", "level > threshold")
NeverReseeds = mutated(LevelEncoder, "register.eq(register.init)", "[]")


class SameNumbers(LevelEncoder):
    """Compares all inputs with one number."""

    def _numbers(self, m: Module, register: Signal) -> list[Value]:
        return [super()._numbers(m, register)[0]] * self.network.n_inputs


class LowBits(LevelEncoder):
    """Takes the low bits of the byte."""

    def _numbers(self, m: Module, register: Signal) -> list[Value]:
        return [Value.cast(register)[: self.encoder.bits]] * self.network.n_inputs


class ForgetsOnset(LevelEncoder):
    """Goes on spiking after the first spike."""

    def _onsets(self, m: Module, reached: Signal, sent: Signal, ends: Signal) -> Value:
        return reached


class OnsetOutlivesInference(LevelEncoder):
    """An input that spiked stays silent in the inferences that follow."""

    def _onsets(self, m: Module, reached: Signal, sent: Signal, ends: Signal) -> Value:
        return super()._onsets(m, reached, sent, Signal())


class MovesWhileStalled(LevelEncoder):
    """Rotates its bit planes in every clock."""

    def _inputs(self, m, levels, step, sent, ends):  # type: ignore[no-untyped-def]
        return super()._inputs(m, levels, step, self.o.valid, ends)


@pytest.mark.parametrize(
    ("mutant", "kind"),
    [
        (StrictThreshold, EncoderKind.THRESHOLD),
        (StrictThreshold, EncoderKind.LATENCY),
        (NeverReseeds, EncoderKind.RATE),
        (SameNumbers, EncoderKind.RATE),
        (LowBits, EncoderKind.RATE),
        (ForgetsOnset, EncoderKind.LATENCY),
        (OnsetOutlivesInference, EncoderKind.LATENCY),
        (MovesWhileStalled, EncoderKind.BIT_PLANE),
        (MovesWhileStalled, EncoderKind.RATE),
    ],
)
def test_mutant_is_noticed(mutant: type[LevelEncoder], kind: EncoderKind) -> None:
    encoder = encoder_of(kind, 4)
    network = network_for(encoder)
    assert agrees(LevelEncoder(network, encoder))
    try:
        assert not agrees(mutant(network, encoder))
    except AssertionError as error:
        assert "was not held" in str(error)  # noqa: PT017  (either way it is noticed)


@pytest.mark.parametrize("kind", LEVEL_KINDS)
def test_encoder_holds_its_output(kind: EncoderKind) -> None:
    encoder = encoder_of(kind, 2)
    unit = LevelEncoder(network_for(encoder, n_inputs=2, n_steps=3), encoder)
    assert prove(StreamSpecification(unit)) is Verdict.PROVED


def test_moving_encoder_is_refuted() -> None:
    encoder = encoder_of(EncoderKind.BIT_PLANE, 2)
    unit = MovesWhileStalled(network_for(encoder, n_inputs=2, n_steps=3), encoder)
    assert prove(StreamSpecification(unit)) is Verdict.REFUTED


def test_arguments_are_mirrored_and_checked() -> None:
    encoder = encoder_of(EncoderKind.HOLD, 2)
    network = network_for(encoder)
    unit = LevelEncoder(network, encoder, capacity=3)
    assert (unit.network, unit.encoder, unit.capacity) == (network, encoder, 3)
    message = "encoder of kind hold must feed a network whose inputs have 3 bits, not 2"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        LevelEncoder(network, encoder_of(EncoderKind.HOLD, 3))
