"""Stage ``study``: one experiment from its data to a card that hardware can run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convexon.card import CARD
from convexon.chain.progress import QUIET, Progress
from convexon.convex.branches import NETWORK
from convexon.convex.dictionary import DICTIONARY
from convexon.convex.generation import Round
from convexon.dataset import DATASET, SpikeDataset
from convexon.errors import ArtefactError, InputError
from convexon.network import FixedPointNetwork, Network
from convexon.proof.certificate import CERTIFICATE, Certificate
from convexon.quantize import quantize
from convexon.report.figure import Figure, FigureKind, write_figures
from convexon.run import Made, RunFolder
from convexon.study.fit import Fitted, accuracy, fit, held_out
from convexon.study.proof import Proved, proved
from convexon.tasks.addition import Addition

LENGTHS = (1, 2, 5, 10)
"""Multiples of the training length at which addition is tested."""

_N_SUMS = 1000
"""Sums of each length in the test of addition."""


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """Every choice of a study; those that its task does not have are ignored.

    Members
    -------
    task : str
        ``addition``, ``xor``, ``automaton`` or ``mnist``.
    seed : int
        Of the data and of the fit.
    base, carry_input
        Of addition.
    length : int
        Bits of FIRST-LAST-XOR, symbols of an automaton's string.
    layers : int
        Hidden layers of FIRST-LAST-XOR.
    disjoint : bool
        Whether no test string is among the training strings.
    states, symbols : int
        Of the automaton.
    data : str
        Folder with the idx files of MNIST.
    n_train, n_test : int
        Samples to draw, for all but addition.
    n_steps : int
        Steps of sequential MNIST.
    neurons : int
        Most last-layer neurons, for MNIST.
    seconds : float
        Wall time for surrogate training, for MNIST.
    readout_bits : int

    Raises
    ------
    InputError
        If a member is out of its range.
    """

    task: str
    seed: int = 0
    base: int = 2
    carry_input: bool = True
    length: int = 11
    layers: int = 2
    disjoint: bool = True
    states: int = 5
    symbols: int = 2
    data: str = ""
    n_train: int = 2000
    n_test: int = 2000
    n_steps: int = 4
    neurons: int = 1024
    seconds: float = 180.0
    readout_bits: int = 8

    def __post_init__(self) -> None:
        if self.task not in STUDIES:
            raise InputError(f"task must be one of {', '.join(STUDIES)}, not {self.task!r}")
        for name in ("n_train", "n_test", "n_steps", "neurons", "readout_bits"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)!r}")
        if self.seed < 0:
            raise InputError(f"seed must be at least 0, not {self.seed!r}")
        if not self.seconds > 0.0:
            raise InputError(f"seconds must be positive, not {self.seconds!r}")


@dataclass(frozen=True, eq=False, kw_only=True)
class Study:
    """A study made from its settings.

    Members
    -------
    train, test : SpikeDataset
        What is fitted, without what rho is chosen on; and what is measured.
    fit : callable
        Returns the network, and where the convex program ends the fit its proof, from what shows
        progress.
    measure : callable
        Returns figures of the card by name: shares of right answers.
    """

    train: SpikeDataset
    test: SpikeDataset
    fit: Callable[[Callable[[Round], None]], tuple[Network, Proved | None]]
    measure: Callable[[FixedPointNetwork], Mapping[str, float]]


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
        return f"study: {self.card.value.n_neurons} neurons, {shares}"


def _addition(settings: StudySettings) -> Study:
    from convexon.study.addition import data_of, decider, fit_addition

    task = Addition(base=settings.base, carry_input=settings.carry_input)
    train, test = data_of(task, seed=settings.seed)
    n_steps = train.n_steps

    def measure(card: FixedPointNetwork) -> dict[str, float]:
        figures: dict[str, float] = {}
        for times in LENGTHS:
            token, sequence = task.accuracy(
                decider(card),
                times * n_steps,
                n_samples=_N_SUMS,
                generator=np.random.default_rng([settings.seed, 13]),
            )
            figures |= {f"joint.{times}x": token, f"sequence.{times}x": sequence}
        return figures

    return Study(
        train=train,
        test=test,
        fit=lambda watch: _with_proof(
            settings, fit_addition(task, seed=settings.seed, progress=watch)[0]
        ),
        measure=measure,
    )


def _xor(settings: StudySettings) -> Study:
    from convexon.study.xor import VALIDATION_SHARE, plan
    from convexon.tasks.strings import first_last_xor

    drawn, test = first_last_xor(settings.length).split(
        settings.n_train, settings.n_test, seed=settings.seed, disjoint=settings.disjoint
    )
    train, validation = held_out(drawn, VALIDATION_SHARE, seed=settings.seed)
    chosen = plan(settings.length, n_layers=settings.layers)
    return Study(
        train=train,
        test=test,
        fit=lambda watch: _with_proof(
            settings, fit(chosen, train, validation, seed=settings.seed, progress=watch)
        ),
        measure=lambda card: {"test": accuracy(card, test)},
    )


def _automaton(settings: StudySettings) -> Study:
    from convexon.study.automata import VALIDATION_SHARE, plan
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
    train, validation = held_out(drawn, VALIDATION_SHARE, seed=settings.seed)
    chosen = plan(settings.length)
    return Study(
        train=train,
        test=test,
        fit=lambda watch: _with_proof(
            settings, fit(chosen, train, validation, seed=settings.seed, progress=watch)
        ),
        measure=lambda card: {"test": accuracy(card, test)},
    )


def _mnist(settings: StudySettings) -> Study:
    from convexon.study.mnist import data_of, fit_digits

    if not settings.data:
        raise InputError("data must name the folder with MNIST's idx files: give --data")
    train, test = data_of(
        Path(settings.data), n_train=settings.n_train, n_steps=settings.n_steps, seed=settings.seed
    )
    return Study(
        train=train,
        test=test,
        fit=lambda _: (
            fit_digits(
                train,
                seed=settings.seed,
                n_neurons=settings.neurons,
                seconds=settings.seconds,
            ).network,
            None,
        ),
        measure=lambda card: {"test": accuracy(card, test)},
    )


def _with_proof(settings: StudySettings, fitted: Fitted) -> tuple[Network, Proved | None]:
    return fitted.network, proved(
        fitted.task,
        fitted.generated,
        fitted.sites,
        fitted.oracles,
        tolerance=_TOLERANCE,
        readout_bits=settings.readout_bits,
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
    recipe = asdict(settings)
    # A folder is a place, not data; what was read from it counts, and its digest is a parent.
    recipe.pop("data")
    study = STUDIES[settings.task](settings)
    train, _ = (
        folder.made(name, DATASET, lambda part=part: part, recipe=recipe)  # type: ignore[misc]
        for name, part in (("train", study.train), ("test", study.test))
    )
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
    figures = dict(study.measure(card.value))
    _write(folder, settings, figures, card.value)
    if not network.reused:
        folder.time("study", time.monotonic() - began, first=True)
    return StudyResult(network=network, card=card, certificate=certificate, figures=figures)


def _fitted(
    folder: RunFolder,
    study: Study,
    train: Made[SpikeDataset],
    recipe: Mapping[str, Any],
    watch: Callable[[Round], None],
) -> tuple[Made[Network], Made[Certificate] | None]:
    """Make the network, and the certificate with its dictionary; all of them from one fit."""
    found: list[tuple[Network, Proved | None]] = []

    def fitted() -> tuple[Network, Proved | None]:
        if not found:
            found.append(study.fit(watch))
        return found[0]

    def part(proof: Proved | None) -> Proved:
        if proof is None:
            raise ArtefactError(f"{folder.path} holds a proof of another study: take a new folder")
        return proof

    network = folder.made(
        "network", NETWORK, lambda: fitted()[0], parents={"train": train}, recipe=recipe
    )
    if found and found[0][1] is None:
        for name in ("dictionary", "certificate"):
            folder.file(name).unlink(missing_ok=True)  # of an earlier study
    if not found and not folder.has("certificate"):
        return network, None
    if found and found[0][1] is None:
        return network, None
    parents = {"train": train}
    dictionary = folder.made(
        "dictionary", DICTIONARY, lambda: part(fitted()[1]).dictionary,
        parents=parents, recipe=recipe,
    )  # fmt: skip
    certificate = folder.made(
        "certificate",
        CERTIFICATE,
        lambda: part(fitted()[1]).certificate,
        parents={**parents, "dictionary": dictionary, "network": network},
        recipe=recipe,
    )
    return network, certificate


def _write(
    folder: RunFolder,
    settings: StudySettings,
    figures: Mapping[str, float],
    card: FixedPointNetwork,
) -> None:
    source = f"convexon study {settings.task}, seed {settings.seed}"
    rows = [
        Figure(
            name=f"study.{settings.task}.{name}",
            value=value,
            unit="1",
            kind=FigureKind.MEASURED,
            source=source,
        )
        for name, value in {**figures, "neurons": card.n_neurons}.items()
    ]
    write_figures(rows, folder.path / "study.json")
