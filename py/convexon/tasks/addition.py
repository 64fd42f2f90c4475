"""Addition of two numbers, digit by digit, least significant digit first (arXiv:2605.08022).

At step t the network reads two digits, and in the teacher-forced form the carry too; it names the
digit of the sum and the next carry, both at once: class ``k`` means ``digit = k mod base`` and
``carry = k // base``. Autoregressive evaluation feeds back the carry that the network named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError

IntArray = npt.NDArray[np.int64]
UInt8Array = npt.NDArray[np.uint8]

Decide = Callable[[UInt8Array], IntArray]
"""Classes (samples, steps) of inputs (samples, steps, inputs); none looks at a later step."""


@dataclass(frozen=True, kw_only=True)
class Addition:
    """The task in one base.

    Members
    -------
    base : int
        2 to 16.
    carry_input : bool
        Whether the carry is an input. Without it the network has to remember it.

    Raises
    ------
    InputError
        If the base is out of its range.
    """

    base: int
    carry_input: bool = True

    def __post_init__(self) -> None:
        if not 2 <= self.base <= 16:
            raise InputError(f"base must be 2 to 16, not {self.base!r}")

    @property
    def n_classes(self) -> int:
        """Sums of two digits and a carry: 0 to ``2 base - 1``."""
        return 2 * self.base

    @property
    def input_bits(self) -> int:
        """Bits of a digit."""
        return (self.base - 1).bit_length()

    def digits(
        self, n_samples: int, n_steps: int, generator: np.random.Generator
    ) -> tuple[UInt8Array, IntArray]:
        """Return pairs of random numbers (samples, steps, 2), and the first carries (samples,).

        The first carry is random where it is an input, and zero where nothing could tell it.
        """
        pairs = generator.integers(0, self.base, (n_samples, n_steps, 2), dtype=np.uint8)
        first = generator.integers(0, 2, n_samples) if self.carry_input else np.zeros(n_samples)
        return pairs, first.astype(np.int64)

    def sums(self, pairs: UInt8Array, first: IntArray) -> tuple[IntArray, IntArray]:
        """Return the right classes and the carry into each step, both (samples, steps)."""
        n, n_steps, _ = pairs.shape
        classes = np.empty((n, n_steps), dtype=np.int64)
        carries = np.empty((n, n_steps), dtype=np.int64)
        carry = first
        for t in range(n_steps):
            carries[:, t] = carry
            classes[:, t] = pairs[:, t].sum(axis=1, dtype=np.int64) + carry
            carry = classes[:, t] // self.base
        return classes, carries

    def dataset(
        self, n_samples: int, n_steps: int, generator: np.random.Generator, *, name: str
    ) -> SpikeDataset:
        """Return a teacher-forced data set with a label for every step.

        Raises
        ------
        InputError
            If so few samples leave a class out.
        """
        pairs, first = self.digits(n_samples, n_steps, generator)
        classes, carries = self.sums(pairs, first)
        return SpikeDataset(
            inputs=self._inputs(pairs, carries),
            labels=classes,
            n_classes=self.n_classes,
            input_bits=self.input_bits,
            name=f"addition in base {self.base}, {name}",
        )

    def _inputs(self, pairs: UInt8Array, carries: IntArray) -> UInt8Array:
        if not self.carry_input:
            return pairs
        return np.concatenate([pairs, carries[:, :, None].astype(np.uint8)], axis=2)

    def accuracy(
        self, decide: Decide, n_steps: int, *, n_samples: int, generator: np.random.Generator
    ) -> tuple[float, float]:
        """Return shares of right tokens and of wholly right sums, fed back its own carries.

        A token is right where both digit and carry are. ``decide`` is asked again about the sums
        whose carries it has just changed. As it is causal, each pass settles at least one more
        step, so that the outcome is that of one step after another.

        Sums are drawn from all there are, training sums among them. At the training length these
        are a good part in base 2: 2**12 pairs of 6 digits, 2**13 with the carry, so that there the
        shares say as much of recall as of new sums; at greater lengths next to none recur.
        """
        pairs, first = self.digits(n_samples, n_steps, generator)
        right, _ = self.sums(pairs, first)
        named = np.empty_like(right)
        carries = np.zeros_like(right)
        carries[:, 0] = first
        unsettled = np.arange(n_samples)
        for _ in range(n_steps):
            named[unsettled] = decide(self._inputs(pairs[unsettled], carries[unsettled]))
            fed_back = named[unsettled, :-1] // self.base
            changed = (fed_back != carries[unsettled, 1:]).any(axis=1)
            carries[unsettled, 1:] = fed_back
            unsettled = unsettled[changed & self.carry_input]
            if not len(unsettled):
                break
        correct = named == right
        return float(correct.mean()), float(correct.all(axis=1).mean())
