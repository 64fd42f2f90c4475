"""``convexon predict``."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import click

from convexon.cli.options import RUN, command


@command
@RUN
@click.option("--data", required=True, help="A file with raw samples, labelled or not.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="CSV file of the answers; RUN/predictions.csv by default.",
)
def predict(run: Path, data: str, output: Path | None) -> None:
    """Apply the network of RUN, or of a card's file, to new samples."""
    from convexon.api.network import Network, load
    from convexon.cli.console import Console
    from convexon.data.loading import load_samples
    from convexon.snn.models.health import notices
    from convexon.store.artefact import atomic_write

    network: Network = load(run if run.is_file() else run / "card.json")
    samples = load_samples(data, n_steps=network.card.n_steps)
    truth = None  # else before anything is written: a label may be unknown
    if samples.labels is not None:
        truth = samples.named_as(network.classes).known_labels
    scores = network.scores(samples.values)
    answers = network.interface.named(scores.argmax(axis=1))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["sample", "class", *(f"score {name}" for name in network.classes)])
    for k, (answer, own) in enumerate(zip(answers.tolist(), scores, strict=True)):
        writer.writerow([k, answer, *(f"{score:g}" for score in own)])
    folder = run.parent if run.is_file() else run
    target = folder / "predictions.csv" if output is None else output
    atomic_write(target, table.getvalue().encode())
    right = ""
    if truth is not None:
        right = f", {100 * float((truth == scores.argmax(axis=1)).mean()):.2f} % correct"
    with Console() as console:
        console.line(f"predict: {samples.n_samples} samples{right}, {target}")
        for text in notices(network.card, network.card.encode(samples.values)):
            console.line(text)
