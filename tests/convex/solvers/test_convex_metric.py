"""Proximal steps in the metric of second moments, and the programs that take them."""

from dataclasses import replace

import numpy as np
import pytest

from convex_programs import random_program
from convexon.convex.model.losses import Softmax
from convexon.convex.model.penalty import GroupL2
from convexon.convex.model.program import ConvexProgram
from convexon.convex.solvers.metric import Model, covering, ridged
from convexon.convex.solvers.solver import solve


def spikes(n=200, P=90, C=3, share=0.03):
    """A softmax program with row groups over spikes that fire together."""
    rng = np.random.default_rng(3)
    common = rng.random((n, 1)) < 0.5
    D = (rng.random((n, P)) < 0.3 + 0.4 * common).astype(np.uint8)
    labels = (D[:, :20] @ rng.normal(size=(20, C)) + rng.gumbel(size=(n, C))).argmax(axis=1)
    program = ConvexProgram(
        features=D, targets=labels, loss=Softmax(), penalty=GroupL2(), rho=1.0, n_classes=C
    )
    return replace(program, rho=share * program.rho_max())


@pytest.mark.parametrize("penalty", ["group_l2", "l1"])
def test_the_optimum_is_where_a_step_leaves_the_weights(penalty):
    program = random_program("softmax", penalty, 2, n=60, P=80, C=3, share=0.05)
    W = solve(program, tolerance=1e-10).W
    G = program.correlate(program.loss.gradient(program.predict(W), program.encoded))
    D = program.take(slice(None))
    model = Model(ridged(D.T @ D), program.penalty, program.rho * program.weights)
    np.testing.assert_allclose(model.minimum(W, G, scale=0.5), W, atol=1e-5)
    at_zero = program.correlate(program.loss.gradient(np.zeros_like(D[:, :3]), program.encoded))
    step = model.minimum(np.zeros_like(W), at_zero, scale=0.5)

    def modelled(V):
        return model.rise(V, at_zero, scale=0.5) + penalty_of(V)

    def penalty_of(V):
        return program.penalty.value(V, model.thresholds)

    assert modelled(step) < min(modelled(0.7 * step), modelled(1.4 * step), 0.0)


def test_few_rows_stand_for_nearly_all_of_the_curvature():
    weights = np.array([1e-6, 4.0, 0.0, 3.0, 1e-3, 3.0])
    np.testing.assert_array_equal(covering(weights), [0.0, 4.0, 0.0, 3.0, 0.0, 3.0])
    assert not covering(np.zeros(4)).any()


def test_a_silent_column_gets_a_ridge():
    moments = ridged(np.diag([2.0, 0.0]))
    assert 0.0 < moments[1, 1] < 1e-3


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-9])
def test_float32_and_float64_reach_the_gap_that_is_asked_for(tolerance):
    program = spikes()
    solution = solve(program, tolerance=tolerance)
    assert solution.certificate.gap <= tolerance * min(1.0, solution.certificate.primal)
    # Far fewer than first-order steps would take.
    assert solution.iterations < 120
