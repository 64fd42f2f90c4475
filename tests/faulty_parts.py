"""Faults in components: checks at every level must reject them."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from amaranth.hdl import Const, Module, Mux, Value

from convexon.snn.neuron import Leak, Reset
from convexon_hdl.arith.arithmetic import Operand, node
from convexon_hdl.core.lif import LIF, LIFUpdate, SplitUpdate


def mutated(cls: type, right: str, wrong: str, **names: object) -> Any:
    """``cls`` with ``wrong`` in the one place of its source that reads ``right``.

    ``names`` are those of ``wrong`` which the module of ``cls`` has not.
    """
    source = inspect.getsource(cls)
    assert source.count(right) == 1, f"{right!r} must be once in {cls.__name__}"
    flag = annotations.compiler_flag
    code = compile(source.replace(right, wrong), "a mutant", "exec", flag, dont_inherit=True)
    space = {**vars(sys.modules[cls.__module__]), **names}
    exec(code, space)
    return space[cls.__name__]


def leaked_toward_zero(m: Module, membrane: Operand, leak: Leak) -> Operand:
    """v less d * v / 2**f, rounded toward zero."""
    product = membrane.value * leak.d
    loss = (product + Mux(product < 0, (1 << leak.f) - 1, 0)) >> leak.f
    return node(m, membrane.value - loss, membrane.interval, name="leaked")


def leaked_down(m: Module, membrane: Operand, leak: Leak) -> Operand:
    """What is left of v rounded down, whatever its sign."""
    left = (membrane.value * ((1 << leak.f) - leak.d)) >> leak.f
    return node(m, left, membrane.interval, name="leaked")


def reset_of(
    m: Module, integrated: Operand, threshold: Operand, spike: Value, reset: Reset, start: Operand
) -> Operand:
    """The reset of the membrane that the step started from."""
    if reset is Reset.NONE:
        return integrated
    taken_off = threshold.value if reset is Reset.SUBTRACT else Const(0)
    value = Mux(spike, start.value - taken_off, integrated.value)
    return node(m, value, start.interval, name="after_reset")


FIRES = "neuron.fired(integrated, threshold)"
MEMBRANE = "Operand(self.membrane, parameters.membrane)"
LIMITS = "limits = self.parameters, self.parameters.saturation"

StrictThreshold = mutated(LIFUpdate, FIRES, "integrated.value > threshold.value")
ComparesAfterReset = mutated(
    LIFUpdate, FIRES, "integrated.value - threshold.value >= threshold.value"
)
LeakTowardZero = mutated(LIFUpdate, "neuron.leaked(", "leaked(", leaked=leaked_toward_zero)
LeakDown = mutated(LIFUpdate, "neuron.leaked(", "leaked(", leaked=leaked_down)
LeaksAfterCurrent = mutated(
    LIFUpdate,
    'add_all(m, [held, current], name="total")',
    f'neuron.leaked(m, add_all(m, [{MEMBRANE}, current], name="total"), parameters.leak)',
)
ResetsBeforeStep = mutated(
    LIFUpdate,
    "neuron.after_reset(m, integrated, threshold, self.spike, parameters.reset, to)",
    f"reset_of(m, integrated, threshold, self.spike, parameters.reset, {MEMBRANE})",
    reset_of=reset_of,
)
ForgetsLateReset = mutated(
    LIFUpdate, "neuron.after_late_reset(m, held, threshold, self.fired)", "held"
)
SeesOldCurrent = mutated(LIF, "return total.value", "return state.value")
KeepsCurrent = mutated(LIF, "Mux(self.first, 0, self.synaptic)", "self.synaptic")
IgnoresSaturation = mutated(LIFUpdate, LIMITS, "limits = self.parameters, None")
SplitIgnoresSaturation = mutated(SplitUpdate, LIMITS, "limits = self.parameters, None")
SplitStrictThreshold = mutated(SplitUpdate, "~above.value[-1]", "above.value > 0")
SplitKeepsThreshold = mutated(
    SplitUpdate, "neuron.chosen(m, self.spike, above, integrated)", "integrated"
)
