"""``convexon card``."""

from __future__ import annotations

from pathlib import Path

import click

from convexon.cli.options import command


@click.group(no_args_is_help=True)
def card() -> None:
    """Check and sign silicon cards that were edited, or written by another program."""


@command
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--output", type=click.Path(path_type=Path), help="File to write; FILE itself by default."
)
def sign(file: Path, output: Path | None) -> None:
    """Check a card's integers, work out what follows from them, and write its digest.

    docs/card.md states the file field by field. Every command then takes the card.
    """
    from convexon.cli.console import Console
    from convexon.interop.signing import sign as signed

    network, changed = signed(file, output)
    told = "signed" if changed else "was signed already"
    with Console() as console:
        console.line(
            f"{file if output is None else output}: {told}, {network.n_neurons} neurons, "
            f"{network.n_synapses} synapses, {network.n_steps} steps"
        )


card.add_command(sign)
