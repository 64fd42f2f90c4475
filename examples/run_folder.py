"""What every example leaves: a run folder, for `convexon certify`, `emit`, `verify` and others."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from convexon.certify.certificate import ANY_NETWORK, CERTIFICATE, Certificate
from convexon.data.dataset import DATASET, SpikeDataset
from convexon.data.samples import SAMPLES, Samples
from convexon.errors import ConvexonError
from convexon.flow.run import Run
from convexon.quantizer.readout import quantize, quantize_readout, sample_margins
from convexon.snn.card import CARD
from convexon.snn.coding import DIRECT
from convexon.snn.interface import Interface
from convexon.snn.models.simulate import accuracy
from convexon.snn.network import FixedPointNetwork, Network
from convexon.snn.neuron import ReadoutMode
from convexon.store.codec import Codec
from convexon.train.claims import certified
from convexon.train.columns.dictionary import DICTIONARY, SpikeDictionary, patterns
from convexon.train.fit import Fitted
from convexon.train.generation import Round
from convexon.train.solved import BRANCHES, NETWORK, SOLVED, SolvedProgram

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

    Where the bound over any network closes, or one over windows is claimed, all that `convexon
    certify` asks for is written.

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

    def write(name: str, codec: Codec[T], value: T, *parents: str, **roles: str) -> None:
        named = {**{parent: parent for parent in parents}, **roles}
        of = {role: digests[parent] for role, parent in named.items()}
        digests[name] = run.keep(name, codec, value, parents=of, recipe=recipe).record.digest

    network = fitted.network if isinstance(fitted, Fitted) else fitted
    claims = _claims(fitted, test, bits) if isinstance(fitted, Fitted) else None
    proof = None
    if isinstance(fitted, Fitted) and claims is not None and _is_provable(fitted, claims[0]):
        proof = fitted
        recipe["settings"] = _settings(fitted, bits)
    raw = {part: _raw(data) for part, data in (("train", train), ("test", test)) if proof}
    interface = None
    if proof is not None:
        interface = Interface.fitted(train.inputs, coding=DIRECT, classes=raw["train"].classes)
    card = quantize(network, bits=bits, interface=interface)
    run.path.mkdir(parents=True, exist_ok=True)
    for name in PROOF:  # of an earlier run
        for file in (run.file(name), *run.path.glob(f"{name}.*.npz")):
            file.unlink(missing_ok=True)
    for part, samples in raw.items():
        write(f"samples-{part}", SAMPLES, samples)
    write("train", DATASET, train, **({"samples": "samples-train"} if proof else {}))
    write("test", DATASET, test, **({"samples": "samples-test"} if proof else {}))
    write("network", NETWORK, network, "train")
    write("card", CARD, card, "network")
    figures = {"test": accuracy(card, test.inputs, test.labels)}
    figures |= {} if measure is None else measure(card)
    shares = ", ".join(f"{name} {100 * share:.2f} %" for name, share in figures.items())
    print(f"{card.n_features} last-layer neurons, {card.n_neurons} in all, {shares}")
    if claims is None:
        return
    certificate, dictionary = claims
    parents = ["train", "test", "dictionary", "network", "card"]
    if proof is None:
        write("dictionary", DICTIONARY, dictionary, "train")
    else:
        write("branches", BRANCHES, proof.generated.branches, "train")
        write("dictionary", DICTIONARY, dictionary, "train", "branches")
        write("solution", SOLVED, _solution(proof), "train", "dictionary")
        parents.append("solution")
    write("certificate", CERTIFICATE, certificate, *parents)
    for sentence in certificate.sentences:
        print(f"certificate: {sentence}")


PROOF = ("certificate", "solution", "dictionary", "branches", "samples-train", "samples-test")
"""Files that not every run has."""


def _claims(fitted: Fitted, test: SpikeDataset, bits: int) -> tuple[Certificate, SpikeDictionary]:
    """What is certified of a fit, its margins on test samples included."""
    network = fitted.network
    weights, biases = network.readout_weights, network.readout_biases
    margins = sample_margins(
        patterns(network.branches, test, network.readout_mode),
        np.concatenate([weights, biases[None]]),
        quantize_readout(weights, biases, bits=bits),
        name="test",
    )
    return certified(fitted, tolerance=TOLERANCE, readout_bits=bits, others=(margins,))


def _is_provable(fitted: Fitted, certificate: Certificate) -> bool:
    """Whether a checker that is given all files can say how near to the best of a set this is.

    Every neuron of the branches then is a witness of the dictionary, each weighs one, and a raw
    sample has one label.
    """
    return (
        (certificate.optimal_over == ANY_NETWORK or certificate.windows is not None)
        and all(site.cost is None and site.beside is None for site in fitted.sites)
        and fitted.network.readout_mode is not ReadoutMode.STEP
    )


def _settings(fitted: Fitted, bits: int) -> dict[str, Any]:
    """What `convexon certify` compares a certificate with, by the names of `convexon solve`."""
    return {
        "loss": fitted.problem.loss.name,
        "penalty": fitted.problem.penalty.name,
        "rho": sorted({*fitted.validation, fitted.rho}),
        "cost": None,
        "tolerance": TOLERANCE,
        "readout": fitted.network.readout_mode.value,
        "readout_bits": bits,
    }


def _raw(data: SpikeDataset) -> Samples:
    """The samples, which are spikes from the start; a class is called by its number."""
    return Samples(
        values=data.inputs,
        labels=data.labels,
        classes=tuple(str(k) for k in range(data.n_classes)),
        name=data.name,
        are_spikes=True,
        groups=data.groups,
    )


def _solution(fitted: Fitted) -> SolvedProgram:
    """The solution that is certified, over all columns of the master."""
    generated, found = fitted.generated, fitted.generated.solution
    account = [(r.iteration, r.primal, r.dual, r.gap) for r in found.history]
    return SolvedProgram(
        columns=np.arange(generated.dictionary.n_columns),
        weights=generated.weights,
        W=found.W,
        dual=found.dual,
        gap=found.certificate,
        history=np.array(account, dtype=np.float64).reshape(-1, 4),
        validation={f"{rho:g}": share for rho, share in fitted.validation.items()},
    )
