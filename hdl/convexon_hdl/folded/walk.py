"""Addresses of nested loops, one place a clock."""

from __future__ import annotations

from functools import reduce
from operator import and_

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from convexon.plan.windows import Walk
from convexon.snn.fixed import Interval
from convexon_hdl.arith.arithmetic import shape_of


class AddressWalk(wiring.Component):
    """Goes through nested loops, and around again: a place further where ``advance`` is high.

    ::

        address[k] = begin[k] + sum over the loops of count * step[k]

    ``count0``, ``count1``, ... are the loops' counters, the outermost first. All outputs are
    registers. From a place to the next an address grows by a constant, which depends on how many
    of the innermost loops begin anew: one adder each, and no multiplier.

    Resources: for each address an adder, and a multiplexer of as many constants as there are loops.
    """

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        ends = zip(walk.begins, walk.ends, strict=True)
        super().__init__(
            {
                "advance": In(1),
                **{
                    f"address{k}": Out(range(max(2, end + 1)), init=begin)
                    for k, (begin, end) in enumerate(ends)
                },
                **{
                    f"count{place}": Out(range(max(2, loop.count)))
                    for place, loop in enumerate(walk.loops)
                },
            }
        )

    def at_last(self, *places: int) -> Value:
        """Whether each of some loops is at its last count."""
        at = [self.count(place) == self.walk.loops[place].count - 1 for place in places]
        return reduce(and_, at, Const(1))

    def at_first(self, *places: int) -> Value:
        """Whether each of some loops is at its first count."""
        return ~Cat(self.count(place) for place in places).any()

    def count(self, place: int) -> Signal:
        """Counter of a loop."""
        counter: Signal = getattr(self, f"count{place}")
        return counter

    def elaborate(self, platform: object) -> Module:
        """Build counters, and the steps of the addresses."""
        m, walk = Module(), self.walk
        inner_first = [p for p in reversed(range(len(walk.loops))) if walk.loops[p].count > 1]
        ends = Signal(len(walk.loops))
        m.d.comb += [ends[place].eq(self.at_last(place)) for place in inner_first]
        begins_anew = self.advance
        for place in inner_first:
            with m.If(begins_anew):
                m.d.sync += self.count(place).eq(Mux(ends[place], 0, self.count(place) + 1))
            begins_anew = begins_anew & ends[place]
        for k, (begin, end) in enumerate(zip(walk.begins, walk.ends, strict=True)):
            grown, gone = [], 0  # by how much it grows where a loop counts, and all inside begin
            for place in inner_first:
                loop = walk.loops[place]
                grown.append(loop.steps[k] - gone)
                gone += (loop.count - 1) * loop.steps[k]
            around = begin - end
            step = Signal(shape_of(Interval.hull([*grown, around])), name=f"step{k}")
            m.d.comb += step.eq(around)
            for place, growth in reversed(list(zip(inner_first, grown, strict=True))):
                with m.If(~ends[place]):
                    m.d.comb += step.eq(growth)
            address = getattr(self, f"address{k}")
            with m.If(self.advance):
                m.d.sync += address.eq(address + step)
        return m
