"""``convexon build``."""

from __future__ import annotations

from pathlib import Path

from convexon.cli.options import BOARD, EDITED, RUN, command, settings
from convexon_boards.settings import BuildOptions


@command
@RUN
@BOARD
@settings(BuildOptions, "options")
@EDITED
def build(run: Path, board: str, options: BuildOptions, edited: bool) -> None:
    """Build the emitted accelerator for a board: synthesis, placement, routing, bitstream.

    RUN/build/BOARD gets the bitstream, the sources and constraints, and what the tools reported.
    For a board that needs its vendor's tool it gets a whole project instead. A design that does not
    fit, or is too slow, is refused with what would mend it.
    """
    from convexon.cli.console import Console
    from convexon.flow.board.build import build_stage, project_stage
    from convexon.flow.run import Run
    from convexon_boards.catalogue import board_of

    chosen = board_of(board)
    with Console() as console, Run(run, edited).locked() as folder:
        if chosen.vendor is not None:
            console.line(project_stage(folder, board=chosen, options=options).summary)
            return
        console.show("build", lambda line: build_stage(folder, line, board=chosen, options=options))
