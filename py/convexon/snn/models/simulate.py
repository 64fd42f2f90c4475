"""The vectorised model: the contract of `convexon.snn.neuron` on whole sets of samples at once.

Tested equal to the golden model, bit for bit, and used wherever many samples are simulated:
dictionaries, traces, accuracy. Before it computes in int64 it proves from the exact ranges that no
sum can leave int64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.errors import FormatError
from convexon.snn.convolution import IntegerConvolution
from convexon.snn.fixed import MAX_WIDTH, Interval, width_of
from convexon.snn.models.trace import LayerTrace, SpikeTrace
from convexon.snn.network import Branch, FixedPointNetwork, Layer, Network
from convexon.snn.neuron import Leak, LeakRounding, ReadoutMode, Reset
from convexon.snn.ranges import layer_ranges

_EXACT = ((np.dtype(np.float32), 24), (np.dtype(np.float64), 53))
"""Floating-point types with the bits up to which their integers are exact: their matrix products
are far faster than those of integers."""


@dataclass(frozen=True)
class _Arithmetic:
    """Types in which a layer's sums and products are exact: the narrower, the faster."""

    current: np.dtype[Any]
    membrane: np.dtype[Any]


def _arithmetic(layer: Layer, input_range: Interval, steps: int) -> _Arithmetic:
    """Return types that provably hold every value of ``layer`` over ``steps`` steps.

    No partial sum of a current, in whatever order, exceeds the sum of the magnitudes. A leak never
    raises the magnitude of a membrane, so T steps cannot take it beyond T times the largest current
    and threshold; nor that of a synaptic current, in place of the current then. Only where that is
    too coarse for int64 the exact ranges decide.
    """
    span = max(abs(input_range.low), abs(input_range.high))
    current = _magnitude(layer.weights) * span
    if layer.recurrent is not None:
        current += _magnitude(layer.recurrent)
    current += int(np.abs(layer.biases).max())
    if layer.tables is not None:
        current += 1
    product = next(
        (dtype for dtype, bits in _EXACT if current.bit_length() <= bits), np.dtype(np.int64)
    )
    shift = layer.leak.f
    if layer.synapse is not None:
        current, shift = steps * current, max(shift, layer.synapse.f)
    pushed = current + int(np.abs(layer.thresholds).max())
    if layer.resets is not None:
        pushed += int(np.abs(layer.resets).max())
    membrane = steps * pushed
    width = membrane.bit_length() + 1 + shift
    if width <= 31:
        return _Arithmetic(product, np.dtype(np.int32))
    if width > MAX_WIDTH:
        ranges = layer_ranges(layer, input_range, steps)
        # d * v is the widest product; 2**f bounds d, so f more bits than v are enough for it.
        width = max(map(width_of, ranges.states)) + shift
        if width > MAX_WIDTH:
            raise FormatError(
                f"membranes must fit {MAX_WIDTH} bits, not {width}: use smaller weights"
            )
    return _Arithmetic(product, np.dtype(np.int64))


def _magnitude(weights: npt.NDArray[np.int64] | IntegerConvolution) -> int:
    """A number that no sum of magnitudes of a column exceeds: the largest, where it fits int64."""
    if isinstance(weights, IntegerConvolution):
        return _magnitude(weights.columns) * math.prod(weights.windows.pool)
    largest = int(np.abs(weights).max())
    if (largest * len(weights)).bit_length() < 64:
        return int(np.abs(weights).sum(axis=0).max())
    return largest * len(weights)


