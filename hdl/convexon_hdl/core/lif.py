"""The leaky integrate-and-fire neuron, as `convexon.snn.neuron` states it."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Const, Module, Mux, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from convexon.snn.fixed import Interval, width_of
from convexon.snn.network import Layer
from convexon.snn.neuron import Leak, Reset
from convexon.snn.ranges import LayerRanges, weighted_range
from convexon_hdl.arith import neuron
from convexon_hdl.arith.arithmetic import (
    ZERO,
    Operand,
    add_all,
    node,
    resize,
    saturate,
    shape_of,
)


@dataclass(frozen=True, kw_only=True)
class NeuronParameters:
    """Constants of one neuron, and the exact ranges that size its hardware.

    ``current``, ``integrated`` and ``membrane`` are the ranges of I, of u before saturation, and of
    v (`convexon.snn.ranges.LayerRanges`).
    """

    threshold: int
    leak: Leak
    reset: Reset
    saturation: Interval | None
    """Limits of the membrane format where the layer saturates."""
    current: Interval
    integrated: Interval
    membrane: Interval
    lateral: Interval = ZERO
    """Range of the recurrent part of I, where a neuron is given it apart."""
    synapse: Leak | None = None
    synaptic: Interval = ZERO
    """Range of i, where the neuron has a synaptic current."""
    reset_to: int = 0
    """What a reset to zero leaves."""

    @classmethod
    def of(cls, layer: Layer, ranges: LayerRanges, j: int) -> NeuronParameters:
        """Parameters of neuron ``j`` of ``layer``."""
        lateral = ZERO
        if layer.recurrent is not None:
            lateral = weighted_range(layer.recurrent[:, j], Interval(0, 1))
        return cls(
            threshold=int(layer.thresholds[j]),
            leak=layer.leak_of(j),
            reset=layer.reset,
            saturation=None if layer.saturation is None else layer.saturation.interval,
            current=ranges.current[j],
            integrated=ranges.integrated[j],
            membrane=ranges.membrane[j],
            lateral=lateral,
            synapse=layer.synapse,
            synaptic=ranges.synaptic[j] if layer.synapse is not None else ZERO,
            reset_to=layer.reset_of(j),
        )

    @property
    def forward(self) -> Interval:
        """Range of I without its recurrent part."""
        return Interval(self.current.low - self.lateral.low, self.current.high - self.lateral.high)

    @property
    def integrates(self) -> Interval:
        """Range of what is added to the membrane: I, or the synaptic current."""
        return self.current if self.synapse is None else self.synaptic

    @property
    def below_threshold(self) -> Interval:
        """Minus theta, as what is added to a range."""
        return Interval(-self.threshold, -self.threshold)


class LIFUpdate(wiring.Component):
    """One step of one neuron, without state.

    ::

        u = sat(v - ((d * v) >> f) + current)      - theta * fired within, with a late reset
        spike = u >= theta
        next_membrane = sat(u - theta * spike) | reset_to if spike else u | u

    Exact for every v and current that can occur in an inference: the widths follow from their
    ranges. The current is I, or i where the neuron has a synaptic current.

    Latency: none, combinational. Resources: one adder for the current, one for the leak and one
    more for each signed digit of d beyond the first (none if d = 0), one for threshold and reset,
    one multiplexer; two comparators where saturation can act.
    """

    def __init__(self, parameters: NeuronParameters) -> None:
        self.parameters = parameters
        width = width_of(parameters.membrane)
        super().__init__(
            {
                "membrane": In(signed(width)),  # v before the step
                **(
                    {"fired": In(1)} if parameters.reset is Reset.LATE else {}
                ),  # s of the step before
                **self.currents(parameters),
                "spike": Out(1),
                "next_membrane": Out(signed(width)),  # v after the reset
            }
        )

    @classmethod
    def currents(cls, parameters: NeuronParameters) -> dict[str, wiring.Member]:
        """Ports that say what flows in, in the narrowest shapes of their ranges."""
        return {"current": In(shape_of(parameters.integrates))}

    def held(self, m: Module) -> Operand:
        """What is left of the membrane, less a late reset."""
        parameters = self.parameters
        held = neuron.leaked(m, Operand(self.membrane, parameters.membrane), parameters.leak)
        if parameters.reset is not Reset.LATE:
            return held
        threshold = Operand.constant(parameters.threshold)
        return neuron.after_late_reset(m, held, threshold, self.fired)

    def elaborate(self, platform: object) -> Module:
        """Build the step."""
        m = Module()
        parameters, limits = self.parameters, self.parameters.saturation
        threshold = Operand.constant(parameters.threshold)
        held, current = self.held(m), Operand(self.current, parameters.integrates)
        integrated = add_all(m, [held, current], name="total")
        integrated = resize(m, integrated, parameters.integrated, name="integrated")
        integrated = saturate(m, integrated, limits, name="integrated_saturated")
        m.d.comb += self.spike.eq(neuron.fired(integrated, threshold))
        to = Operand.constant(parameters.reset_to)
        after = neuron.after_reset(m, integrated, threshold, self.spike, parameters.reset, to)
        after = saturate(m, after, limits, name="after_reset_saturated")
        after = resize(m, after, parameters.membrane, name="after_reset_resized")
        m.d.comb += self.next_membrane.eq(after.value)
        return m


class SplitUpdate(LIFUpdate):
    """The step of `LIFUpdate` for an I that is known a clock ahead, in half the delay.

    I - theta comes beside I, so that u - theta does not wait for u::

        w = v - ((d * v) >> f) + lateral
        u = w + current                 without its recurrent part, which is lateral
        u - theta = w + surplus         its sign is the spike

    ``surplus`` is needed only where the neuron may fire and may not.

    Latency: none, combinational. Resources: those of `LIFUpdate`, and an adder for ``lateral``
    where the layer is recurrent.
    """

    @classmethod
    def currents(cls, parameters: NeuronParameters) -> dict[str, wiring.Member]:
        """I without its recurrent part, the same less theta, and the recurrent part."""
        return {
            "current": In(shape_of(parameters.forward)),
            "surplus": In(shape_of(parameters.forward + parameters.below_threshold)),
            "lateral": In(shape_of(parameters.lateral)),
        }

    def elaborate(self, platform: object) -> Module:
        """Build the step."""
        m = Module()
        parameters, limits = self.parameters, self.parameters.saturation
        lateral = Operand(self.lateral, parameters.lateral)
        held = self.held(m)
        if parameters.lateral != ZERO:
            held = add_all(m, [held, lateral], name="held")
        below = parameters.below_threshold
        current = Operand(self.current, parameters.forward)
        surplus = Operand(self.surplus, parameters.forward + below)
        integrated = add_all(m, [held, current], name="total")
        integrated = resize(m, integrated, parameters.integrated, name="integrated")
        above = add_all(m, [held, surplus], name="above")
        above = resize(m, above, parameters.integrated + below, name="above_threshold")
        integrated = saturate(m, integrated, limits, name="integrated_saturated")
        fires = neuron.fired(integrated, Operand.constant(parameters.threshold))
        if not isinstance(fires, Const):
            # Saturation moves u across no threshold within its limits: the unclamped sign is right.
            fires = ~above.value[-1]
        m.d.comb += self.spike.eq(fires)
        after = integrated
        resets = parameters.reset in (Reset.SUBTRACT, Reset.ZERO)
        if integrated.interval.high >= parameters.threshold and resets:
            if parameters.reset is Reset.ZERO:
                above = Operand.constant(parameters.reset_to)
            elif limits is not None:  # u was clamped before theta was taken off
                above = saturate(m, above, limits + below, name="above_clamped")
                above = saturate(m, above, limits, name="above_saturated")
            after = neuron.chosen(m, self.spike, above, integrated)
        after = resize(m, after, parameters.membrane, name="after_reset_resized")
        m.d.comb += self.next_membrane.eq(after.value)
        return m


class LIF(wiring.Component):
    """A neuron: one step (`LIFUpdate`), and its registers.

    In a clock with ``enable``, the neuron takes one step from v and i (from 0 if ``first``) with
    ``current`` I; from the next clock on, ``spike``, ``membrane`` and ``synaptic`` (where there is
    a synaptic current) hold s, v and i of that step until another one is taken. ::

        i = i - ((d_i * i) >> f_i) + I

    With ``split``, the currents are known a clock ahead, and the step is that of `SplitUpdate`. A
    neuron with a synaptic current cannot have it, as i is not known ahead.

    Latency: 1 clock. Resources: those of the step, width of v + 1 flip-flops, and one gate per bit
    of v for ``first``; as many for i, and its adders, as for v and its leak.
    """

    def __init__(self, parameters: NeuronParameters, *, split: bool = False) -> None:
        self.parameters = parameters
        self.split = split
        self._update = SplitUpdate if split else LIFUpdate
        currents, states = self._update.currents(parameters), {}
        if parameters.synapse is not None:
            currents = {"current": In(shape_of(parameters.current))}
            states = {"synaptic": Out(signed(width_of(parameters.synaptic)))}
        super().__init__(
            {
                "enable": In(1),
                "first": In(1),
                **currents,
                "spike": Out(1),
                "membrane": Out(signed(width_of(parameters.membrane))),
                **states,
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the registers around the step."""
        m = Module()
        m.submodules.update = update = self._update(self.parameters)
        m.d.comb += update.membrane.eq(Mux(self.first, 0, self.membrane))
        if self.parameters.reset is Reset.LATE:
            m.d.comb += update.fired.eq(self.spike & ~self.first)
        if self.parameters.synapse is not None:
            m.d.comb += update.current.eq(self._synaptic(m, self.parameters.synapse))
        else:
            for name in update.currents(self.parameters):
                m.d.comb += getattr(update, name).eq(getattr(self, name))
        with m.If(self.enable):
            m.d.sync += [self.spike.eq(update.spike), self.membrane.eq(update.next_membrane)]
        return m

    def _synaptic(self, m: Module, leak: Leak) -> Value:
        """The synaptic current of the step, which its register takes."""
        parameters = self.parameters
        start = Mux(self.first, 0, self.synaptic)
        state = node(m, start, parameters.synaptic, name="synaptic_start")
        current = Operand(self.current, parameters.current)
        held = neuron.leaked(m, state, leak)
        total = add_all(m, [held, current], name="synaptic_total")
        total = resize(m, total, parameters.synaptic, name="synaptic_resized")
        with m.If(self.enable):
            m.d.sync += self.synaptic.eq(total.value)
        return total.value
