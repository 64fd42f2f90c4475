"""Raw samples, labelled or not, and where they come from."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.data.dataset import SpikeDataset
from convexon.data.split import stratified
from convexon.errors import ArtefactError, InputError
from convexon.snn.coding import finite
from convexon.snn.interface import ClassName, Interface
from convexon.store.artefact import array_digest, digest_of, read_npz
from convexon.store.codec import Codec

TEST_SHARE = 0.3
"""Share of the samples that is held out for the test."""

EMBEDDED = "digits"
"""Name of the embedded samples, in place of a file's."""

ARRAYS = ("features", "spikes", "labels")
"""Arrays of an npz file with samples: ``features`` or ``spikes``, and ``labels``."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Samples:
    """Raw samples with their classes.

    Members
    -------
    values : array of numbers, shape (samples, ...)
        Features, images, series, or spikes, as they came in.
    labels : int64 array, shape (samples,), or None
        Classes by their place in ``classes``; None where there are none.
    classes : name of each class
    are_spikes : whether the values are spikes or intensities, step by step, which no coding is to
        change

    Raises
    ------
    InputError
        If there is no sample, a value is no finite number, or labels and classes do not fit.
    """

    values: npt.NDArray[np.generic]
    labels: npt.NDArray[np.int64] | None
    classes: tuple[ClassName, ...]
    name: str
    are_spikes: bool = False

    def __post_init__(self) -> None:
        shape = self.values.shape
        if len(shape) < 2 or 0 in shape:
            raise InputError(f"samples must have shape (samples, features), none 0, not {shape}")
        if self.values.dtype.kind not in "biuf":
            raise InputError(f"samples must be numbers, not {self.values.dtype}")
        if self.values.dtype.kind == "f":
            finite(self.values, "samples")  # said by the user's own counting, before any split
        labels = self.labels
        if labels is None:
            return
        if labels.shape != shape[:1]:
            raise InputError(f"labels must have shape {shape[:1]}, not {labels.shape}")
        if labels.min() < 0 or labels.max() >= len(self.classes):
            raise InputError(f"labels must lie in 0..{len(self.classes) - 1}")

    @classmethod
    def of(
        cls,
        values: npt.ArrayLike,
        labels: npt.ArrayLike | None = None,
        *,
        name: str = "samples",
        classes: tuple[ClassName, ...] | None = None,
    ) -> Samples:
        """Return samples whose labels may be anything that can be told apart.

        Parameters
        ----------
        values : array, shape (samples, ...)
        labels : array, shape (samples,), optional
            Numbers or texts, one a sample.
        classes : names that the labels are of; those that occur, in order, where None

        Raises
        ------
        InputError
            If shapes differ, labels are real numbers, or a label is none of ``classes``.
        """
        x = np.asarray(values)
        if labels is None:
            return cls(values=x, labels=None, classes=classes or (), name=name)
        names = _of_one_kind(np.asarray(labels))
        if names.ndim != 1 or names.dtype.kind not in "biufU" or len(names) != len(x):
            raise InputError(
                f"labels must have shape ({len(x)},), a number or a text a sample, not "
                f"{names.dtype} of {names.shape}"
            )
        if names.dtype.kind == "f":
            if not (np.isfinite(names) & (names == np.rint(names))).all():
                raise InputError(
                    "labels must be classes, not real numbers: round them, or bin them"
                )
            names = names.astype(np.int64)
        kept = classes or tuple(np.unique(names).tolist())
        place = {each: k for k, each in enumerate(kept)}
        try:
            numbers = [place[each] for each in names.tolist()]
        except (KeyError, TypeError) as error:
            told = ", ".join(str(each) for each in kept[:8])
            raise InputError(f"labels must be of the classes {told}, not {error}") from None
        return cls(values=x, labels=np.array(numbers, dtype=np.int64), classes=kept, name=name)

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return int(self.values.shape[0])

    @property
    def digest(self) -> str:
        """Hash of values, labels and names of classes: what a file holds counts, not its name."""
        labels = None if self.labels is None else array_digest(self.labels)
        return digest_of([array_digest(self.values), labels, self.classes])

    def take(self, indices: npt.NDArray[np.intp], suffix: str) -> Samples:
        """Return the samples at ``indices``, the name extended by ``suffix``."""
        labels = None if self.labels is None else self.labels[indices]
        name = f"{self.name}, {suffix}"
        return replace(self, values=self.values[indices], labels=labels, name=name)

    def split(self, *, seed: int, share: float = TEST_SHARE) -> tuple[Samples, Samples]:
        """Split off ``share`` of every class for the test; returns training and test samples.

        Raises
        ------
        InputError
            If there are no labels, or a class has a single sample.
        """
        classes, counts = np.unique(self.known_labels, return_counts=True)
        if counts.min() < 2:
            alone = self.classes[int(classes[counts.argmin()])]
            raise InputError(f"class {alone} must have 2 or more samples to be split, not 1")
        kept, held = stratified(self.known_labels, share, seed=seed)
        return self.take(kept, "train"), self.take(held, "test")

    @property
    def known_labels(self) -> npt.NDArray[np.int64]:
        """The labels; raises `InputError` where there are none."""
        if self.labels is None:
            raise InputError(f"labels must be given: {self.name} has none")
        return self.labels

    def named_as(self, classes: tuple[ClassName, ...]) -> Samples:
        """Return the samples with labels by the places of their names in ``classes``.

        Raises
        ------
        InputError
            If there are no labels, or one is none of ``classes``.
        """
        names = np.array([self.classes[label] for label in self.known_labels], dtype=object)
        named = Samples.of(self.values, names, name=self.name, classes=classes)
        return replace(named, are_spikes=self.are_spikes)

    def encoded(self, interface: Interface, *, n_steps: int, bits: int) -> SpikeDataset:
        """Encode labelled samples for a network with this interface."""
        return SpikeDataset(
            inputs=interface.encode(self.values, n_steps=n_steps, bits=bits),
            labels=self.known_labels,
            n_classes=max(2, len(self.classes)),
            input_bits=bits,
            name=f"{self.name}, {interface.coding} coding, {n_steps} steps",
        )


def _of_one_kind(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Labels that came as objects, as a column of a table has them, in an array of their type."""
    if labels.dtype.kind != "O":
        return labels
    plain = [each.item() if isinstance(each, np.generic) else each for each in labels.ravel()]
    kinds = {type(each) for each in plain}
    if kinds and (len(kinds) > 1 or not kinds <= {bool, int, float, str}):
        other = next((each for each in plain if type(each) is not type(plain[0])), plain[0])
        raise InputError(f"labels must be all numbers or all texts, not {plain[0]!r} and {other!r}")
    return np.array(plain).reshape(labels.shape)


