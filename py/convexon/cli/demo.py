"""``convexon demo``: the whole chain on embedded data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convexon.cli.options import Seed


def demo(
    out: Annotated[Path, typer.Option(help="Run folder.")] = Path("build/demo"),
    seed: Seed = 0,
) -> None:
    """Run the whole chain on scikit-learn's handwritten digits: digits to verified Verilog.

    Solves and certifies, emits, verifies in Verilator (and in Icarus where it is installed) on the
    whole test split, synthesizes for ECP5, and writes report.json, report.md and report.html.
    """
    from convexon.api.demo import run_demo
    from convexon.cli.console import Console
    from convexon.flow.run import RunFolder
    from convexon.train.settings import SolveSettings

    with Console() as console:
        run_demo(RunFolder(out), SolveSettings(seed=seed), console)
