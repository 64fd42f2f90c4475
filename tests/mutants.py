"""Mutants of the LIF update, each with one fault: checks at every level must reject them."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Value

from convexon.snn.neuron import Reset
from convexon_hdl.arith.arithmetic import Operand, add_all, node, resize
from convexon_hdl.core.lif import LIFUpdate, SplitUpdate


class StrictThreshold(LIFUpdate):
    """Fires at u > theta."""

    def fired(self, integrated: Operand) -> Value:
        return integrated.value > self.parameters.threshold


class LeakTowardZero(LIFUpdate):
    """Rounds d * v / 2**f toward zero."""

    def leaked(self, m: Module, membrane: Operand) -> Operand:
        leak = self.parameters.leak
        product = membrane.value * leak.d
        loss = (product + Mux(product < 0, (1 << leak.f) - 1, 0)) >> leak.f
        return node(m, membrane.value - loss, membrane.interval, name="leaked")


class ComparesAfterReset(LIFUpdate):
    """Subtracts first and compares what is left."""

    def fired(self, integrated: Operand) -> Value:
        threshold = self.parameters.threshold
        return integrated.value - threshold >= threshold


class LeaksAfterCurrent(LIFUpdate):
    """Lets the new current leak too."""

    def integrated(self, m: Module, membrane: Operand, current: Operand) -> Operand:
        total = add_all(m, [membrane, current], name="total")
        return resize(m, self.leaked(m, total), self.parameters.integrated, name="integrated")


class ResetsBeforeStep(LIFUpdate):
    """Resets the membrane that it started from."""

    def after_reset(self, m: Module, integrated: Operand, spike: Value) -> Operand:
        if self.parameters.reset is Reset.NONE:
            return integrated
        threshold = self.parameters.threshold if self.parameters.reset is Reset.SUBTRACT else 0
        value = Mux(spike, self.membrane - threshold, integrated.value)
        return node(m, value, self.parameters.membrane, name="after_reset")


class IgnoresSaturation(LIFUpdate):
    """Lets the membrane wrap where it must clamp."""

    def saturated(self, m: Module, value: Operand, *, name: str) -> Operand:
        return value


class SplitStrictThreshold(SplitUpdate):
    """Fires only where something is above the threshold."""

    def fired_above(self, integrated: Operand, above: Operand) -> Value:
        return above.value > 0


class SplitKeepsThreshold(SplitUpdate):
    """Keeps u where it should keep what is above the threshold."""

    def after_split(self, m: Module, integrated: Operand, above: Operand) -> Operand:
        return integrated


class SplitIgnoresSaturation(SplitUpdate):
    """Lets the membrane wrap where it must clamp."""

    def saturated(self, m: Module, value: Operand, *, name: str) -> Operand:
        return value
