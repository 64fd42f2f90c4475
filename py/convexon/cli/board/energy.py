"""``convexon energy``."""

from __future__ import annotations

import math
from pathlib import Path

import click

from convexon.cli.options import EDITED, RUN, command


@command
@RUN
@click.option("--board", help="Board that the run was built for: its part and its clock.")
@click.option("--part", help="Part, such as iCE40UP5K-SG48, instead of a board.")
@click.option("--freq", type=float, help="Clock in MHz; that of the board's build by default.")
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Test samples whose switching is counted.",
)
@EDITED
def energy(
    run: Path,
    board: str | None,
    part: str | None,
    freq: float | None,
    samples: int,
    edited: bool,
) -> None:
    """Estimate the energy of an inference, as a range, by resource.

    The accelerator is mapped to the part's cells, its gates are simulated on test samples, and what
    they switch is multiplied by energies whose sources are stated. Pads, PLL and link are not in.
    """
    from convexon.cli.console import Console
    from convexon.errors import InputError
    from convexon.flow.board.energy import clock_of_build, energy_stage
    from convexon.flow.run import Run
    from convexon_boards.catalogue import board_of
    from convexon_boards.families import part_of

    if freq is not None and not 0 < freq < math.inf:
        raise InputError(f"freq must be a number of MHz above 0, not {freq!r}")
    with Console() as console, Run(run, edited).locked() as folder:
        if board is not None and part is None:
            chosen_board = board_of(board)
            chosen = chosen_board.open_part
            mhz = clock_of_build(folder, chosen_board) if freq is None else freq
        elif part is not None and board is None:
            chosen = part_of(part)
            if freq is None:
                raise InputError(f"freq must be given for {chosen.name}: or name a board instead")
            mhz = freq
        else:
            raise InputError("one of --board and --part must be given, and not both")
        result = console.show(
            "energy",
            lambda line: energy_stage(folder, line, part=chosen, clock_mhz=mhz, samples=samples),
        )
        for text in result.lines:
            console.line(text)
