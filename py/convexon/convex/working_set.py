"""The working-set loop: solve over few columns, then look at all of them.

Of thousands of columns the solution uses few. The inner solver sees only a working set; after each
round the dual point is scaled into feasibility over *all* columns, so the gap that ends the loop is
one of the whole program, never of the working set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from convexon.convex.loss import FloatArray
from convexon.convex.program import ConvexProgram
from convexon.convex.record import Budget

_FORCING = 0.3
"""Inner tolerance as a share of the gap over all columns: more would be wasted on this set."""


class Method(Protocol):
    """Solves a program over a few of its columns."""

    first_size: int
    """Columns that the first working set should have: fewer would save nothing."""

    def improve(
        self, D: FloatArray, thresholds: FloatArray, W: FloatArray, *, tolerance: float
    ) -> FloatArray:
        """Weights (A, C), from ``W``, whose gap over the columns ``D`` is at most ``tolerance``."""

    def dual_point(self, Z: FloatArray) -> FloatArray:
        """The method's dual point (n, C) at ``Z``, in the conjugate's domain, unscaled."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """State after a round: weights, predictions, and a dual point feasible over all columns.

    Members
    -------
    W, Z
        Weights (P, C) and their predictions (n, C).
    dual
        The method's dual point, scaled, (n, C).
    n_working
        Columns in the working set of this round.
    """

    W: FloatArray
    Z: FloatArray
    dual: FloatArray
    n_working: int


def minimize_over_all(
    program: ConvexProgram,
    method: Method,
    W: FloatArray,
    *,
    measure: Callable[[Snapshot], float],
    target: Callable[[], float],
    budget: Budget,
) -> None:
    """Solve ``program`` over all its columns, by ``method`` on working sets of them.

    Parameters
    ----------
    program
        The program.
    method
        What solves it over a working set.
    W
        Where to start, (P, C).
    measure
        Called with each round's snapshot; returns the best gap so far over all columns.
    target
        The gap at which to stop.
    budget
        Ends the loop when it is spent.
    """
    thresholds = program.rho * program.weights
    working = np.zeros(0, dtype=np.intp)
    size, inner_gap = method.first_size, np.inf
    while True:
        Z = program.predict(W)
        dual = method.dual_point(Z)
        ratios = program.penalty.dual_ratios(program.correlate(dual), thresholds)
        scaled = dual / max(1.0, float(ratios.max(initial=0.0)))
        gap = max(measure(Snapshot(W, Z, scaled, len(working))), 0.0)
        if gap <= target() or budget.spent or program.n_columns == 0:
            return

        active = np.flatnonzero(W.any(axis=1))
        chosen = _chosen(ratios, active, size=max(size, 2 * len(active)))
        # The same set again means that this set was not solved well enough yet.
        repeated = np.array_equal(chosen, working)
        if len(chosen) == program.n_columns:
            # The inner gap is the program's own: stop once a decade, so that the history shows it.
            inner_gap = max(0.1 * gap, 0.9 * target())
        else:
            inner_gap = max(_FORCING * min(gap, inner_gap if repeated else gap), 0.2 * target())
        size = 2 * len(chosen) if repeated else len(chosen)
        working = chosen
        D = np.asfortranarray(program.take(working))
        scales = _scales(D)
        D /= scales
        start, W = W[working] * scales[:, None], np.zeros_like(W)
        scaled_W = method.improve(D, thresholds[working] / scales, start, tolerance=inner_gap)
        W[working] = scaled_W / scales[:, None]


def _scales(D: FloatArray) -> FloatArray:
    """Powers of two that bring the largest magnitude of each column into [1/2, 1).

    The program in ``D_j / s_j``, ``s_j W_j`` and ``w_j / s_j`` is the same program, and powers of
    two do not round. What the method meets is then independent of the unit in which a column
    counts.
    """
    largest = np.abs(D).max(axis=0, initial=0.0)
    _, exponents = np.frexp(np.where(largest > 0.0, largest, 0.5))
    return np.ldexp(1.0, exponents)


def _chosen(ratios: FloatArray, active: np.ndarray, *, size: int) -> np.ndarray:
    """Active columns, and those nearest to or furthest beyond their constraint; sorted."""
    if size >= len(ratios):
        return np.arange(len(ratios))
    priority = ratios.copy()
    priority[active] = np.inf
    return np.sort(np.argpartition(-priority, size - 1)[:size])
