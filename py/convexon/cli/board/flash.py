"""``convexon flash``."""

from __future__ import annotations

from pathlib import Path

import click

from convexon.cli.options import BOARD, RUN, command


@command
@RUN
@BOARD
@click.option("--persist", is_flag=True, help="Write the flash memory: the board keeps the design.")
def flash(run: Path, board: str, persist: bool) -> None:
    """Send the bitstream that convexon build made to a board, with openFPGALoader."""
    from convexon.cli.console import Console
    from convexon.flow.board.flash import flash_stage
    from convexon.flow.run import Run
    from convexon_boards.catalogue import board_of

    chosen = board_of(board)
    with Console() as console:
        console.show(
            "flash", lambda line: flash_stage(Run(run), line, board=chosen, persist=persist)
        )
