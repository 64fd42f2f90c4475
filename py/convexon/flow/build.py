"""Stage ``build``: from the bundle to a bitstream for a board, or to its vendor's project."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convexon.errors import ArtefactError, InputError, ToolError
from convexon.flow.emitted import emitted
from convexon.flow.run import Made, RunFolder
from convexon.link.protocol import DEFAULT_BAUD
from convexon.plan.cost.cells import Family, Route, RouteReport
from convexon.progress import QUIET, Progress
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import ReadoutMode
from convexon.store.artefact import atomic_write, pretty
from convexon_boards.boards import Board
from convexon_boards.built import BUILD, Build
from convexon_boards.design import project
from convexon_boards.design.clocking import clocking
from convexon_boards.design.constraints import constraints_of
from convexon_boards.design.top import (
    TOP,
    Design,
    design_of,
    line_name,
    serial_line,
)
from convexon_boards.tools import bitstream, nextpnr
from convexon_boards.tools.flows import FLOW_VERSION
from convexon_boards.tools.nextpnr import Placement
from convexon_boards.tools.synthesis import Netlist, synthesize_verilog
from convexon_hdl.emit import yosys
from convexon_hdl.emit.bundle import RtlBundle
from convexon_hdl.link.link import Line, Spi

BUILD_VERSION = 1
"""Raised whenever the top module, the link or the constraints change in what they mean."""


def folder_of(folder: RunFolder, board: Board) -> Path:
    """Return the folder of a board's files in a run folder."""
    return folder.path / "build" / board.name


def artefact_name(board: Board) -> str:
    """Return the name of a board's build among a run folder's artefacts."""
    return f"build-{board.name}"


@dataclass(frozen=True, eq=False, kw_only=True)
class BuildResult:
    """What the stage built.

    Members
    -------
    build : Made of Build
    file : Path
        The bitstream.
    """

    build: Made[Build]
    file: Path

    @property
    def summary(self) -> str:
        """The line with the figures that matter."""
        b = self.build.value
        part = b.routes
        used = ", ".join(
            f"{n} of {part.available[site]} {site}" for site, n in _telling(b.route).items()
        )
        seeds = f", best of {len(part.routes)} seeds" if len(part.routes) > 1 else ""
        return (
            f"build: {b.board}, {b.clock_mhz:g} MHz of {b.route.fmax_mhz:.1f}{seeds}, {used}, "
            f"{self.file} ({b.bitstream_digest[:19]})"
        )


def _telling(route: Route) -> dict[str, int]:
    """Sites that a reader wants to know of: logic and block memory."""
    names = ("TRELLIS_COMB", "DP16KD", "ICESTORM_LC", "ICESTORM_RAM", "LUT4", "ALU", "BSRAM")
    return {name: route.used[name] for name in names if route.used.get(name)}


def design_for(
    network: FixedPointNetwork,
    bundle: RtlBundle,
    board: Board,
    *,
    mhz: float | None,
    spi: bool,
    baud: int,
) -> Design:
    """Return the design of ``bundle`` on ``board``, as `build_stage` builds it."""
    clock = clocking(board, mhz)
    line: Line = Spi() if spi else serial_line(clock.mhz, baud)
    return design_of(bundle, board, clocking=clock, line=line, results=results_of(network))


def results_of(network: FixedPointNetwork) -> int:
    """Return the most results of an inference of a network."""
    return network.n_steps if network.readout_mode is ReadoutMode.STEP else 1


def build_stage(
    folder: RunFolder,
    progress: Progress = QUIET,
    *,
    board: Board,
    mhz: float | None = None,
    seeds: Sequence[int] = (1,),
    spi: bool = False,
    baud: int = DEFAULT_BAUD,
) -> BuildResult:
    """Build the bundle of ``folder`` for ``board``, and keep the fastest of all seeds.

    Sources, constraints, reports and logs of the tools stay in ``folder/build/NAME``, with the
    bitstream; where the design fails, they are there as well, and no bitstream.

    Parameters
    ----------
    folder : RunFolder
    progress : Progress
    board : Board
    mhz : float, optional
        Clock of the design, which its PLL makes; the oscillator's by default.
    seeds : sequence of int
        A run of the placer for each, side by side.
    spi : bool
        Whether the host is linked by SPI; else by the serial line.
    baud : int
        Bits a second of the serial line.

    Raises
    ------
    ArtefactError
        If there is no sound bundle, or it is of another card or mapping.
    InputError
        If there is no seed, or clock, line or board do not suit.
    ToolError
        If a tool is missing or fails, or the design does not fit or is too slow: by how much, and
        what would mend it.
    """
    part = board.open_part
    if not seeds:
        raise InputError("seeds must hold at least one seed, not none")
    card, bundle, _ = emitted(folder)
    clock = clocking(board, mhz)
    tools = _tools(part.family)
    name = artefact_name(board)
    target = folder_of(folder, board)
    file = target / f"{board.name}.{bitstream.SUFFIXES[part.family]}"

    def compute() -> Build:
        began = time.monotonic()
        progress.begin(f"generating the top module for {board.title}")
        design = design_for(card.value, bundle.value, board, mhz=mhz, spi=spi, baud=baud)
        file.unlink(missing_ok=True)
        build = _build(design, seeds, tools, target, progress)
        folder.time(name, time.monotonic() - began)
        return build

    line: Line = Spi() if spi else serial_line(clock.mhz, baud)
    recipe = {
        **{"board": board.name, "mhz": clock.mhz, "seeds": list(seeds), "line": line_name(line)},
        **{"flow": FLOW_VERSION, "build": BUILD_VERSION, **tools},
    }
    made = folder.made(name, BUILD, compute, parents={"rtl": bundle}, recipe=recipe)
    write_bitstream(made.value, file)
    return BuildResult(build=made, file=file)


