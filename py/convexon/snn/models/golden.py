"""The golden model: the contract of `convexon.snn.neuron`, slow and obvious.

One neuron, one step, one line per equation, on Python's unbounded integers. It is the reference
that everything else is compared with, and is written to be read, not to be fast;
`convexon.snn.models.simulate` is the fast one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from convexon.errors import FormatError
from convexon.snn.convolution import IntegerConvolution
from convexon.snn.models.trace import LayerTrace, SpikeTrace
from convexon.snn.network import FixedPointNetwork, Layer
from convexon.snn.neuron import Leak, LeakRounding, ReadoutMode, Reset


def saturate(value: int, layer: Layer) -> int:
    """Clamp to the layer's membrane format, where it chose one."""
    if layer.saturation is None:
        return value
    limits = layer.saturation.interval
    return min(max(value, limits.low), limits.high)


def leaked(value: int, leak: Leak) -> int:
    """What a leak leaves of a state."""
    if leak.rounding is LeakRounding.ZERO:
        size = (((1 << leak.f) - leak.d) * abs(value)) >> leak.f
        return size if value >= 0 else -size
    return value - ((leak.d * value) >> leak.f)


def neuron_step(
    layer: Layer, j: int, state: tuple[int, int], inputs: list[int], previous_spikes: list[int]
) -> tuple[int, tuple[int, int]]:
    """One step of neuron ``j`` from ``state`` = (v, i): returns its spike and its next state."""
    v, before = state
    current = 0
    if isinstance(layer.weights, IntegerConvolution):
        current += window_sum(layer.weights, j, inputs)
    else:
        current += sum(w * x for w, x in zip(layer.weights[:, j].tolist(), inputs, strict=True))
    if layer.recurrent is not None:
        lateral = layer.recurrent[:, j].tolist()
        current += sum(r * s for r, s in zip(lateral, previous_spikes, strict=True))
    if layer.tables is not None:
        current = int(layer.tables[current, j])
    current += int(layer.biases[j])
    threshold = int(layer.thresholds[j])
    leak = layer.leak_of(j)

    i = current
    if layer.synapse is not None:
        i = leaked(before, layer.synapse) + current
    late = threshold * previous_spikes[j] if layer.reset is Reset.LATE else 0
    u = saturate(leaked(v, leak) + i - late, layer)
    s = 1 if u >= threshold else 0
    if layer.reset is Reset.SUBTRACT:
        v = saturate(u - threshold * s, layer)
    elif layer.reset is Reset.ZERO:
        v = layer.reset_of(j) if s else u
    else:
        v = u
    return s, (v, i)


def window_sum(weights: IntegerConvolution, j: int, inputs: list[int]) -> int:
    """What the window of neuron ``j`` weighs, pixel by pixel."""
    windows = weights.windows
    _, height, width = windows.shape
    n_outputs, n_channels, n_rows, n_columns = weights.kernel.shape
    _, _, across = weights.shape
    output, place = divmod(j, weights.spread)
    row, column = divmod(place, across)
    kernel = weights.kernel[output].tolist()
    first_channel = output // (n_outputs // windows.groups) * n_channels
    (high, wide), (pool_high, pool_wide) = windows.pooled, windows.pool
    total = 0
    for m in range(n_rows):
        y = row * windows.stride[0] + m * windows.dilation[0] - windows.padding[0][0]
        for n in range(n_columns):
            x = column * windows.stride[1] + n * windows.dilation[1] - windows.padding[1][0]
            if not (0 <= y < high and 0 <= x < wide):
                continue
            for i in range(n_channels):
                for down in range(pool_high):
                    line = (first_channel + i) * height + y * pool_high + down
                    for right in range(pool_wide):
                        pixel = inputs[line * width + x * pool_wide + right]
                        total += kernel[i][m][n] * pixel
    return total


