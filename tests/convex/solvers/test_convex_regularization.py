"""Paths of rho, and rho = 0 in a ball."""

from dataclasses import replace

import numpy as np
import pytest

from convex_programs import LOSS_NAMES, PENALTY_NAMES, random_program
from convexon.convex.bounds.gap import certify
from convexon.convex.model.losses import Squared
from convexon.convex.model.penalty import L1
from convexon.convex.model.program import ConvexProgram
from convexon.convex.solvers.regularization import path
from convexon.convex.solvers.solver import solve
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


@pytest.mark.parametrize(("kind", "penalty"), BOTH)
def test_rho_zero_is_certified_in_a_ball(kind, penalty):
    program = replace(random_program(kind, penalty, 4, n=40, P=5), rho=0.0, radius=1e3)
    solution = solve(program)
    certificate = solution.certificate
    assert solution.converged
    assert (certificate.rho, certificate.radius) == (0.0, 1e3)
    assert program.penalty.value(solution.W, program.weights) < 1e3
    assert certificate.gap <= 1e-6 * min(1.0, certificate.primal)
    # The bound holds at other points of the ball, near the optimum and at its border.
    rng = np.random.default_rng(5)
    for size in (1e-3, 1.0, None):
        W = solution.W + (size or 1.0) * rng.normal(size=solution.W.shape)
        if size is None:
            W *= 1e3 / program.penalty.value(W, program.weights)
        assert program.objective(W) >= certificate.dual


def test_rho_zero_is_least_squares():
    rng = np.random.default_rng(6)
    D, y = rng.normal(size=(30, 4)), rng.normal(size=30)
    program = ConvexProgram(
        features=D, targets=y, loss=Squared(), penalty=L1(), rho=0.0, radius=100.0
    )
    best = np.linalg.lstsq(D, y)[0]
    np.testing.assert_allclose(solve(program, tolerance=1e-8).W[:, 0], best, atol=1e-3)
    # No weights in a ball too small for that solution do better than it.
    small, _ = certify(replace(program, radius=1e-3), best[:, None])
    assert 0.0 <= small.gap <= 1e-12


def test_a_certificate_without_rho_names_no_ball():
    assert solve(random_program("squared", "l1", 7)).certificate.radius is None
