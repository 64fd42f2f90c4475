"""Digits without any gradient, on templates with noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from convexon.quantizer.readout import quantize
from convexon.snn.models.simulate import accuracy, spikes_of
from scripts import example

convex = example("mnist_convex")
SIDE = convex.SIDE


def digits(n: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of ten templates of 4 x 4 patches, one pixel in seven changed."""
    patches = np.random.default_rng(0).random((10, 7, 7)) < 0.4
    templates = np.kron(patches, np.ones((1, 4, 4), dtype=bool)).reshape(10, -1).astype(bool)
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 10
    flips = rng.random((n, SIDE * SIDE)) < 1 / 7
    return (255 * (templates[labels] ^ flips)).astype(np.uint8), labels.astype(np.int64)


PLAN = convex.ConvexPlan(neurons=48, drawn=4, copies=2, sweeps=2, rhos=(1e-3,))


@pytest.fixture(scope="module")
def network():
    return convex.fit_convex(*digits(400, seed=1), PLAN)


def test_it_tells_digits_apart_that_it_has_not_seen(network) -> None:
    test = convex.sequential(*digits(200, seed=2), n_steps=PLAN.n_steps)
    card = quantize(network, bits=8)
    assert accuracy(card, test.inputs, test.labels) > 0.85
    assert card.n_features <= 48


def test_a_neuron_sees_a_rectangle_by_few_ternary_weights(network) -> None:
    (branch,) = network.branches
    weights = branch.layers[-1].weights
    assert set(np.unique(weights)) <= {-1, 0, 1}
    assert np.count_nonzero(weights, axis=0).max() <= PLAN.fan_in


def test_the_delay_line_holds_each_pixel_where_the_field_looks() -> None:
    """At the last step, whatever the number of chunks."""
    images, labels = digits(10, seed=3)
    for n_steps in (1, 3, 4, 7):
        data = convex.sequential(images, labels, n_steps=n_steps)
        line = convex.delay_line(data.inputs.shape[2], n_steps)
        held, _ = spikes_of([line], data.inputs, data.input_range)
        seen = held[:, -1][:, convex.pixels(n_steps)]
        np.testing.assert_array_equal(seen, images.reshape(-1, SIDE, SIDE) >= 128)


def training_accuracy(images: np.ndarray, labels: np.ndarray, plan) -> float:
    card = quantize(convex.fit_convex(images, labels, plan), bits=8)
    data = convex.sequential(images, labels, n_steps=plan.n_steps)
    return accuracy(card, data.inputs, data.labels)


def test_more_drawn_for_each_that_is_kept_say_more() -> None:
    plans = [replace(PLAN, neurons=6, drawn=drawn, copies=1, sweeps=0) for drawn in (1, 12)]
    few, many = (training_accuracy(*digits(300, seed=4), plan) for plan in plans)
    assert few < many


@pytest.mark.parametrize("cells", [False, True])
def test_neurons_that_are_refined_say_more(cells: bool) -> None:
    plans = [replace(PLAN, neurons=6, cells=cells, sweeps=sweeps) for sweeps in (0, 3)]
    drawn, refined = (training_accuracy(*digits(300, seed=4), plan) for plan in plans)
    assert drawn < refined


def test_rows_are_the_digits_and_jittered_ones() -> None:
    images, labels = digits(20, seed=5)
    held = convex.Digits(images, labels, 4)
    rows = held.rows(3, np.random.default_rng(0))
    plain = convex.sequential(images, labels, n_steps=4)
    assert np.array_equal(rows.labels, np.tile(labels, 3))
    assert np.array_equal(rows.inputs[:20], plain.inputs)
    assert all(not np.array_equal(rows.inputs[k : k + 20], plain.inputs) for k in (20, 40))
    assert held.fresh(50, np.random.default_rng(0)).n_samples == 50


def test_logic_cells_tell_digits_apart_too() -> None:
    plan = replace(PLAN, neurons=32, cells=True, copies=1)
    card = quantize(convex.fit_convex(*digits(300, seed=1), plan), bits=8)
    test = convex.sequential(*digits(200, seed=2), n_steps=PLAN.n_steps)
    assert card.n_cells == card.n_features <= 32
    assert accuracy(card, test.inputs, test.labels) > 0.7
