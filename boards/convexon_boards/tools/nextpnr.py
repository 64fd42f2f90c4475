"""Place and route with nextpnr, and what packs a bitstream, as their wheels bring them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from convexon.errors import InputError, ToolError
from convexon.plan.family import Family
from convexon.tools.environment import require_cache
from convexon.tools.process import Ended, side_by_side
from convexon_boards.board import Part
from convexon_boards.built import CriticalPath, Route, RouteReport
from convexon_boards.design import shell
from convexon_boards.families import TOOLCHAINS
from convexon_boards.tools import wheels
from convexon_boards.tools.synthesis import Netlist, synthesize_verilog
from convexon_hdl.emit import yosys
from convexon_hdl.emit.bundle import RtlBundle

_SITES = re.compile(r"^Info:\s+(\w+):\s+(\d+)/\s*(\d+)\s+\d+%", re.MULTILINE)
"""A line of the device's utilisation: name of the site, used, available."""

_LARGE = 30_000
"""LUT sites and flip-flops of a netlist from which nets are routed together, by router2.

nextpnr's other router lays them one by one and rips up what is in the way: with 37,000 it had not
ended after half an hour, where router2 took a few minutes.
"""


@dataclass(frozen=True)
class Constraints:
    """Where a design's ports are.

    Members
    -------
    name, text : str
        A file.
    options : tuple of str
        How nextpnr is told of it.
    """

    name: str
    text: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Placement:
    """A placed and routed design.

    Members
    -------
    seed : int
    report : dict
        nextpnr's own.
    design : bytes
        What the tool that makes the bitstream reads; empty without constraints.
    log : str
    """

    seed: int
    report: dict[str, Any]
    design: bytes
    log: str


def versions(family: Family) -> dict[str, str]:
    """Versions of all that makes a bitstream, by distribution.

    Raises
    ------
    MissingToolError
        If one is not installed.
    ToolError
        If the cache cannot be written, where YoWASP's tools are compiled.
    """
    require_cache()
    tools = TOOLCHAINS[family]
    wheels_ = {wheel.distribution: wheel.version for wheel in (tools.router, tools.packer)}
    return {"yosys": yosys.version(), **wheels_}


def route(
    bundle: RtlBundle, part: Part, *, target_mhz: float, seeds: Sequence[int] = (1,)
) -> RouteReport:
    """Synthesize ``bundle`` inside `convexon_boards.design.shell`, and route it on ``part``.

    Parameters
    ----------
    bundle : RtlBundle
    part : Part
    target_mhz : float
        Clock that the placer works towards. That it is missed is no error.
    seeds : sequence of int
        One run for each.

    Raises
    ------
    InputError
        If there is no seed, or the target is not above 0.
    MissingToolError
        If nextpnr is not installed.
    ToolError
        If Yosys or nextpnr fails; where the design does not fit, by how much.
    """
    if not seeds:
        raise InputError("seeds must hold at least one seed, not none")
    if not target_mhz > 0:
        raise InputError(f"target_mhz must be above 0, not {target_mhz!r}")
    router = TOOLCHAINS[part.family].router
    versions = {router.distribution: router.version}
    netlist = synthesize_verilog(shell.in_shell(bundle), shell.TOP, part.family)
    placements = place_all(netlist, part, target_mhz=target_mhz, seeds=seeds)
    versions["yosys"] = netlist.cells.tool.removeprefix("yosys ")
    return report_of(placements, part, target_mhz=target_mhz, tools=versions)


def place_all(
    netlist: Netlist,
    part: Part,
    *,
    target_mhz: float,
    seeds: Sequence[int],
    constraints: Constraints | None = None,
) -> list[Placement]:
    """Place and route with every seed, side by side; arguments and errors as of `place`."""

    def placed(seed: int) -> Placement:
        return place(netlist, part, target_mhz=target_mhz, seed=seed, constraints=constraints)

    return side_by_side(placed, seeds)


def report_of(
    placements: Sequence[Placement], part: Part, *, target_mhz: float, tools: Mapping[str, str]
) -> RouteReport:
    """Read what nextpnr reported of every seed; `ToolError` as `read_report`."""
    return RouteReport(
        part=part.name,
        target_mhz=target_mhz,
        available=sites(placements[0].report, "available"),
        routes=tuple(read_report(found.report, seed=found.seed) for found in placements),
        tools=tools,
    )


