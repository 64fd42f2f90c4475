"""Wiring of the emitted text: clock, reset, and the streams from part to part.

All of it is a matter of equal nets: a connection is one net with two names.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from amaranth.hdl import Value
from amaranth.lib import wiring

from convexon_hdl.accelerator import Accelerator
from convexon_hdl.formal.netlist.netlist import Bit, Bits, Netlist, require
from convexon_hdl.formal.obligation import Emitted, Obligation, by_reading

CARRIED = re.compile(
    r"(_clock\d+|(^|\.)_\d+_|\.membrane\$\d+\[0\]|^loader\.(loaded|refused)(\$\d+)?)$"
)
"""Registers that reset leaves alone: those that only valid transfers are read from
(`convexon_hdl.streams.Chain`), those behind a memory, a memory of a single word, and those
that say whether weights are loaded."""


def wiring_obligations(emitted: Emitted, accelerator: Accelerator) -> Iterator[Obligation]:
    """Clock and reset of every register, ports of the top, and streams between parts."""
    yield by_reading("clock and reset", "accelerator", lambda: _check_registers(emitted.netlist))
    for left, right in _chain(emitted, accelerator):
        where = f"{emitted.names.path(left)} to {emitted.names.path(right)}"

        def check(left: wiring.Component = left, right: wiring.Component = right) -> None:
            _check_stream(emitted, left, right)

        yield by_reading("stream", where, check)
    yield by_reading("ports", "accelerator", lambda: _check_ports(emitted, accelerator))


def _chain(
    emitted: Emitted, accelerator: Accelerator
) -> list[tuple[wiring.Component, wiring.Component]]:
    """Parts of the pipeline, each with the next."""
    parts = pipeline(emitted, accelerator)
    return list(itertools.pairwise(parts))


def pipeline(emitted: Emitted, accelerator: Accelerator) -> list[wiring.Component]:
    """Source, stages and the buffers behind them, readout and decision of an accelerator."""
    mapping, names = accelerator.mapping, emitted.names
    between = [
        names.find(accelerator, f"{kind}{depth}")
        for depth in range(accelerator.network.depth)
        for kind in ("stage", "buffer")
    ]
    return [
        names.child(accelerator, "sequencer" if mapping.encoder is None else "encoder"),
        *(part for part in between if part is not None),
        names.child(accelerator, "readout"),
        names.child(accelerator, "decision" if mapping.decision.is_early else "argmax"),
    ]


def require_same(emitted: Emitted, own: Bits, other: Bits, what: str) -> None:
    """Raise `RefutedError` with the first net of ``own`` that is not the one in ``other``."""
    require(len(own) == len(other), f"{what} must have {len(other)} bits, not {len(own)}")
    for place, (bit, expected) in enumerate(zip(own, other, strict=True)):
        described = emitted.netlist.described
        require(
            bit == expected,
            f"{what} bit {place} must be {described(expected)}, not {described(bit)}",
        )


def stream_bits(emitted: Emitted, stream: wiring.PureInterface) -> dict[str, Bits]:
    """Nets of a stream's payload, valid and ready, by those names."""
    return {
        "payload": emitted.names.bits(stream.payload),
        "valid": emitted.names.bits(stream.valid),
        "ready": emitted.names.bits(stream.ready),
    }


def _check_stream(emitted: Emitted, left: wiring.Component, right: wiring.Component) -> None:
    """The output stream of ``left`` is the input stream of ``right``, net for net."""
    given, taken = stream_bits(emitted, left.o), stream_bits(emitted, right.i)
    for name, bits in given.items():
        what = f"{name} from {emitted.names.path(left)} to {emitted.names.path(right)}"
        require_same(emitted, taken[name], bits, what)


def _check_ports(emitted: Emitted, accelerator: Accelerator) -> None:
    """The top's streams are the source's input and the decision's output."""
    parts = pipeline(emitted, accelerator)
    ports = emitted.netlist.ports
    for name, stream in (("i", parts[0].i), ("o", parts[-1].o)):
        if name == "i" and accelerator.is_loadable:
            continue  # the gate stands between
        for part, bits in stream_bits(emitted, stream).items():
            require_same(emitted, ports[f"{name}__{part}"], bits, f"{name}__{part}")


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
            if register is None:
                continue  # none but a $dff gets here
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


def payload_fields(emitted: Emitted, stream: wiring.PureInterface) -> dict[str, Bits]:
    """Nets of the fields of a stream's payload, by name."""
    bits = emitted.names.bits(stream.payload)
    layout = stream.payload.shape()
    return {
        name: bits[field.offset : field.offset + Value.cast(stream.payload[name]).shape().width]
        for name, field in layout
    }
