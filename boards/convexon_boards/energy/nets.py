"""The nets of a mapped netlist: what drives each, and how many routed pins it has to move."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError, ToolError
from convexon.plan.switching import Watch
from convexon_boards.families import TOOLCHAINS
from convexon_boards.toolchain import Cell, Driver
from convexon_boards.tools.netlist_model import WATCHED, simulation_model
from convexon_boards.tools.synthesis import Netlist

PINS_OF_A_CONTROL = 8
"""Flip-flops that share one control pin: those of a logic block of iCE40, and of ECP5 (a PFU)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Nets:
    """The nets of a netlist, but for its clock.

    Members
    -------
    bits : numbers that Yosys gives the nets
    chains : bool array, shape (nets,)
        Whether the net is a link of a carry chain, which is not routed.
    pins : int64 array, shape (nets,)
        Pins that routing leads the net to.
    clocked : clock pins of flip-flops and memories
    accesses : for every port of a block memory that is not shut for good, the nets, as indices into
        ``bits``, that are all high at a clock which accesses the memory; none where every clock
        does
    """

    bits: tuple[int, ...]
    drivers: tuple[Driver, ...]
    chains: npt.NDArray[np.bool_]
    pins: npt.NDArray[np.int64]
    clocked: int
    accesses: tuple[tuple[int, ...], ...]


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
    known = [f.value for f, t in TOOLCHAINS.items() if any(cell.driver for cell in t.cells)]
    if family.value not in known:
        raise InputError(
            f"energy must be of a part of {', '.join(known)}, "
            f"not of {family.value}: no energies of its cells are published"
        )
    try:
        module = json.loads(netlist.json)["modules"][netlist.top]
    except (ValueError, KeyError, TypeError) as error:
        raise ToolError(
            f"Yosys must write the module {netlist.top} as JSON, and did not: check its version"
        ) from error
    return _Reader(module, TOOLCHAINS[family].cells).read()


class _Reader:
    """Counts the pins of one module."""

    def __init__(self, module: Mapping[str, Any], known: Sequence[Cell]) -> None:
        self._module = module
        self._known = known
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
        cells = [
            (self._kind(cell["type"]), cell)
            for cell in self._module["cells"].values()
            if not cell["type"].startswith("$")
        ]
        for kind, cell in cells:
            self._cell(kind, cell)
        for bit, count in self._packed.items():  # one flip-flop stands in the cell of its LUT
            inside = self._drivers.get(bit) in (Driver.LOGIC, Driver.CARRY)
            self._pins[bit] += count - inside
        for bit, count in self._controls.items():
            self._pins[bit] += -(-count // PINS_OF_A_CONTROL)
        bits = tuple(sorted(self._drivers.keys() - self._clocks))
        place = {bit: k for k, bit in enumerate(bits)}
        return Nets(
            bits=bits,
            drivers=tuple(self._drivers[bit] for bit in bits),
            chains=np.array([bit in self._chains for bit in bits], dtype=np.bool_),
            pins=np.array(
                [0 if bit in self._chains else self._pins[bit] for bit in bits], dtype=np.int64
            ),
            clocked=self.clocked,
            accesses=tuple(a for kind, cell in cells for a in _accesses(kind, cell, place)),
        )

    def _kind(self, name: str) -> Cell:
        for kind in self._known:
            if kind.driver is not None and re.fullmatch(kind.names, name):
                return kind
        raise InputError(f"no energy is known of a cell {name}: map the network without it")

    def _cell(self, kind: Cell, cell: Mapping[str, Any]) -> None:
        for pin, connected in cell["connections"].items():
            bits = list(_driven(connected))
            if cell["port_directions"][pin] == "output":
                self._drivers |= {bit: kind.driver for bit in bits if kind.driver}
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
    kind: Cell, cell: Mapping[str, Any], place: Mapping[int, int]
) -> Iterator[tuple[int, ...]]:
    """Yield the enables of a memory's ports that are not shut for good, or connected to nothing."""
    connections = cell["connections"]
    for port in kind.ports:
        bits = [bit for pin in port.enables for bit in connections.get(pin, ["1"])]
        words = [
            c for pin, c in connections.items() if re.fullmatch(rf"({'|'.join(port.word)})\d*", pin)
        ]
        if "0" not in bits and any(True for word in words for _ in _driven(word)):
            yield tuple(place[bit] for bit in _driven(bits))


def watch_of(netlist: Netlist, nets: Nets, ports: Mapping[str, Any]) -> Watch:
    """Return the netlist with models of its cells, and a port that shows all of its nets.

    Parameters
    ----------
    nets : of the netlist
    ports : its clock, and where it has them reset and streams, as ports.json states them

    Raises
    ------
    ToolError
        If Yosys is missing or fails.
    """
    return Watch(
        verilog=simulation_model(netlist, watched=nets.bits),
        top=netlist.top,
        ports=ports,
        port=WATCHED,
        n_nets=len(nets.bits),
        together=nets.accesses,
    )
