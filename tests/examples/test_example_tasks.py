"""Tasks: what they ask, against independent statements of it."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from scripts import example

Addition = example("addition").Addition
first_last_xor = example("strings").first_last_xor
held_out = example("strings").held_out
random_automaton = example("strings").random_automaton


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


@given(st.integers(1, 4), st.integers(0, 50))
def test_held_out_never_splits_the_copies_of_a_string(copies: int, seed: int) -> None:
    task = first_last_xor(6)
    every = np.array(list(itertools.product((0, 1), repeat=6)))
    data = task.encoded(np.repeat(every, copies, axis=0), name="every")
    rest, held = held_out(data, seed=seed)
    sides = [{x.tobytes() for x in part.inputs} for part in (rest, held)]
    assert not sides[0] & sides[1]
    assert len(sides[0] | sides[1]) == 64
    assert len(sides[1]) == round(0.2 * 64)
    assert rest.n_samples + held.n_samples == data.n_samples


def test_validation_without_a_class_is_refused() -> None:
    one = np.ones((2, 1, 1), dtype=np.uint8)
    few = SpikeDataset(
        inputs=np.concatenate([one, 0 * one]),
        labels=np.array([0, 0, 1, 1]),
        n_classes=2,
        input_bits=1,
        name="few",
    )
    message = (
        "^training samples must have all 2 classes when validation is held out, not 1: "
        "take longer strings or more training strings$"
    )
    with pytest.raises(InputError, match=message):
        held_out(few, seed=0)
