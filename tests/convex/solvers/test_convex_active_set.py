"""The active-set method: optimality, on dependent columns too, and in few steps."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convex_programs import random_program
from convexon.convex.solvers.active_set import Quadratic
from convexon.convex.solvers.record import Budget
from convexon.convex.solvers.solver import solve


def quadratic(seed, *, n, A, style):
    """Second moments of random columns; of ``style`` "equal" each occurs twice."""
    rng = np.random.default_rng(seed)
    D = rng.normal(size=(n, A)) if style == "real" else 1.0 * (rng.random((n, A)) < 0.4)
    if style == "equal":
        D = np.hstack([D, D])
    y = rng.normal(size=n)
    c = D.T @ y / n
    return Quadratic(D.T @ D / n, c, np.full(D.shape[1], 1e-3 + 0.05 * np.abs(c).max()))


def objective(problem, w):
    G, c, t = problem.gram, problem.correlations, problem.thresholds
    return 0.5 * w @ G @ w - c @ w + t @ np.abs(w)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(1, 30),
    A=st.integers(1, 60),
    style=st.sampled_from(["real", "binary", "equal"]),
    warm=st.booleans(),
)
def test_the_minimizer_satisfies_the_optimality_conditions(seed, n, A, style, warm):
    problem = quadratic(seed, n=n, A=A, style=style)
    t = problem.thresholds
    start = np.random.default_rng(seed).normal(size=len(t)) if warm else np.zeros(len(t))
    budget = Budget(10_000)
    w = problem.minimize(start, slack=1e-6, budget=budget)
    gradient = problem.correlations - problem.gram @ w
    assert not budget.spent
    assert (np.abs(gradient) <= t * (1.0 + 2e-6)).all()
    on = w != 0.0
    np.testing.assert_allclose(gradient[on], (np.sign(w) * t)[on], rtol=2e-6)


def test_every_step_lowers_the_objective():
    problem = quadratic(5, n=20, A=40, style="equal")
    w = np.random.default_rng(0).normal(size=80)
    values = [objective(problem, w)]
    for steps in range(1, 40):
        values.append(objective(problem, problem.minimize(w, slack=1e-9, budget=Budget(steps))))
    assert values == sorted(values, reverse=True)
    assert values[-1] < values[0]
    assert values[1] > values[-1]  # one step is not enough, so the order says something


def test_steps_are_few_and_do_not_grow_with_the_rows():
    for n in (50, 800):
        program = random_program("squared", "l1", 3, n=n, P=300, C=1, share=0.1)
        solution = solve(program)
        assert 0 < solution.iterations <= 40


def test_working_sets_too_large_for_a_gram_matrix_are_solved_without(monkeypatch):
    program = random_program("squared", "l1", 4, n=40, P=60, counts="random")
    usual = solve(program, tolerance=1e-9)
    monkeypatch.setattr("convexon.convex.solvers.active_set.LARGEST_GRAM", 8)
    other = solve(program, tolerance=1e-9)
    assert other.iterations > usual.iterations  # first-order steps
    assert other.certificate.primal == pytest.approx(usual.certificate.primal, abs=2e-9)


@pytest.mark.parametrize("columns", [[0, 1, 2, 3], [1, 2, 4, 7], [0, 13]], ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_columns_are_correlated_alike_whatever_their_gaps(columns, dtype):
    program = random_program("squared", "l1", 6, n=20, P=15, features="counts")
    program = replace(program, features=program.features.astype(dtype))
    dual = np.random.default_rng(0).normal(size=(20, 3))
    some = program.correlate(dual, np.array(columns))
    np.testing.assert_allclose(some, program.features[:, columns].T @ dual, atol=1e-12)
