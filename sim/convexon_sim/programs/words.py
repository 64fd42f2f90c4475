"""What the programs around a design share: vectors as whole words, and their own source text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.store.untrusted import require_identifier

WORD_BITS = 32

Words = npt.NDArray[np.uint32]

_SMALLEST_WORDS = 3
"""Verilator holds vectors of three words and more as arrays, whatever their length."""


def words_of(bits: int) -> int:
    """Return the words of a vector of some bits in the module around a design."""
    return max(_SMALLEST_WORDS, -(-bits // WORD_BITS))


def word_range(bits: int) -> str:
    """Return the range of such a vector in Verilog."""
    return f"[{WORD_BITS * words_of(bits) - 1}:0]"


def packed(values: npt.NDArray[Any], width: int) -> Words:
    """Return vectors with element j at bits ``j * width`` and up, two's complement.

    Parameters
    ----------
    values : integer array, shape (vectors, elements)
    width : bits of an element

    Returns
    -------
    uint32 array, shape (vectors, words)
    """
    bits = (values.astype(np.int64)[:, :, None] >> np.arange(width)) & 1
    raw = np.packbits(bits.reshape(len(values), -1).astype(np.uint8), axis=1, bitorder="little")
    out = np.zeros((len(values), 4 * words_of(values.shape[1] * width)), dtype=np.uint8)
    out[:, : raw.shape[1]] = raw
    return out.view("<u4")


def integers(words: Words) -> list[int]:
    """Return the vectors of an array, shape (vectors, words), as integers."""
    return [int.from_bytes(row.tobytes(), "little") for row in words]


def shipped(*names: str) -> dict[str, str]:
    """Return the texts of files that lie beside this module."""
    folder = resources.files("convexon_sim.programs")
    return {name: folder.joinpath(name).read_text() for name in names}


def module_around(
    name: str,
    design: str,
    ports: Iterable[str],
    connections: Mapping[str, str],
    lines: Iterable[str],
) -> str:
    """Return the Verilog of a module ``name`` with an instance ``core`` of ``design``.

    Parameters
    ----------
    ports : declarations such as "input clk"
    connections : the design's ports, and what they are connected to
    lines : what else stands in the module
    """
    for text in (name, design, *connections):
        require_identifier(text, "a module or a port")
    joined = ", ".join(f".{port}({signal})" for port, signal in connections.items())
    body = "".join(f"  {line};\n" for line in (*lines, f"{design} core ({joined})"))
    return f"module {name}({', '.join(ports)});\n{body}endmodule\n"


STREAM_PORTS = ("input in_valid", "output in_ready", "output out_valid", "input out_ready")
"""Handshakes of the two streams that every program drives."""


def stream_connections(ports: Mapping[str, Any]) -> dict[str, str]:
    """Return how reset and streams of ports.json are connected, with the result at ``given``."""
    i, o = ports["streams"]["i"], ports["streams"]["o"]
    return {
        ports["reset"]: "rst",
        i["payload"]: f"in_payload[{i['width'] - 1}:0]",
        i["valid"]: "in_valid",
        i["ready"]: "in_ready",
        o["payload"]: "given",
        o["valid"]: "out_valid",
        o["ready"]: "out_ready",
    }
