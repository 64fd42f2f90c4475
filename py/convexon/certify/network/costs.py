"""What neurons cost in silicon, as the penalty weights of a program state it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convexon.certify.exact.dyadic import FloatArray
from convexon.certify.network.neurons import Signal, below, matrix_of
from convexon.certify.statement import IntArray
from convexon.errors import InputError
from convexon.plan.cost.resource_model import neuron_sites
from convexon.snn.fixed import Interval
from convexon.snn.network import Branch, Layer

LEAST = 0.01
"""No neuron weighs less, whatever its cost."""


def weights_of(
    kind: str, branches: Sequence[Branch], witnesses: IntArray, inputs: Signal, input_bits: int
) -> FloatArray:
    """Return the weight of each witness: its cost, where the mean of the first branch counts as 1.

    Parameters
    ----------
    kind : str
        ``luts``, ``events`` or ``memory``, as `convexon.train.cost` explains them.
    branches, witnesses : sequence of Branch, int64 array of shape (P, 2)
    inputs : uint8 array, shape (samples, steps, inputs)
        Samples of the program's rows.
    input_bits : int

    Raises
    ------
    InputError
        If there is no such cost.
    """
    costs = []
    for branch in branches:
        signal = below(branch, inputs)
        largest = 1 if branch.depth > 1 else (1 << input_bits) - 1
        costs.append(_costs(kind, branch.layers[-1], signal, largest))
    paid = np.array([costs[b][j] for b, j in witnesses.tolist()])
    return np.asarray(np.maximum(paid / costs[0].mean(), LEAST))


def _costs(kind: str, layer: Layer, signal: Signal, largest: int) -> FloatArray:
    """Cost of each neuron of a layer that reads ``signal``, of integers up to ``largest``."""
    n_steps, n_inputs = signal.shape[1:]
    weights = matrix_of(layer)
    synapses = weights != 0
    match kind:
        case "luts":
            return neuron_sites(layer, Interval(0, largest), n_steps)
        case "events":
            spikes = np.count_nonzero(signal, axis=(0, 1))
            return np.asarray(spikes @ synapses / len(signal))
        case "memory":
            address = max(1, (n_inputs - 1).bit_length())
            stored = synapses.sum(axis=0) * (layer.weight_format.width + address)
            reach = np.abs(weights).sum(axis=0) * largest * n_steps
            membranes = [int(most).bit_length() + 1 for most in reach]
            return np.asarray(stored + membranes, dtype=np.float64)
    raise InputError("cost must be luts, events or memory in the recipe of certificate.json")
