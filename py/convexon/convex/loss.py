"""Losses of the convex program, with everything a certificate needs of them.

A loss is used in its mean form: with predictions ``Z = D W`` of shape (n, C) and encoded targets
``Y`` of shape (n, C), ``value(Z, Y)`` is ``(1/n) sum_i loss(Z_i, y_i)``. Its conjugate is handed
``U = -n * lambda``, so that ``-conjugate(U, Y)`` is the objective of the dual program (Fenchel
duality, as used in arXiv:2303.03382 and arXiv:2605.08022).

A certificate must hold in exact arithmetic, so besides its plain value each loss offers bounds that
cover the rounding of their own evaluation: `Loss.upper_terms`, `Loss.lower_dual_terms`, and a map
into the conjugate's domain that leaves no entry outside by a single bit, `Loss.dual_in_domain`.
They assume IEEE arithmetic without underflow, and elementary functions within 8 units in the last
place.

Members
-------
UNIT, exact_sum
    Unit roundoff of float64; a sum with one rounding only.
LossKind, loss_for
    The four losses by name.
Loss, SmoothLoss, NonsmoothLoss
    What a certificate needs; what Newton steps need; what the method of multipliers needs.
Squared, Logistic, Softmax, Hinge
    The losses themselves. They hold no state, so any two instances are equal.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, xlog1py, xlogy

from convexon.convex.target import encode_classes, encode_real, encode_signs

FloatArray = NDArray[np.float64]

UNIT = 2.0**-53
"""Unit roundoff: the relative error of one operation in float64 is at most this."""

_DOMAIN_SLACK = 1e-10
"""How far outside the conjugate's domain an entry may lie and still count as rounding."""


def exact_sum(values: FloatArray) -> float:
    """Sum of all entries, rounded once at the end."""
    return math.fsum(values.ravel().tolist())


class LossKind(Enum):
    """The losses that a convex program can have."""

    SQUARED = "squared"
    LOGISTIC = "logistic"
    HINGE = "hinge"
    SOFTMAX = "softmax"


class Curvature(NamedTuple):
    """A second derivative row by row: ``diag(diagonal_i) - rank_one_i rank_one_i^T``.

    Members
    -------
    diagonal
        Shape (n, C).
    rank_one
        Shape (n, C); None where outputs do not interact.
    """

    diagonal: FloatArray
    rank_one: FloatArray | None = None


class Loss(ABC):
    """A convex loss of a row of predictions, averaged over the rows."""

    kind: ClassVar[LossKind]

    @abstractmethod
    def encode(
        self, targets: ArrayLike, *, n_rows: int, n_classes: int | None = None
    ) -> FloatArray:
        """Targets in the form that the other methods take, shape (n_rows, C).

        Parameters
        ----------
        targets
            Real (n, C) for squared, -1 or +1 (n, C) for hinge and (n,) for logistic, integer class
            labels (n,) for softmax. A vector counts as one output.
        n_rows
            Number of rows that the features have.
        n_classes
            Number of outputs that are expected; derived from the targets where it is None. For
            softmax each class in ``range(n_classes)`` must occur.

        Raises
        ------
        InputError
            If the targets are not finite, or do not fit the loss or the shape.
        """

    @abstractmethod
    def value(self, Z: FloatArray, Y: FloatArray) -> float:
        """Mean loss of the predictions ``Z``."""

    @abstractmethod
    def conjugate(self, U: FloatArray, Y: FloatArray) -> float:
        """Mean of ``sup_z <U_i, z> - loss(z, y_i)``; infinite outside its domain."""

    @abstractmethod
    def dual_in_domain(self, dual: FloatArray, Y: FloatArray) -> FloatArray:
        """A lambda near ``dual`` for which ``-n * lambda`` is in the conjugate's domain, exactly.

        For logistic and hinge the entries are clipped at the largest float64 that is no greater
        than 1/n. For softmax the off-label entries of a row are rounded towards zero to multiples
        of a power of two so coarse that their sum is exact; the label's entry is minus that sum.
        """

    @abstractmethod
    def upper_terms(self, Z: FloatArray, error: FloatArray, Y: FloatArray) -> FloatArray:
        """Bounds, in exact arithmetic, on each row's or entry's loss at any point near ``Z``.

        ``error`` (n, C) says how near. All terms are non-negative; their exact sum over n is at
        least the mean loss.
        """

    @abstractmethod
    def lower_dual_terms(self, dual: FloatArray, Y: FloatArray) -> FloatArray:
        """Terms whose exact sum is at most ``-conjugate(-n * dual, Y)`` in exact arithmetic.

        ``dual`` comes from `dual_in_domain`.
        """

    @abstractmethod
    def subgradient(self, Z: FloatArray, Y: FloatArray) -> FloatArray:
        """A subgradient of the mean loss at ``Z``, shape (n, C), inside the conjugate's domain."""


