"""``convexon emit``."""

from __future__ import annotations

from pathlib import Path

import click

from convexon.cli.options import RUN, command


@command
@RUN
@click.option(
    "--host",
    default="streams",
    show_default=True,
    help="streams, or axi for a top module with AXI4-Stream and AXI4-Lite.",
)
@click.option("--axi-width", type=int, help="Bits of tdata with --host axi: 32, 64 or 128.")
def emit(run: Path, host: str, axi_width: int | None) -> None:
    """Generate the accelerator's Verilog from the silicon card.

    Writes RUN/rtl (accelerator.v, ports.json, wrappers for VHDL and SystemVerilog, manifest.json)
    and RUN/export (weights as CSV and hex, and a C header that runs the same network).
    """
    from convexon.cli.console import Console
    from convexon.errors import InputError
    from convexon.flow.hardware.emit import emit_stage
    from convexon.flow.run import Run
    from convexon.settings import choice
    from convexon_hdl.emit.emitter import Host

    chosen = choice(Host, host, "host")
    if axi_width is not None and chosen is not Host.AXI:
        raise InputError("axi_width must come with --host axi")
    with Console() as console, Run(run).locked() as folder:
        width = axi_width or 32
        console.show("emit", lambda line: emit_stage(folder, line, host=chosen, axi_width=width))
