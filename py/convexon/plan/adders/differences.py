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
    """One column, as ``factor`` times an earlier one plus a difference."""

    column: int
    source: int | None  # None for a column that is its own difference from 0
    factor: int  # a power of two, or the negative of one


def derivation(weights: IntArray, max_chain: int = MAX_CHAIN) -> list[Step]:
    """Cheapest way from column to column of (inputs, columns): a minimum spanning tree from 0.

    There is a step for each column, sources before those derived from them. No column is derived
    through more than ``max_chain``; 0 leaves all as they are.
    """
    n = weights.shape[1]
    whole = _measures(weights)
    places, cost = _lowest_places(whole), _costs(whole)
    if not max_chain:
        return [Step(int(j), None, 1) for j in np.lexsort((places, cost))]
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
        if chain[j] == max_chain:
            continue
        others = np.flatnonzero(left)
        rows = np.flatnonzero(weights[:, j])  # a difference changes no other weight
        own, theirs = weights[rows, j : j + 1], weights[np.ix_(rows, others)]
        unchanged = whole[:, others] - _measures(theirs)
        scale = np.int64(1) << np.maximum(0, places[others] - places[j])
        for signed_scale in (scale, -scale):
            measures = unchanged + _measures(theirs - own * signed_scale)
            through = np.where(measures.any(axis=0), _costs(measures) + widths[others], 0.0)
            better = through < cost[others]
            chosen = others[better]
            cost[chosen], source[chosen] = through[better], j
            factor[chosen] = signed_scale[better]
    return steps


def least_digits(weights: IntArray) -> int:
    """Signed digits that differences of columns have at least, whatever they are derived from.

    A weight changes only where both columns have one.
    """
    digits = n_digits(weights).astype(np.float32)
    present = (weights != 0).astype(np.float32)
    most_saved = 0.0
    for j in range(0, weights.shape[1], COLUMNS):
        common = digits[:, j : j + COLUMNS].T @ present
        own = np.arange(len(common))
        common[own, j + own] = 0
        most_saved += float(common.max(axis=1, initial=0).sum())
    return int(digits.sum(dtype=np.float64) - most_saved)


def n_digits(weights: IntArray) -> npt.NDArray[np.uint8]:
    """Canonical signed digits of each weight."""
    magnitudes = np.abs(weights)
    digits: npt.NDArray[np.uint8] = np.bitwise_count(magnitudes ^ 3 * magnitudes)
    return digits


COLUMNS = 512
"""Columns that are compared with all others at once, as far as memory goes."""

_MOST_PLACES = 63


def _measures(weights: IntArray) -> IntArray:
    """What the cost of each column follows from and adds up over its weights, (1 + 63, columns).

    The bits of all weights, and how many of them have their lowest bit at each place.
    """
    magnitudes = np.abs(weights)
    found = np.zeros((1 + _MOST_PLACES, weights.shape[1]), dtype=np.int64)
    found[0] = _lengths(magnitudes).sum(axis=0)
    lowest = _lengths(np.bitwise_and(magnitudes, -magnitudes))  # 0 where there is no bit
    rows, columns = np.nonzero(lowest)
    np.add.at(found, (lowest[rows, columns], columns), 1)
    return found


def _lengths(magnitudes: npt.NDArray[np.integer]) -> IntArray:
    """Return the bits of each integer; 0 has none."""
    return np.asarray(np.frexp(magnitudes.astype(np.float64))[1], dtype=np.int64)


def _lowest_places(measures: IntArray) -> IntArray:
    """Place of the lowest bit that is set in any weight of each column, 0 where there is none."""
    return np.asarray(np.argmax(measures[1:] > 0, axis=0), dtype=np.int64)


def _costs(measures: IntArray) -> npt.NDArray[np.float64]:
    """LUT4s of the sum of each column, roughly: one for a weight, and half of one for each bit.

    Bits are counted from the lowest that any weight of the column has.
    """
    n_weights = measures[1:].sum(axis=0)
    return np.asarray(n_weights + 0.5 * (measures[0] - n_weights * _lowest_places(measures)))
