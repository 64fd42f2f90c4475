"""Samples and results as the bytes of the link, by what ports.json says of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.errors import LinkError
from convexon.link.protocol import bytes_of

Ints = npt.NDArray[np.int64]


def request_bodies(
    ports: Mapping[str, Any], transfers: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """Return the bytes of each sample's transfers.

    Parameters
    ----------
    ports : content of ports.json
    transfers : uint8 array, shape (samples, transfers, inputs)

    Returns
    -------
    uint8 array, shape (samples, bytes)
    """
    (field,) = ports["streams"]["i"]["fields"]
    bits = (transfers[..., None] >> np.arange(field["width"], dtype=np.uint8)) & 1
    rows = bits.reshape(*transfers.shape[:2], -1)
    packed = np.packbits(rows, axis=2, bitorder="little")
    return packed.reshape(len(transfers), -1)


def read_results(ports: Mapping[str, Any], body: bytes, *, count: int) -> tuple[Ints, Ints]:
    """Return the ``count`` results in an answer: labels, (count,), and scores, (count, classes).

    Raises
    ------
    LinkError
        If it is not so many results, the last one alone marked as such, and no bit beyond them.
    """
    stream = ports["streams"]["o"]
    size = bytes_of(stream["width"])
    if len(body) != count * size:
        raise LinkError(
            f"the board must answer with {count} results of {size} bytes, not {len(body)} bytes"
        )
    rows = np.frombuffer(body, dtype=np.uint8).reshape(-1, size)
    bits = np.unpackbits(rows, axis=1, bitorder="little").astype(np.int64)
    if bits[:, stream["width"] :].any():
        raise LinkError("the board must answer with results, and set bits beyond them")
    fields = {field["name"]: field for field in stream["fields"]}

    def values(name: str) -> Ints:
        field = fields[name]
        width, count = field["width"], field["count"]
        part = bits[:, field["offset"] : field["offset"] + width * count]
        weights = np.int64(1) << np.arange(width, dtype=np.int64)
        weights[-1] *= -1 if field["signed"] else 1
        found: Ints = part.reshape(-1, count, width) @ weights
        return found

    if values("last").ravel().tolist() != [0] * (count - 1) + [1]:
        raise LinkError("the board must mark the last result of an inference, and no other")
    return values("label")[:, 0], values("scores")
