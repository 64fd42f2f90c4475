"""Stage ``study``: one experiment from its data to a card that hardware can run."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.certify.certificate import CERTIFICATE, Certificate
from convexon.data.dataset import DATASET, SpikeDataset
from convexon.data.mnist import N_CLASSES
from convexon.errors import InputError
from convexon.flow.run import Made, RunFolder
from convexon.progress import QUIET, Progress
from convexon.quantize.readout import quantize, sample_margins
from convexon.report.figure import Figure, FigureKind, write_figures
from convexon.snn.card import CARD
from convexon.snn.network import FixedPointNetwork, Network
from convexon.store.artefact import digest_of
from convexon.study.fit import Fitted, accuracy, held_out
from convexon.study.proof import Proved, proved
from convexon.study.settings import StudySettings
from convexon.tasks.addition import Addition
from convexon.train.columns.dictionary import DICTIONARY, SpikeDictionary, patterns
from convexon.train.generation import Round
from convexon.train.witnesses.branches import NETWORK

LENGTHS = (1, 2, 5, 10)
"""Multiples of the training length at which addition is tested."""

_N_SUMS = 1000
"""Sums of each length in the test of addition."""

Watch = Callable[[Round], None]
"""Shows progress."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Study:
    """A study made from its settings.

    Members
    -------
    train, test : SpikeDataset
        What is fitted, without what rho is chosen on (MNIST's is set apart of ``train`` by its
        fit); and what is measured.
    proves : bool
        Whether the fit ends in a convex program, and so in a proof.
    fit : callable
        Returns the network, and its proof if ``proves``, from training samples and what shows
        progress.
    measure : callable
        Returns figures of the card on test samples by name: shares of right answers.
    """

    train: SpikeDataset
    test: SpikeDataset
    proves: bool = True
    fit: Callable[[SpikeDataset, Watch], tuple[Network, Proved | None]]
    measure: Callable[[FixedPointNetwork, SpikeDataset], Mapping[str, float]]


@dataclass(frozen=True, eq=False, kw_only=True)
class StudyResult:
    """What the stage made."""

    network: Made[Network]
    card: Made[FixedPointNetwork]
    certificate: Made[Certificate] | None
    figures: Mapping[str, float]

    @property
    def certificate_lines(self) -> list[str]:
        """The certificate for people; nothing where the fit does not end in a convex program."""
        if self.certificate is None:
            return []
        return [f"certificate: {sentence}" for sentence in self.certificate.value.sentences]

    @property
    def summary(self) -> str:
        """The line with the figures that matter."""
        shares = ", ".join(f"{name} {100 * value:.2f} %" for name, value in self.figures.items())
        card = self.card.value
        return f"study: {card.n_features} last-layer neurons, {card.n_neurons} in all, {shares}"


def _addition(settings: StudySettings) -> Study:
    from convexon.study.addition import data_of, decider, fit_addition, fresh_sums

    task = Addition(base=settings.base, carry_input=settings.carry_input)
    train, _ = data_of(task, seed=settings.seed)
    test = fresh_sums(task, seed=settings.seed)

    def fit(_: SpikeDataset, watch: Watch) -> tuple[Network, Proved]:
        fitted, _leak = fit_addition(
            task, seed=settings.seed, readout_bits=settings.readout_bits, progress=watch
        )
        return _with_proof(settings, fitted, test)

    def measure(card: FixedPointNetwork, test: SpikeDataset) -> dict[str, float]:
        figures = {"test": accuracy(card, test)}
        for times in LENGTHS:
            token, sequence = task.accuracy(
                decider(card),
                times * test.n_steps,
                n_samples=_N_SUMS,
                generator=np.random.default_rng([settings.seed, 13]),
            )
            figures |= {f"joint.{times}x": token, f"sequence.{times}x": sequence}
        return figures

    return Study(train=train, test=test, fit=fit, measure=measure)


