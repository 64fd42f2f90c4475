"""Building a design for a board: from its Verilog to a bitstream."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from convexon.errors import ToolError
from convexon.progress import QUIET, Progress
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import ReadoutMode
from convexon.store.artefact import pretty
from convexon_boards.board import Board
from convexon_boards.built import Build, Route
from convexon_boards.design.clocking import clocking
from convexon_boards.design.project import constraints_of
from convexon_boards.design.top import TOP, Design, design_of, line_name, serial_line
from convexon_boards.families import TOOLCHAINS
from convexon_boards.settings import BuildOptions, LinkKind
from convexon_boards.tools import nextpnr
from convexon_boards.tools.synthesis import synthesize_verilog
from convexon_hdl.emit.bundle import RtlBundle
from convexon_hdl.link.link import Line, Spi

Keep = Callable[[str, bytes], None]
"""Takes the name and the content of a file that a tool read or wrote."""


def line_of(options: BuildOptions, mhz: float) -> Line:
    """Return the line to the host under a clock of ``mhz``; `InputError` as `serial_line`."""
    return Spi() if options.link is LinkKind.SPI else serial_line(mhz, options.baud)


def results_of(network: FixedPointNetwork) -> int:
    """Return the most results of an inference of a network."""
    return network.n_steps if network.readout_mode is ReadoutMode.STEP else 1


def design_for(
    network: FixedPointNetwork, bundle: RtlBundle, board: Board, options: BuildOptions
) -> Design:
    """Return the design of ``bundle``, which is of ``network``, on ``board``."""
    clock = clocking(board, options.freq)
    line = line_of(options, clock.mhz)
    return design_of(bundle, board, clocking=clock, line=line, results=results_of(network))


def build(
    design: Design, seeds: Sequence[int] = (1,), progress: Progress = QUIET, *, keep: Keep
) -> Build:
    """Synthesize, place, route and pack a design, and keep the fastest of all seeds.

    Parameters
    ----------
    keep : callable
        Gets the sources, the constraints, and the reports and logs of the tools, also where the
        build fails.

    Raises
    ------
    InputError
        If the board needs its vendor's tool.
    ToolError
        If a tool is missing or fails, or the design does not fit or is too slow: by how much, and
        what would mend it.
    """
    board, part = design.board, design.board.open_part
    constraints = constraints_of(design)
    for name, text in {**design.files, constraints.name: constraints.text}.items():
        keep(name, text.encode())
    progress.begin(f"synthesizing for {board.title}")
    netlist = synthesize_verilog(design.verilog, TOP, part.family)
    for name, text in (("yosys.log", netlist.log), ("yosys.json", netlist.stat)):
        keep(name, text.encode())
    progress.begin(f"placing and routing on {part.name}, {len(seeds)} seeds")
    target_mhz = design.clocking.mhz
    placements = nextpnr.place_all(
        netlist, part, target_mhz=target_mhz, seeds=sorted(set(seeds)), constraints=constraints
    )
    for found in placements:
        keep(f"nextpnr-{found.seed}.log", found.log.encode())
        keep(f"nextpnr-{found.seed}.json", pretty(found.report).encode())
    versions = nextpnr.versions(part.family)
    routes = nextpnr.report_of(placements, part, target_mhz=target_mhz, tools=versions)
    best = max(routes.routes, key=lambda route: route.fmax_mhz)
    require_clock(best, design, len(placements))
    progress.begin("writing the bitstream")
    (kept,) = (found for found in placements if found.seed == best.seed)
    content = nextpnr.pack(kept.design, part)
    return Build(
        board=board.name,
        clock_mhz=target_mhz,
        line=line_name(design.line),
        cells=netlist.cells,
        routes=routes,
        seed=best.seed,
        bitstream=np.frombuffer(content, dtype=np.uint8),
        suffix=TOOLCHAINS[part.family].suffix,
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
