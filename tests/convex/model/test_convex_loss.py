"""Losses: targets, values, gradients, conjugates, and the errors that bad targets cause."""

import re

import numpy as np
import pytest

from convex_programs import LOSS_NAMES
from convexon.convex.model.loss import LOSSES, SmoothLoss, Targets
from convexon.errors import InputError

N, C = 7, 3


def case(kind, seed):
    """A loss with predictions and encoded targets."""
    rng = np.random.default_rng(seed)
    loss = LOSSES[kind]()
    if kind == "squared":
        targets = rng.normal(size=(N, C))
    elif kind == "softmax":
        targets = np.arange(N) % C
    elif kind == "logistic":
        targets = rng.choice([-1, 1], N)
    else:
        targets = rng.choice([-1, 1], (N, C))
    Y = loss.encode(targets, n_rows=N, counts=rng.integers(1, 9, N))
    return loss, 2.0 * rng.normal(size=Y.values.shape), Y


@pytest.mark.parametrize("kind", LOSS_NAMES)
def test_gradient_agrees_with_finite_differences(kind):
    loss, Z, Y = case(kind, seed=1)
    G = loss.subgradient(Z, Y)
    step = 1e-6
    for index in np.ndindex(Z.shape):
        E = np.zeros_like(Z)
        E[index] = step
        difference = (loss.value(Z + E, Y) - loss.value(Z - E, Y)) / (2 * step)
        assert G[index] == pytest.approx(difference, abs=1e-8)


@pytest.mark.parametrize("kind", [k for k in LOSS_NAMES if k != "hinge"])
def test_curvature_agrees_with_finite_differences_of_the_gradient(kind):
    loss, Z, Y = case(kind, seed=2)
    assert isinstance(loss, SmoothLoss)
    diagonal, rank_one = loss.curvature(Z, Y)
    direction = np.random.default_rng(3).normal(size=Z.shape)
    product = diagonal * direction
    if rank_one is not None:
        product -= rank_one * (rank_one * direction).sum(axis=1, keepdims=True)
    step = 1e-6
    difference = loss.gradient(Z + step * direction, Y) - loss.gradient(Z - step * direction, Y)
    np.testing.assert_allclose(product, difference / (2 * step), atol=1e-8)


@pytest.mark.parametrize("kind", [k for k in LOSS_NAMES if k != "hinge"])
def test_smoothness_bounds_the_change_of_the_gradient(kind):
    loss, Z, Y = case(kind, seed=4)
    other = Z + np.random.default_rng(5).normal(size=Z.shape)
    change = np.linalg.norm(loss.gradient(Z, Y) - loss.gradient(other, Y))
    assert change <= loss.smoothness * Y.shares.max() * np.linalg.norm(Z - other) * (1 + 1e-12)


@pytest.mark.parametrize("kind", LOSS_NAMES)
def test_fenchel_young_holds_and_is_tight_at_the_subgradient(kind):
    loss, Z, Y = case(kind, seed=6)
    dual = -loss.subgradient(Z, Y)
    total = loss.value(Z, Y) - loss.dual_value(dual, Y)
    assert total == pytest.approx(-float((dual * Z).sum()), abs=1e-12)
    other = loss.dual_in_domain(np.random.default_rng(7).normal(size=Z.shape) / N, Y)
    assert loss.value(Z, Y) - loss.dual_value(other, Y) >= -float((other * Z).sum()) - 1e-12


@pytest.mark.parametrize("kind", [k for k in LOSS_NAMES if k != "squared"])
def test_conjugate_is_infinite_outside_its_domain_and_projection_leads_inside(kind):
    loss, Z, Y = case(kind, seed=8)
    U = 10.0 * Z
    assert loss.conjugate(U, Y) == np.inf
    inside = loss.dual_in_domain(-U / N, Y)
    assert np.isfinite(loss.dual_value(inside, Y))
    np.testing.assert_allclose(loss.dual_in_domain(inside, Y), inside, atol=1e-14)


