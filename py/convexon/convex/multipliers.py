"""The method of multipliers, for losses with kinks.

Splitting ``z = D W`` and putting the augmented Lagrangian in place of the loss leaves, at each
round, a program of the smooth family: its loss is a quadratically rounded hinge that the multiplier
shifts. The gradient at its solution is the next multiplier; it lies in the conjugate's domain
throughout, so each round yields a certificate (Rockafellar, "Augmented Lagrangians and applications
of the proximal point algorithm in convex programming", 1976).
"""

from __future__ import annotations

from convexon.convex.composite import Composite, minimize
from convexon.convex.loss import FloatArray, NonsmoothLoss
from convexon.convex.program import ConvexProgram
from convexon.convex.record import Budget
from convexon.convex.smooth import Envelope

_ACCURACY = 0.1
"""Inner gap as a share of the gap over the working set."""

_GROWTH = 3.0
"""Factor on the parameter after a round that shrank the gap by less than this."""

_MOST_GROWTH = 1e3
"""Largest parameter over its first value: beyond it a round is as hard as the program."""


class MethodOfMultipliers:
    """A `Method` for a `NonsmoothLoss`; it keeps its multiplier between working sets.

    Parameters
    ----------
    program, loss
        The program and its loss.
    budget
        Ends the rounds when it is spent.
    """

    first_size = 256

    def __init__(self, program: ConvexProgram, loss: NonsmoothLoss, *, budget: Budget) -> None:
        self._penalty = program.penalty
        self._loss = loss
        self._targets = program.encoded
        self._budget = budget
        self._multiplier: FloatArray | None = None
        # One row's margin counts in units of one, its multiplier in units of 1/n.
        self._parameter = 1.0 / program.n_rows
        self._growth = 1.0

    def dual_point(self, Z: FloatArray) -> FloatArray:
        """Minus the multiplier, or minus a subgradient before the first round."""
        if self._multiplier is None:
            self._multiplier = self._loss.subgradient(Z, self._targets)
        return -self._multiplier

    def improve(
        self, D: FloatArray, thresholds: FloatArray, W: FloatArray, *, tolerance: float
    ) -> FloatArray:
        """Rounds of the method until the gap over the columns ``D`` is at most ``tolerance``."""
        multiplier = -self.dual_point(D @ W)
        gap = self._gap(D, thresholds, W, multiplier)
        while gap > tolerance and not self._budget.spent:
            parameter = self._parameter * self._growth
            term = Envelope(self._loss, self._targets, multiplier, parameter)
            problem = Composite(D, term, self._penalty, thresholds)
            W = minimize(problem, W, tolerance=_ACCURACY * gap, budget=self._budget)
            multiplier = term.gradient(D @ W)
            before, gap = gap, self._gap(D, thresholds, W, multiplier)
            if gap > before / _GROWTH:
                self._growth = min(self._growth * _GROWTH, _MOST_GROWTH)
        self._multiplier = multiplier
        return W

    def _gap(
        self, D: FloatArray, thresholds: FloatArray, W: FloatArray, multiplier: FloatArray
    ) -> float:
        """Duality gap of the program itself over the columns ``D``."""
        ratio = self._penalty.dual_ratio(D.T @ multiplier, thresholds)
        scaled = multiplier / max(1.0, ratio)
        primal = self._loss.value(D @ W, self._targets) + self._penalty.value(W, thresholds)
        return primal + self._loss.conjugate(len(D) * scaled, self._targets)
