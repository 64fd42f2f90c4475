"""The linear readout with its weights in memory."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from convexon.plan.fold import FoldPlan, readout_plan
from convexon.plan.mapping import Folded
from convexon.snn.fixed import Interval
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import ReadoutMode
from convexon_hdl.core.readout import ScoresLayout
from convexon_hdl.core.stage import StepLayout
from convexon_hdl.folded.accumulator import EventAccumulator


class ScoreAccumulator(EventAccumulator):
    """Sums up scores: from the bias on, and where spikes are counted over a whole inference.

    Sums over steps leave after an inference's last step or, for early decisions, after every step.
    """

    def __init__(self, plan: FoldPlan, *, over_steps: bool, every_step: bool = False) -> None:
        self.over_steps = over_steps
        self.every_step = every_step
        super().__init__(plan)

    @property
    def keeps_sums(self) -> bool:
        """Whether sums go on after they have left, until an inference begins."""
        return self.over_steps and self.every_step

    def starts(self) -> list[int]:
        """Biases."""
        return [int(bias) for bias in self.plan.layer.biases]

    def intervals(self) -> list[Interval]:
        """Ranges of the scores, which hold those of all their parts."""
        return list(self.plan.ranges.current)

    def hands_over(self, tags: Value) -> Value:
        """Every step, or an inference's last."""
        return tags[1] if self.over_steps and not self.every_step else Const(1)

    def restarts(self, leaves: Value, anew: Value) -> Value:
        """Sums that leave while they go on can only be forgotten when an inference begins."""
        return anew if self.keeps_sums else leaves


class FoldedReadout(wiring.Component):
    """Scores of the features, as `convexon_hdl.core.readout.Readout`, a row for each feature.

    ``LAST`` and ``SIGN`` read the last step of an inference alone, so that all others are taken at
    once; ``COUNT`` and ``STEP`` read every step. Scores go to ``o`` in the clock in which they are
    handed over. A step that gives a result waits, before its pass ends, until the last result has
    been taken.

    With ``every_step``, for early decisions, the scores of ``COUNT`` are given after every step.

    Latency and interval follow from the spikes: `convexon.plan.schedule`. Resources: those of
    `EventAccumulator` with a lane for each class, and flip-flops for the scores.
    """

    def __init__(
        self, network: FixedPointNetwork, *, choice: Folded, every_step: bool = False
    ) -> None:
        self.network = network
        self.choice = choice
        self.every_step = every_step
        super().__init__(
            {
                "i": In(stream.Signature(StepLayout(network, network.depth))),
                "o": Out(stream.Signature(ScoresLayout(network, every_step=every_step))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the accumulator and its streams."""
        m = Module()
        network, mode = self.network, self.network.readout_mode
        accumulator = ScoreAccumulator(
            readout_plan(network, self.choice),
            over_steps=mode is ReadoutMode.COUNT,
            every_step=self.every_step,
        )
        m.submodules.accumulator = accumulator
        reads = Signal(init=1)
        if mode in (ReadoutMode.LAST, ReadoutMode.SIGN):
            m.d.comb += reads.eq(self.i.payload.last)
        features = [self.i.payload[f"branch{b}"] for b in range(len(network.branches))]
        m.d.comb += [
            accumulator.i.valid.eq(self.i.valid & reads),
            accumulator.i.payload.inputs.eq(Cat(features)),
            accumulator.i.payload.first.eq(self.i.payload.first),
            accumulator.i.payload.last.eq(self.i.payload.last),
            self.i.ready.eq(accumulator.i.ready | ~reads),
            accumulator.settled.eq(1),
        ]
        gives, due = Signal(), Signal()
        always = self.every_step or mode is ReadoutMode.STEP
        m.d.comb += [
            gives.eq(1 if always else accumulator.ends_inference),
            accumulator.credit.eq(~due | ~gives),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [self.o.valid.eq(0), due.eq(0)]
        with m.If(accumulator.begins & gives):
            m.d.sync += due.eq(1)
        with m.If(accumulator.valid):
            m.d.sync += [self.o.valid.eq(1), self.o.payload.last.eq(accumulator.o.last)]
            if self.every_step:
                m.d.sync += self.o.payload.first.eq(accumulator.o.first)
            for c in range(network.n_classes):
                m.d.sync += self.o.payload.scores[c].eq(accumulator.o.sums[c])
        return m
