"""Targets of a learning task, checked and brought into the form (m, C) of 64-bit floats.

Everything a user can get wrong about targets is refused here, so that the losses themselves never
meet a NaN, a label without a class or a shape that broadcasts by accident.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexon.errors import InputError

FloatArray = NDArray[np.float64]

_LARGEST_TOTAL = 2**53
"""Samples that may be counted: every integer up to here is a float64."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Targets:
    """Encoded targets of m distinct rows, each of which stands for one or more equal samples."""

    values: FloatArray  # shape (m, C), float64, in the form that the loss takes
    counts: NDArray[np.int64]  # samples that each row stands for, shape (m,), positive int64

    def __len__(self) -> int:
        return len(self.values)

    @property
    def n_outputs(self) -> int:
        """Number of outputs C."""
        return int(self.values.shape[1])

    @cached_property
    def total(self) -> int:
        """Number of samples N, the sum of the counts."""
        return int(self.counts.sum())

    @cached_property
    def shares(self) -> FloatArray:
        """Weight of each row in the mean, ``c_i / N`` rounded to nearest, shape (m, 1)."""
        return np.asarray(self.counts[:, None] / self.total)

    @cached_property
    def limits(self) -> FloatArray:
        """Largest float64 that is no greater than ``c_i / N`` in exact arithmetic, shape (m, 1)."""
        distinct, place = np.unique(self.counts, return_inverse=True)
        below = np.array([_quotient_below(int(count), self.total) for count in distinct])
        return below[place][:, None]

    def per_sample(self, dual: FloatArray) -> FloatArray:
        """``(N / c_i) * dual_i``, within two roundings: a dual point in units of one sample."""
        return dual * (self.total / self.counts[:, None])


def _quotient_below(count: int, total: int) -> float:
    """Largest float64 that is no greater than count / total."""
    value = count / total
    return value if Fraction(value) * total <= count else math.nextafter(value, 0.0)


def checked_counts(counts: ArrayLike | None, *, n_rows: int) -> NDArray[np.int64]:
    """Row multiplicities as int64, shape (n_rows,); ones where None.

    Raises `InputError` if they are not one positive integer per row, or sum to more than 2**53.
    """
    if counts is None:
        return np.ones(n_rows, dtype=np.int64)
    values = np.asarray(counts)
    if values.dtype.kind not in "iu" or values.shape != (n_rows,):
        raise InputError(
            f"counts must be integers, one per row of the features ({n_rows}), "
            f"not {values.dtype} of shape {values.shape!r}"
        )
    wrong = np.flatnonzero(values <= 0)
    if len(wrong):
        raise InputError(
            f"counts must be positive, not {int(values[wrong[0]])} at row {wrong[0]}: "
            "leave out rows that stand for no sample"
        )
    if values.size and int(values.max()) * n_rows > _LARGEST_TOTAL:
        raise InputError(f"counts must sum to no more than 2**53, not {values.max()} at a row")
    result = values.astype(np.int64)
    result.flags.writeable = False
    return result


def encode_real(targets: ArrayLike, *, n_rows: int, n_outputs: int | None) -> FloatArray:
    """Finite real targets as (n, C); a vector becomes one output.

    Raises `InputError` if the targets are not numbers, not finite, or of another shape.
    """
    try:
        values = np.array(targets, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(
            "targets must be an array of real numbers, not a ragged or non-numeric one"
        ) from None
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or values.shape[1] == 0:
        raise InputError(
            f"targets must be a vector or a matrix of n rows, not of shape {values.shape!r}"
        )
    if len(values) != n_rows:
        raise InputError(
            f"targets must have one row per row of the features ({n_rows}), not {len(values)!r}"
        )
    if n_outputs is not None and values.shape[1] != n_outputs:
        raise InputError(
            f"targets must have {n_outputs} column(s) for this loss, not {values.shape[1]!r}"
        )
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise InputError(
            f"targets must be finite, not {float(values[row, column])!r} "
            f"at row {row}, column {column}"
        )
    return values


def encode_signs(targets: ArrayLike, *, n_rows: int, n_outputs: int | None) -> FloatArray:
    """Targets of -1 and +1 as (n, C).

    Raises `InputError` as `encode_real`, and if an entry is neither -1 nor +1.
    """
    values = encode_real(targets, n_rows=n_rows, n_outputs=n_outputs)
    wrong = np.argwhere(np.abs(values) != 1.0)
    if len(wrong):
        row, column = wrong[0]
        raise InputError(
            f"targets must be -1 or +1, not {float(values[row, column])!r} at row {row}; "
            "encode labels 0/1 as 2*y - 1, and several classes as one-versus-rest columns"
        )
    return values


def encode_classes(targets: ArrayLike, *, n_rows: int, n_classes: int | None) -> FloatArray:
    """Integer labels one-hot, as (n, C).

    Raises `InputError` as `encode_real`, and if a label is no integer in ``range(n_classes)``, or,
    where that is None, if a label below the largest has no row. A class that is announced and
    absent is no error: its score can only fall, and the penalty says how far.
    """
    if np.ndim(targets) != 1:
        raise InputError(
            "targets must be a vector of class labels for softmax, "
            f"not of shape {np.shape(targets)!r}"
        )
    values = encode_real(targets, n_rows=n_rows, n_outputs=1)[:, 0]
    if len(values) == 0:
        raise InputError("targets must hold at least one label, not none")
    top = int(values.max()) + 1 if n_classes is None else n_classes
    wrong = np.flatnonzero((values != np.floor(values)) | (values < 0) | (values >= top))
    if len(wrong):
        label = float(values[wrong[0]])
        raise InputError(
            f"targets must be integer labels from 0 to {top - 1}, not {label!r} at row {wrong[0]}"
        )
    labels = values.astype(np.int64)
    present = len(np.unique(labels))
    if n_classes is None and present < top:
        raise InputError(
            f"targets must use every label from 0 to {top - 1}, not only {present} of them; "
            "renumber the labels, or pass n_classes"
        )
    encoded = np.zeros((n_rows, top))
    encoded[np.arange(n_rows), labels] = 1.0
    return encoded