def _xor(settings: StudySettings) -> Study:
    from convexon.study.xor import VALIDATION_SHARE, fit_xor
    from convexon.tasks.strings import first_last_xor

    drawn, test = first_last_xor(settings.length).split(
        settings.n_train, settings.n_test, seed=settings.seed, disjoint=settings.disjoint
    )
    rest, validation = held_out(drawn, VALIDATION_SHARE, seed=settings.seed)

    def fit(train: SpikeDataset, watch: Watch) -> tuple[Network, Proved]:
        fitted = fit_xor(
            train,
            validation=validation,
            n_layers=settings.layers,
            seed=settings.seed,
            readout_bits=settings.readout_bits,
            progress=watch,
        )
        return _with_proof(settings, fitted, test)

    return Study(train=rest, test=test, fit=fit, measure=_on_test)


def _automaton(settings: StudySettings) -> Study:
    from convexon.study.automata import VALIDATION_SHARE, fit_automaton
    from convexon.tasks.strings import random_automaton

    task = random_automaton(
        n_states=settings.states,
        n_symbols=settings.symbols,
        length=settings.length,
        seed=settings.seed,
    )
    drawn, test = task.split(
        settings.n_train, settings.n_test, seed=settings.seed, disjoint=settings.disjoint
    )
    rest, validation = held_out(drawn, VALIDATION_SHARE, seed=settings.seed)

    def fit(train: SpikeDataset, watch: Watch) -> tuple[Network, Proved]:
        fitted = fit_automaton(
            train,
            validation=validation,
            seed=settings.seed,
            readout_bits=settings.readout_bits,
            progress=watch,
        )
        return _with_proof(settings, fitted, test)

    return Study(train=rest, test=test, fit=fit, measure=_on_test)


def _mnist(settings: StudySettings) -> Study:
    from convexon.study.mnist import VALIDATION_SHARE, data_of, fit_digits

    if not settings.data:
        raise InputError("data must name the folder with MNIST's idx files: give --data")
    least = round(N_CLASSES / VALIDATION_SHARE)
    if settings.n_train < least:
        raise InputError(
            f"n_train must be at least {least}, of which {VALIDATION_SHARE:.0%} are to choose on "
            f"and hold every digit, not {settings.n_train}"
        )
    train, test = data_of(
        Path(settings.data), n_train=settings.n_train, n_steps=settings.n_steps, seed=settings.seed
    )
    if train.n_samples < settings.n_train:
        raise InputError(
            f"n_train must be at most the {train.n_samples} training digits in {settings.data}, "
            f"not {settings.n_train}"
        )

    def fit(train: SpikeDataset, _: Watch) -> tuple[Network, None]:
        fitted = fit_digits(
            train, seed=settings.seed, n_neurons=settings.neurons, seconds=settings.seconds
        )
        return fitted.network, None

    return Study(train=train, test=test, proves=False, fit=fit, measure=_on_test)


def _on_test(card: FixedPointNetwork, test: SpikeDataset) -> dict[str, float]:
    return {"test": accuracy(card, test)}


def _with_proof(
    settings: StudySettings, fitted: Fitted, test: SpikeDataset
) -> tuple[Network, Proved]:
    """Return the network with its proof, which states the margins of the test samples too."""
    network = fitted.network
    margins = sample_margins(
        patterns(network.branches, test, network.readout_mode),
        network.readout_weights,
        network.readout_biases,
        bits=settings.readout_bits,
        name="test",
    )
    return network, proved(
        fitted.task,
        fitted.generated,
        fitted.sites,
        fitted.oracles,
        tolerance=_TOLERANCE,
        readout_bits=settings.readout_bits,
        others=(margins,),
    )


_TOLERANCE = 1e-5
"""Tolerance to which the bounds of a study's certificate are to close."""

STUDIES: Mapping[str, Callable[[StudySettings], Study]] = {
    "addition": _addition,
    "xor": _xor,
    "automaton": _automaton,
    "mnist": _mnist,
}
"""Studies by name."""


