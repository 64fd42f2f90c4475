"""Convexon's solver, which a certified duality gap ends and nothing else.

First-order steps find the support, Newton steps on the support finish. For the squared loss with
the l1 norm an active-set method takes their place, and where there are kinks besides the zeros of
the weights, an interior-point method. All work over a few of the columns at a time. The solver
never decides that it is done. It hands its iterate to `convexon.convex.bounds.gap`, which builds a
feasible dual point over all columns and evaluates both sides anew; the gap between them is what
ends the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import ThreadpoolController

from convexon.convex.bounds.gap import GapCertificate, certify
from convexon.convex.model.loss import FloatArray
from convexon.convex.model.program import ConvexProgram
from convexon.convex.solvers.active_set import ActiveSet
from convexon.convex.solvers.composite import Descent
from convexon.convex.solvers.interior import InteriorPoint
from convexon.convex.solvers.products import Maker, products_for
from convexon.convex.solvers.record import Budget, GapRecord
from convexon.convex.solvers.working_set import Method, Snapshot, minimize_over_all
from convexon.errors import InputError, SolverError, require_positive

_ROUNDING = 1e-13
"""Gap, as a share of the objective at zero, below which float64 cannot tell primal from dual.

It leaves room for what a certificate allows for rounding.
"""

_BALL_SHARE = 0.4
"""Of the gap to reach: what the penalty may cost that stands in for a ball."""

_LEAST_RHO = 1e-14
"""Share of rho_max below which a penalty is lost in rounding."""

Progress = Callable[[GapRecord], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Solution:
    """Weights, a feasible dual point, and the certificate that both together prove.

    Members
    -------
    W
        Weights, shape (P, C).
    dual
        The dual-feasible lambda, shape (n, C).
    certificate
        The gap between the two, recomputed after the solver had ended.
    history
        Certified gaps over time, oldest first.
    converged
        Whether the gap reached the tolerance.
    iterations, seconds
        What it took.
    n_screened
        Columns that were proved to be zero in every solution before it was found.
    """

    W: FloatArray
    dual: FloatArray
    certificate: GapCertificate
    history: tuple[GapRecord, ...]
    converged: bool
    iterations: int
    seconds: float
    n_screened: int = 0


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
    max_iterations: int = 100_000,
    progress: Progress | None = None,
    allow_unconverged: bool = False,
    device: str | None = None,
) -> Solution:
    """Solve a convex program to a certified duality gap.

    Parameters
    ----------
    program
        The program.
    tolerance
        See `gap_target`.
    start
        Weights to start from, (P, C), such as the solution for a neighbouring rho; zeros where
        None.
    max_seconds, max_iterations
        What may be spent: wall time, and inner steps of any kind.
    progress
        Called with each new record of the history.
    allow_unconverged
        Return the best that was found, with ``converged`` false, instead of raising.
    device
        Where the inner solver's products run: NumPy where None, torch on ``"cpu"`` or ``"cuda"``.

    Raises
    ------
    InputError
        If the tolerance or a limit is not positive, ``start`` has the wrong shape, or there is no
        such device.
    MissingToolError
        If the device needs torch or a GPU that is not there.
    SolverError
        If the budget was spent before the gap reached the tolerance, unless `allow_unconverged`.
    """
    require_positive(tolerance=tolerance, max_iterations=max_iterations, max_seconds=max_seconds)
    W = np.zeros((program.n_columns, program.n_outputs))
    if start is not None:
        W = program.checked(start, name="start").copy()
    maker = products_for(device)
    budget = Budget(max_iterations, max_seconds)
    # The products here are thin; a second BLAS thread gains little on them when it is free, and
    # when it is not, waiting for it costs many times the product itself.
    with _blas().limit(limits=1, user_api="blas"):
        judge = _Judge(program, tolerance, budget, progress)
        if program.radius is None:
            _minimize(judge, W, maker)
        else:
            judge = _minimize_in_ball(judge, W, maker)
        certificate, dual = _certified(program, judge, tolerance)
    solution = _solution(judge, certificate, dual, tolerance)
    if not (solution.converged or allow_unconverged):
        raise SolverError(_shortfall(solution, tolerance))
    return solution


def _certified(
    program: ConvexProgram, judge: _Judge, tolerance: float
) -> tuple[GapCertificate, FloatArray]:
    """Certify the judge's weights, without those that rounding has left instead of a zero.

    A neuron is active where a weight is not zero, so such dust would cost silicon. Where the gap
    needs it, it stays.
    """
    given = judge.W
    dust = _DUST * np.abs(given).max(initial=0.0)
    for W in (np.where(np.abs(given) > dust, given, 0.0), given):
        judge.W = W
        certificate, dual = certify(program, W, dual=judge.dual)
        if certificate.gap <= gap_target(program, certificate.primal, tolerance=tolerance):
            break
    return certificate, dual


_DUST = 1e-11
"""Share of the largest weight below which a weight is what rounding has left of zero."""


def _shortfall(solution: Solution, tolerance: float) -> str:
    return (
        f"duality gap must reach the tolerance {tolerance:.1e}, not "
        f"{solution.certificate.gap:.3e}, within {solution.iterations} iterations and "
        f"{solution.seconds:.1f} s; raise max_iterations or max_seconds, loosen tolerance, or pass "
        "allow_unconverged=True"
    )


def _solution(
    judge: _Judge, certificate: GapCertificate, dual: FloatArray, tolerance: float
) -> Solution:
    target = gap_target(judge.program, certificate.primal, tolerance=tolerance)
    return Solution(
        W=judge.W,
        dual=dual,
        certificate=certificate,
        history=tuple(judge.history),
        converged=certificate.gap <= target,
        iterations=judge.budget.iterations,
        seconds=judge.budget.seconds,
        n_screened=max((record.n_screened for record in judge.history), default=0),
    )


@cache
def _blas() -> ThreadpoolController:
    """The libraries that are loaded; looking for them takes longer than a small program does."""
    return ThreadpoolController()


def _minimize(judge: _Judge, W: FloatArray, maker: Maker) -> None:
    """Run the method that suits the program, until the judge is satisfied or the budget spent."""
    minimize_over_all(
        judge.program,
        _method_for(judge.program, judge.budget),
        W,
        maker=maker,
        judge=judge,
    )


def _minimize_in_ball(outer: _Judge, W: FloatArray, maker: Maker) -> _Judge:
    """Solve for ``rho = 0`` through a rho so small that, in the ball, its penalty hardly counts.

    A dual point that is feasible for rho' loses at most ``rho' * radius`` against one in the ball.
    Where the loss falls towards zero, so does the gap to reach, and with it rho'.
    """
    program, tolerance, budget = outer.program, outer.tolerance, outer.budget
    radius = program.radius if program.radius is not None else np.inf
    goal = gap_target(program, np.inf, tolerance=tolerance)
    while True:
        rho = _BALL_SHARE * goal / radius
        inner = replace(program, rho=rho, radius=None)
        judge = _Judge(inner, tolerance, budget, outer.progress)
        _minimize(judge, W, maker)
        certificate, _ = certify(program, judge.W, dual=judge.dual)
        target = gap_target(program, certificate.primal, tolerance=tolerance)
        if certificate.gap <= target or budget.spent or rho < _LEAST_RHO * program.rho_max():
            return judge
        W, goal = judge.W, min(0.1 * goal, target)


_METHODS: tuple[type[Method], ...] = (ActiveSet, Descent, InteriorPoint)
"""In the order in which they are preferred."""


def _method_for(program: ConvexProgram, budget: Budget) -> Method:
    """The first method that has all it needs of the loss and the penalty.

    Raises
    ------
    InputError
        If there is none; the text says what each of them lacks.
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


