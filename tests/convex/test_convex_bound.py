"""The universal lower bound: known values, validity, and equality for a complete dictionary."""

import itertools

import cvxpy as cp
import numpy as np
import pytest
from convex_programs import random_program
from hypothesis import given, settings
from hypothesis import strategies as st

from convexon.convex import (
    L1,
    ConvexProgram,
    GroupL2,
    LossKind,
    PenaltyKind,
    Squared,
    loss_for,
    program_lower_bound,
    solve,
    squared_arrangement,
    universal_lower_bound,
)
from convexon.errors import InputError


def test_known_values():
    assert squared_arrangement(np.ones(5), beta=1.0) == pytest.approx(0.9, abs=1e-14)
    labels = [1, 1, 1, -1, -1]
    assert squared_arrangement(labels, beta=2.0) == pytest.approx(4 / 3 + 1, abs=1e-14)


@pytest.mark.parametrize("beta", [0.0, 0.1, 1.0, 100.0])
@pytest.mark.parametrize("seed", range(4))
def test_closed_form_agrees_with_a_cone_solver(seed, beta):
    y = np.random.default_rng(seed).normal(size=9).round(seed % 3)
    d = cp.Variable(9)
    penalty = cp.max(cp.pos(d)) + cp.max(cp.pos(-d))
    problem = cp.Problem(cp.Minimize(0.5 * cp.sum_squares(d - y) + beta * penalty))
    problem.solve(solver="CLARABEL")
    assert squared_arrangement(y, beta=beta) == pytest.approx(problem.value, abs=1e-6)


@settings(derandomize=True, max_examples=24, deadline=None)
@given(
    kind=st.sampled_from(LossKind),
    penalty=st.sampled_from(PenaltyKind),
    seed=st.integers(0, 2**31),
    share=st.sampled_from([0.01, 0.2, 0.8]),
)
def test_bound_is_below_the_optimum_of_any_dictionary(kind, penalty, seed, share):
    program = random_program(kind, penalty, seed, n=12, P=10, share=share)
    certificate = solve(program, tolerance=1e-9).certificate
    # The optimum lies in [dual, primal].
    assert program_lower_bound(program) <= certificate.primal


TARGETS = {
    LossKind.SQUARED: np.array([1.0, -2.0, 0.5, 0.3, -0.1]),
    LossKind.LOGISTIC: np.array([1, 1, 1, -1, -1]),
    LossKind.HINGE: np.array([[1, -1], [1, -1], [-1, 1], [-1, 1], [-1, -1]]),
    LossKind.SOFTMAX: np.array([0, 0, 1, 1, 2]),
}


@pytest.mark.parametrize("kind", list(LossKind))
@pytest.mark.parametrize("rho", [0.01, 0.1, 0.3])
def test_complete_dictionary_attains_the_bound(kind, rho):
    patterns = np.array(list(itertools.product([0, 1], repeat=5))).T
    program = ConvexProgram(
        features=patterns, targets=TARGETS[kind], loss=loss_for(kind), penalty=L1(), rho=rho
    )
    solution = solve(program, tolerance=1e-9)
    assert program_lower_bound(program) == pytest.approx(solution.certificate.primal, abs=1e-8)


def test_counts_are_scaled_by_their_largest_entry():
    rng = np.random.default_rng(3)
    counts = rng.integers(0, 5, (12, 30))
    program = ConvexProgram(
        features=counts, targets=rng.choice([-1, 1], 12), loss=loss_for(LossKind.LOGISTIC),
        penalty=L1(), rho=0.05,
    )  # fmt: skip
    assert program_lower_bound(program) <= solve(program).certificate.primal


def test_group_bound_is_weaker_than_the_l1_bound():
    common = {"loss": loss_for(LossKind.SOFTMAX), "targets": [0, 1, 2], "rho": 0.1}
    group = universal_lower_bound(penalty=GroupL2(), **common)
    assert 0 < group < universal_lower_bound(penalty=L1(), **common)


def test_bad_input_is_refused():
    with pytest.raises(InputError, match=r"^rho must be positive and finite, not 0\.0$"):
        universal_lower_bound(loss=Squared(), targets=[1.0], penalty=L1(), rho=0.0)
    with pytest.raises(InputError, match=r"^beta must be non-negative and finite, not -1\.0$"):
        squared_arrangement([1.0], beta=-1.0)
    with pytest.raises(InputError, match=r"^y must be a finite vector, not of shape \(1, 1\)$"):
        squared_arrangement([[1.0]], beta=1.0)
    program = ConvexProgram(
        features=[[-1.0], [1.0]], targets=[1.0, 2.0], loss=Squared(), penalty=L1(), rho=0.1
    )
    with pytest.raises(InputError, match=r"^features must be non-negative for the universal bou"):
        program_lower_bound(program)
