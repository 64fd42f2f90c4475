"""A folded layer with its streams."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from convexon.plan.fold import FoldPlan
from convexon.plan.windows import WindowPlan
from convexon.snn.neuron import Feature
from convexon_hdl.arith.arithmetic import extended
from convexon_hdl.folded.accumulator import EventAccumulator, InputLayout
from convexon_hdl.folded.updater import Updater
from convexon_hdl.folded.weights import write_port
from convexon_hdl.folded.windows import WindowAccumulator

CREDITS = 2
"""Steps whose results may be on their way or waiting: one in ``o``, one behind it."""


class OutputLayout(data.StructLayout):
    """A step that an engine completed, with features of ``width`` bits."""

    def __init__(self, plan: FoldPlan, *, width: int = 1) -> None:
        super().__init__({"features": plan.layer.n_neurons * width, "first": 1, "last": 1})


class FoldedEngine(wiring.Component):
    """A layer whose synapses lie in memory, one step after the other.

    ``EventAccumulator`` sums up the rows of a step's spikes while `Updater` is still busy with the
    sums of the step before. Spikes are collected group by group, and move to ``o`` when all of a
    step are there and ``o`` is empty or is being emptied. A step's first sums are handed over only
    when at most one earlier step waits to be accepted: so no result is lost, and ``o.valid`` never
    depends on ``o.ready``.

    Weights that are loaded at run time are written only while no result depends on them
    (`LoadGate`).

    What it gives of a neuron is a ``feature``; membranes are given in ``width`` bits each.

    Latency and interval follow from the spikes: `convexon.plan.schedule`. Resources: those of the
    parts, and two flip-flops for every bit of a neuron's feature.
    """

    def __init__(self, plan: FoldPlan, *, feature: Feature = Feature.SPIKE, width: int = 1) -> None:
        self.plan = plan
        self.feature = feature
        self.width = width if feature is Feature.MEMBRANE else 1
        super().__init__(
            {
                "i": In(stream.Signature(InputLayout(plan))),
                "o": Out(stream.Signature(OutputLayout(plan, width=self.width))),
                **write_port(plan),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the engine."""
        m = Module()
        shared = isinstance(self.plan, WindowPlan)
        kind = WindowAccumulator if shared else EventAccumulator
        m.submodules.accumulator = accumulator = kind(self.plan)
        m.submodules.updater = updater = Updater(self.plan)
        wiring.connect(m, wiring.flipped(self.i), accumulator.i)
        if self.plan.is_loaded:
            wiring.connect(m, wiring.flipped(self.write), accumulator.write)
        m.d.comb += [updater.enable.eq(accumulator.valid), updater.i.eq(accumulator.o)]
        spikes = self._collected(m, updater, updater.spikes, name="spikes")
        features = spikes
        if self.feature is Feature.MEMBRANE:
            features = self._collected(m, updater, updater.membranes, name="membranes")
        elif self.feature is Feature.SIGN:
            width = self.plan.ranges.membrane_width
            updates = self.plan.choice.updates
            signs = [updater.membranes[(k + 1) * width - 1] for k in range(updates)]
            features = self._collected(m, updater, ~Cat(signs), name="signs")
        completes = Signal()
        m.d.comb += completes.eq(updater.valid & updater.final)
        self._output(m, updater, features, completes)
        self._permissions(m, accumulator, completes)
        if self.plan.layer.recurrent is not None:
            m.d.comb += accumulator.lateral.eq(spikes)
        return m

    def _collected(self, m: Module, updater: Updater, bits: Value, *, name: str) -> Signal:
        """Bits of all groups, shifted in: the first group ends up lowest."""
        n_bits = self.plan.folds * self.plan.groups * len(bits)
        collected = Signal(n_bits, name=name)
        with m.If(updater.valid):
            m.d.sync += collected.eq(Cat(collected[len(bits) :], bits))
        return collected

    def _output(self, m: Module, updater: Updater, features: Signal, completes: Signal) -> None:
        """Move a complete step to ``o``."""
        complete, first, last = Signal(), Signal(), Signal()
        moves = Signal()
        m.d.comb += moves.eq(complete & (~self.o.valid | self.o.ready))
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(moves):
            m.d.sync += [
                complete.eq(0),
                self.o.valid.eq(1),
                self.o.payload.features.eq(self._by_neuron(features)),
                self.o.payload.first.eq(first),
                self.o.payload.last.eq(last),
            ]
        with m.If(completes):
            m.d.sync += [complete.eq(1), first.eq(updater.first), last.eq(updater.last)]

    def _by_neuron(self, collected: Value) -> Value:
        """What was collected place by place, in the order of the neurons."""
        order = self.plan.places.argsort().tolist()
        if self.feature is Feature.MEMBRANE:
            size = self.plan.ranges.membrane_width
            return Cat(extended(collected.word_select(k, size), self.width) for k in order)
        if not isinstance(self.plan, WindowPlan):
            return collected
        return Cat(collected[place] for place in order)

    def _permissions(self, m: Module, accumulator: EventAccumulator, completes: Signal) -> None:
        """When the accumulator may take a step, and when it may hand one over."""
        due = Signal(range(CREDITS + 1))
        taken = Signal()
        m.d.comb += [taken.eq(self.o.valid & self.o.ready), accumulator.credit.eq(due != CREDITS)]
        m.d.sync += due.eq(due + accumulator.begins - taken)
        if self.plan.layer.recurrent is None:
            m.d.comb += accumulator.settled.eq(1)
            return
        # The spikes that come back are those of the step before: it must be complete.
        waits = Signal()
        with m.If(completes):
            m.d.sync += waits.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += waits.eq(1)
        m.d.comb += accumulator.settled.eq(~waits)
