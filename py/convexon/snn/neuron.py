"""The neuron: one arithmetic contract.

All values are integers in two's complement. For neuron j of a layer, at step t = 1..T of an
inference, with v[j] = i[j] = 0 and all recurrent spikes 0 before the first step::

    c = sum_i w[i,j] * x[i,t]  +  sum_k r[k,j] * s[k,t-1]
    I = c + b[j]  |  table[c,j] + b[j]       where the layer has truth tables
    i = I  |  i - ((d_i * i) >> f_i) + I     where the layer has a synaptic current
    u = sat(v - ((d * v) >> f) + i)          leak factor 1 - d / 2**f; >> rounds down (floor)
                                             LeakRounding.ZERO: what is left rounds towards zero
    s = 1 if u >= theta[j] else 0
    v = sat(u - theta[j] * s)                Reset.SUBTRACT
      | z[j] if s else u                     Reset.ZERO; z[j] is 0, unless stated otherwise
      | u                                    Reset.NONE, Reset.LATE

Neurons may have a d[j] each, over one f. With `Reset.LATE`, theta[j] * s[j,t-1] is taken off within
u, before it is clamped: the reset of the step before, which has not leaked.

With a truth table the weights are different powers of two, so that c is the code of the spikes
that a neuron reads, and the table any Boolean function of them, of its own last spike too. Where it
forgets at once, with theta = 1, that is a *logic cell*: s is the function.

``x`` is a spike, or an unsigned intensity of k bits. ``sat`` is the identity, unless the layer
chooses a saturating membrane format, and then clamps to it. This module holds what the contract is
parametrised by. It is computed five times, by programs that share no arithmetic: plainly in
`convexon.snn.models.golden`, vectorised in `convexon.snn.models.simulate`, in hardware by
`convexon_hdl.core.lif`, in C by the header of `convexon.interop.export`, and by the checker of
certificates in `convexon.certify.network.neurons`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import SupportsFloat

from convexon.errors import FormatError, InputError, require_integer, require_type

MAX_LEAK_SHIFT = 16
"""Largest f of a leak d / 2**f. Sixteen bits resolve time constants up to 65,536 steps."""


class Reset(Enum):
    """What a spike does to the membrane; ``LATE`` does it in the next step."""

    SUBTRACT = "subtract"
    ZERO = "zero"
    NONE = "none"
    LATE = "late"


class Feature(Enum):
    """What a layer hands on of a neuron: its spike, whether v >= 0, or v, after the reset."""

    SPIKE = "spike"
    SIGN = "sign"
    MEMBRANE = "membrane"


class ReadoutMode(Enum):
    """What the readout weighs, for each neuron of the branches' last layers.

    ``LAST``: its spike at step T. ``SIGN``: whether its membrane is >= 0 after the reset of step T.
    ``COUNT``: its spikes summed over the T steps. ``STEP``: its spike at every step, for one score
    per step. Leaky integrators are read by their membranes, which are the scores themselves:
    ``MEMBRANE``: v after step T. ``PEAK``: the largest v after any of the T steps.
    """

    LAST = "last"
    SIGN = "sign"
    COUNT = "count"
    STEP = "step"
    MEMBRANE = "membrane"
    PEAK = "peak"

    @property
    def feature(self) -> Feature:
        """What is read of a neuron in a step."""
        if self is ReadoutMode.SIGN:
            return Feature.SIGN
        reads_membranes = self in (ReadoutMode.MEMBRANE, ReadoutMode.PEAK)
        return Feature.MEMBRANE if reads_membranes else Feature.SPIKE

    def require_weighed(self, by: str) -> None:
        """Raise `InputError` where scores are membranes, which ``by`` cannot weigh."""
        if self.feature is Feature.MEMBRANE:
            *others, last = [each.value for each in ReadoutMode if each.feature is not self.feature]
            raise InputError(
                f"readout must be {', '.join(others)} or {last} for {by}, not {self.value}, whose "
                "scores are the membranes themselves"
            )


READINGS = tuple(mode.value for mode in ReadoutMode if mode.feature is Feature.MEMBRANE)
"""What may be read of leaky integrators: their membranes after the last step, or the largest."""


def reading_of(integrators: str) -> ReadoutMode:
    """Return what is read of leaky integrators; raises `InputError` if it is none of `READINGS`."""
    if integrators not in READINGS:
        raise InputError(f"integrators must be {' or '.join(READINGS)}, not {integrators!r}")
    return ReadoutMode(integrators)


class LeakRounding(Enum):
    """How a leak rounds.

    ``DOWN``: what it takes, d * v / 2**f. ``ZERO``: what it leaves, (2**f - d) * v / 2**f, towards
    zero, as Loihi does.
    """

    DOWN = "down"
    ZERO = "zero"


@dataclass(frozen=True, slots=True)
class Leak:
    """Leak factor 1 - d / 2**f, and how it rounds.

    ``d = 0`` is a pure integrator; ``d = 2**f`` forgets everything: the memoryless threshold unit
    of arXiv:2303.03382; f = 10, d = 10 is about the 0.99 of arXiv:2605.08022.

    Members
    -------
    error : `factor` less the real factor that `nearest` was asked for; 0 for a leak that was given

    Raises
    ------
    InputError
        If d or f is not an integer, or the rounding no `LeakRounding`.
    FormatError
        If f lies outside 0..16, or d outside 0..2**f.
    """

    d: int
    f: int
    rounding: LeakRounding = LeakRounding.DOWN
    error: float = field(default=0.0, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("d", "f"):
            try:
                value = require_integer(f"leak {name}", getattr(self, name))
            except InputError as error:
                raise InputError(f"{error}: Leak.nearest takes a real factor") from None
            object.__setattr__(self, name, value)
        require_type("leak rounding", self.rounding, LeakRounding)
        if not 0 <= self.f <= MAX_LEAK_SHIFT:
            raise FormatError(f"leak f must be 0 to {MAX_LEAK_SHIFT}, not {self.f!r}")
        if not 0 <= self.d <= 1 << self.f:
            raise FormatError(f"leak d must be 0 to 2**f = {1 << self.f}, not {self.d!r}")

    @classmethod
    def nearest(
        cls,
        factor: float,
        *,
        bits: int = MAX_LEAK_SHIFT,
        tolerance: float = 1e-3,
        rounding: LeakRounding = LeakRounding.DOWN,
    ) -> Leak:
        """Return the shortest leak whose factor is near enough to a real one.

        Parameters
        ----------
        factor : what is left of the membrane after a step, 0 to 1
        bits : f at most; where no leak is near enough, it is the nearest of so many bits
        tolerance : relative to ``1 - factor``, and so to the time constant

        Raises
        ------
        InputError
            If the factor is not a number in 0..1, or ``bits`` not an integer.
        FormatError
            If ``bits`` lies outside 0..16.
        """
        if not isinstance(factor, SupportsFloat) or not 0.0 <= float(factor) <= 1.0:
            raise InputError(f"leak factor must be a number in 0..1, not {factor!r}")
        most = require_integer("bits", bits)
        if not 0 <= most <= MAX_LEAK_SHIFT:
            raise FormatError(f"bits must be 0 to {MAX_LEAK_SHIFT}, not {most!r}")
        lost = 1.0 - float(factor)
        nearest = (cls(round(math.ldexp(lost, f)), f, rounding) for f in range(most + 1))
        by_error = {each: abs((1.0 - each.factor) - lost) for each in nearest}
        enough = (each for each, error in by_error.items() if error <= tolerance * lost)
        leak = next(enough, min(by_error, key=by_error.__getitem__))
        object.__setattr__(leak, "error", leak.factor - float(factor))
        return leak

    def of(self, d: int) -> Leak:
        """The leak of another d."""
        return replace(self, d=d)

    @property
    def factor(self) -> float:
        """The real leak factor 1 - d / 2**f."""
        return 1.0 - self.d / (1 << self.f)

    @property
    def forgets(self) -> bool:
        """Whether nothing of the membrane is left after a step."""
        return self.d == 1 << self.f


INTEGRATE = Leak(0, 0)
"""No leak: the membrane is the sum of all currents since the last reset."""

MEMORYLESS = Leak(1, 0)
"""Full leak: u = I, a threshold unit without memory."""


def in_words(leak: Leak, reset: Reset) -> str:
    """Return what neurons of a leak and a reset are called."""
    if (leak, reset) == (MEMORYLESS, Reset.NONE):
        return "threshold units"
    resets = {
        Reset.SUBTRACT: "by subtraction",
        Reset.ZERO: "to zero",
        Reset.NONE: "off",
        Reset.LATE: "a step late",
    }
    return f"LIF neurons of leak factor {leak.factor:.6g}, reset {resets[reset]}"
