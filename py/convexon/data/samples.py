"""Labelled samples before encoding, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from convexon.data.coding import Coding, encode, finite, scaled_to_unit
from convexon.data.dataset import SpikeDataset, check_labels
from convexon.errors import ArtefactError, InputError
from convexon.store.artefact import Arrays, Codec, Json, read_npz

TEST_SHARE = 0.3
"""Share of the samples that is held out for the test."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Samples:
    """Features with classes; features must lie in [0, 1] to be encoded.

    Members
    -------
    features : float64 array, shape (samples, inputs)
    labels : int64 array, shape (samples,)
    n_classes : int
    name : str
    """

    features: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int64]
    n_classes: int
    name: str

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or 0 in self.features.shape:
            raise InputError(
                f"features must have shape (samples, inputs), not {self.features.shape}"
            )
        labels = check_labels(self.labels, shape=self.features.shape[:1], n_classes=self.n_classes)
        object.__setattr__(self, "labels", labels)

    def take(self, indices: npt.NDArray[np.intp], suffix: str) -> Samples:
        """Return the samples at ``indices``, the name extended by ``suffix``."""
        return Samples(
            features=self.features[indices],
            labels=self.labels[indices],
            n_classes=self.n_classes,
            name=f"{self.name}, {suffix}",
        )

    def split(self, share: float, *, seed: int, names: tuple[str, str]) -> tuple[Samples, Samples]:
        """Split off ``share`` of every class at random; returns the rest and the share."""
        generator = np.random.default_rng(seed)
        held: list[npt.NDArray[np.intp]] = []
        for c in range(self.n_classes):
            members = generator.permutation(np.flatnonzero(self.labels == c))
            count = min(max(1, round(share * len(members))), len(members) - 1)
            if len(members) < 2:
                raise InputError(f"class {c} must have 2 or more samples to be split, not 1")
            held.append(members[:count])
        mask = np.zeros(len(self.labels), dtype=bool)
        mask[np.concatenate(held)] = True
        return (
            self.take(np.flatnonzero(~mask), names[0]),
            self.take(np.flatnonzero(mask), names[1]),
        )

    def scaled_like(self, reference: Samples) -> Samples:
        """Return the samples scaled to [0, 1] by the features of ``reference``: the training's."""
        features = scaled_to_unit(self.features, reference=reference.features)
        return replace(self, features=features)

    def encoded(self, *, coding: Coding, n_steps: int, bits: int) -> SpikeDataset:
        """Encode the features (`convexon.data.coding.encode`)."""
        return SpikeDataset(
            inputs=encode(self.features, coding=coding, n_steps=n_steps, bits=bits),
            labels=self.labels,
            n_classes=self.n_classes,
            input_bits=bits,
            name=f"{self.name}, {coding.value} coding, {n_steps} steps",
        )


def digits() -> Samples:
    """Load scikit-learn's embedded handwritten digits: 1,797 images of 8x8 pixels, 10 classes."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return Samples(
        features=images / 16.0, labels=labels.astype(np.int64), n_classes=10, name="digits 8x8"
    )


def from_file(path: Path) -> Samples:
    """Load an npz file with ``features`` (samples, inputs) and ``labels`` (samples,).

    Raises
    ------
    ArtefactError
        If the file is missing or not an npz with these arrays.
    InputError
        If a feature is NaN or infinite, shapes differ, labels are no classes, or a class is empty.
    """
    try:
        arrays = read_npz(path, ("features", "labels"))
    except FileNotFoundError:
        raise ArtefactError(f"{path} is missing: give an npz with features and labels") from None
    except KeyError as error:
        raise ArtefactError(f"{path} must hold features and labels: {error}") from None
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{path} is not a readable npz file: {error}") from error
    features, labels = arrays["features"], arrays["labels"]
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels):
        raise InputError(
            f"labels must be integers of shape (samples,), not {labels.dtype} of {labels.shape}"
        )
    return Samples(
        features=finite(features),
        labels=labels,
        n_classes=max(2, int(labels.max()) + 1),
        name=path.stem,
    )


def _encode(samples: Samples) -> tuple[Json, Arrays]:
    content: Json = {"name": samples.name, "n_classes": samples.n_classes}
    return content, {"features": samples.features, "labels": samples.labels}


def _decode(content: Json, arrays: Arrays) -> Samples:
    return Samples(
        features=arrays["features"],
        labels=arrays["labels"],
        n_classes=content["n_classes"],
        name=content["name"],
    )


SAMPLES = Codec("convexon.samples", 1, _encode, _decode)
"""File form of `Samples`."""
