"""What the link must know of the accelerator behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from convexon.errors import InputError
from convexon.link.protocol import CHUNK_BYTES, FINGERPRINT_BYTES, bytes_of
from convexon.plan.image import WORD_BITS

_DIGITS = 2 * FINGERPRINT_BYTES


@dataclass(frozen=True, kw_only=True)
class LinkShape:
    """Streams of an accelerator, as bytes.

    Members
    -------
    i_bits, o_bits : int
        Bits of a transfer of its input, and of a result.
    last_bit : int
        The bit of a result that says that it is the last of its inference.
    transfers, results : int
        Transfers that make an inference, and the most results of one.
    is_loadable : bool
        Whether weights are loaded at run time.
    fingerprint : int
        64 bits that stand for the design; the host refuses a board with another.

    Raises
    ------
    InputError
        If a count is below 1.
    """

    i_bits: int
    o_bits: int
    last_bit: int
    transfers: int
    results: int = 1
    is_loadable: bool = False
    fingerprint: int = 0

    def __post_init__(self) -> None:
        for name in ("i_bits", "o_bits", "transfers", "results"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be 1 or more, not {getattr(self, name)!r}")

    @classmethod
    def of(cls, ports: Mapping[str, Any], *, results: int, digest: str) -> LinkShape:
        """Shape of the accelerator that ports.json describes; ``digest`` is its bundle's."""
        o = ports["streams"]["o"]
        (last,) = (field for field in o["fields"] if field["name"] == "last")
        if "load" in ports["streams"] and ports["streams"]["load"]["width"] != WORD_BITS:
            raise InputError(f"words of images must have {WORD_BITS} bits")
        return cls(
            i_bits=ports["streams"]["i"]["width"],
            o_bits=o["width"],
            last_bit=last["offset"],
            transfers=ports["transfers_per_inference"],
            results=results,
            is_loadable="load" in ports["streams"],
            fingerprint=int(digest.removeprefix("sha256:")[:_DIGITS], 16),
        )

    @property
    def inference_bytes(self) -> int:
        """Bytes of the input of an inference."""
        return self.transfers * bytes_of(self.i_bits)

    @property
    def chunks(self) -> int:
        """Requests that an inference takes."""
        return -(-self.inference_bytes // CHUNK_BYTES)

    @property
    def last_chunk_bytes(self) -> int:
        """Bytes of the last of them."""
        return self.inference_bytes - (self.chunks - 1) * CHUNK_BYTES

    @property
    def answer_bytes(self) -> int:
        """Most bytes of the results of an inference."""
        return self.results * bytes_of(self.o_bits)
