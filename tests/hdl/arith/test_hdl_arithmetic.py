"""Sums, products and clamps against plain integers, at the edges of their intervals too."""

from __future__ import annotations

import itertools

import pytest
from amaranth.hdl import Module, Shape
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from convexon.snn.fixed import Interval
from convexon_hdl.arith.arithmetic import (
    Operand,
    add_all,
    multiply,
    saturate,
    shape_of,
    signed_digits,
    subtract,
)

intervals = st.tuples(st.integers(-300, 300), st.integers(0, 300)).map(
    lambda pair: Interval(pair[0], pair[0] + pair[1])
)


class Expression(wiring.Component):
    """Operands of given intervals in, one expression of them out."""

    def __init__(self, given_intervals, build) -> None:  # type: ignore[no-untyped-def]
        self.build = build
        self.intervals = given_intervals
        self.interval: Interval | None = None
        ports = {f"x{k}": In(shape_of(each)) for k, each in enumerate(given_intervals)}
        super().__init__({**ports, "result": Out(Shape(48, True))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        operands = [
            Operand(getattr(self, f"x{k}"), each)
            if each.low != each.high
            else Operand.constant(each.low)
            for k, each in enumerate(self.intervals)
        ]
        result = self.build(m, operands)
        assert len(result.value) <= result.width
        self.interval = result.interval
        m.d.comb += self.result.eq(result.value)
        return m


def check(given_intervals, build, reference, vectors) -> None:  # type: ignore[no-untyped-def]
    """Compare ``build`` with ``reference`` for every vector, and the interval with the results."""
    expression = Expression(given_intervals, build)

    async def bench(ctx) -> None:  # type: ignore[no-untyped-def]
        for vector in vectors:
            for k, x in enumerate(vector):
                ctx.set(getattr(expression, f"x{k}"), x)
            result = ctx.get(expression.result)
            assert result == reference(vector), vector
            assert result in expression.interval

    simulator = Simulator(expression)
    simulator.add_testbench(bench)
    simulator.run()


def corners(draw: st.DataObject, given_intervals: list[Interval]) -> list[tuple[int, ...]]:
    """Both extreme vectors and a few random ones."""
    inner = [
        tuple(draw.draw(st.integers(each.low, each.high)) for each in given_intervals)
        for _ in range(4)
    ]
    lows = tuple(each.low for each in given_intervals)
    return [lows, tuple(each.high for each in given_intervals), *inner]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(intervals, min_size=1, max_size=9), st.data())
def test_tree_adds(given_intervals: list[Interval], draw: st.DataObject) -> None:
    vectors = corners(draw, given_intervals)
    check(given_intervals, lambda m, x: add_all(m, x, name="sum"), sum, vectors)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(intervals, intervals, st.integers(-40, 40), st.data())
def test_products_differences_and_clamps(
    first: Interval, second: Interval, factor: int, draw: st.DataObject
) -> None:
    limits = Interval(-16, 15)
    vectors = corners(draw, [first, second])

    def build(m: Module, x: list[Operand]) -> Operand:
        product = multiply(m, x[0], factor, name="product")
        difference = subtract(m, product, x[1].shifted(2), name="difference")
        return saturate(m, difference, limits, name="clamped")

    def reference(x: tuple[int, ...]) -> int:
        return min(max(factor * x[0] - 4 * x[1], limits.low), limits.high)

    check([first, second], build, reference, vectors)


@pytest.mark.parametrize("number", range(-70, 70))
def test_signed_digits(number: int) -> None:
    digits = signed_digits(number)
    assert sum(sign << place for place, sign in digits) == number
    places = [place for place, _ in digits]
    assert all(b - a > 1 for a, b in itertools.pairwise(places))
