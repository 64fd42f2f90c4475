"""Losses of the convex program, with everything that is needed of them.

A loss is used in its mean form. Equal samples are merged into one row, so row i stands for c_i of N
samples: with predictions ``Z = D W`` of shape (m, C) and `Targets` ``Y`` of as many rows,
``value(Z, Y)`` is ``sum_i (c_i / N) loss(Z_i, y_i)``. The objective of the dual program is
``-sum_i (c_i / N) loss*(-(N / c_i) lambda_i, y_i)`` (Fenchel duality, as used in arXiv:2303.03382
and arXiv:2605.08022); `Loss.dual_value`.

A certificate must hold in exact arithmetic, so besides its plain value each loss offers bounds that
cover the rounding of their own evaluation: `Loss.upper_terms`, `Loss.lower_dual_terms`, and a map
into the conjugate's domain that leaves no entry outside by a single bit, `Loss.dual_in_domain`.
They assume IEEE arithmetic without underflow, and elementary functions within 8 units in the last
place.

A loss is one class, and `LOSSES` knows it by name. It is refused unless it states all that a
certificate, the universal bound and the quantizer need. The checker of certificates shares no code
with the solver, so it has an evaluation of its own (`convexon.certify.exact.losses.EXACT_LOSSES`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexon.convex.model.arrangement import Arrangement, Levelled
from convexon.convex.model.target import (
    Targets as Targets,  # re-exported: losses are used with it
)
from convexon.convex.model.target import (
    checked_counts,
)
from convexon.errors import InputError
from convexon.registry import Registry

FloatArray = NDArray[np.float64]
Labels = NDArray[np.int64]

UNIT = 2.0**-53
"""Unit roundoff: the relative error of one operation in float64 is at most this."""


def exact_sum(values: FloatArray) -> float:
    """Sum of all entries, rounded once at the end."""
    return math.fsum(values.ravel().tolist())


class Curvature(NamedTuple):
    """A second derivative row by row: ``diag(diagonal_i) - rank_one_i rank_one_i^T``."""

    diagonal: FloatArray  # shape (m, C)
    rank_one: FloatArray | None = None  # shape (m, C); None where outputs do not interact


class Loss(ABC):
    """A convex loss of a row of predictions, averaged over the rows."""

    slope: ClassVar[float]
    """Largest partial derivative of one sample's loss; infinite where `change_terms` is written
    anew."""

    binary: ClassVar[bool]
    """Whether one score tells two classes apart, by targets of -1 and +1."""

    multiclass: ClassVar[bool]
    """Whether a score for each class tells any number of classes apart."""

    off_class: ClassVar[float] = -1.0
    """Target of a score whose class is not the sample's; it is 1 where it is."""

    hinged: ClassVar[bool] = False
    """Whether the loss is ``max(0, 1 - y z)``, whose kink the interior-point method takes."""

    quadratic: ClassVar[bool] = False
    """Whether the loss is ``1/2 ||z - y||^2``, so that second moments of the columns suffice."""

    @property
    def name(self) -> str:
        """Name in `LOSSES`."""
        return LOSSES.name_of(type(self))

    def outputs_for(self, n_classes: int, *, single: bool = False) -> int:
        """Scores for so many classes: one each, or a ``single`` one where that tells two apart."""
        alone = single and self.binary and n_classes == 2
        return 1 if alone or not self.multiclass else n_classes

    def targets(self, labels: Labels, n_outputs: int) -> NDArray[np.float64] | Labels:
        """What `encode` takes for class labels (n,), with ``n_outputs`` scores a sample.

        One score tells class 1 from class 0 by +1 and -1, and a loss that is not `multiclass` has
        no more. More scores tell each class from the rest.

        Raises `InputError` if one score is asked to tell apart more than two classes.
        """
        if n_outputs == 1 or not self.multiclass:
            top = int(labels.max(initial=0))
            if top > 1:
                raise InputError(
                    f"loss {self.name} must have 2 classes, not {top + 1}: take softmax"
                )
            return np.asarray(2 * labels - 1, dtype=np.float64)
        one_hot = np.eye(n_outputs, dtype=np.float64)[labels]
        return np.where(one_hot > 0.0, 1.0, self.off_class)

    def encode(
        self,
        targets: ArrayLike,
        *,
        n_rows: int,
        n_classes: int | None = None,
        counts: ArrayLike | None = None,
    ) -> Targets:
        """Targets in the form that the other methods take, of shape (n_rows, C).

        Targets are real (n, C) for squared, -1 or +1 (n, C) for hinge and (n,) for logistic, and
        integer class labels (n,) for softmax; a vector counts as one output. Where ``n_classes`` is
        None it follows from the targets, and every class up to the largest must occur. Counts,
        positive integers (n_rows,), are the samples that each row stands for; ones where None.

        Raises `InputError` if any of them does not fit.
        """
        values = self._encoded(targets, n_rows=n_rows, n_classes=n_classes)
        values.flags.writeable = False
        return Targets(values=values, counts=checked_counts(counts, n_rows=n_rows))

    @abstractmethod
    def _encoded(self, targets: ArrayLike, *, n_rows: int, n_classes: int | None) -> FloatArray:
        """The values of the encoded targets, (n_rows, C)."""

    @abstractmethod
    def value(self, Z: FloatArray, Y: Targets) -> float:
        """Mean loss of the predictions ``Z``."""

    @abstractmethod
    def conjugate(self, U: FloatArray, Y: Targets) -> float:
        """Mean of ``sup_z <U_i, z> - loss(z, y_i)``; infinite outside its domain.

        ``U`` is in units of one sample, so it is ``-(N / c_i) lambda_i`` at a dual point lambda.
        """

    def dual_value(self, dual: FloatArray, Y: Targets) -> float:
        """Objective of the dual program at lambda = ``dual``, shape (m, C)."""
        return -self.conjugate(-Y.per_sample(dual), Y)

    @abstractmethod
    def dual_in_domain(self, dual: FloatArray, Y: Targets) -> FloatArray:
        """A lambda near ``dual`` for which ``-(N / c_i) lambda_i`` is in the domain, exactly.

        For logistic and hinge the entries are clipped at the largest float64 that is no greater
        than c_i / N. For softmax the off-label entries of a row are rounded towards zero to
        multiples of a power of two so coarse that their sum is exact; the label's entry is minus
        that sum.
        """

    @abstractmethod
    def upper_terms(self, Z: FloatArray, error: FloatArray, Y: Targets) -> FloatArray:
        """Bounds, in exact arithmetic, on each row's or entry's loss at any point near ``Z``.

        ``error`` (m, C) says how near. All terms are non-negative; their sum, weighted by the exact
        shares c_i / N, is at least the mean loss.
        """

    @abstractmethod
    def lower_dual_terms(self, dual: FloatArray, Y: Targets) -> FloatArray:
        """Terms whose exact sum is at most the dual objective in exact arithmetic.

        ``dual`` comes from `dual_in_domain`.
        """

    @abstractmethod
    def subgradient(self, Z: FloatArray, Y: Targets) -> FloatArray:
        """A subgradient of the mean loss at ``Z``, shape (m, C), inside the conjugate's domain."""

    def change_terms(
        self, Z: FloatArray, error: FloatArray, moved: FloatArray, Y: Targets
    ) -> FloatArray:
        """Bounds (m,) on how far each row's loss moves as its predictions do by up to ``moved``.

        ``error`` (m, C) says how near the exact predictions are to ``Z``. Rounding is covered but
        for that of the last sum.
        """
        return np.asarray(self.slope * moved.sum(axis=1))

    def arrangement(self, Y: Targets, inputs: Labels) -> Arrangement:
        """What a network could do at best, given which rows share an input, numbered (m,)."""
        return Levelled(self.dual_value, Y, inputs, subgradient=self.subgradient)


