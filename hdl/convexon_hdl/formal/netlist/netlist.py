"""The emitted Verilog as a flat netlist, as Yosys reads it.

Nothing is removed on the way, so that a net has the name which the Verilog gives it. Registers are
plain flip-flops; what enables and resets them is read from the multiplexers before them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from convexon.errors import ConvexonError
from convexon.store.untrusted import require_identifier
from convexon_hdl.emit import yosys

Bit = int | str
"""A net of one bit, or a constant: "0", "1" or "x"."""

Bits = tuple[Bit, ...]

SCRIPT = (
    "read_verilog design.v",
    "hierarchy -check -top {top}",
    "proc -noopt",
    "opt_expr -mux_undef -keepdc",
    "flatten",
    "memory_collect",
    "write_json design.json",
)


class RefutedError(ConvexonError):
    """The emitted text is not what a proof by parts says that it is; the message says where."""


def require(holds: bool, message: str) -> None:
    """Raise `RefutedError` unless ``holds``."""
    if not holds:
        raise RefutedError(message)


@dataclass(frozen=True, eq=False)
class Cell:
    """One cell."""

    kind: str
    """Yosys' type, such as ``$add``."""
    parameters: Mapping[str, str]
    ports: Mapping[str, Bits]
    outputs: frozenset[str]
    """Names of those ports that are outputs."""

    def number(self, name: str) -> int:
        """Parameter ``name`` as an unsigned number."""
        return int(self.parameters[name], 2)

    @property
    def is_signed(self) -> bool:
        """Whether operands are extended by their signs."""
        return self.number("A_SIGNED") == 1 and self.number("B_SIGNED") == 1


@dataclass(frozen=True)
class Register:
    """One flip-flop of the top's clock.

    ``q' = reset_value if rst else d if enable else q``
    """

    d: Bit
    q: Bit
    enable: Bit
    """"1" where it always takes ``d``."""
    after: Bit
    """What it takes in any clock without a reset: ``d`` if ``enable``, else ``q``."""
    reset_value: Bit | None
    """None where reset leaves it alone."""
    init: Bit
    """Value after configuration; "x" where the text gives none."""


class Netlist:
    """A flat design: ``ports`` of the top module, ``names`` of nets without the top's, and cells.

    Raises `ToolError` if Yosys cannot read the Verilog.
    """

    def __init__(self, verilog: str, *, top: str) -> None:
        require_identifier(top, "top of a design")
        script = [line.format(top=top) for line in SCRIPT]
        result = yosys.run(script, inputs={"design.v": verilog}, outputs=["design.json"])
        module: dict[str, Any] = json.loads(result.files["design.json"])["modules"][top]
        self.ports: dict[str, Bits] = {n: tuple(p["bits"]) for n, p in module["ports"].items()}
        self.inputs = {n for n, p in module["ports"].items() if p["direction"] == "input"}
        self.names: dict[str, Bits] = {n: tuple(w["bits"]) for n, w in module["netnames"].items()}
        self.cells = tuple(_cell(c) for c in module["cells"].values() if c["type"] != "$scopeinfo")
        self._init: dict[Bit, Bit] = {}
        for wire in module["netnames"].values():
            values = reversed(wire["attributes"].get("init", ""))
            self._init.update(zip(wire["bits"], values, strict=False))

    @cached_property
    def drivers(self) -> dict[Bit, tuple[Cell, int]]:
        """Cell that drives each net, and the index of the net in its result."""
        return {
            bit: (cell, index)
            for cell in self.cells
            for name in cell.outputs
            for index, bit in enumerate(cell.ports[name])
        }

    @cached_property
    def _descriptions(self) -> dict[Bit, str]:
        """A name for each net that has one."""
        return {
            bit: name if len(bits) == 1 else f"{name}[{index}]"
            for name, bits in self.names.items()
            for index, bit in enumerate(bits)
        }

    def described(self, bit: Bit) -> str:
        """A net as a message names it."""
        return self._descriptions.get(bit, f"constant {bit}")

    def named(self, name: str) -> Bits:
        """Nets of ``name``; `RefutedError` if the text has none."""
        require(name in self.names, f"the Verilog must have a net {name}")
        return self.names[name]

    def init(self, bit: Bit) -> Bit:
        """Value that a net has when the part is configured."""
        return self._init.get(bit, "x")

    def driver(self, bit: Bit) -> tuple[Cell, int]:
        """Cell that drives a net, and the net's index there; `RefutedError` if none does."""
        require(bit in self.drivers, f"{self.described(bit)} must be driven")
        return self.drivers[bit]

    def is_register(self, bit: Bit) -> bool:
        """Whether a flip-flop drives a net."""
        return bit in self.drivers and self.drivers[bit][0].kind == "$dff"

    def register(self, q: Bit) -> Register:
        """The flip-flop that drives ``q``; `RefutedError` if none does."""
        require(self.is_register(q), f"{self.described(q)} must be a register")
        cell, index = self.drivers[q]
        d, reset_value = cell.ports["D"][index], None
        rest = self._multiplexed(d)
        if rest is not None and rest[2] == self.ports["rst"][0] and rest[1] in ("0", "1"):
            d, reset_value = rest[0], rest[1]
            rest = self._multiplexed(d)
        enable: Bit = "1"
        after = d
        if rest is not None and rest[0] == q:
            d, enable = rest[1], rest[2]
        return Register(d, q, enable, after, reset_value, self.init(q))

    def _multiplexed(self, bit: Bit) -> tuple[Bit, Bit, Bit] | None:
        """Nets a, b and s where ``bit`` is b if s, else a."""
        if bit not in self.drivers:
            return None
        cell, index = self.drivers[bit]
        if cell.kind != "$mux":
            return None
        return cell.ports["A"][index], cell.ports["B"][index], cell.ports["S"][0]


def _cell(content: Mapping[str, Any]) -> Cell:
    directions = content["port_directions"]
    return Cell(
        kind=content["type"],
        parameters=content["parameters"],
        ports={name: tuple(bits) for name, bits in content["connections"].items()},
        outputs=frozenset(name for name, way in directions.items() if way == "output"),
    )


def bits_of(words: Sequence[Bits]) -> Bits:
    """Words side by side, the first one lowest."""
    return tuple(bit for word in words for bit in word)
