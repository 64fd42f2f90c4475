"""``convexon export``."""

from __future__ import annotations

from pathlib import Path

import click

from convexon.cli.options import RUN, command


@command
@RUN
@click.option("--nir", is_flag=True, help="Write network.nir too, for the tool of --profile.")
@click.option("--profile", help="Tool that reads the NIR graph; nir-euler by default.")
@click.option("--dt", type=float, help="Step in seconds; by default the tool's own, or 0.001.")
@click.option(
    "--leak",
    default="exact",
    show_default=True,
    help="exact refuses a leak that rounds, which NIR cannot say; real writes its real factor.",
)
def export(run: Path, nir: bool, profile: str | None, dt: float | None, leak: str) -> None:
    """Write the network for other tools: CSV, hex, a C header, and a NIR graph.

    RUN/export gets what `convexon emit` writes there too and, with --nir, network.nir: a graph that
    is read back by the profile as the same network, or else refused.
    """
    from convexon.cli.console import Console
    from convexon.errors import InputError
    from convexon.flow.run import Run
    from convexon.interop.export import write_exports
    from convexon.interop.nir import DEFAULT_PROFILE
    from convexon.interop.nir_export import LeakExport, write_nir
    from convexon.settings import choice
    from convexon.snn.card import CARD

    chosen = choice(LeakExport, leak, "leak")
    if not nir and (profile is not None or dt is not None or chosen is not LeakExport.EXACT):
        raise InputError("nir must be given for --profile, --dt and --leak to say anything")
    with Console() as console, Run(run).locked() as folder:
        card, place = folder.read("card", CARD), folder.path / "export"
        if nir:
            told = profile or DEFAULT_PROFILE
            write_nir(card.value, place / "network.nir", profile=told, dt=dt, leak=chosen)
        files = write_exports(card.value, place, digest=card.record.digest)
        console.line(f"export: {len(files) + nir} files, {place}")
