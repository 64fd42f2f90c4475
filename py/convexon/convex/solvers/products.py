"""The dense products of the inner solver, on the CPU or on a GPU.

What the inner solver does with the n rows of its working set are four products: ``D W``, ``D^T G``,
``(D * D)^T G`` and Gram matrices of row-scaled columns. They sit behind one small interface, so
that the method is the same code wherever they run; everything else it touches is small. Arguments
and results are NumPy arrays of float64 on either device, whatever the matrix is held in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexon.errors import InputError, MissingToolError

FloatArray = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]
Columns = NDArray[np.intp]

_BLOCK_ENTRIES = 1 << 24
"""Entries of D that are weighed at once for its second moments: 128 MiB."""


class Products:
    """A matrix D (n, A) that only its products show, here those of NumPy's BLAS.

    Products are computed in the matrix's own type, float64 or float32, but for coarse moments.
    """

    def __init__(self, D: Floats) -> None:
        self._D: Any = np.asfortranarray(D)
        self.shape = (D.shape[0], D.shape[1])
        self.dtype = D.dtype
        self.unit = float(np.finfo(D.dtype).eps) / 2  # unit roundoff of the products

    def _there(self, array: FloatArray) -> Any:
        """An argument where D is, in its type."""
        return array.astype(self.dtype, copy=False)

    def _here(self, result: Any) -> FloatArray:
        """A result from there."""
        return np.asarray(result, dtype=np.float64)

    def forward(self, W: FloatArray) -> FloatArray:
        """``D W``, (n, C)."""
        return self._here(self._D @ self._there(W))

    def adjoint(self, G: FloatArray) -> FloatArray:
        """``D^T G``, (A, C)."""
        return self._here(self._D.T @ self._there(G))

    def adjoint_squares(self, G: FloatArray) -> FloatArray:
        """``(D * D)^T G``, (A, C)."""
        there = self._there(G)
        parts = [self._here(squares.T @ there) for squares in self._squares()]
        return np.concatenate([np.zeros((0, G.shape[1])), *parts])

    def _squares(self) -> Iterator[Any]:
        """The squares of D, some columns after others: all of them would take as much as D."""
        width = max(1, _BLOCK_ENTRIES // max(1, self.shape[0]))
        for first in range(0, self.shape[1], width):
            some = self._D[:, first : first + width]
            yield some * some

    def gram(self, parts: Sequence[tuple[FloatArray, Columns]]) -> FloatArray:
        """``B^T B`` with ``B = [diag(r_1) D[:, c_1], diag(r_2) D[:, c_2], ...]``."""
        width = sum(len(columns) for _, columns in parts)
        B = np.empty((self.shape[0], width), dtype=self.dtype, order="F")
        first = 0
        for scale, columns in parts:
            across = B[:, first : first + len(columns)]
            np.multiply(self._there(scale)[:, None], self._D[:, columns], out=across)
            first += len(columns)
        return self._here(B.T @ B)

    def moments(self, weights: FloatArray, *, coarse: bool = False) -> FloatArray:
        """``D^T diag(weights) D`` for non-negative weights; rows of weight zero cost nothing.

        Where they may be ``coarse`` they are computed in float32, in half the time.
        """
        total = np.zeros((self.shape[1], self.shape[1]))
        rows = np.flatnonzero(weights)
        # Over their largest, so that none that matters is lost in float32.
        unit = float(weights.max(initial=0.0)) if coarse and len(rows) else 1.0
        weights = weights / unit
        height = max(1, _BLOCK_ENTRIES // max(1, self.shape[1]))
        for first in range(0, len(rows), height):
            some = rows[first : first + height]
            total += self._square(some, np.sqrt(weights[some]), coarse=coarse)
        return total * unit

    def _square(self, rows: Columns, scale: FloatArray, *, coarse: bool) -> FloatArray:
        """``B^T B`` with ``B = diag(scale) D[rows]``."""
        D = self._D if len(rows) == self.shape[0] else self._D[rows]
        dtype = np.dtype(np.float32) if coarse else self.dtype
        B = np.multiply(scale[:, None], D, dtype=dtype, casting="same_kind")
        return self._here(B.T @ B)

    def largest_row(self) -> float:
        """Largest squared norm of a row; zero where there is none."""
        return 0.0 if 0 in self.shape else float(sum(each.sum(1) for each in self._squares()).max())


class TorchProducts(Products):
    """Those of torch, on the device that is named; only results come back."""

    def __init__(self, D: Floats, *, torch: Any, device: str) -> None:
        super().__init__(D)
        self._torch, self._device = torch, device
        self._D = self._there(D)

    def _there(self, array: NDArray[Any]) -> Any:
        given = super()._there(array) if array.dtype.kind == "f" else array
        return self._torch.as_tensor(np.ascontiguousarray(given), device=self._device)

    def _here(self, result: Any) -> FloatArray:
        return super()._here(result.cpu().numpy())

    def gram(self, parts: Sequence[tuple[FloatArray, Columns]]) -> FloatArray:  # noqa: D102
        scaled = [
            self._there(scale)[:, None] * self._D[:, self._there(columns)]
            for scale, columns in parts
        ]
        B = self._torch.hstack(scaled)
        return self._here(B.T @ B)

    def _square(self, rows: Columns, scale: FloatArray, *, coarse: bool) -> FloatArray:
        B = self._there(scale)[:, None] * self._D[self._there(rows)]
        B = B.float() if coarse else B
        return self._here(B.T @ B)


Maker = Callable[[Floats], Products]


def products_for(device: str | None) -> Maker:
    """What makes `Products` on a device: NumPy where None, torch on ``"cpu"`` or ``"cuda"``.

    Raises `InputError` if the device is none of these; and `MissingToolError` if torch is not
    installed, or sees no GPU though ``"cuda"`` is asked for.
    """
    if device is None:
        return Products
    if device not in ("cpu", "cuda"):
        raise InputError(f"device must be None, 'cpu' or 'cuda', not {device!r}")
    try:
        import torch
    except ImportError as error:
        raise MissingToolError(
            f"device {device!r} needs torch: install convexon[torch], or leave device out"
        ) from error
    if device == "cuda" and not torch.cuda.is_available():
        raise MissingToolError(
            "device 'cuda' needs a GPU that torch can use, and there is none: leave device out"
        )
    return lambda D: TorchProducts(D, torch=torch, device=device)
