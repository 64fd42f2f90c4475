"""Samples: the embedded digits, files of users, labels of any kind, and splits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convexon.data.samples import SAMPLES, Samples, digits, from_file, load_samples
from convexon.data.split import stratified
from convexon.errors import ArtefactError, InputError
from convexon.snn.coding import INTENSITY
from convexon.snn.interface import Interface
from convexon.store.artefact import load, save

VALUES = np.linspace(0, 1, 24).reshape(12, 2)


def samples(**changes: Any) -> Samples:
    members = {
        "values": VALUES,
        "labels": np.arange(12) % 3,
        "classes": (0, 1, 2),
        "name": "twelve",
    }
    return Samples(**{**members, **changes})


def test_digits_are_the_whole_embedded_set() -> None:
    for data in (digits(), load_samples("digits")):
        assert data.values.shape == (1797, 8, 8)
        assert (data.values.min(), data.values.max()) == (0.0, 1.0)
        counts = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
        assert np.bincount(data.labels).tolist() == counts
        assert data.classes == tuple(range(10))


# Splits


def test_split_takes_its_share_of_every_class_and_no_sample_twice() -> None:
    data = digits()
    train, test = data.split(seed=7)
    whole = {row.tobytes() for row in data.values}
    parts = [{row.tobytes() for row in part.values} for part in (train, test)]
    assert len(train.values) + len(test.values) == 1797
    assert parts[0] | parts[1] == whole
    assert not parts[0] & parts[1]
    for c in range(10):
        assert (test.labels == c).sum() == round(0.3 * (data.labels == c).sum())
    assert (train.name, test.name) == ("digits 8x8, train", "digits 8x8, test")


def test_split_depends_on_its_seed_alone() -> None:
    first, again = (samples().split(seed=1, share=0.5)[1] for _ in range(2))
    assert np.array_equal(first.values, again.values)
    others = [samples().split(seed=seed, share=0.5)[1].values for seed in range(2, 6)]
    assert not all(np.array_equal(first.values, other) for other in others)


def test_split_leaves_every_class_a_sample_on_both_sides() -> None:
    for share in (0.01, 0.99):
        for part in samples().split(seed=0, share=share):
            assert set(part.labels.tolist()) == {0, 1, 2}
            assert part.classes == (0, 1, 2)


def test_class_of_one_sample_cannot_be_split() -> None:
    data = samples(labels=np.array([0] * 6 + [1] * 5 + [2]), classes=("a", "b", "c"))
    with pytest.raises(InputError, match=r"^class c must have 2 or more samples to be split, not"):
        data.split(seed=0)


def test_what_has_no_labels_cannot_be_split() -> None:
    with pytest.raises(InputError, match=r"^labels must be given: twelve has none$"):
        samples(labels=None).split(seed=0)


def test_a_class_of_one_stays_where_a_split_may_leave_it() -> None:
    kept, held = stratified([0, 0, 0, 1], 0.9, seed=3)
    assert 3 in kept
    assert sorted([*kept, *held]) == [0, 1, 2, 3]
    assert len(held) == 2


# Labels


@pytest.mark.parametrize(
    ("labels", "classes", "numbers"),
    [
        ([3, 7, 3], (3, 7), [0, 1, 0]),
        ([-1, 1, -1], (-1, 1), [0, 1, 0]),
        (["dog", "cat", "dog"], ("cat", "dog"), [1, 0, 1]),
        (np.array(["dog", "cat", "dog"], dtype=object), ("cat", "dog"), [1, 0, 1]),
        ([True, False, True], (False, True), [1, 0, 1]),
        ([2.0, 0.0, 2.0], (0, 2), [1, 0, 1]),
        (np.array([9, 0, 9], np.uint8), (0, 9), [1, 0, 1]),
        ([0, 10**12, 0], (0, 10**12), [0, 1, 0]),
        ([5, 5, 5], (5,), [0, 0, 0]),
    ],
    ids=str,
)
def test_labels_may_be_anything_that_can_be_told_apart(
    labels: Any, classes: tuple[Any, ...], numbers: list[int]
) -> None:
    data = Samples.of(VALUES[:3], labels)
    assert data.classes == classes
    assert [type(name) for name in data.classes] == [type(name) for name in classes]
    assert data.labels.tolist() == numbers
    assert data.known_labels.dtype == np.int64


def test_samples_may_have_no_labels() -> None:
    data = Samples.of(VALUES)
    assert (data.labels, data.classes, data.n_samples) == (None, (), 12)
    with pytest.raises(InputError, match=r"^labels must be given: samples has none$"):
        _ = data.known_labels


def test_labels_are_numbered_by_the_classes_that_are_given() -> None:
    data = Samples.of(VALUES[:2], ["b", "b"], classes=("c", "b", "a"))
    assert data.labels.tolist() == [1, 1]
    message = "labels must be of the classes c, b, a, not 'd'"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        Samples.of(VALUES[:2], ["b", "d"], classes=("c", "b", "a"))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1], "labels must have shape (3,), a number or a text a sample, not int64 of (2,)"),
        ([[0], [1], [1]], "labels must have shape (3,), a number or a text a sample, not int64 o"),
        ([], "labels must have shape (3,), a number or a text a sample, not float64 of (0,)"),
        ([1j, 0, 1], "labels must have shape (3,), a number or a text a sample, not complex128"),
        ([0.5, 1.0, 1.0], "labels must be classes, not real numbers: round them, or bin them"),
        ([np.nan, 1.0, 1.0], "labels must be classes, not real numbers: round them, or bin them"),
        ([np.inf, 1.0, 1.0], "labels must be classes, not real numbers: round them, or bin them"),
    ],
    ids=str,
)
def test_labels_that_are_none_are_refused(labels: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        Samples.of(VALUES[:3], labels)


@pytest.mark.parametrize(
    "labels", [["a", None, "b"], ["a", 1, "b"], [{}, {}, {}], [[1], [2], [1]]], ids=str
)
def test_objects_that_are_no_names_are_refused(labels: list[Any]) -> None:
    objects = np.empty(3, dtype=object)
    objects[:] = labels
    with pytest.raises(InputError, match=r"^labels must be all numbers or all texts, not "):
        Samples.of(VALUES[:3], objects)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": np.zeros(12)}, "samples must have shape (samples, features), none 0, not (12,"),
        ({"values": np.zeros((12, 0))}, "samples must have shape (samples, features), none 0, not"),
        ({"values": np.array([["a"] * 2] * 12)}, "samples must be numbers, not <U1"),
        ({"values": np.zeros((11, 2))}, "labels must have shape (11,), not (12,)"),
        ({"classes": (0, 1)}, "labels must lie in 0..1"),
        ({"labels": np.arange(12) % 3 - 1}, "labels must lie in 0..2"),
    ],
)
def test_samples_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        samples(**changes)


# Digests


def test_the_digest_is_of_what_they_hold_and_not_of_their_name() -> None:
    own = samples().digest
    assert samples(name="other").digest == own
    assert samples(values=np.asfortranarray(VALUES)).digest == own
    changed = VALUES.copy()
    changed[0, 0] = 0.25
    others = [
        samples(values=changed),
        samples(values=VALUES.astype(np.float32)),
        samples(values=VALUES.reshape(12, 2, 1)),
        samples(labels=(np.arange(12) + 1) % 3),
        samples(labels=None),
        samples(classes=("a", "b", "c")),
    ]
    digests = {other.digest for other in others}
    assert len(digests) == len(others)
    assert own not in digests


def test_a_file_holds_the_samples_unchanged(tmp_path: Path) -> None:
    for k, data in enumerate((samples(classes=("a", "b", "c")), samples(labels=None, classes=()))):
        save(SAMPLES, data, tmp_path / f"{k}.json")
        again, _ = load(SAMPLES, tmp_path / f"{k}.json")
        assert again.values.dtype == data.values.dtype
        assert again.digest == data.digest
        assert (again.classes, again.name) == (data.classes, data.name)
    spikes = samples(values=np.ones((12, 2, 3), np.uint8))
    save(SAMPLES, spikes, tmp_path / "spikes.json")
    assert load(SAMPLES, tmp_path / "spikes.json")[0].values.dtype == np.uint8


# Encoding


def encoded(data: Samples, coding: str, **options: int) -> Any:
    interface = Interface.fitted(data.values, coding=coding, classes=data.classes)
    return data.encoded(interface, **options)


def test_encoded_samples_keep_labels_and_say_how_they_were_made() -> None:
    data = encoded(samples(), INTENSITY, n_steps=3, bits=2)
    assert data.inputs.shape == (12, 3, 2)
    assert (data.input_bits, data.n_classes) == (2, 3)
    assert data.labels.tolist() == samples().labels.tolist()
    assert data.name == "twelve, intensity coding, 3 steps"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_finite_number_is_named_by_its_place(value: float) -> None:
    values = VALUES.copy()
    values[4, 1] = value
    for made in (lambda: samples(values=values), lambda: Samples.of(values)):
        with pytest.raises(InputError, match=rf"^samples\[4, 1\] must be finite, not {value}$"):
            made()


# Files


def file_with(folder: Path, **arrays: Any) -> Path:
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return path


GOOD = {"features": np.array([[0, 5], [10, 5], [5, 0]]), "labels": np.array([0, 1, 1])}


def test_file_of_a_user_comes_in_as_it_is(tmp_path: Path) -> None:
    path = file_with(tmp_path, **GOOD)
    for data in (from_file(path), load_samples(str(path))):
        assert data.values.tolist() == GOOD["features"].tolist()
        assert (data.labels.tolist(), data.classes, data.name) == ([0, 1, 1], (0, 1), "data")


def test_file_may_hold_spikes_no_labels_and_other_arrays(tmp_path: Path) -> None:
    spikes = np.ones((3, 4, 2), np.uint8)
    data = from_file(file_with(tmp_path, spikes=spikes, names=np.array(["x"])))
    assert (data.values.shape, data.values.dtype, data.labels) == ((3, 4, 2), np.uint8, None)


def test_labels_of_a_file_may_be_texts(tmp_path: Path) -> None:
    data = from_file(file_with(tmp_path, features=GOOD["features"], labels=["b", "a", "b"]))
    assert (data.classes, data.labels.tolist()) == (("a", "b"), [1, 0, 1])


TOLD = "give an npz with features or spikes, and labels"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": [["a"], ["b"], ["c"]]}, "samples must be numbers, not <U1"),
        ({"features": [0.0, 1, 2]}, "samples must have shape (samples, features), none 0, not (3,"),
        ({"features": np.zeros((0, 2))}, "labels must have shape (0,), a number or a text a samp"),
        ({"labels": [0, 1]}, "labels must have shape (3,), a number or a text a sample, not int64"),
        ({"labels": [0.5, 1, 1]}, "labels must be classes, not real numbers: round them, or bin t"),
        ({"labels": [[0, 1, 1]]}, "labels must have shape (3,), a number or a text a sample, not "),
        ({"labels": np.zeros(0, int)}, "labels must have shape (3,), a number or a text a sample"),
    ],
)
def test_file_that_does_not_fit_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = file_with(tmp_path, **{**GOOD, **changes})
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        from_file(path)


@pytest.mark.parametrize("write", ["nothing", "csv", "npy", "folder", "cut", "neither", "both"])
def test_wrong_file_says_what_it_is_and_what_to_give(tmp_path: Path, write: str) -> None:
    path = tmp_path / {"csv": "data.csv", "npy": "data.npy"}.get(write, "data.npz")
    if write == "csv":
        path.write_text("features,labels\n")
    elif write == "npy":
        np.save(path, GOOD["features"])
    elif write == "folder":
        path.mkdir()
    elif write == "cut":
        np.savez(path, **GOOD)
        path.write_bytes(path.read_bytes()[:300])
    elif write == "neither":
        np.savez(path, labels=GOOD["labels"])
    elif write == "both":
        np.savez(path, spikes=GOOD["features"], **GOOD)
    message = {
        "nothing": f"{path} is missing: {TOLD}",
        "folder": f"{path} is missing: {TOLD}",
        "csv": f"{path} is a .csv and no npz: {TOLD}",
        "npy": f"{path} is a .npy and no npz: {TOLD}",
        "cut": f"{path} is damaged and no npz: {TOLD}",
    }.get(write, f"{path} must hold one of features and spikes: {TOLD}")
    with pytest.raises(ArtefactError, match=f"^{re.escape(message)}$"):
        from_file(path)


def unreadable(path: Path) -> None:
    with pytest.raises(ArtefactError, match=f"^{re.escape(str(path))} is ") as caught:
        from_file(path)
    assert "\n" not in str(caught.value)


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


def test_file_is_never_unpickled(tmp_path: Path) -> None:
    features = np.array([[{}], [{}], [{}]], dtype=object)
    unreadable(file_with(tmp_path, features=features, labels=GOOD["labels"]))
    unreadable(file_with(tmp_path, features=GOOD["features"], labels=features[:, 0]))
