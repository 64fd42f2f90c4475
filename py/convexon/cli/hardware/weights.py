"""``convexon weights``."""

from __future__ import annotations

from pathlib import Path

import click

from convexon.cli.options import EDITED, RUN, command

FILE = click.Path(path_type=Path)


@command
@RUN
@click.option(
    "--card",
    type=FILE,
    help="Card with other weights for the same accelerator; RUN's by default.",
)
@click.option("--output", type=FILE, help="File of the image; RUN/export/weights.bin by default.")
@EDITED
def weights(run: Path, card: Path | None, output: Path | None, edited: bool) -> None:
    """Write the image of the weights that the emitted accelerator loads at run time.

    The host sends its words in order; the accelerator takes no input until all are there and their
    CRC-32 agrees.
    """
    from convexon.cli.console import Console
    from convexon.errors import InputError
    from convexon.flow.hardware.emit import emitted
    from convexon.flow.run import Run
    from convexon.plan.image import WORD_BYTES, image_digest, weight_image
    from convexon.snn.card import CARD
    from convexon.store.artefact import atomic_write, load

    with Console() as console, Run(run, edited).locked() as folder:
        design, bundle = emitted(folder)
        described = bundle.value.ports.get("weights")
        if described is None:
            raise InputError(
                f"{run} must have an accelerator with loaded weights: "
                'write weights = "loaded" for a folded layer, then map and emit'
            )
        network = design.network if card is None else load(CARD, card)[0]
        image = weight_image(network, design.mapping, accelerator=described["fingerprint"])
        target = run / "export" / "weights.bin" if output is None else output
        atomic_write(target, image)
        console.line(f"{target}: {len(image) // WORD_BYTES} words, {image_digest(image)}")
