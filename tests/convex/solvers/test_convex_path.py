"""Paths of rho."""

from dataclasses import replace

import numpy as np
import pytest

from convex_programs import LOSS_NAMES, PENALTY_NAMES, random_program
from convexon.convex.solvers.solver import path, solve
from convexon.errors import InputError

BOTH = [(kind, penalty) for kind in LOSS_NAMES for penalty in PENALTY_NAMES]


@pytest.mark.parametrize(("kind", "penalty"), BOTH)
def test_a_path_holds_the_solution_of_each_rho(kind, penalty):
    program = random_program(kind, penalty, 1, counts="random")
    rhos = program.rho_max() * np.array([0.05, 1.2, 0.3])
    solutions = path(program, rhos, tolerance=1e-8)
    assert [s.certificate.rho for s in solutions] == list(rhos)
    assert not solutions[1].W.any()
    for rho, solution in zip(rhos, solutions, strict=True):
        alone = solve(replace(program, rho=rho), tolerance=1e-8)
        assert solution.converged
        assert solution.certificate.primal == pytest.approx(alone.certificate.primal, abs=2e-8)


@pytest.mark.parametrize("rhos", [[], [0.1, 0.0], [np.nan]])
def test_bad_paths_are_refused(rhos):
    with pytest.raises(InputError, match=r"^rhos must be positive finite numbers"):
        path(random_program("squared", "l1", 3), rhos)
