"""Successive quadratic programs: the losses of one score with the l1 norm."""

from dataclasses import replace

import numpy as np
import pytest

from convex_programs import random_program
from convexon.convex.model.losses import Logistic, Softmax
from convexon.convex.model.penalty import L1, GroupL2
from convexon.convex.model.program import ConvexProgram
from convexon.convex.solvers.composite import Descent
from convexon.convex.solvers.products import Products, products_for
from convexon.convex.solvers.record import Budget
from convexon.convex.solvers.solver import solve
from convexon.convex.solvers.successive import SuccessiveQuadratics


def test_what_it_takes_and_what_it_lacks():
    assert SuccessiveQuadratics.lacks(Logistic(), L1()) is None
    assert SuccessiveQuadratics.lacks(Softmax(), L1()) == "a smooth loss of one score"
    lacking = SuccessiveQuadratics.lacks(Logistic(), GroupL2())
    assert lacking == "a penalty on the sum of magnitudes"


@pytest.mark.parametrize("share", [0.5, 0.02])
def test_few_steps_reach_the_optimum_that_descent_reaches(share):
    program = random_program("logistic", "l1", 5, n=80, P=60, share=share, counts="random")
    D, thresholds = program.take(slice(None)), program.rho * program.weights
    values = []
    for method in (SuccessiveQuadratics, Descent):
        budget = Budget(5000)
        start = np.zeros((program.n_columns, 1))
        found = method(program, budget=budget).improve(
            Products(D), thresholds, start, tolerance=1e-10
        )
        values.append(program.objective(found))
        if method is SuccessiveQuadratics:
            assert budget.iterations < 60
    assert values[0] == pytest.approx(values[1], abs=2e-10)


def test_where_the_moments_would_be_large_it_descends(monkeypatch):
    monkeypatch.setattr("convexon.convex.solvers.successive.LARGEST_GRAM", 8)
    program = random_program("logistic", "l1", 6, n=50, P=40, share=0.05)
    assert solve(program, tolerance=1e-8).converged


def nearly_dependent(kind, rng, n=300):
    """Columns of which many are nearly sums of others, and labels of two classes, 1 and -1."""
    t = np.linspace(-1.0, 1.0, n)[:, None]
    labels = np.where(np.sin(7.0 * t[:, 0]) + 0.3 * rng.normal(size=n) > 0.0, 1.0, -1.0)
    if kind == "monomials":
        return t ** np.arange(40)[None, :], labels
    if kind == "bumps":
        return np.exp(-(((t - np.linspace(-1.0, 1.0, 120)[None, :]) / 0.2) ** 2)), labels
    if kind == "high counts":
        return (200 + rng.integers(0, 2, (n, 200))).astype(np.uint8), labels
    ramps = np.floor(9.0 * np.clip(1.5 * t + 1.5 - np.linspace(0.0, 2.0, 150)[None, :], 0.0, 1.0))
    return np.minimum(8, ramps).astype(np.uint8), labels


@pytest.mark.parametrize("kind", ["monomials", "bumps", "high counts", "ramps"])
@pytest.mark.parametrize("share", [1e-2, 1e-5])
def test_columns_that_nearly_depend_on_each_other_take_few_steps(kind, share):
    """Moments in float32 are not positive definite there, or not near enough."""
    features, labels = nearly_dependent(kind, np.random.default_rng(0))
    program = ConvexProgram(
        features=features, targets=labels, loss=Logistic(), penalty=L1(), rho=1.0, n_classes=None
    )
    solution = solve(replace(program, rho=share * program.rho_max()), tolerance=1e-7)
    assert solution.iterations < 4000


@pytest.mark.parametrize("intercept", [120.0, 600.0, 1e4, 1e100])
def test_a_start_far_off_is_no_trap(intercept):
    """There curvatures are too small for float32, or zero."""
    program = random_program("logistic", "l1", 5, n=80, P=60, share=0.02)
    program = replace(program, features=np.column_stack([program.features, np.ones(80)]),
                      weights=np.ones(61))  # fmt: skip
    start = np.zeros((61, 1))
    start[-1] = intercept
    assert solve(program, start=start, tolerance=1e-8).iterations < 500


def test_moments_may_be_coarse_and_are_no_less_than_what_float32_holds():
    rng = np.random.default_rng(2)
    D, weights = rng.random((30, 6)), rng.random(30)
    exact = D.T * weights @ D
    for products in (Products(D), products_for("cpu")(D)):
        for unit in (1.0, 1e-60, 1e60):
            found = products.moments(unit * weights, coarse=True)
            np.testing.assert_allclose(found, unit * exact, rtol=1e-5)
        assert not products.moments(np.zeros(30), coarse=True).any()
