"""Synthesis with Yosys: from Verilog to the vendor's cells, and how many there are.

The steps are those of Yosys' ``synth_ecp5``, ``synth_ice40`` and ``synth_gowin`` with changes for a
design that is mostly tables of four inputs and short adders:

- a constant table that a four-bit address selects from is one LUT4, and is mapped so at once;
- each adder becomes one carry chain. Left alone, Yosys would merge a tree of adders into
  compressors of plain logic, which take two LUT4s for a bit where a chain takes one, and are
  slower;
- LUTs are not joined to wider ones, which costs clock and saves none;
- constant memories go to block RAM by what they would cost in LUT4s: an eighth for each bit.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

from convexon.errors import ToolError
from convexon.plan.cost.memory import CONSTANT_BIT
from convexon.plan.cost.resources import CellReport
from convexon.plan.family import Family
from convexon.store.untrusted import require_identifier
from convexon_boards.families import TOOLCHAINS
from convexon_boards.toolchain import Toolchain
from convexon_hdl.emit import yosys
from convexon_hdl.emit.bundle import RtlBundle

FLOW_VERSION = 2
"""Raised whenever the steps below change, so that a cached count is not taken for a new one."""

_COARSE = (
    "proc",
    "flatten",
    "opt_expr",
    "opt_clean",
    "opt -nodffe -nosdff",
    "opt",
    "wreduce",
    "peepopt",
    "opt_clean",
    "memory_dff",
    "techmap -map convexon.v",
    "alumacc",
    "opt",
    "memory -nomap",
    "opt_clean",
)

_NO_VERIFY = "scratchpad -set abc9.verify false"
"""ABC would prove its result equal to its input by SAT, which takes minutes where adders are shared
over many levels, and changes nothing. Netlists are compared with the traces instead."""


def synthesis_script(tools: Toolchain, top: str) -> list[str]:
    """Return the commands that turn the module ``top`` of design.v into cells of a family.

    They read techmap.v as convexon.v, and write stat.json, netlist.v and netlist.json.
    """
    require_identifier(top, "top of a design")
    libraries = "".join(f" -lib {file}" for file in tools.memory_libraries)
    return [
        _NO_VERIFY,
        "read_verilog design.v",
        f"{tools.synth} -top {top} -run begin:{tools.models_until}",
        *_COARSE,
        f"memory_libmap -logic-cost-rom {CONSTANT_BIT}{libraries}",
        f"techmap{''.join(f' -map {file}' for file in tools.memory_maps)}",
        *tools.memory_steps,
        f"{tools.synth} -run map_ffram:check",
        "autoname",  # cells by the nets that they drive, so that a critical path can be read
        "blackbox =A:whitebox",  # the models of the cells stay out of the netlist
        "tee -q -o stat.json stat -json",
        "write_verilog -noattr netlist.v",
        "write_json netlist.json",
    ]


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
    techmap = (files("convexon_boards.tools") / "techmap.v").read_text(encoding="utf-8")
    result = yosys.run(
        synthesis_script(TOOLCHAINS[family], top),
        inputs={"design.v": verilog, "convexon.v": techmap},
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

    found = Counter[str]()
    for cell in TOOLCHAINS[family].cells:
        found[cell.counts_as] += sum(n for name, n in raw.items() if re.fullmatch(cell.names, name))
    found["lutram"] *= 4
    kinds = ("lut4", "carry", "wide_mux", "ff", "lutram", "mult18", "block_ram")
    return CellReport(family=family, raw=raw, tool=tool, **{kind: found[kind] for kind in kinds})
