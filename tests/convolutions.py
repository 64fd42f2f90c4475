"""Small networks of convolutions, one for each thing that windows can do."""

from __future__ import annotations

from typing import Any

import numpy as np

from convexon.snn.convolution import IntegerConvolution, Windows
from convexon.snn.fixed import QFormat
from convexon.snn.network import FixedPointNetwork, Layer
from convexon.snn.neuron import Leak, ReadoutMode, Reset
from strategies import layer_of, network_of

WINDOWS: dict[str, tuple[tuple[int, int, int, int], Windows]] = {
    "padded": ((2, 1, 3, 3), Windows(shape=(1, 4, 5), padding=((1, 1), (1, 0)))),
    "strided, in groups": (
        (4, 1, 2, 3),
        Windows(shape=(2, 5, 7), stride=(1, 2), dilation=(2, 1), groups=2),
    ),
    "pooled": (
        (2, 2, 2, 2),
        Windows(shape=(2, 5, 6), pool=(2, 2), padding=((0, 0), (0, 1))),
    ),
    "a signal": ((3, 2, 1, 3), Windows(shape=(2, 1, 9), stride=(1, 2), padding=((0, 0), (1, 1)))),
    "pooled, then dense": ((4, 2, 2, 2), Windows(shape=(2, 4, 4), pool=(2, 2))),
}
"""Shape of the kernel, and the windows."""


def convolution_of(name: str, seed: int = 0) -> IntegerConvolution:
    """A convolution with random weights."""
    shape, windows = WINDOWS[name]
    return IntegerConvolution(np.random.default_rng(seed).integers(-4, 5, shape), windows)


def shared_layer(own: IntegerConvolution, seed: int = 0, **changes: Any) -> Layer:
    """A layer of a convolution, with a threshold and a bias for each channel."""
    rng = np.random.default_rng(seed)
    outputs = len(own.kernel)
    members: dict[str, Any] = {
        "weights": own,
        "thresholds": own.each(rng.integers(2, 7, outputs)),
        "biases": own.each(rng.integers(-1, 2, outputs)),
        "leak": Leak(1, 3),
        "reset": Reset.SUBTRACT,
        "weight_format": QFormat(4),
        "threshold_format": QFormat(6),
    }
    return Layer(**{**members, **changes})


def convolutional(
    name: str, *, seed: int = 0, first: dict[str, Any] | None = None, **changes: Any
) -> FixedPointNetwork:
    """A convolution, whose layer is as ``first`` says, then a dense layer and spike counts."""
    rng = np.random.default_rng(seed + 1)
    shared = shared_layer(convolution_of(name, seed), seed, **(first or {}))
    dense = layer_of(rng.integers(-3, 4, (shared.n_neurons, 3)), rng.integers(2, 6, 3))
    members = {
        "n_steps": 3,
        "readout_mode": ReadoutMode.COUNT,
        "readout_weights": rng.integers(-3, 4, (3, 2)),
        "readout_biases": np.zeros(2, dtype=np.int64),
        **changes,
    }
    return network_of((shared, dense), **members)


def spikes_for(network: FixedPointNetwork, *, samples: int, seed: int = 5) -> np.ndarray:
    """Random inputs."""
    rng = np.random.default_rng(seed)
    size = (samples, network.n_steps, network.n_inputs)
    return rng.integers(0, network.input_range.high + 1, size).astype(np.uint8)
