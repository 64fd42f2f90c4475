"""The losses: squared, logistic, softmax cross-entropy, and hinge.

They hold no state, so any two instances of one are equal. What each method must do is said by
`convexon.convex.model.loss.Loss`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, xlog1py, xlogy

from convexon.convex.model.arrangement import Arrangement, Averaged, Coupled, Majority
from convexon.convex.model.loss import (
    LOSSES,
    UNIT,
    Curvature,
    FloatArray,
    Labels,
    Loss,
    SmoothLoss,
    Targets,
)
from convexon.convex.model.target import encode_classes, encode_real, encode_signs

_DOMAIN_SLACK = 1e-10
"""How far outside the conjugate's domain an entry may lie and still count as rounding."""


@LOSSES("squared")
@dataclass(frozen=True)
class Squared(SmoothLoss):
    """``1/2 ||z - y||^2`` with real targets."""

    smoothness: ClassVar[float] = 1.0
    slope: ClassVar[float] = math.inf
    binary: ClassVar[bool] = True
    multiclass: ClassVar[bool] = True
    off_class: ClassVar[float] = 0.0
    quadratic: ClassVar[bool] = True

    def _encoded(self, targets: ArrayLike, *, n_rows: int, n_classes: int | None) -> FloatArray:
        return encode_real(targets, n_rows=n_rows, n_outputs=n_classes)

    def value(self, Z: FloatArray, Y: Targets) -> float:  # noqa: D102
        return 0.5 * float((Y.shares * np.square(Z - Y.values)).sum())

    def gradient(self, Z: FloatArray, Y: Targets) -> FloatArray:  # noqa: D102
        return Y.shares * (Z - Y.values)

    def curvature(self, Z: FloatArray, Y: Targets) -> Curvature:  # noqa: D102
        return Curvature(np.broadcast_to(Y.shares, Z.shape))

    def conjugate(self, U: FloatArray, Y: Targets) -> float:  # noqa: D102
        return float((Y.shares * U * (0.5 * U + Y.values)).sum())

    def dual_in_domain(self, dual: FloatArray, Y: Targets) -> FloatArray:  # noqa: D102
        return dual

    def upper_terms(  # noqa: D102
        self, Z: FloatArray, error: FloatArray, Y: Targets
    ) -> FloatArray:
        residual = np.abs(Z - Y.values)
        residual += error + 4.0 * UNIT * residual
        return np.asarray(0.5 * np.square(residual) * (1.0 + 8.0 * UNIT))

    def lower_dual_terms(self, dual: FloatArray, Y: Targets) -> FloatArray:  # noqa: D102
        half, y = 0.5 * Y.per_sample(dual), Y.values
        return np.asarray(
            dual * (y - half) - 8.0 * UNIT * np.abs(dual) * (np.abs(y) + np.abs(half))
        )

    def change_terms(
        self, Z: FloatArray, error: FloatArray, moved: FloatArray, Y: Targets
    ) -> FloatArray:
        """``|z - y| e + e**2 / 2`` for a move of e: the slope has no bound."""
        residual = (np.abs(Z - Y.values) + error) * (1.0 + 8.0 * UNIT)
        return np.asarray((residual * moved + 0.5 * moved**2).sum(axis=1))

    def arrangement(self, Y: Targets, inputs: Labels) -> Arrangement:  # noqa: D102
        return Averaged(self.dual_value, Y, inputs, probabilities=False)


class _Signed(Loss):
    """A loss of margins ``y z`` with targets -1 and +1, whose slopes are 0 to 1."""

    slope: ClassVar[float] = 1.0
    binary: ClassVar[bool] = True

    def _taken(self, U: FloatArray, Y: Targets) -> FloatArray | None:
        """What a point takes of each entry's slope, in [0, 1]; None outside the domain."""
        share = -Y.values * U
        if share.size and (share.min() < -_DOMAIN_SLACK or share.max() > 1.0 + _DOMAIN_SLACK):
            return None
        return np.clip(share, 0.0, 1.0)

    def dual_in_domain(self, dual: FloatArray, Y: Targets) -> FloatArray:
        return Y.values * np.clip(Y.values * dual, 0.0, Y.limits)


