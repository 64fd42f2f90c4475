"""Convexon's solver against cone solvers behind CVXPY, on the same programs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convex_programs import FEATURES, LOSS_NAMES, PENALTY_NAMES, random_program
from convexon.convex.solvers.crosscheck import ConeSolver, solve_with_cvxpy
from convexon.convex.solvers.solver import solve


@pytest.mark.parametrize("kind", LOSS_NAMES)
@pytest.mark.parametrize("penalty", PENALTY_NAMES)
@pytest.mark.parametrize("features", FEATURES)
@settings(derandomize=True, max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**31), share=st.sampled_from([0.01, 0.1, 0.5]))
def test_objective_agrees_with_clarabel(kind, penalty, features, seed, share):
    program = random_program(
        kind, penalty, seed, n=20, P=12, C=2, share=share, features=features, counts="random"
    )
    W, objective = solve_with_cvxpy(program, solver=ConeSolver.CLARABEL)
    primal = solve(program, tolerance=1e-8).certificate.primal
    assert primal == pytest.approx(objective, rel=1e-6)
    assert primal <= program.objective(W) * (1 + 1e-7)


@pytest.mark.parametrize("penalty", PENALTY_NAMES)
@pytest.mark.parametrize("kind", LOSS_NAMES)
def test_objective_agrees_with_scs(kind, penalty):
    if (kind, penalty) == ("hinge", "group_linf"):
        kind = "logistic"  # SCS gives up on this linear program
    program = random_program(kind, penalty, 6, n=15, P=8, C=2, share=0.2, counts="random")
    _, objective = solve_with_cvxpy(program, solver=ConeSolver.SCS)
    assert solve(program).certificate.primal == pytest.approx(objective, rel=1e-4)
