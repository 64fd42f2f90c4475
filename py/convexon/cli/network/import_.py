"""``convexon import``."""

from __future__ import annotations

from pathlib import Path

import click

from convexon.cli.options import RUN, command


@command
@click.argument("file", type=click.Path(path_type=Path))
@RUN
@click.option("--format", "kind", help="How to read FILE; by its name where that tells it.")
@click.option("--data", help="An npz file with labelled samples, which become the test samples.")
def import_(file: Path, run: Path, kind: str | None, data: str | None) -> None:
    """Bring a network of integers into a run folder, from which map, emit and verify go on."""
    from convexon.cli.console import Console
    from convexon.data.samples import load_samples
    from convexon.flow.bring import bring
    from convexon.flow.run import Run

    samples = None if data is None else load_samples(data)
    with Console() as console, Run(run).locked(new=True) as folder:
        console.line(bring(folder, file, kind=kind, samples=samples))