def _tools(family: Family) -> dict[str, str]:
    """Versions of the tools that a build takes, by distribution."""
    router, packer = nextpnr.TOOLS[family], bitstream.TOOLS[family]
    return {
        "yosys": yosys.version(),
        router.distribution: nextpnr.version(family),
        packer.distribution: bitstream.version(family),
    }


def write_bitstream(build: Build, file: Path) -> None:
    """Write the bitstream where it is not there already."""
    if not file.is_file() or file.read_bytes() != build.content:
        atomic_write(file, build.content)


def _build(
    design: Design,
    seeds: Sequence[int],
    tools: dict[str, str],
    target: Path,
    progress: Progress,
) -> Build:
    """Synthesize, place, route and pack; all that the tools write goes to ``target``."""
    board, part = design.board, design.board.open_part
    constraints = constraints_of(design)
    for name, text in {**design.files, constraints.name: constraints.text}.items():
        atomic_write(target / name, text.encode())
    progress.begin(f"synthesizing for {board.title}")
    netlist = synthesize_verilog(design.verilog, TOP, part.family)
    for name, text in (("yosys.log", netlist.log), ("yosys.json", netlist.stat)):
        atomic_write(target / name, text.encode())
    progress.begin(f"placing and routing on {part.name}, {len(seeds)} seeds")

    def placed(seed: int) -> Placement:
        found = nextpnr.place(
            netlist, part, target_mhz=design.clocking.mhz, seed=seed, constraints=constraints
        )
        atomic_write(target / f"nextpnr-{seed}.log", found.log.encode())
        atomic_write(target / f"nextpnr-{seed}.json", pretty(found.report).encode())
        return found

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        placements = dict(zip(seeds, pool.map(placed, seeds), strict=True))
    routes = _routes(placements, design, tools)
    best = max(routes.routes, key=lambda route: route.fmax_mhz)
    require_clock(best, design, len(placements))
    progress.begin("writing the bitstream")
    content = bitstream.pack(placements[best.seed].design, part)
    return _made(design, netlist, routes, best.seed, content)


def _routes(placements: dict[int, Placement], design: Design, tools: dict[str, str]) -> RouteReport:
    """Read the reports of all seeds."""
    reports = {seed: found.report for seed, found in placements.items()}
    first: dict[str, Any] = next(iter(reports.values()))
    return RouteReport(
        part=design.board.open_part.name,
        target_mhz=design.clocking.mhz,
        available=nextpnr.sites(first, "available"),
        routes=tuple(nextpnr.read_report(reports[seed], seed=seed) for seed in sorted(reports)),
        tools=tools,
    )


def _made(
    design: Design, netlist: Netlist, routes: RouteReport, seed: int, content: bytes
) -> Build:
    return Build(
        board=design.board.name,
        clock_mhz=design.clocking.mhz,
        line=line_name(design.line),
        cells=netlist.cells,
        routes=routes,
        seed=seed,
        bitstream=np.frombuffer(content, dtype=np.uint8),
        suffix=bitstream.SUFFIXES[design.board.open_part.family],
    )


def require_clock(route: Route, design: Design, n_seeds: int) -> None:
    """Raise `ToolError` unless the route is as fast as the design's clock."""
    wanted, reached = design.clocking.mhz, route.fmax_mhz
    if reached >= wanted:
        return
    path = route.critical_path
    seeds = f"the best of {n_seeds} seeds" if n_seeds > 1 else f"seed {route.seed}"
    raise ToolError(
        f"{design.board.name} must run at {wanted:g} MHz, and {seeds} reaches {reached:.1f}, "
        f"{100 * (1 - reached / wanted):.0f} % short, on the path to {path.end}: map with more "
        f"registers or fewer lanes, use fewer bits, try more seeds, or build with "
        f"--freq {max(1, int(reached)):d}"
    )


@dataclass(frozen=True, kw_only=True)
class ProjectResult:
    """A project for a vendor's tool.

    Members
    -------
    board : Board
    folder : Path
    command : str
        What builds it.
    """

    board: Board
    folder: Path
    command: str

    @property
    def summary(self) -> str:
        """The line that says what to do."""
        return f"build: {self.board.name}, a project in {self.folder}: {self.command}"


def project_stage(
    folder: RunFolder,
    *,
    board: Board,
    mhz: float | None = None,
    spi: bool = False,
    baud: int = DEFAULT_BAUD,
) -> ProjectResult:
    """Write the project of a board that its vendor's tool builds; arguments as `build_stage`.

    Raises
    ------
    ArtefactError
        If there is no sound bundle, or it is of another card or mapping.
    InputError
        If the board has open tools, or clock or line do not suit.
    ToolError
        If Yosys is missing or fails.
    """
    card, bundle, _ = emitted(folder)
    design = design_for(card.value, bundle.value, board, mhz=mhz, spi=spi, baud=baud)
    target = folder_of(folder, board)
    for name, text in project.files_of(design).items():
        atomic_write(target / name, text.encode())
    return ProjectResult(board=board, folder=target, command=project.command_of(design))


def current_build(folder: RunFolder, board: Board) -> Made[Build]:
    """Read the build of ``board`` that suits the bundle of ``folder``.

    Raises
    ------
    ArtefactError
        If there is none, or it is of another bundle.
    """
    name = artefact_name(board)
    if not folder.has(name):
        raise ArtefactError(
            f"{folder.file(name)} is missing: run convexon build --board {board.name} first"
        )
    build = folder.read(name, BUILD)
    if build.record.parents.get("rtl") != folder.bundle().record.digest:
        raise ArtefactError(
            f"{folder.file(name)} is of another design than {folder.rtl}: "
            f"run convexon build --board {board.name} again"
        )
    return build
