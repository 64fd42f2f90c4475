"""Exact interval analysis of a layer over the T steps of an inference.

The leak map v - ((d * v) >> f) is monotone (it equals ceil(v * (1 - d / 2**f))), as are the one
that rounds towards zero, saturation and, piecewise, the reset. The image of an interval under one
step is therefore given by its ends, and T steps give the hull of every value that the membrane can
take, and a synaptic current before it. The analysis is per neuron, so a quiet neuron gets a narrow
register.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from convexon.snn.convolution import IntegerConvolution
from convexon.snn.fixed import Interval, QFormat, width_of
from convexon.snn.neuron import Leak, LeakRounding, Reset

if TYPE_CHECKING:
    from convexon.snn.network import Layer


ZERO = Interval(0, 0)
"""What every state begins with."""


@dataclass(frozen=True, slots=True)
class LayerRanges:
    """Ranges of one layer, each a tuple with one interval per neuron.

    Members
    -------
    current : I
    integrated : u before saturation and threshold
    membrane : v after the reset, the start value 0 included
    synaptic : i, the start value 0 included; empty where the layer has no synaptic current
    """

    current: tuple[Interval, ...]
    integrated: tuple[Interval, ...]
    membrane: tuple[Interval, ...]
    synaptic: tuple[Interval, ...] = ()

    @property
    def states(self) -> tuple[Interval, ...]:
        """What a neuron's u, v and i can be, whichever it is."""
        every = (self.integrated, self.membrane, self.synaptic or self.membrane)
        return tuple(Interval.union(each) for each in zip(*every, strict=True))

    @property
    def membrane_width(self) -> int:
        """Bits of the narrowest signed format that holds every membrane of the layer."""
        return max(width_of(interval) for interval in self.membrane)

    @property
    def synaptic_width(self) -> int:
        """The same of every synaptic current; 0 where there is none."""
        return max((width_of(interval) for interval in self.synaptic), default=0)


def leaked(value: int, leak: Leak) -> int:
    """One end of an interval after the leak."""
    if leak.rounding is LeakRounding.ZERO and value > 0:
        return (value * ((1 << leak.f) - leak.d)) >> leak.f
    return value - ((leak.d * value) >> leak.f)


def leaked_range(interval: Interval, leak: Leak) -> Interval:
    """What a leak leaves of an interval."""
    return Interval(leaked(interval.low, leak), leaked(interval.high, leak))


def reset_range(integrated: Interval, threshold: int, reset: Reset, to: int = 0) -> Interval:
    """Range of v after the reset, for u in ``integrated``; one to zero leaves ``to``."""
    if reset in (Reset.NONE, Reset.LATE):
        return integrated
    rests, fires = _parted(integrated, threshold)
    after = [Interval(to, to) if reset is Reset.ZERO else _less(part, threshold) for part in fires]
    return Interval.union([*rests, *after])


def held_range(membrane: Interval, threshold: int, leak: Leak, reset: Reset) -> Interval:
    """What the next step begins with, for v in ``membrane`` after a step: a late reset is made."""
    if reset is not Reset.LATE:
        return leaked_range(membrane, leak)
    rests, fires = _parted(membrane, threshold)
    after = [_less(leaked_range(part, leak), threshold) for part in fires]
    return Interval.union([*(leaked_range(part, leak) for part in rests), *after])


def _parted(interval: Interval, threshold: int) -> tuple[list[Interval], list[Interval]]:
    """What of an interval is below a threshold, and what is not; either may be empty."""
    below, above = [], []
    if interval.low < threshold:
        below.append(Interval(interval.low, min(interval.high, threshold - 1)))
    if interval.high >= threshold:
        above.append(Interval(max(interval.low, threshold), interval.high))
    return below, above


def _less(interval: Interval, threshold: int) -> Interval:
    return interval + Interval(-threshold, -threshold)


