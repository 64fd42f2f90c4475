"""The method for the squared loss with the l1 norm: exact, on second moments of the columns.

Over a working set the program is ``1/2 w^T G w - c^T w + sum_j t_j |w_j|`` for each output, with
the Gram matrix ``G = D^T S D``, the correlations ``c = D^T S y`` and the shares S of the rows, so
that nothing after these depends on the number of rows. On a support with given signs it is a linear
system. The search for both goes from one such piece to a lower one until no column that is left out
could lower the objective (after Lee, Battle, Raina and Ng, "Efficient sparse coding algorithms",
2007; here columns enter in blocks).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dposv

from convexon.convex.model.loss import FloatArray, Loss
from convexon.convex.model.penalty import Cone, Penalty
from convexon.convex.model.program import ConvexProgram
from convexon.convex.solvers.composite import Descent
from convexon.convex.solvers.products import Products
from convexon.convex.solvers.record import Budget
from convexon.convex.solvers.working_set import Sizes

_RIDGE = 1e-12
"""Share of the largest diagonal entry that keeps systems of dependent columns definite.

Directions are of descent all the same, and along what dependence leaves open they are long: the
search stops where a weight gets to zero, and goes on without it.
"""

_SMALLEST_BLOCK = 16
"""Columns that may enter at once while there are fewer than that; later, as many as there are."""

_STEPS = tuple(0.5**k for k in range(6))
"""Steps that are tried before the one at which the first weight gets to zero."""

_CARE = 0.1
"""Share of the tolerance to which a working set is solved: a step costs less than another round."""

_ROUNDING = 1e-14
"""Share of the largest correlation below which a gradient is rounding."""

LARGEST_GRAM = 6000
"""Columns beyond which the Gram matrix is not formed: 288 MB."""


@dataclass(frozen=True, eq=False)
class Quadratic:
    """``1/2 w^T G w - c^T w + sum_j t_j |w_j|`` for one output."""

    gram: FloatArray  # G, symmetric and positive semidefinite, (A, A)
    correlations: FloatArray  # c, (A,)
    thresholds: FloatArray  # t, positive, (A,)

    def minimize(self, w: FloatArray, *, slack: float, budget: Budget) -> FloatArray:
        """The minimizer, from ``w`` (A,).

        It ends where each condition of optimality holds to ``slack`` of its threshold, or rounding
        lets nothing fall further, or the budget is spent.
        """
        tolerated = slack * self.thresholds
        tolerated += _ROUNDING * float(np.abs(self.correlations).max(initial=0.0))
        signs = np.sign(w)
        while not budget.spent:
            gradient = self.correlations - self.gram @ w
            lacking = np.where(signs != 0.0, np.abs(gradient - signs * self.thresholds), 0.0)
            if (lacking <= tolerated).all():
                entering = self._entering(gradient, signs, tolerated)
                if not len(entering):
                    break
                signs[entering] = np.sign(gradient[entering])
            budget.charge()
            direction = self._direction(gradient, w, signs)
            lower = self._lower(gradient, w, direction)
            if lower is None:
                break
            w, signs = lower, np.sign(lower)
        return w

    def _entering(
        self, gradient: FloatArray, signs: FloatArray, tolerated: FloatArray
    ) -> NDArray[np.intp]:
        """Columns furthest beyond their thresholds, of those that are out."""
        excess = np.where(signs == 0.0, np.abs(gradient) - self.thresholds, 0.0)
        beyond = np.flatnonzero(excess > tolerated)
        order = np.argsort(-excess[beyond] / self.thresholds[beyond], kind="stable")
        return beyond[order[: max(_SMALLEST_BLOCK, np.count_nonzero(signs))]]

    def _direction(self, gradient: FloatArray, w: FloatArray, signs: FloatArray) -> FloatArray:
        """To the minimum of the piece with these signs; ``signs`` loses what would belie its own.

        Those are columns that enter, and but for rounding never all of them: the one that enters
        alone keeps its sign.
        """
        while True:
            some = np.flatnonzero(signs)
            system = self.gram.take(some, axis=0).take(some, axis=1)
            system.flat[:: len(some) + 1] += _RIDGE * float(self.gram.diagonal().max())
            slopes = gradient[some] - signs[some] * self.thresholds[some]
            direction = np.zeros_like(w)
            _, direction[some], _ = dposv(system, slopes, lower=True, overwrite_a=True)
            wrong = (w == 0.0) & (direction * signs < 0.0)
            if not wrong.any():
                return direction
            entering = np.flatnonzero((w == 0.0) & (signs != 0.0))
            if wrong.sum() == len(entering):
                wrong[entering[np.abs(gradient[entering]).argmax()]] = False
            signs[wrong] = 0.0

    def _lower(
        self, gradient: FloatArray, w: FloatArray, direction: FloatArray
    ) -> FloatArray | None:
        """A point of lower objective on the way, which bends; None if rounding leaves none.

        Weights that would change their sign stop at zero instead. Up to the first of them the
        objective is that of the piece, and falls; the longer steps are tried because they take out
        many at once.
        """
        crossing = np.flatnonzero(w * (w + direction) < 0.0)
        at = -w[crossing] / direction[crossing]
        first = float(at.min(initial=1.0))
        for step in (*(s for s in _STEPS if s > first), first):
            end = w + step * direction
            end[crossing[at <= step]] = 0.0
            if self._change(gradient, w, end) < 0.0:
                return end
        return None

    def _change(self, gradient: FloatArray, w: FloatArray, end: FloatArray) -> float:
        """Objective at ``end`` less that at ``w``."""
        move = end - w
        bend = 0.5 * (move @ (self.gram @ move)) - gradient @ move
        return float(bend + self.thresholds @ (np.abs(end) - np.abs(w)))


class ActiveSet:
    """A `Method` for the squared loss with the l1 norm."""

    single: ClassVar[bool] = False
    sizes: ClassVar[Sizes] = Sizes(32, room=1.5, growth=1.15)

    def __init__(self, program: ConvexProgram, *, budget: Budget) -> None:
        self._targets, loss = program.encoded, program.loss
        self._at_zero = loss.value(np.zeros_like(program.encoded.values), program.encoded)
        self._budget = budget
        self._descent = Descent(program, budget=budget)
        self._of: Products | None = None
        self._gram = self._correlations = np.zeros((0, 0))

    @staticmethod
    def lacks(loss: Loss, penalty: Penalty) -> str | None:  # noqa: D102
        if not loss.quadratic:
            return "a quadratic loss"
        return None if penalty.cone is Cone.ENTRIES else "a penalty on the sum of magnitudes"

    def dual_point(self, Z: FloatArray) -> FloatArray:
        """Minus the gradient."""
        return self._descent.dual_point(Z)

    def improve(
        self, D: Products, thresholds: FloatArray, W: FloatArray, *, tolerance: float
    ) -> FloatArray:
        """Minimize over the columns ``D``, output by output.

        Where every condition holds to a share s of its threshold, the gap is at most about s of the
        penalty, which is no more than the loss at zero.
        """
        if D.shape[1] > LARGEST_GRAM:
            return self._descent.improve(D, thresholds, W, tolerance=tolerance)
        if self._of is not D:
            shares, everywhere = self._targets.shares, np.arange(D.shape[1])
            self._gram = D.gram([(np.sqrt(shares[:, 0]), everywhere)])
            self._correlations = D.adjoint(shares * self._targets.values)
            self._of = D
        slack = min(1.0, _CARE * tolerance / max(self._at_zero, 1e-300))
        outputs = [
            Quadratic(self._gram, c, thresholds).minimize(w, slack=slack, budget=self._budget)
            for c, w in zip(self._correlations.T, W.T, strict=True)
        ]
        return np.stack(outputs, axis=1)
