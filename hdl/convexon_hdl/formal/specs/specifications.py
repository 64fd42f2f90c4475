"""Specifications of parts that are no neuron: handshakes, the step counter, the tournament, a lane.

Each holds a piece of the emitted netlist (`convexon_hdl.formal.netlist.part.StandIn`) to a plain
model beside it, as those of `convexon_hdl.formal.prover` do.
"""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.asserts import AnySeq
from amaranth.hdl import (
    Assert,
    Assume,
    Cat,
    Const,
    Elaboratable,
    Module,
    Mux,
    Signal,
    Value,
    signed,
)

from convexon.snn.fixed import Interval, width_of
from convexon.snn.neuron import Reset
from convexon_hdl.arith.arithmetic import shape_of
from convexon_hdl.folded.lane import LIFLane
from convexon_hdl.formal.netlist.part import StandIn
from convexon_hdl.formal.prover import StreamSpecification


class ElasticSpecification(StreamSpecification):
    """The handshake of an elastic stage is that of a chain of registers whose bubbles close up.

    Beside what `StreamSpecification` asserts: every valid bit, ``advance``, ``enable`` and
    ``i.ready`` are in every clock those of a chain that is written down plainly. So a register that
    takes its input on ``advance`` of its place, or the last one on ``enable``, holds the transfer
    whose valid bit stands beside it.

    Parameters
    ----------
    component : StandIn
        Watched: ``valid{k}`` and ``advance{k}`` for each inner register, ``enable``, and ``last``
        where ``absorbs``.
    registers : int
    absorbs : bool
        Whether only a transfer tagged ``last`` leads to a result.
    """

    def __init__(self, component: StandIn, *, registers: int, absorbs: bool = False) -> None:
        super().__init__(component, capacity=None if absorbs else registers + 1)
        self.registers = registers
        self.absorbs = absorbs

    def elaborate(self, platform: object) -> Module:
        """Build the plain chain and the comparison."""
        m = super().elaborate(platform)
        watched, i, o = self.component.watched, self.component.i, self.component.o
        valid = [Signal(name=f"plain_valid{k}") for k in range(self.registers + 1)]
        moves: Value = ~valid[-1] | o.ready
        for k in reversed(range(self.registers + 1)):
            before = valid[k - 1] if k else i.valid
            leads: Value = Const(1)
            if k == self.registers:
                m.d.comb += Assert(watched["enable"] == (before & moves))
                leads = watched["last"] if self.absorbs else leads
            else:
                moves = ~valid[k] | moves
                m.d.comb += Assert(watched[f"advance{k}"] == moves)
            with m.If(moves):
                m.d.sync += valid[k].eq(before & leads)
            own = o.valid if k == self.registers else watched[f"valid{k}"]
            m.d.comb += Assert(own == valid[k])
        m.d.comb += Assert(i.ready == moves)
        return m

    def _occupied(self) -> Sequence[Value]:
        watched = self.component.watched
        return [*(watched[f"valid{k}"] for k in range(self.registers)), self.component.o.valid]


class CounterSpecification(Elaboratable):
    """A sequencer passes every step on in its clock, and tags step 0 and step T - 1 of T.

    The step that it counts equals that of a plain counter of transfers, modulo T, from reset on.

    Parameters
    ----------
    sequencer : StandIn
        Watched: ``step``.
    n_steps : int
    """

    def __init__(self, sequencer: StandIn, *, n_steps: int) -> None:
        self.sequencer = sequencer
        self.n_steps = n_steps

    def elaborate(self, platform: object) -> Module:
        """Build the plain counter and the comparison."""
        m = Module()
        m.submodules.sequencer = sequencer = self.sequencer
        i, o = sequencer.i, sequencer.o
        m.d.comb += [
            i.valid.eq(AnySeq(1)),
            i.payload.eq(AnySeq(len(i.payload))),
            o.ready.eq(AnySeq(1)),
        ]
        step = Signal(range(self.n_steps + 1))
        with m.If(i.valid & o.ready):
            m.d.sync += step.eq(Mux(step == self.n_steps - 1, 0, step + 1))
        m.d.comb += [
            Assert(step < self.n_steps),
            Assert(sequencer.watched["step"] == step),
            Assert(o.payload.first == (step == 0)),
            Assert(o.payload.last == (step == self.n_steps - 1)),
            Assert(o.payload.inputs == i.payload),
            Assert(o.valid == i.valid),
            Assert(i.ready == o.ready),
        ]
        return m


