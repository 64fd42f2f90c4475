"""Convexon's solver, which a certified duality gap ends and nothing else.

First-order steps find the support, for softmax with row groups in the metric of second moments,
and Newton steps on the support finish. For the squared loss with
the l1 norm an active-set method takes their place, for other losses of one score with that norm
successive quadratic programs, and where there are kinks besides the zeros of
the weights, an interior-point method. All work over a few of the columns at a time. The solver
never decides that it is done. It hands its iterate to `convexon.convex.bounds.gap`, which builds a
feasible dual point over all columns and evaluates both sides anew; the gap between them is what
ends the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import ThreadpoolController

from convexon.convex.bounds.gap import GapCertificate, certify
from convexon.convex.model.loss import FloatArray
from convexon.convex.model.program import ConvexProgram
from convexon.convex.solvers.active_set import ActiveSet
from convexon.convex.solvers.composite import Descent
from convexon.convex.solvers.interior import InteriorPoint
from convexon.convex.solvers.products import products_for
from convexon.convex.solvers.record import Budget, GapRecord
from convexon.convex.solvers.successive import SuccessiveQuadratics
from convexon.convex.solvers.working_set import Judge, Method, minimize_over_all
from convexon.errors import InputError, SolverError, require_positive

_ROUNDING = 1e-13
"""Gap, as a share of the objective at zero, below which float64 cannot tell primal from dual.

It leaves room for what a certificate allows for rounding.
"""

_LEAST_RHO = 1e-12
"""Share of rho_max below which a program is refused: its penalty is lost in rounding."""

_LOOSE = 1e-4
"""Tolerance from which products in float32 do; the gap itself is taken in float64."""

_LARGE = 1 << 22
"""Entries of a dictionary from which they pay.

