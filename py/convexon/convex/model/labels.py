"""Targets of a loss, made from class labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from convexon.convex.model.loss import LossKind
from convexon.errors import InputError

Labels = npt.NDArray[np.int64]


def targets_for(kind: LossKind, labels: Labels, n_outputs: int) -> npt.NDArray[np.float64] | Labels:
    """Return what a loss takes for class labels.

    Softmax takes labels. The others tell each class from the rest, squared by 1 and 0, hinge and
    logistic by +1 and -1; or with one output class 1 from class 0, by +1 and -1.

    Parameters
    ----------
    kind : LossKind
    labels : int64 array, shape (n,)
    n_outputs : int
        Classes; 1 for two classes told apart by one score.

    Raises
    ------
    InputError
        If one score is asked to tell apart more than two classes.
    """
    if n_outputs == 1 or kind is LossKind.LOGISTIC:
        top = int(labels.max(initial=0))
        if top > 1:
            raise InputError(f"loss {kind.value} must have 2 classes, not {top + 1}: take softmax")
        return np.asarray(2 * labels - 1, dtype=np.float64)
    if kind is LossKind.SOFTMAX:
        return labels
    one_hot = np.eye(n_outputs, dtype=np.float64)[labels]
    return one_hot if kind is LossKind.SQUARED else 2 * one_hot - 1
