"""Penalties: values, dual norms and proximal maps."""

import numpy as np
import pytest

from convex_programs import PENALTY_NAMES
from convexon.convex.model.penalty import PENALTIES

WEIGHTS = np.array([0.5, 1.0, 2.0, 1.5])


@pytest.fixture(params=PENALTY_NAMES)
def penalty(request):
    return PENALTIES[request.param]()


def test_dual_ratio_is_the_largest_inner_product_over_the_unit_ball(penalty):
    rng = np.random.default_rng(0)
    G = rng.normal(size=(4, 3))
    ratio = penalty.dual_ratio(G, WEIGHTS)
    for _ in range(50):
        W = rng.normal(size=(4, 3))
        assert (G * W).sum() <= ratio * penalty.value(W, WEIGHTS) + 1e-12


def test_prox_satisfies_its_optimality_condition(penalty):
    V = np.random.default_rng(1).normal(size=(4, 3))
    thresholds = 0.7 * WEIGHTS
    W = penalty.prox(V, thresholds)
    # V - W is a subgradient: dual-feasible, and aligned with W.
    assert penalty.dual_ratio(V - W, thresholds) <= 1 + 1e-12
    assert ((V - W) * W).sum() == pytest.approx(penalty.value(W, thresholds))


def test_gradient_and_curvature_agree_with_finite_differences(penalty):
    rng = np.random.default_rng(2)
    W, E = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    step = 1e-6
    slope = penalty.value(W + step * E, WEIGHTS) - penalty.value(W - step * E, WEIGHTS)
    G = penalty.gradient(W, WEIGHTS)
    assert (G * E).sum() == pytest.approx(slope / (2 * step), abs=1e-7)
    change = penalty.gradient(W + step * E, WEIGHTS) - penalty.gradient(W - step * E, WEIGHTS)
    product = np.zeros_like(W)
    if (curved := penalty.curvature(W, WEIGHTS)) is not None:
        ridge, dent = curved
        product = ridge[:, None] * E - dent * (dent * E).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(product, change / (2 * step), atol=1e-7)


def test_group_norm_prunes_whole_rows():
    W = PENALTIES["group_l2"]().prox(np.array([[0.3, 0.4], [3.0, 4.0]]), np.ones(2))
    np.testing.assert_allclose(W, [[0.0, 0.0], [2.4, 3.2]])


def test_no_columns_have_dual_ratio_zero(penalty):
    assert penalty.dual_ratio(np.zeros((0, 2)), np.zeros(0)) == 0.0
