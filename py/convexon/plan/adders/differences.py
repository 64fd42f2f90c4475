"""Columns of weights as other columns plus differences, where these are cheaper to add up.

Two dense columns of -1 and 1 differ, up to sign, in less than half of their weights, and the more
columns there are, the closer is the closest one: ``sum_j = +-sum_i + sum of the difference`` then
takes fewer terms than ``sum_j`` from its inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MAX_CHAIN = 4
"""Most columns that a column is derived through: each one adds a sum to the depth."""

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Step:
    """One column, as ``factor`` times an earlier one plus a difference.

    Members
    -------
    column : int
    source : int or None
        None for a column that is its own difference from 0.
    factor : int
        A power of two, or the negative of one.
    """

    column: int
    source: int | None
    factor: int


def derivation(weights: IntArray, max_chain: int = MAX_CHAIN) -> list[Step]:
    """Cheapest way from column to column: a minimum spanning tree that begins at 0.

    Parameters
    ----------
    weights : int64 array, shape (inputs, columns)
    max_chain : int
        Most columns that one is derived through; 0 leaves all as they are.

    Returns
    -------
    list of Step
        One for each column; sources before those derived from them.
    """
    n = weights.shape[1]
    places = np.array([_common_place(column) for column in weights.T], dtype=np.int64)
    cost = _costs(weights)
    widths = np.log2(1.0 + np.abs(weights).sum(axis=0))
    source = np.full(n, -1)
    factor = np.ones(n, dtype=np.int64)
    chain = np.zeros(n, dtype=np.int64)
    left = np.ones(n, dtype=bool)
    steps: list[Step] = []
    for _ in range(n):
        # of equals the one of the lowest place is first: its multiples are wires
        j = int(np.lexsort((places, cost, ~left))[0])
        left[j] = False
        known = None if source[j] < 0 else int(source[j])
        steps.append(Step(j, known, int(factor[j])))
        if known is not None:
            chain[j] = chain[known] + 1
        if chain[j] >= max_chain:
            continue
        scale = np.int64(1) << np.maximum(0, places - places[j])
        for signed_scale in (scale, -scale):
            difference = weights - weights[:, j : j + 1] * signed_scale
            through = np.where(difference.any(axis=0), _costs(difference) + widths, 0.0)
            better = left & (through < cost)
            cost[better], source[better] = through[better], j
            factor[better] = signed_scale[better]
    return steps


def _common_place(column: IntArray) -> int:
    """Place of the lowest bit that is set in any weight."""
    bits = int(np.bitwise_or.reduce(column))
    return (bits & -bits).bit_length() - 1 if bits else 0


def _costs(weights: IntArray) -> npt.NDArray[np.float64]:
    """LUT4s of the sum of each column, roughly: one for a weight, and half of one for each bit."""
    magnitudes = np.abs(weights)
    bits = np.bitwise_or.reduce(magnitudes, axis=0)
    lowest = np.maximum(1, bits & -bits)
    lengths = np.frexp((magnitudes // lowest).astype(np.float64))[1]  # bits of an integer
    return np.asarray(((lengths > 0) + 0.5 * lengths).sum(axis=0))
