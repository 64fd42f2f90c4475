"""A lower bound over every column that was priced: a dual point scaled by the largest ratio."""

from __future__ import annotations

import numpy as np

from convexon.convex.bounds.gap import rounded_dual
from convexon.convex.bounds.universal import LowerBound
from convexon.convex.model.loss import UNIT, FloatArray, exact_sum
from convexon.convex.model.problem import Problem


def priced_bound(
    problem: Problem, point: FloatArray, largest: float, *, max_feature: int, least_weight: float
) -> LowerBound:
    """Bound on the objective over a set of columns whose ratios at ``point`` are known.

    It holds in exact arithmetic: what rounding can hide of a ratio is added to it, the scaled point
    is put back into the conjugate's domain, and its value is rounded down.

    Parameters
    ----------
    problem : the learning task
    point : lambda, (m, C), in the conjugate's domain
    largest : No dual norm of a column over ``rho w`` exceeds it, but for the rounding of sums over
        rows. A ratio below 1 counts as 1, that of columns which are known to be feasible.
    max_feature, least_weight : largest entry of a column, and least penalty weight of one
    """
    loss, encoded = problem.loss, problem.encoded
    least = problem.rho * least_weight
    hidden = (len(point) + 8) * UNIT * max_feature * float(np.abs(point).sum())
    most = max(1.0, largest) + hidden / least
    scale = most * (1.0 + 8.0 * UNIT)
    while True:
        scaled = loss.dual_in_domain(point / scale, encoded)
        # No dual norm of a column moves by more than the entries of the point do in all.
        moved = max_feature * exact_sum(np.abs(scaled - point / scale)) * (1.0 + 8.0 * UNIT)
        reached = most / scale + moved / least
        if reached * (1.0 + 16.0 * UNIT) <= 1.0:
            return LowerBound(rounded_dual(loss, encoded, scaled), scaled)
        scale *= reached * (1.0 + 64.0 * UNIT)
