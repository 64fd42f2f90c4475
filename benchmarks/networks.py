"""The networks of the hardware benchmarks: random weights, and thresholds at which neurons fire.

Weights are uniform over the integers of their bits that have a negative, from numpy's
default_rng(seed), layer after layer: -31 to 31 for six bits. A membrane leaks 1/8 a step, is as
wide as its range needs, or saturates at ``membrane_bits``, and is reset by subtraction; the readout
counts the spikes of the last layer (identity weights). Inputs are spikes at 15 %.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convexon.snn.fixed import QFormat
from convexon.snn.network import Branch, FixedPointNetwork, Layer
from convexon.snn.neuron import Leak, ReadoutMode, Reset

ACTIVITY = 0.15


def random_network(
    sizes: Sequence[int],
    *,
    weight_bits: int,
    thresholds: Sequence[int],
    membrane_bits: int | None = None,
    n_steps: int = 25,
    seed: int = 0,
) -> FixedPointNetwork:
    """LIF layers of these sizes, inputs first; a layer has one threshold."""
    rng = np.random.default_rng(seed)
    half = 1 << (weight_bits - 1)
    layers = tuple(
        Layer(
            weights=rng.integers(1 - half, half, (n_inputs, n)),
            thresholds=np.full(n, threshold),
            biases=np.zeros(n, dtype=np.int64),
            leak=Leak(1, 3),
            reset=Reset.SUBTRACT,
            weight_format=QFormat(weight_bits),
            threshold_format=QFormat(max(threshold, 1).bit_length() + 1),
            saturation=None if membrane_bits is None else QFormat(membrane_bits),
        )
        for n_inputs, n, threshold in zip(sizes[:-1], sizes[1:], thresholds, strict=True)
    )
    n_classes = sizes[-1]
    return FixedPointNetwork(
        branches=(Branch(layers),),
        n_steps=n_steps,
        input_bits=1,
        readout_mode=ReadoutMode.COUNT,
        readout_weights=np.eye(n_classes, dtype=np.int64),
        readout_biases=np.zeros(n_classes, dtype=np.int64),
        readout_format=QFormat(2),
        bias_format=QFormat(2),
    )


def small(seed: int = 0) -> FixedPointNetwork:
    """40-16-10 with weights of 6 bits, as Spiker+ was measured (w6).

    Its membranes have 8 bits (n8); ours never saturate, and have what their ranges need.
    """
    return random_network((40, 16, 10), weight_bits=6, thresholds=(40, 40), seed=seed)


def large(seed: int = 0) -> FixedPointNetwork:
    """784-128-10 with weights of 4 bits (w4).

    Membranes never saturate; in the 6 bits of Spiker+'s n6, the sum of 118 spikes would in most
    steps.
    """
    return random_network((784, 128, 10), weight_bits=4, thresholds=(60, 20), seed=seed)


def inputs_of(
    network: FixedPointNetwork, n_samples: int, *, activity: float = ACTIVITY, seed: int = 1
) -> np.ndarray:
    """Random spikes, shape (samples, steps, inputs)."""
    rng = np.random.default_rng(seed)
    shape = (n_samples, network.n_steps, network.n_inputs)
    return (rng.random(shape) < activity).astype(np.uint8)