@dataclass(eq=False)
class _Judge:
    """Keeps the best weights and the best dual point that were seen, and the gap between them."""

    program: ConvexProgram
    tolerance: float
    budget: Budget
    progress: Progress | None
    W: FloatArray = field(init=False)
    dual: FloatArray | None = field(init=False, default=None)
    primal: float = field(init=False, default=np.inf)
    dual_value: float = field(init=False, default=-np.inf)
    history: list[GapRecord] = field(init=False, default_factory=list)

    def measure(self, snapshot: Snapshot) -> float:
        """Best gap so far, this snapshot included; its dual point is already feasible."""
        program = self.program
        primal = program.value_at(snapshot.W, snapshot.Z)
        if primal < self.primal:
            self.primal, self.W = primal, snapshot.W
        dual_value = program.loss.dual_value(snapshot.dual, program.encoded)
        if dual_value > self.dual_value:
            self.dual_value, self.dual = dual_value, snapshot.dual
        record = GapRecord(
            iteration=self.budget.iterations,
            seconds=self.budget.seconds,
            primal=self.primal,
            dual=self.dual_value,
            gap=self.primal - self.dual_value,
            n_working=snapshot.n_working,
            n_screened=snapshot.n_screened,
        )
        self.history.append(record)
        if self.progress is not None:
            self.progress(record)
        return record.gap

    def target(self) -> float:
        """Gap to reach. Half is left to rounding between this measurement and the certificate."""
        return gap_target(self.program, self.primal, tolerance=0.5 * self.tolerance)
