"""What every example leaves: a run folder, for `convexon certify`, `emit`, `verify` and others."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from convexon.certify.certificate import CERTIFICATE
from convexon.data.dataset import DATASET, SpikeDataset
from convexon.errors import ConvexonError
from convexon.flow.run import Run
from convexon.quantizer.readout import quantize, sample_margins
from convexon.snn.card import CARD
from convexon.snn.network import FixedPointNetwork, Network
from convexon.snn.simulate import accuracy
from convexon.store.codec import Codec
from convexon.train.claims import certified
from convexon.train.columns.dictionary import DICTIONARY, patterns
from convexon.train.fit import Fitted
from convexon.train.generation import Round
from convexon.train.solved import NETWORK

T = TypeVar("T")

TOLERANCE = 1e-5
"""Tolerance to which the bounds of a certificate are to close."""

Measure = Callable[[FixedPointNetwork], Mapping[str, float]]
"""Figures of a card by name: shares of right answers."""


def parser(about: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that all examples have."""
    result = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawTextHelpFormatter
    )
    result.add_argument("run", type=Path, help="the run folder to write")
    result.add_argument("--seed", type=int, default=0, help="of the data and of the fit")
    result.add_argument("--readout-bits", type=int, default=8, help="bits of a readout weight")
    return result


def script(main: Callable[[], None]) -> None:
    """Run an example; an error in its input is one line."""
    try:
        main()
    except ConvexonError as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def watch(record: Round) -> None:
    """Show a round of pricing."""
    print(
        f"{record.n_columns} columns, objective {record.objective:.5f}, "
        f"largest ratio {record.largest_ratio:.2f}",
        flush=True,
    )


def keep(
    given: argparse.Namespace,
    train: SpikeDataset,
    test: SpikeDataset,
    fitted: Fitted | Network,
    measure: Measure | None = None,
) -> None:
    """Write samples, network and card, print the card's figures; and certify what was ``fitted``.

    Parameters
    ----------
    given : argparse.Namespace
        What `parser` made of the command line; all of it is each artefact's recipe.
    train, test : SpikeDataset
        What was fitted on, without what was chosen on; and what margins are stated for.
    fitted : Fitted or Network
        A fit that ended in a convex program, which is certified; or a network of another origin.
    measure : callable, optional
        Figures of the card beside its accuracy on ``test``.
    """
    run, bits = Run(given.run), given.readout_bits
    recipe = {k: v for k, v in vars(given).items() if k not in ("run", "data")}
    digests: dict[str, str] = {}

    def write(name: str, codec: Codec[T], value: T, *parents: str) -> None:
        of = {parent: digests[parent] for parent in parents}
        digests[name] = run.keep(name, codec, value, parents=of, recipe=recipe).record.digest

    network = fitted.network if isinstance(fitted, Fitted) else fitted
    card = quantize(network, bits=bits)
    run.path.mkdir(parents=True, exist_ok=True)
    write("train", DATASET, train)
    write("test", DATASET, test)
    write("network", NETWORK, network, "train")
    write("card", CARD, card, "network")
    figures = {"test": accuracy(card, test.inputs, test.labels)}
    figures |= {} if measure is None else measure(card)
    shares = ", ".join(f"{name} {100 * share:.2f} %" for name, share in figures.items())
    print(f"{card.n_features} last-layer neurons, {card.n_neurons} in all, {shares}")
    for name in ("certificate", "dictionary"):  # of an earlier run
        for file in (run.file(name), *run.path.glob(f"{name}.*.npz")):
            file.unlink(missing_ok=True)
    if not isinstance(fitted, Fitted):
        return
    margins = sample_margins(
        patterns(network.branches, test, network.readout_mode),
        network.readout_weights,
        network.readout_biases,
        bits=bits,
        name="test",
    )
    certificate, dictionary = certified(
        fitted, tolerance=TOLERANCE, readout_bits=bits, others=(margins,)
    )
    write("dictionary", DICTIONARY, dictionary, "train")
    write("certificate", CERTIFICATE, certificate, "train", "test", "dictionary", "network", "card")
    for sentence in certificate.sentences:
        print(f"certificate: {sentence}")
