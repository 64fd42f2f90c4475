"""``convexon import``."""

from __future__ import annotations

from pathlib import Path

import click

from convexon.cli.options import RUN, command, settings
from convexon.interop.importers import ReadingSettings
from convexon.quantizer.settings import HiddenSettings, InputSettings


@command
@click.argument("file", type=click.Path(path_type=Path))
@RUN
@click.option("--format", "kind", help="How to read FILE; by its name where that tells it.")
@click.option(
    "--data",
    help="Samples: with labels, of a card the test. A network of real numbers is calibrated on "
    "them; of labelled ones a share is the test instead.",
)
@settings(ReadingSettings, "reading")
@settings(HiddenSettings, "hidden")
@settings(InputSettings, "inputs")
def import_(
    file: Path,
    run: Path,
    kind: str | None,
    data: str | None,
    reading: ReadingSettings,
    hidden: HiddenSettings,
    inputs: InputSettings,
) -> None:
    """Bring a trained network into a run folder, from which map, emit and verify go on.

    FILE is a silicon card, or a network whose real weights are quantized on samples: a NIR graph
    (.nir), a program of torch.export (.pt2), or a list of layers over a state_dict (.toml).
    """
    from convexon.cli.console import Console
    from convexon.data.loading import load_samples
    from convexon.flow.network.bring import BringSettings, bring
    from convexon.flow.run import Run

    chosen = BringSettings(reading=reading, hidden=hidden, inputs=inputs)
    samples = None if data is None else load_samples(data, n_steps=inputs.steps)
    with Console() as console, Run(run).locked(new=True) as folder:
        for line in bring(folder, file, kind=kind, samples=samples, settings=chosen):
            console.line(line)
