"""A small classification problem, and settings under which the whole chain takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from convexon.data.dataset import SpikeDataset
from convexon.data.samples import Samples
from convexon.snn.coding import THRESHOLD
from convexon.snn.interface import Interface
from convexon.train.settings import SolveSettings

SAMPLES_OF_CLASS = (40, 36, 32)
N_INPUTS = 8


def toy_arrays() -> tuple[np.ndarray, np.ndarray]:
    """Features in [0, 1] around a centre for each of three classes, and the labels."""
    rng = np.random.default_rng(7)
    labels = np.repeat(np.arange(len(SAMPLES_OF_CLASS)), SAMPLES_OF_CLASS)
    centres = rng.random((len(SAMPLES_OF_CLASS), N_INPUTS))
    noise = rng.normal(0.0, 0.18, (len(labels), N_INPUTS))
    return np.clip(centres[labels] + noise, 0.0, 1.0), labels


def toy_samples() -> Samples:
    """The problem as samples."""
    return Samples.of(*toy_arrays(), name="toy")


def toy_spikes(*, n_steps: int) -> SpikeDataset:
    """The problem in threshold coding."""
    samples = toy_samples()
    interface = Interface.fitted(samples.values, coding=THRESHOLD, classes=samples.classes)
    return samples.encoded(interface, n_steps=n_steps, bits=1)


def toy_file(folder: Path) -> Path:
    """The problem as an npz file in ``folder``."""
    features, labels = toy_arrays()
    np.savez(folder / "toy.npz", features=features, labels=labels)
    return folder / "toy.npz"


def toy_settings(**changes: Any) -> SolveSettings:
    """Few witnesses of small fan-in over few steps, unless ``changes`` say otherwise.

    Features are spikes and witnesses differences, as of images: small hardware.
    """
    members: dict[str, Any] = {
        "coding": THRESHOLD,
        "guide": "difference",
        "steps": 5,
        "witnesses": 60,
        "fan_in": 3,
        "max_neurons": 12,
        "rho": (0.01, 0.003),
    }
    return SolveSettings(**{**members, **changes})
