"""The four losses and three penalties in exact arithmetic, or enclosed by directed rounding.

Row i stands for c_i of N samples. Squared and hinge loss, and every norm but the row-group l2 one,
are rational where their arguments are; logarithms and exponentials are evaluated with 28 decimal
digits (`decimal` rounds both correctly), and each result then moves one unit in the direction that
is asked for.

Nothing here is shared with `convexon.convex`: a second statement of the same mathematics is what a
check is worth.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from convexon.certify.dyadic import Dyadic, FloatArray
from convexon.errors import InputError

LOSSES = ("squared", "logistic", "hinge", "softmax")
PENALTIES = ("l1", "group_l2", "group_linf")

Counts = npt.NDArray[np.int64]

_DIGITS = 28
"""Decimal digits: 12 more than float64 has, so what is lost matters to no claim in float64."""

_NEGLIGIBLE, _TINY = -70, Decimal("1e-30")
"""Below this argument an exponential is less than this; sums of them are always at least 1."""


_TRAPS = [decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow]


class Rounding:
    """Decimal arithmetic that errs on one side only: ``up`` or down."""

    def __init__(self, *, up: bool) -> None:
        self.up = up
        mode = decimal.ROUND_CEILING if up else decimal.ROUND_FLOOR
        self._context = decimal.Context(
            prec=_DIGITS, rounding=mode, Emin=-999999, Emax=999999, traps=_TRAPS
        )
        self._move = self._context.next_plus if up else self._context.next_minus

    def ratio(self, numerator: int, denominator: int) -> Decimal:
        """A quotient of integers, the denominator positive."""
        return self._context.divide(Decimal(numerator), Decimal(denominator))

    def total(self, terms: Iterable[Decimal]) -> Decimal:
        """A sum."""
        result = Decimal(0)
        for term in terms:
            result = self._context.add(result, term)
        return result

    def times(self, a: Decimal, b: Decimal) -> Decimal:
        """A product of non-negative numbers."""
        return self._context.multiply(a, b)

    def exp(self, x: Decimal) -> Decimal:
        """Exponential of a number that is not positive."""
        if not x:
            return Decimal(1)
        if x < _NEGLIGIBLE:
            return _TINY if self.up else Decimal(0)
        return self._move(x.exp(self._context))

    def log(self, x: Decimal) -> Decimal:
        """Logarithm of a positive number."""
        return Decimal(0) if x == 1 else self._move(x.ln(self._context))


UP, DOWN = Rounding(up=True), Rounding(up=False)


def mean_loss(loss: str, Z: Dyadic, Y: FloatArray, counts: Counts, rounding: Rounding) -> Fraction:
    """Mean loss of exact predictions ``Z`` (n, C): itself, or a bound on the side of `rounding`."""
    total = int(counts.sum())
    weights = counts.astype(object)[:, None]
    if loss == "squared":
        residual = Z - Dyadic.of(Y)
        return Dyadic(weights * residual.units**2, 2 * residual.exponent).sum() / (2 * total)
    if loss == "hinge":
        margin = Dyadic(Z.units * Y.astype(np.int64).astype(object), Z.exponent)
        slack = Dyadic.of(np.ones((1, 1))) - margin
        return Dyadic(weights * np.maximum(slack.units, 0), slack.exponent).sum() / total
    if loss == "logistic":
        margins = -(Z.units * Y.astype(np.int64).astype(object))
        rows = [[0, int(m)] for m in margins.ravel()]
    elif loss == "softmax":
        label = Y.argmax(axis=1)
        rows = (Z.units - Z.units[np.arange(len(label)), label][:, None]).tolist()
    else:
        raise InputError(f"loss must be one of {', '.join(LOSSES)}, not {loss!r}")
    terms = (
        rounding.times(Decimal(int(count)), _log_sum(row, Z.exponent, rounding))
        for row, count in zip(rows, counts, strict=True)
    )
    return Fraction(rounding.total(terms)) / total


def _log_sum(units: list[int], exponent: int, rounding: Rounding) -> Decimal:
    """``log sum_k exp(units_k * 2**exponent)``, one of the units being zero."""
    top = max(units)
    up, down = (1 << exponent, 1) if exponent >= 0 else (1, 1 << -exponent)
    powers = rounding.total(rounding.exp(rounding.ratio((u - top) * up, down)) for u in units)
    return rounding.total([rounding.ratio(top * up, down), rounding.log(powers)])


def dual_value(loss: str, dual: Dyadic, Y: FloatArray, counts: Counts) -> Fraction:
    """Objective of the dual program at an exact ``dual`` (n, C), or a lower bound on it.

    Raises
    ------
    InputError
        If the point lies outside the conjugate's domain, where the objective is minus infinity.
    """
    total = int(counts.sum())
    if loss == "squared":
        linear = (dual * Dyadic.of(Y)).sum()
        squares = (dual.units**2).sum(axis=1)
        distinct = np.unique(counts)
        curved = sum(Fraction(int(squares[counts == c].sum()), int(c)) for c in distinct)
        return linear - Fraction(total, 2) * curved * dual.step**2
    # What is left of one sample's unit share, as integers over c_i * 2**scale.
    scale = max(0, -dual.exponent)
    whole = counts.astype(object)[:, None] * (1 << scale)
    taken = dual.at(-scale) * total
    if loss in ("hinge", "logistic"):
        taken = taken * Y.astype(np.int64).astype(object)
        shares = np.stack([taken, whole - taken], axis=2).reshape(len(Y), -1)
    elif loss == "softmax":
        shares = np.where(Y > 0.0, whole - taken, -taken)
        if (shares.sum(axis=1) != whole[:, 0]).any():
            row = int(np.flatnonzero(shares.sum(axis=1) != whole[:, 0])[0])
            raise InputError(f"the dual vector must sum to zero in row {row}, which it does not")
    else:
        raise InputError(f"loss must be one of {', '.join(LOSSES)}, not {loss!r}")
    outside = np.flatnonzero((shares < 0).any(axis=1))
    if len(outside):
        raise InputError(f"the dual vector leaves the conjugate's domain in row {int(outside[0])}")
    if loss == "hinge":
        return Fraction(int(taken.sum()), total << scale)
    terms = (
        DOWN.times(Decimal(int(count)), _entropy(row, int(one)))
        for row, one, count in zip(shares.tolist(), whole[:, 0], counts, strict=True)
    )
    return Fraction(DOWN.total(terms)) / total


def _entropy(parts: list[int], whole: int) -> Decimal:
    """Lower bound on ``-sum_k q_k log q_k`` with ``q_k = parts_k / whole``."""
    return DOWN.total(
        DOWN.times(DOWN.ratio(part, whole), -UP.log(UP.ratio(part, whole)))
        for part in parts
        if part
    )


_ROOT_BITS = 96
"""Bits after the binary point of a unit to which square roots are taken."""


def penalty_value(penalty: str, W: Dyadic, weights: Dyadic, *, up: bool) -> Fraction:
    """``sum_j w_j ||W_j||`` exactly; for the row-group l2 norm a bound on the side asked for."""
    units = np.abs(W.units)
    if penalty == "l1":
        norms = Dyadic(units.sum(axis=1), W.exponent)
    elif penalty == "group_linf":
        norms = Dyadic(units.max(axis=1, initial=0), W.exponent)
    elif penalty == "group_l2":
        squares = [int(s) << (2 * _ROOT_BITS) for s in (units**2).sum(axis=1)]
        roots = [math.isqrt(s) for s in squares]
        roots = [r + (up and r * r < s) for r, s in zip(roots, squares, strict=True)]
        norms = Dyadic(np.array(roots, dtype=object), W.exponent - _ROOT_BITS)
    else:
        raise InputError(f"penalty must be one of {', '.join(PENALTIES)}, not {penalty!r}")
    return (norms * weights).sum()


def exceeds(penalty: str, G: Dyadic, limits: Dyadic) -> npt.NDArray[np.bool_]:
    """Rows j whose dual norm ``||G_j||`` exceeds ``limits_j``, exactly; G is (P, C)."""
    units = np.abs(G.units)
    if penalty == "l1":
        norms, power = units.max(axis=1, initial=0), 1
    elif penalty == "group_l2":
        norms, power = (units**2).sum(axis=1), 2
    elif penalty == "group_linf":
        norms, power = units.sum(axis=1), 1
    else:
        raise InputError(f"penalty must be one of {', '.join(PENALTIES)}, not {penalty!r}")
    left, right = (
        Dyadic(norms, power * G.exponent),
        Dyadic(limits.units**power, power * limits.exponent),
    )
    low = min(left.exponent, right.exponent)
    return np.asarray(left.at(low) > right.at(low), dtype=bool)
