"""What specifications are made of: free inputs, offers that are kept, and delayed results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import wiring

from convexon.snn.fixed import Interval
from convexon_hdl.arith.arithmetic import shape_of


@dataclass(eq=False)
class Specification(Elaboratable, ABC):
    """What is proved of ``component``: of the hardware itself, or of a `StandIn` for it."""

    component: wiring.Component

    @abstractmethod
    def state(self, m: Module) -> None:
        """Drive the component's inputs, and assert what must hold in every clock."""

    def elaborate(self, platform: object) -> Module:
        """Build the component, and what is stated of it."""
        m = Module()
        m.submodules.component = self.component
        self.state(m)
        return m


def free(m: Module, *targets: object) -> None:
    """Let inputs take any value in every clock."""
    for target in targets:
        value = Value.cast(target)
        m.d.comb += value.eq(AnySeq(len(value)))


def within(value: Value, interval: Interval) -> Value:
    """Whether a value lies in an interval."""
    return (value >= interval.low) & (value <= interval.high)


def anything(m: Module, interval: Interval, *, name: str) -> Signal:
    """Signal that takes any value of ``interval`` in every clock."""
    signal = Signal(shape_of(interval), name=name)
    m.d.comb += [signal.eq(AnySeq(signal.shape())), Assume(within(signal, interval))]
    return signal


def offer(m: Module, valid: Value, ready: Value) -> Signal:
    """Drive ``valid`` as a source does that keeps its offers; returns whether one is kept."""
    waits = Signal()
    m.d.comb += valid.eq(AnySeq(1) | waits)
    m.d.sync += waits.eq(valid & ~ready)
    return waits


def counted(m: Module, n_steps: int, on: Value, ends: Value | None = None) -> Signal:
    """A plain counter of steps, modulo ``n_steps``, or up to the one that ``ends``."""
    step = Signal(range(n_steps + 1))
    last = step == n_steps - 1 if ends is None else ends
    with m.If(on):
        m.d.sync += step.eq(Mux(last, 0, step + 1))
    m.d.comb += Assert(step < n_steps)
    return step


def filled(m: Module, clocks: int) -> Value:
    """Whether so many clocks have gone by since the reset."""
    gone = Signal(clocks + 1)
    m.d.sync += gone.eq(Cat(Const(1, 1), gone))
    return Cat(Const(1, 1), gone)[clocks]


def delayed(m: Module, value: Value, clocks: int) -> Value:
    """A value as it was some clocks ago."""
    for _ in range(clocks):
        later = Signal(value.shape(), name="delayed")
        m.d.sync += later.eq(value)
        value = later
    return value
