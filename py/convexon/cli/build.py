"""``convexon build``."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

from convexon.cli.options import Baud, Board, Run
from convexon.link.protocol import DEFAULT_BAUD


def build(
    board: Board,
    run: Run = Path("build/run"),
    freq: Annotated[
        float | None,
        typer.Option(help="Clock in MHz, made by the part's PLL; the oscillator's by default."),
    ] = None,
    seeds: Annotated[
        int, typer.Option(help="Runs of the placer, side by side; the fastest is kept.", min=1)
    ] = 1,
    link: Annotated[str, typer.Option(help="How the host is linked: uart or spi.")] = "uart",
    baud: Baud = DEFAULT_BAUD,
) -> None:
    """Build the emitted accelerator for a board: synthesis, placement, routing, bitstream.

    RUN/build/BOARD gets the bitstream, the sources and constraints, and what the tools reported.
    For a board that needs its vendor's tool it gets a whole project instead. A design that does not
    fit, or is too slow, is refused with what would mend it.
    """
    from convexon.cli.console import Console
    from convexon.errors import InputError
    from convexon.flow import stage
    from convexon.flow.run import RunFolder

    if link not in ("uart", "spi"):
        raise InputError(f"link must be one of uart, spi, not {link!r}")
    chosen = importlib.import_module("convexon_boards.catalogue").board_of(board)
    options = {"board": chosen, "mhz": freq, "spi": link == "spi", "baud": baud}
    with Console() as console:
        with console.stage("build") as line:
            if chosen.vendor is None:
                numbers = range(1, seeds + 1)
                result = stage("build")(RunFolder(run), line, seeds=numbers, **options)
            else:
                result = stage("project")(RunFolder(run), **options)
        console.line(result.summary)
