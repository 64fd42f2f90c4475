"""The leaky integrate-and-fire neuron, as `convexon.neuron` states it."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Const, Module, Mux, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from convexon.fixed import Interval, QFormat, width_of
from convexon.network import Layer
from convexon.neuron import Leak, Reset
from convexon.ranges import LayerRanges, leaked
from convexon_hdl.arithmetic import (
    Operand,
    add_all,
    multiply,
    node,
    resize,
    saturate,
    shape_of,
    subtract,
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
        Ranges of I, of u before saturation, and of v (`convexon.ranges.LayerRanges`).
    """

    threshold: int
    leak: Leak
    reset: Reset
    saturation: Interval | None
    current: Interval
    integrated: Interval
    membrane: Interval

    @classmethod
    def of(cls, layer: Layer, ranges: LayerRanges, neuron: int) -> NeuronParameters:
        """Parameters of one neuron of ``layer``."""
        return cls(
            threshold=int(layer.thresholds[neuron]),
            leak=layer.leak,
            reset=layer.reset,
            saturation=_limits(layer.saturation),
            current=ranges.current[neuron],
            integrated=ranges.integrated[neuron],
            membrane=ranges.membrane[neuron],
        )


def _limits(saturation: QFormat | None) -> Interval | None:
    return None if saturation is None else saturation.interval


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
        self._parameters = parameters
        width = width_of(parameters.membrane)
        super().__init__(
            {
                "membrane": In(signed(width)),
                "current": In(shape_of(parameters.current)),
                "spike": Out(1),
                "next_membrane": Out(signed(width)),
            }
        )

    @property
    def parameters(self) -> NeuronParameters:
        """Constants and ranges of the neuron."""
        return self._parameters

    def leaked(self, m: Module, membrane: Operand) -> Operand:
        """Return v - ((d * v) >> f); the shift rounds toward minus infinity."""
        leak = self.parameters.leak
        if leak.d == 1 << leak.f:
            return Operand.constant(0)
        if not leak.d:
            return membrane
        # Common factors of two in d and 2**f cancel exactly, as 2**k * x >> f == x >> (f - k).
        twos = (leak.d & -leak.d).bit_length() - 1
        product = multiply(m, membrane, leak.d >> twos, name="leak_product")
        shift = leak.f - twos
        loss = Operand(
            product.value >> shift,
            Interval(product.interval.low >> shift, product.interval.high >> shift),
        )
        remaining = subtract(m, membrane, loss, name="leak_difference")
        # v and its loss move together: the map is monotone, so its ends give a narrower range.
        ends = Interval(leaked(membrane.interval.low, leak), leaked(membrane.interval.high, leak))
        return resize(m, remaining, ends, name="leaked")

    def integrated(self, m: Module, membrane: Operand, current: Operand) -> Operand:
        """Leaky v plus I, before saturation."""
        total = add_all(m, [self.leaked(m, membrane), current], name="total")
        return resize(m, total, self.parameters.integrated, name="integrated")

    def saturated(self, m: Module, value: Operand, *, name: str) -> Operand:
        """Clamp to the membrane format, where the layer chose one."""
        limits = self.parameters.saturation
        return value if limits is None else saturate(m, value, limits, name=name)

    def fired(self, integrated: Operand) -> Value:
        """Whether u >= theta."""
        threshold = self.parameters.threshold
        if integrated.interval.low >= threshold:
            return Const(1)
        if integrated.interval.high < threshold:
            return Const(0)
        return integrated.value >= threshold

    def after_reset(self, m: Module, integrated: Operand, spike: Value) -> Operand:
        """Return v after the reset, before it is clamped again."""
        parameters = self.parameters
        threshold = parameters.threshold
        if integrated.interval.high < threshold or parameters.reset is Reset.NONE:
            return integrated
        if parameters.reset is Reset.ZERO:
            spared = Operand.constant(0)
        else:
            spared = subtract(m, integrated, Operand.constant(threshold), name="above_threshold")
        value = Mux(spike, spared.value, integrated.value)
        return node(m, value, spared.interval | integrated.interval, name="after_reset")

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


class LIF(wiring.Component):
    """A neuron: `LIFUpdate` and its two registers.

    In a clock with ``enable``, the neuron takes one step from v (from 0 if ``first``) with
    ``current``; from the next clock on, ``spike`` and ``membrane`` hold s and v of that step until
    another one is taken.

    Latency: 1 clock. Resources: those of `LIFUpdate`, width of v + 1 flip-flops, and one gate per
    bit of v for ``first``.

    Parameters
    ----------
    parameters : NeuronParameters

    Members
    -------
    enable : In(1)
        Take a step.
    first : In(1)
        This step begins an inference.
    current : In
        I of this step.
    spike : Out(1)
        s of the last step taken.
    membrane : Out(signed)
        v of the last step taken.
    """

    update_class: type[LIFUpdate] = LIFUpdate

    def __init__(self, parameters: NeuronParameters) -> None:
        self._parameters = parameters
        super().__init__(
            {
                "enable": In(1),
                "first": In(1),
                "current": In(shape_of(parameters.current)),
                "spike": Out(1),
                "membrane": Out(signed(width_of(parameters.membrane))),
            }
        )

    @property
    def parameters(self) -> NeuronParameters:
        """Constants and ranges of the neuron."""
        return self._parameters

    def elaborate(self, platform: object) -> Module:
        """Build the registers around the step."""
        m = Module()
        m.submodules.update = update = self.update_class(self.parameters)
        m.d.comb += [
            update.membrane.eq(Mux(self.first, 0, self.membrane)),
            update.current.eq(self.current),
        ]
        with m.If(self.enable):
            m.d.sync += [self.spike.eq(update.spike), self.membrane.eq(update.next_membrane)]
        return m