class SmoothLoss(Loss):
    """A loss with a Lipschitz gradient and a second derivative."""

    smoothness: ClassVar[float]
    """Lipschitz constant of the gradient of one row's loss."""

    @abstractmethod
    def gradient(self, Z: FloatArray, Y: FloatArray) -> FloatArray:
        """Gradient of the mean loss with respect to ``Z``, shape (n, C)."""

    @abstractmethod
    def curvature(self, Z: FloatArray, Y: FloatArray) -> Curvature:
        """Second derivative of the mean loss, row by row."""

    def subgradient(self, Z: FloatArray, Y: FloatArray) -> FloatArray:
        """The gradient, which is the only subgradient."""
        return self.gradient(Z, Y)


class NonsmoothLoss(Loss):
    """A loss with kinks, handled through the proximal map of its conjugate."""

    @abstractmethod
    def conjugate_prox(self, M: FloatArray, Y: FloatArray, *, step: float) -> FloatArray:
        """Proximal map, at ``M``, of ``step`` times the conjugate of the *mean* loss.

        Here ``M`` is in the units of ``-lambda``: the conjugate of the mean loss at M is
        ``conjugate(n * M, Y)``.
        """


@dataclass(frozen=True)
class Squared(SmoothLoss):
    """``1/2 ||z - y||^2`` with real targets."""

    kind: ClassVar[LossKind] = LossKind.SQUARED
    smoothness: ClassVar[float] = 1.0

    def encode(  # noqa: D102
        self, targets: ArrayLike, *, n_rows: int, n_classes: int | None = None
    ) -> FloatArray:
        return encode_real(targets, n_rows=n_rows, n_outputs=n_classes)

    def value(self, Z: FloatArray, Y: FloatArray) -> float:  # noqa: D102
        return 0.5 * float(np.square(Z - Y).sum()) / len(Y)

    def gradient(self, Z: FloatArray, Y: FloatArray) -> FloatArray:  # noqa: D102
        return (Z - Y) / len(Y)

    def curvature(self, Z: FloatArray, Y: FloatArray) -> Curvature:  # noqa: D102
        return Curvature(np.full_like(Z, 1.0 / len(Y)))

    def conjugate(self, U: FloatArray, Y: FloatArray) -> float:  # noqa: D102
        return float((U * (0.5 * U + Y)).sum()) / len(Y)

    def dual_in_domain(self, dual: FloatArray, Y: FloatArray) -> FloatArray:  # noqa: D102
        return dual

    def upper_terms(  # noqa: D102
        self, Z: FloatArray, error: FloatArray, Y: FloatArray
    ) -> FloatArray:
        residual = np.abs(Z - Y)
        residual += error + 4.0 * UNIT * residual
        return np.asarray(0.5 * np.square(residual) * (1.0 + 8.0 * UNIT))

    def lower_dual_terms(self, dual: FloatArray, Y: FloatArray) -> FloatArray:  # noqa: D102
        half = 0.5 * len(Y) * dual
        return np.asarray(
            dual * (Y - half) - 8.0 * UNIT * np.abs(dual) * (np.abs(Y) + np.abs(half))
        )


