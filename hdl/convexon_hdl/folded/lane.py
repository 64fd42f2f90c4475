"""One of the neurons that are updated side by side, as `convexon.snn.neuron` states it."""

from __future__ import annotations

from amaranth.hdl import Array, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from convexon.plan.fold import FoldPlan, sum_intervals
from convexon.snn.fixed import Interval, width_of
from convexon.snn.neuron import Leak, Reset
from convexon_hdl.arith.arithmetic import (
    Operand,
    add_all,
    delayed,
    node,
    registered,
    resize,
    saturate,
)
from convexon_hdl.arith.neuron import after_late_reset, after_reset, fired, leaked


class LIFLane(wiring.Component):
    """Updates one neuron a clock, each another one.

    ::

        next_synaptic = synaptic - ((d_i * synaptic) >> f_i) + sum + bias    with a synaptic current
        u = sat(v - ((d * v) >> f) + sum + bias | next_synaptic)
            less theta if v >= theta, with a late reset: then the step before has fired
        spike = u >= theta
        next_membrane = sat(u - theta * spike) | reset_to if spike else u | u

    Where ``first`` is high, v and i are 0, whatever ``membrane`` and ``synaptic`` say. Threshold
    and bias are inputs, as they differ from neuron to neuron; where all are equal they are
    constants. So is the leak, by its place among those that there are. Nothing is assumed of the
    inputs but that they belong together: the ranges that size the lane are the hull of those of all
    neurons.

    Latency: 3 clocks, each with about one adder. Resources: five adders of a membrane's width, one
    more for each signed digit of d beyond the first, less where bias or threshold is constant; for
    a synaptic current one adder, and those of its leak, in the first clock.
    """

    def __init__(self, plan: FoldPlan) -> None:
        self.plan = plan
        self.bias_interval = Interval.hull(plan.layer.biases)
        self.threshold_interval = Interval.hull(plan.layer.thresholds)
        self.sum_interval = Interval.union(sum_intervals(plan))
        self.membrane_interval = Interval.union(plan.ranges.membrane)
        membrane = signed(width_of(self.membrane_interval))
        self.synaptic_interval = Interval.union(plan.ranges.synaptic or plan.ranges.current)
        more: dict[str, wiring.Member] = {}
        self.reset_interval = Interval.hull([0] if plan.layer.resets is None else plan.layer.resets)
        if plan.layer.resets is not None:
            more["reset_to"] = In(signed(width_of(self.reset_interval)))
        if plan.layer.synapse is not None:
            state = signed(width_of(self.synaptic_interval))
            more |= {"synaptic": In(state), "next_synaptic": Out(state)}
        super().__init__(
            {
                "first": In(1),
                "membrane": In(membrane),  # v before the step
                "total": In(signed(width_of(self.sum_interval))),  # over the sources
                "bias": In(signed(width_of(self.bias_interval))),
                "threshold": In(signed(width_of(self.threshold_interval))),
                "spike": Out(1),
                "next_membrane": Out(membrane),  # v after the reset
                **more,  # what a reset leaves; i before and after the step
                **({"leak": In(range(len(plan.leaks)))} if len(plan.leaks) > 1 else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the three clocks."""
        m = Module()
        layer, ranges = self.plan.layer, self.plan.ranges
        limits = None if layer.saturation is None else layer.saturation.interval
        start = node(m, Mux(self.first, 0, self.membrane), self.membrane_interval, name="start")
        bias = _input(self.bias, self.bias_interval)
        threshold = _input(self.threshold, self.threshold_interval)
        total = add_all(m, [Operand(self.total, self.sum_interval), bias], name="current")
        total = resize(m, total, Interval.union(ranges.current), name="current")
        if layer.synapse is not None:
            total = self._synaptic(m, total, layer.synapse)
        if layer.reset is Reset.LATE:
            fires = fired(start, threshold) & ~self.first
            total = after_late_reset(m, total, threshold, fires)
        current = registered(m, total, name="current_1")
        remaining = registered(m, self._leaked(m, start), name="remaining_1")
        threshold = registered(m, threshold, name="threshold_1")
        to = Operand.constant(0)
        if layer.resets is not None:
            to = registered(m, _input(self.reset_to, self.reset_interval), name="reset_1")

        integrated = add_all(m, [remaining, current], name="integrated")
        range_of_u = Interval.union(ranges.integrated)
        integrated = resize(m, integrated, range_of_u, name="integrated_resized")
        integrated = saturate(m, integrated, limits, name="integrated_saturated")
        integrated = registered(m, integrated, name="integrated_2")
        threshold = registered(m, threshold, name="threshold_2")
        to = registered(m, to, name="reset_2")

        spike = Signal(name="fired")
        m.d.comb += spike.eq(fired(integrated, threshold))
        after = after_reset(m, integrated, threshold, spike, layer.reset, to)
        after = saturate(m, after, limits, name="after_reset_saturated")
        after = resize(m, after, self.membrane_interval, name="after_reset_resized")
        m.d.sync += [self.spike.eq(spike), self.next_membrane.eq(after.value)]
        return m

    def _leaked(self, m: Module, start: Operand) -> Operand:
        """What the neuron's leak leaves of the membrane."""
        parts = [leaked(m, start, leak) for leak in self.plan.leaks]
        if len(parts) == 1:
            return parts[0]
        chosen = Array([part.value for part in parts])[self.leak]
        return node(m, chosen, Interval.union(part.interval for part in parts), name="remaining")

    def _synaptic(self, m: Module, current: Operand, leak: Leak) -> Operand:
        """The synaptic current of the step, which leaves beside the membrane."""
        start = Mux(self.first, 0, self.synaptic)
        state = node(m, start, self.synaptic_interval, name="synaptic_start")
        total = add_all(m, [leaked(m, state, leak), current], name="synaptic_total")
        total = resize(m, total, self.synaptic_interval, name="synaptic_resized")
        m.d.comb += self.next_synaptic.eq(delayed(m, total.value, clocks=3, name="synaptic_"))
        return total


def _input(value: Value, interval: Interval) -> Operand:
    """Operand of a port; a constant where a single integer is possible."""
    if interval.low == interval.high:
        return Operand.constant(interval.low)
    return Operand(value, interval)