@LOSSES("logistic")
@dataclass(frozen=True)
class Logistic(_Signed, SmoothLoss):
    """``log(1 + exp(-y z))`` with labels -1 and +1, one output."""

    smoothness: ClassVar[float] = 0.25
    multiclass: ClassVar[bool] = False

    def _encoded(self, targets: ArrayLike, *, n_rows: int, n_classes: int | None) -> FloatArray:
        return encode_signs(targets, n_rows=n_rows, n_outputs=1)

    def value(self, Z: FloatArray, Y: Targets) -> float:  # noqa: D102
        return float((Y.shares * np.logaddexp(0.0, -Y.values * Z)).sum())

    def gradient(self, Z: FloatArray, Y: Targets) -> FloatArray:  # noqa: D102
        return np.asarray(-Y.shares * Y.values * expit(-Y.values * Z))

    def curvature(self, Z: FloatArray, Y: Targets) -> Curvature:  # noqa: D102
        return Curvature(np.asarray(Y.shares * expit(Z) * expit(-Z)))

    def conjugate(self, U: FloatArray, Y: Targets) -> float:  # noqa: D102
        if (share := self._taken(U, Y)) is None:
            return np.inf
        return float((Y.shares * (xlogy(share, share) + xlog1py(1.0 - share, -share))).sum())

    def upper_terms(  # noqa: D102
        self, Z: FloatArray, error: FloatArray, Y: Targets
    ) -> FloatArray:
        margin = -Y.values * Z
        margin += error + 4.0 * UNIT * (np.abs(margin) + error)
        return np.asarray(np.logaddexp(0.0, margin) * (1.0 + 32.0 * UNIT))

    def lower_dual_terms(self, dual: FloatArray, Y: Targets) -> FloatArray:  # noqa: D102
        share = np.minimum(Y.per_sample(Y.values * dual), 1.0)
        own, other = -xlogy(share, share), -xlog1py(1.0 - share, -share)
        # Two roundings move the share by 2 units, and the entropy by no more than its value there,
        # 2 (1 + log(2**52)) < 75 units, which is what happens next to the end of the interval.
        lower = own + other - UNIT * (80.0 * share + 20.0 * (own + other))
        return np.asarray(Y.shares * lower)

    def arrangement(self, Y: Targets, inputs: Labels) -> Arrangement:  # noqa: D102
        return Averaged(self.dual_value, Y, inputs, probabilities=True)


@LOSSES("softmax")
@dataclass(frozen=True)
class Softmax(SmoothLoss):
    """Cross-entropy ``logsumexp(z) - z_y`` with integer labels, encoded one-hot."""

    smoothness: ClassVar[float] = 0.5
    slope: ClassVar[float] = 1.0
    binary: ClassVar[bool] = False
    multiclass: ClassVar[bool] = True

    def targets(self, labels: Labels, n_outputs: int) -> NDArray[np.float64] | Labels:
        """The labels themselves."""
        return labels

    def _encoded(self, targets: ArrayLike, *, n_rows: int, n_classes: int | None) -> FloatArray:
        return encode_classes(targets, n_rows=n_rows, n_classes=n_classes)

    def value(self, Z: FloatArray, Y: Targets) -> float:  # noqa: D102
        # Measured from the label's own score, and with the largest term outside the logarithm, a
        # well-classified row keeps its tiny loss in full precision.
        margin = Z - (Z * Y.values).sum(axis=1, keepdims=True)
        return float(_log_sums(margin) @ Y.shares[:, 0])

    def gradient(self, Z: FloatArray, Y: Targets) -> FloatArray:  # noqa: D102
        return Y.shares * (_probabilities(Z) - Y.values)

    def curvature(self, Z: FloatArray, Y: Targets) -> Curvature:  # noqa: D102
        p = _probabilities(Z)
        return Curvature(p * Y.shares, p * np.sqrt(Y.shares))

    def conjugate(self, U: FloatArray, Y: Targets) -> float:  # noqa: D102
        q = U + Y.values
        if q.min(initial=0.0) < -_DOMAIN_SLACK or np.any(np.abs(q.sum(axis=1) - 1.0) > 1e-8):
            return np.inf
        q = np.maximum(q, 0.0)
        return float((Y.shares * xlogy(q, q)).sum())

    def dual_in_domain(self, dual: FloatArray, Y: Targets) -> FloatArray:  # noqa: D102
        label, n_outputs = Y.values > 0.0, Y.n_outputs
        q = np.maximum(Y.values - Y.per_sample(dual), 0.0)
        total = q.sum(axis=1, keepdims=True)
        # A row without any positive part says nothing: the label itself is the neutral choice. The
        # last factor keeps rounding from taking a row beyond c_i / N.
        q = np.where(total > 0.0, q / np.where(total > 0.0, total, 1.0), Y.values)
        off = np.where(label, 0.0, q * Y.limits * (1.0 - 8.0 * n_outputs * UNIT))
        _, exponent = np.frexp(n_outputs * off.max(axis=1, keepdims=True))
        grid = np.ldexp(1.0, np.maximum(exponent, -900) - 52)
        off = np.floor(off / grid) * grid
        return np.asarray(np.where(label, off.sum(axis=1, keepdims=True), -off))

    def upper_terms(  # noqa: D102
        self, Z: FloatArray, error: FloatArray, Y: Targets
    ) -> FloatArray:
        y = Y.values
        margin = Z - (Z * y).sum(axis=1, keepdims=True)
        both = error + (error * y).sum(axis=1, keepdims=True)
        margin += both + 4.0 * UNIT * (np.abs(margin) + both)
        margin = np.where(y > 0.0, 0.0, margin)
        return np.asarray(_log_sums(margin) * (1.0 + (40.0 + 4.0 * Y.n_outputs) * UNIT))[:, None]

    def lower_dual_terms(self, dual: FloatArray, Y: Targets) -> FloatArray:  # noqa: D102
        # What the label gives up, and what the others get of it.
        share = np.minimum(Y.per_sample(np.abs(dual)), 1.0)
        terms = np.where(Y.values > 0.0, -xlog1py(1.0 - share, -share), -xlogy(share, share))
        # As for the logistic loss, two roundings of the share cost no more than 75 units.
        return np.asarray(Y.shares * (terms - UNIT * (80.0 * share + 20.0 * np.abs(terms))))

    def change_terms(
        self, Z: FloatArray, error: FloatArray, moved: FloatArray, Y: Targets
    ) -> FloatArray:
        """Twice the largest move: the l1 norm of the gradient is at most 2."""
        return np.asarray(2.0 * moved.max(axis=1))

    def arrangement(self, Y: Targets, inputs: Labels) -> Arrangement:  # noqa: D102
        return Coupled(self.dual_value, Y, inputs)