@dataclass(frozen=True)
class Logistic(SmoothLoss):
    """``log(1 + exp(-y z))`` with labels -1 and +1, one output."""

    kind: ClassVar[LossKind] = LossKind.LOGISTIC
    smoothness: ClassVar[float] = 0.25

    def encode(  # noqa: D102
        self, targets: ArrayLike, *, n_rows: int, n_classes: int | None = None
    ) -> FloatArray:
        return encode_signs(targets, n_rows=n_rows, n_outputs=1)

    def value(self, Z: FloatArray, Y: FloatArray) -> float:  # noqa: D102
        return float(np.logaddexp(0.0, -Y * Z).sum()) / len(Y)

    def gradient(self, Z: FloatArray, Y: FloatArray) -> FloatArray:  # noqa: D102
        return np.asarray(-Y * expit(-Y * Z)) / len(Y)

    def curvature(self, Z: FloatArray, Y: FloatArray) -> Curvature:  # noqa: D102
        return Curvature(np.asarray(expit(Z) * expit(-Z)) / len(Y))

    def conjugate(self, U: FloatArray, Y: FloatArray) -> float:  # noqa: D102
        share = -Y * U
        if share.size and (share.min() < -_DOMAIN_SLACK or share.max() > 1.0 + _DOMAIN_SLACK):
            return np.inf
        share = np.clip(share, 0.0, 1.0)
        return float((xlogy(share, share) + xlog1py(1.0 - share, -share)).sum()) / len(Y)

    def dual_in_domain(self, dual: FloatArray, Y: FloatArray) -> FloatArray:  # noqa: D102
        return Y * np.clip(Y * dual, 0.0, _reciprocal_below(len(Y)))

    def upper_terms(  # noqa: D102
        self, Z: FloatArray, error: FloatArray, Y: FloatArray
    ) -> FloatArray:
        margin = -Y * Z
        margin += error + 4.0 * UNIT * (np.abs(margin) + error)
        return np.asarray(np.logaddexp(0.0, margin) * (1.0 + 32.0 * UNIT))

    def lower_dual_terms(self, dual: FloatArray, Y: FloatArray) -> FloatArray:  # noqa: D102
        share = len(Y) * (Y * dual)
        own, other = -xlogy(share, share), -xlog1py(1.0 - share, -share)
        # Rounding the share moves the entropy by no more than 40 times as much: its slope reaches
        # 37 a unit from the end of the interval.
        return np.asarray(own + other - UNIT * (40.0 * share + 20.0 * (own + other))) / len(Y)


@dataclass(frozen=True)
class Softmax(SmoothLoss):
    """Cross-entropy ``logsumexp(z) - z_y`` with integer labels, encoded one-hot."""

    kind: ClassVar[LossKind] = LossKind.SOFTMAX
    smoothness: ClassVar[float] = 0.5

    def encode(  # noqa: D102
        self, targets: ArrayLike, *, n_rows: int, n_classes: int | None = None
    ) -> FloatArray:
        return encode_classes(targets, n_rows=n_rows, n_classes=n_classes)

    def value(self, Z: FloatArray, Y: FloatArray) -> float:  # noqa: D102
        # Measured from the label's own score, and with the largest term outside the logarithm, a
        # well-classified row keeps its tiny loss in full precision.
        margin = Z - (Z * Y).sum(axis=1, keepdims=True)
        return float(_log_sums(margin).sum()) / len(Y)

    def gradient(self, Z: FloatArray, Y: FloatArray) -> FloatArray:  # noqa: D102
        return (_probabilities(Z) - Y) / len(Y)

    def curvature(self, Z: FloatArray, Y: FloatArray) -> Curvature:  # noqa: D102
        p = _probabilities(Z)
        return Curvature(p / len(Y), p / np.sqrt(len(Y)))

    def conjugate(self, U: FloatArray, Y: FloatArray) -> float:  # noqa: D102
        q = U + Y
        if q.min(initial=0.0) < -_DOMAIN_SLACK or np.any(np.abs(q.sum(axis=1) - 1.0) > 1e-8):
            return np.inf
        q = np.maximum(q, 0.0)
        return float(xlogy(q, q).sum()) / len(Y)

    def dual_in_domain(self, dual: FloatArray, Y: FloatArray) -> FloatArray:  # noqa: D102
        n_rows, n_outputs = Y.shape
        q = np.maximum(Y - n_rows * dual, 0.0)
        total = q.sum(axis=1, keepdims=True)
        # A row without any positive part says nothing: the label itself is the neutral choice. The
        # last factor keeps rounding from taking a row beyond 1/n.
        share = np.where(total > 0.0, q / np.where(total > 0.0, total, 1.0), Y) / n_rows
        off = np.where(Y > 0.0, 0.0, share * (1.0 - 8.0 * n_outputs * UNIT))
        _, exponent = np.frexp(n_outputs * off.max(axis=1, keepdims=True))
        grid = np.ldexp(1.0, np.maximum(exponent, -900) - 52)
        off = np.floor(off / grid) * grid
        return np.asarray(np.where(Y > 0.0, off.sum(axis=1, keepdims=True), -off))

    def upper_terms(  # noqa: D102
        self, Z: FloatArray, error: FloatArray, Y: FloatArray
    ) -> FloatArray:
        margin = Z - (Z * Y).sum(axis=1, keepdims=True)
        both = error + (error * Y).sum(axis=1, keepdims=True)
        margin += both + 4.0 * UNIT * (np.abs(margin) + both)
        margin = np.where(Y > 0.0, 0.0, margin)
        return np.asarray(_log_sums(margin) * (1.0 + (40.0 + 4.0 * Y.shape[1]) * UNIT))

    def lower_dual_terms(self, dual: FloatArray, Y: FloatArray) -> FloatArray:  # noqa: D102
        share = len(Y) * np.abs(dual)  # what the label gives up, and what the others get of it
        terms = np.where(Y > 0.0, -xlog1py(1.0 - share, -share), -xlogy(share, share))
        return np.asarray(terms - UNIT * (40.0 * share + 20.0 * np.abs(terms))) / len(Y)


