"""``convexon energy``."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Annotated

import typer

from convexon.cli.options import Run


def energy(
    run: Run = Path("build/run"),
    board: Annotated[
        str | None, typer.Option(help="Board that the run was built for: its part and its clock.")
    ] = None,
    part: Annotated[
        str | None, typer.Option(help="Part, such as iCE40UP5K-SG48, instead of a board.")
    ] = None,
    freq: Annotated[
        float | None, typer.Option(help="Clock in MHz; that of the build or the route by default.")
    ] = None,
    samples: Annotated[
        int, typer.Option(help="Test samples whose switching is counted.", min=1)
    ] = 8,
) -> None:
    """Estimate the energy of an inference, as a range, by resource.

    The accelerator is mapped to the part's cells, its gates are simulated on test samples, and what
    they switch is multiplied by energies whose sources are stated. Pads, PLL and link are not in.
    """
    from convexon.cli.console import Console
    from convexon.errors import InputError
    from convexon.flow import stage
    from convexon.flow.run import RunFolder

    if freq is not None and not 0 < freq < math.inf:
        raise InputError(f"freq must be a number of MHz above 0, not {freq!r}")
    if (board is None) == (part is None):
        raise InputError("one of --board and --part must be given, and not both")
    stages = importlib.import_module("convexon.flow.energy")
    folder = RunFolder(run)
    if board is not None:
        chosen_board = importlib.import_module("convexon_boards.catalogue").board_of(board)
        chosen = chosen_board.open_part
        mhz = stages.clock_of_build(folder, chosen_board) if freq is None else freq
    else:
        chosen = importlib.import_module("convexon_boards.families").part_of(part)
        mhz = stages.clock_of_route(folder, chosen) if freq is None else freq
    count = importlib.import_module("convexon_sim.programs.activity").count_switching
    with Console() as console:
        with console.stage("energy") as line:
            result = stage("energy")(
                folder, line, part=chosen, clock_mhz=mhz, count=count, samples=samples
            )
        console.line(result.summary)
        for text in result.lines:
            console.line(text)
