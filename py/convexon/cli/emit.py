"""``convexon emit``."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

from convexon.cli.options import Run


def emit(
    run: Run = Path("build/run"),
    host: Annotated[
        str, typer.Option(help="streams, or axi for a top module with AXI4-Stream and AXI4-Lite.")
    ] = "streams",
    axi_width: Annotated[int, typer.Option(help="Bits of tdata: 32, 64 or 128.")] = 32,
) -> None:
    """Generate the accelerator's Verilog from the silicon card.

    Writes RUN/rtl (accelerator.v, ports.json, wrappers for VHDL and SystemVerilog, manifest.json)
    and RUN/export (weights as CSV and hex, and a C header that runs the same network).
    """
    from convexon.cli.console import Console
    from convexon.flow import stage
    from convexon.flow.run import RunFolder
    from convexon.train.settings import choice

    hosts = importlib.import_module("convexon_hdl.emit.emitter").Host
    with Console() as console:
        with console.stage("emit") as line:
            result = stage("emit")(
                RunFolder(run), line, host=choice(hosts, host, "host"), axi_width=axi_width
            )
        console.line(result.summary)
