"""``convexon report``."""

from __future__ import annotations

from pathlib import Path

import click

from convexon.cli.options import EDITED, RUN, command


@command
@RUN
@click.option(
    "--synthesize/--no-synthesize",
    default=True,
    help="Count the netlist's cells for ECP5, unless that was done.",
)
@EDITED
def report(run: Path, synthesize: bool, edited: bool) -> None:
    """Write report.json, report.md and report.html from what the run folder holds."""
    from convexon.cli.console import Console
    from convexon.flow.hardware.synthesize import synthesize_stage
    from convexon.flow.run import Run
    from convexon.report.collect import bundle_of_card, collect
    from convexon.report.stage import report_stage

    with Console() as console, Run(run, edited).locked() as folder:
        collect(folder)  # what is missing or damaged is said before minutes of synthesis
        if synthesize and bundle_of_card(folder) is not None:
            console.show("synthesize", lambda line: synthesize_stage(folder, line))
        console.show("report", lambda line: report_stage(folder, progress=line))
