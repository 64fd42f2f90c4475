"""``convexon report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convexon.cli.options import Run


def report(
    run: Run = Path("build/run"),
    synthesize: Annotated[
        bool, typer.Option(help="Count the netlist's cells for ECP5, unless that was done.")
    ] = True,
) -> None:
    """Write report.json, report.md and report.html from what the run folder holds."""
    from convexon.cli.console import Console
    from convexon.flow import stage
    from convexon.flow.run import RunFolder
    from convexon.report.collect import bundle_of_card

    folder = RunFolder(run)
    with Console() as console:
        if synthesize and bundle_of_card(folder) is not None:
            with console.stage("synthesize") as line:
                console.line(stage("synthesize")(folder, line).summary)
        with console.stage("report") as line:
            result = stage("report")(folder, progress=line)
        console.line(result.summary)
