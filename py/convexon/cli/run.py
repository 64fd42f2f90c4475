"""``convexon run``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from convexon.cli.options import BAUD, RUN, command

if TYPE_CHECKING:
    from convexon.flow.run import Run


@command
@RUN
@click.option("--port", help="Serial port of the board, or /dev/spidevBUS.DEVICE.")
@click.option(
    "--simulate", is_flag=True, help="Use the board's design in Verilator instead of a board."
)
@click.option(
    "--data",
    default="test",
    show_default=True,
    help="Samples to send: test, train, or an npz file with new ones.",
)
@click.option(
    "--samples", "limit", type=click.IntRange(min=1), help="How many to send; all by default."
)
@BAUD
@click.option(
    "--wait",
    type=click.FloatRange(0.01, 3600),
    default=0.5,
    show_default=True,
    help="Seconds to wait for an answer before asking again.",
)
def run(
    run: Path,
    port: str | None,
    simulate: bool,
    data: str,
    limit: int | None,
    baud: int,
    wait: float,
) -> None:
    """Send samples to a board and compare all scores and labels with the golden model's.

    The board must hold this run's design. Lost and damaged bytes are made up for and counted. Exit
    code 1 if an answer differs; the first difference is named.
    """
    from convexon.cli.console import Console
    from convexon.errors import InputError
    from convexon.flow.measure import run_stage
    from convexon.flow.run import Run
    from convexon.link.session import Patience
    from convexon.link.transport import open_port

    if (port is None) != simulate:
        raise InputError("run must be given one of --port and --simulate")
    folder = Run(run)
    with Console() as console:
        with console.stage("run") as line, _board(folder, port) as name:
            transport = open_port(name, baud)
            try:
                result = run_stage(
                    folder,
                    transport,
                    line,
                    name=data,
                    limit=limit,
                    patience=Patience(seconds=wait),
                )
            finally:
                transport.close()
        console.line(result.summary)
    result.require_equal()


@contextmanager
def _board(folder: Run, port: str | None) -> Iterator[str]:
    """Name the port of the board: the user's, or a simulated board's while it runs."""
    if port is not None:
        yield port
        return
    from convexon.flow.measure import simulated_board

    with simulated_board(folder) as board:
        yield board.port
