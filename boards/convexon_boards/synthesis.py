"""Synthesis out of context, and the cells that come of it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from convexon.bundle import RtlBundle
from convexon.cells import CellReport, Family
from convexon.errors import ToolError
from convexon_boards.flows import TECHMAP, synthesis_script
from convexon_hdl import yosys

_KINDS = {
    Family.ECP5: {
        "lut4": "LUT4",
        "carry": "CCU2C",
        "wide_mux": "PFUMX|L6MUX21",
        "ff": "TRELLIS_FF",
        "lutram": "TRELLIS_DPR16X4",
        "mult18": "MULT18X18D",
        "block_ram": "DP16KD|PDPW16KD",
    },
    Family.ICE40: {
        "lut4": "SB_LUT4",
        "carry": "SB_CARRY",
        "wide_mux": "",
        "ff": "SB_DFF.*",
        "lutram": "",
        "mult18": "",
        "block_ram": "SB_RAM40_4K.*",
    },
    Family.GOWIN: {
        "lut4": "LUT[1-4]",
        "carry": "ALU",
        "wide_mux": "MUX2_LUT[5-8]",
        "ff": "DFF.*",
        "lutram": "RAM16SDP[124]",
        "mult18": "MULT.*",
        "block_ram": "(SP|S?DP|pROM)(X9)?B?",
    },
}
"""Names of each family's cells, as patterns."""


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
    stat, log : str
        What Yosys reported of the cells, and all that it printed.
    """

    top: str
    cells: CellReport
    verilog: str
    json: str
    stat: str = ""
    log: str = ""


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
        stat=result.files["stat.json"],
        log=result.log,
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

    kinds = _KINDS[family]
    found = {
        what: sum(n for name, n in raw.items() if re.fullmatch(pattern, name))
        for what, pattern in kinds.items()
    }
    return CellReport(
        family=family,
        lut4=found["lut4"],
        carry=found["carry"],
        wide_mux=found["wide_mux"],
        ff=found["ff"],
        lutram=4 * found["lutram"],
        mult18=found["mult18"],
        block_ram=found["block_ram"],
        raw=raw,
        tool=tool,
    )
