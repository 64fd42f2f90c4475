"""``convexon flash``."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

from convexon.cli.options import Board, Run


def flash(
    board: Board,
    run: Run = Path("build/run"),
    persist: Annotated[
        bool, typer.Option("--persist", help="Write the flash memory: the board keeps the design.")
    ] = False,
) -> None:
    """Send the bitstream that convexon build made to a board, with openFPGALoader."""
    from convexon.cli.console import Console
    from convexon.flow import stage
    from convexon.flow.run import RunFolder

    chosen = importlib.import_module("convexon_boards.catalogue").board_of(board)
    with Console() as console:
        with console.stage("flash") as line:
            result = stage("flash")(RunFolder(run), line, board=chosen, persist=persist)
        console.line(result.summary)
