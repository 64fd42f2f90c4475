"""The vectorised model: the contract of `convexon.neuron` on whole sets of samples at once.

Tested equal to `convexon.golden`, bit for bit, and used wherever many samples are simulated:
dictionaries, traces, accuracy. Before it computes in int64 it proves from the exact ranges that no
sum can leave int64.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from convexon.errors import FormatError
from convexon.fixed import MAX_WIDTH, Interval, width_of
from convexon.network import Branch, FixedPointNetwork, Layer
from convexon.neuron import ReadoutMode, Reset
from convexon.ranges import layer_ranges
from convexon.trace import LayerTrace, SpikeTrace

_FLOAT64_EXACT = 53
"""Integers up to 2**53 are exact in float64, whose matrix product is far faster than int64's."""


def layer_trace(layer: Layer, inputs: npt.NDArray[np.uint8], input_range: Interval) -> LayerTrace:
    """Run one layer on ``inputs``, shape (samples, steps, n_inputs), each in ``input_range``.

    Raises
    ------
    FormatError
        If the exact ranges leave int64: then the weights are too wide for any hardware too.
    """
    samples, steps, _ = inputs.shape
    ranges = layer_ranges(layer, input_range, steps)
    # d * v is the widest product; 2**f bounds d, so f more bits than v are enough for it.
    width = max(width_of(i) for i in (*ranges.integrated, *ranges.membrane)) + layer.leak.f
    if width > MAX_WIDTH:
        raise FormatError(f"membranes must fit {MAX_WIDTH} bits, not {width}: use smaller weights")
    bound = max(max(-i.low, i.high) for i in ranges.current)
    feed_forward = _exact_product(inputs, layer.weights, bound) + layer.biases
    spikes = np.empty((samples, steps, layer.n_neurons), dtype=np.uint8)
    membranes = np.empty((samples, steps, layer.n_neurons), dtype=np.int64)
    v = np.zeros((samples, layer.n_neurons), dtype=np.int64)
    s = np.zeros((samples, layer.n_neurons), dtype=np.uint8)
    for t in range(steps):
        current = feed_forward[:, t]
        if layer.recurrent is not None:
            current = current + _exact_product(s, layer.recurrent, bound)
        u = _saturated(v - ((layer.leak.d * v) >> layer.leak.f) + current, layer)
        fired = u >= layer.thresholds
        if layer.reset is Reset.SUBTRACT:
            v = _saturated(u - layer.thresholds * fired, layer)
        elif layer.reset is Reset.ZERO:
            v = np.where(fired, 0, u)
        else:
            v = u
        s = fired.astype(np.uint8)
        spikes[:, t] = s
        membranes[:, t] = v
    return LayerTrace(spikes, membranes)


def branch_trace(
    branch: Branch, inputs: npt.NDArray[np.uint8], input_range: Interval
) -> tuple[LayerTrace, ...]:
    """Run all layers of ``branch``, each on the spikes of the one below."""
    traces: list[LayerTrace] = []
    signal = inputs
    for layer in branch.layers:
        trace = layer_trace(layer, signal, input_range)
        traces.append(trace)
        signal, input_range = trace.spikes, Interval(0, 1)
    return tuple(traces)


def features(mode: ReadoutMode, last: LayerTrace) -> npt.NDArray[np.int64]:
    """Return what the readout weighs, shape (samples, readouts, neurons).

    There is one readout a sample, and for STEP one a step.
    """
    if mode is ReadoutMode.LAST:
        chosen = last.spikes[:, -1:]
    elif mode is ReadoutMode.SIGN:
        chosen = (last.membranes[:, -1:] >= 0).astype(np.uint8)
    elif mode is ReadoutMode.COUNT:
        counts: npt.NDArray[np.int64] = last.spikes.sum(axis=1, dtype=np.int64)
        return counts[:, None]
    else:
        chosen = last.spikes
    return chosen.astype(np.int64)


def decisions(scores: npt.NDArray[np.int64] | npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Class of the largest score on the last axis; `convexon.golden.decide` states the rule."""
    if scores.shape[-1] == 1:
        return np.asarray(scores[..., 0] > 0, dtype=np.int64)
    return np.asarray(scores.argmax(axis=-1), dtype=np.int64)


def run(network: FixedPointNetwork, inputs: npt.NDArray[np.uint8]) -> SpikeTrace:
    """Trace of ``network`` on ``inputs``, shape (samples, steps, inputs).

    Raises
    ------
    InputError
        If the inputs do not fit the network.
    FormatError
        If a range leaves int64.
    """
    network.check_inputs(inputs)
    width = max(width_of(interval) for interval in network.score_ranges)
    if width > MAX_WIDTH:
        raise FormatError(f"scores must fit {MAX_WIDTH} bits, not {width}: use smaller weights")
    layers = tuple(branch_trace(branch, inputs, network.input_range) for branch in network.branches)
    weighed = np.concatenate(
        [features(network.readout_mode, traces[-1]) for traces in layers], axis=2
    )
    scores = weighed @ network.readout_weights + network.readout_biases
    return SpikeTrace(layers=layers, scores=scores, labels=decisions(scores))


def _saturated(values: npt.NDArray[np.int64], layer: Layer) -> npt.NDArray[np.int64]:
    """Clamp to the layer's membrane format, where it chose one."""
    if layer.saturation is None:
        return values
    limits = layer.saturation.interval
    return np.clip(values, limits.low, limits.high)


def _exact_product(
    signals: npt.NDArray[np.uint8], weights: npt.NDArray[np.int64], bound: int
) -> npt.NDArray[np.int64]:
    """``signals @ weights`` for sums within ``bound``, through float64 where it is exact."""
    # Partial sums in any order stay within the sum of magnitudes, at most twice the largest end of
    # the range.
    if (2 * bound).bit_length() <= _FLOAT64_EXACT:
        product = signals.astype(np.float64) @ weights.astype(np.float64)
        return np.rint(product).astype(np.int64)
    return signals.astype(np.int64) @ weights