def place(
    netlist: Netlist,
    part: Part,
    *,
    target_mhz: float,
    seed: int,
    constraints: Constraints | None = None,
) -> Placement:
    """Place and route ``netlist``; without constraints ports go anywhere, and no design is kept.

    Raises
    ------
    MissingToolError
        If nextpnr is not installed.
    ToolError
        If nextpnr fails; where the design does not fit, by how much.
    """
    tools = TOOLCHAINS[part.family]
    inputs = {"netlist.json": netlist.json}
    arguments = [
        *part.options,
        *("--json", "netlist.json", "--report", "report.json"),
        *("--freq", f"{target_mhz:g}", "--seed", str(seed), "--timing-allow-fail"),
    ]
    if netlist.cells.lut4_sites + netlist.cells.ff > _LARGE:
        arguments += ["--router", "router2"]
    if constraints is not None:
        inputs[constraints.name] = constraints.text
        arguments += [*constraints.options, tools.design_option, "design"]
    ended, files = wheels.run(
        tools.router, arguments, inputs=inputs, outputs=["report.json", "design"]
    )
    if ended.code:
        raise _failure(ended, part)
    try:
        report = dict(json.loads(files["report.json"]))
        design = b"" if constraints is None else files["design"]
    except (KeyError, ValueError, TypeError) as error:
        raise ToolError(f"nextpnr left no sound report for {part.name}") from error
    return Placement(seed, report, design, ended.output)


def read_report(report: Mapping[str, Any], *, seed: int) -> Route:
    """Read nextpnr's report.

    Raises
    ------
    ToolError
        If it lacks the clock or the critical path: a design without registers has none.
    """
    try:
        ((clock, speed),) = report["fmax"].items()
        edge = f"posedge {clock}"
        (path,) = (
            row["path"]
            for row in report["critical_paths"]
            if row["from"] == edge and row["to"] == edge
        )
        return Route(
            seed=seed,
            fmax_mhz=float(speed["achieved"]),
            used=sites(report, "used"),
            critical_path=_critical_path(path),
        )
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise ToolError(
            "nextpnr must report one clock and its critical path, and did not: "
            "check that the design has registers and a single clock"
        ) from error


def _critical_path(path: Sequence[Mapping[str, Any]]) -> CriticalPath:
    """Sum up the segments of a path."""
    routing = [row for row in path if row["type"] == "routing"]
    logic = [row for row in path if row["type"] != "routing"]
    return CriticalPath(
        start=str(path[0]["from"]["cell"]),
        end=str(path[-1]["to"]["cell"]),
        logic_ns=round(sum(float(row["delay"]) for row in logic), 3),
        routing_ns=round(sum(float(row["delay"]) for row in routing), 3),
        cells=sum(row["type"] == "logic" for row in logic),
    )


def sites(report: Mapping[str, Any], key: str) -> dict[str, int]:
    """Return what nextpnr reports of each type of site: ``used`` or ``available``."""
    return {name: int(row[key]) for name, row in report["utilization"].items()}


def _failure(ended: Ended, part: Part) -> ToolError:
    """What went wrong; sites that the part has too few of come first."""
    missing = [
        f"{available} {site}, and the design needs {used}, {int(used) - int(available)} more"
        for site, used, available in _SITES.findall(ended.output)
        if int(used) > int(available)
    ]
    if missing:
        return ToolError(f"{part.name} has {'; '.join(missing)}: {_remedy(missing, part)}")
    return replace(ended, name=f"nextpnr on {part.name}").failure


def _remedy(missing: Sequence[str], part: Part) -> str:
    """What to change where sites are missing."""
    logic_site, *_, memory_site = TOOLCHAINS[part.family].sites
    logic, memory = (
        any(f" {site}," in text for text in missing) for site in (logic_site, memory_site)
    )
    parts = ["fold a layer, use fewer lanes"] if logic or not memory else []
    parts += ["map a layer spatially or with seeded weights"] if memory else []
    return f"{', '.join(parts)}, use fewer bits, or take a larger part"


def pack(design: bytes, part: Part) -> bytes:
    """Return the bitstream of a routed design.

    Raises
    ------
    MissingToolError
        If the tool is not installed.
    ToolError
        If it fails.
    """
    tools = TOOLCHAINS[part.family]
    output = f"bitstream.{tools.suffix}"
    arguments = [*part.pack, "design", *tools.pack_output, output]
    ended, files = wheels.run(tools.packer, arguments, inputs={"design": design}, outputs=[output])
    if ended.code or output not in files:
        raise ended.failure
    return files[output]
