"""Sums of a convolution's windows, lane by lane: its pixels and its kernel lie in memory."""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from convexon.plan.windows import WindowPlan
from convexon_hdl.arith.arithmetic import delayed
from convexon_hdl.folded.accumulator import EventAccumulator, InputLayout, Token
from convexon_hdl.folded.walk import AddressWalk
from convexon_hdl.folded.weights import WeightBank


class PixelLoader(wiring.Component):
    """Takes a step in while ``open`` is high, and writes one pixel of it a clock.

    ``i.ready`` is high with the last pixel, so that the payload need not be kept. A pixel is
    written in the clock after it was read.

    Resources: a multiplexer of all pixels of a step, and an `AddressWalk`.
    """

    def __init__(self, plan: WindowPlan) -> None:
        self.plan = plan
        super().__init__(
            {
                "i": In(stream.Signature(InputLayout(plan))),
                "open": In(1),
                "enable": Out(1),
                "address": Out(range(max(2, plan.pixels))),
                "data": Out(plan.input_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the walk and the multiplexer."""
        m, plan = Module(), self.plan
        m.submodules.walk = walk = AddressWalk(plan.loading)
        taken = Signal()
        every = range(len(plan.loading.loops))
        m.d.comb += [
            taken.eq(self.open & self.i.valid),
            walk.advance.eq(taken),
            self.i.ready.eq(self.open & walk.at_last(*every)),
        ]
        m.d.sync += [
            self.enable.eq(taken),
            self.address.eq(walk.address1),
            self.data.eq(_chosen(self._pixels(), walk.address0)),
        ]
        return m

    def _pixels(self) -> list[Value]:
        """What was offered, pixel by pixel."""
        bits = self.plan.input_bits
        return [self.i.payload.inputs.word_select(k, bits) for k in range(self.plan.n_sources)]


def _chosen(words: list[Value], index: Value) -> Value:
    """The word of a number, by a tree of multiplexers."""
    for bit in index:
        pairs = zip_longest(words[::2], words[1::2], fillvalue=Const(0))
        words = [Mux(bit, odd, even) for even, odd in pairs]
    return words[0]


class WindowAccumulator(EventAccumulator):
    """Reads every weight of a window, and adds those whose pixel is 1, window after window.

    A step's pixels go to a memory whose border is never written and stays 0. Then windows are read
    one after the other, a weight of every lane a clock, one plane after the other as in
    `EventAccumulator`; each plane of a window takes a clock more, in which it begins.

    The sums of a window leave ``FoldPlan.handover_clocks`` after its last read. That read waits as
    the last pass of a fold does in `EventAccumulator`, and the next step is taken in from the clock
    after a step's last read on.

    Resources: a `PixelLoader`, an `AddressWalk`, memory for pixels and weights, and an adder of a
    sum's width for each lane.
    """

    plan: WindowPlan

    def elaborate(self, platform: object) -> Module:
        """Build memories, walks and accumulators."""
        m, plan = Module(), self.plan
        m.submodules.reading = reading = AddressWalk(plan.reading)
        m.submodules.pixels = pixels = Memory(
            shape=unsigned(plan.input_bits), depth=plan.pixels, init=[]
        )
        m.submodules.bank0 = bank = WeightBank(plan, bank=0)
        m.submodules.loader = loader = PixelLoader(plan)
        wiring.connect(m, wiring.flipped(self.i), loader.i)
        token = self._windows(m, reading, loader).delayed(m, name="read")
        plane = delayed(m, reading.count(len(plan.outer)), name="plane")
        write, read = pixels.write_port(), pixels.read_port()
        spike = Signal()
        m.d.comb += [
            write.en.eq(loader.enable),
            write.addr.eq(loader.address),
            write.data.eq(loader.data),
            read.addr.eq(reading.address0),
            bank.address.eq(reading.address1),
            spike.eq(Array(list(read.data)[::-1])[plane]),
        ]
        token = replace(token, any=token.any & spike).delayed(m, name="data")
        columns, token = self._columns(m, [bank.data], token)
        self._accumulators(m, columns, token)
        return m

    def _windows(self, m: Module, reading: AddressWalk, loader: PixelLoader) -> Token:
        """Control of windows and planes; returns the token of what is read."""
        plan = self.plan
        n_outer, n_loops = len(plan.outer), len(plan.reading.loops)
        held = Signal(2)
        starting, scanning = Signal(), Signal()
        last_plane, last_fold, last_read = Signal(), Signal(), Signal()
        first_fold = reading.at_first(*range(n_outer))
        m.d.comb += [
            loader.open.eq(self.settled & ~(starting | scanning)),
            last_fold.eq(reading.at_last(*range(n_outer))),
            last_plane.eq(reading.at_last(n_outer)),
            last_read.eq(reading.at_last(*range(n_outer + 1, n_loops))),
        ]
        ending, step_ends = Signal(), Signal()
        may_end = self._may_end(m, ending, ~first_fold)
        m.d.comb += [
            reading.advance.eq(scanning & (~(last_read & last_plane) | may_end)),
            ending.eq(reading.advance & last_read & last_plane),
            step_ends.eq(ending & last_fold),
            self.begins.eq(ending & first_fold),
            self.ends_inference.eq(held[1]),
        ]
        with m.If(starting):
            m.d.sync += [starting.eq(0), scanning.eq(1)]
        with m.If(reading.advance & last_read):
            m.d.sync += [scanning.eq(0), starting.eq(~step_ends)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                held.eq(Cat(self.i.payload.first, self.i.payload.last)),
                starting.eq(1),
            ]
        begins = starting & ~reading.at_first(n_outer)
        tags = Cat(held, last_fold)
        return Token(reading.advance, begins, starting & held[0], ending, tags)
