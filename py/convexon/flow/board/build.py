"""Stage ``build``: from the bundle to a bitstream for a board, or to its vendor's project."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from convexon.errors import ArtefactError
from convexon.flow.hardware.emit import emitted
from convexon.flow.run import Made, Run
from convexon.progress import QUIET, Progress
from convexon.store.artefact import atomic_write
from convexon_boards.board import Board
from convexon_boards.build import build, design_for, line_of
from convexon_boards.built import BUILD, Build
from convexon_boards.design import project
from convexon_boards.design.clocking import clocking
from convexon_boards.design.top import line_name
from convexon_boards.families import TOOLCHAINS
from convexon_boards.settings import BuildOptions
from convexon_boards.tools import nextpnr
from convexon_boards.tools.synthesis import FLOW_VERSION

BUILD_VERSION = 2
"""Raised whenever the top module, the link or the constraints change in what they mean."""

DEFAULTS = BuildOptions()
"""The oscillator's clock, one seed, the serial line."""


def folder_of(folder: Run, board: Board) -> Path:
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
        routes, used = b.routes, b.route.used
        told = ", ".join(
            f"{used[site]} of {routes.available[site]} {site}"
            for site in TOOLCHAINS[b.cells.family].sites
            if used.get(site)
        )
        seeds = f", best of {len(routes.routes)} seeds" if len(routes.routes) > 1 else ""
        return (
            f"build: {b.board}, {b.clock_mhz:g} MHz of {b.route.fmax_mhz:.1f}{seeds}, {told}, "
            f"{self.file} ({b.bitstream_digest[:19]})"
        )


def build_stage(
    folder: Run,
    progress: Progress = QUIET,
    *,
    board: Board,
    options: BuildOptions = DEFAULTS,
) -> BuildResult:
    """Build the bundle of ``folder`` for ``board``, and keep the fastest of all seeds.

    Sources, constraints, reports and logs of the tools stay in ``folder/build/NAME``, with the
    bitstream; where the design fails, they are there as well, and no bitstream.

    Parameters
    ----------
    folder : Run
    progress : Progress
    board : Board
    options : BuildOptions
        Clock, seeds of the placer, and the link to the host.

    Raises
    ------
    ArtefactError
        If there is no sound bundle, or it is of another card or mapping.
    InputError
        If clock, line or board do not suit.
    ToolError
        If a tool is missing or fails, or the design does not fit or is too slow: by how much, and
        what would mend it.
    """
    family = board.open_part.family
    source, bundle = emitted(folder)
    clock_mhz = clocking(board, options.freq).mhz
    name = artefact_name(board)
    target = folder_of(folder, board)
    file = target / f"{board.name}.{TOOLCHAINS[family].suffix}"

    def compute() -> Build:
        began = time.monotonic()
        progress.begin(f"generating the top module for {board.title}")
        design = design_for(source.network, bundle.value, board, options)
        file.unlink(missing_ok=True)
        made = build(
            design,
            options.placer_seeds,
            progress,
            keep=lambda name, c: atomic_write(target / name, c),
        )
        folder.time(name, time.monotonic() - began)
        return made

    recipe = {
        "board": repr(replace(board, file="")),  # a user's own may change under its name
        "mhz": clock_mhz,
        "seeds": list(options.placer_seeds),
        "line": line_name(line_of(options, clock_mhz)),
        "flow": FLOW_VERSION,
        "build": BUILD_VERSION,
        **nextpnr.versions(family),
    }
    made = folder.made(name, BUILD, compute, parents={"rtl": bundle}, recipe=recipe)
    write_bitstream(made.value, file)
    return BuildResult(build=made, file=file)


def write_bitstream(build: Build, file: Path) -> None:
    """Write the bitstream where it is not there already."""
    if not file.is_file() or file.read_bytes() != build.content:
        atomic_write(file, build.content)


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


def project_stage(folder: Run, *, board: Board, options: BuildOptions = DEFAULTS) -> ProjectResult:
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
    source, bundle = emitted(folder)
    design = design_for(source.network, bundle.value, board, options)
    target = folder_of(folder, board)
    for name, text in project.files_of(design).items():
        atomic_write(target / name, text.encode())
    return ProjectResult(board=board, folder=target, command=project.command_of(design))


def current_build(folder: Run, board: Board) -> Made[Build]:
    """Read the build of ``board`` that suits the bundle of ``folder``.

    Raises
    ------
    ArtefactError
        If there is none, or it is of another bundle.
    """
    name = artefact_name(board)
    if not folder.has(name):
        raise ArtefactError(
            f"{folder.file(name)} is missing: "
            f"run `convexon build {folder.path} {board.option}` first"
        )
    build = folder.read(name, BUILD)
    if build.record.parents.get("rtl") != folder.bundle().record.digest:
        raise ArtefactError(
            f"{folder.file(name)} is of another design than {folder.rtl}: "
            f"run `convexon build {folder.path} {board.option}` again"
        )
    return build