def _log_sums(margin: FloatArray) -> FloatArray:
    """Log of the sum of exponentials of each row, the largest term outside the logarithm."""
    rows, best = np.arange(len(margin)), margin.argmax(axis=1)
    top = margin[rows, best]
    rest = np.exp(margin - top[:, None])
    rest[rows, best] = 0.0
    return np.asarray(top + np.log1p(rest.sum(axis=1)))


def _probabilities(Z: FloatArray) -> FloatArray:
    """Softmax of each row."""
    p = np.exp(Z - Z.max(axis=1, keepdims=True))
    return np.asarray(p / p.sum(axis=1, keepdims=True))


@LOSSES("hinge")
@dataclass(frozen=True)
class Hinge(_Signed):
    """``max(0, 1 - y z)`` with targets -1 and +1; several outputs are one-versus-rest."""

    multiclass: ClassVar[bool] = True
    hinged: ClassVar[bool] = True

    def _encoded(self, targets: ArrayLike, *, n_rows: int, n_classes: int | None) -> FloatArray:
        return encode_signs(targets, n_rows=n_rows, n_outputs=n_classes)

    def value(self, Z: FloatArray, Y: Targets) -> float:  # noqa: D102
        return float((Y.shares * np.maximum(0.0, 1.0 - Y.values * Z)).sum())

    def subgradient(self, Z: FloatArray, Y: Targets) -> FloatArray:
        """Zero on the kink, where any share of the slope would do."""
        return np.where(Y.values * Z < 1.0, -Y.values * Y.shares, 0.0)

    def conjugate(self, U: FloatArray, Y: Targets) -> float:  # noqa: D102
        share = self._taken(U, Y)
        return np.inf if share is None else -float((Y.shares * share).sum())

    def upper_terms(  # noqa: D102
        self, Z: FloatArray, error: FloatArray, Y: Targets
    ) -> FloatArray:
        slack = 1.0 - Y.values * Z
        slack += error + 4.0 * UNIT * (np.abs(slack) + error)
        return np.asarray(np.maximum(0.0, slack) * (1.0 + 4.0 * UNIT))

    def lower_dual_terms(self, dual: FloatArray, Y: Targets) -> FloatArray:
        """Without any rounding: the dual objective is the sum of the entries' magnitudes."""
        return Y.values * dual

    def arrangement(self, Y: Targets, inputs: Labels) -> Arrangement:  # noqa: D102
        return Majority(self.dual_value, Y, inputs)
