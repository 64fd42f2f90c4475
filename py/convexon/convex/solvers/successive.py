"""The method for smooth losses of one score with the l1 norm: successive quadratic programs.

Each step minimises the second-order model of the loss plus the norm itself, by the active-set
search that solves the squared loss exactly, on the columns' second moments under the loss's
curvature (proximal Newton: Yuan, Ho and Lin, "An improved GLMNET for l1-regularized logistic
regression", 2012). The support changes inside the model, where a step touches no row.
"""

from __future__ import annotations

from typing import ClassVar

from convexon.convex.model.loss import FloatArray, Loss, SmoothLoss
from convexon.convex.model.penalty import Cone, Penalty
from convexon.convex.solvers.active_set import LARGEST_GRAM, Quadratic
from convexon.convex.solvers.composite import Composite, Descent
from convexon.convex.solvers.products import Products

_RIDGE = 1e-6
"""Share of a model's largest diagonal entry that is added to all: its moments are in float32.

That moves no optimum: where a model is at its least, so is the loss, whatever its second moments.
"""

_CARE = 0.1
"""Share of the relative gap to which a model is solved: it is as far from the loss itself."""

_STEPS = tuple(0.5**k for k in range(12))
"""Steps towards a model's minimum that are tried."""

_DESCENT = 0.1
"""Share of the fall that the model promises which a step must bring."""


class SuccessiveQuadratics(Descent):
    """A `Method` for smooth losses of one score and l1; `Descent` ends what rounding stops."""

    single: ClassVar[bool] = False
    first_size: ClassVar[int] = 64

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
        """Step until the gap is there, and say so; or until rounding lets nothing fall any more."""
        loss, targets = problem.loss, problem.targets
        Z = problem.D.forward(W)
        value = problem.value(W, Z)
        while (gap := problem.gap(W, Z)) > tolerance and not self._budget.spent:
            self._budget.charge()
            gradient = problem.D.adjoint(loss.gradient(Z, targets))
            gram = problem.D.moments(loss.curvature(Z, targets).diagonal[:, 0], coarse=True)
            model = Quadratic(gram, (gram @ W - gradient)[:, 0], problem.thresholds, _RIDGE)
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
                return W, False
            W, Z, value = W + step * aim, Z + step * across, nearer
        return W, gap <= tolerance
