"""Proximal steps in the metric of the columns' second moments.

A step in the plain metric moves each weight by what its own gradient says, and spike columns that
fire together make that slow. Here a quadratic model knows how all columns go together: ``<G, V - W>
+ scale/2 <V - W, M (V - W)>`` with one Gram matrix M for all outputs, plus the penalty. It is
minimised row by row (block coordinate descent), over M alone, so that no sweep touches the rows of
the dictionary. What Newton steps on a support cannot do, it does: it finds which rows are zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convexon.convex.model.loss import FloatArray
from convexon.convex.model.penalty import Penalty

_SWEEPS = 5
"""Over all rows of weights: the model is rough, and more would be wasted on it."""

_BLOCK = 64
"""Rows of weights whose moves reach the others' gradients at once."""

_RIDGE = 1e-4
"""Share of the mean diagonal that is added to it: a column may be silent in the rows that count."""

_COVERED = 0.99
"""Share of the curvature whose rows the moments are of: most rows have next to none."""


@dataclass(frozen=True, eq=False)
class Model:
    """A penalty with the metric (A, A) in which a smooth term is modelled."""

    metric: FloatArray
    penalty: Penalty
    thresholds: FloatArray  # (A,)

    def minimum(self, W: FloatArray, G: FloatArray, *, scale: float) -> FloatArray:
        """Weights (A, C) near the model's minimum about ``W``, where the gradient is ``G``."""
        V, slope = W.copy(), G.copy()
        bends = scale * self.metric.diagonal()
        limits = self.thresholds / bends
        for _ in range(_SWEEPS):
            for first in range(0, len(V), _BLOCK):
                rows = slice(first, first + _BLOCK)
                own, near = scale * self.metric[rows, rows], slope[rows].copy()
                before, block = V[rows].copy(), V[rows]
                for j, bend in enumerate(bends[rows]):
                    aim = (block[j] - near[j] / bend)[None]
                    moved = self.penalty.prox(aim, limits[first + j, None])[0] - block[j]
                    if moved.any():
                        block[j] += moved
                        near += own[:, j, None] * moved
                slope += (scale * self.metric[:, rows]) @ (block - before)
        return V

    def rise(self, step: FloatArray, G: FloatArray, *, scale: float) -> float:
        """What the model of the smooth term says that a ``step`` adds to it."""
        return float((step * (G + 0.5 * scale * (self.metric @ step))).sum())


def ridged(moments: FloatArray) -> FloatArray:
    """The moments with a small ridge, in place."""
    across = moments.ravel()[:: len(moments) + 1]
    across += max(_RIDGE * float(across.mean()), np.finfo(np.float64).tiny)
    return moments


def covering(weights: FloatArray) -> FloatArray:
    """The row weights (n,), zero in the rows that together hold next to nothing of them."""
    order = np.argsort(-weights)
    kept = int(np.searchsorted(np.cumsum(weights[order]), _COVERED * weights.sum())) + 1
    some = np.zeros_like(weights)
    some[order[:kept]] = weights[order[:kept]]
    return some
