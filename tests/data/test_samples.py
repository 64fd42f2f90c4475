"""Samples: the embedded digits, files of users, labels of any kind, and splits."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convexon.data.loading import digits, load_samples
from convexon.data.samples import SAMPLES, Samples
from convexon.data.split import stratified
from convexon.errors import InputError
from convexon.snn.coding import INTENSITY
from convexon.snn.interface import Interface
from convexon.store.artefact import load, save

VALUES = np.linspace(0, 1, 24).reshape(12, 2)


class Text:
    """A label that compares by more than its text."""

    def __init__(self, text: str, more: int = 0) -> None:
        self.text, self.more = text, more

    def __str__(self) -> str:
        return self.text


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


GROUPS = np.repeat([3, 1, 7, 2], 3)


@pytest.mark.parametrize("seed", range(5))
def test_split_keeps_groups_apart_and_every_class_in_training(seed: int) -> None:
    data = Samples.of(VALUES, np.arange(12) % 3, groups=[f"subject {k}" for k in GROUPS])
    train, test = data.split(seed=seed)
    assert not np.intersect1d(train.groups, test.groups).size
    assert (train.n_samples, test.n_samples) == (9, 3)
    assert set(train.labels.tolist()) == {0, 1, 2}


def test_class_of_one_group_stays_in_training() -> None:
    labels = np.where(GROUPS == 7, 1, 0)
    for seed in range(8):
        train, _ = Samples.of(VALUES, labels, groups=GROUPS).split(seed=seed)
        assert 1 in train.labels
    with pytest.raises(InputError, match=r"^groups must leave samples of every class when one is"):
        Samples.of(VALUES, GROUPS, groups=GROUPS).split(seed=0)


@pytest.mark.parametrize("split", [["train", "Test"] * 6, np.arange(12) % 2 == 1])
def test_split_that_is_given_is_taken(split: Any) -> None:
    train, test = Samples.of(VALUES, np.arange(12) // 2 % 2, split=split).split(seed=0)
    assert train.values.tolist() == VALUES[::2].tolist()
    assert test.values.tolist() == VALUES[1::2].tolist()
    assert test.labels.tolist() == [0, 1] * 3


@pytest.mark.parametrize(
    ("split", "groups", "message"),
    [
        (["train"] * 11 + ["dev"], None, "split must be train or test for each sample, not 'dev'"),
        ([0, 1] * 6, None, "split must be train or test for each sample, not 0"),
        (["train"] * 12, None, "split must have samples of test, not of train alone"),
        (["test"] * 12, None, "split must have samples of train, not of test alone"),
        (["train"] * 11, None, "split must have shape (12,), not (11,)"),
        (["train"] * 9 + ["test"] * 3, None, "split must have class 3 in train, not in test al"),
        (["train", "train", "test"] * 4, GROUPS, "split must keep groups apart: a group is in tr"),
        (None, GROUPS[:-1], "groups must have shape (12,), not (11,)"),
        (None, [1.5] * 12, "groups must be classes, not real numbers: "),
    ],
)
def test_split_and_groups_that_do_not_fit_are_refused(
    split: Any, groups: Any, message: str
) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        Samples.of(VALUES, np.arange(12) // 3, split=split, groups=groups).split(seed=0)


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
        (np.array([2.0, 0.0, 2.0], dtype=object), (0, 2), [1, 0, 1]),
        ([(1, "b"), (0, "a"), (1, "b")], ("(0, 'a')", "(1, 'b')"), [1, 0, 1]),
        (
            np.array(["2024-02-01", "2024-01-31", "2024-02-01"], "M8[D]"),
            ("2024-01-31", "2024-02-01"),
            [1, 0, 1],
        ),
        (
            [date(2024, 2, 1), date(2024, 1, 31), date(2024, 2, 1)],
            ("2024-01-31", "2024-02-01"),
            [1, 0, 1],
        ),
        (
            [frozenset({1}), frozenset({2}), frozenset({1})],
            ("frozenset({1})", "frozenset({2})"),
            [0, 1, 0],
        ),
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
        ([0, 1], "labels must have shape (3,), not (2,)"),
        ([[0], [1], [1]], "labels must have shape (3,), not int64 of (3, 1)"),
        ([], "labels must have shape (3,), not (0,)"),
        ([1j, 0, 1], "labels must have shape (3,), not complex128 of (3,)"),
        ([0.5, 1.0, 1.0], "labels must be classes, not real numbers: regression is not what"),
        ([np.nan, 1.0, 1.0], "labels[0] is missing: label every sample, or leave it out"),
        ([np.inf, 1.0, 1.0], "labels must be classes, not real numbers: regression is not what"),
        ([[0, 1], [1, 1], [0, 0]], "labels must be one class a sample, not several: a decision"),
    ],
    ids=str,
)
def test_labels_that_are_none_are_refused(labels: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        Samples.of(VALUES[:3], labels)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", None, "b"], "labels[1] is missing: label every sample, or leave it out"),
        (["a", 1, "b"], "labels must be all numbers or all texts, not 'a' and 1"),
        ([{}, {}, {}], "labels must be one class a sample, not several"),
        ([[1], [2], [1, 2]], "labels must be one class a sample, not several"),
        ([{1}, {2}, {1, 2}], "labels must be one class a sample, not several"),
        ([Text("a"), Text("b"), Text("a", 1)], "labels must have names of their own: two read 'a'"),
    ],
    ids=lambda value: type(value[0]).__name__ if isinstance(value, list) else "",
)
def test_objects_that_are_no_classes_are_refused(labels: list[Any], message: str) -> None:
    objects = np.empty(3, dtype=object)
    objects[:] = labels
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
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


@pytest.mark.parametrize("values", [[np.zeros(2), np.ones(3)], [[1.0, 2.0], [3.0]]])
def test_rows_of_unequal_length_are_refused(values: list[Any]) -> None:
    with pytest.raises(InputError, match=r"^samples must have rows of equal length$"):
        Samples.of(values, [0, 1])


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
        samples(groups=np.arange(12)),
        samples(held_out=np.arange(12) > 8),
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
