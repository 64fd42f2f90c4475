"""``convexon run``."""

from __future__ import annotations

from pathlib import Path

import click

from convexon.cli.options import EDITED, RUN, command, settings
from convexon.link.transport import Connection


@command
@RUN
@settings(Connection, "connection")
@click.option(
    "--data",
    default="test",
    show_default=True,
    help="Samples to send: test, train, or a file with new ones.",
)
@click.option(
    "--samples", "limit", type=click.IntRange(min=1), help="How many to send; all by default."
)
@EDITED
def run(run: Path, connection: Connection, data: str, limit: int | None, edited: bool) -> None:
    """Send samples to a board and compare all scores and labels with the golden model's.

    The board must hold this run's design. Lost and damaged bytes are made up for and counted. Exit
    code 1 if an answer differs; the first difference is named.
    """
    from convexon.cli.console import Console
    from convexon.flow.board.measure import connected, run_stage
    from convexon.flow.run import Run
    from convexon.link.session import Patience

    folder, patience = Run(run, edited), Patience(seconds=connection.wait)
    with Console() as console:
        with console.stage("run") as line, connected(folder, connection) as transport:
            result = run_stage(folder, transport, line, name=data, limit=limit, patience=patience)
        console.line(result.summary)
    result.require_equal()
