"""The leaky integrate-and-fire neuron, as `convexon.snn.neuron` states it."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Module, Mux, Value, signed
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
    resize,
    saturate,
    shape_of,
)


@dataclass(frozen=True, kw_only=True)
class NeuronParameters:
    """Constants of one neuron, and the exact ranges that size its hardware.

    Members
    -------
    threshold : int
    leak : Leak
    reset : Reset
    saturation : Interval or None
        Limits of the membrane format where the layer saturates.
    current, integrated, membrane : Interval
        Ranges of I, of u before saturation, and of v (`convexon.snn.ranges.LayerRanges`).
    lateral : Interval
        Range of the recurrent part of I, where a neuron is given it apart.
    """

    threshold: int
    leak: Leak
    reset: Reset
    saturation: Interval | None
    current: Interval
    integrated: Interval
    membrane: Interval
    lateral: Interval = ZERO

    @classmethod
    def of(cls, layer: Layer, ranges: LayerRanges, j: int) -> NeuronParameters:
        """Parameters of neuron ``j`` of ``layer``."""
        lateral = ZERO
        if layer.recurrent is not None:
            lateral = weighted_range(layer.recurrent[:, j], Interval(0, 1))
        return cls(
            threshold=int(layer.thresholds[j]),
            leak=layer.leak,
            reset=layer.reset,
            saturation=None if layer.saturation is None else layer.saturation.interval,
            current=ranges.current[j],
            integrated=ranges.integrated[j],
            membrane=ranges.membrane[j],
            lateral=lateral,
        )

    @property
    def forward(self) -> Interval:
        """Range of I without its recurrent part."""
        return Interval(self.current.low - self.lateral.low, self.current.high - self.lateral.high)

    @property
    def below_threshold(self) -> Interval:
        """Minus theta, as what is added to a range."""
        return Interval(-self.threshold, -self.threshold)


class LIFUpdate(wiring.Component):
    """One step of one neuron, without state.

    ::

        u = sat(v - ((d * v) >> f) + I)
        spike = u >= theta
        next_membrane = sat(u - theta * spike) | 0 if spike else u | u

    Exact for every v and I that can occur in an inference: the widths follow from their ranges.

    Latency: none, combinational. Resources: one adder for I, one for the leak and one more for
    each signed digit of d beyond the first (none if d = 0), one for threshold and reset, one
    multiplexer; two comparators where saturation can act.

    Parameters
    ----------
    parameters : NeuronParameters

    Members
    -------
    membrane : In(signed)
        v before the step.
    current : In
        I, in the narrowest shape of its range.
    spike : Out(1)
    next_membrane : Out(signed)
        v after the reset.
    """

    def __init__(self, parameters: NeuronParameters) -> None:
        self.parameters = parameters
        width = width_of(parameters.membrane)
        super().__init__(
            {
                "membrane": In(signed(width)),
                **self.currents(parameters),
                "spike": Out(1),
                "next_membrane": Out(signed(width)),
            }
        )

    @classmethod
    def currents(cls, parameters: NeuronParameters) -> dict[str, wiring.Member]:
        """Ports that say what flows in, for the step and for the neuron around it."""
        return {"current": In(shape_of(parameters.current))}

    def leaked(self, m: Module, membrane: Operand) -> Operand:
        """Return v - ((d * v) >> f); the shift rounds toward minus infinity."""
        return neuron.leaked(m, membrane, self.parameters.leak)

    def integrated(self, m: Module, membrane: Operand, current: Operand) -> Operand:
        """Leaky v plus I, before saturation."""
        total = add_all(m, [self.leaked(m, membrane), current], name="total")
        return resize(m, total, self.parameters.integrated, name="integrated")

    def saturated(self, m: Module, value: Operand, *, name: str) -> Operand:
        """Clamp to the membrane format, where the layer chose one."""
        return saturate(m, value, self.parameters.saturation, name=name)

    def fired(self, integrated: Operand) -> Value:
        """Whether u >= theta."""
        return neuron.fired(integrated, Operand.constant(self.parameters.threshold))

    def after_reset(self, m: Module, integrated: Operand, spike: Value) -> Operand:
        """Return v after the reset, before it is clamped again."""
        threshold = Operand.constant(self.parameters.threshold)
        return neuron.after_reset(m, integrated, threshold, spike, self.parameters.reset)

    def elaborate(self, platform: object) -> Module:
        """Build the step."""
        m = Module()
        parameters = self.parameters
        membrane = Operand(self.membrane, parameters.membrane)
        current = Operand(self.current, parameters.current)
        integrated = self.integrated(m, membrane, current)
        integrated = self.saturated(m, integrated, name="integrated_saturated")
        m.d.comb += self.spike.eq(self.fired(integrated))
        after = self.after_reset(m, integrated, self.spike)
        after = self.saturated(m, after, name="after_reset_saturated")
        after = resize(m, after, parameters.membrane, name="after_reset_resized")
        m.d.comb += self.next_membrane.eq(after.value)
        return m


class SplitUpdate(LIFUpdate):
    """The step of `LIFUpdate` for a current that is known a clock ahead, in half the delay.

    I - theta comes beside I, so that u - theta does not wait for u::

        w = v - ((d * v) >> f) + lateral
        u = w + current                 without its recurrent part, which is lateral
        u - theta = w + surplus         its sign is the spike

    Latency: none, combinational. Resources: those of `LIFUpdate`, and an adder for ``lateral``
    where the layer is recurrent.

    Members
    -------
    membrane, spike, next_membrane
        As of `LIFUpdate`.
    current : In
        I without its recurrent part.
    surplus : In
        ``current - theta``; needed only where the neuron may fire and may not.
    lateral : In
        The recurrent part of I.
    """

    @classmethod
    def currents(cls, parameters: NeuronParameters) -> dict[str, wiring.Member]:
        """Ports that say what flows in, for the step and for the neuron around it."""
        return {
            "current": In(shape_of(parameters.forward)),
            "surplus": In(shape_of(parameters.forward + parameters.below_threshold)),
            "lateral": In(shape_of(parameters.lateral)),
        }

    def elaborate(self, platform: object) -> Module:
        """Build the step."""
        m = Module()
        parameters = self.parameters
        lateral = Operand(self.lateral, parameters.lateral)
        held = self.leaked(m, Operand(self.membrane, parameters.membrane))
        if parameters.lateral != ZERO:
            held = add_all(m, [held, lateral], name="held")
        below = parameters.below_threshold
        current = Operand(self.current, parameters.forward)
        surplus = Operand(self.surplus, parameters.forward + below)
        integrated = add_all(m, [held, current], name="total")
        integrated = resize(m, integrated, parameters.integrated, name="integrated")
        above = add_all(m, [held, surplus], name="above")
        above = resize(m, above, parameters.integrated + below, name="above_threshold")
        integrated = self.saturated(m, integrated, name="integrated_saturated")
        m.d.comb += self.spike.eq(self.fired_above(integrated, above))
        after = self.after_split(m, integrated, above)
        m.d.comb += self.next_membrane.eq(
            resize(m, after, parameters.membrane, name="after_reset_resized").value
        )
        return m

    def fired_above(self, integrated: Operand, above: Operand) -> Value:
        """Whether u >= theta, from the sign of u - theta."""
        threshold = self.parameters.threshold
        if integrated.interval.low >= threshold or integrated.interval.high < threshold:
            return self.fired(integrated)
        # Saturation moves u across no threshold within its limits, so the unclamped sign is right.
        return ~above.value[-1]

    def after_split(self, m: Module, integrated: Operand, above: Operand) -> Operand:
        """Return v after the reset: u, or what is above the threshold, both clamped already."""
        parameters = self.parameters
        if integrated.interval.high < parameters.threshold or parameters.reset is Reset.NONE:
            return integrated
        if parameters.reset is Reset.ZERO:
            return neuron.chosen(m, self.spike, Operand.constant(0), integrated)
        if parameters.saturation is not None:  # u was clamped before theta was taken off
            limits = parameters.saturation + parameters.below_threshold
            above = saturate(m, above, limits, name="above_clamped")
        above = self.saturated(m, above, name="above_saturated")
        return neuron.chosen(m, self.spike, above, integrated)


class LIF(wiring.Component):
    """A neuron: one step (`LIFUpdate`), and its two registers.

    In a clock with ``enable``, the neuron takes one step from v (from 0 if ``first``) with
    ``current``; from the next clock on, ``spike`` and ``membrane`` hold s and v of that step until
    another one is taken.

    Latency: 1 clock. Resources: those of the step, width of v + 1 flip-flops, and one gate per bit
    of v for ``first``.

    Parameters
    ----------
    parameters : NeuronParameters
    split : bool
        The currents are known a clock ahead, so that the step is that of `SplitUpdate`.

    Members
    -------
    enable : In(1)
        Take a step.
    first : In(1)
        This step begins an inference.
    current : In
        I of this step; with ``split`` also ``surplus`` and ``lateral``, as of `SplitUpdate`.
    spike : Out(1)
        s of the last step taken.
    membrane : Out(signed)
        v of the last step taken.
    """

    def __init__(self, parameters: NeuronParameters, *, split: bool = False) -> None:
        self.parameters = parameters
        self.split = split
        self._update = SplitUpdate if split else LIFUpdate
        super().__init__(
            {
                "enable": In(1),
                "first": In(1),
                **self._update.currents(parameters),
                "spike": Out(1),
                "membrane": Out(signed(width_of(parameters.membrane))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the registers around the step."""
        m = Module()
        m.submodules.update = update = self._update(self.parameters)
        m.d.comb += update.membrane.eq(Mux(self.first, 0, self.membrane))
        for name in update.currents(self.parameters):
            m.d.comb += getattr(update, name).eq(getattr(self, name))
        with m.If(self.enable):
            m.d.sync += [self.spike.eq(update.spike), self.membrane.eq(update.next_membrane)]
        return m
