"""What is minimised, whatever the columns: the rows with their targets, a loss and a penalty."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexon.convex.model.loss import Loss, Targets
from convexon.convex.model.penalty import Penalty
from convexon.errors import InputError


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """One regularised learning task, checked at construction.

    Raises `InputError` if any of these does not fit; the text says which, where, and how to mend
    it.
    """

    targets: ArrayLike  # what `convexon.convex.model.loss.Loss.encode` takes
    loss: Loss
    penalty: Penalty
    rho: float  # positive: without it no dual point bounds the objective from below
    n_classes: int | None = None  # number of outputs C; derived from the targets where None
    counts: ArrayLike | None = None  # samples that each row stands for, (n,); ones where None
    # Number of each row's input, non-negative integers (n,): rows of one number have the same
    # input, so that every network gives them the same scores. Each row has an input of its own
    # where None, which is valid whatever the inputs are.
    groups: ArrayLike | None = None
    encoded: Targets = field(init=False, repr=False)  # (n, C) floats, with the counts

    def __post_init__(self) -> None:
        if not isinstance(self.loss, Loss):
            raise InputError(f"loss must be a Loss, not {self.loss!r}: take one of LOSSES")
        if not isinstance(self.penalty, Penalty):
            raise InputError(
                f"penalty must be a Penalty, not {self.penalty!r}: take one of PENALTIES"
            )
        if not (isinstance(self.rho, Real) and 0.0 < float(self.rho) < np.inf):
            raise InputError(f"rho must be a positive finite number, not {self.rho!r}")
        object.__setattr__(self, "rho", float(self.rho))
        encoded = self.loss.encode(
            self.targets, n_rows=self.n_rows, n_classes=self.n_classes, counts=self.counts
        )
        object.__setattr__(self, "encoded", encoded)

    @property
    def n_rows(self) -> int:
        """Number of rows n."""
        return len(np.asarray(self.targets))

    @property
    def n_outputs(self) -> int:
        """Number of outputs C."""
        return self.encoded.n_outputs

    @property
    def inputs(self) -> NDArray[np.int64]:
        """Number of each row's input, from 0 on without gaps, shape (n,).

        Raises `InputError` if the groups are not one integer a row.
        """
        if self.groups is None:
            return np.arange(self.n_rows)
        values = np.asarray(self.groups)
        if values.dtype.kind not in "iu" or values.shape != (self.n_rows,):
            raise InputError(
                f"groups must be integers, one per row ({self.n_rows}), "
                f"not {values.dtype} of shape {values.shape!r}"
            )
        return np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.int64)
