"""Bring a network that was not solved here into a run folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from convexon.data.dataset import DATASET
from convexon.data.samples import SAMPLES, Samples
from convexon.errors import InputError
from convexon.flow.run import Run
from convexon.interop.importers import ReadingSettings, importer_for
from convexon.quantizer.settings import HiddenSettings, InputSettings
from convexon.quantizer.trained import quantize_trained
from convexon.snn.card import CARD
from convexon.snn.network import FixedPointNetwork
from convexon.snn.real import RealNetwork
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
    lines: list[str] = []
    if isinstance(network, RealNetwork):
        network, samples, lines = _quantized(network, samples, chosen)
    told = ""
    if samples is not None:
        if network.interface is None:
            raise InputError("data must be left out: the card does not say how samples are encoded")
        named = samples.named_as(network.interface.classes)
        data = named.encoded(network.interface, n_steps=network.n_steps, bits=network.input_bits)
        run.keep("samples-test", SAMPLES, named, parents={}, recipe=recipe)
        run.keep("test", DATASET, data, parents={}, recipe=recipe)
        told = f", {data.n_samples} test samples"
    run.keep("card", CARD, network, parents={}, recipe=recipe)
    brought = (
        f"import: {network.n_neurons} neurons, {network.n_synapses} synapses, "
        f"{network.n_steps} steps{told}, {run.file('card')}"
    )
    return [*(f"quantize: {line}" for line in lines), brought]


def _quantized(
    real: RealNetwork, samples: Samples | None, settings: BringSettings
) -> tuple[FixedPointNetwork, Samples | None, list[str]]:
    """Return the integers, the samples that are left for the test, and what quantization did."""
    if samples is None:
        raise InputError(
            "data must be given: a network of real numbers is quantized by its spikes on samples"
        )
    calibrate, test = samples, None
    if samples.labels is not None:
        calibrate, test = samples.split(seed=CALIBRATION_SEED)
    trained = quantize_trained(real, calibrate, settings=settings.hidden, inputs=settings.inputs)
    lines = [real.origin, *trained.lines()]
    if test is not None:
        found = trained.compare(test)
        lines.append(
            f"on {test.n_samples} test samples: accuracy {found.integer:.2%}, {found.real:.2%} in "
            f"real numbers; {found.same:.2%} of the decisions are the same"
        )
    return trained.card, test, lines
