"""What a neuron must compute, and the ranges that it must keep to.

The ranges that size a neuron come from `convexon.snn.ranges`, and so do those that are asserted
here. That is no circle, as nothing is assumed of them: they are the invariant of the induction. The
prover must show, of the RTL and for every current, that a step from any membrane in the range of
step t ends in the range of step t + 1. A range that is too narrow is left by some run, which the
prover finds, so a fault in the analysis is refuted like one in the hardware; a test has such
ranges. What is assumed is the range of the current alone, a sum of constants that
`convexon.snn.ranges` bounds term by term.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring

from convexon.errors import InputError
from convexon.snn.fixed import Interval, width_of
from convexon.snn.neuron import Leak, Reset
from convexon.snn.ranges import leaked, reset_range
from convexon_hdl.core.lif import NeuronParameters
from convexon_hdl.formal.specs.blocks import (
    Specification,
    anything,
    counted,
    delayed,
    filled,
    within,
)


@dataclass(frozen=True)
class Rules:
    """What the contract of `convexon.snn.neuron` leaves open."""

    leak: Leak
    reset: Reset
    saturation: Interval | None
    """Limits of the membrane where it saturates."""

    def clamped(self, value: Value) -> Value:
        """A membrane within its limits."""
        if self.saturation is None:
            return value
        upper = Mux(value > self.saturation.high, self.saturation.high, value)
        return Mux(value < self.saturation.low, self.saturation.low, upper)


class PlainStep:
    """One step by the contract, written down plainly, in registers far wider than needed.

    It goes from ``start``, v or 0 where an inference begins, with ``current`` I, to ``plain``, u;
    ``integrated``, u after saturation; ``fired``; and ``after``, v after the step. The registers
    have room for d * v of all in ``span``, and for values outside on which the solver starts an
    induction.
    """

    def __init__(
        self,
        m: Module,
        rules: Rules,
        *,
        start: Value,
        current: Value,
        threshold: Value | int,
        span: Interval,
    ) -> None:
        shape = signed(width_of(span) + rules.leak.f + 3)
        self.plain, self.integrated, self.after = (
            Signal(shape, name=name) for name in ("plain", "integrated", "after")
        )
        self.fired = self.integrated >= threshold
        spared = self.integrated - threshold if rules.reset is Reset.SUBTRACT else 0
        reset = Mux(self.fired, spared, self.integrated)
        leak = rules.leak
        m.d.comb += [
            self.plain.eq(start - ((start * leak.d) >> leak.f) + current),
            self.integrated.eq(rules.clamped(self.plain)),
            self.after.eq(rules.clamped(self.integrated if rules.reset is Reset.NONE else reset)),
        ]


@dataclass(eq=False)
class NeuronSpecification(Elaboratable):
    """A neuron never overflows and computes what `convexon.snn.neuron` states.

    It has the ports of a `LIF`, and runs beside the contract, with the same steps and currents. The
    current takes any value of its range in every clock, steps come and stall freely, and an
    inference has ``n_steps`` steps. Asserted in every clock: after step t the membrane lies in the
    range that interval analysis gives for step t, which makes the property inductive and checks the
    analysis too; the value before saturation and threshold lies in the range that sizes it; and
    spikes and membranes of both are equal. Without a neuron, so much is asserted of the contract.
    """

    neuron: wiring.Component | None = None
    _: KW_ONLY
    parameters: NeuronParameters
    n_steps: int

    def __post_init__(self) -> None:
        if self.n_steps < 1:
            raise InputError(f"n_steps must be at least 1, not {self.n_steps!r}")

    def elaborate(self, platform: object) -> Module:
        """Build the contract and the property."""
        m = Module()
        parameters, neuron = self.parameters, self.neuron
        rules = Rules(parameters.leak, parameters.reset, parameters.saturation)
        spike, enable = Signal(), Signal()
        step = counted(m, self.n_steps, enable)
        span = parameters.integrated | parameters.membrane
        membrane = Signal(signed(width_of(span) + rules.leak.f + 3))
        plain = PlainStep(
            m,
            rules,
            start=Mux(step == 0, 0, membrane),
            current=self._current(m),
            threshold=parameters.threshold,
            span=span,
        )
        m.d.comb += enable.eq(AnySeq(1))
        with m.If(enable):
            m.d.sync += [membrane.eq(plain.after), spike.eq(plain.fired)]
        m.d.comb += Assert(within(plain.plain, parameters.integrated))
        for t, interval in enumerate(self._ranges()):
            with m.If(step == t):
                m.d.comb += Assert(within(membrane, interval))
        if neuron is not None:
            m.submodules.neuron = neuron
            m.d.comb += [
                neuron.enable.eq(enable),
                neuron.first.eq(step == 0),
                Assert(neuron.membrane == membrane),
                Assert(neuron.spike == spike),
            ]
        return m

    def _current(self, m: Module) -> Value:
        """Any current of its range; a neuron's are driven to it, in both parts where it has two."""
        parameters, neuron = self.parameters, self.neuron
        if neuron is None or "surplus" not in neuron.signature.members:
            current = anything(m, parameters.current, name="current")
            if neuron is not None:
                m.d.comb += neuron.current.eq(current)
            return current
        forward = anything(m, parameters.forward, name="forward")
        lateral = anything(m, parameters.lateral, name="lateral")
        m.d.comb += [
            neuron.current.eq(forward),
            neuron.surplus.eq(forward - parameters.threshold),
            neuron.lateral.eq(lateral),
        ]
        return forward + lateral

    def _ranges(self) -> list[Interval]:
        """Range of v when step t is due, for t = 0 .. n_steps - 1; step 0 also follows the last."""
        parameters, limits = self.parameters, self.parameters.saturation
        ranges = [Interval(0, 0)]
        for _ in range(self.n_steps):
            low, high = (leaked(v, parameters.leak) for v in (ranges[-1].low, ranges[-1].high))
            integrated = Interval(low, high) + parameters.current
            if limits is not None:
                integrated = integrated.clamped(limits)
            after = reset_range(integrated, parameters.threshold, parameters.reset)
            ranges.append(after if limits is None else after.clamped(limits))
        return [ranges[0] | ranges[-1], *ranges[1:-1]]


