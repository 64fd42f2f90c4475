"""The nets of a mapped netlist: what drives each, and how many routed pins it has to move."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError, ToolError
from convexon.plan.cost.cells import Family
from convexon_boards.tools.synthesis import Netlist

PINS_OF_A_CONTROL = 8
"""Flip-flops that share one control pin: those of a logic block of iCE40, and of ECP5 (a PFU)."""


class Driver(Enum):
    """What drives a net."""

    LOGIC = "logic"
    CARRY = "carries"
    REGISTER = "registers"
    MEMORY = "block RAM"
    INPUT = "inputs"


@dataclass(frozen=True, eq=False, kw_only=True)
class Nets:
    """The nets of a netlist, but for its clock.

    Members
    -------
    bits : tuple of int
        Numbers that Yosys gives the nets.
    drivers : tuple of Driver
    chains : bool array, shape (nets,)
        Whether the net is a link of a carry chain, which is not routed.
    pins : int64 array, shape (nets,)
        Pins that routing leads the net to.
    clocked : int
        Clock pins of flip-flops and memories.
    accesses : tuple of tuple of int
        For every port of a block memory that is not shut for good, the nets, as indices into
        ``bits``, that are all high at a clock which accesses the memory; none where every clock
        does.
    """

    bits: tuple[int, ...]
    drivers: tuple[Driver, ...]
    chains: npt.NDArray[np.bool_]
    pins: npt.NDArray[np.int64]
    clocked: int
    accesses: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class _Kind:
    """How the pins of a cell count.

    ``clocks`` are of the clock tree, ``packed`` of the LUT that stands in the same cell, ``chain``
    of a carry chain, ``controls`` shared by the flip-flops of a block, ``free`` the same pins as
    those of the LUT beside.
    """

    driver: Driver
    clocks: tuple[str, ...] = ()
    packed: tuple[str, ...] = ()
    chain: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    free: tuple[str, ...] = ()


_KINDS: Mapping[Family, Mapping[str, _Kind]] = {
    Family.ECP5: {
        "LUT4|PFUMX|L6MUX21": _Kind(Driver.LOGIC),
        "CCU2C": _Kind(Driver.CARRY, chain=("CIN", "COUT")),
        "TRELLIS_FF": _Kind(
            Driver.REGISTER, clocks=("CLK",), packed=("DI",), controls=("CE", "LSR")
        ),
        "TRELLIS_DPR16X4": _Kind(Driver.LOGIC, clocks=("WCK",)),
        "DP16KD": _Kind(Driver.MEMORY, clocks=("CLKA", "CLKB")),
        "PDPW16KD": _Kind(Driver.MEMORY, clocks=("CLKR", "CLKW")),
    },
    Family.ICE40: {
        "SB_LUT4": _Kind(Driver.LOGIC),
        "SB_CARRY": _Kind(Driver.CARRY, chain=("CI", "CO"), free=("I0", "I1")),
        "SB_DFF.*": _Kind(Driver.REGISTER, clocks=("C",), packed=("D",), controls=("E", "R", "S")),
        "SB_RAM40_4K.*": _Kind(Driver.MEMORY, clocks=("RCLK", "WCLK", "RCLKN", "WCLKN")),
    },
}

_PORTS: Mapping[str, tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = {
    "SB_RAM40_4K": ((("RE", "RCLKE"), ("RDATA",)), (("WE", "WCLKE"), ("WDATA",))),
    "DP16KD": ((("CEA",), ("DOA", "DIA")), (("CEB",), ("DOB", "DIB"))),
    "PDPW16KD": ((("CER",), ("DO",)), (("CEW",), ("DI",))),
}
"""Of a memory's ports: the enables, and the pins that bear its word."""


def nets_of(netlist: Netlist) -> Nets:
    """Read the nets of a netlist.

    Raises
    ------
    InputError
        If the family has no energies, or the netlist has a cell that no energy is known of.
    ToolError
        If the netlist is not what Yosys writes.
    """
    family = netlist.cells.family
    if family not in _KINDS:
        raise InputError(
            f"energy must be of a part of {', '.join(f.value for f in _KINDS)}, "
            f"not of {family.value}: no energies of its cells are published"
        )
    try:
        module = json.loads(netlist.json)["modules"][netlist.top]
    except (ValueError, KeyError, TypeError) as error:
        raise ToolError(
            f"Yosys must write the module {netlist.top} as JSON, and did not: check its version"
        ) from error
    return _Reader(module, family).read()


