"""Decision margins of an integer readout, and what rounding can have done to them, exactly."""

from __future__ import annotations

import numpy as np

from convexon.certify.certificate import SampleMargins
from convexon.certify.exact.dyadic import Dyadic, FloatArray, ObjectArray
from convexon.errors import ClaimError


def require_margins(claim: str, stated: SampleMargins, scores: Dyadic, error: Dyadic) -> str:
    """Check margins against exact scores and the most that each moved; return what they say.

    Raises
    ------
    ClaimError
        If a margin is stated above, or a change by rounding below the exact one.
    """
    margin, rounding = _margins(scores, error)
    _require(claim, "margin", stated.margin, Dyadic.of(stated.margin) - margin)
    _require(claim, "rounding", stated.rounding, rounding - Dyadic.of(stated.rounding))
    return f"{stated.n_certified} of {stated.n_decisions} decisions cannot flip"


def _margins(scores: Dyadic, error: Dyadic) -> tuple[Dyadic, Dyadic]:
    """Exact margin of each row, and how much rounding can have changed it, shape (n,)."""
    if scores.units.shape[1] == 1:  # one score is read as the pair (0, score)
        return abs(scores)[:, 0], error[:, 0]
    rows = np.arange(len(scores.units))
    winner = np.array([row.index(max(row)) for row in scores.units.tolist()])
    margin = scores.units[rows, winner] - _largest_but(scores.units, winner)
    rounding = error.units[rows, winner] + _largest_but(error.units, winner)
    return Dyadic(margin, scores.exponent), Dyadic(rounding, error.exponent)


def _largest_but(
    values: ObjectArray, left_out: np.ndarray[tuple[int], np.dtype[np.intp]]
) -> ObjectArray:
    """Largest entry of each row but the one left out."""
    rows = values.tolist()
    return np.array(
        [max(row[:k] + row[k + 1 :]) for row, k in zip(rows, left_out, strict=True)], dtype=object
    )


def _require(claim: str, what: str, stated: FloatArray, excess: Dyadic) -> None:
    """Raise `ClaimError` unless no row exceeds what it may be."""
    wrong = np.flatnonzero((excess.units > 0).astype(bool))
    if len(wrong):
        raise ClaimError(
            f"claim {claim} does not hold: the {what} of row {int(wrong[0])} is not "
            f"{float(stated[wrong[0]])!r}"
        )
