"""``convexon emit``."""

from __future__ import annotations

from pathlib import Path

from convexon.cli.options import Run


def emit(run: Run = Path("build/run")) -> None:
    """Generate the accelerator's Verilog from the silicon card.

    Writes RUN/rtl (accelerator.v, ports.json, manifest.json) and RUN/export (weights as CSV and
    hex, and a C header that runs the same network).
    """
    from convexon.chain import stage
    from convexon.cli.console import Console
    from convexon.run import RunFolder

    with Console() as console:
        with console.stage("emit") as line:
            result = stage("emit")(RunFolder(run), line)
        console.line(result.summary)
