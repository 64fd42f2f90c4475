# amaranth: UnusedElaboratable=no
"""Encoders of series on chip against their twins, under idle clocks, back-pressure and resets."""

from __future__ import annotations

import re

import numpy as np
import pytest
from amaranth.hdl import Module, Mux, Signal, Value
from hdl_bench import random_layer, random_network, words_of
from test_hdl_encoder import steps_given

from convexon.data.encoder import SERIES_KINDS, Encoder, EncoderKind, encode_levels
from convexon.errors import InputError
from convexon.snn.network import FixedPointNetwork
from convexon_hdl.core.series import SeriesEncoder
from tiers import exhaustive, leading

CHANNELS = 3


def encoder_of(kind: EncoderKind, bits: int, resolution: int = 2) -> Encoder:
    changes = kind is not EncoderKind.MIDPOINT
    return Encoder(kind=kind, bits=bits, resolution=min(bits, resolution) if changes else None)


def network_for(encoder: Encoder, *, n_steps: int = 6) -> FixedPointNetwork:
    rng = np.random.default_rng(1)
    layer = random_layer(rng, CHANNELS * encoder.inputs_per_level, 2)
    return random_network(rng, ((layer,),), n_steps=n_steps, n_classes=2)


def levels_for(unit: SeriesEncoder, samples: int) -> np.ndarray:
    """Series that wander, jump from end to end, and stay."""
    rng = np.random.default_rng(3)
    top, shape = unit.encoder.max_level, (samples, unit.network.n_steps, CHANNELS)
    levels = rng.integers(0, top + 1, shape)
    levels[0] = np.clip(rng.integers(-1, 2, shape[1:]).cumsum(axis=0) + top // 2, 0, top)
    levels[1, ::2], levels[1, 1::2] = 0, top
    return levels


def expectation(unit: SeriesEncoder, levels: np.ndarray) -> list[tuple[int, int, int]]:
    n_steps = unit.network.n_steps
    words = words_of(encode_levels(unit.encoder, levels, n_steps=n_steps), 1)
    return [
        (word, int(k % n_steps == 0), int(k % n_steps == n_steps - 1))
        for k, word in enumerate(words)
    ]


def agrees(unit: SeriesEncoder, *, idle: float = 0.2, stall: float = 0.3) -> bool:
    levels = levels_for(unit, 6)
    words = words_of(levels, unit.encoder.bits)
    return steps_given(unit, words, idle=idle, stall=stall)[0] == expectation(unit, levels)


@pytest.mark.parametrize("bits", leading([3, 8, 2, 1]))
@pytest.mark.parametrize("kind", SERIES_KINDS)
def test_encoder_equals_its_twin(kind: EncoderKind, bits: int) -> None:
    encoder = encoder_of(kind, bits)
    for n_steps, idle, stall in ((6, 0.0, 0.0), (6, 0.2, 0.5), (1, 0.2, 0.5)):
        network = network_for(encoder, n_steps=n_steps)
        assert agrees(SeriesEncoder(network, encoder), idle=idle, stall=stall)


def test_step_passes_in_its_own_clock() -> None:
    encoder = encoder_of(EncoderKind.DELTA, 4)
    unit = SeriesEncoder(network_for(encoder), encoder)
    words = words_of(levels_for(unit, 3), 4)
    _, taken, given = steps_given(unit, words, idle=0, stall=0)
    assert taken == given == list(range(18))


@pytest.mark.parametrize("edge", leading([3, 5, 8]))
@pytest.mark.parametrize("kind", SERIES_KINDS)
def test_reset_in_mid_inference_loses_that_inference_alone(kind: EncoderKind, edge: int) -> None:
    encoder = encoder_of(kind, 3)
    unit = SeriesEncoder(network_for(encoder, n_steps=4), encoder)
    levels = levels_for(unit, 3)
    steps, _, _ = steps_given(unit, words_of(levels, 3), idle=0, stall=0.2, reset_at=edge)
    assert steps == expectation(unit, levels)


class SpikesAtTheFirstStep(SeriesEncoder):
    """Compares the first step with what an earlier inference left."""

    def changes(self, rises: Value, falls: Value, first: Value) -> Value:
        return super().changes(rises, falls, first & 0)


class Swapped(SeriesEncoder):
    """Takes a rise for a fall."""

    def changes(self, rises: Value, falls: Value, first: Value) -> Value:
        return super().changes(falls, rises, first)


class JumpsToTheLevel(SeriesEncoder):
    """Moves the reference all the way."""

    def followed(self, level: Value, held: Signal, changes: Signal, first: Signal) -> Value:
        return Mux(first | changes.any(), level, held)


class KeepsTheReference(SeriesEncoder):
    """Begins an inference with the reference of the one before."""

    def followed(self, level: Value, held: Signal, changes: Signal, first: Signal) -> Value:
        return super().followed(level, held, changes, first & 0)


class MovesWhileStalled(SeriesEncoder):
    """Takes a level that is on offer."""

    def _spikes(self, m: Module, c: int, level: Value, first: Signal, taken: Signal) -> Value:
        return super()._spikes(m, c, level, first, self.i.valid)


@pytest.mark.parametrize(
    ("mutant", "kind"),
    [
        (SpikesAtTheFirstStep, EncoderKind.DELTA),
        pytest.param(SpikesAtTheFirstStep, EncoderKind.CROSSING, marks=exhaustive),
        pytest.param(Swapped, EncoderKind.DELTA, marks=exhaustive),
        (Swapped, EncoderKind.CROSSING),
        (JumpsToTheLevel, EncoderKind.DELTA),
        (KeepsTheReference, EncoderKind.DELTA),
        pytest.param(MovesWhileStalled, EncoderKind.DELTA, marks=exhaustive),
        (MovesWhileStalled, EncoderKind.CROSSING),
    ],
)
def test_mutant_is_noticed(mutant: type[SeriesEncoder], kind: EncoderKind) -> None:
    encoder = encoder_of(kind, 4)
    network = network_for(encoder)
    assert agrees(SeriesEncoder(network, encoder))
    try:
        assert not agrees(mutant(network, encoder))
    except AssertionError as error:
        assert "was not held" in str(error)  # noqa: PT017  (either way it is noticed)


def test_network_must_have_two_inputs_a_channel() -> None:
    encoder = encoder_of(EncoderKind.DELTA, 4)
    network = network_for(encoder_of(EncoderKind.MIDPOINT, 4))
    message = "encoder of kind delta must feed a network of two inputs a channel, not of 3"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        SeriesEncoder(network, encoder)
