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

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Elaboratable, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import wiring

from convexon.errors import InputError
from convexon.snn.fixed import Interval, width_of
from convexon.snn.neuron import Leak, LeakRounding, Reset
from convexon.snn.ranges import ZERO, held_range, leaked_range, reset_range
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
    synapse: Leak | None
    """Leak of the synaptic current where there is one."""

    def clamped(self, value: Value) -> Value:
        """A membrane within its limits."""
        if self.saturation is None:
            return value
        upper = Mux(value > self.saturation.high, self.saturation.high, value)
        return Mux(value < self.saturation.low, self.saturation.low, upper)


class PlainStep:
    """One step by the contract, written down plainly, in registers far wider than needed.

    It goes from ``held``, what the leak leaves of v, with ``current`` i, to ``plain``, u;
    ``integrated``, u after saturation; ``fired``; and ``after``, v after the step. ``before`` is
    the spike of the step before. The registers have room for d * v of all in ``span``, and for
    values outside on which the solver starts an induction.
    """

    def __init__(
        self,
        m: Module,
        rules: Rules,
        *,
        held: Value,
        before: Value,
        current: Value,
        threshold: Value | int,
        span: Interval,
        reset_to: Value | int = 0,
    ) -> None:
        shape = _roomy(span, rules.leak)
        self.plain, self.integrated, self.after = (
            Signal(shape, name=name) for name in ("plain", "integrated", "after")
        )
        self.fired = self.integrated >= threshold
        spared = self.integrated - threshold if rules.reset is Reset.SUBTRACT else reset_to
        reset = Mux(self.fired, spared, self.integrated)
        late = Mux(before, threshold, 0) if rules.reset is Reset.LATE else 0
        keeps = rules.reset in (Reset.NONE, Reset.LATE)
        m.d.comb += [
            self.plain.eq(held + current - late),
            self.integrated.eq(rules.clamped(self.plain)),
            self.after.eq(rules.clamped(self.integrated if keeps else reset)),
        ]


def _roomy(span: Interval, leak: Leak) -> Shape:
    """A shape with room for d times all in ``span``, and more."""
    return signed(width_of(span) + leak.f + 3)


def _leaked(value: Value, leak: Leak) -> Value:
    if leak.rounding is LeakRounding.DOWN:
        return value - ((value * leak.d) >> leak.f)
    left = value * ((1 << leak.f) - leak.d)
    return Mux(left < 0, -(-left >> leak.f), left >> leak.f)


def _synaptic(m: Module, leak: Leak, start: Value, current: Value, span: Interval) -> Signal:
    """The synaptic current after a step, as plain as `PlainStep`."""
    synaptic = Signal(_roomy(span, leak))
    m.d.comb += synaptic.eq(_leaked(start, leak) + current)
    return synaptic


