"""Gap-safe screening: what is dropped is zero at the optimum, and a radius too small is caught."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convex_programs import LOSS_NAMES, PENALTY_NAMES, random_program
from convexon.convex.solvers.screening import Screen
from convexon.convex.solvers.solver import solve

SMOOTH = [kind for kind in LOSS_NAMES if kind != "hinge"]


def wrongly_screened(program, solution):
    """Columns that are active at the optimum, yet dropped at some point on the way there."""
    active = set(np.flatnonzero(np.abs(solution.W).max(axis=1) > 1e-5))
    wrong = set()
    for blend in (0.0, 0.3, 0.9, 0.999):
        W = blend * solution.W
        Z = program.predict(W)
        dual = -program.loss.subgradient(Z, program.encoded)
        ratios = program.penalty.dual_ratios(program.correlate(dual), program.weights)
        scale = max(1.0, ratios.max() / program.rho)
        primal = program.value_at(W, Z)
        gap = primal - program.loss.dual_value(dual / scale, program.encoded)
        screen = Screen(program, program.loss)
        screen.narrow(ratios / scale, gap=gap, primal=primal)
        wrong |= active - set(screen.kept)
    return wrong


@settings(derandomize=True, max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(SMOOTH),
    penalty=st.sampled_from(PENALTY_NAMES),
    seed=st.integers(0, 2**31),
    share=st.sampled_from([0.05, 0.3, 0.8]),
)
def test_no_screened_column_is_active_at_the_optimum(kind, penalty, seed, share):
    program = random_program(kind, penalty, seed, n=20, P=30, share=share, counts="random")
    assert not wrongly_screened(program, solve(program, tolerance=1e-10))


@pytest.mark.parametrize("penalty", PENALTY_NAMES)
@pytest.mark.parametrize("kind", SMOOTH)
def test_a_radius_too_small_is_caught(kind, penalty, monkeypatch):
    programs = [random_program(kind, penalty, seed, n=20, P=30, share=0.05) for seed in range(8)]
    solved = [(program, solve(program, tolerance=1e-10)) for program in programs]
    monkeypatch.setattr(
        "convexon.convex.solvers.screening.safe_radius", lambda gap, smoothness: 0.0
    )
    assert any(wrongly_screened(*pair) for pair in solved)


@pytest.mark.parametrize("penalty", PENALTY_NAMES)
@pytest.mark.parametrize("kind", SMOOTH)
def test_screening_drops_columns_on_the_way_and_says_how_many(kind, penalty, monkeypatch):
    monkeypatch.setattr("convexon.convex.solvers.working_set._UNSCREENED", 0)
    program = random_program(kind, penalty, 5, n=60, P=400, share=0.6)
    solution = solve(program, tolerance=1e-9)
    counts = [record.n_screened for record in solution.history]
    assert solution.n_screened == max(counts) > 0
    assert solution.certificate.n_active <= 400 - max(counts)
    assert solution.certificate.n_columns == 400
    assert solution.converged
