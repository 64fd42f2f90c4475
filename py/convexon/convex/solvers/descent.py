"""The method for smooth losses: the inner solver on the program itself."""

from __future__ import annotations

from convexon.convex.model.loss import FloatArray, SmoothLoss
from convexon.convex.model.program import ConvexProgram
from convexon.convex.solvers.composite import Composite, minimize
from convexon.convex.solvers.products import Products
from convexon.convex.solvers.record import Budget
from convexon.convex.solvers.smooth import MeanLoss


class Descent:
    """A `Method` for a `SmoothLoss`.

    Parameters
    ----------
    program, loss
        The program and its loss.
    budget
        Ends the inner solver when it is spent.
    """

    first_size = 256

    def __init__(self, program: ConvexProgram, loss: SmoothLoss, *, budget: Budget) -> None:
        self._penalty = program.penalty
        self._term = MeanLoss(loss, program.encoded)
        self._budget = budget

    def dual_point(self, Z: FloatArray) -> FloatArray:
        """Minus the gradient."""
        return -self._term.gradient(Z)

    def improve(
        self, D: Products, thresholds: FloatArray, W: FloatArray, *, tolerance: float
    ) -> FloatArray:
        """Minimize over the columns ``D``."""
        problem = Composite(D, self._term, self._penalty, thresholds)
        return minimize(problem, W, tolerance=tolerance, budget=self._budget)
