"""Gap-safe screening: columns whose weights are zero in every solution, found before there is one.

The dual objective is strongly concave where the loss is smooth: with a loss of Lipschitz constant L
per sample and row shares s_i, a feasible lambda whose gap is g is within ``sum_i ||lambda_i -
lambda*_i||^2 / s_i <= 2 L g`` of the optimal lambda*. So ``D_j^T lambda*`` is within ``sqrt(sum_i
s_i D_ij^2) sqrt(2 L g)`` of ``D_j^T lambda``, and where that leaves the constraint of a column
slack, complementarity makes its weights zero (Ndiaye, Fercoq, Gramfort and Salmon, "Gap safe
screening rules for sparsity enforcing penalties", 2017). What is dropped so stays dropped: the
program over the columns that are kept has the same solutions and the same optimal value.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from convexon.convex.model.loss import FloatArray, SmoothLoss
from convexon.convex.model.program import ConvexProgram

_ROUNDING = 1e-12
"""Share of the objective by which float64 may have understated a gap, amply."""


def safe_radius(gap: float, smoothness: float) -> float:
    """Distance of the optimal dual point, in the norm with row shares, from one of that gap."""
    return math.sqrt(2.0 * smoothness * max(gap, 0.0))


class Screen:
    """The columns of a program that are still in question: `kept`, their indices, ascending."""

    def __init__(self, program: ConvexProgram, loss: SmoothLoss) -> None:
        self._program, self._loss = program, loss
        self.kept: NDArray[np.intp] = np.arange(program.n_columns)

    @cached_property
    def _reach(self) -> FloatArray:
        """How far a unit of the radius moves the dual norm of a column over its weight, (P,)."""
        program = self._program
        norms = program.column_norms(program.encoded.shares[:, 0])
        return norms * program.penalty.dual_norm_bound(program.n_outputs) / program.weights

    def narrow(self, ratios: FloatArray, *, gap: float, primal: float) -> NDArray[np.bool_]:
        """Drop the columns that a dual point, feasible over `kept`, proves to be zero.

        ``ratios`` are the dual norms of the kept columns over their weights, and ``gap`` is the
        primal value less the dual point's. Returns which of these columns are still kept.
        """
        radius = safe_radius(gap + _ROUNDING * primal, self._loss.smoothness)
        reached = ratios * (1.0 + _ROUNDING) + radius * self._reach[self.kept]
        still = reached >= self._program.rho
        self.kept = self.kept[still]
        return np.asarray(still)
