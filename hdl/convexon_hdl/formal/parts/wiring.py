"""Wiring of the emitted text: clock, reset, and the streams from part to part.

All of it is a matter of equal nets: a connection is one net with two names.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from amaranth.lib import wiring

from convexon_hdl.formal.netlist.emitted import Emitted
from convexon_hdl.formal.netlist.netlist import Bit, Netlist, require
from convexon_hdl.formal.obligation import Obligation, by_reading

CARRIED = re.compile(
    r"(_clock\d+|(^|\.)_\d+_|\.(membrane|synaptic)\$\d+\[0\]|^loader\.(loaded|refused)(\$\d+)?)$"
)
"""Registers that reset leaves alone: those that only valid transfers are read from
(`convexon_hdl.streams.Chain`), those behind a memory, a memory of a single word, and those
that say whether weights are loaded."""


def wiring_obligations(emitted: Emitted) -> Iterator[Obligation]:
    """Clock and reset of every register, ports of the top, and streams between parts."""
    yield by_reading("clock and reset", "accelerator", _check_registers, emitted.netlist)
    for left, right in itertools.pairwise(emitted.pipeline()):
        where = f"{emitted.path(left)} to {emitted.path(right)}"
        yield by_reading("stream", where, emitted.require_connected, left.o, right.i, f"of {where}")
    yield by_reading("ports", "accelerator", _check_ports, emitted)


def _check_ports(emitted: Emitted) -> None:
    """The top's streams are the source's input and the decision's output."""
    source, *_, decision = emitted.pipeline()
    if not emitted.accelerator.is_loadable:  # else the gate stands between
        require_port(emitted, "i", source.i)
    require_port(emitted, "o", decision.o)


def require_port(emitted: Emitted, name: str, stream: wiring.PureInterface) -> None:
    """Raise `RefutedError` unless a stream is the one of this name among the top's ports."""
    for part in ("payload", "valid", "ready"):
        port = f"{name}__{part}"
        emitted.require_same(emitted.netlist.ports[port], getattr(stream, part), port)


def _check_registers(netlist: Netlist) -> None:
    """Every register has the top's clock, and is reset to what it is configured with."""
    clock = netlist.ports["clk"]
    memories = [cell for cell in netlist.cells if cell.kind == "$mem_v2"]
    stored = {bit for memory in memories for bit in memory.ports["RD_DATA"]}
    read = _read_nets(netlist)
    aliases: dict[object, list[str]] = {}
    for name, bits in netlist.names.items():
        for bit in bits:
            aliases.setdefault(bit, []).append(name)
    for cell in netlist.cells:
        if not cell.kind.startswith("$dff"):
            kinds = ("$mem", "$sdff", "$adff", "$aldff", "$sr", "$dlatch", "$ff")
            if cell.kind.startswith(kinds):
                require(cell.kind == "$mem_v2", f"there must be no {cell.kind}")
                clocks = {*cell.ports["RD_CLK"], *cell.ports["WR_CLK"]}
                require(clocks <= {*clock, "x", "0"}, "every memory must be clocked by clk")
            continue
        rising = cell.number("CLK_POLARITY") == 1
        for q in cell.ports["Q"]:
            where = netlist.described(q)
            require(cell.kind == "$dff", f"{where} must be a plain register, not {cell.kind}")
            require(rising and cell.ports["CLK"] == clock, f"{where} must be clocked by clk")
            register = netlist.register(q)
            if register.reset_value is None:
                carried = any(CARRIED.search(name) for name in aliases.get(q, ()))
                carried |= register.d in stored or q not in read
                carried |= register.d == register.init != "x"  # it never changes
                require(carried, f"{where} must be reset by rst")
            else:
                same = register.reset_value == register.init
                require(same, f"{where} must be reset to what it is configured with")


def _read_nets(netlist: Netlist) -> set[Bit]:
    """Nets that a cell or an output of the top reads."""
    read: set[Bit] = set()
    for cell in netlist.cells:
        for name, bits in cell.ports.items():
            if name not in cell.outputs:
                read.update(bits)
    for name, bits in netlist.ports.items():
        if name not in netlist.inputs:
            read.update(bits)
    return read
