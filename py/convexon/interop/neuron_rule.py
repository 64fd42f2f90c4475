"""A neuron whose code is not known: what it does in a step, found by asking it.

It is a function of what comes in and of the membrane that the step before left. At rest that tells
leak, gain and offset; the least input that fires it, its threshold; and of the ways to reset, the
one that it follows on random values is its own. One that follows none is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.snn.neuron import Reset

Values = npt.NDArray[np.float64]

Step = Callable[[Values, Values, bool], tuple[Values, Values]]
"""Spikes and membranes, shape (neurons,), of what comes in and of the membranes before; the last
argument is whether it is the first step, which has none before."""

_MOST = 1e12
"""Most that may come in before a neuron counts as one that never fires."""
_HALVINGS = 120
_FIRST, _PROBES = 10, 200
"""Random values on which a neuron must do as the rule says, and how many of them at first steps."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Rule:
    """What a neuron does in a step, as `convexon.snn.models.real` states it.

    Members
    -------
    leak, gain, offset, threshold : float64 arrays, shape (neurons,)
        ``gain`` multiplies what comes in, and ``offset`` is added to it.
    reset : Reset
    strict, late : bool
    """

    leak: Values
    gain: Values
    offset: Values
    threshold: Values
    strict: bool
    reset: Reset = Reset.NONE
    late: bool = False

    def step(self, x: Values, v: Values) -> tuple[Values, Values]:
        """Spikes, and the membranes that are left."""
        before = self._fires(v) if self.late else np.zeros_like(v)
        kept = v * (1 - before) if self.reset is Reset.ZERO else v
        u = self.leak * kept + self.gain * x + self.offset
        if self.reset is Reset.SUBTRACT:
            u = u - self.threshold * before
        fired = self._fires(u)
        if self.late or self.reset is Reset.NONE:
            return fired, u
        return fired, u * (1 - fired) if self.reset is Reset.ZERO else u - self.threshold * fired

    def _fires(self, u: Values) -> Values:
        fires = u > self.threshold if self.strict else u >= self.threshold
        return fires.astype(np.float64)

    def holds(self, step: Step) -> bool:
        """Whether a neuron follows the rule: from where it starts, and from any membrane."""
        rng, n = np.random.default_rng(0), len(self.threshold)
        for k in range(_PROBES):
            x = rng.uniform(-2, 3, n) * self.threshold / self.gain
            v = rng.uniform(-1, 2, n) * self.threshold if k >= _FIRST else np.zeros(n)
            fired, left = step(x, v, k < _FIRST)
            wanted, rest = self.step(x, v)
            if (fired != wanted).any() or not np.allclose(left, rest, rtol=1e-6, atol=1e-9):
                return False
        return True


def rule_of(step: Step, n: int, *, strict: bool, name: str) -> Rule:
    """Return the rule that neurons follow.

    Raises
    ------
    InputError
        If they follow none that is known here.
    """

    def unknown(told: str) -> InputError:
        return InputError(f"{name} is no neuron that is known here: {told}")

    zero, small = np.zeros(n), np.full(n, 2.0**-20)
    offset = step(zero, zero, False)[1]
    gain = (step(small, zero, False)[1] - offset) / small
    leak = (step(zero, small, False)[1] - offset) / small
    if step(small, small, False)[0].any() or (gain <= 0).any():
        raise unknown("it must not spike at rest, and be driven by what comes in")
    low, high = zero, np.ones(n)
    while not (fired := step(high, zero, False)[0] > 0).all():
        high = np.where(fired, high, 2 * high)
        if high.max() > _MOST:
            raise unknown("no input makes it spike")
    for _ in range(_HALVINGS):
        middle = low + (high - low) / 2
        fired = step(middle, zero, False)[0] > 0
        low, high = np.where(fired, low, middle), np.where(fired, middle, high)
    known: dict[str, Any] = {
        "leak": _float32_of(leak),
        "gain": _float32_of(gain),
        "offset": _float32_of(offset),
        "threshold": _float32_of(gain * (low if strict else high) + offset),
        "strict": strict,
    }
    for late in (False, True):
        for reset in Reset:
            rule = Rule(reset=reset, late=late, **known)
            if rule.holds(step):
                return rule
    raise unknown("its membrane does not leak, add up and reset as one here")


def _float32_of(values: Values) -> Values:
    """Numbers as float32, where that is as good as they are known."""
    nearest = values.astype(np.float32).astype(np.float64)
    return np.where(np.isclose(values, nearest, rtol=1e-12, atol=1e-15), nearest, values)
