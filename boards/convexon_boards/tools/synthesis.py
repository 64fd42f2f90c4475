"""Synthesis out of context, and the cells that come of it."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

from convexon.errors import ToolError
from convexon.plan.cost.cells import CellReport, Family
from convexon_boards.tools.flows import TECHMAP, synthesis_script
from convexon_hdl.emit import yosys
from convexon_hdl.emit.bundle import RtlBundle

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
    if family is Family.ICE40:
        cells = replace(cells, lone_carry=lone_carries(result.files["netlist.json"], top))
    return Netlist(
        top=top,
        cells=cells,
        verilog=result.files["netlist.v"],
        json=result.files["netlist.json"],
        stat=result.files["stat.json"],
        log=result.log,
    )


def lone_carries(netlist: str, top: str) -> int:
    """SB_CARRY cells of a netlist that take a logic cell of their own.

    A carry shares the logic cell of a LUT that reads its operands at I1 and I2, as far as they are
    not constant, and its carry at I3, constant where the carry is. Placement packs them by this
    rule, and adds cells where a carry leaves its chain.
    """
    cells = json.loads(netlist)["modules"][top]["cells"].values()

    def net(cell: dict[str, Any], port: str) -> int | None:
        """Number of the net at a port; None for a constant, and where nothing is."""
        wire = next(iter(cell["connections"].get(port, ())), None)
        return wire if isinstance(wire, int) else None

    readers: dict[int | None, list[tuple[int | None, int | None]]] = defaultdict(list)
    for cell in cells:
        if cell["type"] == "SB_LUT4":
            readers[net(cell, "I3")].append((net(cell, "I1"), net(cell, "I2")))
    lone = 0
    for cell in cells:
        if cell["type"] != "SB_CARRY":
            continue
        operands = net(cell, "I0"), net(cell, "I1")
        beside = readers[net(cell, "CI")]
        fits = [
            lut for lut in beside if all(x in (None, y) for x, y in zip(operands, lut, strict=True))
        ]
        if fits:
            beside.remove(fits[0])
        else:
            lone += 1
    return lone


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
