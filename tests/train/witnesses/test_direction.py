"""Witnesses along directions of classes, and what settings make of a table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from convexon.data.samples import Samples
from convexon.errors import InputError
from convexon.snn.neuron import INTEGRATE, Reset
from convexon.train.settings import SolveSettings, WitnessGuide
from convexon.train.witnesses.alphabet import Alphabet
from convexon.train.witnesses.direction import random_direction
from convexon.train.witnesses.witness import Field, Guide, WitnessFamily, draw_layer

N_INPUTS = 6


def planted(n_classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Levels whose first input alone says the class, with noise on the others."""
    rng = np.random.default_rng(3)
    labels = rng.integers(n_classes, size=300)
    levels = rng.integers(0, 256, (300, N_INPUTS))
    levels[:, 0] = 40 + 90 * labels + rng.integers(0, 60, 300)
    return levels, labels


def family(**changes: object) -> WitnessFamily:
    members = {
        "fan_in": N_INPUTS,
        "alphabet": Alphabet.parse("int6"),
        "leak": INTEGRATE,
        "reset": Reset.SUBTRACT,
        "spikes_per_sample": 6.0,
        "guide": Guide.DIRECTION,
    }
    return WitnessFamily(**{**members, **changes})  # type: ignore[arg-type]


def test_a_direction_finds_the_input_that_tells_classes_apart() -> None:
    levels, labels = planted()
    for seed in range(10):
        seen, direction = random_direction(
            levels / 255.0, labels, np.arange(N_INPUTS), N_INPUTS, np.random.default_rng(seed)
        )
        assert np.abs(direction).max() == pytest.approx(1.0)
        assert len(seen) == len(set(seen.tolist())) == len(direction)
        if 0 in seen:
            assert seen[np.abs(direction).argmax()] == 0


def test_samples_that_tell_nothing_have_no_direction() -> None:
    same = np.full((20, 3), 0.5)
    rng = np.random.default_rng(0)
    _, direction = random_direction(same, np.arange(20) % 2, np.arange(3), 1, rng)
    assert np.isfinite(direction).all()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_drawn_witnesses_are_alive_and_look_where_the_class_is(n_classes: int) -> None:
    levels, labels = planted(n_classes)
    signal = np.repeat(levels[:, None].astype(np.uint8), 8, axis=1)
    layer = draw_layer(family(), 60, signal, labels, generator=np.random.default_rng(1))
    sums = 8 * levels @ layer.matrix
    fires = (sums >= layer.thresholds).mean(axis=0)
    assert (fires > 0.05).mean() > 0.9
    seen = layer.matrix[0] != 0
    assert (np.abs(layer.matrix[0, seen]) == 31).mean() > 0.8


def test_a_direction_stays_inside_its_field_and_fan_in() -> None:
    levels, labels = planted()
    signal = np.repeat(levels[:, None].astype(np.uint8), 8, axis=1)
    places = np.arange(N_INPUTS).reshape(2, 3)
    narrow = family(fan_in=2, field=Field(places=places, sides=(0.3, 0.5)))
    layer = draw_layer(narrow, 40, signal, labels, generator=np.random.default_rng(2))
    for column in layer.matrix.T:
        (used,) = np.nonzero(column)
        assert 1 <= len(used) <= 2
        assert len(set((used // 3).tolist())) == 1  # one row of the grid


# What is left open


TABLE = Samples.of(np.arange(40.0).reshape(4, 10), [0, 0, 1, 1])
IMAGES = Samples.of(np.arange(64.0).reshape(4, 4, 4), [0, 0, 1, 1])


def test_a_table_comes_in_as_levels_along_directions() -> None:
    chosen = SolveSettings().on(TABLE)
    assert (chosen.coding, chosen.bits, chosen.fan_in, chosen.alphabet) == (
        *("intensity", 8, 10, "int6"),
    )
    assert chosen.guide is WitnessGuide.DIRECTION
    assert all(each.guide is Guide.DIRECTION for each in chosen.families(10))
    assert chosen.on(TABLE) == chosen


def test_bits_of_a_table_are_of_levels_unless_one_bit_is_a_spike() -> None:
    four, one = (SolveSettings(bits=bits).on(TABLE) for bits in (4, 1))
    assert (four.coding, four.bits) == ("intensity", 4)
    assert (one.coding, one.bits) == ("threshold", 1)
    with pytest.raises(InputError, match=r"^bits must be 1 to 1 for threshold coding, not 4$"):
        SolveSettings(bits=4).on(IMAGES)


def test_images_are_spikes_and_differences() -> None:
    chosen = SolveSettings().on(IMAGES)
    assert (chosen.coding, chosen.bits, chosen.fan_in, chosen.alphabet) == (
        *("threshold", 1, 8, "ternary"),
    )
    assert chosen.guide is WitnessGuide.DIFFERENCE


@pytest.mark.parametrize(
    "own", [{"oracle": "windows"}, {"oracle": "cells"}, {"pricing_rounds": 1}], ids=str
)
def test_pricing_has_a_table_as_other_samples(own: dict[str, object]) -> None:
    settings = replace(SolveSettings(), **own)  # type: ignore[arg-type]
    assert settings.on(TABLE) == replace(SolveSettings().on(IMAGES), **own)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "own",
    [
        {"coding": "latency"},
        {"bits": 1},
        {"guide": "difference"},
        {"fan_in": 3},
        {"alphabet": "int4"},
    ],
    ids=str,
)
def test_what_is_given_stays(own: dict[str, object]) -> None:
    settings = SolveSettings(**own)  # type: ignore[arg-type]
    chosen = settings.on(TABLE)
    for name in own:
        assert getattr(chosen, name) == getattr(settings, name)
    if "coding" in own or "bits" in own:
        assert chosen.bits == 1
        assert chosen.coding != "intensity"


def test_a_direction_reads_no_more_than_the_hidden_neurons_below() -> None:
    deep = SolveSettings(depth=2, hidden=6, fan_in=None, guide="direction")  # type: ignore[arg-type]
    assert deep.on(TABLE).fan_in == 6
    with pytest.raises(InputError, match="fan_in must be at most the 6 hidden neurons"):
        replace(deep, fan_in=9)
