"""Number formats and exact interval analysis.

A format says how many bits hold an integer; an interval says which integers can occur. Widths in
the generated hardware follow from intervals, so an overflow cannot happen by accident. Everything
here is Python's unbounded integers: the analysis itself cannot overflow either.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from convexon.errors import FormatError, InputError, require_integer

MAX_INPUT_BITS = 8
"""Widest input intensity, in bits."""

MAX_POINT = 1074
"""Most bits behind the binary point: those of the least number that a float64 can be."""

MAX_WIDTH = 62
"""Widest format, in bits: the vectorised model computes in int64, with room for one addition."""


@dataclass(frozen=True, slots=True)
class Interval:
    """The integers from ``low`` to ``high``, both included.

    Raises
    ------
    InputError
        If ``low`` exceeds ``high``.
    """

    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise InputError(f"low must be at most high, not {self.low!r} > {self.high!r}")

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.low + other.low, self.high + other.high)

    def __or__(self, other: Interval) -> Interval:
        """Smallest interval that holds both."""
        return Interval(min(self.low, other.low), max(self.high, other.high))

    def __contains__(self, value: int) -> bool:
        return self.low <= value <= self.high

    def scaled(self, factor: int) -> Interval:
        """Interval of ``factor * x`` for every x in this one."""
        ends = (self.low * factor, self.high * factor)
        return Interval(min(ends), max(ends))

    def clamped(self, limits: Interval) -> Interval:
        """Interval of x after saturation to ``limits``."""
        return Interval(
            min(max(self.low, limits.low), limits.high),
            min(max(self.high, limits.low), limits.high),
        )

    @classmethod
    def hull(cls, values: Iterable[int]) -> Interval:
        """Smallest interval that holds all ``values``; they must not be empty."""
        members = [int(value) for value in values]
        if not members:
            raise InputError("values must hold at least one integer, not none")
        return cls(min(members), max(members))

    @classmethod
    def union(cls, intervals: Iterable[Interval]) -> Interval:
        """Smallest interval that holds all ``intervals``; they must not be empty."""
        return cls.hull(end for interval in intervals for end in (interval.low, interval.high))


class Signedness(Enum):
    """How a format reads its bits."""

    SIGNED = "signed"
    UNSIGNED = "unsigned"


@dataclass(frozen=True, slots=True)
class QFormat:
    """A fixed-point format: ``width`` bits, ``frac`` of them behind the binary point.

    The stored integer q stands for the number q / 2**frac. Arithmetic in Convexon is on the stored
    integers; ``frac`` only says how a person should read them.

    Members
    -------
    interval : the integers that the format holds

    Raises
    ------
    InputError
        If ``width`` or ``frac`` is not an integer.
    FormatError
        If ``width`` lies outside 1..62 or ``frac`` outside 0..1074.
    InputError
        If one of them is no integer.
    """

    width: int
    frac: int = 0
    signedness: Signedness = Signedness.SIGNED

    def __post_init__(self) -> None:
        for name in ("width", "frac"):
            object.__setattr__(self, name, require_integer(name, getattr(self, name)))
        if not 1 <= self.width <= MAX_WIDTH:
            raise FormatError(f"width must be 1 to {MAX_WIDTH} bits, not {self.width!r}")
        if not 0 <= self.frac <= MAX_POINT:
            raise FormatError(f"frac must be 0 to {MAX_POINT} bits, not {self.frac!r}")

    @property
    def signed(self) -> bool:
        """Whether the format holds negative integers (two's complement)."""
        return self.signedness is Signedness.SIGNED

    @property
    def interval(self) -> Interval:
        """The integers that the format holds."""
        if self.signed:
            return Interval(-(1 << (self.width - 1)), (1 << (self.width - 1)) - 1)
        return Interval(0, (1 << self.width) - 1)

    def holds(self, interval: Interval) -> bool:
        """Whether every integer of ``interval`` fits."""
        own = self.interval
        return own.low <= interval.low and interval.high <= own.high

    @classmethod
    def covering(cls, interval: Interval, *, frac: int = 0) -> QFormat:
        """Narrowest signed format that holds ``interval``; raises `FormatError` past 62 bits."""
        return cls(width_of(interval), frac)


def width_of(interval: Interval) -> int:
    """Bits of the narrowest two's complement format that holds ``interval``."""
    # ~x = -x - 1 has the same number of magnitude bits as a negative x needs besides its sign.
    low = ~interval.low if interval.low < 0 else interval.low
    high = ~interval.high if interval.high < 0 else interval.high
    return max(low.bit_length(), high.bit_length()) + 1


def bits_of(interval: Interval) -> int:
    """Bits of the narrowest register that holds ``interval``: at least one, signed below 0 only."""
    return width_of(interval) if interval.low < 0 else max(1, interval.high.bit_length())


def ceil_log2(number: int) -> int:
    """Bits that tell ``number`` things apart: 0 for one of them, or none."""
    return max(0, number - 1).bit_length()
