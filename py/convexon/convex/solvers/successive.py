"""The method for smooth losses of one score with the l1 norm: successive quadratic programs.

Each step minimises the second-order model of the loss plus the norm itself, by the active-set
search that solves the squared loss exactly, on the columns' second moments under the loss's
curvature (proximal Newton: Yuan, Ho and Lin, "An improved GLMNET for l1-regularized logistic
regression", 2012). The support changes inside the model, where a step touches no row.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from convexon.convex.model.loss import FloatArray, Loss, SmoothLoss
from convexon.convex.model.penalty import Cone, Penalty
from convexon.convex.solvers.active_set import LARGEST_GRAM, Quadratic
from convexon.convex.solvers.composite import Composite, Descent
from convexon.convex.solvers.products import Products
from convexon.convex.solvers.working_set import Sizes

_RIDGE, _UNIT = 1e-6, 2.0**-24
"""Share of the largest diagonal entry that is added to moments in float32, at least; and what they
round by, for each column: with the two of them the model stays convex."""

_PACE = 0.25
"""Share of the gap that a step on such moments must leave at most; else float64 takes over."""

_CARE = 0.1
"""Share of the relative gap to which a model is solved: it is as far from the loss itself."""

_STEPS = tuple(0.5**k for k in range(12))
"""Steps towards a model's minimum that are tried."""

_DESCENT = 0.1
"""Share of the fall that the model promises which a step must bring."""


class SuccessiveQuadratics(Descent):
    """A `Method` for smooth losses of one score and l1; `Descent` ends what rounding stops."""

    single: ClassVar[bool] = False
    sizes: ClassVar[Sizes] = Sizes(64, room=1.5, growth=1.15)

    @staticmethod
    def lacks(loss: Loss, penalty: Penalty) -> str | None:  # noqa: D102
        if not isinstance(loss, SmoothLoss) or loss.multiclass:
            return "a smooth loss of one score"
        return None if penalty.cone is Cone.ENTRIES else "a penalty on the sum of magnitudes"

    def improve(  # noqa: D102
        self, D: Products, thresholds: FloatArray, W: FloatArray, *, tolerance: float
    ) -> FloatArray:
        problem = Composite(D, self._loss, self._targets, self._penalty, thresholds)
        if D.shape[1] <= LARGEST_GRAM:
            W, reached = self._approach(problem, W, tolerance=tolerance)
            if reached:
                return W
        return super().improve(D, thresholds, W, tolerance=tolerance)

    def _approach(
        self, problem: Composite, W: FloatArray, *, tolerance: float
    ) -> tuple[FloatArray, bool]:
        """Step until the gap is there, and say so; or until rounding lets nothing fall any more.

        Second moments only shape a step: where it ends, the loss itself decides. So they are in
        float32, which takes half the time, until a step shows that this costs it its pace, as on
        columns that nearly depend on each other.
        """
        loss, targets = problem.loss, problem.targets
        Z = problem.D.forward(W)
        value = problem.value(W, Z)
        coarse, before = True, np.inf
        while (gap := problem.gap(W, Z)) > tolerance and not self._budget.spent:
            coarse, before = coarse and gap <= _PACE * before, gap
            self._budget.charge()
            gradient = problem.D.adjoint(loss.gradient(Z, targets))
            curvature = loss.curvature(Z, targets).diagonal[:, 0]
            gram = problem.D.moments(curvature, coarse=coarse)
            if coarse:
                share = max(_RIDGE, len(gram) * _UNIT)
                gram.flat[:: len(gram) + 1] += share * float(gram.diagonal().max(initial=0.0))
            model = Quadratic(gram, (gram @ W - gradient)[:, 0], problem.thresholds)
            slack = _CARE * min(1.0, gap / value)
            aim = model.minimize(W[:, 0], slack=slack, budget=self._budget)[:, None] - W
            promised = float((gradient * aim).sum()) + (
                problem.penalty.value(W + aim, problem.thresholds)
                - problem.penalty.value(W, problem.thresholds)
            )
            across = problem.D.forward(aim)
            for step in _STEPS:
                nearer = problem.value(W + step * aim, Z + step * across)
                if nearer < value + _DESCENT * step * promised:
                    break
            else:
                if coarse:
                    continue  # the gap is as before, which ends that
                return W, False
            W, Z, value = W + step * aim, Z + step * across, nearer
        return W, gap <= tolerance
