"""Number formats and intervals, against brute force."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convexon.errors import FormatError, InputError
from convexon.snn.fixed import MAX_WIDTH, Interval, QFormat, Signedness, width_of


@st.composite
def intervals(draw: st.DrawFn, size: int = 20) -> Interval:
    low, high = sorted(draw(st.tuples(st.integers(-size, size), st.integers(-size, size))))
    return Interval(low, high)


def members(interval: Interval) -> range:
    return range(interval.low, interval.high + 1)


@given(intervals(), intervals())
def test_sum_of_intervals_is_the_hull_of_all_sums(a: Interval, b: Interval) -> None:
    assert a + b == Interval.hull(x + y for x in members(a) for y in members(b))


@given(intervals(), intervals())
def test_union_is_the_hull_of_both(a: Interval, b: Interval) -> None:
    assert a | b == Interval.hull([*members(a), *members(b)])


@given(intervals(), st.integers(-9, 9))
def test_scaled_interval_is_the_hull_of_all_products(a: Interval, factor: int) -> None:
    assert a.scaled(factor) == Interval.hull(factor * x for x in members(a))


@given(intervals(), intervals())
def test_clamped_interval_is_the_hull_of_all_clamped_values(a: Interval, limits: Interval) -> None:
    expected = Interval.hull(min(max(x, limits.low), limits.high) for x in members(a))
    assert a.clamped(limits) == expected


@given(intervals(), st.integers(-25, 25))
def test_interval_contains_its_members_and_nothing_else(a: Interval, value: int) -> None:
    assert (value in a) == (value in members(a))


@given(intervals(1 << 61))
def test_covering_format_is_the_narrowest_that_holds(a: Interval) -> None:
    narrowest = QFormat.covering(a)
    assert narrowest.holds(a)
    assert narrowest.width == width_of(a)
    assert narrowest.width == 1 or not QFormat(narrowest.width - 1).holds(a)


@pytest.mark.parametrize(
    ("low", "high", "width"),
    [(0, 0, 1), (-1, 0, 1), (0, 1, 2), (-2, 1, 2), (-3, 0, 3), (0, 127, 8), (-128, 128, 9)],
)
def test_width_by_hand(low: int, high: int, width: int) -> None:
    assert width_of(Interval(low, high)) == width


def test_formats_hold_two_s_complement_or_unsigned_integers() -> None:
    assert QFormat(4).interval == Interval(-8, 7)
    assert QFormat(1).interval == Interval(-1, 0)
    assert QFormat(4, signedness=Signedness.UNSIGNED).interval == Interval(0, 15)
    assert QFormat(4, frac=3).interval == Interval(-8, 7)
    assert not QFormat(4).holds(Interval(0, 8))
    assert QFormat(4, signedness=Signedness.UNSIGNED).holds(Interval(0, 15))
    assert not QFormat(4, signedness=Signedness.UNSIGNED).holds(Interval(-1, 0))


@pytest.mark.parametrize(
    ("error", "make", "message"),
    [
        (InputError, lambda: Interval(1, 0), "low must be at most high, not 1 > 0"),
        (InputError, lambda: Interval.hull([]), "values must hold at least one integer, not none"),
        (FormatError, lambda: QFormat(0), "width must be 1 to 62 bits, not 0"),
        (FormatError, lambda: QFormat(63), "width must be 1 to 62 bits, not 63"),
        (FormatError, lambda: QFormat(8, -1), "frac must be 0 to 1074 bits, not -1"),
        (
            FormatError,
            lambda: QFormat.covering(Interval(0, 1 << MAX_WIDTH)),
            "width must be 1 to 62 bits, not 64",
        ),
    ],
)
def test_bad_formats_are_refused(
    error: type[InputError], make: Callable[[], object], message: str
) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        make()
