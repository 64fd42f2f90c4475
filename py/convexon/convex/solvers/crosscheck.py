"""The same program through CVXPY, as an independent opinion.

The objective is written in CVXPY's own atoms from the mathematical statement, not from
`convexon.convex.model.loss`, and solved by an interior-point method (Clarabel) or a first-order one
(SCS) that share nothing with Convexon's solver.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from enum import Enum
from typing import TypeVar

import cvxpy as cp
import numpy as np

from convexon.convex.model.loss import FloatArray
from convexon.convex.model.program import ConvexProgram
from convexon.errors import InputError, SolverError


class ConeSolver(Enum):
    """Cone solvers behind CVXPY that the cross-check can use."""

    CLARABEL = "clarabel"
    SCS = "scs"


_OPTIONS: dict[ConeSolver, dict[str, float | int]] = {
    ConeSolver.CLARABEL: {"tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10, "tol_feas": 1e-10},
    ConeSolver.SCS: {"eps_abs": 1e-7, "eps_rel": 1e-7, "max_iters": 200_000},
}


def solve_with_cvxpy(
    program: ConvexProgram, *, solver: ConeSolver = ConeSolver.CLARABEL
) -> tuple[FloatArray, float]:
    """Return the weights (P, C) by a cone solver, and the objective as it reports it.

    Raises `InputError` if the loss or the penalty is none that this module states; and
    `SolverError` if the cone solver fails.
    """
    W = cp.Variable((program.n_columns, program.n_outputs))
    Z = program.take(np.arange(program.n_columns)) @ W
    objective = _loss(program, Z) + program.rho * _penalty(program, W)
    problem = cp.Problem(cp.Minimize(objective))
    try:
        with warnings.catch_warnings():
            # A status short of optimal is dealt with below.
            warnings.filterwarnings("ignore", message="Solution may be inaccurate")
            problem.solve(solver=solver.name, **_OPTIONS[solver])
    except cp.error.SolverError as error:
        raise SolverError(f"{solver.name} failed on the program: {error}") from error
    if problem.status not in {cp.OPTIMAL, cp.OPTIMAL_INACCURATE} or W.value is None:
        raise SolverError(f"{solver.name} ended with status {problem.status!r} on the program")
    return np.asarray(W.value, dtype=np.float64), float(problem.value)


def _loss(program: ConvexProgram, Z: cp.Expression) -> cp.Expression:
    share = program.encoded.counts / program.encoded.total
    return _stated(_LOSSES, "loss", program.loss.name)(share, program.encoded.values, Z)


def _penalty(program: ConvexProgram, W: cp.Variable) -> cp.Expression:
    order = _stated(_ORDERS, "penalty", program.penalty.name)
    return cp.sum(cp.multiply(program.weights, cp.norm(W, order, axis=1)))


def _softmax(share: FloatArray, Y: FloatArray, Z: cp.Expression) -> cp.Expression:
    return share @ (cp.log_sum_exp(Z, axis=1) - cp.sum(cp.multiply(Y, Z), axis=1))


_LOSSES: Mapping[str, Callable[[FloatArray, FloatArray, cp.Expression], cp.Expression]] = {
    "squared": lambda s, Y, Z: cp.sum(cp.multiply(s[:, None], cp.square(Z - Y))) / 2,
    "logistic": lambda s, Y, Z: cp.sum(cp.multiply(s[:, None], cp.logistic(-cp.multiply(Y, Z)))),
    "hinge": lambda s, Y, Z: cp.sum(cp.multiply(s[:, None], cp.pos(1 - cp.multiply(Y, Z)))),
    "softmax": _softmax,
}
"""Mean loss from the rows' shares (n,), targets and predictions (n, C)."""

_ORDERS: Mapping[str, int | str] = {"l1": 1, "group_l2": 2, "group_linf": "inf"}
"""Order of each penalty's row norm."""

_T = TypeVar("_T")


def _stated(known: Mapping[str, _T], what: str, name: str) -> _T:
    if name not in known:
        raise InputError(f"{what} must be one of {', '.join(known)} to be cross-checked: {name!r}")
    return known[name]
