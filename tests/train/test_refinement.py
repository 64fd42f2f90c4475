"""Neurons are refined on the exact loss: every turn lowers it, and nothing is taken on trust."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from convexon.convex.model.loss import Loss
from convexon.convex.model.losses import Hinge, Softmax, Squared
from convexon.convex.model.penalty import GroupL2
from convexon.convex.model.problem import Problem
from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.snn.cells import OWN, cell_layer, reads_and_tables
from convexon.snn.network import Layer
from convexon.snn.neuron import INTEGRATE, MEMORYLESS, Leak, ReadoutMode, Reset
from convexon.train.columns.rows import distinct_rows
from convexon.train.pricing.site import Site, site_on
from convexon.train.refinement import Refinement, _Levels, refine
from convexon.train.witnesses.alphabet import TERNARY, Alphabet
from convexon.train.witnesses.threshold import threshold_layer
from convexon.train.witnesses.witness import Field, WitnessFamily, draw_layer

CLASSES = 3
GRID = Field.of((5, 5))
FAMILY = WitnessFamily(
    fan_in=6, alphabet=TERNARY, leak=MEMORYLESS, reset=Reset.NONE, at_last=True, field=GRID
)
ANYWHERE = replace(FAMILY, field=None)
SPIKING = replace(
    ANYWHERE, leak=INTEGRATE, reset=Reset.SUBTRACT, at_last=False, spikes_per_sample=4.0
)


def site(
    family: WitnessFamily = FAMILY,
    *,
    mode: ReadoutMode = ReadoutMode.LAST,
    bits: int = 1,
    n_steps: int = 1,
    n: int = 300,
) -> Site:
    """Blurred copies of three images, repeated ones among them."""
    rng = np.random.default_rng(3)
    labels = np.arange(n) % CLASSES
    kinds = rng.random((CLASSES, 1, 25))
    chance = 0.7 * kinds[labels] + 0.3 * rng.random((n, 1, 25))
    values = np.rint(chance * ((1 << bits) - 1)).astype(np.uint8)
    data = SpikeDataset(
        inputs=np.repeat(np.concatenate([values, values[:40]]), n_steps, axis=1),
        labels=np.concatenate([labels, labels[:40]]),
        n_classes=CLASSES,
        input_bits=bits,
        name="blurred",
    )
    return site_on(data, distinct_rows(data, mode), family)


def drawn(place: Site, count: int = 6) -> Layer:
    generator = np.random.default_rng(5)
    return draw_layer(place.family, count, place.signal, place.sample_labels, generator=generator)


def problem(place: Site, loss: Loss | None = None) -> Problem:
    return place.rows.problem(loss or Softmax(), GroupL2(), 1e-3, n_outputs=CLASSES)


def weights(count: int) -> np.ndarray:
    return np.random.default_rng(7).normal(size=(count + 1, CLASSES))


def loss_of(place: Site, task: Problem, layer: Layer, W: np.ndarray) -> float:
    """The mean loss by simulation."""
    scores = place.features(layer).astype(np.float64) @ W[:-1] + W[-1]
    return task.loss.value(scores, task.encoded)


def turned(
    place: Site, layer: Layer, W: np.ndarray, plan: Refinement, loss: Loss | None = None
) -> Layer:
    generator = np.random.default_rng(0)
    return refine(place, layer, W[:-1], W[-1], problem(place, loss), plan, generator=generator)


@pytest.mark.parametrize("loss", [Softmax(), Squared(), Hinge()])
@pytest.mark.parametrize(
    ("family", "bits"),
    [
        (FAMILY, 1),
        (ANYWHERE, 1),
        (replace(ANYWHERE, alphabet=Alphabet.integers(4)), 4),
        (replace(FAMILY, alphabet=Alphabet.powers_of_two(3)), 8),
    ],
)
def test_the_loss_falls_and_the_family_stays(loss: Loss, family: WitnessFamily, bits: int) -> None:
    place = site(family, bits=bits)
    layer, W = drawn(place), weights(6)
    found = turned(place, layer, W, Refinement(moves=8), loss)
    task = problem(place, loss)
    before, after = loss_of(place, task, layer, W), loss_of(place, task, found, W)
    assert after < 0.95 * before
    again = turned(place, found, W, Refinement(moves=8), loss)
    assert loss_of(place, task, again, W) <= after
    assert np.isin(found.matrix, family.alphabet.values).all()
    fan_in = np.count_nonzero(found.matrix, axis=0)
    assert (fan_in >= 1).all()
    assert (fan_in <= np.maximum(family.fan_in, np.count_nonzero(layer.matrix, axis=0))).all()
    moved = (found.matrix != layer.matrix).any(axis=0)
    share = place.features(found).mean(axis=0)[moved]
    assert ((share >= 0.01) & (share <= 0.99)).all()
    if family.field is None:
        assert (found.thresholds >= 1).all()


def test_a_neuron_alone_makes_the_best_single_change() -> None:
    """Against every change of a weight by one and every threshold, simulated."""
    place = site(ANYWHERE)
    layer, W = drawn(place, 1), weights(1)
    task, free = problem(place), Refinement(moves=1, rare=0.0)
    found = turned(place, layer, W, free)
    membranes = place.last_step() @ layer.matrix[:, 0]
    best_threshold = min(
        (loss_of(place, task, threshold_layer(layer.matrix, [level]), W), level)
        for level in np.unique(membranes[membranes >= 1])
    )[1]
    tried = []
    for i in range(25):
        for step in (-1, 1):
            changed = layer.matrix.copy()
            changed[i, 0] += step
            used = np.count_nonzero(changed)
            if abs(changed[i, 0]) <= 1 and 1 <= used <= FAMILY.fan_in:
                one = threshold_layer(changed, [best_threshold])
                tried.append((loss_of(place, task, one, W), i, int(changed[i, 0])))
    best, i, value = min(tried)
    assert found.matrix[i, 0] == value
    assert loss_of(place, task, found, W) <= best + 1e-12


@pytest.mark.parametrize("step", [1, 3, -1, -2])
def test_what_a_change_gains_is_what_simulation_says(step: int) -> None:
    rng = np.random.default_rng(11)
    inputs = rng.integers(0, 16, (7, 200), dtype=np.uint8)
    membranes, gains = rng.integers(-30, 30, 200).astype(np.int16), rng.normal(size=200)
    gained = _Levels(membranes, gains).gained(4, step, inputs, 15)
    fires = membranes[None] + step * inputs.astype(np.int64) >= 4
    assert gained == pytest.approx((fires * gains).sum(axis=1) - gains[membranes >= 4].sum())


def test_cells_follow_the_loss_with_the_best_table_of_their_inputs() -> None:
    place = site()
    rng = np.random.default_rng(1)
    reads = np.array([[0, 1, 5, 6], [12, 13, 17, 18], [7, 8, 12, 13]])
    layer = cell_layer(reads, rng.integers(0, 2, (3, 16)), n_inputs=25)
    task, W = problem(place), weights(3)
    found = turned(place, layer, W, Refinement(moves=4, rare=0.0))
    after = loss_of(place, task, found, W)
    assert after < 0.98 * loss_of(place, task, layer, W)
    # Of the neuron whose turn came last no other table is better.
    last = np.random.default_rng(0).permutation(3)[-1]
    chosen, tables = reads_and_tables(found)
    for code in range(16):
        other = tables.copy()
        other[last, code] ^= 1
        flipped = cell_layer(chosen, other, n_inputs=25)
        assert loss_of(place, task, flipped, W) >= after - 1e-12


def test_cells_are_read_back_as_they_were_made() -> None:
    reads = np.array([[3, 1, 0], [2, OWN, 4]])
    tables = np.random.default_rng(2).integers(0, 2, (2, 8))
    got, rows = reads_and_tables(cell_layer(reads, tables, n_inputs=5))
    assert np.array_equal(got, reads)
    assert np.array_equal(rows, tables)
    with pytest.raises(InputError, match=r"^layer must have tables"):
        reads_and_tables(threshold_layer(np.eye(2, dtype=int), [1, 1]))


def test_a_neuron_without_weights_stays_and_all_have_their_turn() -> None:
    place = site()
    layer, W = drawn(place), weights(6)
    W[2] = 0.0
    turns: list[int] = []
    generator = np.random.default_rng(0)
    found = refine(
        place,
        layer,
        W[:-1],
        W[-1],
        problem(place),
        Refinement(),
        generator=generator,
        progress=turns.append,
    )
    assert np.array_equal(found.matrix[:, 2], layer.matrix[:, 2])
    assert not np.array_equal(found.matrix, layer.matrix)
    assert turns == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("mode", [ReadoutMode.LAST, ReadoutMode.COUNT])
@pytest.mark.parametrize("lossy", [replace(FAMILY, leak=Leak(1, 2)), SPIKING])
def test_neurons_with_a_memory_are_simulated(lossy: WitnessFamily, mode: ReadoutMode) -> None:
    place = site(lossy, mode=mode, bits=4, n_steps=6)
    layer, W = drawn(place), weights(6) / 3
    task = problem(place)
    found = turned(place, layer, W, Refinement(moves=3))
    after = loss_of(place, task, found, W)
    assert after < 0.98 * loss_of(place, task, layer, W)
    assert (np.count_nonzero(found.matrix, axis=0) <= lossy.fan_in).all()
    assert (found.thresholds >= 1).all()
    # Of the neuron whose turn came last no change of a weight by one lowers the loss, if it may.
    patient = turned(place, found, W, Refinement(moves=200, rare=0.0))
    last = np.random.default_rng(0).permutation(6)[-1]
    least = loss_of(place, task, patient, W)
    for i in range(25):
        changed = patient.matrix.copy()
        changed[i, last] -= np.sign(changed[i, last])
        if changed[:, last].any():
            other = lossy.layer(changed, patient.thresholds)
            column = place.features(other)[:, last]
            if column.min() < column.max():
                assert loss_of(place, task, other, W) >= least - 1e-8


def test_what_all_else_adds_counts() -> None:
    """A neuron goes where it goes beside others whose scores are given in their place."""
    place = site(ANYWHERE)
    layer, W = drawn(place, 2), weights(2)
    task = problem(place)
    alone = layer.restricted(np.array([0]), np.arange(25))

    def first(given: Layer, own: np.ndarray, rest: np.ndarray) -> Layer:
        generator = np.random.default_rng(0)
        return refine(place, given, own, rest, task, Refinement(), generator=generator)

    rest = W[-1] + place.features(layer)[:, 1:] * W[1]
    beside = first(layer, np.stack([W[0], np.zeros(CLASSES)]), rest)
    found = first(alone, W[:1], rest)
    assert np.array_equal(found.matrix[:, 0], beside.matrix[:, 0])
    assert np.array_equal(beside.matrix[:, 1], layer.matrix[:, 1])
    settled = W[-1] + np.where(place.rows.labels[:, None] == 0, [30.0, 0.0, 0.0], 0.0)
    other = first(alone, W[:1], settled)  # rows of class 0 need nothing more
    assert not np.array_equal(other.matrix, found.matrix)


def test_what_cannot_be_refined_is_said() -> None:
    signs = site(mode=ReadoutMode.SIGN)
    with pytest.raises(InputError, match=re.escape("a readout of last, step or count")):
        turned(signs, drawn(signs), weights(6), Refinement())
    counted = site(mode=ReadoutMode.COUNT)
    cell = cell_layer([[0, 1, 2, 3]], [[0, 1] * 8], n_inputs=25)
    with pytest.raises(InputError, match=r"^refinement takes cells that are read at one step"):
        turned(counted, cell, weights(1), Refinement())
    place = site()
    own = cell_layer([[0, 1, 2, OWN]], [[0, 1] * 8], n_inputs=25)
    with pytest.raises(InputError, match=r"none of them its own last spike"):
        turned(place, own, weights(1), Refinement())
    with pytest.raises(InputError, match=r"^moves must be positive"):
        Refinement(moves=0)
    with pytest.raises(InputError, match=r"^rare must lie in 0\.\.0\.5"):
        Refinement(rare=0.5)
