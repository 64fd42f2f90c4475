"""Newton directions on the support of the weights.

Near a solution the penalty is smooth on its support (linear for l1, curved for a row norm), so
there the objective has a second derivative, and it is small: as large as the number of non-zero
weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from convexon.convex.loss import FloatArray

if TYPE_CHECKING:
    from convexon.convex.composite import Composite

_DENSE_LIMIT = 6000
"""Largest support, in weights, whose second derivative is factored: 288 MB of float64."""

LEAST_DAMPING, MOST_DAMPING = 1e-9, 1.0
"""Multiples of the mean diagonal that may be added to it: dependent columns would leave it
singular, and a term with kinks in its gradient keeps its second derivative over a short way only.
"""


def newton_direction(
    problem: Composite, W: FloatArray, Z: FloatArray, *, damping: float
) -> FloatArray | None:
    """Damped Newton direction (A, C), zero off the support; None where there is none."""
    support = problem.penalty.support(W)
    size = int(support.sum())
    if size == 0 or size > _DENSE_LIMIT:
        return None
    rows = [np.flatnonzero(support[:, c]) for c in range(W.shape[1])]
    H = _second_derivative(problem, W, Z, rows)
    H.flat[:: size + 1] += damping * max(float(np.trace(H)) / size, 1e-300)
    G = problem.D.T @ problem.term.gradient(Z) + problem.penalty.gradient(W, problem.thresholds)
    try:
        factor = cho_factor(H, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError:
        return None
    solved = cho_solve(factor, _gathered(G, rows), check_finite=False)
    return -_scattered(solved, rows, W.shape)


def _second_derivative(
    problem: Composite, W: FloatArray, Z: FloatArray, rows: list[np.ndarray]
) -> FloatArray:
    """Second derivative over the support, outputs one after the other."""
    diagonal, rank_one = problem.term.curvature(Z)
    bend = problem.penalty.curvature(W, problem.thresholds)
    ends = np.cumsum([len(r) for r in rows])
    parts = [slice(end - len(r), end) for end, r in zip(ends, rows, strict=True)]
    columns = [problem.D[:, r] for r in rows]
    if rank_one is None:
        H = np.zeros((ends[-1], ends[-1]))
    else:
        # One large product is far cheaper than one small product per pair of outputs.
        scaled = np.hstack([rank_one[:, c, None] * part for c, part in enumerate(columns)])
        H = -(scaled.T @ scaled)
    for c, part in enumerate(columns):
        H[parts[c], parts[c]] += part.T @ (diagonal[:, c, None] * part)
    if bend is not None:  # then the support holds whole rows, the same ones for every output
        across = np.arange(len(rows[0]))
        for a, b in np.ndindex(len(rows), len(rows)):
            H[parts[a], parts[b]][across, across] += bend[rows[0], a, b]
    return H


def _gathered(W: FloatArray, rows: list[np.ndarray]) -> FloatArray:
    return np.concatenate([W[r, c] for c, r in enumerate(rows)])


def _scattered(vector: FloatArray, rows: list[np.ndarray], shape: tuple[int, ...]) -> FloatArray:
    W = np.zeros(shape)
    first = 0
    for c, r in enumerate(rows):
        W[r, c] = vector[first : first + len(r)]
        first += len(r)
    return W