def _steps(
    layer: Layer, inputs: npt.NDArray[np.uint8], input_range: Interval
) -> Iterator[tuple[npt.NDArray[np.bool_], npt.NDArray[Any]]]:
    """Run ``layer``; yield spikes and membranes (samples, neurons) after each step."""
    samples, steps, _ = inputs.shape
    types = _arithmetic(layer, input_range, steps)
    weights = layer.weights.astype(types.current)
    lateral = None if layer.recurrent is None else layer.recurrent.astype(types.current)
    thresholds, biases = (a.astype(types.membrane) for a in (layer.thresholds, layer.biases))
    leaks = layer.leak_numerators.astype(types.membrane)
    resets = np.array(0 if layer.resets is None else layer.resets, dtype=types.membrane)
    synapse = np.array(0 if layer.synapse is None else layer.synapse.d, dtype=types.membrane)
    v = np.zeros((samples, layer.n_neurons), dtype=types.membrane)
    i = np.zeros_like(v)
    fired = np.zeros(v.shape, dtype=np.bool_)
    neurons = np.arange(layer.n_neurons)
    for t in range(steps):
        current = inputs[:, t].astype(types.current) @ weights
        if lateral is not None:
            current += fired.astype(types.current) @ lateral
        if layer.tables is not None:
            current = layer.tables[current.astype(np.intp), neurons]
        u = current.astype(types.membrane)
        u += biases
        if layer.synapse is not None:
            _add_leaked(u, i, synapse, layer.synapse)
            i = u.copy()
        _add_leaked(u, v, leaks, layer.leak)
        if layer.reset is Reset.LATE:
            u -= np.where(fired, thresholds, types.membrane.type(0))
        _saturate(u, layer)
        fired = u >= thresholds
        if layer.reset is Reset.SUBTRACT:
            u -= np.where(fired, thresholds, types.membrane.type(0))
            _saturate(u, layer)
        elif layer.reset is Reset.ZERO:
            np.copyto(u, resets, where=fired)
        v = u
        yield fired, v


def _add_leaked(
    total: npt.NDArray[Any], state: npt.NDArray[Any], d: npt.NDArray[Any], leak: Leak
) -> None:
    """Add to ``total`` in place what a leak leaves of a state, with ``d`` in place of its own."""
    f = leak.f
    if (d == 1 << f).all():
        return
    total += state
    if d.any():
        product = state * d
        lost = product >> f
        if leak.rounding is LeakRounding.ZERO:
            lost = np.where(product > 0, -(-product >> f), lost)
        total -= lost


def layer_trace(layer: Layer, inputs: npt.NDArray[np.uint8], input_range: Interval) -> LayerTrace:
    """Run one layer on ``inputs``, shape (samples, steps, n_inputs), each in ``input_range``.

    Raises
    ------
    FormatError
        If the exact ranges leave int64: then the weights are too wide for any hardware too.
    """
    shape = (*inputs.shape[:2], layer.n_neurons)
    spikes = np.empty(shape, dtype=np.uint8)
    membranes = np.empty(shape, dtype=np.int64)
    for t, (fired, v) in enumerate(_steps(layer, inputs, input_range)):
        spikes[:, t] = fired
        membranes[:, t] = v
    return LayerTrace(spikes, membranes)


def layer_spikes(
    layer: Layer, inputs: npt.NDArray[np.uint8], input_range: Interval
) -> npt.NDArray[np.uint8]:
    """Return the spikes of `layer_trace` alone, shape (samples, steps, neurons)."""
    spikes = np.empty((*inputs.shape[:2], layer.n_neurons), dtype=np.uint8)
    for t, (fired, _) in enumerate(_steps(layer, inputs, input_range)):
        spikes[:, t] = fired
    return spikes


def spikes_of(
    layers: Sequence[Layer], inputs: npt.NDArray[np.uint8], input_range: Interval
) -> tuple[npt.NDArray[np.uint8], Interval]:
    """Spikes of the last of ``layers``, one on the other, and their range; inputs pass no layer."""
    for layer in layers:
        inputs, input_range = layer_spikes(layer, inputs, input_range), Interval(0, 1)
    return inputs, input_range


