"""Tasks on strings of symbols, one-hot: FIRST-LAST-XOR and random automata (arXiv:2605.08022)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import run_folder

from convexon.data.dataset import SpikeDataset
from convexon.data.split import grouped
from convexon.errors import InputError
from convexon.train.columns.rows import input_numbers

IntArray = npt.NDArray[np.int64]

DISJOINT_TEST_SHARE = 0.25
"""Share of all strings that are kept for the test, unless that is more than the test asks for."""

_FEW_STRINGS = 1 << 20
"""Strings that are numbered and shuffled; of more, draws are compared with each other."""


@dataclass(frozen=True, eq=False, kw_only=True)
class StringTask:
    """A label for every string of ``length`` symbols.

    Members
    -------
    name : str
    length : int
        T, one symbol a step.
    n_symbols : int
    label : callable
        Labels 0 or 1 (strings,) of strings (strings, T).
    """

    name: str
    length: int
    n_symbols: int
    label: Callable[[IntArray], IntArray]

    def __post_init__(self) -> None:
        if self.length < 1 or self.n_symbols < 2:
            raise InputError(
                f"strings must have 1 symbol or more, of 2 kinds or more, not {self.length} "
                f"of {self.n_symbols}"
            )

    def encoded(self, strings: IntArray, *, name: str) -> SpikeDataset:
        """Return the strings one-hot with their labels.

        Raises
        ------
        InputError
            If a label does not occur.
        """
        labels = self.label(strings)
        if len(np.unique(labels)) < 2:
            raise InputError(
                f"{name} strings must have both labels, not one: take longer strings or more "
                "training and test strings"
            )
        return SpikeDataset(
            inputs=np.eye(self.n_symbols, dtype=np.uint8)[strings],
            labels=labels,
            n_classes=2,
            input_bits=1,
            name=f"{self.name}, {name}",
        )

    def split(
        self, n_train: int, n_test: int, *, seed: int, disjoint: bool = True
    ) -> tuple[SpikeDataset, SpikeDataset]:
        """Draw training and test strings.

        Parameters
        ----------
        n_train, n_test : int
            Strings of each part. Training strings are drawn with replacement.
        seed : int
        disjoint : bool
            Whether no test string is a training string. False is the paper's split: both parts are
            drawn independently, so that on short strings the test asks for recall.

        Raises
        ------
        InputError
            If a part would be empty or lack a label.
        """
        generator = np.random.default_rng(seed)
        if min(n_train, n_test) < 1:
            raise InputError(f"n_train and n_test must be at least 1, not {n_train} and {n_test}")
        if not disjoint:
            train, test = (self._draw(n, generator) for n in (n_train, n_test))
        elif self.n_symbols**self.length <= _FEW_STRINGS:
            every = generator.permutation(self.n_symbols**self.length)
            n_held = min(n_test, max(1, round(DISJOINT_TEST_SHARE * len(every))))
            test = self._numbered(every[:n_held])
            rest = every[n_held:]
            if not len(rest):
                raise InputError("strings must leave one for training: take longer strings")
            train = self._numbered(rest[generator.integers(0, len(rest), n_train)])
        else:
            train = self._draw(n_train, generator)
            seen = {row.tobytes() for row in train}
            drawn = self._draw(n_test, generator)
            test = drawn[[row.tobytes() not in seen for row in drawn]]
        return self.encoded(train, name="train"), self.encoded(test, name="test")

    def _draw(self, count: int, generator: np.random.Generator) -> IntArray:
        return generator.integers(0, self.n_symbols, (count, self.length))

    def _numbered(self, numbers: IntArray) -> IntArray:
        """Return the strings with these numbers, most significant symbol first."""
        places = self.n_symbols ** np.arange(self.length - 1, -1, -1)
        return np.asarray(numbers[:, None] // places % self.n_symbols)


def first_last_xor(length: int) -> StringTask:
    """Label: whether the first and the last of ``length`` bits differ.

    Raises
    ------
    InputError
        If there are fewer than two bits.
    """
    if length < 2:
        raise InputError(f"length must be at least 2 for a first and a last bit, not {length!r}")
    return StringTask(
        name=f"FIRST-LAST-XOR, {length} bits",
        length=length,
        n_symbols=2,
        label=lambda strings: strings[:, 0] ^ strings[:, -1],
    )


def random_automaton(
    *, n_states: int, n_symbols: int, length: int, seed: int, balance: float = 0.3
) -> StringTask:
    """Label: whether a random deterministic finite automaton accepts the string.

    Transitions and accepting states are drawn anew until both labels have at least ``balance`` of
    random strings.

    Raises
    ------
    InputError
        If there are fewer than two states or symbols, or none in a string, or no such automaton is
        found.
    """
    for name, value, least in (
        ("n_states", n_states, 2),
        ("n_symbols", n_symbols, 2),
        ("length", length, 1),
    ):
        if value < least:
            raise InputError(f"{name} must be at least {least}, not {value!r}")
    generator = np.random.default_rng(seed)
    for _ in range(1000):
        transitions = generator.integers(0, n_states, (n_states, n_symbols))
        accepting = generator.integers(0, 2, n_states)

        def accepts(
            strings: IntArray, transitions: IntArray = transitions, accepting: IntArray = accepting
        ) -> IntArray:
            state = np.zeros(len(strings), dtype=np.int64)
            for t in range(strings.shape[1]):
                state = transitions[state, strings[:, t]]
            return np.asarray(accepting[state])

        share = accepts(generator.integers(0, n_symbols, (1000, length))).mean()
        if balance <= share <= 1.0 - balance:
            return StringTask(
                name=f"random automaton of {n_states} states over {n_symbols} symbols",
                length=length,
                n_symbols=n_symbols,
                label=accepts,
            )
    raise InputError(f"balance must leave an automaton to be found, not {balance!r}: lower it")


def parser(about: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that all examples on strings have."""
    result = run_folder.parser(about)
    result.add_argument("--length", type=int, default=11, help="symbols of a string")
    result.add_argument("--train", type=int, default=2000, help="training strings to draw")
    result.add_argument("--test", type=int, default=2000, help="test strings to draw")
    result.add_argument(
        "--no-disjoint", action="store_true", help="the paper's split: a test may ask for recall"
    )
    return result


def parts(
    task: StringTask, given: argparse.Namespace
) -> tuple[SpikeDataset, SpikeDataset, SpikeDataset]:
    """Return the strings to fit on, to choose on, and to test on that a command line asks for."""
    drawn, test = task.split(
        given.train, given.test, seed=given.seed, disjoint=not given.no_disjoint
    )
    return *held_out(drawn, seed=given.seed), test


VALIDATION_SHARE = 0.2
"""Share of the distinct training strings on which choices are made."""


def held_out(train: SpikeDataset, *, seed: int) -> tuple[SpikeDataset, SpikeDataset]:
    """Split off `VALIDATION_SHARE` of the distinct strings, copies going to the same side.

    Raises
    ------
    InputError
        If a side lacks a class.
    """
    rest, validation = grouped(input_numbers(train), VALIDATION_SHARE, seed=[seed, 3])
    for name, part in (("training", rest), ("validation", validation)):
        n_present = len(np.unique(train.labels[part]))
        if n_present < train.n_classes:
            raise InputError(
                f"{name} samples must have all {train.n_classes} classes when validation is held "
                f"out, not {n_present}: take longer strings or more training strings"
            )
    return train.take(rest), train.take(validation)
