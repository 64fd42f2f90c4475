"""Bring a network that was not solved here into a run folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from convexon.data.dataset import DATASET
from convexon.data.samples import SAMPLES, Samples
from convexon.errors import InputError
from convexon.flow.network.readout import with_readout
from convexon.flow.network.solve import Solved
from convexon.flow.run import Keeper, Run
from convexon.interop.importers import ReadingSettings, importer_for
from convexon.quantizer.record import QUANTIZATION, QuantizationRecord, record_of
from convexon.quantizer.settings import HiddenSettings, InputSettings
from convexon.quantizer.trained import Trained, quantize_trained
from convexon.snn.card import CARD
from convexon.snn.models.real import RealNetwork
from convexon.snn.network import FixedPointNetwork
from convexon.store.untrusted import printable

CALIBRATION_SEED = 0
"""Seed of the split of labelled samples into those that calibrate and those that test."""


@dataclass(frozen=True, kw_only=True)
class BringSettings:
    """What is chosen of a network of real numbers: how it is read, quantized, and fed."""

    reading: ReadingSettings = field(default_factory=ReadingSettings)
    hidden: HiddenSettings = field(default_factory=HiddenSettings)
    inputs: InputSettings = field(default_factory=InputSettings)


def bring(
    run: Run,
    file: Path,
    *,
    kind: str | None = None,
    samples: Samples | None = None,
    settings: BringSettings | None = None,
) -> list[str]:
    """Keep the network of ``file`` as the card of ``run``, and samples as its test samples.

    A network of real numbers is quantized first. Its samples calibrate that; of labelled ones the
    share that ``solve`` would hold out too is kept for the test.

    Returns
    -------
    list of str
        Lines with the figures that matter.

    Raises
    ------
    ConvexonError
        If the file holds no network, the samples do not fit it, or the folder has a card already.
    """
    if run.has("card"):
        raise InputError(f"{run.path} has a network already: choose another folder")
    chosen = settings or BringSettings()
    network = importer_for(file, kind).read(file, chosen.reading)
    recipe = {"file": printable(file.name)}
    found: _Found | None = None
    if isinstance(network, RealNetwork):
        found = _quantized(run, network, samples, chosen, recipe)
        network, samples = found.card, found.test
    told = "" if samples is None else f", {samples.n_samples} test samples"
    if found is None or not found.is_kept:
        if samples is not None:
            _keep_test(run, network, samples, recipe)
        run.keep("card", CARD, network, parents={}, recipe=recipe)
    if found is not None:
        parents = {"card": run.read("card", CARD).record.digest}
        run.keep("quantization", QUANTIZATION, found.record, parents=parents, recipe=recipe)
    brought = (
        f"import: {network.n_neurons} neurons, {network.n_synapses} synapses, "
        f"{network.n_steps} steps{told}, {run.file('card')}"
    )
    return [*(f"quantize: {line}" for line in ([] if found is None else found.lines)), brought]


def quantized(
    file: Path,
    samples: Samples,
    *,
    kind: str | None,
    reading: ReadingSettings,
    hidden: HiddenSettings,
    inputs: InputSettings,
) -> tuple[Trained, list[str]]:
    """Quantize the network of ``file`` on ``samples``, and return it with the lines that tell it.

    Raises
    ------
    ConvexonError
        If the file holds no network of real numbers, or the samples do not fit it.
    """
    real = importer_for(file, kind).read(file, reading)
    if not isinstance(real, RealNetwork):
        raise InputError(f"{file} holds integers already: bring them by convexon import")
    trained = quantize_trained(real, samples, settings=hidden, inputs=inputs)
    trained, solved = with_readout(Keeper(), trained, samples, hidden)
    return trained, _lines(trained, solved)


def _lines(trained: Trained, solved: Solved | None) -> list[str]:
    told = [] if solved is None else [solved.summary, *solved.certificate_lines]
    return [trained.real.origin, *trained.lines(), *told]


def _keep_test(
    run: Run, network: FixedPointNetwork, samples: Samples, recipe: dict[str, str]
) -> None:
    if network.interface is None:
        raise InputError("data must be left out: the card does not say how samples are encoded")
    named = samples.named_as(network.interface.classes)
    data = named.encoded(network.interface, n_steps=network.n_steps, bits=network.input_bits)
    run.keep("samples-test", SAMPLES, named, parents={}, recipe=recipe)
    run.keep("test", DATASET, data, parents={}, recipe=recipe)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Found:
    """What quantization left; ``is_kept`` where a solved readout has put card and samples down."""

    card: FixedPointNetwork
    test: Samples | None
    record: QuantizationRecord
    lines: list[str]
    is_kept: bool


def _quantized(
    run: Run,
    real: RealNetwork,
    samples: Samples | None,
    settings: BringSettings,
    recipe: dict[str, str],
) -> _Found:
    """Quantize, on the samples that are not held out for the test."""
    if samples is None:
        raise InputError(
            "data must be given: a network of real numbers is quantized by its spikes on samples"
        )
    calibrate, test = samples, None
    if samples.labels is not None:
        calibrate, test = samples.split(seed=CALIBRATION_SEED)
    trained = quantize_trained(real, calibrate, settings=settings.hidden, inputs=settings.inputs)
    trained, solved = with_readout(
        run, trained, calibrate, settings.hidden, test=test, recipe=recipe
    )
    found, compared = trained.calibration, "calibration samples"
    lines = _lines(trained, solved)
    if test is not None:
        found, compared = trained.compare(test), "test samples"
        lines.append(
            f"on {test.n_samples} test samples: accuracy {found.integer:.2%}, {found.real:.2%} in "
            f"real numbers; {found.same:.2%} of the decisions are the same"
        )
    return _Found(
        card=trained.card,
        test=test,
        record=record_of(trained, found, compared),
        lines=lines,
        is_kept=solved is not None,
    )
