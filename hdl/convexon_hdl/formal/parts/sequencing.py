"""Proof that the source counts the steps of inferences, and ends those that were decided."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Const, Elaboratable, Module, Mux, Signal, Value

from convexon_hdl.core.sequencer import Sequencer
from convexon_hdl.formal.netlist.emitted import Emitted
from convexon_hdl.formal.netlist.part import StandIn
from convexon_hdl.formal.obligation import Obligation, by_induction
from convexon_hdl.formal.specs.blocks import free, offer


@dataclass(frozen=True, eq=False)
class Account:
    """Inferences that a source has begun, in plain registers.

    Members
    -------
    met : Signal
        The one on its way was decided before this clock.
    over : Value
        It was, or is in this clock.
    undecided : Value
        How many that have begun were not decided before this clock.
    """

    met: Signal
    over: Value
    undecided: Value


def account(m: Module, decided: Signal, *, first: Value, ends: Value, capacity: int) -> Account:
    """Keep the account of a source that begins and ends inferences.

    ``first`` is high while the next step is the first of its inference, ``ends`` in the clock
    before it becomes so. ``decided`` is driven freely while an inference has begun and is
    undecided, and means the oldest of these.
    """
    earlier, met = Signal(range(capacity + 2)), Signal()
    undecided, over = Signal(range(capacity + 3)), Signal()
    m.d.comb += [
        undecided.eq(earlier + (~first & ~met)),
        over.eq(met | (decided & (earlier == 0))),
        decided.eq(AnySeq(1)),
        Assume(~decided | (undecided != 0)),
        Assert(undecided <= capacity),
        Assert(~first | ~met),
    ]
    m.d.sync += [
        earlier.eq(earlier - (decided & (earlier != 0)) + (ends & ~over)),
        met.eq(over & ~ends),
    ]
    return Account(met, over, undecided)


class SequencerSpecification(Elaboratable):
    """A sequencer passes every step on in its clock, and tags step 0 and step T - 1 of T.

    Steps are offered and accepted freely. Its counter of steps equals a plain counter of transfers,
    modulo T, from reset on.

    With ``capacity``, decisions are free too. A step that is there is offered, unless its inference
    was decided before and no step of it still waits to be accepted, or it would be the first of too
    many inferences. A step of a decided inference that is not offered is accepted and dropped at
    once.

    Parameters
    ----------
    sequencer : StandIn
        Watched: ``step``; with ``capacity`` also ``count``, ``cut`` and ``drains``.
    n_steps : int
    capacity : int or None
        Most inferences under way, where they may end early.
    """

    def __init__(self, sequencer: StandIn, *, n_steps: int, capacity: int | None) -> None:
        self.sequencer = sequencer
        self.n_steps = n_steps
        self.capacity = capacity

    def elaborate(self, platform: object) -> Module:
        """Build the counter, the account and the comparison."""
        m = Module()
        m.submodules.sequencer = sequencer = self.sequencer
        i, o = sequencer.i, sequencer.o
        free(m, i.payload, o.ready)
        step = Signal(range(self.n_steps + 1))
        taken, first, last = Signal(), Signal(), Signal()
        m.d.comb += [
            taken.eq(i.valid & i.ready),
            first.eq(step == 0),
            last.eq(step == self.n_steps - 1),
        ]
        with m.If(taken):
            m.d.sync += step.eq(Mux(last, 0, step + 1))
        offers, drops = self._exits(m, first, taken & last)
        m.d.comb += [
            Assert(step < self.n_steps),
            Assert(sequencer.step == step),
            Assert(o.valid == (i.valid & offers)),
            Assert(i.ready == ((o.ready & offers) | drops)),
            Assert(o.payload.first == first),
            Assert(o.payload.last == last),
            Assert(o.payload.inputs == i.payload),
        ]
        return m

    def _exits(self, m: Module, first: Signal, ends: Value) -> tuple[Value, Value]:
        """Whether steps are offered, and whether they are taken and dropped."""
        sequencer, i, o = self.sequencer, self.sequencer.i, self.sequencer.o
        if self.capacity is None:
            free(m, i.valid)
            return Const(1), Const(0)
        waits, stuck = offer(m, i.valid, i.ready), Signal()
        m.d.sync += stuck.eq(o.valid & ~o.ready)
        of = account(m, sequencer.decided, first=first, ends=ends, capacity=self.capacity)
        drops = of.met & ~stuck
        m.d.comb += [
            Assert(sequencer.count == of.undecided),
            Assert(sequencer.drains == drops),
            Assert(sequencer.cut == (of.met & stuck)),
            Assert(~stuck | waits),
        ]
        return ~drops & ~(first & (of.undecided == self.capacity)), drops


def sequencer_obligations(emitted: Emitted, sequencer: Sequencer) -> Iterator[Obligation]:
    """The counter of steps, and which of them are sent where inferences end early."""
    watched = {"step": emitted.local(sequencer, "step")}
    if sequencer.capacity is not None:
        watched |= {name: emitted.local(sequencer, name) for name in ("cut", "drains")}
        watched["count"] = emitted.local(emitted.child(sequencer, "undecided"), "count")
    yield by_induction(
        "step counter",
        emitted.path(sequencer),
        emitted.cut(sequencer, watched=watched),
        SequencerSpecification,
        n_steps=sequencer.n_steps,
        capacity=sequencer.capacity,
    )
