"""Choices of a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from convexon.errors import InputError

CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "addition": ("base", "carry_input"),
        "xor": ("length", "layers", "disjoint", "n_train", "n_test"),
        "automaton": ("states", "symbols", "length", "disjoint", "n_train", "n_test"),
        "mnist": ("data", "n_train", "n_steps", "neurons", "seconds"),
    }
)
"""Members of `StudySettings` that each task has, beside those that all have."""


def choices_of(task: str) -> tuple[str, ...]:
    """Return the members of `StudySettings` that only some tasks have, and this one has.

    Raises
    ------
    InputError
        If there is no such task.
    """
    if task not in CHOICES:
        raise InputError(f"task must be one of {', '.join(CHOICES)}, not {task!r}")
    return CHOICES[task]


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """Every choice of a study; those that its task does not have are ignored.

    Members
    -------
    task : str
        ``addition``, ``xor``, ``automaton`` or ``mnist``.
    seed : int
        Of the data and of the fit.
    base, carry_input
        Of addition.
    length : int
        Bits of FIRST-LAST-XOR, symbols of an automaton's string.
    layers : int
        Hidden layers of FIRST-LAST-XOR.
    disjoint : bool
        Whether no test string is among the training strings.
    states, symbols : int
        Of the automaton.
    data : str
        Folder with the idx files of MNIST.
    n_train, n_test : int
        Samples to draw, for all but addition.
    n_steps : int
        Steps of sequential MNIST.
    neurons : int
        Most last-layer neurons, for MNIST.
    seconds : float
        Wall time for surrogate training, for MNIST.
    readout_bits : int
        2 to 24, of a readout weight on the card.

    Raises
    ------
    InputError
        If a member is out of its range.
    """

    task: str
    seed: int = 0
    base: int = 2
    carry_input: bool = True
    length: int = 11
    layers: int = 2
    disjoint: bool = True
    states: int = 5
    symbols: int = 2
    data: str = ""
    n_train: int = 2000
    n_test: int = 2000
    n_steps: int = 4
    neurons: int = 1024
    seconds: float = 180.0
    readout_bits: int = 8

    def __post_init__(self) -> None:
        choices_of(self.task)
        for name in ("n_train", "n_test", "n_steps", "neurons"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)!r}")
        if not 2 <= self.readout_bits <= 24:
            raise InputError(f"readout_bits must be 2 to 24, not {self.readout_bits!r}")
        if self.seed < 0:
            raise InputError(f"seed must be at least 0, not {self.seed!r}")
        if not self.seconds > 0.0:
            raise InputError(f"seconds must be positive, not {self.seconds!r}")
