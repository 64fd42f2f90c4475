"""Step counter: tells the stages where an inference begins and ends."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from convexon.errors import InputError
from convexon.snn.network import FixedPointNetwork
from convexon_hdl.core.stage import StepLayout


class Undecided(wiring.Component):
    """Counts the inferences whose first step has left the source and which are not decided yet.

    A pipeline keeps its order, so inferences are decided in the order in which they begin, and from
    their count a source knows whether the one that it is sending has been decided. The count
    changes a clock after its events.

    While they are ``capacity``, the source must not begin another.

    Latency: 1 clock. Resources: an up and down counter of ceil(log2(capacity + 1)) bits.

    Raises `InputError` if the capacity is less than 1.
    """

    def __init__(self, *, capacity: int) -> None:
        if capacity < 1:
            raise InputError(f"capacity must be at least 1, not {capacity!r}")
        self.capacity = capacity
        super().__init__(
            {
                "begun": In(1),  # an inference's first step leaves; only while not full
                "decided": In(1),  # the oldest of them is decided
                "full": Out(1),
                "single": Out(1),  # only that one is there which is being sent, if one is
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the counter."""
        m = Module()
        count = Signal(range(self.capacity + 1))
        m.d.sync += count.eq(count + self.begun - self.decided)
        m.d.comb += [self.full.eq(count == self.capacity), self.single.eq(count == 1)]
        return m


class Sequencer(wiring.Component):
    """Tags the steps of a stream with ``first`` and ``last``, T steps to an inference.

    Accepted steps are counted, so idle clocks and back-pressure do not matter; a reset begins a new
    inference.

    With ``capacity``, the most inferences under way, for rules that decide early
    (`convexon_hdl.core.decision`): once the inference being sent has been decided, the rest of its
    steps are accepted from ``i``, one per clock, and dropped. A step that is already on offer stays
    on offer until it is accepted, as streams demand. One more than there are registers up to the
    decision is never reached.

    Latency: none, combinational. Resources: a counter of ceil(log2 T) bits; with ``capacity`` also
    an `Undecided` and two flip-flops.
    """

    def __init__(self, network: FixedPointNetwork, *, capacity: int | None = None) -> None:
        self.n_steps = network.n_steps
        self.capacity = capacity
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(network.n_inputs * network.input_bits))),
                "o": Out(stream.Signature(StepLayout(network, 0))),
                # The oldest inference under way was decided.
                **({} if capacity is None else {"decided": In(1)}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the counter."""
        m = Module()
        step = Signal(range(max(2, self.n_steps)))
        first, last, taken = Signal(), Signal(), Signal()
        m.d.comb += [
            first.eq(~step.any()),
            last.eq(step == self.n_steps - 1),
            taken.eq(self.i.valid & self.i.ready),
            self.o.payload.inputs.eq(self.i.payload),
            self.o.payload.first.eq(first),
            self.o.payload.last.eq(last),
        ]
        with m.If(taken):
            m.d.sync += step.eq(step + 1)
            with m.If(last):
                m.d.sync += step.eq(0)
        forwards, drains = self._gates(m, first, last)
        m.d.comb += [
            self.o.valid.eq(self.i.valid & forwards),
            self.i.ready.eq((self.o.ready & forwards) | drains),
        ]
        return m

    def _gates(self, m: Module, first: Signal, last: Signal) -> tuple[Value, Value]:
        """Whether steps are passed on, and whether they are taken and dropped."""
        if self.capacity is None:
            return Const(1), Const(0)
        m.submodules.undecided = undecided = Undecided(capacity=self.capacity)
        drains = Signal()
        cut = Signal()  # the inference was decided while a step was on offer
        cuts = Signal()
        m.d.comb += [
            undecided.begun.eq(self.o.valid & self.o.ready & first),
            undecided.decided.eq(self.decided),
            cuts.eq(cut | (self.decided & undecided.single & ~first)),
        ]
        with m.If(self.i.valid & self.i.ready & last):
            m.d.sync += [cut.eq(0), drains.eq(0)]
        with m.Elif(cuts):
            stalled = self.o.valid & ~self.o.ready
            m.d.sync += [cut.eq(stalled), drains.eq(~stalled)]
        return ~drains & ~(first & undecided.full), drains
