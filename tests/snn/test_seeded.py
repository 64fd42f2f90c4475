"""Weights made from a seed: their statistics, and finding them again."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.plan.fold import plans_at, readout_plan
from convexon.plan.mapping import Folded, Weights
from convexon.snn import seeded
from convexon.snn.fixed import Interval, QFormat
from convexon.snn.models import golden
from convexon.snn.models.simulate import layer_spikes
from convexon.snn.neuron import Leak, Reset
from convexon.snn.seeded import identify, seeded_weights, taps
from convexon.train.witnesses.alphabet import Alphabet
from convexon.train.witnesses.witness import (
    Guide,
    WitnessFamily,
    draw_branch,
)
from strategies import layer_of, network_of

SEEDS = [0, 1, 2, 12345, (1 << 32) - 1]

FIRST = [[6, -3, 4, -5, 4, -7], [4, 6, -2, 6, 4, -1], [-4, -5, 4, 5, -1, 5], [0, 6, -5, 0, 5, 4]]
"""First weights of seed 1, of 4 bits."""


def test_weights_are_these() -> None:
    # The definition once more, in plain integers: a change of it must not pass unnoticed.
    keys = seeded.round_keys(77)
    mask = (1 << 16) - 1

    def rotate(word: int, places: int) -> int:
        return (word << places | word >> (16 - places)) & mask

    rows, neurons = [0, 1, 7, 300], [0, 5, 60000]
    expected = []
    for row in rows:
        a, b, c, d = (rotate(row, n) ^ key for n, key in zip((0, 5, 11, 14), keys[0], strict=True))
        for (left, right), after in zip(((5, 9), (7, 3), (11, 6)), keys[1:], strict=True):
            a, c = (a + b) & mask, (c + d) & mask
            b, d = rotate(d, right) ^ c, rotate(b, left) ^ a
            a, b, c, d = (word ^ key for word, key in zip((a, b, c, d), after, strict=True))
        mixed = a | b << 16 | c << 32 | d << 48
        for neuron in neurons:
            bits = [
                sum(mixed >> int(tap) for tap in taps(77, [neuron], bit)[0]) & 1 for bit in range(3)
            ]
            code = bits[0] + 2 * bits[1] - 4 * bits[2]
            expected.append(0 if code == -4 else code)
    made = seeded_weights(77, 301, neurons, bits=3)
    assert made[rows].ravel().tolist() == expected
    # And a few figures, so that keys and taps stay what they are.
    assert seeded_weights(1, 4, range(6), bits=4).tolist() == FIRST


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("bits", [2, 4])
def test_statistics_are_those_of_independent_weights(seed: int, bits: int) -> None:
    n, m = 784, 128
    weights = seeded_weights(seed, n, range(m), bits=bits).astype(np.float64)
    values = np.array([*range(-(1 << bits - 1) + 1, 1 << bits - 1), 0])
    variance = float(np.mean(values**2))
    assert abs(weights.mean()) < 5 * np.sqrt(variance / weights.size)
    assert weights.var() == pytest.approx(variance, rel=0.02)
    for axis, limit in ((0, 5.5), (1, 6.0)):  # columns are neurons, rows sources
        scaled = weights / np.sqrt(variance) if axis == 0 else weights.T / np.sqrt(variance)
        length, count = scaled.shape
        assert np.abs(scaled.mean(axis=0)).max() * np.sqrt(length) < 5
        products = (scaled.T @ scaled)[np.triu_indices(count, 1)] / np.sqrt(length)
        assert products.std() == pytest.approx(1.0, abs=0.05)
        assert np.abs(products).max() < limit


def test_values_are_those_of_the_alphabet() -> None:
    for bits in range(2, 9):
        made = seeded_weights(5, 512, range(64), bits=bits)
        values, counts = np.unique(made, return_counts=True)
        assert values.tolist() == Alphabet.integers(bits).values.tolist()
        share = counts / made.size * (1 << bits)
        assert share[len(share) // 2] == pytest.approx(2.0, rel=0.3)
        assert np.delete(share, len(share) // 2) == pytest.approx(1.0, abs=0.5)


@pytest.mark.parametrize("seed", SEEDS[-2:])
def test_no_two_bits_have_the_same_taps(seed: int) -> None:
    neurons = np.arange(seeded.MAX_NEURONS)
    every = np.concatenate([taps(seed, neurons, bit) for bit in range(seeded.MAX_BITS)])
    assert (np.diff(every, axis=1) < 0).all()  # four of them, each once
    assert (every.min(), every.max()) == (0, seeded.MIXED_BITS - 1)
    assert len(np.unique(every @ 64 ** np.arange(4))) == len(every)
    assert np.bincount(every.ravel()).std() < 0.02 * every.size / 64


def test_subsets_are_numbered_without_gap() -> None:
    every = seeded._subset(np.arange(math.comb(64, 4)))
    assert (np.diff(every, axis=1) < 0).all()
    assert len(np.unique(every @ 64 ** np.arange(4))) == len(every)
    assert (every.min(), every.max()) == (0, 63)


def test_a_weight_depends_on_seed_row_and_neuron_alone() -> None:
    whole = seeded_weights(9, 300, range(50), bits=5)
    part = seeded_weights(9, 100, [40, 3, 17], bits=5)
    assert np.array_equal(part, whole[:100, [40, 3, 17]])
    other = seeded_weights(10, 300, range(50), bits=5)
    assert abs(np.corrcoef(whole.ravel(), other.ravel())[0, 1]) < 0.04


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, (1 << 32) - 1),
    bits=st.integers(2, 8),
    numbers=st.lists(st.integers(0, 5000), min_size=1, max_size=6),
)
def test_numbers_are_found_again(seed: int, bits: int, numbers: list[int]) -> None:
    weights = seeded_weights(seed, 40, numbers, bits=bits)
    found = identify(weights, seed, bits=bits)
    assert np.array_equal(seeded_weights(seed, 40, found, bits=bits), weights)
    assert found == tuple(numbers)


def test_of_several_numbers_the_lowest_is_found() -> None:
    weights = seeded_weights(3, 1, range(100), bits=2)
    found = identify(weights, 3, bits=2)
    first = {int(weight): j for j, weight in reversed(list(enumerate(weights[0])))}
    assert found == tuple(first[int(weight)] for weight in weights[0])


@pytest.mark.parametrize("row", [0, 70, 99])
def test_foreign_weights_are_refused_by_name(row: int) -> None:
    weights = seeded_weights(3, 100, range(8), bits=4)
    weights[row, 5] += 1 if weights[row, 5] < 7 else -1
    weights[row, 7] += 1 if weights[row, 7] < 7 else -1
    with pytest.raises(InputError, match=r"seed 3 with 4 bits, which those of neuron 5 are not"):
        identify(weights, 3, bits=4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 4, [0], 4), "seed must be 0 to 4294967295, not -1"),
        ((1 << 32, 4, [0], 4), "seed must be 0 to"),
        ((0, 0, [0], 4), "n_inputs must be 1 to 65536, not 0"),
        ((0, 4, [65536], 4), "number of a neuron must be 0 to 65535, not 65536"),
        ((0, 4, [0], 1), "bits of a seeded weight must be 2 to 8, not 1"),
        ((0, 4, [0], 9), "bits of a seeded weight must be 2 to 8, not 9"),
    ],
)
def test_bad_arguments_are_refused(arguments: tuple, message: str) -> None:
    seed, n_inputs, neurons, bits = arguments
    with pytest.raises(InputError, match=f"^{message}"):
        seeded_weights(seed, n_inputs, neurons, bits=bits)


def seeded_layer(seed: int, n_inputs: int, numbers: list[int], *, bits: int = 4, **changes):  # type: ignore[no-untyped-def]
    weights = seeded_weights(seed, n_inputs, numbers, bits=bits)
    return layer_of(weights, [5] * len(numbers), weight_format=QFormat(bits), **changes)


def test_plan_names_the_neurons_of_all_branches() -> None:
    network = network_of(
        (seeded_layer(8, 20, [4, 2, 9]),), (seeded_layer(8, 20, [11, 0], bits=3),), n_steps=2
    )
    choice = Folded(lanes=2, weights=Weights.SEEDED, seed=8)
    (plan,) = plans_at(network, {0: choice, 1: choice}, 0)
    assert [neuron.number for neuron in plan.seeded] == [4, 2, 9, 11, 0]
    assert [neuron.bits for neuron in plan.seeded] == [4, 4, 4, 3, 3]
    assert plan.stride == 32
    banked = Folded(lanes=2, banks=5, weights=Weights.SEEDED, seed=8)
    (plan,) = plans_at(network, {0: banked, 1: banked}, 0)
    assert (plan.rows, plan.stride, plan.depth_of_bank) == (4, 8, 24)  # 4 rows and one of zeros


def test_what_no_seed_explains_is_refused_by_branch_and_layer() -> None:
    good, bad = seeded_layer(8, 20, [4, 2]), seeded_layer(9, 20, [4, 2])
    network = network_of((good,), (bad,), n_steps=2)
    choice = Folded(lanes=2, weights=Weights.SEEDED, seed=8)
    with pytest.raises(InputError, match=r"^branch 1 layer 0: weights must be made from seed 8"):
        plans_at(network, {0: choice, 1: choice}, 0)
    lateral = seeded_layer(8, 20, [4, 2], recurrent=np.ones((2, 2), dtype=np.int64))
    with pytest.raises(InputError, match=r"^branch 0 layer 0 must not be recurrent"):
        plans_at(network_of((lateral,), n_steps=2), {0: choice}, 0)
    with pytest.raises(InputError, match="weights of the readout must be fixed, not seeded"):
        readout_plan(network, Folded(lanes=4, weights=Weights.SEEDED, seed=8))
    assert golden.run(network, np.zeros((1, 2, 20), dtype=np.uint8)).labels.tolist() == [[0]]


def seeded_family(**changes) -> WitnessFamily:  # type: ignore[no-untyped-def]
    members = {
        "fan_in": 12,
        "alphabet": Alphabet.integers(4),
        "leak": Leak(1, 2),
        "reset": Reset.SUBTRACT,
        "guide": Guide.SEEDED,
        "seed": 6,
    }
    return WitnessFamily(**{**members, **changes})


def random_dataset() -> SpikeDataset:
    rng = np.random.default_rng(0)
    inputs = rng.integers(0, 2, (60, 3, 12), dtype=np.uint8)
    return SpikeDataset(
        inputs=inputs, labels=np.arange(60) % 2, n_classes=2, input_bits=1, name="random"
    )


def test_witnesses_are_drawn_from_a_seed_and_map_when_pruned() -> None:
    data = random_dataset()
    branches = draw_branch([seeded_family()], data, widths=[20], generator=np.random.default_rng(5))
    (layer,) = branches.layers
    numbers = identify(layer.weights, 6, bits=4)
    assert len(set(numbers)) == 20
    kept = layer_of(
        layer.weights[:, [3, 11, 18]], layer.thresholds[[3, 11, 18]], weight_format=QFormat(4)
    )
    (plan,) = plans_at(
        network_of((kept,), n_steps=3), {0: Folded(lanes=3, weights=Weights.SEEDED, seed=6)}, 0
    )
    assert [n.number for n in plan.seeded] == [numbers[j] for j in (3, 11, 18)]
    assert layer_spikes(layer, data.inputs, Interval(0, 1)).any()
    deep = draw_branch(
        [seeded_family(), seeded_family(fan_in=8)],
        data,
        widths=[8, 4],
        generator=np.random.default_rng(5),
    )
    for one in deep.layers:
        identify(one.weights, 6, bits=4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": None}, "seed must be given for seeded weights"),
        ({"guide": Guide.BLIND}, "seed must be given for seeded weights"),
        ({"alphabet": Alphabet.powers_of_two(3)}, "alphabet of seeded weights must be ternary or"),
        ({"alphabet": Alphabet.integers(9)}, "alphabet of seeded weights must be ternary or"),
        ({"lateral": 2}, "lateral must be 0 for seeded weights, not 2"),
        ({"fan_in": 11}, "fan_in must be the 12 inputs for seeded weights, not 11"),
    ],
)
def test_families_that_no_seed_makes_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        draw_branch(
            [seeded_family(**changes)],
            random_dataset(),
            widths=[2],
            generator=np.random.default_rng(0),
        )