@dataclass(eq=False)
class NeuronSpecification(Elaboratable):
    """A neuron never overflows and computes what `convexon.snn.neuron` states.

    It has the ports of a `LIF`, and runs beside the contract, with the same steps and currents. The
    current takes any value of its range in every clock, steps come and stall freely, and an
    inference has ``n_steps`` steps. Asserted in every clock: after step t the membrane lies in the
    range that interval analysis gives for step t, which makes the property inductive and checks the
    analysis too, and so does the synaptic current; the value before saturation and threshold lies
    in the range that sizes it; and spikes, membranes and synaptic currents of both are equal.
    Without a neuron, so much is asserted of the contract.
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
        rules = Rules(parameters.leak, parameters.reset, parameters.saturation, parameters.synapse)
        spike, enable = Signal(), Signal()
        step = counted(m, self.n_steps, enable)
        to = parameters.reset_to
        span = parameters.integrated | parameters.membrane | Interval(to, to)
        membrane = Signal(_roomy(span, rules.leak))
        ranges, synaptic_ranges = self._ranges()
        current = self._current(m)
        if rules.synapse is not None:
            synaptic = Signal(_roomy(parameters.synaptic, rules.synapse))
            start = Mux(step == 0, 0, synaptic)
            current = _synaptic(m, rules.synapse, start, current, parameters.synaptic)
            with m.If(enable):
                m.d.sync += synaptic.eq(current)
            _assert_by_step(m, step, synaptic, synaptic_ranges)
            m.d.comb += Assert(within(synaptic, parameters.synaptic))
            if neuron is not None:
                m.d.comb += Assert(neuron.synaptic == synaptic)
        plain = PlainStep(
            m,
            rules,
            held=_leaked(Mux(step == 0, 0, membrane), rules.leak),
            before=spike & (step != 0),
            current=current,
            threshold=parameters.threshold,
            span=span,
            reset_to=to,
        )
        m.d.comb += enable.eq(AnySeq(1))
        with m.If(enable):
            m.d.sync += [membrane.eq(plain.after), spike.eq(plain.fired)]
        m.d.comb += Assert(within(plain.plain, parameters.integrated))
        _assert_by_step(m, step, membrane, ranges)
        if rules.reset is Reset.LATE:  # the range of the next step follows from both
            fired = membrane >= parameters.threshold
            m.d.comb += Assert((step == 0) | (spike == fired))
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

    def _ranges(self) -> tuple[list[Interval], list[Interval]]:
        """Ranges of v and i when step t is due, for each t; step 0 also follows the last."""
        parameters, limits = self.parameters, self.parameters.saturation
        ranges, currents = [ZERO], [ZERO]
        held = ZERO
        for _ in range(self.n_steps):
            current = parameters.current
            if parameters.synapse is not None:
                current = leaked_range(currents[-1], parameters.synapse) + current
            currents.append(current)
            integrated = held + current
            if limits is not None:
                integrated = integrated.clamped(limits)
            after = reset_range(
                integrated, parameters.threshold, parameters.reset, parameters.reset_to
            )
            ranges.append(after if limits is None else after.clamped(limits))
            held = held_range(ranges[-1], parameters.threshold, parameters.leak, parameters.reset)
        membranes, synaptic = ([each[0] | each[-1], *each[1:-1]] for each in (ranges, currents))
        return membranes, synaptic


def _assert_by_step(m: Module, step: Value, value: Value, ranges: Sequence[Interval]) -> None:
    """Assert that a state lies in its range for the step that is due."""
    for t, interval in enumerate(ranges):
        with m.If(step == t):
            m.d.comb += Assert(within(value, interval))


@dataclass(eq=False, kw_only=True)
class LaneSpecification(Specification):
    """A lane computes what `convexon.snn.neuron` states, three clocks later, for every v and I.

    Membrane, synaptic current, sum, bias and threshold take any values of their ranges in every
    clock, but for those with which I, u, or the new v or i would leave theirs. No neuron has such:
    `NeuronSpecification` proves for each that its I, u, v and i keep to its own ranges, of which
    the lane's are the hull.
    """

    LATENCY = 3

    rules: Rules
    leaks: Sequence[Leak]
    """Which of them, the lane's input ``leak`` says; all have the f of the rules' own."""
    ranges: Mapping[str, Interval]
    """Of the lane's inputs ``membrane``, ``total``, ``bias``, ``threshold`` and, where it has one,
    ``synaptic`` and ``reset_to``; of ``current`` and ``integrated``."""

    def state(self, m: Module) -> None:
        """Build the contract, and carry its results as far as the lane's."""
        lane, ranges, values = self.component, self.ranges, {}
        for name in ("membrane", "total", "bias", "threshold", "reset_to"):
            if name not in ranges:
                continue
            values[name] = anything(m, ranges[name], name=f"any_{name}")
            m.d.comb += getattr(lane, name).eq(values[name])
        m.d.comb += lane.first.eq(AnySeq(1))
        total = current = values["total"] + values["bias"]
        ready = filled(m, self.LATENCY)
        if self.rules.synapse is not None:
            span = ranges["synaptic"]
            state = anything(m, span, name="any_synaptic")
            start = Mux(lane.first, 0, state)
            current = _synaptic(m, self.rules.synapse, start, total, span | ranges["current"])
            expected = delayed(m, current, self.LATENCY)
            m.d.comb += [
                lane.synaptic.eq(state),
                Assume(within(current, span)),
                Assert(~ready | (lane.next_synaptic == expected)),
            ]
        step = PlainStep(
            m,
            self.rules,
            held=self._held(m, Mux(lane.first, 0, values["membrane"])),
            before=~lane.first & (values["membrane"] >= values["threshold"]),
            current=current,
            threshold=values["threshold"],
            span=Interval.union(
                ranges[name] for name in ranges if name not in ("total", "bias", "threshold")
            ),
            reset_to=values.get("reset_to", 0),
        )
        m.d.comb += [
            Assume(within(total, ranges["current"])),
            Assume(within(step.plain, ranges["integrated"])),
            Assume(within(step.after, ranges["membrane"])),
        ]
        m.d.comb += [
            Assert(~ready | (lane.spike == delayed(m, step.fired, self.LATENCY))),
            Assert(~ready | (lane.next_membrane == delayed(m, step.after, self.LATENCY))),
        ]

    def _held(self, m: Module, start: Value) -> Value:
        """What the leak of the neuron at hand leaves of the membrane."""
        held = _leaked(start, self.leaks[0])
        if len(self.leaks) > 1:
            place = anything(m, Interval(0, len(self.leaks) - 1), name="any_leak")
            m.d.comb += self.component.leak.eq(place)
            for k, leak in enumerate(self.leaks[1:], 1):
                held = Mux(place == k, _leaked(start, leak), held)
        return held