def neuron_ranges(
    current: Interval,
    *,
    threshold: int,
    leak: Leak,
    reset: Reset,
    saturation: QFormat | None,
    n_steps: int,
    synapse: Leak | None = None,
    reset_to: int = 0,
) -> tuple[Interval, Interval, Interval]:
    """Ranges of u (before saturation), v (after reset) and i of one neuron over ``n_steps``."""
    held = membrane = all_membrane = synaptic = all_synaptic = ZERO
    all_integrated: Interval | None = None
    for _ in range(n_steps):
        previous = membrane, synaptic, held
        synaptic = current if synapse is None else leaked_range(synaptic, synapse) + current
        all_synaptic = all_synaptic | synaptic
        integrated = held + synaptic
        after = integrated if saturation is None else integrated.clamped(saturation.interval)
        membrane = reset_range(after, threshold, reset, reset_to)
        if saturation is not None:
            membrane = membrane.clamped(saturation.interval)
        all_integrated = integrated if all_integrated is None else all_integrated | integrated
        all_membrane = all_membrane | membrane
        held = held_range(membrane, threshold, leak, reset)
        if (membrane, synaptic, held) == previous:  # a fixed point: so are all later steps
            break
    return (all_integrated if all_integrated is not None else current), all_membrane, all_synaptic


def layer_ranges(layer: Layer, inputs: Interval, n_steps: int) -> LayerRanges:
    """Ranges of every neuron of ``layer`` when each input takes any value of ``inputs``."""
    currents: list[Interval] = []
    for j, current in enumerate(_synaptic_ranges(layer, inputs)):
        if layer.tables is not None:
            current = Interval.hull(layer.tables[:, j].tolist())
        elif layer.recurrent is not None:
            current = current + weighted_range(layer.recurrent[:, j], Interval(0, 1))
        bias = int(layer.biases[j])
        currents.append(current + Interval(bias, bias))
    return ranges_of_currents(layer, currents, n_steps)


def ranges_of_currents(layer: Layer, currents: Sequence[Interval], n_steps: int) -> LayerRanges:
    """Ranges of every neuron of ``layer``, given those of I."""
    leaks = [layer.leak_of(j) for j in range(layer.n_neurons)]
    resets = [layer.reset_of(j) for j in range(layer.n_neurons)]
    kinds = list(zip(currents, layer.thresholds.tolist(), leaks, resets, strict=True))
    known = {  # many neurons are alike
        (current, threshold, leak, to): neuron_ranges(
            current,
            threshold=threshold,
            leak=leak,
            reset=layer.reset,
            saturation=layer.saturation,
            n_steps=n_steps,
            synapse=layer.synapse,
            reset_to=to,
        )
        for current, threshold, leak, to in dict.fromkeys(kinds)
    }
    found = [known[kind] for kind in kinds]
    integrated, membrane, synaptic = (tuple(each) for each in zip(*found, strict=True))
    kept = () if layer.synapse is None else synaptic
    return LayerRanges(tuple(currents), integrated, membrane, kept)


def _synaptic_ranges(layer: Layer, inputs: Interval) -> list[Interval]:
    """Range of what each neuron's inputs bring."""
    weights = layer.weights
    if not isinstance(weights, IntegerConvolution):
        return [weighted_range(column, inputs) for column in weights.T]
    span = inputs | Interval(0, 0)
    ends = np.full((2, layer.n_inputs), [[span.low], [span.high]])
    low, high = ends @ weights.with_kernel(np.maximum(weights.kernel, 0))
    below, above = ends @ weights.with_kernel(np.minimum(weights.kernel, 0))
    sums = zip((low + above).tolist(), (high + below).tolist(), strict=True)
    return [Interval(*each) for each in sums]


def weighted_range(weights: npt.NDArray[np.int64], inputs: Interval) -> Interval:
    """Range of sum_i w[i] * x[i] for independent x[i] in ``inputs``; x = 0 is always possible."""
    span = inputs | Interval(0, 0)
    values = weights.tolist()  # Python's integers, as a sum may leave 64 bits
    positive = sum(value for value in values if value > 0)
    negative = sum(value for value in values if value < 0)
    return Interval(
        positive * span.low + negative * span.high, positive * span.high + negative * span.low
    )


def score_range(weights: npt.NDArray[np.int64], bias: int, max_feature: int) -> Interval:
    """Range of one class's score, from its bias on, for features in 0..``max_feature``."""
    return weighted_range(weights, Interval(0, max_feature)) + Interval(bias, bias)
