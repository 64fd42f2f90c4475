"""The dense products of the inner solver, on the CPU or on a GPU.

What the inner solver does with the n rows of its working set are three products: ``D W``, ``D^T G``
and Gram matrices of row-scaled columns. They sit behind one small interface, so that the method is
the same code wherever they run; everything else it touches is small. Arguments and results are
NumPy arrays of float64 on either device.

Members
-------
Products, NumpyProducts, TorchProducts
    The interface and its two implementations.
products_for
    The implementation for a device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from convexon.errors import InputError, MissingToolError

FloatArray = NDArray[np.float64]
Columns = NDArray[np.intp]


class Products(Protocol):
    """A matrix D (n, A) of float64 that only its products show."""

    shape: tuple[int, int]
    """Rows n and columns A."""

    def forward(self, W: FloatArray) -> FloatArray:
        """``D W``, (n, C)."""

    def adjoint(self, G: FloatArray) -> FloatArray:
        """``D^T G``, (A, C)."""

    def adjoint_squares(self, G: FloatArray) -> FloatArray:
        """``(D * D)^T G``, (A, C)."""

    def gram(self, parts: Sequence[tuple[FloatArray, Columns]]) -> FloatArray:
        """``B^T B`` with ``B = [diag(r_1) D[:, c_1], diag(r_2) D[:, c_2], ...]``."""

    def largest_row(self) -> float:
        """Largest squared norm of a row; zero where there is none."""


Maker = Callable[[FloatArray], Products]


class NumpyProducts:
    """`Products` by NumPy's BLAS."""

    def __init__(self, D: FloatArray) -> None:
        self._D = np.asfortranarray(D)
        self._squares: FloatArray | None = None
        self.shape = (D.shape[0], D.shape[1])

    def forward(self, W: FloatArray) -> FloatArray:  # noqa: D102
        return np.asarray(self._D @ W)

    def adjoint(self, G: FloatArray) -> FloatArray:  # noqa: D102
        return np.asarray(self._D.T @ G)

    def adjoint_squares(self, G: FloatArray) -> FloatArray:  # noqa: D102
        if self._squares is None:
            self._squares = np.square(self._D)
        return np.asarray(self._squares.T @ G)

    def gram(self, parts: Sequence[tuple[FloatArray, Columns]]) -> FloatArray:  # noqa: D102
        B = np.empty((self.shape[0], sum(len(columns) for _, columns in parts)), order="F")
        first = 0
        for scale, columns in parts:
            np.multiply(scale[:, None], self._D[:, columns], out=B[:, first : first + len(columns)])
            first += len(columns)
        return np.asarray(B.T @ B)

    def largest_row(self) -> float:  # noqa: D102
        return float(np.square(self._D).sum(axis=1).max(initial=0.0))


class TorchProducts:
    """`Products` by torch, on the device that is named; only results come back."""

    def __init__(self, D: FloatArray, *, torch: Any, device: str) -> None:
        self._torch, self._device = torch, device
        self._D = self._there(D)
        self._squares: Any = None
        self.shape = (D.shape[0], D.shape[1])

    def _there(self, array: NDArray[Any]) -> Any:
        return self._torch.as_tensor(np.ascontiguousarray(array), device=self._device)

    def _here(self, tensor: Any) -> FloatArray:
        return np.asarray(tensor.cpu().numpy(), dtype=np.float64)

    def forward(self, W: FloatArray) -> FloatArray:  # noqa: D102
        return self._here(self._D @ self._there(W))

    def adjoint(self, G: FloatArray) -> FloatArray:  # noqa: D102
        return self._here(self._D.T @ self._there(G))

    def adjoint_squares(self, G: FloatArray) -> FloatArray:  # noqa: D102
        if self._squares is None:
            self._squares = self._D * self._D
        return self._here(self._squares.T @ self._there(G))

    def gram(self, parts: Sequence[tuple[FloatArray, Columns]]) -> FloatArray:  # noqa: D102
        scaled = [
            self._there(scale)[:, None] * self._D[:, self._there(columns)]
            for scale, columns in parts
        ]
        B = self._torch.hstack(scaled)
        return self._here(B.T @ B)

    def largest_row(self) -> float:  # noqa: D102
        if self._D.numel() == 0:
            return 0.0
        return float((self._D * self._D).sum(dim=1).max())


def products_for(device: str | None) -> Maker:
    """What makes `Products` on a device: NumPy where None, torch on ``"cpu"`` or ``"cuda"``.

    Raises `InputError` if the device is none of these; and `MissingToolError` if torch is not
    installed, or sees no GPU though ``"cuda"`` is asked for.
    """
    if device is None:
        return NumpyProducts
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
