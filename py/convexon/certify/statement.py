"""What a certificate is about: the program, in full, and the rows and columns it is over."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convexon.certify.exact.dyadic import FloatArray
from convexon.certify.exact.losses import EXACT_LOSSES
from convexon.certify.exact.penalties import EXACT_PENALTIES
from convexon.errors import InputError

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Statement:
    """The program ``min_W sum_i (c_i / N) loss((D W)_i, y_i) + rho sum_j w_j ||W_j||``.

    It is the program of arXiv:2605.08022 with equal samples merged into rows.

    Members
    -------
    loss, penalty : str
        Names in `EXACT_LOSSES` and `EXACT_PENALTIES`, or others, which cannot be checked here.
    rho : float
        Positive.
    targets : float64 array, shape (n, C)
        Real for squared, -1 or +1 for hinge and logistic (C = 1), one-hot for softmax.
    counts : int64 array, shape (n,)
        Samples c_i that each row stands for; N is their sum.
    groups : int64 array, shape (n,)
        Number of each row's input: rows of one group have the same input, so that any network
        gives them the same scores, whatever their targets.
    columns : int64 array, shape (k,)
        Columns of the dictionary that the weights are over, ascending.
    intercept : bool
        Whether the weights have one more row, for the always-firing column.
    weights : float64 array, shape (P,) or (P + 1,)
        Penalty weight w_j of every column of the dictionary and, last, of the always-firing one.
    min_weight : float
        Smallest weight that a column of any network would have; the universal bound rests on it.
    max_feature : int
        Largest entry that a column of any network would have: 1 for spikes, T for counts.

    Raises
    ------
    InputError
        If the members do not fit each other.
    """

    loss: str
    penalty: str
    rho: float
    targets: FloatArray
    counts: IntArray
    groups: IntArray
    columns: IntArray
    intercept: bool
    weights: FloatArray
    min_weight: float
    max_feature: int

    def __post_init__(self) -> None:
        for name in ("loss", "penalty"):
            require_text(name, getattr(self, name), word=True)
        for name in ("rho", "min_weight"):
            value = getattr(self, name)
            if type(value) is not float or not 0.0 < value <= LARGEST:
                raise InputError(f"{name} must be a positive finite number, not {value!r}")
        if type(self.max_feature) is not int or not 1 <= self.max_feature <= 255:
            raise InputError(f"max_feature must be 1 to 255, not {self.max_feature!r}")
        if type(self.intercept) is not bool:
            raise InputError(f"intercept must be true or false, not {self.intercept!r}")
        self._require_targets()
        n = self.n_rows
        for name in ("counts", "groups"):
            array = getattr(self, name)
            if array.shape != (n,) or array.dtype != np.int64 or (array < 0).any():
                raise InputError(f"{name} must be one integer a row ({n}), none of them negative")
        if (self.counts < 1).any() or int(self.counts.max()) * n > 2**53:
            raise InputError("counts must be positive and sum to no more than 2**53")
        weights, columns = self.weights, self.columns
        require_floats("weights", weights, (len(weights),) if weights.ndim == 1 else (-1,))
        if (weights < self.min_weight).any():
            raise InputError(f"weights must be no less than min_weight, {self.min_weight!r}")
        if (
            columns.ndim != 1
            or columns.dtype != np.int64
            or (np.diff(columns) <= 0).any()
            or (columns < 0).any()
            or (columns >= self.n_dictionary).any()
        ):
            raise InputError("columns must be ascending columns of the dictionary")

    def _require_targets(self) -> None:
        """Raise `InputError` unless the targets fit the loss."""
        values = self.targets
        if values.ndim != 2 or 0 in values.shape:
            raise InputError(f"targets must have shape (n, C), not {values.shape}")
        require_floats("targets", values, values.shape)
        if self.loss in EXACT_LOSSES:
            try:
                EXACT_LOSSES[self.loss]().require_targets(values)
            except InputError as error:
                raise InputError(f"{error} for {self.loss}") from error

    @property
    def unchecked(self) -> str | None:
        """Why nothing of the program can be evaluated here; None where it can."""
        for kind, name in ((EXACT_LOSSES, self.loss), (EXACT_PENALTIES, self.penalty)):
            if name not in kind:
                return f"no {kind.kind} {name!r} is registered in {kind.group}"
        return None

    @property
    def n_rows(self) -> int:
        """Number of rows n."""
        return int(self.targets.shape[0])

    @property
    def n_outputs(self) -> int:
        """Number of outputs C."""
        return int(self.targets.shape[1])

    @property
    def n_samples(self) -> int:
        """Number of samples N."""
        return int(self.counts.sum())

    @property
    def n_dictionary(self) -> int:
        """Columns of the dictionary, the always-firing one aside."""
        return len(self.weights) - self.intercept

    def with_intercept(self, columns: IntArray) -> IntArray:
        """Places in `weights` of the given columns and of the always-firing one."""
        last = np.array([self.n_dictionary] * self.intercept, dtype=np.int64)
        return np.concatenate([columns, last])


LARGEST = 1e60
"""Largest magnitude of a number in a certificate: what is made of them then stays a float64."""


def require_floats(name: str, values: npt.NDArray[np.generic], shape: tuple[int, ...]) -> None:
    """Raise `InputError` unless ``values`` are float64 of this shape, none above `LARGEST`."""
    if values.dtype != np.float64 or values.shape != shape:
        raise InputError(
            f"{name} must be finite float64 of shape {shape}, not {values.dtype} of {values.shape}"
        )
    within = np.abs(values) <= LARGEST  # which NaN is not
    if not within.all():
        raise InputError(
            f"{name} must be finite float64 of at most {LARGEST:g}, not {values[~within][0]}"
        )


def require_text(name: str, value: object, *, word: bool = False) -> None:
    """Raise `InputError` unless ``value`` is a line that prints as it is, or one ``word`` of it."""
    text = value if isinstance(value, str) and len(value) <= LONGEST else ""
    fits = re.fullmatch(r"[\w.-]+", text, re.ASCII) if word else text and text.isprintable()
    if not fits:
        kind = "a name" if word else "a line of printable text"
        raise InputError(f"{name} must be {kind}, not {ascii(value)[:60]}")


LONGEST = 2000
"""Characters of a text in a certificate."""
