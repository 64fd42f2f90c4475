"""What an accelerator reads: encoded samples, or levels for its own encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.data.dataset import DATASET, SpikeDataset
from convexon.data.encoder import encode_transfers, transfers_of
from convexon.data.loading import load_samples
from convexon.data.samples import SAMPLES
from convexon.errors import ArtefactError, InputError
from convexon.flow.run import Made, Run
from convexon.plan.mapping import Mapping
from convexon.snn.card import CARD
from convexon.snn.interface import Interface
from convexon.snn.network import FixedPointNetwork

SETS = ("train", "test")
"""Samples of a run folder, by name; any other name is that of a file with new ones."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Stimulus:
    """Samples as the host hands them over, and as the network reads them.

    Members
    -------
    transfers : uint8 array, shape (samples, transfers, inputs)
        T steps of each sample, or its levels in 1 transfer.
    inputs : uint8 array, shape (samples, steps, inputs)
        What the network reads: the same, or what the encoder makes of the levels.
    labels : int64 array, shape (samples,) or (samples, steps), or None
        Classes; None where they are not known.
    origins : mapping of str to Made
        Artefacts that this was made of, by role.
    """

    transfers: npt.NDArray[np.uint8]
    inputs: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64] | None
    origins: dict[str, Made[Any]]


def stimulus_of(folder: Run, mapping: Mapping, name: str = "test") -> Stimulus:
    """Return samples for an accelerator under ``mapping``.

    Levels are the nearest ones of the features before encoding. An encoder on chip makes the same
    steps of them as `convexon.snn.coding` made of the features only where those are levels;
    elsewhere spikes differ, and what the hardware is compared with is the network on the chip's own
    steps.

    Parameters
    ----------
    folder : Run
    mapping : Mapping
    name : str
        One of `SETS`, or a file with raw samples, labelled or not.

    Raises
    ------
    ArtefactError
        If the folder or the file lacks the samples.
    InputError
        If raw samples are needed, and the card says nothing of them or they do not fit it.
    """
    card = folder.read("card", CARD)
    if name not in SETS:
        return _new_samples(card.value, mapping, name)
    if not folder.has(name):
        raise ArtefactError(
            f"{folder.file(name)} is missing: run `convexon solve {folder.path}` first, or "
            "import the network with --data"
        )
    samples = folder.read(name, DATASET)
    if not of_card(card, samples):
        raise ArtefactError(
            f"{folder.file(name)} is of another solve than {folder.file('card')}: "
            f"run `convexon solve {folder.path}` again"
        )
    if mapping.encoder is None:
        inputs = samples.value.inputs
        return Stimulus(
            transfers=inputs, inputs=inputs, labels=samples.value.labels, origins={name: samples}
        )
    raw = folder.read(f"samples-{name}", SAMPLES)
    if samples.record.parents.get("samples", raw.record.digest) != raw.record.digest:
        raise ArtefactError(
            f"{folder.file(f'samples-{name}')} is of another solve than {folder.file(name)}: "
            f"run `convexon solve {folder.path}` again"
        )
    return _of_levels(
        card.value,
        mapping,
        raw.value.values,
        labels=samples.value.labels,
        origins={name: samples, f"samples-{name}": raw},
    )


def of_card(card: Made[FixedPointNetwork], data: Made[SpikeDataset]) -> bool:
    """Whether samples were encoded for this card, and split off as its own were."""
    network, own = card.value, card.record.parents.get("samples")
    shape = (network.n_steps, network.n_inputs, network.input_bits)
    coding = data.record.recipe.get("settings", {}).get("coding")
    interface = network.interface
    return (
        data.record.parents.get("reference", own) == own
        and (data.value.n_steps, data.value.n_inputs, data.value.input_bits) == shape
        and (coding is None or interface is None or coding == interface.coding)
    )


def _new_samples(network: FixedPointNetwork, mapping: Mapping, file: str) -> Stimulus:
    """Samples of a file; labels must be classes that the network knows."""
    interface = _interface_of(network)
    found = load_samples(file, n_steps=network.n_steps)
    labels = None if found.labels is None else found.named_as(interface.classes).labels
    if mapping.encoder is not None:
        return _of_levels(network, mapping, found.values, labels=labels, origins={})
    inputs = network.encode(found.values)
    return Stimulus(transfers=inputs, inputs=inputs, labels=labels, origins={})


def _of_levels(
    network: FixedPointNetwork,
    mapping: Mapping,
    values: npt.NDArray[np.generic],
    *,
    labels: npt.NDArray[np.int64] | None,
    origins: dict[str, Made[Any]],
) -> Stimulus:
    """Raw samples as levels, and what the encoder on chip makes of them."""
    encoder = mapping.encoder
    assert encoder is not None  # noqa: S101  (both callers know)
    transfers = transfers_of(encoder, _interface_of(network), values)
    inputs = encode_transfers(encoder, transfers, n_steps=network.n_steps)
    return Stimulus(transfers=transfers, inputs=inputs, labels=labels, origins=origins)


def _interface_of(network: FixedPointNetwork) -> Interface:
    if network.interface is None:
        raise InputError(
            "the card does not say how raw samples are encoded: run `convexon solve` again"
        )
    return network.interface
