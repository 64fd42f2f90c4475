"""Columns of a spike dictionary as a checker reads them.

Bit planes are unpacked in blocks of columns, so that n = 60,000 rows by P = 20,000 columns need no
more than a few hundred MB.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convexon.certify.exact.dyadic import Dyadic, Limbs
from convexon.errors import InputError

_BLOCK_ENTRIES = 1 << 23
"""Entries that are unpacked to float64 at once: 64 MiB."""

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Columns:
    """P columns of n small unsigned integers, and after them, if asked for, an always-firing one.

    Members
    -------
    planes : uint8 array, shape (n_planes, P, ceil(n / 8))
        Bit ``b`` of entry ``i`` of column ``j`` is bit ``7 - i % 8`` of ``planes[b, j, i // 8]``.
    n_rows : int
        n.
    intercept : bool
        Whether there is one more column, of ones: the intercept's.
    """

    planes: npt.NDArray[np.uint8]
    n_rows: int
    intercept: bool = False

    def __post_init__(self) -> None:
        planes = self.planes
        if planes.dtype != np.uint8 or planes.ndim != 3 or not 1 <= len(planes) <= 8:
            raise InputError(
                f"planes must be bytes of shape (1 to 8, P, bytes), not {planes.dtype} of "
                f"{planes.shape}"
            )
        if self.n_rows < 1 or planes.shape[2] != (self.n_rows + 7) // 8:
            raise InputError(
                f"planes must have (n + 7) // 8 bytes a column for n = {self.n_rows!r} rows, "
                f"not {planes.shape[2]}"
            )

    @classmethod
    def packed(cls, matrix: npt.NDArray[np.uint8]) -> Columns:
        """The columns of a matrix (n, P) of bytes."""
        if matrix.ndim != 2 or matrix.dtype != np.uint8:
            raise InputError(
                f"columns must be a matrix of bytes, not {matrix.dtype} of {matrix.shape}"
            )
        across = np.ascontiguousarray(matrix.T)
        n_planes = max(1, int(matrix.max(initial=0)).bit_length())
        planes = [np.packbits((across >> b) & 1, axis=1) for b in range(n_planes)]
        return cls(planes=np.stack(planes), n_rows=len(matrix))

    @property
    def n_columns(self) -> int:
        """Number of columns, the always-firing one among them."""
        return int(self.planes.shape[1]) + self.intercept

    def chosen(self, columns: Indices, *, intercept: bool) -> Columns:
        """Some of the columns, with or without the always-firing one."""
        return Columns(planes=self.planes[:, columns], n_rows=self.n_rows, intercept=intercept)

    def blocks(self) -> Iterator[tuple[slice, npt.NDArray[np.uint8]]]:
        """Blocks of columns, each with where it lies: bytes of shape (columns, n)."""
        width = max(1, _BLOCK_ENTRIES // self.n_rows)
        n_stored = self.planes.shape[1]
        for first in range(0, n_stored, width):
            part = self.planes[:, first : first + width]
            values = np.unpackbits(part[0], axis=1, count=self.n_rows)
            for b in range(1, len(part)):
                values |= np.unpackbits(part[b], axis=1, count=self.n_rows) << np.uint8(b)
            yield slice(first, first + part.shape[1]), values
        if self.intercept:
            yield slice(n_stored, n_stored + 1), np.ones((1, self.n_rows), dtype=np.uint8)

    @property
    def largest(self) -> int:
        """Largest entry."""
        return max((int(block.max(initial=0)) for _, block in self.blocks()), default=0)

    def times(self, W: Dyadic) -> Dyadic:
        """``D W`` exactly, for W of shape (columns, C): shape (n, C)."""
        limbs = Limbs.of(W, largest=(1 << len(self.planes)) - 1, terms=self.n_columns)
        total = np.zeros((self.n_rows, limbs.parts.shape[1]))
        for where, block in self.blocks():
            total += block.T.astype(np.float64) @ limbs.parts[where]
        return limbs.joined(total)

    def transposed_times(self, dual: Dyadic) -> Dyadic:
        """``D^T lambda`` exactly, for lambda of shape (n, C): shape (columns, C)."""
        limbs = Limbs.of(dual, largest=(1 << len(self.planes)) - 1, terms=self.n_rows)
        parts = [block.astype(np.float64) @ limbs.parts for _, block in self.blocks()]
        return limbs.joined(np.concatenate([np.zeros((0, limbs.parts.shape[1])), *parts]))

    def rows_agree(self, groups: Indices) -> bool:
        """Whether rows of the same group have the same entries in every column."""
        _, first, place = np.unique(groups, return_index=True, return_inverse=True)
        others = np.flatnonzero(first[place] != np.arange(len(groups)))
        leaders = first[place][others]
        return all(
            np.array_equal(block[:, others], block[:, leaders]) for _, block in self.blocks()
        )