Where to stop, and what is kept of a loose solution, then depends on the processor's last digits.
Smaller programs select the same columns on every machine.
"""

MAX_ITERATIONS = 100_000
"""Inner steps of any kind that a solution may take."""

Progress = Callable[[GapRecord], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Solution:
    """Weights, a feasible dual point, and the certificate that both together prove."""

    W: FloatArray  # weights, shape (P, C)
    dual: FloatArray  # the dual-feasible lambda, shape (n, C)
    certificate: GapCertificate  # the gap between the two, recomputed after the solver had ended
    history: tuple[GapRecord, ...]  # measured gaps over time, oldest first
    converged: bool  # whether the gap reached the tolerance
    iterations: int
    seconds: float
    n_screened: int = 0  # columns that were proved to be zero in every solution before it was found


def gap_target(program: ConvexProgram, primal: float, *, tolerance: float) -> float:
    """Gap at which a program counts as solved.

    It is ``tolerance * min(1, primal)``, so that the absolute gap is at most the tolerance and,
    where the optimum is below one, the relative gap is too; but no less than what float64 resolves.
    """
    at_zero = program.loss.value(np.zeros_like(program.encoded.values), program.encoded)
    return max(tolerance * min(1.0, primal), _ROUNDING * at_zero)


def solve(
    program: ConvexProgram,
    *,
    tolerance: float = 1e-6,
    start: ArrayLike | None = None,
    max_seconds: float | None = None,
    progress: Progress | None = None,
    device: str | None = None,
) -> Solution:
    """Solve a convex program to a certified duality gap: see `gap_target`.

    Raises `InputError` if the tolerance or the time is not positive, ``start`` has the wrong shape
    or is not finite, rho is so small that rounding hides it, or there is no such device;
    `MissingToolError` if the device needs torch or a GPU that is not there; and `SolverError` if
    the gap does not reach the tolerance, and no time was given.

    Parameters
    ----------
    start : weights (P, C), such as the solution for a neighbouring rho; zeros where None, or where
        the objective there is lower
    max_seconds : wall time, after which the best that was found is returned, ``converged`` or not
    progress : called with each new record of the history
    device : where products run: NumPy where None, torch on ``"cpu"`` or ``"cuda"``
    """
    require_positive(tolerance=tolerance, max_seconds=max_seconds)
    maker = products_for(device)
    budget = Budget(MAX_ITERATIONS, max_seconds)
    # The products here are thin; a second BLAS thread gains little on them when it is free, and
    # when it is not, waiting for it costs many times the product itself.
    with _blas().limit(limits=1, user_api="blas"):
        W = _first_weights(program, start)
        # Half is left to rounding between the judge's measurement and the certificate.
        target = partial(gap_target, program, tolerance=0.5 * tolerance)
        judge = Judge(program, budget, target, progress)
        method = _method_for(program, budget)
        single = tolerance >= _LOOSE and program.n_rows * program.n_columns >= _LARGE
        minimize_over_all(method, W, maker=maker, judge=judge, single=single)
        certificate, dual = _certified(judge, tolerance)
    needed = gap_target(program, certificate.primal, tolerance=tolerance)
    converged = certificate.gap <= needed
    if not converged and max_seconds is None:
        raise SolverError(
            f"duality gap must reach {needed:.1e}, the tolerance {tolerance:g} relative to an "
            f"objective of {min(1.0, certificate.primal):.1e}, not {certificate.gap:.1e}, in "
            f"{budget.iterations} iterations: raise tolerance or rho"
        )
    return Solution(
        W=judge.W,
        dual=dual,
        certificate=certificate,
        history=tuple(judge.history),
        converged=converged,
        iterations=budget.iterations,
        seconds=budget.seconds,
        n_screened=max((record.n_screened for record in judge.history), default=0),
    )


def path(
    program: ConvexProgram,
    rhos: Iterable[float],
    *,
    tolerance: float = 1e-6,
    start: ArrayLike | None = None,
    max_seconds: float | None = None,
    progress: Progress | None = None,
) -> tuple[Solution, ...]:
    """Solve a program for each of several rho, in their order; its own rho does not matter.

    Each solution starts from that of the next larger rho, which has fewer active columns, and the
    first from ``start``. The options are those of `solve`, for each rho, and so is what is raised;
    an `InputError` says where a rho is not positive and finite, or there is none.
    """
    values = [float(rho) for rho in rhos]
    if not values or not all(0.0 < rho < np.inf for rho in values):
        raise InputError(f"rhos must be positive finite numbers, one or more, not {values!r}")
    solved: dict[float, Solution] = {}
    for rho in sorted(set(values), reverse=True):
        solved[rho] = solve(
            replace(program, rho=rho),
            tolerance=tolerance,
            start=start,
            max_seconds=max_seconds,
            progress=progress,
        )
        start = solved[rho].W
    return tuple(solved[rho] for rho in values)


def _first_weights(program: ConvexProgram, start: ArrayLike | None) -> FloatArray:
    """Weights (P, C) to begin with, once rho is known not to be lost in rounding."""
    lost = program.rho < _LEAST_RHO * program.rho_max_bound()  # a bound costs less
    if lost and program.rho < (least := _LEAST_RHO * program.rho_max()):
        raise InputError(
            f"rho must be at least {least:.1e} here, {_LEAST_RHO:g} of the strength at which every "
            f"weight is zero, not {program.rho!r}: rounding would hide the penalty"
        )
    zeros = np.zeros((program.n_columns, program.n_outputs))
    if start is None:
        return zeros
    given = program.checked(start, name="start")
    # Where zeros are better, the curvature at the start may tell nothing.
    return given.copy() if program.objective(given) <= program.objective(zeros) else zeros


def _certified(judge: Judge, tolerance: float) -> tuple[GapCertificate, FloatArray]:
    """Certify the judge's weights, without those that rounding has left instead of a zero.

    A neuron is active where a weight is not zero, so such dust would cost silicon. Where the gap
    needs it, it stays.
    """
    program, given = judge.program, judge.W
    dust = _DUST * np.abs(given).max(initial=0.0)
    for W in (np.where(np.abs(given) > dust, given, 0.0), given):
        judge.W = W
        certificate, dual = certify(program, W, dual=judge.dual)
        if certificate.gap <= gap_target(program, certificate.primal, tolerance=tolerance):
            break
    return certificate, dual


_DUST = 1e-11
"""Share of the largest weight below which a weight is what rounding has left of zero."""


@cache
def _blas() -> ThreadpoolController:
    """The libraries that are loaded; looking for them takes longer than a small program does."""
    return ThreadpoolController()


_METHODS: tuple[type[Method], ...] = (ActiveSet, SuccessiveQuadratics, Descent, InteriorPoint)
"""In the order in which they are preferred."""


def _method_for(program: ConvexProgram, budget: Budget) -> Method:
    """The first method that has all it needs of the loss and the penalty.

    Raises `InputError` if there is none; the text says what each of them lacks.
    """
    lacking = []
    for method in _METHODS:
        lacks = method.lacks(program.loss, program.penalty)
        if lacks is None:
            return method(program, budget=budget)
        lacking.append(f"{method.__name__} needs {lacks}")
    raise InputError(
        f"loss {program.loss.name} and penalty {program.penalty.name} have no solver: "
        + "; ".join(lacking)
    )
