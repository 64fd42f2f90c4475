"""``convexon build``."""

from __future__ import annotations

from pathlib import Path

import click

from convexon.cli.options import BAUD, BOARD, RUN, command


@command
@RUN
@BOARD
@click.option(
    "--freq",
    type=float,
    help="Clock in MHz, made by the part's PLL; the oscillator's by default.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Runs of the placer, side by side; the fastest is kept.",
)
@click.option(
    "--link", default="uart", show_default=True, help="How the host is linked: uart or spi."
)
@BAUD
def build(run: Path, board: str, freq: float | None, seeds: int, link: str, baud: int) -> None:
    """Build the emitted accelerator for a board: synthesis, placement, routing, bitstream.

    RUN/build/BOARD gets the bitstream, the sources and constraints, and what the tools reported.
    For a board that needs its vendor's tool it gets a whole project instead. A design that does not
    fit, or is too slow, is refused with what would mend it.
    """
    from convexon.cli.console import Console
    from convexon.errors import InputError
    from convexon.flow.build import build_stage, project_stage
    from convexon.flow.run import Run
    from convexon_boards.build import BuildOptions
    from convexon_boards.catalogue import board_of

    if link not in ("uart", "spi"):
        raise InputError(f"link must be one of uart, spi, not {link!r}")
    chosen = board_of(board)
    options = BuildOptions(
        freq=freq, seeds=tuple(range(1, seeds + 1)), spi=link == "spi", baud=baud
    )
    with Console() as console, Run(run).locked() as folder:
        if chosen.vendor is not None:
            project = project_stage(folder, board=chosen, options=options)
            console.line(project.summary)
            return
        with console.stage("build") as line:
            result = build_stage(folder, line, board=chosen, options=options)
        console.line(result.summary)
