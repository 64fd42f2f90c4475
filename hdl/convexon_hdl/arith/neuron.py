"""The arithmetic of a neuron, as `convexon.snn.neuron` states it."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Value

from convexon.snn.fixed import Interval
from convexon.snn.neuron import Leak, LeakRounding, Reset
from convexon.snn.ranges import leaked as leaked_value
from convexon_hdl.arith.arithmetic import Operand, add_all, multiply, node, resize, subtract


def leaked(m: Module, membrane: Operand, leak: Leak) -> Operand:
    """Return v - ((d * v) >> f); the shift rounds toward minus infinity, or as the leak says.

    Nothing for d = 0 and for d = 2**f; otherwise one adder for each signed digit of d, and one
    where what is left rounds towards zero.
    """
    if leak.d == 1 << leak.f:
        return Operand.constant(0)
    if not leak.d:
        return membrane
    # Common factors of two in d and 2**f cancel exactly, as 2**k * x >> f == x >> (f - k).
    twos = (leak.d & -leak.d).bit_length() - 1
    product = multiply(m, membrane, leak.d >> twos, name="leak_product")
    shift = leak.f - twos
    if leak.rounding is LeakRounding.ZERO:  # what is lost of a positive v rounds up
        most = (1 << shift) - 1
        bump = node(m, Mux(membrane.value < 0, 0, most), Interval(0, most), name="leak_bump")
        product = add_all(m, [product, bump], name="leak_rounded")
    loss = Operand(
        product.value >> shift,
        Interval(product.interval.low >> shift, product.interval.high >> shift),
    )
    remaining = subtract(m, membrane, loss, name="leak_difference")
    # v and its loss move together: the map is monotone, so its ends give a narrower range.
    span = membrane.interval
    ends = Interval(leaked_value(span.low, leak), leaked_value(span.high, leak))
    return resize(m, remaining, ends, name="leaked")


def fired(integrated: Operand, threshold: Operand) -> Value:
    """Whether u >= theta; a constant where the ranges decide it."""
    if integrated.interval.low >= threshold.interval.high:
        return Const(1)
    if integrated.interval.high < threshold.interval.low:
        return Const(0)
    return integrated.value >= threshold.value


def after_reset(
    m: Module,
    integrated: Operand,
    threshold: Operand,
    spike: Value,
    reset: Reset,
    to: Operand,
) -> Operand:
    """Return v after the reset, before it is clamped again; one to zero leaves ``to``."""
    if integrated.interval.high < threshold.interval.low or reset in (Reset.NONE, Reset.LATE):
        return integrated
    if reset is Reset.ZERO:
        return chosen(m, spike, to, integrated)
    above = subtract(m, integrated, threshold, name="above_threshold")
    return chosen(m, spike, above, integrated)


def after_late_reset(m: Module, held: Operand, threshold: Operand, spike: Value) -> Operand:
    """What is left of the membrane, less the threshold if the neuron fired in the step before."""
    taken = threshold.interval | Interval(0, 0)
    taken_off = node(m, Mux(spike, threshold.value, 0), taken, name="late_threshold")
    return subtract(m, held, taken_off, name="after_late_reset")


def chosen(m: Module, spike: Value, fires: Operand, rests: Operand) -> Operand:
    """Membrane of a neuron that fires, or of one that does not."""
    value = Mux(spike, fires.value, rests.value)
    return node(m, value, fires.interval | rests.interval, name="after_reset")
