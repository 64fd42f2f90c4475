"""A piece cut out of the emitted netlist, and what stands for it inside a specification."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from amaranth.asserts import AnySeq
from amaranth.hdl import Assume, ClockSignal, Instance, Module, ResetSignal, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from convexon_hdl.formal.netlist.netlist import Bit, Bits, Cell, Netlist, require

MODULE = "part"

_FIRST_NET = 2  # Yosys numbers nets from 2; 0 and 1 would read as constants

_BITWISE = {
    "$dff": ("D", "Q"),
    "$mux": ("A", "B", "Y"),
    "$not": ("A", "Y"),
    **dict.fromkeys(("$and", "$or", "$xor"), ("A", "B", "Y")),
}
"""Cells of which a piece needs no other bits than those that it reads, and the ports that are cut
to them."""


def _sliced(cell: Cell, places: Sequence[int]) -> Cell:
    """The cell with some of its bits."""
    ports = dict(cell.ports)
    for name in _BITWISE[cell.kind]:
        ports[name] = tuple(cell.ports[name][k] for k in places)
    sizes = [name for name in cell.parameters if name.endswith("WIDTH")]
    parameters = {**cell.parameters, **{name: f"{len(places):032b}" for name in sizes}}
    return Cell(cell.kind, parameters, ports, cell.outputs)


def _is_bitwise(cell: Cell) -> bool:
    """Whether each bit of the result depends on the same bit of the operands alone."""
    cuts = _BITWISE.get(cell.kind, ())
    return bool(cuts) and len({len(cell.ports[name]) for name in cuts}) == 1


class Part:
    """Everything between the inputs and the outputs of a piece of the netlist, cell for cell.

    Nets are numbered as they are met, so that pieces which differ in nothing but names have the
    same text, and are proved once. Where ``keep`` is given, other registers on the way are cut too:
    each is an input that may be anything in every clock, which allows more than the hardware does.

    Parameters
    ----------
    netlist : Netlist
    inputs, outputs : mapping of str to Bits
        Where the piece is cut, by port.
    signature : wiring.Signature, optional
        Ports that a `StandIn` has; by default the inputs and outputs by their names.
    held : mapping of str to Bits, optional
        Further cuts, at registers that change only in clocks in which the output ``enable`` is
        high; a `StandIn` lets them be anything that does so too.
    keep : set of Bit, optional
        Outputs of the registers that belong to the piece; by default all do.

    Raises `RefutedError` if the piece reads anything but its inputs, its registers and the reset,
    or a register has another clock than the top's.
    """

    def __init__(
        self,
        netlist: Netlist,
        *,
        inputs: Mapping[str, Bits],
        outputs: Mapping[str, Bits],
        signature: wiring.Signature | None = None,
        held: Mapping[str, Bits] | None = None,
        keep: set[Bit] | None = None,
    ) -> None:
        self.signature = signature or wiring.Signature(
            {
                **{name: In(len(bits)) for name, bits in inputs.items()},
                **{name: Out(len(bits)) for name, bits in outputs.items()},
            }
        )
        self.held = frozenset(held or ())
        inputs = {**inputs, **(held or {})}
        self._netlist = netlist
        self._keep = keep
        self._numbers: dict[Bit, int] = {}
        self._cells: list[Cell] = []
        clock, reset = netlist.ports["clk"][0], netlist.ports["rst"][0]
        self._clock = clock
        ports: dict[str, Any] = {
            "clk": _port("input", (self._number(clock),)),
            "rst": _port("input", (self._number(reset),)),
        }
        self.inputs: dict[str, int] = {}
        # Places of the inputs, name and index, that are a constant in the netlist, or the same net
        # as an earlier place. A `StandIn` assumes as much of what drives it.
        self.ties: list[tuple[tuple[str, int], tuple[str, int] | int]] = []
        self._places: dict[Bit, tuple[str, int]] = {}
        for name, bits in inputs.items():
            ports[name] = _port("input", [self._fresh(b, (name, k)) for k, b in enumerate(bits)])
            self.inputs[name] = len(bits)
        cut = set(self._numbers)
        self._free: list[Bit] = []
        self._collect([bit for bits in outputs.values() for bit in bits], cut)
        if self._free:
            ports["free"] = _port("input", [self._numbers[bit] for bit in self._free])
        self.outputs = {name: len(bits) for name, bits in outputs.items()}
        for name, bits in outputs.items():
            ports[name] = _port("output", [self._number(bit) for bit in bits])
        self.n_free = len(self._free)
        content = {"ports": ports, **self._written(cut | set(self._free))}
        self.text = json.dumps({"modules": {MODULE: content}})
        """The piece as Yosys reads it."""
        self.digest = hashlib.sha256(self.text.encode()).hexdigest()
        """Equal for pieces that differ in names alone."""

    def _number(self, bit: Bit) -> int | str:
        if isinstance(bit, str):
            return bit
        return self._numbers.setdefault(bit, len(self._numbers) + _FIRST_NET)

    def _fresh(self, bit: Bit, place: tuple[str, int]) -> int | str:
        """Number of an input's net; one that nothing reads for a constant or a second name."""
        if bit in ("0", "1"):
            self.ties.append((place, int(bit)))
        elif bit in self._places:
            self.ties.append((place, self._places[bit]))
        if isinstance(bit, str) or bit in self._numbers:
            bit = -1 - len(self._numbers)
        self._places[bit] = place
        return self._number(bit)

    def _collect(self, outputs: list[Bit], cut: set[Bit]) -> None:
        """Find all cells between the cut and ``outputs``."""
        netlist = self._netlist
        seen = set(cut)
        cells: dict[int, tuple[Cell, set[int]]] = {}
        pending = outputs[::-1]
        while pending:
            bit = pending.pop()
            if isinstance(bit, str) or bit in seen:
                continue
            seen.add(bit)
            where = netlist.described(bit)
            require(bit in netlist.drivers, f"{where} is read by a part that it is no input of")
            cell, index = netlist.drivers[bit]
            self._number(bit)
            if cell.kind == "$dff":
                require(cell.ports["CLK"] == (self._clock,), f"{where} must be clocked by clk")
                if self._keep is not None and bit not in self._keep:
                    self._free.append(bit)
                    continue
            known, places = cells.setdefault(id(cell), (cell, set()))
            if _is_bitwise(known):
                places.add(index)
                pending.extend(reversed(self._read(_sliced(known, (index,)))))
            elif not places:
                places.update(range(len(known.ports["Y"]) if "Y" in known.ports else 1))
                pending.extend(reversed(self._read(known)))
        self._cells = [
            _sliced(cell, sorted(places)) if _is_bitwise(cell) else cell
            for cell, places in cells.values()
        ]

    def _read(self, cell: Cell) -> list[Bit]:
        """Nets that a cell reads."""
        names = [name for name in cell.ports if name not in cell.outputs and name != "CLK"]
        return [bit for name in names for bit in cell.ports[name]]

    def _written(self, cut: set[Bit]) -> dict[str, Any]:
        """Cells, and the values that registers are configured with."""
        cells: dict[str, Any] = {}
        nets: dict[str, Any] = {}
        spare = len(self._numbers) + _FIRST_NET
        for index, cell in enumerate(self._cells):
            connections: dict[str, list[int | str]] = {}
            for name, bits in cell.ports.items():
                own: list[int | str] = []
                for bit in bits:
                    if name in cell.outputs and (bit in cut or bit not in self._numbers):
                        own.append(spare)  # driven here, read from the cut
                        spare += 1
                    else:
                        own.append(self._number(bit))
                connections[name] = own
            cells[f"c{index}"] = {
                "type": cell.kind,
                "parameters": dict(cell.parameters),
                "attributes": {},
                "port_directions": {
                    name: "output" if name in cell.outputs else "input" for name in cell.ports
                },
                "connections": connections,
            }
            if cell.kind == "$dff":
                values = [str(self._netlist.init(bit)) for bit in cell.ports["Q"]]
                nets[f"q{index}"] = {
                    "bits": connections["Q"],
                    "attributes": {"init": "".join(reversed(values))},
                }
        return {"cells": cells, "netnames": nets}