class SmoothLoss(Loss):
    """A loss with a Lipschitz gradient and a second derivative."""

    smoothness: ClassVar[float]
    """Lipschitz constant of the gradient of one row's loss."""

    @abstractmethod
    def gradient(self, Z: FloatArray, Y: Targets) -> FloatArray:
        """Gradient of the mean loss with respect to ``Z``, shape (m, C)."""

    @abstractmethod
    def curvature(self, Z: FloatArray, Y: Targets) -> Curvature:
        """Second derivative of the mean loss, row by row."""

    def subgradient(self, Z: FloatArray, Y: Targets) -> FloatArray:
        """The gradient, which is the only subgradient."""
        return self.gradient(Z, Y)


def _require_stated(loss: type[Loss]) -> None:
    """Raise `InputError` unless a loss states all that is asked of it."""
    asked = ("slope", "binary", "multiclass")
    missing = sorted(getattr(loss, "__abstractmethods__", ()))
    missing += [name for name in asked if not hasattr(loss, name)]
    if issubclass(loss, SmoothLoss) and not hasattr(loss, "smoothness"):
        missing.append("smoothness")
    if not missing and math.isinf(loss.slope) and loss.change_terms is Loss.change_terms:
        missing.append("change_terms, as its slope is infinite")
    if missing:
        raise InputError(
            f"loss {loss.__name__} must state {', '.join(missing)}: "
            "without them nothing could be certified or quantized"
        )
    if not (issubclass(loss, SmoothLoss) or loss.hinged):
        raise InputError(
            f"loss {loss.__name__} must be smooth or hinged: no solver takes other kinks"
        )


LOSSES = Registry[type[Loss]]("loss", "convexon.losses", _require_stated)
"""The losses by name, those of other packages included."""
