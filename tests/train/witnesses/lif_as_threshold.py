"""A LIF layer as a recurrent threshold layer (arXiv:2605.08022): the equality that a test shows."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import gcd

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.snn.fixed import MAX_WIDTH, QFormat
from convexon.snn.network import Layer
from convexon.snn.neuron import Reset
from convexon.train.witnesses.threshold import threshold_layer

IntArray = npt.NDArray[np.int64]


def relay(n_inputs: int) -> Layer:
    """Return a layer that repeats its input spikes."""
    return threshold_layer(np.eye(n_inputs, dtype=np.int64), np.ones(n_inputs, dtype=np.int64))


def refined(layer: Layer, n_steps: int) -> Layer:
    """Return the layer on a grid so fine that its leak rounds nothing for ``n_steps`` steps.

    Weights, lateral weights, thresholds and biases are scaled together, by a power of two. A layer
    whose leak is d / 2^f in lowest terms needs the factor 2^(f (T - 1)).

    Raises
    ------
    InputError
        If that leaves 64-bit integers.
    """
    shift = _leak_in_lowest_terms(layer)[1] * (n_steps - 1)
    formats = (layer.weight_format.width, layer.threshold_format.width)
    if shift + max(formats) > MAX_WIDTH:
        raise InputError(
            f"weights must fit {MAX_WIDTH} bits on the finer grid, not {shift + max(formats)}: "
            "take fewer steps or a leak of fewer bits"
        )
    factor = 1 << shift
    return replace(
        layer,
        weights=layer.weights * factor,
        recurrent=None if layer.recurrent is None else layer.recurrent * factor,
        thresholds=layer.thresholds * factor,
        biases=layer.biases * factor,
        weight_format=QFormat(layer.weight_format.width + factor.bit_length() - 1),
        threshold_format=QFormat(layer.threshold_format.width + factor.bit_length() - 1),
    )


def unrolled(layer: Layer, n_steps: int) -> Layer:
    """Return the recurrent threshold layer that does what a LIF layer does for ``n_steps`` steps.

    Its first units are the layer's neurons and fire when they do, bit for bit. The others hold the
    past: first each input of 0 to T - 2 steps ago, then each spike of 1 to T - 2 steps ago.

    Parameters
    ----------
    layer : Layer
        Reads spikes, and is as fine as `refined` makes it.
    n_steps : int
        T.

    Raises
    ------
    InputError
        If the layer resets to zero, saturates or has biases, or if its leak would round.
    """
    if layer.reset is Reset.ZERO:
        raise InputError("reset must be by subtraction or none: a reset to zero is not linear")
    if layer.saturation is not None:
        raise InputError("saturation must be none: a clamped membrane is not linear")
    if layer.biases.any():
        raise InputError("biases must be zero: give the layer an input that always fires instead")
    n_in, n = layer.n_inputs, layer.n_neurons
    held_inputs = [n + k * n_in + np.arange(n_in) for k in range(n_steps - 1)]
    first = n + n_in * (n_steps - 1)
    # A spike of one step ago is what lateral weights see of the neurons themselves.
    spikes_ago = [np.arange(n), *(first + k * n + np.arange(n) for k in range(n_steps - 2))]
    size = n + n_in * (n_steps - 1) + n * max(n_steps - 2, 0)
    into = np.zeros((n_in, size), dtype=np.int64)
    lateral = np.zeros((size, size), dtype=np.int64)
    into[:, :n] = layer.weights
    for k in range(1, n_steps):
        lateral[held_inputs[k - 1], :n] += _decayed(layer.weights, layer, k)
        if layer.reset is Reset.SUBTRACT:
            lateral[spikes_ago[k - 1], :n] -= np.diag(_decayed(layer.thresholds, layer, k))
        if layer.recurrent is not None:
            lateral[spikes_ago[k - 1], :n] += _decayed(layer.recurrent, layer, k - 1)
    if n_steps > 1:
        into[:, held_inputs[0]] = np.eye(n_in, dtype=np.int64)
    for line in (held_inputs, spikes_ago):
        for before, after in pairwise(line):
            lateral[before, after] = 1
    thresholds = np.ones(size, dtype=np.int64)
    thresholds[:n] = layer.thresholds
    return threshold_layer(into, thresholds, lateral)


def _leak_in_lowest_terms(layer: Layer) -> tuple[int, int]:
    """Return d and f of the layer's leak d / 2^f in lowest terms."""
    d, f = layer.leak.d, layer.leak.f
    common = gcd(d, 1 << f)
    return d // common, f - (common.bit_length() - 1)


def _decayed(values: IntArray, layer: Layer, lag: int) -> IntArray:
    """``beta^lag`` times ``values``, which must come out whole."""
    d, f = _leak_in_lowest_terms(layer)
    scaled = values * ((1 << f) - d) ** lag
    if (scaled % (1 << (f * lag))).any():
        raise InputError(
            f"weights and thresholds must be multiples of 2**{f * lag} for the leak not to round: "
            "refine the layer first"
        )
    return np.asarray(scaled >> (f * lag))