def _port(direction: str, bits: Any) -> dict[str, Any]:
    return {"direction": direction, "bits": list(bits)}


class StandIn(wiring.Component):
    """A piece of the netlist in the place of the component that it was emitted from.

    Ports of the piece are found by the members' names, joined by two underscores; its other outputs
    are attributes, by their names. What it holds takes any value in a clock in which ``enable`` is
    high, and keeps it in all others, as the registers do that were cut there.
    """

    def __init__(self, part: Part) -> None:
        super().__init__(part.signature)
        self._part = part
        members = {"__".join(map(str, path)) for path, _, _ in part.signature.flatten(self)}
        for name, width in part.outputs.items():
            if name not in members:
                setattr(self, name, Signal(width, name=f"watched_{name}"))

    def elaborate(self, platform: object) -> Module:
        """Connect the piece."""
        m = Module()
        signals = {
            "__".join(map(str, path)): Value.cast(value)
            for path, _, value in self.signature.flatten(self)
        }
        ports: dict[str, Any] = {"i_clk": ClockSignal(), "i_rst": ResetSignal()}
        driven: dict[str, Value] = {}
        for name, width in self._part.inputs.items():
            if name in self._part.held:
                signals[name] = Signal(width, name=f"held_{name}")
                with m.If(self.enable):
                    m.d.sync += signals[name].eq(AnySeq(width))
            ports[f"i_{name}"] = driven[name] = signals[name]
        for (name, index), other in self._part.ties:
            same = other if isinstance(other, int) else driven[other[0]][other[1]]
            m.d.comb += Assume(driven[name][index] == same)
        if self._part.n_free:
            ports["i_free"] = AnySeq(self._part.n_free)
        for name in self._part.outputs:
            ports[f"o_{name}"] = signals[name] if name in signals else getattr(self, name)
        m.submodules.part = Instance(MODULE, **ports)
        return m
