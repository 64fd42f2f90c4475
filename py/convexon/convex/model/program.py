"""The convex program over a dictionary of spike patterns.

    min_W F(W) = sum_i (c_i / N) loss((D W)_i, y_i) + rho * sum_j w_j ||W_j||

after arXiv:2605.08022, whose program has the l1 norm, equal weights and one sample per row, and its
predecessor arXiv:2303.03382. Row i stands for c_i equal samples. Its Fenchel dual is

    max_lambda -sum_i (c_i / N) loss*(-(N / c_i) lambda_i, y_i)
    s.t. ||D_j^T lambda||_dual <= rho * w_j for each j

The dictionary is touched block by block through `ConvexProgram.take`, `predict` and `correlate`
only, and through the forms of the last two that bound their own rounding. It may be an array, or
packed: whatever offers what `PackedColumns` asks for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexon.convex.model.loss import UNIT, FloatArray
from convexon.convex.model.problem import Problem
from convexon.errors import InputError

_BLOCK_ENTRIES = 1 << 21
"""Entries of the dictionary that a thread converts to float64 at once: 16 MiB."""

_READY_ENTRIES = 1 << 23
"""The same where they are float64 already: threads take longer to start than less than that."""

_CACHED_ENTRIES, _FEWEST = 1 << 15, 32
"""Entries that are looked at several times at once, 256 KiB; and rows of them, at least."""

_GAPPED = 4
"""Times its own columns that a block may span and still be cheaper to multiply than to gather."""

Block = slice | NDArray[np.intp]
_Result = TypeVar("_Result")


@runtime_checkable
class PackedColumns(Protocol):
    """A dictionary (n, P) of non-negative integers that is unpacked a few columns at a time."""

    @property
    def shape(self) -> tuple[int, int]: ...  # noqa: D102

    def dense(self, columns: Block) -> NDArray[np.uint8]:
        """The given columns, shape (n, k)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ConvexProgram(Problem):
    """A problem over a dictionary D of columns, (n, P), real and finite, checked at construction.

    Spike patterns are {0, 1}, spike counts small integers; an integer or boolean array, or
    `PackedColumns`, is kept as it is and converted block by block. It is not copied, and must not
    change while the program is in use. An intercept is an always-firing
    column among the others. Penalty weights of the columns, (P,), are positive, and ones where they
    are None.
    """

    features: NDArray[np.generic] | PackedColumns
    weights: FloatArray = None  # type: ignore[assignment]  # ones of length P after construction

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", _checked_features(self.features))
        weights = _checked_weights(self.weights, self.n_columns)
        object.__setattr__(self, "weights", weights)
        super().__post_init__()

    @classmethod
    def of(
        cls,
        problem: Problem,
        features: NDArray[np.generic] | PackedColumns,
        weights: FloatArray | None = None,
    ) -> ConvexProgram:
        """The program of a problem over a dictionary; its columns' weights are ones where None."""
        given = {f.name: getattr(problem, f.name) for f in fields(Problem) if f.init}
        return cls(**given, features=features, weights=weights)  # type: ignore[arg-type]

    def restricted(self, columns: NDArray[np.intp]) -> ConvexProgram:
        """The program over some of its columns."""
        D = self.features
        chosen = D[:, columns] if isinstance(D, np.ndarray) else D.dense(columns)
        return replace(self, features=chosen, weights=self.weights[columns])

    @property
    def n_rows(self) -> int:
        """Number of distinct training rows n."""
        return int(self.features.shape[0])

    @property
    def n_columns(self) -> int:
        """Number of dictionary columns P."""
        return int(self.features.shape[1])

    @cached_property
    def _grain(self) -> Grain:
        """What bounds on products use of all entries, looked up once."""
        if not isinstance(self.features, np.ndarray) or self.features.dtype.kind != "f":
            return Grain(integral=True)  # block by block the largest costs little beside conversion
        return Grain.of(self.take(slice(None)))

    def take(self, columns: Block) -> FloatArray:
        """The given columns of D as float64, shape (n, len(columns))."""
        if isinstance(self.features, np.ndarray):
            return _columns_of(self.features, columns).astype(np.float64, copy=False)
        return self.features.dense(columns).astype(np.float64)

    def scaled(
        self, columns: NDArray[np.intp], dtype: np.dtype[Any]
    ) -> tuple[NDArray[np.floating[Any]], FloatArray]:
        """The given columns (n, A) in a type, each over its power of two, and those (A,).

        Powers of two bring the largest magnitude of a column into [1/2, 1). The program in ``D_j /
        s_j``, ``s_j W_j`` and ``w_j / s_j`` is the same program, and powers of two do not round.
        What a solver meets is then independent of the unit in which a column counts.
        """
        D = np.empty((self.n_rows, len(columns)), dtype=dtype, order="F")
        scales = np.empty(len(columns))
        width = max(1, _BLOCK_ENTRIES // self.n_rows)
        for first in range(0, len(columns), width):
            some = slice(first, first + width)
            # Reductions along a column are several times faster where its rows are adjacent.
            part = np.asfortranarray(self.take(columns[some]))
            largest = np.maximum(part.max(axis=0), -part.min(axis=0))
            _, exponents = np.frexp(np.where(largest > 0.0, largest, 0.5))
            scales[some] = np.ldexp(1.0, exponents)
            np.divide(part, scales[some], out=D[:, some], casting="same_kind")
        return D, scales

    def predict(self, W: FloatArray) -> FloatArray:
        """``D W``, shape (n, C); rows of W that are zero cost nothing."""
        rows = np.flatnonzero(W.any(axis=1))
        Z = np.zeros((self.n_rows, W.shape[1]))
        for part in self._over_blocks(rows, lambda some: self.take(some) @ W[some]):
            Z += part
        return Z

    def correlate(self, dual: FloatArray, columns: NDArray[np.intp] | None = None) -> FloatArray:
        """``D^T lambda``, shape (P, C); over the given columns alone where there are any given."""
        some = np.arange(self.n_columns) if columns is None else columns
        parts = self._over_blocks(some, lambda block: self._correlate(dual, block))
        return np.concatenate([np.zeros((0, dual.shape[1])), *parts])

    def _correlate(self, dual: FloatArray, block: Block) -> FloatArray:
        """``D^T lambda`` over a block; with its gaps, where they cost less than a copy."""
        if isinstance(block, slice) or not isinstance(self.features, np.ndarray):
            return np.asarray(self.take(block).T @ dual)
        first, last = int(block[0]), int(block[-1])
        if last - first >= _GAPPED * len(block):
            return np.asarray(self.take(block).T @ dual)
        return np.asarray((self.take(slice(first, last + 1)).T @ dual)[block - first])

    def column_norms(self, row_weights: FloatArray) -> FloatArray:
        """``sqrt(sum_i r_i D_ij^2)`` for non-negative row weights (n,), shape (P,)."""

        def squared(block: Block) -> FloatArray:
            total = np.zeros(1)
            for some, rows in _few_rows(self.take(block)):
                total = total + row_weights[some] @ np.square(rows)
            return total

        parts = self._over_blocks(np.arange(self.n_columns), squared)
        return np.asarray(np.sqrt(np.concatenate([np.zeros(0), *parts])))

    def predict_bounded(self, W: FloatArray) -> tuple[FloatArray, FloatArray]:
        """``D W``, and how far each entry may be from that of exact arithmetic."""
        rows = np.flatnonzero(W.any(axis=1))
        Z = np.zeros((self.n_rows, W.shape[1]))
        error = np.zeros_like(Z)
        grain = Grain(self._grain.integral)  # of few columns the largest entry is soon found
        parts = self._over_blocks(
            rows, lambda some: bounded_product(self.take(some), W[some], grain=grain)
        )
        for product, rounding in parts:
            Z += product
            error += rounding + 2.0 * UNIT * np.abs(Z)
        return Z, error * (1.0 + 2.0**-40)

    def correlate_bounded(self, dual: FloatArray) -> FloatArray:
        """Bounds on the magnitudes of ``D^T lambda`` in exact arithmetic, shape (P, C)."""
        grain = self._grain

        def bounds(columns: Block) -> FloatArray:
            product, rounding = bounded_product(self.take(columns).T, dual, grain=grain)
            return (np.abs(product) + rounding) * (1.0 + 4.0 * UNIT)

        parts = self._over_blocks(np.arange(self.n_columns), bounds)
        return np.concatenate([np.zeros((0, dual.shape[1])), *parts])

    def checked(self, W: ArrayLike, *, name: str = "W") -> FloatArray:
        """``W`` as finite float64 of shape (P, C).

        Raises `InputError` if it is not.
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
        """F(W), the regularised mean loss.

        Raises `InputError` if W is not finite or not of shape (P, C).
        """
        values = self.checked(W)
        return self.value_at(values, self.predict(values))

    def value_at(self, W: FloatArray, Z: FloatArray) -> float:
        """F(W), with the predictions ``Z = D W`` at hand."""
        return self.loss.value(Z, self.encoded) + self.rho * self.penalty.value(W, self.weights)

    def rho_max(self) -> float:
        """Smallest rho for which ``W = 0`` is optimal.

        At W = 0 optimality asks for a subgradient g of the mean loss at Z = 0 with ``||D_j^T g|| <=
        rho w_j``. All four losses are differentiable at zero, hinge too, so there is only one g.
        """
        zero = np.zeros((self.n_rows, self.n_outputs))
        G = self.correlate(self.loss.subgradient(zero, self.encoded))
        return self.penalty.dual_ratio(G, self.weights)

    def rho_max_bound(self) -> float:
        """No less than `rho_max`, from the largest entry of D, without a product."""
        largest = self._grain.largest
        if largest is None:
            kept = self.features.dtype if isinstance(self.features, np.ndarray) else np.dtype("u1")
            largest = 1.0 if kept.kind == "b" else 256.0**kept.itemsize
        zero = np.zeros((self.n_rows, self.n_outputs))
        most = largest * np.abs(self.loss.subgradient(zero, self.encoded)).sum(axis=0)
        least = self.weights.min(initial=np.inf, keepdims=True)
        return self.penalty.dual_ratio(most[None, :], least)

    def _over_blocks(
        self, columns: NDArray[np.intp], function: Callable[[Block], _Result]
    ) -> Iterator[_Result]:
        """``function`` of each block of the columns, in their order; on all cores where it pays.

        ``columns`` ascend. The blocks are the same for any number of cores, so results are too.
        Few results are held at once: over many rows, those of all blocks would take more memory
        than the dictionary.
        """
        ready = isinstance(self.features, np.ndarray) and self.features.dtype == np.float64
        width = max(1, (_READY_ENTRIES if ready else _BLOCK_ENTRIES) // self.n_rows)
        parts = (columns[first : first + width] for first in range(0, len(columns), width))
        blocks = [_as_slice(part) for part in parts]
        if len(blocks) < 2:
            yield from map(function, blocks)
            return
        # Unpacking, conversion and BLAS release the interpreter's lock.
        cores = os.cpu_count() or 1
        with ThreadPoolExecutor(cores) as pool:
            for first in range(0, len(blocks), cores):
                yield from pool.map(function, blocks[first : first + cores])


def _columns_of(matrix: NDArray[np.generic], columns: Block) -> NDArray[np.generic]:
    """``matrix[:, columns]``; NumPy's ``take`` gathers rows of a matrix many times faster."""
    return matrix[:, columns] if isinstance(columns, slice) else matrix.take(columns, axis=1)


def _as_slice(columns: NDArray[np.intp]) -> Block:
    """Adjacent columns as a slice, which copies nothing."""
    first, last = int(columns[0]), int(columns[-1])
    return slice(first, last + 1) if last - first + 1 == len(columns) else columns


@dataclass(frozen=True)
class Grain:
    """What bounds on rounding use of a matrix."""

    integral: bool  # whether all entries are integers
    largest: float | None = None  # no entry has a larger magnitude; None where it was not looked up

    @classmethod
    def of(cls, A: FloatArray) -> Grain:
        """That of a matrix."""
        integral, largest = True, 0.0
        for _, rows in _few_rows(A.T if A.flags.f_contiguous else A):
            integral = integral and np.array_equal(rows, np.rint(rows))
            largest = max(largest, _largest(rows))
        return cls(integral, largest)


def _few_rows(A: FloatArray) -> Iterator[tuple[slice, FloatArray]]:
    """Some rows of a matrix after others, each time no more than the processor's cache holds."""
    # Where the rows of a column are adjacent, few of them are no shorter way through memory.
    height = A.shape[0] if A.flags.f_contiguous else _CACHED_ENTRIES // max(1, A.shape[1])
    for first in range(0, A.shape[0], max(_FEWEST, height)):
        some = slice(first, first + max(_FEWEST, height))
        yield some, A[some]


def _largest(A: FloatArray) -> float:
    return max(float(A.max(initial=0.0)), -float(A.min(initial=0.0)))


def bounded_product(
    A: FloatArray, B: FloatArray, *, grain: Grain | None = None
) -> tuple[FloatArray, FloatArray]:
    """``A B``, and a bound on the rounding of each entry, whatever the order of summation.

    Where A's ``grain`` (looked up if None) is that of integers, B is split: the leading part is a
    multiple of a power of two so coarse that its product with A is exact, and only the small
    remainder rounds (Ozaki, Ogita, Oishi and Rump, "Error-free transformations of matrix
    multiplication", 2012). Otherwise the bound is that of an inner product of k terms, ``gamma_k
    |A| |B|`` with ``gamma_k = k u / (1 - k u)``.
    """
    terms = (A.shape[1] + 2) * UNIT
    gamma = terms / (1.0 - terms)
    grain = grain or Grain.of(A)
    if not grain.integral:
        product = A @ B
        return product, 1.01 * gamma * (np.abs(A) @ np.abs(B))
    largest = _largest(A) if grain.largest is None else grain.largest
    reach = 1.01 * A.shape[1] * largest
    _, exponent = np.frexp(reach * np.abs(B).max(initial=0.0))
    grid = float(np.ldexp(1.0, max(int(exponent), -900) - 51))
    leading = np.rint(B / grid) * grid
    product = A @ leading + A @ (B - leading)
    return product, 2.0 * UNIT * np.abs(product) + 1.01 * gamma * reach * grid


def _checked_features(
    features: ArrayLike | PackedColumns,
) -> NDArray[np.generic] | PackedColumns:
    if not isinstance(features, np.ndarray) and isinstance(features, PackedColumns):
        if features.shape[0] == 0:
            raise InputError(f"features must have at least one row, not shape {features.shape!r}")
        return features
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
