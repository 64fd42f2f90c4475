"""A lower bound that no network beats on this data, whatever its depth, width or weights.

A network of the family has an objective of the form ``(1/N) sum_i loss((D W)_i, y_i) + rho *
Omega_w(W)`` with columns D_j in [0, m]^n, m = 1 for spikes. The span of output c over the inputs,
``s_c = max_i (Z_ic)_+ + max_i (-Z_ic)_+``, is at most ``m sum_j |W_jc|``, so by the triangle
inequality the norm of the vector s, of the penalty's kind, is at most ``m sum_j ||W_j||``. The
program over all predictions Z with that norm as its penalty is therefore a lower bound; for l1 it
is attained where every pattern of {0, 1}^n is a column (the complete arrangement of
arXiv:2303.03382, there for squared loss; the bound for the others follows in the same way).

Rows with the same input share their prediction, whatever their labels: only distinct inputs have
levels of their own, and what conflicting labels cost is part of the bound.

In the dual, let h_c be the larger of the sums of positive and of negative parts of lambda over the
distinct inputs: it is what the worst column makes of output c. The constraint is that the dual norm
of h be at most ``rho w / m``: each h_c for l1, their l2 norm for group l2, and their sum for group
l-infinity. How a group penalty allots that radius to the outputs is free; any allotment is valid,
and the best is sought.

Each bound is the value of a *dual-feasible* point, which is returned with it, so that a checker
need not trust how it was found. An inexact solution can only lower it. As in
`convexon.convex.bounds.gap`, the point is feasible and the bound valid in exact arithmetic: radii
are rounded down before use, and values afterwards.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convexon.convex.bounds.gap import feasible_multiple, rounded_dual
from convexon.convex.model.arrangement import dual_norm
from convexon.convex.model.loss import UNIT, FloatArray, exact_sum
from convexon.convex.model.problem import Problem
from convexon.errors import require_positive

IntArray = NDArray[np.int64]

_DOWN = 1.0 - 16.0 * UNIT
"""Factor that covers the rounding of a short chain of operations on non-negative numbers."""


class LowerBound(NamedTuple):
    """A lower bound on an objective, and the dual point (n, C) that proves it."""

    value: float
    dual: FloatArray


def universal_bound(
    problem: Problem, *, min_weight: float = 1.0, max_feature: float = 1.0
) -> LowerBound:
    """Objective that no dictionary with entries in [0, max_feature] goes below on a problem.

    Raises `InputError` if an argument is not positive, or the groups do not fit.

    Parameters
    ----------
    problem : which of its rows share an input is part of it
    min_weight : smallest penalty weight of any column that a network may use, positive
    max_feature : Largest entry of any column: 1 for spikes, the number of steps for spike counts.
        Entries must not be negative.
    """
    require_positive(min_weight=min_weight, max_feature=max_feature)
    loss, penalty, Y, inputs = problem.loss, problem.penalty, problem.encoded, problem.inputs
    radius = _DOWN * problem.rho * min_weight / max_feature
    arrangement = loss.arrangement(Y, inputs)
    dual = arrangement.dual(arrangement.allotted(penalty, radius))

    def heaviest(point: FloatArray) -> float:
        rounding = 1.0 + (8.0 + Y.n_outputs) * UNIT
        return dual_norm(penalty, _worst_column(point, inputs)) * rounding

    point = feasible_multiple(loss, Y, dual, heaviest, limit=radius, guess=heaviest(dual))
    return LowerBound(rounded_dual(loss, Y, point), point)


def _worst_column(point: FloatArray, inputs: IntArray) -> FloatArray:
    """What the worst column of zeros and ones makes of each output, bounded from above, (C,).

    Rows of one input add up before their signs count; that sum of k terms is off by at most
    ``gamma_k`` times the sum of their magnitudes.
    """
    sizes = np.bincount(inputs)
    gamma = np.where(sizes > 1, 1.01 * UNIT * sizes, 0.0)
    worst = np.zeros(point.shape[1])
    for c, column in enumerate(point.T):
        sums = np.bincount(inputs, weights=column)
        slack = gamma * np.bincount(inputs, weights=np.abs(column))
        parts = [exact_sum(np.maximum(side + slack, 0.0)) for side in (sums, -sums)]
        worst[c] = max(parts) * (1.0 + 4.0 * UNIT)
    return worst
