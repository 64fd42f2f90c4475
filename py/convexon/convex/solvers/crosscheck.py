"""The same program through CVXPY, as an independent opinion.

The objective is written in CVXPY's own atoms from the mathematical statement, not from
`convexon.convex.model.loss`, and solved by an interior-point method (Clarabel) or a first-order one
(SCS) that share nothing with Convexon's solver.
"""

from __future__ import annotations

import warnings
from enum import Enum

import cvxpy as cp
import numpy as np

from convexon.convex.model.loss import FloatArray, LossKind
from convexon.convex.model.penalty import PenaltyKind
from convexon.convex.model.program import ConvexProgram
from convexon.errors import SolverError


class ConeSolver(Enum):
    """Cone solvers behind CVXPY that the cross-check can use."""

    CLARABEL = "CLARABEL"
    SCS = "SCS"


_OPTIONS: dict[ConeSolver, dict[str, float | int]] = {
    ConeSolver.CLARABEL: {"tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10, "tol_feas": 1e-10},
    ConeSolver.SCS: {"eps_abs": 1e-7, "eps_rel": 1e-7, "max_iters": 200_000},
}


def solve_with_cvxpy(
    program: ConvexProgram, *, solver: ConeSolver = ConeSolver.CLARABEL
) -> tuple[FloatArray, float]:
    """Solve ``program`` by a cone solver.

    Returns
    -------
    tuple[FloatArray, float]
        The weights (P, C), and the objective as the cone solver reports it.

    Raises
    ------
    SolverError
        If the cone solver fails.
    """
    W = cp.Variable((program.n_columns, program.n_outputs))
    Z = program.take(np.arange(program.n_columns)) @ W
    objective = _loss(program, Z) + program.rho * _penalty(program, W)
    problem = cp.Problem(cp.Minimize(objective))
    try:
        with warnings.catch_warnings():
            # A status short of optimal is dealt with below.
            warnings.filterwarnings("ignore", message="Solution may be inaccurate")
            problem.solve(solver=solver.value, **_OPTIONS[solver])
    except cp.error.SolverError as error:
        raise SolverError(f"{solver.value} failed on the program: {error}") from error
    if problem.status not in {cp.OPTIMAL, cp.OPTIMAL_INACCURATE} or W.value is None:
        raise SolverError(f"{solver.value} ended with status {problem.status!r} on the program")
    return np.asarray(W.value, dtype=np.float64), float(problem.value)


def _loss(program: ConvexProgram, Z: cp.Expression) -> cp.Expression:
    Y = program.encoded.values
    share = program.encoded.counts / program.encoded.total
    match program.loss.kind:
        case LossKind.SQUARED:
            return cp.sum(cp.multiply(share[:, None], cp.square(Z - Y))) / 2
        case LossKind.LOGISTIC:
            return cp.sum(cp.multiply(share[:, None], cp.logistic(-cp.multiply(Y, Z))))
        case LossKind.HINGE:
            return cp.sum(cp.multiply(share[:, None], cp.pos(1 - cp.multiply(Y, Z))))
        case LossKind.SOFTMAX:
            own = cp.sum(cp.multiply(Y, Z), axis=1)
            return share @ (cp.log_sum_exp(Z, axis=1) - own)


def _penalty(program: ConvexProgram, W: cp.Variable) -> cp.Expression:
    order = {PenaltyKind.L1: 1, PenaltyKind.GROUP_L2: 2, PenaltyKind.GROUP_LINF: "inf"}[
        program.penalty.kind
    ]
    return cp.sum(cp.multiply(program.weights, cp.norm(W, order, axis=1)))
