"""Losses in exact arithmetic, or enclosed by directed rounding.

Row i stands for c_i of N samples. Squared and hinge loss are rational where their arguments are;
logarithms and exponentials are evaluated with 28 decimal digits (`decimal` rounds both correctly),
and each result then moves one unit in the direction that is asked for.

Nothing here is shared with `convexon.convex`: a second statement of the same mathematics is what a
check is worth. A loss from outside brings an `ExactLoss` of its own, under the same name; without
one, what a certificate claims of it is not checkable here.
"""

from __future__ import annotations

import decimal
from abc import ABC, abstractmethod
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from convexon.certify.exact.dyadic import Dyadic, FloatArray, ObjectArray
from convexon.errors import InputError
from convexon.registry import Registry

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


class ExactLoss(ABC):
    """A loss as the checker evaluates it: its mean, and the objective of the dual program."""

    off_class: ClassVar[float] = -1.0
    """Target of a score whose class is not the sample's, where there are several; else it is 1."""

    @abstractmethod
    def require_targets(self, values: FloatArray) -> None:
        """Raise `InputError` unless targets (n, C), finite, fit the loss."""

    @abstractmethod
    def mean(self, Z: Dyadic, Y: FloatArray, counts: Counts, rounding: Rounding) -> Fraction:
        """Mean loss of exact predictions (n, C): itself, or a bound on the side of `rounding`."""

    @abstractmethod
    def dual_value(self, dual: Dyadic, Y: FloatArray, counts: Counts) -> Fraction:
        """Objective of the dual program at an exact point (n, C), or a lower bound on it.

        Raises
        ------
        InputError
            If the point lies outside the conjugate's domain, where it is minus infinity.
        """


def _require_stated(loss: type[ExactLoss]) -> None:
    if missing := sorted(getattr(loss, "__abstractmethods__", ())):
        raise InputError(f"exact loss {loss.__name__} must state {', '.join(missing)}")


EXACT_LOSSES = Registry[type[ExactLoss]]("exact loss", "convexon.certify.losses", _require_stated)
"""Exact losses by the names that certificates state."""


@EXACT_LOSSES("squared")
class ExactSquared(ExactLoss):
    """``1/2 ||z - y||^2`` with real targets."""

    off_class: ClassVar[float] = 0.0

    def require_targets(self, values: FloatArray) -> None:  # noqa: D102
        pass  # any finite ones do

    def mean(  # noqa: D102
        self, Z: Dyadic, Y: FloatArray, counts: Counts, rounding: Rounding
    ) -> Fraction:
        residual = Z - Dyadic.of(Y)
        weights = counts.astype(object)[:, None]
        total = Dyadic(weights * residual.units**2, 2 * residual.exponent).sum()
        return total / (2 * int(counts.sum()))

    def dual_value(self, dual: Dyadic, Y: FloatArray, counts: Counts) -> Fraction:  # noqa: D102
        linear = (dual * Dyadic.of(Y)).sum()
        squares = (dual.units**2).sum(axis=1)
        distinct = np.unique(counts)
        curved = sum(Fraction(int(squares[counts == c].sum()), int(c)) for c in distinct)
        return linear - Fraction(int(counts.sum()), 2) * curved * dual.step**2


class _Signed(ExactLoss):
    """A loss of margins ``y z`` with targets -1 and +1, whose slopes are 0 to 1."""

    def require_targets(self, values: FloatArray) -> None:
        if (np.abs(values) != 1.0).any():
            raise InputError("targets must be -1 or +1")

    def _margins(self, Z: Dyadic, Y: FloatArray) -> Dyadic:
        return Dyadic(Z.units * Y.astype(np.int64).astype(object), Z.exponent)

    def _taken(self, dual: Dyadic, Y: FloatArray, counts: Counts) -> _Shares:
        """What each entry takes of its sample's unit share, and what it leaves."""
        scale, whole = _unit_shares(dual, counts)
        taken = dual.at(-scale) * int(counts.sum()) * Y.astype(np.int64).astype(object)
        parts = np.stack([taken, whole - taken], axis=2).reshape(len(Y), -1)
        return _Shares(parts, whole[:, 0], scale)


@EXACT_LOSSES("hinge")
class ExactHinge(_Signed):
    """``max(0, 1 - y z)``; several outputs are one-versus-rest."""

    def mean(  # noqa: D102
        self, Z: Dyadic, Y: FloatArray, counts: Counts, rounding: Rounding
    ) -> Fraction:
        slack = Dyadic.of(np.ones((1, 1))) - self._margins(Z, Y)
        weights = counts.astype(object)[:, None]
        total = Dyadic(weights * np.maximum(slack.units, 0), slack.exponent).sum()
        return total / int(counts.sum())

    def dual_value(self, dual: Dyadic, Y: FloatArray, counts: Counts) -> Fraction:  # noqa: D102
        shares = self._taken(dual, Y, counts)
        return Fraction(int(shares.parts[:, ::2].sum()), int(counts.sum()) << shares.scale)


