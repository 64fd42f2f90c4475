"""A lower bound that no network beats on this data, whatever its depth, width or weights.

A network of the family has an objective of the form ``(1/n) sum_i loss((D W)_i, y_i) + rho *
Omega_w(W)`` with columns D_j in [0, m]^n, m = 1 for spikes. Then each output satisfies ``max_i
(Z_ic)_+ + max_i (-Z_ic)_+ <= m * sum_j |W_jc|``, so the program over all predictions Z with the
left-hand side as penalty is a lower bound; and it is attained where every pattern of {0, 1}^n is a
column (the complete arrangement of arXiv:2303.03382, there for squared loss; the bound for the
other losses follows in the same way). Rows with the same target share their prediction, which
leaves closed forms, or for softmax a smooth program of 2 C variables.

Each function returns the value of a *dual-feasible* point: for each output the positive parts of
lambda sum to at most rho w / m, and so do the negative parts. An inexact inner solution can only
lower it. As in `convexon.convex.certificate`, the point is feasible and the bound valid in exact
arithmetic: radii are rounded down before use, and values afterwards.

For the row-group penalty ``||W_j||_2 >= ||W_j||_1 / sqrt(C)`` gives a bound that is valid, but
weaker when C > 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize

from convexon.convex.certificate import feasible_multiple, rounded_dual
from convexon.convex.loss import UNIT, FloatArray, Loss, LossKind, exact_sum
from convexon.convex.penalty import Penalty, PenaltyKind
from convexon.convex.program import ConvexProgram
from convexon.errors import InputError

_DOWN = 1.0 - 16.0 * UNIT
"""Factor that covers the rounding of a short chain of operations on non-negative numbers."""


def squared_arrangement(y: ArrayLike, *, beta: float) -> float:
    """Minimum over d of ``1/2 ||d - y||^2 + beta (max_i (d_i)_+ + max_i (-d_i)_+)``.

    In closed form, rounded down: the exact minimum is no lower. O(n log n). Positive and negative
    parts separate, and each is water-filling: the largest entries are cut to a level t at which
    what was cut off sums to beta.

    Parameters
    ----------
    y
        Real targets, shape (n,).
    beta
        Regularization strength for the unaveraged loss, non-negative.

    Raises
    ------
    InputError
        If ``y`` is not a finite vector or ``beta`` is negative or not finite.
    """
    values = np.asarray(y, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise InputError(f"y must be a finite vector, not of shape {values.shape!r}")
    if not 0.0 <= beta < np.inf:
        raise InputError(f"beta must be non-negative and finite, not {beta!r}")
    return sum(_water_filling(np.maximum(part, 0.0), beta) for part in (values, -values))


def _water_filling(y: FloatArray, beta: float) -> float:
    """Largest ``l.y - ||l||^2 / 2`` over ``l >= 0`` of sum at most beta, for ``y >= 0``."""
    cut = y
    if y.sum() > beta:
        ordered = np.sort(y)[::-1]
        levels = (np.cumsum(ordered) - beta) / np.arange(1, len(y) + 1)
        # The level at which k entries are cut holds for the largest k whose smallest entry lies
        # above it.
        k = int(np.flatnonzero(ordered > levels)[-1]) if beta > 0.0 else 0
        cut = np.maximum(y - levels[k], 0.0)
        cut = cut * (_DOWN * min(1.0, beta / exact_sum(cut))) if cut.any() else cut
    return _DOWN * exact_sum(cut * (y - 0.5 * cut))


def universal_lower_bound(
    *,
    loss: Loss,
    targets: ArrayLike,
    rho: float,
    penalty: Penalty,
    min_weight: float = 1.0,
    max_feature: float = 1.0,
    n_classes: int | None = None,
) -> float:
    """Objective that no dictionary with entries in [0, max_feature] goes below on these targets.

    It does not see the inputs: rows with equal inputs must share a prediction, which only raises
    the optimum.

    Parameters
    ----------
    loss, targets, rho, penalty, n_classes
        As in `ConvexProgram`.
    min_weight
        Smallest penalty weight of any column that a network may use, positive.
    max_feature
        Largest entry of any column: 1 for spikes, the number of steps for spike counts. Entries
        must not be negative.

    Raises
    ------
    InputError
        If an argument is not positive, or the targets do not fit the loss.
    """
    for name, value in (("rho", rho), ("min_weight", min_weight), ("max_feature", max_feature)):
        if not 0.0 < value < np.inf:
            raise InputError(f"{name} must be positive and finite, not {value!r}")
    Y = loss.encode(targets, n_rows=len(np.asarray(targets)), n_classes=n_classes)
    radius = _DOWN * rho * min_weight / max_feature
    if penalty.kind is PenaltyKind.GROUP_L2:
        radius /= np.sqrt(Y.shape[1])
    n = len(Y)
    match loss.kind:
        case LossKind.SQUARED:
            parts = [squared_arrangement(y, beta=_DOWN * n * radius) for y in Y.T]
            return _DOWN * exact_sum(np.array(parts)) / n
        case LossKind.HINGE:
            # A share a of the slope in each of g rows gives a g / n, and sums to as much.
            return _DOWN * exact_sum(np.minimum(_group_shares(Y), radius))
        case LossKind.LOGISTIC:
            parts = [_entropy_bound(float(share), radius) for share in _group_shares(Y)]
            return _DOWN * exact_sum(np.array(parts))
        case LossKind.SOFTMAX:
            return _softmax_bound(loss, Y, radius)
    raise InputError(f"loss must be one of the four kinds, not {loss!r}")


def program_lower_bound(program: ConvexProgram) -> float:
    """`universal_lower_bound` of a program's own targets, rho, weights and largest entry.

    Raises
    ------
    InputError
        If the dictionary has a negative entry, or no positive one.
    """
    if program.features.size == 0:
        raise InputError("features must have at least one column to bound what columns can do")
    low, high = float(program.features.min()), float(program.features.max())
    if low < 0.0:
        raise InputError(f"features must be non-negative for the universal bound, not {low!r}")
    return universal_lower_bound(
        loss=program.loss,
        targets=program.targets,
        rho=program.rho,
        penalty=program.penalty,
        min_weight=float(program.weights.min()),
        max_feature=max(high, 1.0),
        n_classes=program.n_classes,
    )


def _group_shares(Y: FloatArray) -> FloatArray:
    """Share of the rows with target +1, and with -1, of each output."""
    return np.concatenate([(Y > 0.0).mean(axis=0), (Y < 0.0).mean(axis=0)])


def _entropy_bound(share: float, radius: float) -> float:
    """Logistic loss of a share of the rows: ``max share * H(a)`` over ``share * a <= radius``."""
    if share == 0.0:
        return 0.0
    a = min(0.5, _DOWN * radius / share)
    return float(-_DOWN * share * (a * np.log(a) + (1.0 - a) * np.log1p(-a)))


def _softmax_bound(loss: Loss, Y: FloatArray, radius: float) -> float:
    """Dual value of softmax over the complete arrangement.

    A row of class k scores a_k on its own output and -b_c on each other output c, with a, b >= 0.
    The optimal score of an output is as high as allowed in its own class and as low as allowed
    elsewhere, so two numbers per output describe a solution, and the gradient there a dual point.
    """
    n, n_outputs = Y.shape
    labels = Y.argmax(axis=1)
    shares = Y.mean(axis=0)
    own = np.eye(n_outputs, dtype=bool)

    def probabilities(v: FloatArray) -> FloatArray:
        scores = np.where(own, v[:n_outputs, None], -v[None, n_outputs:])
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(p / p.sum(axis=1, keepdims=True))

    def objective(v: FloatArray) -> tuple[float, FloatArray]:
        a, b = v[:n_outputs], v[n_outputs:]
        scores = np.where(own, 0.0, -b[None, :] - a[:, None])
        value = float(shares @ np.log(np.exp(scores).sum(axis=1))) + radius * float(v.sum())
        weighted = shares[:, None] * np.where(own, 0.0, probabilities(v))
        return value, radius - np.concatenate([weighted.sum(axis=1), weighted.sum(axis=0)])

    found = minimize(
        objective,
        np.full(2 * n_outputs, 0.1),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, None)] * (2 * n_outputs),
        options={"maxiter": 2000, "ftol": 1e-16, "gtol": 1e-13},
    )
    dual = (Y - probabilities(found.x)[labels]) / n

    def heaviest(point: FloatArray) -> float:
        sums = [exact_sum(np.maximum(part, 0.0)) for u in point.T for part in (u, -u)]
        return max(sums) * (1.0 + 2.0 * UNIT)

    point, _ = feasible_multiple(loss, Y, dual, heaviest, limit=radius)
    return rounded_dual(loss, Y, point)