@dataclass(eq=False, kw_only=True)
class LaneSpecification(Specification):
    """A lane computes what `convexon.snn.neuron` states, three clocks later, for every v and I.

    Membrane, sum, bias and threshold take any values of their ranges in every clock, but for those
    with which I, u or the new v would leave theirs. No neuron has such: `NeuronSpecification`
    proves for each that its I, u and v keep to its own ranges, of which the lane's are the hull.
    """

    LATENCY = 3

    rules: Rules
    ranges: Mapping[str, Interval]
    """Of the lane's inputs ``membrane``, ``total``, ``bias`` and ``threshold``, of ``current`` and
    ``integrated``."""

    def state(self, m: Module) -> None:
        """Build the contract, and carry its results as far as the lane's."""
        lane, ranges, values = self.component, self.ranges, {}
        for name in ("membrane", "total", "bias", "threshold"):
            values[name] = anything(m, ranges[name], name=f"any_{name}")
            m.d.comb += getattr(lane, name).eq(values[name])
        m.d.comb += lane.first.eq(AnySeq(1))
        current = values["total"] + values["bias"]
        step = PlainStep(
            m,
            self.rules,
            start=Mux(lane.first, 0, values["membrane"]),
            current=current,
            threshold=values["threshold"],
            span=ranges["integrated"] | ranges["membrane"] | ranges["current"],
        )
        m.d.comb += [
            Assume(within(current, ranges["current"])),
            Assume(within(step.plain, ranges["integrated"])),
            Assume(within(step.after, ranges["membrane"])),
        ]
        ready = filled(m, self.LATENCY)
        m.d.comb += [
            Assert(~ready | (lane.spike == delayed(m, step.fired, self.LATENCY))),
            Assert(~ready | (lane.next_membrane == delayed(m, step.after, self.LATENCY))),
        ]
