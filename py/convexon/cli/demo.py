"""``convexon demo``: the whole chain on embedded data."""

from __future__ import annotations

from pathlib import Path

import click

from convexon.cli.options import command


@command
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("build/demo"),
    show_default=True,
    help="Run folder.",
)
@click.option("--seed", type=int, default=0, help="Seed of the split and of the witnesses.")
def demo(out: Path, seed: int) -> None:
    """Run the whole chain on scikit-learn's handwritten digits: digits to verified Verilog.

    Solves and certifies, also against every neuron on every window of four pixels; emits, verifies
    in Verilator (and in Icarus where it is installed) on the whole test split, synthesizes for
    ECP5, and writes report.json, report.md and report.html.
    """
    from convexon.api.demo import run_demo
    from convexon.cli.console import Console
    from convexon.flow.run import Run
    from convexon.train.settings import SolveSettings

    with Console() as console, Run(out).locked(new=True) as folder:
        run_demo(folder, SolveSettings(seed=seed, oracle="windows"), console)
