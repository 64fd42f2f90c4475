"""``convexon quantize``."""

from __future__ import annotations

from pathlib import Path

import click

from convexon.cli.options import command, settings
from convexon.interop.importers import ReadingSettings
from convexon.quantizer.settings import HiddenSettings, InputSettings


@command
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--format", "kind", help="How to read FILE; by its name where that tells it.")
@click.option("--data", required=True, help="Samples that calibrate; labels tell accuracies.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    help="SVG file for the front of bits that --most-lost searches.",
)
@settings(ReadingSettings, "reading")
@settings(HiddenSettings, "hidden")
@settings(InputSettings, "inputs")
def quantize(
    file: Path,
    kind: str | None,
    data: str,
    plot: Path | None,
    reading: ReadingSettings,
    hidden: HiddenSettings,
    inputs: InputSettings,
) -> None:
    """Say what integers of few bits change of a trained network, and write nothing.

    FILE is a network of real numbers, such as a NIR graph (.nir). `convexon import` with the same
    options keeps what this command shows.
    """
    from convexon.api.trained import BitWidths
    from convexon.cli.console import Console
    from convexon.data.loading import load_samples
    from convexon.errors import InputError
    from convexon.flow.network.bring import quantized

    if plot is not None and hidden.most_lost is None:
        raise InputError("plot must come with --most-lost, whose search it draws")
    samples = load_samples(data, n_steps=inputs.steps)
    with Console() as console:
        trained, lines = quantized(
            file, samples, kind=kind, reading=reading, hidden=hidden, inputs=inputs
        )
        for line in [*lines, *trained.steps()]:
            console.line(line)
        if plot is not None:
            console.line(f"front: {BitWidths(trained.front).plot(plot)}")
