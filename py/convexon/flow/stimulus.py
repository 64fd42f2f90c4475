"""What an accelerator reads in a run folder: encoded samples, or levels for its own encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.data.dataset import DATASET, SpikeDataset
from convexon.data.encoder import encode_levels
from convexon.data.samples import SAMPLES
from convexon.errors import InputError
from convexon.flow.run import Made, RunFolder
from convexon.plan.mapping import Mapping
from convexon.snn.card import CARD


@dataclass(frozen=True, eq=False, kw_only=True)
class Stimulus:
    """Samples as the host hands them over, and as the network reads them.

    Members
    -------
    transfers : uint8 array, shape (samples, transfers, inputs)
        T steps of each sample, or its levels in 1 transfer.
    inputs : uint8 array, shape (samples, steps, inputs)
        What the network reads: the same, or what the encoder makes of the levels.
    dataset : SpikeDataset
        The samples as ``solve`` encoded them, with their labels.
    origins : mapping of str to Made
        Artefacts that this was made of, by role.
    """

    transfers: npt.NDArray[np.uint8]
    inputs: npt.NDArray[np.uint8]
    dataset: SpikeDataset
    origins: dict[str, Made[Any]]


def stimulus_of(folder: RunFolder, mapping: Mapping, name: str = "test") -> Stimulus:
    """Return the samples ``name`` of ``folder`` for an accelerator under ``mapping``.

    Levels are the nearest ones of the features before encoding. An encoder on chip makes the same
    steps of them as `convexon.snn.coding` made of the features only where those are levels;
    elsewhere spikes differ, and what the hardware is compared with is the network on the chip's own
    steps.

    Raises
    ------
    ArtefactError
        If the folder lacks the samples.
    InputError
        If there is an encoder, and the card says nothing of raw samples.
    """
    samples = folder.read(name, DATASET)
    encoder = mapping.encoder
    if encoder is None:
        inputs = samples.value.inputs
        return Stimulus(
            transfers=inputs, inputs=inputs, dataset=samples.value, origins={name: samples}
        )
    raw = folder.read(f"samples-{name}", SAMPLES)
    card = folder.read("card", CARD)
    if card.value.interface is None:
        raise InputError("an encoder on chip needs a card that says how raw samples come in")
    levels = card.value.interface.levels(raw.value.values, bits=encoder.bits)
    return Stimulus(
        transfers=levels[:, None],
        inputs=encode_levels(encoder, levels, n_steps=samples.value.n_steps),
        dataset=samples.value,
        origins={name: samples, f"samples-{name}": raw},
    )
