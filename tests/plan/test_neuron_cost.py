"""The cost of a neuron: near that of the graph which is built for it, for every kind of neuron."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from convexon.plan.cost.amounts import Logic, bit_lengths, matrix_amounts, spatial_amounts
from convexon.plan.cost.resource_model import neuron_sites, resource_model
from convexon.plan.family import Family
from convexon.plan.mapping import PLAIN, Spatial, Sums
from convexon.snn.fixed import Interval
from convexon.snn.network import Layer
from convexon.snn.neuron import INTEGRATE, MEMORYLESS, Leak, Reset
from strategies import layer_of, network_of

BIT = Interval(0, 1)


def layer(seed: int, n_inputs: int, bits: int, **changes: object) -> Layer:
    """Neurons with a tenth to all of their weights."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), (n_inputs, 24))
    weights *= rng.random(weights.shape) < np.linspace(0.1, 1.0, 24)
    made = layer_of(weights, [3] * 24)
    return dataclasses.replace(made, **{"leak": Leak(1, 2), "reset": Reset.SUBTRACT, **changes})


def test_bits_of_integers() -> None:
    values = [-3, 0, 1, 2, 3, 4, 255, 256, (1 << 52) - 1]
    assert bit_lengths(np.array(values)).tolist() == [max(0, v).bit_length() for v in values]


@pytest.mark.parametrize("family", Family, ids=lambda family: family.value)
@pytest.mark.parametrize("bits", [2, 4, 7])
def test_sums_are_near_those_of_the_graphs(family: Family, bits: int) -> None:
    """Of neurons one by one; that graphs share lookups and leave out wires is what differs."""
    neurons = layer(bits, 40, bits, leak=MEMORYLESS, reset=Reset.NONE)
    found = neuron_sites(neurons, BIT, 5, family)
    none = np.zeros(1, dtype=np.int64)
    model = resource_model(family)
    graphs = np.array(
        [
            model.lut_sites(matrix_amounts(column[:, None], none, Sums.TABLES, 1))
            for column in neurons.weights.T
        ]
    )
    assert np.corrcoef(found, graphs)[0, 1] > 0.98
    assert 0.9 < found.sum() / graphs.sum() < 1.35


@pytest.mark.parametrize("reset", Reset)
@pytest.mark.parametrize("leak", [INTEGRATE, MEMORYLESS, Leak(3, 4)])
def test_a_layer_takes_what_its_neurons_take(leak: Leak, reset: Reset) -> None:
    neurons = layer(1, 32, 4, leak=leak, reset=reset)
    network = network_of((neurons,), n_steps=4)
    choice = Spatial(sums=Sums.TABLES)
    whole = resource_model(Family.ECP5).lut_sites(spatial_amounts(network, 0, 0, choice))
    assert 0.9 < neuron_sites(neurons, BIT, 4).sum() / whole < 1.6


def test_the_amounts_of_a_layer_are_those_of_its_neurons() -> None:
    neurons = layer(2, 12, 4, reset=Reset.ZERO)
    network = network_of((neurons,), n_steps=4)
    amounts = spatial_amounts(network, 0, 0, PLAIN)
    one_by_one = [
        spatial_amounts(network_of((neurons.restricted([k], range(12)),), n_steps=4), 0, 0, PLAIN)
        for k in range(neurons.n_neurons)
    ]
    for kind in (Logic.NEURON, Logic.LEAK, Logic.INTEGRATE, Logic.ZERO, Logic.COMPARE):
        assert amounts[kind] == sum(amount[kind] for amount in one_by_one)


def test_more_synapses_larger_weights_and_intensities_cost_more() -> None:
    weights = np.array([[1, 1, 7], [0, 1, 7], [0, 1, 7], [0, 1, 7], [0, 1, 7]])
    neurons = layer_of(weights, [1, 1, 1])
    costs = neuron_sites(neurons, BIT, 4)
    assert (np.diff(costs) > 0).all()
    assert (neuron_sites(neurons, Interval(0, 15), 4) > costs).all()
    assert (neuron_sites(layer_of(weights * 0, [1, 1, 1]), BIT, 4) < costs).all()
