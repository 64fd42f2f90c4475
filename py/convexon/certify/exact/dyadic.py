"""Exact arithmetic on float64 arrays: a float64 is an integer times a power of two.

Sums of products are split so that float64 matrix products carry them without a rounding: the one
factor holds small integers, the other is cut into limbs of so few bits that no sum of products can
reach 2**53, and below that every integer is a float64. The limbs' sums are then put together as
Python integers. This is exact whatever the order in which BLAS adds.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
ObjectArray = npt.NDArray[np.object_]
"""Array of Python integers."""

_MANTISSA = 53
"""Bits of a float64's significand."""


@dataclass(frozen=True, eq=False)
class Dyadic:
    """An array of exact numbers ``units * 2**exponent``.

    Members
    -------
    units
        Python integers, of any shape.
    exponent
        Of all of them together.
    """

    units: ObjectArray
    exponent: int

    @classmethod
    def of(cls, values: npt.ArrayLike) -> Dyadic:
        """The exact numbers that finite float64 ``values`` stand for."""
        array = np.asarray(values, dtype=np.float64)
        mantissas, exponents = np.frexp(array)
        integers = np.ldexp(mantissas, _MANTISSA).astype(np.int64).astype(object)
        places = exponents.astype(np.int64) - _MANTISSA
        used = places[array != 0.0]
        low = int(used.min()) if used.size else 0
        shifts = np.where(array != 0.0, places - low, 0).astype(object)
        return cls(np.asarray(integers << shifts, dtype=object).reshape(array.shape), low)

    @property
    def step(self) -> Fraction:
        """What one unit stands for."""
        return power_of_two(self.exponent)

    def at(self, exponent: int) -> ObjectArray:
        """The units on a finer grid, ``exponent`` at most this one's."""
        return np.asarray(self.units * (1 << (self.exponent - exponent)), dtype=object)

    def __neg__(self) -> Dyadic:
        return Dyadic(-self.units, self.exponent)

    def __abs__(self) -> Dyadic:
        return Dyadic(np.abs(self.units), self.exponent)

    def __add__(self, other: Dyadic) -> Dyadic:
        low = min(self.exponent, other.exponent)
        return Dyadic(self.at(low) + other.at(low), low)

    def __sub__(self, other: Dyadic) -> Dyadic:
        return self + (-other)

    def __mul__(self, other: Dyadic) -> Dyadic:
        return Dyadic(self.units * other.units, self.exponent + other.exponent)

    def __getitem__(self, index: Any) -> Dyadic:
        return Dyadic(np.asarray(self.units[index], dtype=object), self.exponent)

    def sum(self) -> Fraction:
        """Sum of all entries."""
        total: int = sum(self.units.ravel().tolist())
        return total * self.step

    def largest(self) -> Fraction:
        """Largest entry; zero for an empty array."""
        top: int = max(self.units.ravel().tolist(), default=0)
        return top * self.step

    def fractions(self) -> list[Fraction]:
        """All entries, row by row."""
        step = self.step
        return [step * int(unit) for unit in self.units.ravel()]


def power_of_two(exponent: int) -> Fraction:
    """``2**exponent``."""
    return Fraction(1 << exponent) if exponent >= 0 else Fraction(1, 1 << -exponent)


@dataclass(frozen=True, eq=False)
class Limbs:
    """An exact matrix (k, C) as a sum of small integer matrices times powers of two.

    Negative numbers are in two's complement: only the highest limb has a sign.

    Members
    -------
    parts
        Integers as float64, shape (k, L * C): limb l is ``parts[:, l * C : (l + 1) * C]``.
    exponents
        Of the L limbs, from low to high.
    width
        C.
    """

    parts: FloatArray
    exponents: tuple[int, ...]
    width: int

    @classmethod
    def of(cls, values: Dyadic, *, largest: int, terms: int) -> Limbs:
        """Cut ``values`` so that sums of ``terms`` products with integers 0..largest are exact."""
        bits = _MANTISSA - (max(1, terms) * max(1, largest)).bit_length()
        base, rest, exponent = 1 << bits, values.units, values.exponent
        parts: list[FloatArray] = []
        exponents: list[int] = []
        while (np.abs(rest) >= base).any():
            part = rest & (base - 1)
            if (part != 0).any():
                parts.append(part.astype(np.float64))
                exponents.append(exponent)
            rest, exponent = rest >> bits, exponent + bits
        parts.append(rest.astype(np.float64))
        exponents.append(exponent)
        return cls(np.concatenate(parts, axis=1), tuple(exponents), rest.shape[1])

    def joined(self, products: FloatArray) -> Dyadic:
        """Put together what exact sums of products with `parts` came to, shape (m, L * C)."""
        low = self.exponents[0]
        integers = products.astype(np.int64).astype(object)
        total = np.zeros((len(products), self.width), dtype=object)
        for place, exponent in enumerate(self.exponents):
            part = integers[:, place * self.width : (place + 1) * self.width]
            total = total + part * (1 << (exponent - low))
        return Dyadic(total, low)
