"""Tasks: what they ask, against independent statements of it."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convexon.data.mnist import balanced_subset, load_digits, read_idx, sequential
from convexon.errors import ArtefactError, InputError
from convexon.tasks.addition import Addition
from convexon.tasks.strings import first_last_xor, random_automaton
from idx_files import write_idx


@given(st.integers(2, 16), st.booleans(), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_addition_is_addition(base: int, carry_input: bool, n_steps: int, seed: int) -> None:
    task = Addition(base=base, carry_input=carry_input)
    pairs, first = task.digits(20, n_steps, np.random.default_rng(seed))
    classes, carries = task.sums(pairs, first)
    for i in range(20):
        a, b = (sum(int(d) * base**t for t, d in enumerate(pairs[i, :, k])) for k in (0, 1))
        digits = [int(k) % base for k in classes[i]]
        total = sum(d * base**t for t, d in enumerate(digits))
        total += int(classes[i, -1] // base) * base**n_steps
        assert total == a + b + int(first[i])
        assert carries[i, 0] == first[i]
        assert carries[i, 1:].tolist() == (classes[i, :-1] // base).tolist()


def test_inputs_hold_digits_and_the_carry_where_it_is_given() -> None:
    with_carry = Addition(base=3).dataset(300, 4, np.random.default_rng(0), name="x")
    assert with_carry.inputs.shape == (300, 4, 3)
    without = Addition(base=3, carry_input=False).dataset(
        300, 4, np.random.default_rng(0), name="x"
    )
    assert without.inputs.shape == (300, 4, 2)
    sums = with_carry.inputs.sum(axis=2, dtype=np.int64)
    assert np.array_equal(sums, with_carry.labels)
    assert with_carry.input_bits == 2


@pytest.mark.parametrize("carry_input", [True, False])
def test_accuracy_feeds_back_the_carry_that_was_named(carry_input: bool) -> None:
    task = Addition(base=2, carry_input=carry_input)

    def exact(inputs: np.ndarray) -> np.ndarray:
        pairs = inputs[:, :, :2]
        first = inputs[:, 0, 2].astype(np.int64) if carry_input else np.zeros(len(pairs), np.int64)
        return task.sums(pairs, first)[0]

    def without_carry(inputs: np.ndarray) -> np.ndarray:
        return inputs[:, :, :2].sum(axis=2, dtype=np.int64)

    arguments = {"n_samples": 400, "generator": np.random.default_rng(1)}
    assert task.accuracy(exact, 12, **arguments) == (1.0, 1.0)
    token, sequence = task.accuracy(without_carry, 12, **arguments)
    assert token < 0.9
    assert sequence < 0.2


@given(st.integers(5, 10), st.integers(0, 100))
def test_disjoint_strings_are_disjoint(length: int, seed: int) -> None:
    task = first_last_xor(length)
    train, test = task.split(60, 30, seed=seed)
    seen = {x.tobytes() for x in train.inputs}
    assert not any(x.tobytes() in seen for x in test.inputs)
    for data in (train, test):
        assert np.array_equal(data.inputs.sum(axis=2), np.ones(data.inputs.shape[:2]))
        bits = data.inputs[:, :, 1].astype(np.int64)
        assert np.array_equal(data.labels, bits[:, 0] ^ bits[:, -1])


def test_the_papers_split_asks_for_recall_of_short_strings() -> None:
    train, test = first_last_xor(6).split(2000, 500, seed=0, disjoint=False)
    seen = {x.tobytes() for x in train.inputs}
    assert all(x.tobytes() in seen for x in test.inputs)
    assert test.n_samples == 500


def test_long_strings_are_told_apart_without_numbering_them() -> None:
    train, test = first_last_xor(40).split(100, 50, seed=0)
    assert train.n_samples == 100
    assert test.n_samples == 50


def test_automaton_labels_depend_on_the_string_alone_and_are_balanced() -> None:
    task = random_automaton(n_states=4, n_symbols=3, length=9, seed=3)
    again = random_automaton(n_states=4, n_symbols=3, length=9, seed=3)
    strings = np.random.default_rng(0).integers(0, 3, (500, 9))
    labels = task.label(strings)
    assert np.array_equal(labels, again.label(strings))
    assert 0.2 < labels.mean() < 0.8
    # A state machine of 4 states: prefixes fall into 4 classes at most, told apart by suffixes.
    suffixes = np.array(np.meshgrid(*[range(3)] * 4)).reshape(4, -1).T
    rows = {
        bytes(task.label(np.hstack([np.tile(p, (81, 1)), suffixes])).astype(np.uint8))
        for p in strings[:, :5]
    }
    assert len(rows) <= 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Addition(base=1), "base must be 2 to 16, not 1"),
        (lambda: first_last_xor(1), "length must be at least 2"),
        (lambda: first_last_xor(4).split(0, 5, seed=0), "n_train and n_test must be at least 1"),
        (
            lambda: random_automaton(n_states=1, n_symbols=2, length=3, seed=0),
            "n_states must be at least 2",
        ),
        (
            lambda: random_automaton(n_states=2, n_symbols=0, length=3, seed=0),
            "n_symbols must be at least 2, not 0",
        ),
        (
            lambda: random_automaton(n_states=2, n_symbols=1, length=3, seed=0),
            "n_symbols must be at least 2, not 1",
        ),
        (
            lambda: random_automaton(n_states=2, n_symbols=2, length=-1, seed=0),
            "length must be at least 1, not -1",
        ),
        (
            lambda: random_automaton(n_states=2, n_symbols=2, length=0, seed=0),
            "length must be at least 1, not 0",
        ),
        (
            lambda: first_last_xor(2).split(9, 9, seed=0),
            "test strings must have both labels, not one: take longer strings or more training",
        ),
        (
            lambda: random_automaton(n_states=2, n_symbols=2, length=3, seed=0, balance=0.9),
            "balance must leave an automaton",
        ),
    ],
)
def test_tasks_that_are_none_are_refused(make: object, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        make()


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("below", [True, False])
def test_idx_files_are_read_packed_or_not(tmp_path: Path, packed: bool, below: bool) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28))
    labels = np.arange(20) % 10
    folder = tmp_path / "mnist" if below else tmp_path
    folder.mkdir(exist_ok=True)
    end = ".gz" if packed else ""
    write_idx(folder / f"train-images-idx3-ubyte{end}", images, packed=packed)
    write_idx(folder / f"train-labels-idx1-ubyte{end}", labels, packed=packed)
    found, names = load_digits(tmp_path, "train")
    assert np.array_equal(found, images.reshape(20, 784))
    assert np.array_equal(names, labels)


def test_damaged_idx_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with pytest.raises(ArtefactError, match="is missing: put the idx files of MNIST there"):
        read_idx(path, n_dimensions=1)
    path.write_bytes(b"\0\0\x08\x03")
    with pytest.raises(ArtefactError, match="must be an idx file of bytes in 1 dimensions"):
        read_idx(path, n_dimensions=1)
    path.write_bytes(b"\0\0\x08\x01\0\0\0\x05abc")
    with pytest.raises(ArtefactError, match=r"must be as long as it states, \(5,\)"):
        read_idx(path, n_dimensions=1)
    packed = tmp_path / "x.gz"
    packed.write_bytes(gzip.compress(b"\0\0\x08\x01\0\0\0\x01a")[:-4])
    with pytest.raises(ArtefactError, match="cannot be read"):
        read_idx(packed, n_dimensions=1)
    with pytest.raises(InputError, match=r"^part must be train or test, not 'valid'$"):
        load_digits(tmp_path, "valid")


@pytest.mark.parametrize(("n_steps", "chunk"), [(1, 784), (4, 196), (14, 56), (9, 88)])
def test_chunks_hold_the_image_in_order(n_steps: int, chunk: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 784)).astype(np.uint8)
    data = sequential(images, np.arange(12) % 10, n_steps=n_steps)
    assert data.inputs.shape == (12, n_steps, chunk)
    flat = data.inputs.reshape(12, -1)
    assert np.array_equal(flat[:, :784], images >= 128)
    assert not flat[:, 784:].any()
    graded = sequential(images, np.arange(12) % 10, n_steps=n_steps, bits=3)
    assert np.array_equal(graded.inputs.reshape(12, -1)[:, :784], images // 32)


def test_balanced_subset_holds_every_class_in_its_share() -> None:
    labels = np.random.default_rng(0).integers(0, 10, 5000)
    chosen = balanced_subset(labels, 1000, seed=1)
    assert len(np.unique(chosen)) == 1000
    share = np.bincount(labels[chosen]) / 1000 - np.bincount(labels) / 5000
    assert np.abs(share).max() < 0.002
    with pytest.raises(InputError, match=r"^count must be 10 to 5000, not 5001$"):
        balanced_subset(labels, 5001, seed=1)


def test_real_digits_load_where_the_data_folder_is_given(mnist: Path) -> None:
    images, labels = load_digits(mnist, "test")
    assert images.shape == (10000, 784)
    assert np.bincount(labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert len(load_digits(mnist, "train")[1]) == 60000