def load_samples(source: str) -> Samples:
    """Load the embedded digits, or an npz file; see `from_file`."""
    return digits() if source == EMBEDDED else from_file(Path(source))


def digits() -> Samples:
    """Load scikit-learn's embedded handwritten digits: 1,797 images of 8x8 pixels, 10 classes."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return Samples.of(images.reshape(-1, 8, 8) / 16.0, labels.astype(np.int64), name="digits 8x8")


def from_file(path: Path) -> Samples:
    """Load an npz file with ``features`` or ``spikes``, and ``labels`` where they are known.

    Raises
    ------
    ArtefactError
        If the file is missing or not an npz with these arrays.
    InputError
        If a value is NaN or infinite, or shapes differ.
    """
    told = f"give an npz with {' or '.join(ARRAYS[:2])}, and {ARRAYS[2]}"
    if not path.is_file():
        raise ArtefactError(f"{path} is missing: {told}")
    if not zipfile.is_zipfile(path):
        kind = "damaged" if path.suffix == ".npz" else f"a {path.suffix or 'file'}"
        raise ArtefactError(f"{path} is {kind} and no npz: {told}")
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in ARRAYS if f"{name}.npy" in archive.namelist()]
        arrays = read_npz(path, names)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ArtefactError(f"{path} is not a readable npz file: {error}") from error
    kinds = [name for name in names if name != ARRAYS[2]]
    if len(kinds) != 1:
        raise ArtefactError(f"{path} must hold one of features and spikes: {told}")
    found = Samples.of(arrays[kinds[0]], arrays.get(ARRAYS[2]), name=path.stem)
    return replace(found, are_spikes=kinds[0] == ARRAYS[1])


SAMPLES: Codec[Samples] = Codec(Samples, "convexon.samples", 3, made_by="convexon solve")
"""File form of `Samples`."""
