"""``convexon weights``."""

from __future__ import annotations

from pathlib import Path

import click

from convexon.cli.options import RUN, command

FILE = click.Path(path_type=Path)


@command
@RUN
@click.option(
    "--card",
    type=FILE,
    help="Card with other weights for the same accelerator; RUN's by default.",
)
@click.option("--output", type=FILE, help="File of the image; RUN/export/weights.bin by default.")
def weights(run: Path, card: Path | None, output: Path | None) -> None:
    """Write the image of the weights that the emitted accelerator loads at run time.

    The host sends its words in order; the accelerator takes no input until all are there and their
    CRC-32 agrees.
    """
    from convexon.cli.console import Console
    from convexon.errors import InputError
    from convexon.flow.run import Run
    from convexon.plan.image import WORD_BYTES, image_digest, weight_image
    from convexon.plan.mapping import MAPPING
    from convexon.snn.card import CARD
    from convexon.store.artefact import atomic_write, load

    folder = Run(run)
    described = folder.bundle().value.ports.get("weights")
    if described is None:
        raise InputError(
            f"{run} must have an accelerator with loaded weights: "
            'write weights = "loaded" for a folded layer, then map and emit'
        )
    network, _ = load(CARD, folder.file("card") if card is None else card)
    mapping = folder.read("mapping", MAPPING).value
    image = weight_image(network, mapping, accelerator=described["fingerprint"])
    target = run / "export" / "weights.bin" if output is None else output
    target.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(target, image)
    with Console() as console:
        console.line(f"{target}: {len(image) // WORD_BYTES} words, {image_digest(image)}")
