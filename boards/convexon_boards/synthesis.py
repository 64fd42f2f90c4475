"""Synthesis out of context, and the cells that come of it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from convexon.bundle import RtlBundle
from convexon.cells import CellReport, Family
from convexon.errors import ToolError
from convexon_boards.flows import TECHMAP, synthesis_script
from convexon_hdl import yosys


@dataclass(frozen=True, kw_only=True)
class Netlist:
    """A synthesized design.

    Members
    -------
    top : str
        Name of its module.
    cells : CellReport
    verilog : str
        The netlist in the vendor's cells.
    json : str
        The same for nextpnr.
    """

    top: str
    cells: CellReport
    verilog: str
    json: str


def synthesize(bundle: RtlBundle, family: Family) -> Netlist:
    """Synthesize ``bundle`` for ``family``, without pads.

    Needs nothing of the caller's process while it runs: start it in a thread to overlap it with
    other work.

    Raises
    ------
    ToolError
        If Yosys is missing or fails, or states no cells.
    """
    return synthesize_verilog(bundle.verilog, bundle.top, family)


def synthesize_verilog(verilog: str, top: str, family: Family) -> Netlist:
    """Synthesize the module ``top`` as `synthesize` does."""
    result = yosys.run(
        synthesis_script(family, top),
        inputs={"design.v": verilog, "convexon.v": TECHMAP},
        outputs=["stat.json", "netlist.v", "netlist.json"],
    )
    cells = parse_stat(result.files["stat.json"], family=family, tool=f"yosys {yosys.version()}")
    return Netlist(
        top=top,
        cells=cells,
        verilog=result.files["netlist.v"],
        json=result.files["netlist.json"],
    )


def parse_stat(text: str, *, family: Family, tool: str) -> CellReport:
    """Read what ``stat -json`` printed.

    Raises
    ------
    ToolError
        If it is not JSON, or lacks the counts of the design.
    """
    try:
        counts = json.loads(text)["design"]["num_cells_by_type"]
        raw = {str(name): int(count) for name, count in counts.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ToolError(
            "Yosys must state the cells of the design in its JSON, and did not: check its version"
        ) from error
    raw.pop("$scopeinfo", None)  # a record of the hierarchy, not hardware

    def count(*names: str) -> int:
        return sum(raw.get(name, 0) for name in names)

    if family is Family.ICE40:
        registers = [name for name in raw if name.startswith("SB_DFF")]
        memories = [name for name in raw if name.startswith("SB_RAM40_4K")]
    else:
        registers, memories = ["TRELLIS_FF"], ["DP16KD", "PDPW16KD"]
    return CellReport(
        family=family,
        lut4=count("LUT4", "SB_LUT4"),
        carry=count("CCU2C", "SB_CARRY"),
        wide_mux=count("PFUMX", "L6MUX21"),
        ff=count(*registers),
        lutram=4 * count("TRELLIS_DPR16X4"),
        mult18=count("MULT18X18D"),
        block_ram=count(*memories),
        raw=raw,
        tool=tool,
    )