def layer_run(layer: Layer, inputs: list[list[int]]) -> tuple[list[list[int]], list[list[int]]]:
    """All steps of one layer: spikes and membranes, each ``[step][neuron]``."""
    n = layer.n_neurons
    states = [(0, 0)] * n
    s = [0] * n
    spikes: list[list[int]] = []
    membranes: list[list[int]] = []
    for x in inputs:
        results = [neuron_step(layer, j, states[j], x, s) for j in range(n)]
        s = [spike for spike, _ in results]
        states = [state for _, state in results]
        spikes.append(s)
        membranes.append([v for v, _ in states])
    return spikes, membranes


def readout_scores(
    network: FixedPointNetwork, spikes: list[list[int]], membranes: list[list[int]]
) -> list[list[int]]:
    """Scores ``[readout][class]`` from the last layers' spikes and membranes ``[step][neuron]``."""
    mode = network.readout_mode
    if mode is ReadoutMode.LAST:
        features = [spikes[-1]]
    elif mode is ReadoutMode.SIGN:
        features = [[1 if v >= 0 else 0 for v in membranes[-1]]]
    elif mode is ReadoutMode.COUNT:
        features = [[sum(step[j] for step in spikes) for j in range(len(spikes[0]))]]
    elif mode is ReadoutMode.MEMBRANE:
        features = [membranes[-1]]
    elif mode is ReadoutMode.PEAK:
        features = [[max(step[j] for step in membranes) for j in range(len(membranes[0]))]]
    else:
        features = spikes
    return [
        [
            int(network.readout_biases[c])
            + sum(int(network.readout_weights[j, c]) * value for j, value in enumerate(row))
            for c in range(network.n_classes)
        ]
        for row in features
    ]


def decide(scores: list[int]) -> int:
    """Class of the largest score, the lowest class among equals.

    A single score is read as the pair (0, score): class 1 needs a score above 0.
    """
    if len(scores) == 1:
        return 1 if scores[0] > 0 else 0
    best = 0
    for c, score in enumerate(scores):
        if score > scores[best]:
            best = c
    return best


def run(network: FixedPointNetwork, inputs: npt.NDArray[np.unsignedinteger]) -> SpikeTrace:
    """Trace of ``network`` on ``inputs``, shape (samples, steps, inputs).

    Raises
    ------
    InputError
        If the shape differs from the network's, or an input exceeds the network's input bits.
    FormatError
        If a membrane or a score does not fit 64 bits, as no trace can hold it then.
    """
    network.check_inputs(inputs)
    columns: list[list[list[list[list[int]]]]] = []  # [sample][flat layer][spikes, membranes]
    all_scores: list[list[list[int]]] = []
    for sample in inputs.tolist():
        flat: list[list[list[list[int]]]] = []
        last_spikes: list[list[int]] = [[] for _ in sample]
        last_membranes: list[list[int]] = [[] for _ in sample]
        for branch in network.branches:
            signal = sample
            for layer in branch.layers:
                spikes, membranes = layer_run(layer, signal)
                flat.append([spikes, membranes])
                signal = spikes
            last_spikes = [row + add for row, add in zip(last_spikes, spikes, strict=True)]
            last_membranes = [row + add for row, add in zip(last_membranes, membranes, strict=True)]
        columns.append(flat)
        all_scores.append(readout_scores(network, last_spikes, last_membranes))

    layers: list[tuple[LayerTrace, ...]] = []
    position = 0
    for branch in network.branches:
        traces = []
        for _ in branch.layers:
            traces.append(
                LayerTrace(
                    spikes=np.array([flat[position][0] for flat in columns], dtype=np.uint8),
                    membranes=_integers("membranes", [flat[position][1] for flat in columns]),
                )
            )
            position += 1
        layers.append(tuple(traces))
    labels = [[decide(scores) for scores in rows] for rows in all_scores]
    return SpikeTrace(
        layers=tuple(layers),
        scores=_integers("scores", all_scores),
        labels=np.array(labels, dtype=np.int64),
    )


def _integers(name: str, values: object) -> npt.NDArray[np.int64]:
    """Nested lists as an array; raises `FormatError` where one does not fit."""
    try:
        return np.array(values, dtype=np.int64)
    except OverflowError:
        raise FormatError(f"{name} must fit 64 bits: use smaller weights") from None
