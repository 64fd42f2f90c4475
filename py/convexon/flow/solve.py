"""Stage ``solve``: from labelled samples to a certified, quantized network and its silicon card."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from convexon.certify.certificate import CERTIFICATE, Certificate
from convexon.data.dataset import DATASET, SpikeDataset
from convexon.data.samples import SAMPLES, TEST_SHARE, Samples, digits, from_file
from convexon.flow.certificate import certificate_for
from convexon.flow.run import Made, RunFolder
from convexon.progress import QUIET, Progress
from convexon.quantize.readout import quantize
from convexon.snn.card import CARD
from convexon.snn.network import FixedPointNetwork, Network
from convexon.snn.simulate import run
from convexon.store.artefact import digest_of
from convexon.train.columns.dictionary import DICTIONARY, SpikeDictionary, build_dictionary
from convexon.train.columns.parallel import THREADS, Executor
from convexon.train.columns.rows import Rows, distinct_rows
from convexon.train.selection import solve_program
from convexon.train.settings import SolveSettings
from convexon.train.solved import SOLVED, SolvedProgram
from convexon.train.witnesses.branches import BRANCHES, NETWORK, Branches
from convexon.train.witnesses.reconstruct import reconstruct
from convexon.train.witnesses.stage import pool_for, witnesses_for


@dataclass(frozen=True, eq=False, kw_only=True)
class SolveResult:
    """What the stage made."""

    train: Made[SpikeDataset]
    test: Made[SpikeDataset]
    dictionary: Made[SpikeDictionary]
    solved: Made[SolvedProgram]
    network: Made[Network]
    card: Made[FixedPointNetwork]
    certificate: Made[Certificate]

    @property
    def accuracy(self) -> tuple[float, float]:
        """Shares of correct decisions of the integer network on training and test samples."""
        train, test = (
            float((run(self.card.value, d.inputs).labels[:, 0] == d.labels).mean())
            for d in (self.train.value, self.test.value)
        )
        return train, test

    @property
    def summary(self) -> str:
        """The line with the figures that matter."""
        certificate = self.solved.value.certificate
        train, test = self.accuracy
        return (
            f"solve: {self.dictionary.value.n_columns} columns, "
            f"{self.card.value.n_neurons} neurons, "
            f"gap {certificate.gap:.1e}, primal {certificate.primal:.6f}, "
            f"accuracy {100 * train:.2f} % train, {100 * test:.2f} % test"
        )

    @property
    def certificate_lines(self) -> list[str]:
        """The certificate for people: what is proved, and what is not."""
        return [f"certificate: {sentence}" for sentence in self.certificate.value.sentences]


def samples_of(settings: SolveSettings) -> tuple[Samples, Samples]:
    """Return the training and test samples that the settings name, split by class and seed."""
    samples = digits() if settings.data == "digits" else from_file(Path(settings.data))
    train, test = samples.split(TEST_SHARE, seed=settings.seed, names=("train", "test"))
    return train.scaled_like(train), test.scaled_like(train)


def encode_data(
    folder: RunFolder, settings: SolveSettings
) -> tuple[Made[SpikeDataset], Made[SpikeDataset]]:
    """Make the artefacts ``train`` and ``test``, and beside them the features that they encode."""
    recipe = settings.recipe("coding", "n_steps", "bits", "seed")
    parts = samples_of(settings)
    # What a file holds counts, not what it is called: it can change, and it can move.
    recipe["content"] = digest_of([[p.features.tolist(), p.labels.tolist()] for p in parts])
    train, test = (
        folder.made(
            name,
            DATASET,
            lambda part=part: part.encoded(  # type: ignore[misc]
                coding=settings.coding, n_steps=settings.n_steps, bits=settings.bits
            ),
            recipe=recipe,
        )
        for name, part in zip(("train", "test"), parts, strict=True)
    )
    # After the samples: a coding that does not fit leaves nothing behind.
    for name, part in zip(("features-train", "features-test"), parts, strict=True):
        folder.made(
            name,
            SAMPLES,
            lambda part=part: part,  # type: ignore[misc]
            recipe={"content": recipe["content"]},
        )
    return train, test


@dataclass(frozen=True, eq=False, kw_only=True)
class Drawn:
    """What the stage makes before it solves anything."""

    train: Made[SpikeDataset]
    test: Made[SpikeDataset]
    rows: Rows
    branches: Made[Branches]
    dictionary: Made[SpikeDictionary]


def dictionary_stage(
    folder: RunFolder,
    settings: SolveSettings,
    progress: Progress = QUIET,
    *,
    executor: Executor = THREADS,
) -> Drawn:
    """Run `solve_stage` up to the spike dictionary, which settings of the solver share.

    Parameters
    ----------
    folder, settings, progress, executor
        As for `solve_stage`.

    Raises
    ------
    InputError, FormatError
        If data or settings do not fit.
    ArtefactError
        If the folder cannot be written.
    """
    progress.begin("encoding samples")
    train, test = encode_data(folder, settings)
    rows = distinct_rows(train.value, settings.readout_mode)
    branches, dictionary = _dictionary(folder, settings, rows, train, progress, executor)
    return Drawn(train=train, test=test, rows=rows, branches=branches, dictionary=dictionary)


def solve_stage(
    folder: RunFolder,
    settings: SolveSettings,
    progress: Progress = QUIET,
    *,
    executor: Executor = THREADS,
) -> SolveResult:
    """Run the stage; what is current is reused, so an interrupted run goes on where it was.

    Parameters
    ----------
    folder : RunFolder
    settings : SolveSettings
    progress : Progress
    executor : Executor
        What builds the dictionary in chunks. The bytes are the same, whatever it is.

    Raises
    ------
    InputError, FormatError
        If data or settings do not fit.
    SolverError
        If the gap is not reached.
    ArtefactError
        If the folder cannot be written.
    """
    began = time.monotonic()
    drawn = dictionary_stage(folder, settings, progress, executor=executor)
    train, test, rows = drawn.train, drawn.test, drawn.rows
    branches, dictionary = drawn.branches, drawn.dictionary
    solved = _solved(folder, settings, drawn, progress)
    progress.begin("reconstructing and quantizing")
    network, card = _networks(folder, settings, train, branches, dictionary, solved)
    progress.begin("writing the certificate")
    certificate = _certificate(folder, settings, rows, train, test, dictionary, solved, network)
    if not card.reused:
        folder.time("solve", time.monotonic() - began, first=True)
    return SolveResult(
        train=train,
        test=test,
        dictionary=dictionary,
        solved=solved,
        network=network,
        card=card,
        certificate=certificate,
    )


def _solved(
    folder: RunFolder, settings: SolveSettings, drawn: Drawn, progress: Progress
) -> Made[SolvedProgram]:
    """Solve the convex program over the dictionary."""
    train, branches, dictionary = drawn.train, drawn.branches, drawn.dictionary
    return folder.made(
        "solution",
        SOLVED,
        lambda: solve_program(
            settings,
            pool_for(settings, train.value, drawn.rows, branches.value, dictionary.value),
            progress,
        ),
        parents={"train": train, "branches": branches, "dictionary": dictionary},
        recipe=settings.recipe(
            "loss",
            "max_neurons",
            "selection_rho",
            "rhos",
            "cost",
            "readout_bits",
            "tolerance",
            "seed",
        ),
    )


def _dictionary(
    folder: RunFolder,
    settings: SolveSettings,
    rows: Rows,
    train: Made[SpikeDataset],
    progress: Progress,
    executor: Executor,
) -> tuple[Made[Branches], Made[SpikeDictionary]]:
    """Make the witnesses, and the dictionary of what they do."""
    progress.begin("drawing witnesses")
    branches = folder.made(
        "branches",
        BRANCHES,
        lambda: witnesses_for(settings, train.value, rows, progress),
        parents={"train": train},
        recipe=settings.recipe(
            "n_witnesses",
            "fan_in",
            "depth",
            "hidden",
            "alphabet",
            "pricing_rounds",
            "selection_rho",
            "cost",
            "readout_mode",
            "seed",
        ),
    )
    progress.begin("building the spike dictionary")
    dictionary = folder.made(
        "dictionary",
        DICTIONARY,
        lambda: build_dictionary(
            branches.value,
            train.value,
            settings.readout_mode,
            rows=rows,
            executor=executor,
            progress=lambda done, of: progress.advance(f"{done} of {of} chunks"),
        ),
        parents={"train": train, "branches": branches},
        recipe=settings.recipe("readout_mode"),
    )
    return branches, dictionary


def _networks(
    folder: RunFolder,
    settings: SolveSettings,
    train: Made[SpikeDataset],
    branches: Made[Branches],
    dictionary: Made[SpikeDictionary],
    solved: Made[SolvedProgram],
) -> tuple[Made[Network], Made[FixedPointNetwork]]:
    """Make the reconstructed network, and its card with the certificate's figures."""
    network = folder.made(
        "network",
        NETWORK,
        lambda: reconstruct(
            branches.value,
            dictionary.value.restricted(solved.value.columns),
            solved.value.W,
            n_steps=train.value.n_steps,
            input_bits=train.value.input_bits,
            readout_mode=settings.readout_mode,
        ),
        parents={"branches": branches, "dictionary": dictionary, "solution": solved},
    )
    card = folder.made(
        "card",
        CARD,
        lambda: quantize(
            network.value, bits=settings.readout_bits, certificate=solved.value.figures
        ),
        parents={"network": network, "solution": solved},
        recipe=settings.recipe("readout_bits"),
    )
    return network, card


def _certificate(
    folder: RunFolder,
    settings: SolveSettings,
    rows: Rows,
    train: Made[SpikeDataset],
    test: Made[SpikeDataset],
    dictionary: Made[SpikeDictionary],
    solved: Made[SolvedProgram],
    network: Made[Network],
) -> Made[Certificate]:
    """Make the artefact that `convexon.certify.check` rechecks."""
    return folder.made(
        "certificate",
        CERTIFICATE,
        lambda: certificate_for(
            settings,
            rows=rows,
            test=test.value,
            dictionary=dictionary.value,
            solved=solved.value,
            network=network.value,
        ),
        parents={
            "train": train,
            "test": test,
            "dictionary": dictionary,
            "solution": solved,
            "network": network,
        },
        recipe=settings.recipe("readout_bits", "tolerance", "cost"),
    )
