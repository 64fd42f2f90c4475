"""The convex program over a dictionary of spike patterns.

    min_W F(W) = (1/n) sum_i loss((D W)_i, y_i) + rho * sum_j w_j ||W_j||

after arXiv:2605.08022, whose program has the l1 norm and equal weights, and its predecessor
arXiv:2303.03382. Its Fenchel dual is

    max_lambda -(1/n) sum_i loss*(-n lambda_i, y_i)
    s.t. ||D_j^T lambda||_dual <= rho * w_j for each j

The dictionary is touched through `ConvexProgram.take`, `predict` and `correlate` only, and through
the forms of the last two that bound their own rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexon.convex.loss import UNIT, FloatArray, Loss
from convexon.convex.penalty import Penalty
from convexon.errors import InputError

_BLOCK_ENTRIES = 1 << 23
"""Entries of the dictionary that are converted to float64 at once: 64 MiB."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ConvexProgram:
    """One regularized training problem, checked at construction.

    Parameters
    ----------
    features
        The dictionary D, real and finite, shape (n, P). Spike patterns are {0, 1}, spike counts
        small integers; an integer or boolean array is kept as it is and converted block by block.
        An intercept is an always-firing column among the others.
    targets
        What the loss's ``encode`` takes; see `convexon.convex.loss.Loss.encode`.
    loss, penalty
        The terms of the objective.
    rho
        Regularization strength, positive: without it no scaling makes a dual point feasible, and
        nothing could be certified.
    weights
        Penalty weight of each column, positive, shape (P,); ones where None.
    n_classes
        Number of outputs C; derived from the targets where None.

    Members
    -------
    encoded
        The targets as (n, C) floats.

    Raises
    ------
    InputError
        If any of these does not fit; the text says which, where, and how to mend it.
    """

    features: NDArray[np.generic]
    targets: ArrayLike
    loss: Loss
    penalty: Penalty
    rho: float
    weights: FloatArray = None  # type: ignore[assignment]  # ones of length P after construction
    n_classes: int | None = None
    encoded: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.loss, Loss):
            raise InputError(
                f"loss must be a Loss, not {self.loss!r}; see convexon.convex.loss_for"
            )
        if not isinstance(self.penalty, Penalty):
            raise InputError(
                f"penalty must be a Penalty, not {self.penalty!r}; see convexon.convex.penalty_for"
            )
        features = _checked_features(self.features)
        n_rows, n_columns = features.shape
        if not (isinstance(self.rho, Real) and 0.0 < self.rho < np.inf):
            raise InputError(f"rho must be a positive finite number, not {self.rho!r}")
        object.__setattr__(self, "features", features)
        object.__setattr__(self, "rho", float(self.rho))
        object.__setattr__(self, "weights", _checked_weights(self.weights, n_columns))
        encoded = self.loss.encode(self.targets, n_rows=n_rows, n_classes=self.n_classes)
        encoded.flags.writeable = False
        object.__setattr__(self, "encoded", encoded)

    @property
    def n_rows(self) -> int:
        """Number of training rows n."""
        return int(self.features.shape[0])

    @property
    def n_columns(self) -> int:
        """Number of dictionary columns P."""
        return int(self.features.shape[1])

    @property
    def n_outputs(self) -> int:
        """Number of outputs C."""
        return int(self.encoded.shape[1])

    def take(self, columns: NDArray[np.intp]) -> FloatArray:
        """The given columns of D as float64, shape (n, len(columns))."""
        return np.asarray(self.features[:, columns], dtype=np.float64)

    def predict(self, W: FloatArray) -> FloatArray:
        """``D W``, shape (n, C); rows of W that are zero cost nothing."""
        rows = np.flatnonzero(W.any(axis=1))
        Z = np.zeros((self.n_rows, W.shape[1]))
        for block in self._blocks(len(rows)):
            Z += self.take(rows[block]) @ W[rows[block]]
        return Z

    def correlate(self, dual: FloatArray) -> FloatArray:
        """``D^T lambda``, shape (P, C)."""
        G = np.empty((self.n_columns, dual.shape[1]))
        for block in self._blocks(self.n_columns):
            G[block] = np.asarray(self.features[:, block], dtype=np.float64).T @ dual
        return G

    def predict_bounded(self, W: FloatArray) -> tuple[FloatArray, FloatArray]:
        """``D W``, and how far each entry may be from that of exact arithmetic."""
        rows = np.flatnonzero(W.any(axis=1))
        Z = np.zeros((self.n_rows, W.shape[1]))
        error = np.zeros_like(Z)
        for block in self._blocks(len(rows)):
            product, rounding = bounded_product(self.take(rows[block]), W[rows[block]])
            Z += product
            error += rounding + 2.0 * UNIT * np.abs(Z)
        return Z, error * (1.0 + 2.0**-40)

    def correlate_bounded(self, dual: FloatArray) -> FloatArray:
        """Bounds on the magnitudes of ``D^T lambda`` in exact arithmetic, shape (P, C)."""
        bounds = np.empty((self.n_columns, dual.shape[1]))
        for block in self._blocks(self.n_columns):
            columns = np.asarray(self.features[:, block], dtype=np.float64)
            product, rounding = bounded_product(columns.T, dual)
            bounds[block] = (np.abs(product) + rounding) * (1.0 + 4.0 * UNIT)
        return bounds

    def checked(self, W: ArrayLike, *, name: str = "W") -> FloatArray:
        """``W`` as finite float64 of shape (P, C).

        Raises
        ------
        InputError
            If it is not.
        """
        values = np.asarray(W, dtype=np.float64)
        shape = (self.n_columns, self.n_outputs)
        if values.shape != shape:
            raise InputError(
                f"{name} must have one row per column and one column per output, {shape!r}, "
                f"not {values.shape!r}"
            )
        if not np.isfinite(values).all():
            raise InputError(f"{name} must be finite, not {_first_not_finite(values)}")
        return values

    def objective(self, W: ArrayLike) -> float:
        """F(W), the regularized mean loss.

        Raises
        ------
        InputError
            If W is not finite or not of shape (P, C).
        """
        values = self.checked(W)
        loss = self.loss.value(self.predict(values), self.encoded)
        return loss + self.rho * self.penalty.value(values, self.weights)

    def rho_max(self) -> float:
        """Smallest rho for which ``W = 0`` is optimal.

        At W = 0 optimality asks for a subgradient g of the mean loss at Z = 0 with ``||D_j^T g|| <=
        rho w_j``. All four losses are differentiable at zero, hinge too, so there is only one g.
        """
        zero = np.zeros((self.n_rows, self.n_outputs))
        G = self.correlate(self.loss.subgradient(zero, self.encoded))
        return self.penalty.dual_ratio(G, self.weights)

    def _blocks(self, n_columns: int) -> Iterator[slice]:
        width = max(1, _BLOCK_ENTRIES // max(1, self.n_rows))
        for first in range(0, n_columns, width):
            yield slice(first, first + width)


def bounded_product(A: FloatArray, B: FloatArray) -> tuple[FloatArray, FloatArray]:
    """``A B``, and a bound on the rounding of each entry, whatever the order of summation.

    Where A holds integers, B is split: the leading part is a multiple of a power of two so coarse
    that its product with A is exact, and only the small remainder rounds (Ozaki, Ogita, Oishi and
    Rump, "Error-free transformations of matrix multiplication", 2012). Otherwise the bound is that
    of an inner product of k terms, ``gamma_k |A| |B|`` with ``gamma_k = k u / (1 - k u)``.
    """
    terms = (A.shape[1] + 2) * UNIT
    gamma = terms / (1.0 - terms)
    if not np.array_equal(A, np.rint(A)):
        product = A @ B
        return product, 1.01 * gamma * (np.abs(A) @ np.abs(B))
    reach = 1.01 * float(np.abs(A).sum(axis=1).max(initial=0.0))
    _, exponent = np.frexp(reach * np.abs(B).max(initial=0.0))
    grid = float(np.ldexp(1.0, max(int(exponent), -900) - 51))
    leading = np.rint(B / grid) * grid
    product = A @ leading + A @ (B - leading)
    return product, 2.0 * UNIT * np.abs(product) + 1.01 * gamma * reach * grid


def _checked_features(features: ArrayLike) -> NDArray[np.generic]:
    values = np.asarray(features)
    if values.dtype.kind not in "biuf":
        raise InputError(f"features must be real numbers, not {values.dtype}")
    if values.ndim != 2:
        raise InputError(f"features must be a matrix (n, P), not of shape {values.shape!r}")
    if values.shape[0] == 0:
        raise InputError(f"features must have at least one row, not shape {values.shape!r}")
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise InputError(f"features must be finite, not {_first_not_finite(values)}")
        values = values.astype(np.float64, copy=False)
    return values


def _checked_weights(weights: ArrayLike | None, n_columns: int) -> FloatArray:
    if weights is None:
        return np.ones(n_columns)
    values = np.array(weights, dtype=np.float64)
    if values.shape != (n_columns,):
        raise InputError(
            f"weights must have one entry per column, shape {(n_columns,)!r}, not {values.shape!r}"
        )
    wrong = np.flatnonzero(~(np.isfinite(values) & (values > 0.0)))
    if len(wrong):
        raise InputError(
            f"weights must be positive and finite, not {float(values[wrong[0]])!r} "
            f"at column {wrong[0]}"
        )
    values.flags.writeable = False
    return values


def _first_not_finite(values: NDArray[np.generic]) -> str:
    row, column = np.argwhere(~np.isfinite(values))[0]
    return f"{float(values[row, column])!r} at row {row}, column {column}"
