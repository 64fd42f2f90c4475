"""The checker's own model of the neuron: what witnesses do on samples, from the contract alone.

`convexon.snn.neuron` states the contract. The models that the solver's columns come from
(`convexon.snn.models`) are not used, so that a column which they had wrong would be told here. The
currents of all steps are one product, the membranes a scan over it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.certify.network.columns import Columns
from convexon.certify.statement import IntArray
from convexon.errors import InputError, require_within
from convexon.snn.convolution import MAX_UNROLLED, IntegerConvolution
from convexon.snn.network import Branch, Layer
from convexon.snn.neuron import Leak, LeakRounding, ReadoutMode, Reset

Signal = npt.NDArray[np.uint8]
Integers = npt.NDArray[Any]
"""Exact integers: int64, or Python's own where those could overflow."""

_AT_ONCE = 1 << 22
"""Inputs or membranes over all steps that are computed at once: 32 MiB."""


def columns_of(
    branches: Sequence[Branch],
    inputs: Signal,
    mode: ReadoutMode,
    samples: IntArray,
    readouts: IntArray,
) -> Columns:
    """Return what the readout weighs of the last layers' neurons, branch after branch.

    Parameters
    ----------
    branches : sequence of Branch
    inputs : uint8 array, shape (samples, steps, inputs)
    mode : ReadoutMode
    samples, readouts : int64 array, shape (n,)
        Sample of each row, and its step for `ReadoutMode.STEP`, else 0.

    Raises
    ------
    InputError
        If a branch reads other inputs, or membranes are the scores, which no column is made of.
    """
    mode.require_weighed("a certificate")
    n_steps, n_inputs = inputs.shape[1:]
    if any(branch.n_inputs != n_inputs for branch in branches):
        raise InputError(f"branches must read the {n_inputs} inputs of the samples")
    n_planes = n_steps.bit_length() if mode is ReadoutMode.COUNT else 1
    n_columns = sum(branch.n_outputs for branch in branches)
    planes = np.zeros((n_planes, n_columns, (len(samples) + 7) // 8), dtype=np.uint8)
    for part in blocks_of(len(samples), branches, inputs):
        distinct, place = np.unique(samples[part], return_inverse=True)
        weighed = [weighed_of(branch, inputs[distinct], mode) for branch in branches]
        values = np.concatenate(weighed, axis=2)[place.reshape(-1), readouts[part]].T
        for b, plane in enumerate(planes):
            packed = np.packbits((values >> b & 1).astype(np.uint8), axis=1)
            start = part.start // 8
            plane[:, start : start + packed.shape[1]] = packed
    return Columns(planes=planes, n_rows=len(samples))


def blocks_of(count: int, branches: Sequence[Branch], inputs: Signal) -> Iterator[slice]:
    """Cut rows into blocks that are simulated at once, each a multiple of 8 but for the last."""
    n_steps, n_inputs = inputs.shape[1:]
    widest = max((n_inputs, *(layer.n_neurons for b in branches for layer in b.layers)))
    size = 8 * max(1, _AT_ONCE // (8 * n_steps * widest))
    for first in range(0, count, size):
        yield slice(first, min(first + size, count))


def weighed_of(branch: Branch, inputs: Signal, mode: ReadoutMode) -> IntArray:
    """Return what the readout weighs of the last layer, shape (samples, readouts, neurons)."""
    spikes, membranes = inputs, np.zeros(0)
    for layer in branch.layers:
        spikes, membranes = run(layer, spikes)
    match mode:
        case ReadoutMode.STEP:
            weighed: Integers = spikes
        case ReadoutMode.COUNT:
            weighed = spikes.sum(axis=1, dtype=np.int64)[:, None]
        case ReadoutMode.LAST:
            weighed = spikes[:, -1:]
        case ReadoutMode.SIGN:
            weighed = membranes[:, -1:] >= 0
        case ReadoutMode.MEMBRANE:
            weighed = membranes[:, -1:]
        case ReadoutMode.PEAK:
            weighed = membranes.max(axis=1)[:, None]
    return weighed.astype(np.int64)


def below(branch: Branch, inputs: Signal) -> Signal:
    """Spikes that the last layer of a branch reads, shape (samples, steps, inputs)."""
    if branch.depth == 1:
        return inputs
    parts = []
    for part in blocks_of(len(inputs), [branch], inputs):
        signal = inputs[part]
        for layer in branch.layers[:-1]:
            signal = run(layer, signal)[0]
        parts.append(signal)
    return np.concatenate(parts)


def run(layer: Layer, signal: Signal) -> tuple[Signal, Integers]:
    """Spikes of a layer, and its membranes after every step, shape (samples, steps, neurons)."""
    n_samples, n_steps, n_inputs = signal.shape
    rows, weights = signal.reshape(n_samples * n_steps, n_inputs), matrix_of(layer)
    currents = _product(rows, weights).reshape(n_samples, n_steps, layer.n_neurons)
    number = _number(layer, n_steps, int(signal.max()) * _magnitude(weights))
    biases: Integers = layer.biases.astype(number)
    thresholds: Integers = layer.thresholds.astype(number)
    leaks: Integers = layer.leak_numerators.astype(number)
    v: Integers = np.zeros((n_samples, layer.n_neurons), dtype=number)
    synaptic = v
    spikes = np.zeros(currents.shape, dtype=np.uint8)
    membranes: Integers = np.zeros(currents.shape, dtype=number)
    for t in range(n_steps):
        total: Integers = currents[:, t].astype(number)
        if layer.recurrent is not None and t:
            total = total + _product(spikes[:, t - 1], layer.recurrent)
        if layer.tables is not None:
            rows = total.astype(np.int64)
            total = np.take_along_axis(layer.tables, rows, axis=0).astype(number)
        total = total + biases
        if layer.synapse is not None:
            total = synaptic = _left(synaptic, layer.synapse, layer.synapse.d) + total
        if layer.reset is Reset.LATE and t:
            total = total - thresholds * spikes[:, t - 1]
        u = _saturated(layer, _left(v, layer.leak, leaks) + total)
        fires = u >= thresholds
        match layer.reset:
            case Reset.SUBTRACT:
                v = _saturated(layer, np.where(fires, u - thresholds, u))
            case Reset.ZERO:
                v = np.where(fires, 0 if layer.resets is None else layer.resets.astype(number), u)
            case Reset.NONE | Reset.LATE:
                v = u
        spikes[:, t], membranes[:, t] = fires, v
    return spikes, membranes


def matrix_of(layer: Layer) -> IntArray:
    """Weights of every input and neuron; those of a convolution one tap of its kernel at a time.

    Neuron (o, R, C) reads, through tap (i, m, n) of kernel o, the cell of pooled pixels at row
    R * stride - padding + m * dilation, its column alike, of channel i of o's group.
    """
    shared = layer.weights
    if not isinstance(shared, IntegerConvolution):
        return shared
    windows, kernel = shared.windows, shared.kernel
    n_out, per_group, *size = kernel.shape
    sides = windows.shape[1:]
    pooled = [side // cell for side, cell in zip(sides, windows.pool, strict=True)]
    ends = [
        (length + sum(zeros) - (reach - 1) * dilation - 1) // stride + 1
        for length, zeros, reach, dilation, stride in zip(
            pooled, windows.padding, size, windows.dilation, windows.stride, strict=True
        )
    ]
    n_inputs, n_neurons = windows.shape[0] * sides[0] * sides[1], n_out * ends[0] * ends[1]
    require_within("weights of a layer, unrolled", n_inputs * n_neurons, 1, MAX_UNROLLED)
    matrix = np.zeros((n_inputs, n_neurons), dtype=np.int64)
    for o, i, m, n in np.argwhere(kernel).tolist():
        channel = o // (n_out // windows.groups) * per_group + i
        places, cells = [], []
        for axis, tap in enumerate((m, n)):
            place = np.arange(ends[axis])
            cell = place * windows.stride[axis] - windows.padding[axis][0]
            cell += tap * windows.dilation[axis]
            read = (cell >= 0) & (cell < pooled[axis])  # the others read the padding's zeros
            places.append(place[read])
            cells.append(cell[read] * windows.pool[axis])
        neurons = (o * ends[0] + places[0][:, None]) * ends[1] + places[1]
        for down, right in np.ndindex(*windows.pool):
            row, column = cells[0][:, None] + down, cells[1] + right
            matrix[(channel * sides[0] + row) * sides[1] + column, neurons] = kernel[o, i, m, n]
    return matrix


def _left(state: Integers, leak: Leak, d: Any) -> Integers:
    """What a leak leaves of a state, of d in place of its own."""
    if leak.rounding is LeakRounding.DOWN:
        left: Integers = state - (state * d >> leak.f)
    else:
        kept = (1 << leak.f) - d
        left = np.where(state < 0, -(-state * kept >> leak.f), state * kept >> leak.f)
    return left


def _saturated(layer: Layer, values: Integers) -> Integers:
    if layer.saturation is None:
        return values
    limits = layer.saturation.interval
    return np.minimum(np.maximum(values, limits.low), limits.high)


def _product(rows: Signal, weights: IntArray) -> Integers:
    """An exact product: floats hold integers below 2**53, whatever order they are added in."""
    most = int(rows.max(initial=0)) * _magnitude(weights)
    if most < 1 << 53:
        return (rows.astype(np.float64) @ weights.astype(np.float64)).astype(np.int64)
    return np.asarray(rows.astype(object) @ weights.astype(object))


def _magnitude(weights: IntArray) -> int:
    """Largest sum of magnitudes that reaches a neuron."""
    sums = [sum(abs(w) for w in column) for column in weights.T.tolist()]
    return int(max(sums))


def _number(layer: Layer, n_steps: int, most: int) -> type:
    """A type that holds every membrane, and its product with the leak; currents reach ``most``."""
    lateral = 0 if layer.recurrent is None else _magnitude(layer.recurrent)
    resets = [] if layer.resets is None else layer.resets.tolist()
    ends = [abs(n) for n in (*layer.biases.tolist(), *layer.thresholds.tolist(), *resets)]
    step = most + lateral + 3 * max(ends)
    shift = layer.leak.f
    if layer.synapse is not None:  # a current that is kept adds up over the steps too
        step, shift = n_steps * step, max(shift, layer.synapse.f)
    return object if n_steps * step << shift >= 1 << 62 else np.int64
