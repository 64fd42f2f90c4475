"""Weight alphabets: the integers that a hidden weight may be.

Few values make small hardware: a ternary weight costs an adder input, a power of two a shift and an
adder input, a b-bit integer several. Alphabets are symmetric and hold zero, which is no synapse.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.snn.fixed import Interval, QFormat, width_of

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Alphabet:
    """A symmetric set of integers."""

    name: str  # `ternary`, `intB` or `pow2-B`, with B the bits that code a weight
    magnitudes: tuple[int, ...]  # the positive values, ascending

    @classmethod
    def integers(cls, bits: int) -> Alphabet:
        """All integers of ``bits`` bits but the most negative one; 2 bits are ternary.

        Raises `InputError` if the bits are not 2 to 16.
        """
        if not 2 <= bits <= 16:
            raise InputError(f"weight_bits must be 2 to 16, not {bits!r}")
        name = "ternary" if bits == 2 else f"int{bits}"
        return cls(name, tuple(range(1, 1 << (bits - 1))))

    @classmethod
    def powers_of_two(cls, bits: int) -> Alphabet:
        """Zero and the signed powers of two that a code of ``bits`` bits tells apart.

        Raises `InputError` if the bits are not 2 to 5: with more, weights would not fit 32 bits.
        """
        if not 2 <= bits <= 5:
            raise InputError(f"weight_bits must be 2 to 5 for powers of two, not {bits!r}")
        return cls(f"pow2-{bits}", tuple(1 << k for k in range((1 << (bits - 1)) - 1)))

    @classmethod
    def parse(cls, text: str) -> Alphabet:
        """Return the alphabet of a name, such as ``ternary``, ``int4`` or ``pow2-3``.

        Raises `InputError` if there is none of this name.
        """
        if text == "ternary":
            return cls.integers(2)
        found = re.fullmatch(r"(int|pow2-)(\d{1,2})", text)
        if found is None:
            raise InputError(f"alphabet must be ternary, intB or pow2-B (B bits), not {text!r}")
        make = cls.integers if found[1] == "int" else cls.powers_of_two
        return make(int(found[2]))

    @property
    def largest(self) -> int:
        """Largest magnitude."""
        return self.magnitudes[-1]

    @property
    def format(self) -> QFormat:
        """Narrowest format that holds every value."""
        return QFormat(width_of(Interval(-self.largest, self.largest)))

    @property
    def values(self) -> IntArray:
        """All values in ascending order, zero among them."""
        positive = np.array(self.magnitudes, dtype=np.int64)
        return np.concatenate([-positive[::-1], [0], positive])

    @property
    def nonzero(self) -> IntArray:
        """All values but zero."""
        values = self.values
        return np.asarray(values[values != 0])

    def nearest(self, weights: npt.NDArray[np.float64]) -> IntArray:
        """Round each weight to the nearest value; of two equally near, to the smaller magnitude."""
        magnitudes = np.array((0, *self.magnitudes), dtype=np.float64)
        borders = 0.5 * (magnitudes[1:] + magnitudes[:-1])
        chosen = magnitudes[np.searchsorted(borders, np.abs(weights), side="left")]
        return np.asarray(np.sign(weights) * chosen, dtype=np.int64)


TERNARY = Alphabet.integers(2)
"""-1, 0 and 1: a hidden neuron is then an adder tree of its spikes."""
