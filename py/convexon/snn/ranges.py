"""Exact interval analysis of a layer over the T steps of an inference.

The leak map v - ((d * v) >> f) is monotone (it equals ceil(v * (1 - d / 2**f))), as are saturation
and, piecewise, the reset. The image of an interval under one step is therefore given by its ends,
and T steps give the hull of every value that the membrane can take. The analysis is per neuron, so
a quiet neuron gets a narrow register.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from convexon.snn.fixed import Interval, QFormat, width_of
from convexon.snn.neuron import Leak, Reset

if TYPE_CHECKING:
    from convexon.snn.network import Layer


@dataclass(frozen=True, slots=True)
class LayerRanges:
    """Ranges of one layer, each a tuple with one interval per neuron.

    Members
    -------
    integrated : u before saturation and threshold
    membrane : v after the reset, the start value 0 included
    """

    current: tuple[Interval, ...]
    integrated: tuple[Interval, ...]
    membrane: tuple[Interval, ...]

    @property
    def membrane_width(self) -> int:
        """Bits of the narrowest signed format that holds every membrane of the layer."""
        return max(width_of(interval) for interval in self.membrane)


def leaked(value: int, leak: Leak) -> int:
    """One end of an interval after the leak, v - ((d * v) >> f)."""
    return value - ((leak.d * value) >> leak.f)


def reset_range(integrated: Interval, threshold: int, reset: Reset) -> Interval:
    """Range of v after the reset, for u in ``integrated``."""
    if reset is Reset.NONE:
        return integrated
    parts: list[Interval] = []
    if integrated.low < threshold:
        parts.append(Interval(integrated.low, min(integrated.high, threshold - 1)))
    if integrated.high >= threshold:
        if reset is Reset.ZERO:
            parts.append(Interval(0, 0))
        else:
            low = max(integrated.low, threshold)
            parts.append(Interval(low - threshold, integrated.high - threshold))
    return parts[0] if len(parts) == 1 else parts[0] | parts[1]


def neuron_ranges(
    current: Interval,
    *,
    threshold: int,
    leak: Leak,
    reset: Reset,
    saturation: QFormat | None,
    n_steps: int,
) -> tuple[Interval, Interval]:
    """Ranges of u (before saturation) and v (after reset) of one neuron over ``n_steps`` steps."""
    membrane = all_membrane = Interval(0, 0)
    all_integrated: Interval | None = None
    for _ in range(n_steps):
        previous = membrane
        leaking = Interval(leaked(membrane.low, leak), leaked(membrane.high, leak))
        integrated = leaking + current
        after = integrated if saturation is None else integrated.clamped(saturation.interval)
        membrane = reset_range(after, threshold, reset)
        if saturation is not None:
            membrane = membrane.clamped(saturation.interval)
        all_integrated = integrated if all_integrated is None else all_integrated | integrated
        all_membrane = all_membrane | membrane
        if membrane == previous:  # a fixed point: every later step has the same ranges
            break
    return (all_integrated if all_integrated is not None else current), all_membrane


def layer_ranges(layer: Layer, inputs: Interval, n_steps: int) -> LayerRanges:
    """Ranges of every neuron of ``layer`` when each input takes any value of ``inputs``."""
    currents: list[Interval] = []
    integrated: list[Interval] = []
    membranes: list[Interval] = []
    for j in range(layer.n_neurons):
        current = weighted_range(layer.weights[:, j], inputs)
        if layer.recurrent is not None:
            current = current + weighted_range(layer.recurrent[:, j], Interval(0, 1))
        bias = int(layer.biases[j])
        current = current + Interval(bias, bias)
        u, v = neuron_ranges(
            current,
            threshold=int(layer.thresholds[j]),
            leak=layer.leak,
            reset=layer.reset,
            saturation=layer.saturation,
            n_steps=n_steps,
        )
        currents.append(current)
        integrated.append(u)
        membranes.append(v)
    return LayerRanges(tuple(currents), tuple(integrated), tuple(membranes))


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