@pytest.mark.parametrize("kind", [k for k in LOSS_NAMES if k != "squared"])
def test_extreme_predictions_stay_finite(kind):
    loss, Z, Y = case(kind, seed=11)
    assert np.isfinite(loss.value(1e4 * Z, Y))
    assert np.isfinite(loss.subgradient(1e4 * Z, Y)).all()


def test_softmax_keeps_tiny_losses_in_full_precision():
    loss = LOSSES["softmax"]()
    Y = loss.encode([0, 1], n_rows=2)
    assert loss.value(50.0 * Y.values, Y) == pytest.approx(np.exp(-50.0), rel=1e-12)


BAD = [
    ("squared", [0.0, np.nan], {}, "targets must be finite, not nan at row 1, column 0"),
    ("squared", [1.0], {}, "targets must have one row per row of the features (2), not 1"),
    ("squared", ["a", "b"], {}, "targets must be an array of real numbers, not a"),
    ("squared", np.zeros((2, 1, 1)), {}, "targets must be a vector or a matrix of n rows"),
    ("squared", [1.0, 2.0], {"n_classes": 2}, "targets must have 2 column(s) for this loss"),
    ("logistic", [0, 1], {}, "targets must be -1 or +1, not 0.0 at row 0; encode labels"),
    ("logistic", -np.ones((2, 2)), {}, "targets must have 1 column(s) for this loss, not 2"),
    ("hinge", [1, 2], {}, "targets must be -1 or +1, not 2.0 at row 1"),
    ("softmax", [0, 2], {}, "targets must "),
    ("softmax", [0, 1], {"counts": [1.0, 2.0]}, "counts must be integers, one per row of"),
    ("softmax", [0, 1], {"counts": [1]}, "counts must be integers, one per row of the"),
    (
        "squared",
        [0, 1],
        {"counts": [1, 0]},
        "counts must be positive, not 0 at row 1: leave",
    ),
    ("squared", [0, 1], {"counts": [1, 2**53]}, "counts must sum to no more than 2**53"),
    ("softmax", [0, 3], {"n_classes": 2}, "targets must be integer labels from 0 to 1, not"),
    (
        "softmax",
        [0, 0.5],
        {},
        "targets must be integer labels from 0 to 0, not 0.5 at row 1",
    ),
    (
        "softmax",
        [0, -1],
        {},
        "targets must be integer labels from 0 to 0, not -1.0 at row 1",
    ),
    (
        "softmax",
        np.zeros((2, 2)),
        {},
        "targets must be a vector of class labels for softmax",
    ),
]


@pytest.mark.parametrize(("kind", "targets", "options", "message"), BAD)
def test_bad_targets_are_refused(kind, targets, options, message):
    with pytest.raises(InputError, match="^" + re.escape(message)):
        LOSSES[kind]().encode(targets, n_rows=2, **options)


def test_an_announced_class_may_be_absent():
    Y = LOSSES["softmax"]().encode([2, 0], n_rows=2, n_classes=4)
    np.testing.assert_array_equal(Y.values, [[0, 0, 1, 0], [1, 0, 0, 0]])


@pytest.mark.parametrize("kind", LOSS_NAMES)
def test_a_row_that_counts_twice_is_two_rows(kind):
    loss, Z, Y = case(kind, seed=12)
    twice = np.repeat(np.arange(N), Y.counts)
    repeated = Targets(values=Y.values[twice], counts=np.ones(len(twice), dtype=np.int64))
    assert loss.value(Z, Y) == pytest.approx(loss.value(Z[twice], repeated), rel=1e-13)
    spread = loss.subgradient(Z[twice], repeated)
    merged = np.array([spread[twice == i].sum(axis=0) for i in range(N)])
    np.testing.assert_allclose(merged, loss.subgradient(Z, Y), rtol=1e-13)
    value = loss.dual_value(-merged, Y)
    assert value == pytest.approx(loss.dual_value(-spread, repeated), rel=1e-12)
