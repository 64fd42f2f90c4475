"""A small classification problem, and settings under which the whole chain takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from convexon.data.coding import Coding

from convexon.data.samples import Samples
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
    features, labels = toy_arrays()
    return Samples(features=features, labels=labels, n_classes=len(SAMPLES_OF_CLASS), name="toy")


def toy_file(folder: Path) -> Path:
    """The problem as an npz file in ``folder``."""
    features, labels = toy_arrays()
    np.savez(folder / "toy.npz", features=features, labels=labels)
    return folder / "toy.npz"


def toy_settings(data: Path, **changes: Any) -> SolveSettings:
    """Few witnesses of small fan-in over few steps, unless ``changes`` say otherwise."""
    members: dict[str, Any] = {
        "data": str(data),
        "coding": Coding.THRESHOLD,
        "n_steps": 5,
        "n_witnesses": 60,
        "fan_in": 3,
        "max_neurons": 12,
        "rhos": (0.01, 0.003),
    }
    return SolveSettings(**{**members, **changes})