def layer_features(
    mode: ReadoutMode, layer: Layer, inputs: npt.NDArray[np.uint8], input_range: Interval
) -> npt.NDArray[Any]:
    """Return `features` of a last layer, shape (samples, readouts, neurons), without its trace.

    They are 8 bits wide, but for membranes.

    Raises
    ------
    FormatError
        As `layer_trace`, and if counts do not fit 8 bits (T above 255).
    """
    steps = inputs.shape[1]
    if mode is ReadoutMode.STEP:
        return layer_spikes(layer, inputs, input_range)
    if mode is ReadoutMode.COUNT:
        if steps > 255:
            raise FormatError(f"n_steps must be at most 255 for spike counts, not {steps}")
        counts = np.zeros((len(inputs), layer.n_neurons), dtype=np.uint8)
        for fired, _ in _steps(layer, inputs, input_range):
            counts += fired
        return counts[:, None]
    if mode is ReadoutMode.PEAK:
        each = (v for _, v in _steps(layer, inputs, input_range))
        return np.asarray(reduce(np.maximum, each))[:, None]
    if layer.memoryless:
        inputs = inputs[:, -1:]  # without memory the last step depends on no other
    fired, v = np.zeros(0, dtype=np.bool_), np.zeros(0, dtype=np.int64)
    for fired, v in _steps(layer, inputs, input_range):  # noqa: B007  # the last step counts
        pass
    if mode is ReadoutMode.MEMBRANE:
        return v[:, None]
    last = fired if mode is ReadoutMode.LAST else v >= 0
    return last.astype(np.uint8)[:, None]


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
    elif mode is ReadoutMode.STEP:
        chosen = last.spikes
    elif mode is ReadoutMode.MEMBRANE:
        return last.membranes[:, -1:]
    else:
        return np.asarray(last.membranes.max(axis=1, keepdims=True))
    return chosen.astype(np.int64)


def decisions(scores: npt.NDArray[np.int64] | npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Class of the largest score on the last axis; `golden.decide` states the rule."""
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
    _require_scores_fit(network)
    layers = tuple(branch_trace(branch, inputs, network.input_range) for branch in network.branches)
    weighed = np.concatenate(
        [features(network.readout_mode, traces[-1]) for traces in layers], axis=2
    )
    scores = weighed @ network.readout_weights + network.readout_biases
    return SpikeTrace(layers=layers, scores=scores, labels=decisions(scores))


def scores(network: Network | FixedPointNetwork, inputs: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    """Scores of ``network`` on ``inputs`` alone, shape (samples, readouts, classes).

    Integers for a `FixedPointNetwork`, those of `run`; floats for a `Network`. No trace is kept, so
    whole data sets fit.

    Raises
    ------
    FormatError
        If a range leaves int64, or counts do not fit 8 bits.
    """
    if isinstance(network, FixedPointNetwork):
        _require_scores_fit(network)
    parts = []
    for first in range(0, len(inputs), _SAMPLES):
        part = inputs[first : first + _SAMPLES]
        weighed = []
        for branch in network.branches:
            signal, reach = spikes_of(branch.layers[:-1], part, network.input_range)
            weighed.append(layer_features(network.readout_mode, branch.layers[-1], signal, reach))
        weighs = np.concatenate(weighed, axis=2).astype(network.readout_weights.dtype)
        parts.append(weighs @ network.readout_weights + network.readout_biases)
    return np.concatenate(parts)


_SAMPLES = 1024
"""Samples whose scores are computed at once."""


def accuracy(
    network: Network | FixedPointNetwork,
    inputs: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
) -> float:
    """Share of right decisions: labels are one a sample, (samples,), or one a step, (samples, T).

    Raises
    ------
    FormatError
        As `scores`.
    """
    named = decisions(scores(network, inputs))
    return float((named == labels.reshape(len(labels), -1)).mean())


def _require_scores_fit(network: FixedPointNetwork) -> None:
    width = max(width_of(interval) for interval in network.score_ranges)
    if width > MAX_WIDTH:
        raise FormatError(f"scores must fit {MAX_WIDTH} bits, not {width}: use smaller weights")


def _saturate(values: npt.NDArray[Any], layer: Layer) -> None:
    """Clamp to the layer's membrane format in place, where it chose one."""
    if layer.saturation is not None:
        limits, held = layer.saturation.interval, np.iinfo(values.dtype)
        np.clip(values, max(limits.low, held.min), min(limits.high, held.max), out=values)