class TournamentSpecification(Elaboratable):
    """The label is the lowest class among those of the largest score.

    Of the scores that stand beside it in ``o.payload``, for transfers that come in every clock
    without a stall: that its registers stall together is the business of `ElasticSpecification`.
    With a single class, the label says whether its score is above 0.

    Parameters
    ----------
    argmax : StandIn
    registers : int
    """

    def __init__(self, argmax: StandIn, *, registers: int) -> None:
        self.argmax = argmax
        self.registers = registers

    def elaborate(self, platform: object) -> Module:
        """Build the comparison of every score with the winner's."""
        m = Module()
        m.submodules.argmax = argmax = self.argmax
        payload = Value.cast(argmax.i.payload)
        filled = Signal(self.registers + 1)
        m.d.comb += [
            argmax.i.valid.eq(1),
            payload.eq(AnySeq(len(payload))),
            argmax.o.ready.eq(1),
        ]
        m.d.sync += filled.eq(Cat(Const(1, 1), filled))
        scores, label = argmax.o.payload.scores, argmax.o.payload.label
        n_classes = argmax.o.payload.shape()["scores"].shape.length
        with m.If(filled[-1]):
            if n_classes == 1:
                m.d.comb += Assert(label == (scores[0] > 0))
                return m
            m.d.comb += Assert(label < n_classes)
            for winner in range(n_classes):
                beaten = [
                    scores[c] < scores[winner] if c < winner else scores[c] <= scores[winner]
                    for c in range(n_classes)
                    if c != winner
                ]
                m.d.comb += Assert((label != winner) | Cat(beaten).all())
        return m


class LaneSpecification(Elaboratable):
    """A lane computes what `convexon.snn.neuron` states, three clocks later, for every v and I.

    Membrane, sum, bias and threshold take any values of their ranges in every clock, but for those
    with which I, u or the new v would leave theirs. No neuron has such: `ContractSpecification`
    proves for each that its I, u and v keep to its own ranges, of which the lane's are the hull.

    Parameters
    ----------
    lane : StandIn
    of : LIFLane
        Component that it was emitted from: its plan and its ranges.
    """

    LATENCY = 3

    def __init__(self, lane: StandIn, *, of: LIFLane) -> None:
        self.lane = lane
        self.of = of

    def elaborate(self, platform: object) -> Module:
        """Build the contract, and carry its results as far as the lane's."""
        m = Module()
        m.submodules.lane = lane = self.lane
        of, layer, ranges = self.of, self.of.plan.layer, self.of.plan.ranges
        intervals = {
            "membrane": of.membrane_interval,
            "total": of.sum_interval,
            "bias": of.bias_interval,
            "threshold": of.threshold_interval,
        }
        values = {name: self._free(m, name, interval) for name, interval in intervals.items()}
        m.d.comb += lane.first.eq(AnySeq(1))
        u_range, v_range = Interval.union(ranges.integrated), of.membrane_interval
        width = width_of(u_range | v_range | Interval.union(ranges.current)) + layer.leak.f + 3
        names = ("current", "plain", "integrated", "after")
        current, plain, integrated, after = (Signal(signed(width), name=n) for n in names)
        start = Mux(lane.first, 0, values["membrane"])
        leak = layer.leak
        m.d.comb += [
            current.eq(values["total"] + values["bias"]),
            plain.eq(start - ((start * leak.d) >> leak.f) + current),
            integrated.eq(self._saturated(plain)),
        ]
        threshold = values["threshold"]
        fired = integrated >= threshold
        spared = integrated - threshold if layer.reset is Reset.SUBTRACT else Const(0)
        kept = integrated if layer.reset is Reset.NONE else Mux(fired, spared, integrated)
        m.d.comb += after.eq(self._saturated(kept))
        for value, interval in (
            (current, Interval.union(ranges.current)), (plain, u_range), (after, v_range)
        ):  # fmt: skip
            m.d.comb += Assume((value >= interval.low) & (value <= interval.high))
        self._compare(m, fired, after)
        return m

    def _free(self, m: Module, name: str, interval: Interval) -> Signal:
        """Drive an input of the lane to anything in ``interval``."""
        value = Signal(shape_of(interval), name=f"any_{name}")
        m.d.comb += [
            value.eq(AnySeq(value.shape())),
            Assume((value >= interval.low) & (value <= interval.high)),
            getattr(self.lane, name).eq(value),
        ]
        return value

    def _saturated(self, value: Value) -> Value:
        saturation = self.of.plan.layer.saturation
        if saturation is None:
            return value
        limits = saturation.interval
        upper = Mux(value > limits.high, limits.high, value)
        return Mux(value < limits.low, limits.low, upper)

    def _compare(self, m: Module, fired: Value, after: Signal) -> None:
        """Assert equality with what the lane's inputs led to three clocks ago."""
        filled = Signal(self.LATENCY)
        m.d.sync += filled.eq(Cat(Const(1, 1), filled))
        expected: list[Value] = [fired, after]
        for k in range(self.LATENCY):
            later = [Signal.like(v, name=f"expected{n}_{k}") for n, v in enumerate(expected)]
            m.d.sync += [target.eq(value) for target, value in zip(later, expected, strict=True)]
            expected = list(later)
        with m.If(filled[-1]):
            m.d.comb += [
                Assert(self.lane.spike == expected[0]),
                Assert(self.lane.next_membrane == expected[1]),
            ]