def study_stage(
    folder: RunFolder, settings: StudySettings, progress: Progress = QUIET
) -> StudyResult:
    """Fit a network to the study's task; what is current is reused.

    The folder then holds ``train``, ``test``, ``network`` and ``card``, from which ``emit`` and
    ``verify`` go on, and ``study.json`` with the figures.

    Raises
    ------
    InputError, ArtefactError
        If settings or data do not fit, or the folder cannot be written.
    SolverError
        If a gap is not reached.
    MissingToolError
        If a study needs torch and it is not installed.
    """
    began = time.monotonic()
    progress.begin("making the data")
    study = STUDIES[settings.task](settings)
    recipe = asdict(settings)
    # A folder is a place, not data: what counts is what was read from it.
    del recipe["data"]
    recipe["samples"] = _digest(study.train, study.test)
    train = folder.made("train", DATASET, lambda: study.train, recipe=recipe)
    test = folder.made("test", DATASET, lambda: study.test, recipe=recipe)
    progress.begin("fitting")

    def watch(record: Round) -> None:
        progress.advance(
            f"{record.n_columns} columns, objective {record.objective:.5f}, "
            f"largest ratio {record.largest_ratio:.2f}"
        )

    network, certificate = _fitted(folder, study, train, recipe, watch)
    card = folder.made(
        "card",
        CARD,
        lambda: quantize(network.value, bits=settings.readout_bits),
        parents={"network": network},
        recipe={"readout_bits": settings.readout_bits},
    )
    progress.begin("measuring")
    figures = dict(study.measure(card.value, test.value))
    _write(folder, settings, figures, card.value)
    if not network.reused:
        folder.time("study", time.monotonic() - began, first=True)
    return StudyResult(network=network, card=card, certificate=certificate, figures=figures)


def _digest(*parts: SpikeDataset) -> str:
    """Return a digest of data sets, hashing the bytes of their arrays."""

    def hashed(array: npt.NDArray[Any]) -> list[object]:
        content = hashlib.sha256(array.tobytes()).hexdigest()
        return [str(array.dtype), list(array.shape), content]

    return digest_of(
        [
            {
                "name": part.name,
                "n_classes": part.n_classes,
                "input_bits": part.input_bits,
                "inputs": hashed(part.inputs),
                "labels": hashed(part.labels),
            }
            for part in parts
        ]
    )


def _fitted(
    folder: RunFolder,
    study: Study,
    train: Made[SpikeDataset],
    recipe: Mapping[str, Any],
    watch: Watch,
) -> tuple[Made[Network], Made[Certificate] | None]:
    """Make the network, and its certificate over its dictionary; all of them from one fit."""
    found: list[tuple[Network, Proved | None]] = []

    def network() -> Network:
        if not found:
            found.append(study.fit(train.value, watch))
        return found[0][0]

    def proof() -> Proved:
        network()
        proof = found[0][1]
        assert proof is not None  # noqa: S101  # the study proves
        return proof

    def made() -> tuple[Made[Network], Made[SpikeDictionary] | None, Made[Certificate] | None]:
        parents: dict[str, Made[Any]] = {"train": train}
        net = folder.made("network", NETWORK, network, parents=parents, recipe=recipe)
        if not study.proves:
            return net, None, None
        dictionary = folder.made(
            "dictionary", DICTIONARY, lambda: proof().dictionary, parents=parents, recipe=recipe
        )
        certificate = folder.made(
            "certificate",
            CERTIFICATE,
            lambda: proof().certificate,
            parents={**parents, "dictionary": dictionary, "network": net},
            recipe=recipe,
        )
        return net, dictionary, certificate

    if not study.proves:
        _forget(folder, "dictionary", "certificate")  # of an earlier study
    parts = made()
    if found and any(part is not None and part.reused for part in parts):
        # An earlier run stopped before its last file, or a file was lost.
        _forget(folder, "network", "dictionary", "certificate")
        parts = made()
    return parts[0], parts[2]


def _forget(folder: RunFolder, *names: str) -> None:
    """Delete artefacts with the files of their arrays."""
    for name in names:
        path = folder.file(name)
        path.unlink(missing_ok=True)
        for arrays in folder.path.glob(f"{path.stem}.????????????.npz"):
            arrays.unlink(missing_ok=True)


def _write(
    folder: RunFolder,
    settings: StudySettings,
    figures: Mapping[str, float],
    card: FixedPointNetwork,
) -> None:
    source = f"convexon study {settings.task}, seed {settings.seed}"
    counted = {**figures, "neurons": card.n_features, "neurons.all": card.n_neurons}
    rows = [
        Figure(
            name=f"study.{settings.task}.{name}",
            value=value,
            unit="1",
            kind=FigureKind.MEASURED,
            source=source,
        )
        for name, value in counted.items()
    ]
    write_figures(rows, folder.path / "study.json")
