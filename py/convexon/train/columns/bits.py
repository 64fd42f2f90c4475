"""Bit-packed columns: a spike dictionary at one bit an entry.

A spike pattern is n bits, a column of spike counts a few bit planes of n bits each. Packed so, n =
60,000 rows by P = 20,000 columns take 150 MB, where float64 would take 9.6 GB. A computation
unpacks a block of columns at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError

UInt8Array = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False, kw_only=True)
class BitColumns:
    """P columns of n small unsigned integers, stored as bit planes.

    Bit ``b`` of entry ``i`` of column ``j`` is bit ``7 - i % 8`` of ``planes[b, j, i // 8]``; the
    bits after the last row are zero.

    Raises `InputError` if the planes are no such array for ``n_rows`` rows.
    """

    planes: UInt8Array  # (n_planes, P, ceil(n / 8))
    n_rows: int

    def __post_init__(self) -> None:
        planes = np.asarray(self.planes)
        if planes.dtype != np.uint8 or planes.ndim != 3 or not 1 <= planes.shape[0] <= 8:
            raise InputError(
                "planes must be bytes of shape (1 to 8 planes, columns, bytes), "
                f"not {planes.dtype} of {planes.shape}"
            )
        if self.n_rows < 1 or planes.shape[2] != _n_bytes(self.n_rows):
            raise InputError(
                f"planes must have {_n_bytes(max(self.n_rows, 0))} bytes a column for "
                f"{self.n_rows} rows, not {planes.shape[2]}"
            )
        padding = 8 * planes.shape[2] - self.n_rows
        if padding and (planes[:, :, -1] & ((1 << padding) - 1)).any():
            raise InputError(f"planes must be zero after row {self.n_rows}: they are damaged")

    @classmethod
    def pack(cls, columns: npt.ArrayLike, *, max_value: int = 1) -> BitColumns:
        """Pack a matrix (n, P) of integers in 0..max_value.

        Raises `InputError` if it is no such matrix, or ``max_value`` is not 1 to 255.
        """
        values = np.asarray(columns)
        if values.ndim != 2 or values.dtype.kind not in "biu" or not 1 <= max_value <= 255:
            raise InputError(
                f"columns must be an integer matrix of entries within 1 byte, not {values.dtype} "
                f"of {values.shape} up to {max_value}"
            )
        if values.size and (values.min() < 0 or values.max() > max_value):
            raise InputError(f"columns must hold integers in 0..{max_value} only")
        across = np.ascontiguousarray(values.T.astype(np.uint8))
        planes = [np.packbits((across >> b) & 1, axis=1) for b in range(max_value.bit_length())]
        return cls(planes=np.stack(planes), n_rows=len(values))

    @property
    def n_columns(self) -> int:
        """P."""
        return int(self.planes.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """(n, P), as a matrix has it."""
        return self.n_rows, self.n_columns

    def dense(self, columns: slice | npt.NDArray[np.intp] = slice(None)) -> UInt8Array:
        """Return the given columns unpacked, uint8 of shape (n, k), column-major."""
        chosen = self.planes[:, columns]
        values = np.unpackbits(chosen[0], axis=1, count=self.n_rows)
        for b in range(1, len(chosen)):
            values |= np.unpackbits(chosen[b], axis=1, count=self.n_rows) << np.uint8(b)
        return values.T

    def take(self, columns: npt.NDArray[np.intp] | npt.NDArray[np.int64]) -> BitColumns:
        """Return the given columns, still packed."""
        return BitColumns(planes=self.planes[:, columns], n_rows=self.n_rows)

    def rows(self, rows: npt.NDArray[np.intp]) -> BitColumns:
        """Return the given rows of every column, packed anew, a block of columns at a time."""
        planes = np.empty((len(self.planes), self.n_columns, _n_bytes(len(rows))), dtype=np.uint8)
        width = max(1, (1 << 26) // self.n_rows)
        for b, plane in enumerate(self.planes):
            for first in range(0, self.n_columns, width):
                block = slice(first, first + width)
                bits = np.unpackbits(plane[block], axis=1, count=self.n_rows)
                planes[b, block] = np.packbits(bits[:, rows], axis=1)
        return BitColumns(planes=planes, n_rows=len(rows))

    def with_intercept(self) -> BitColumns:
        """Return the columns and, last, the always-firing one that carries the intercept."""
        ones = BitColumns.pack(np.ones((self.n_rows, 1), dtype=np.uint8))
        return BitColumns.joined([self, ones])

    @staticmethod
    def joined(parts: Iterable[BitColumns]) -> BitColumns:
        """Return the columns of all parts side by side.

        Raises `InputError` if there is no part, or they differ in their rows.
        """
        parts = list(parts)
        heights = {part.n_rows for part in parts}
        if len(heights) != 1:
            raise InputError(f"parts must have the same number of rows, not {sorted(heights)}")
        n_planes = max(len(part.planes) for part in parts)
        missing = [n_planes - len(part.planes) for part in parts]
        padded = [
            np.pad(part.planes, ((0, m), (0, 0), (0, 0))) if m else part.planes
            for part, m in zip(parts, missing, strict=True)
        ]
        return BitColumns(planes=np.concatenate(padded, axis=1), n_rows=heights.pop())

    def keys(self) -> list[bytes]:
        """Return a key for each column; columns are equal exactly where their keys are."""
        across = np.ascontiguousarray(self.planes.transpose(1, 0, 2))
        return [column.tobytes() for column in across]

    def complement_keys(self) -> list[bytes]:
        """Return the key that each column's complement has, where columns are of one plane.

        Raises `InputError` if there are more planes: counts have no complement.
        """
        if len(self.planes) != 1:
            raise InputError(f"planes must be one for complements to exist, not {len(self.planes)}")
        flipped = ~self.planes[0]
        padding = 8 * flipped.shape[1] - self.n_rows
        if padding:
            flipped[:, -1] &= np.uint8(0xFF & ~((1 << padding) - 1))
        return [column.tobytes() for column in np.ascontiguousarray(flipped)]


def _n_bytes(n_rows: int) -> int:
    return (n_rows + 7) // 8
