"""Packing arrays into the vectors of ports.json, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def pack(values: npt.NDArray[np.unsignedinteger], width: int) -> int:
    """Return the vector with unsigned element i at bits ``i * width`` and up."""
    bits = (values[:, None] >> np.arange(width)) & 1
    return int.from_bytes(np.packbits(bits.ravel(), bitorder="little").tobytes(), "little")


def unpack(
    vectors: Sequence[int], *, width: int, count: int, signed: bool, offset: int = 0
) -> npt.NDArray[np.int64]:
    """Return ``count`` elements of ``width`` bits of each vector, shape (len(vectors), count)."""
    n_bytes = (width * count + 7) // 8
    mask = (1 << (width * count)) - 1
    data = b"".join(((vector >> offset) & mask).to_bytes(n_bytes, "little") for vector in vectors)
    raw = np.frombuffer(data, dtype=np.uint8).reshape(len(vectors), n_bytes)
    bits = np.unpackbits(raw, axis=1, bitorder="little", count=width * count)
    weights = np.int64(1) << np.arange(width, dtype=np.int64)
    if signed:
        weights[-1] = -weights[-1]
    values: npt.NDArray[np.int64] = (
        bits.reshape(len(vectors), count, width).astype(np.int64) @ weights
    )
    return values


def field_of(stream: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the field ``name`` of a stream's payload."""
    return next(field for field in stream["fields"] if field["name"] == name)


def unpack_field(vectors: Sequence[int], field: Mapping[str, Any]) -> npt.NDArray[np.int64]:
    """Unpack a payload's field as ports.json describes it."""
    return unpack(
        vectors,
        width=field["width"],
        count=field["count"],
        signed=field["signed"],
        offset=field["offset"],
    )
