"""Targets of a learning task, checked and brought into the form (n, C) of 64-bit floats.

Everything a user can get wrong about targets is refused here, so that the losses themselves never
meet a NaN, a label without a class or a shape that broadcasts by accident.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexon.errors import InputError

FloatArray = NDArray[np.float64]


def encode_real(targets: ArrayLike, *, n_rows: int, n_outputs: int | None) -> FloatArray:
    """Finite real targets as (n, C); a vector becomes one output.

    Raises
    ------
    InputError
        If the targets are not numbers, not finite, or of another shape.
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

    Raises
    ------
    InputError
        As `encode_real`, and if an entry is neither -1 nor +1.
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

    Raises
    ------
    InputError
        As `encode_real`, and if a label is no integer in ``range(n_classes)`` or a class has no
        row. An absent class is refused because its score could only fall: the task has fewer
        classes.
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
    if n_classes is None and top > n_rows and top > 1:
        raise InputError(
            f"targets must use every label from 0 to {top - 1}, not only "
            f"{len(np.unique(labels))} of them; renumber the labels"
        )
    empty = np.flatnonzero(np.bincount(labels, minlength=top) == 0)
    if len(empty):
        raise InputError(
            f"targets must hold at least one row of each class, not none of class {empty[0]}; "
            f"lower n_classes or renumber the labels"
        )
    return np.eye(top)[labels]