def _log_sums(margin: FloatArray) -> FloatArray:
    """Log of the sum of exponentials of each row, the largest term outside the logarithm."""
    rows, best = np.arange(len(margin)), margin.argmax(axis=1)
    top = margin[rows, best]
    rest = np.exp(margin - top[:, None])
    rest[rows, best] = 0.0
    return np.asarray(top + np.log1p(rest.sum(axis=1)))


def _reciprocal_below(n: int) -> float:
    """Largest float64 that is no greater than 1/n."""
    value = 1.0 / n
    return value if Fraction(value) * n <= 1 else math.nextafter(value, 0.0)


def _probabilities(Z: FloatArray) -> FloatArray:
    """Softmax of each row."""
    p = np.exp(Z - Z.max(axis=1, keepdims=True))
    return np.asarray(p / p.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class Hinge(NonsmoothLoss):
    """``max(0, 1 - y z)`` with targets -1 and +1; several outputs are one-versus-rest."""

    kind: ClassVar[LossKind] = LossKind.HINGE

    def encode(  # noqa: D102
        self, targets: ArrayLike, *, n_rows: int, n_classes: int | None = None
    ) -> FloatArray:
        return encode_signs(targets, n_rows=n_rows, n_outputs=n_classes)

    def value(self, Z: FloatArray, Y: FloatArray) -> float:  # noqa: D102
        return float(np.maximum(0.0, 1.0 - Y * Z).sum()) / len(Y)

    def subgradient(self, Z: FloatArray, Y: FloatArray) -> FloatArray:
        """Zero on the kink, where any share of the slope would do."""
        return np.where(Y * Z < 1.0, -Y, 0.0) / len(Y)

    def conjugate(self, U: FloatArray, Y: FloatArray) -> float:  # noqa: D102
        share = -Y * U
        if share.size and (share.min() < -_DOMAIN_SLACK or share.max() > 1.0 + _DOMAIN_SLACK):
            return np.inf
        return -float(np.clip(share, 0.0, 1.0).sum()) / len(Y)

    def dual_in_domain(self, dual: FloatArray, Y: FloatArray) -> FloatArray:  # noqa: D102
        return Y * np.clip(Y * dual, 0.0, _reciprocal_below(len(Y)))

    def upper_terms(  # noqa: D102
        self, Z: FloatArray, error: FloatArray, Y: FloatArray
    ) -> FloatArray:
        slack = 1.0 - Y * Z
        slack += error + 4.0 * UNIT * (np.abs(slack) + error)
        return np.asarray(np.maximum(0.0, slack) * (1.0 + 4.0 * UNIT))

    def lower_dual_terms(self, dual: FloatArray, Y: FloatArray) -> FloatArray:
        """Without any rounding: the dual objective is the sum of the entries' magnitudes."""
        return Y * dual

    def conjugate_prox(self, M: FloatArray, Y: FloatArray, *, step: float) -> FloatArray:
        """Shift by the linear conjugate, then clip into its interval."""
        return -Y * np.clip(step - Y * M, 0.0, 1.0 / len(Y))


_LOSSES: dict[LossKind, Loss] = {
    LossKind.SQUARED: Squared(),
    LossKind.LOGISTIC: Logistic(),
    LossKind.HINGE: Hinge(),
    LossKind.SOFTMAX: Softmax(),
}


def loss_for(kind: LossKind) -> Loss:
    """The loss of the given kind."""
    return _LOSSES[LossKind(kind)]