@EXACT_LOSSES("logistic")
class ExactLogistic(_Signed):
    """``log(1 + exp(-y z))``, one output."""

    def require_targets(self, values: FloatArray) -> None:  # noqa: D102
        if values.shape[1] != 1:
            raise InputError("targets must have one column")
        super().require_targets(values)

    def mean(  # noqa: D102
        self, Z: Dyadic, Y: FloatArray, counts: Counts, rounding: Rounding
    ) -> Fraction:
        rows = [[0, -int(m)] for m in self._margins(Z, Y).units.ravel()]
        return _mean_log_sum(rows, Z.exponent, counts, rounding)

    def dual_value(self, dual: Dyadic, Y: FloatArray, counts: Counts) -> Fraction:  # noqa: D102
        return self._taken(dual, Y, counts).mean_entropy(counts)


@EXACT_LOSSES("softmax")
class ExactSoftmax(ExactLoss):
    """Cross-entropy ``logsumexp(z) - z_y``, targets one-hot."""

    off_class: ClassVar[float] = 0.0

    def require_targets(self, values: FloatArray) -> None:  # noqa: D102
        one_hot = np.isin(values, (0.0, 1.0)).all() and (values.sum(axis=1) == 1.0).all()
        if not one_hot:
            raise InputError("targets must be one-hot")

    def mean(  # noqa: D102
        self, Z: Dyadic, Y: FloatArray, counts: Counts, rounding: Rounding
    ) -> Fraction:
        label = Y.argmax(axis=1)
        rows = (Z.units - Z.units[np.arange(len(label)), label][:, None]).tolist()
        return _mean_log_sum(rows, Z.exponent, counts, rounding)

    def dual_value(self, dual: Dyadic, Y: FloatArray, counts: Counts) -> Fraction:  # noqa: D102
        scale, whole = _unit_shares(dual, counts)
        taken = dual.at(-scale) * int(counts.sum())
        parts = np.where(Y > 0.0, whole - taken, -taken)
        unequal = np.flatnonzero(parts.sum(axis=1) != whole[:, 0])
        if len(unequal):
            raise InputError(
                f"the dual vector must sum to zero in row {int(unequal[0])}, which it does not"
            )
        return _Shares(parts, whole[:, 0], scale).mean_entropy(counts)


class _Shares:
    """Parts of each row's unit share, as integers over ``whole`` (n,), which is c_i * 2**scale.

    Raises
    ------
    InputError
        If a part is negative: the dual point leaves the conjugate's domain.
    """

    def __init__(self, parts: ObjectArray, whole: ObjectArray, scale: int) -> None:
        outside = np.flatnonzero((parts < 0).any(axis=1))
        if len(outside):
            row = int(outside[0])
            raise InputError(f"the dual vector leaves the conjugate's domain in row {row}")
        self.parts, self.whole, self.scale = parts, whole, scale

    def mean_entropy(self, counts: Counts) -> Fraction:
        """Lower bound on the mean entropy of the rows' parts."""
        terms = (
            DOWN.times(Decimal(int(count)), _entropy(row, int(one)))
            for row, one, count in zip(self.parts.tolist(), self.whole, counts, strict=True)
        )
        return Fraction(DOWN.total(terms)) / int(counts.sum())


def _unit_shares(dual: Dyadic, counts: Counts) -> tuple[int, ObjectArray]:
    """A scale at which the dual point is integers, and one sample's unit share there, (n, 1)."""
    scale = max(0, -dual.exponent)
    return scale, counts.astype(object)[:, None] * (1 << scale)


def _mean_log_sum(
    rows: list[list[int]], exponent: int, counts: Counts, rounding: Rounding
) -> Fraction:
    """Mean of ``log sum_k exp(units_k * 2**exponent)`` over the rows."""
    terms = (
        rounding.times(Decimal(int(count)), _log_sum(row, exponent, rounding))
        for row, count in zip(rows, counts, strict=True)
    )
    return Fraction(rounding.total(terms)) / int(counts.sum())


def _log_sum(units: list[int], exponent: int, rounding: Rounding) -> Decimal:
    """``log sum_k exp(units_k * 2**exponent)``, one of the units being zero."""
    top = max(units)
    up, down = (1 << exponent, 1) if exponent >= 0 else (1, 1 << -exponent)
    powers = rounding.total(rounding.exp(rounding.ratio((u - top) * up, down)) for u in units)
    return rounding.total([rounding.ratio(top * up, down), rounding.log(powers)])


def _entropy(parts: list[int], whole: int) -> Decimal:
    """Lower bound on ``-sum_k q_k log q_k`` with ``q_k = parts_k / whole``."""
    return DOWN.total(
        DOWN.times(DOWN.ratio(part, whole), -UP.log(UP.ratio(part, whole)))
        for part in parts
        if part
    )