class _Reader:
    """Counts the pins of one module."""

    def __init__(self, module: Mapping[str, Any], family: Family) -> None:
        self._module = module
        self._family = family
        self._drivers: dict[int, Driver] = {}
        self._chains: set[int] = set()
        self._pins: Counter[int] = Counter()
        self._packed: Counter[int] = Counter()
        self._controls: Counter[int] = Counter()
        self._clocks: set[int] = set()
        self.clocked = 0

    def read(self) -> Nets:
        """Return the nets."""
        for port in self._module["ports"].values():
            for bit in _driven(port["bits"]):
                if port["direction"] == "input":
                    self._drivers[bit] = Driver.INPUT
                else:
                    self._pins[bit] += 1
        cells = [(c["type"], c) for c in self._module["cells"].values()]
        cells = [(name, cell) for name, cell in cells if not name.startswith("$")]
        for name, cell in cells:
            self._cell(self._kind(name), cell)
        for bit, count in self._packed.items():  # one flip-flop stands in the cell of its LUT
            inside = self._drivers.get(bit) in (Driver.LOGIC, Driver.CARRY)
            self._pins[bit] += count - inside
        for bit, count in self._controls.items():
            self._pins[bit] += -(-count // PINS_OF_A_CONTROL)
        bits = tuple(sorted(self._drivers.keys() - self._clocks))
        place = {bit: k for k, bit in enumerate(bits)}
        memories = [(n, c) for n, c in cells if self._kind(n).driver is Driver.MEMORY]
        return Nets(
            bits=bits,
            drivers=tuple(self._drivers[bit] for bit in bits),
            chains=np.array([bit in self._chains for bit in bits], dtype=np.bool_),
            pins=np.array(
                [0 if bit in self._chains else self._pins[bit] for bit in bits], dtype=np.int64
            ),
            clocked=self.clocked,
            accesses=tuple(a for name, cell in memories for a in _accesses(name, cell, place)),
        )

    def _kind(self, name: str) -> _Kind:
        for pattern, kind in _KINDS[self._family].items():
            if re.fullmatch(pattern, name):
                return kind
        raise InputError(f"no energy is known of a cell {name}: map the network without it")

    def _cell(self, kind: _Kind, cell: Mapping[str, Any]) -> None:
        for pin, connected in cell["connections"].items():
            bits = list(_driven(connected))
            if cell["port_directions"][pin] == "output":
                self._drivers |= dict.fromkeys(bits, kind.driver)
                if pin in kind.chain:
                    self._chains |= set(bits)
            elif pin in kind.clocks:
                self.clocked += len(bits)
                self._clocks |= set(bits)
            elif pin in kind.packed:
                self._packed.update(bits)
            elif pin in kind.controls:
                self._controls.update(bits)
            elif pin not in (*kind.chain, *kind.free):
                self._pins.update(bits)


def _driven(bits: list[int | str]) -> Iterator[int]:
    """Yield the nets among bits that may be constants."""
    return (bit for bit in bits if isinstance(bit, int))


def _accesses(
    name: str, cell: Mapping[str, Any], place: Mapping[int, int]
) -> Iterator[tuple[int, ...]]:
    """Yield the enables of a memory's ports that are not shut for good, or connected to nothing."""
    connections = cell["connections"]
    base = next(known for known in _PORTS if name.startswith(known))
    for enables, data in _PORTS[base]:
        bits = [bit for pin in enables for bit in connections.get(pin, ["1"])]
        words = [
            c for pin, c in connections.items() if re.fullmatch(rf"({'|'.join(data)})\d*", pin)
        ]
        if "0" not in bits and any(True for word in words for _ in _driven(word)):
            yield tuple(place[bit] for bit in _driven(bits))
