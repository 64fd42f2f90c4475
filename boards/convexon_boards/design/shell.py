"""A shell of registers around an accelerator, for place and route without a board.

An accelerator has more port bits than a small part has pins, and its first sums begin at its
inputs: a path that has no register at one end is no path of the clock, and static timing would
leave it out. In the shell every input comes from a flip-flop and every output ends in one, so that
the highest clock is that of the whole accelerator, and ten pins are enough::

    shift_in -> [shift register] -> payload of i -> accelerator -> payload of o -> [loaded by a
    transfer, shifted else] -> shift_out

It costs a flip-flop for each port bit, and for each output bit a multiplexer.
"""

from __future__ import annotations

from typing import Any

from convexon_hdl.emit.bundle import RtlBundle
from convexon_hdl.emit.described import require_names

TOP = "shell"
"""Name of the shell's module."""


def in_shell(bundle: RtlBundle) -> str:
    """Return the Verilog of ``bundle`` and of a module `TOP` around it."""
    ports = bundle.ports
    require_names(ports)
    sources = _streams(ports, "i")
    sinks = _streams(ports, "o")
    bits_in = sum(stream["width"] for stream in sources)
    bits_out = sum(stream["width"] for stream in sinks)
    connections = [f".{ports['clock']}(clk)", f".{ports['reset']}(reset)"]
    connections += _connections(sources, "inputs", "offered", "taken")
    connections += _connections(sinks, "results", "given", "accepting")
    load = "".join(
        f"    if (given[{k}] && accepting[{k}]) held[{high}:{low}] <= results[{high}:{low}];\n"
        for k, (low, high) in enumerate(_slices(sinks))
    )
    return (
        f"{bundle.verilog}\n"
        f"module {TOP}(input clk, input rst, input shift, input shift_in,\n"
        f"  input [{len(sources) - 1}:0] offer, output reg [{len(sources) - 1}:0] ready,\n"
        f"  input [{len(sinks) - 1}:0] accept, output reg [{len(sinks) - 1}:0] valid,\n"
        "  output shift_out);\n"
        "  reg reset, shifting;\n"
        f"  reg [{bits_in - 1}:0] inputs;\n"
        f"  reg [{bits_out - 1}:0] held;\n"
        f"  wire [{bits_out - 1}:0] results;\n"
        f"  reg [{len(sources) - 1}:0] offered;\n"
        f"  wire [{len(sources) - 1}:0] taken;\n"
        f"  reg [{len(sinks) - 1}:0] accepting;\n"
        f"  wire [{len(sinks) - 1}:0] given;\n"
        "  assign shift_out = held[0];\n"
        "  always @(posedge clk) begin\n"
        "    reset <= rst; shifting <= shift; offered <= offer; accepting <= accept;\n"
        "    ready <= taken; valid <= given;\n"
        "    if (shifting) inputs <= {shift_in, inputs} >> 1;\n"
        "    held <= held >> 1;\n"
        f"{load}"
        "  end\n"
        f"  {bundle.top} accelerator({', '.join(connections)});\n"
        "endmodule\n"
    )


def _streams(ports: dict[str, Any], side: str) -> list[dict[str, Any]]:
    """Streams into (``i``, ``i_...``) or out of (``o``, ``o_...``) the accelerator, by name."""
    return [
        ports["streams"][name]
        for name in sorted(ports["streams"])
        if name == side or name.startswith(f"{side}_") or (side == "i" and name == "load")
    ]


def _slices(streams: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """Lowest and highest bit of each payload in the shell's register."""
    slices, low = [], 0
    for stream in streams:
        slices.append((low, low + stream["width"] - 1))
        low += stream["width"]
    return slices


def _connections(streams: list[dict[str, Any]], payload: str, valid: str, ready: str) -> list[str]:
    """Port connections of ``streams`` to the shell's vectors of these names."""
    found = []
    for k, (stream, (low, high)) in enumerate(zip(streams, _slices(streams), strict=True)):
        found += [
            f".{stream['payload']}({payload}[{high}:{low}])",
            f".{stream['valid']}({valid}[{k}])",
            f".{stream['ready']}({ready}[{k}])",
        ]
    return found
