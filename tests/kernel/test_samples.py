"""Samples: the embedded digits, files of users, and splits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from convexon.data.coding import Coding

from convexon.data.samples import Samples, digits, from_file
from convexon.errors import ArtefactError, InputError


def samples(**changes: Any) -> Samples:
    members = {
        "features": np.linspace(0, 1, 24).reshape(12, 2),
        "labels": np.arange(12) % 3,
        "n_classes": 3,
        "name": "twelve",
    }
    return Samples(**{**members, **changes})


def test_digits_are_the_whole_embedded_set() -> None:
    data = digits()
    assert data.features.shape == (1797, 64)
    assert (data.features.min(), data.features.max()) == (0.0, 1.0)
    assert np.bincount(data.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_split_takes_its_share_of_every_class_and_no_sample_twice() -> None:
    data = digits()
    train, test = data.split(0.3, seed=7, names=("train", "test"))
    whole = {row.tobytes() for row in data.features}
    parts = [{row.tobytes() for row in part.features} for part in (train, test)]
    assert len(train.features) + len(test.features) == 1797
    assert parts[0] | parts[1] == whole
    assert not parts[0] & parts[1]
    for c in range(10):
        assert (test.labels == c).sum() == round(0.3 * (data.labels == c).sum())
    assert (train.name, test.name) == ("digits 8x8, train", "digits 8x8, test")


def test_split_depends_on_its_seed_alone() -> None:
    names = ("a", "b")
    first, again = (samples().split(0.5, seed=1, names=names)[1] for _ in range(2))
    assert np.array_equal(first.features, again.features)
    others = [samples().split(0.5, seed=seed, names=names)[1].features for seed in range(2, 6)]
    assert not all(np.array_equal(first.features, other) for other in others)


def test_split_leaves_every_class_a_sample_on_both_sides() -> None:
    for share in (0.01, 0.99):
        for part in samples().split(share, seed=0, names=("a", "b")):
            assert set(part.labels.tolist()) == {0, 1, 2}


def test_class_of_one_sample_cannot_be_split() -> None:
    data = samples(labels=np.array([0] * 6 + [1] * 5 + [2]))
    message = "class 2 must have 2 or more samples to be split, not 1"
    with pytest.raises(InputError, match=f"^{message}$"):
        data.split(0.3, seed=0, names=("a", "b"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": np.zeros(12)}, "features must have shape (samples, inputs), not (12,)"),
        ({"features": np.zeros((12, 0))}, "features must have shape (samples, inputs), not (12, 0"),
        ({"features": np.zeros((11, 2))}, "labels must have shape (11,), not (12,)"),
        ({"n_classes": 4}, "class 3 has no sample: give it some, or number the classes without"),
        ({"n_classes": 2}, "labels must lie in 0..1, not 2"),
    ],
)
def test_samples_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        samples(**changes)


def test_encoded_samples_keep_labels_and_say_how_they_were_made() -> None:
    data = samples().encoded(coding=Coding.INTENSITY, n_steps=3, bits=2)
    assert data.inputs.shape == (12, 3, 2)
    assert (data.input_bits, data.n_classes) == (2, 3)
    assert data.labels.tolist() == samples().labels.tolist()
    assert data.name == "twelve, intensity coding, 3 steps"


def test_samples_with_nan_are_refused_when_encoded() -> None:
    features = samples().features.copy()
    features[4, 1] = np.nan
    with pytest.raises(InputError, match=r"^features\[4, 1\] must be finite, not nan$"):
        samples(features=features).encoded(coding=Coding.THRESHOLD, n_steps=3, bits=1)


def file_with(folder: Path, **arrays: Any) -> Path:
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return path


GOOD = {"features": np.array([[0, 5], [10, 5], [5, 0]]), "labels": np.array([0, 1, 1])}


def test_file_of_a_user_is_scaled_to_one(tmp_path: Path) -> None:
    data = from_file(file_with(tmp_path, **GOOD))
    scaled = data.scaled_like(data).features
    assert scaled.tolist() == [[0.0, 0.5], [1.0, 0.5], [0.5, 0.0]]
    assert (data.labels.tolist(), data.n_classes, data.name) == ([0, 1, 1], 2, "data")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": [[0.0, np.nan], [1, 1], [1, 1]]}, "values[0, 1] must be finite, not nan"),
        ({"features": [[0.0, 1], [1, np.inf], [1, 1]]}, "values[1, 1] must be finite, not inf"),
        ({"features": [["a"], ["b"], ["c"]]}, "values must be numbers, not <U1"),
        ({"features": [0.0, 1, 2]}, "features must have shape (samples, inputs), not (3,)"),
        ({"features": np.zeros((0, 2))}, "features must have shape (samples, inputs), not (0, 2)"),
        ({"labels": [0, 1]}, "labels must have shape (3,), not (2,)"),
        ({"labels": [0.0, 1, 1]}, "labels must be integers of shape (samples,), not float64 of (3"),
        ({"labels": [[0, 1, 1]]}, "labels must be integers of shape (samples,), not int64 of (1, "),
        ({"labels": np.zeros(0, int)}, "labels must be integers of shape (samples,), not int64 of"),
        ({"labels": [0, 1, -1]}, "labels must lie in 0..1, not -1"),
        ({"labels": [0, 2, 2]}, "class 1 has no sample: give it some, or number the classes with"),
        ({"labels": [0, 0, 0]}, "class 1 has no sample: give it some, or number the classes with"),
        ({"labels": np.array([0, 1, 2**63], np.uint64)}, "class 2 has no sample: give it some, o"),
    ],
)
def test_file_that_does_not_fit_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = file_with(tmp_path, **{**GOOD, **changes})
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        from_file(path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.npz"
    message = f"{path} is missing: give an npz with features and labels"
    with pytest.raises(ArtefactError, match=f"^{re.escape(message)}$"):
        from_file(path)


def test_file_without_labels_is_refused(tmp_path: Path) -> None:
    path = file_with(tmp_path, features=GOOD["features"])
    message = f"{path} must hold features and labels: 'labels'"
    with pytest.raises(ArtefactError, match=f"^{re.escape(message)}$"):
        from_file(path)


def unreadable(path: Path) -> None:
    with pytest.raises(
        ArtefactError, match=f"^{re.escape(str(path))} is not a readable npz file: "
    ):
        from_file(path)


def test_every_truncation_of_a_file_is_refused(tmp_path: Path) -> None:
    path = file_with(tmp_path, **GOOD)
    whole = path.read_bytes()
    for length in range(0, len(whole), 11):
        path.write_bytes(whole[:length])
        unreadable(path)


def test_damaged_compressed_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez_compressed(path, **GOOD)
    content = bytearray(path.read_bytes())
    content[70:90] = b"\xff" * 20
    path.write_bytes(content)
    unreadable(path)


def test_other_kinds_of_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.npy"
    np.save(path, GOOD["features"])
    unreadable(path)
    path.write_text("features,labels\n")
    unreadable(path)
    unreadable(tmp_path)


def test_file_is_never_unpickled(tmp_path: Path) -> None:
    features = np.array([[{}], [{}], [{}]], dtype=object)
    unreadable(file_with(tmp_path, features=features, labels=GOOD["labels"]))
