"""Operations counted one by one, and their energy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from convexon.errors import InputError
from convexon.plan.operations import (
    ADD_8,
    ADD_32,
    DRAM_64,
    READ_64,
    SMALLER,
    Operations,
    add_bit,
    memory_bits,
    neutral_energy,
    operations_of,
    read_bit,
)
from convexon.snn.fixed import width_of
from convexon.snn.models import golden
from convexon.snn.models.trace import SpikeTrace
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import ReadoutMode
from strategies import layer_of, network_of, networks_with_inputs


def synaptic_by_hand(network: FixedPointNetwork, inputs: np.ndarray, trace: SpikeTrace) -> int:
    """Additions of a weight, one source and one target at a time."""
    count = 0
    for sample in range(len(inputs)):
        for b, branch in enumerate(network.branches):
            for t in range(network.n_steps):
                sources = [int(x).bit_count() for x in inputs[sample, t]]
                for depth, layer in enumerate(branch.layers):
                    spikes = trace.layers[b][depth].spikes[sample]
                    for i, ones in enumerate(sources):
                        count += ones * sum(1 for w in layer.weights[i] if w)
                    if layer.recurrent is not None and t:
                        for j in range(layer.n_neurons):
                            if spikes[t - 1, j]:
                                count += sum(1 for w in layer.recurrent[j] if w)
                    sources = [int(x) for x in spikes[t]]
        last = [layers[-1] for layers in trace.layers]
        spikes = np.concatenate([layer.spikes[sample] for layer in last], axis=1)
        membranes = np.concatenate([layer.membranes[sample] for layer in last], axis=1)
        mode = network.readout_mode
        read = spikes if mode in (ReadoutMode.COUNT, ReadoutMode.STEP) else spikes[-1:]
        if network.reads_membranes:
            continue
        if mode is ReadoutMode.SIGN:
            read = (membranes[-1:] >= 0).astype(int)
        for row in read:
            for j in np.flatnonzero(row).tolist():
                count += sum(1 for w in network.readout_weights[j] if w)
    return count


@given(networks_with_inputs())
def test_every_synapse_of_every_spike_counts_once(
    drawn: tuple[FixedPointNetwork, np.ndarray],
) -> None:
    network, inputs = drawn
    trace = golden.run(network, inputs)
    counted = operations_of(network, inputs, trace)
    by_hand = synaptic_by_hand(network, inputs, trace)
    assert counted.synaptic * len(inputs) == pytest.approx(by_hand, rel=1e-12, abs=1e-9)
    assert counted.updates == network.n_neurons * network.n_steps
    assert counted.membrane_bits >= 2 * counted.updates
    assert counted.update_bits >= counted.updates
    energy = neutral_energy(network, counted)
    assert 0 < energy.low <= energy.high


def test_counts_of_a_network_by_hand() -> None:
    """Two inputs of two bits, one neuron that fires at each step: theta is 1."""
    network = network_of(
        (layer_of([[3], [1]], [1]),),
        n_steps=2,
        input_bits=2,
        readout_mode=ReadoutMode.COUNT,
        readout_weights=np.array([[1, 0]]),
        readout_biases=np.zeros(2, dtype=np.int64),
    )
    inputs = np.array([[[3, 1], [0, 2]]], dtype=np.uint8)
    trace = golden.run(network, inputs)
    assert trace.layers[0][0].spikes.ravel().tolist() == [1, 1]
    ranges = network.ranges[0][0]
    current, integrated, membrane = (
        width_of(intervals[0]) for intervals in (ranges.current, ranges.integrated, ranges.membrane)
    )
    score = width_of(network.score_ranges[0])
    weight = network.branches[0].layers[0].weight_format.width
    # Four bits of the inputs are 1, each with one synapse; two spikes with one weight that is read.
    assert operations_of(network, inputs, trace) == Operations(
        synaptic=6.0,
        synaptic_bits=4.0 * current + 2.0 * score,
        updates=2.0,
        update_bits=2.0 * integrated,
        weight_bits=4.0 * weight + 2.0 * network.readout_format.width,
        membrane_bits=4.0 * membrane,
    )
    bits = 2 * weight + membrane + 2 * network.readout_format.width
    assert memory_bits(network) == bits


def test_foreign_inputs_are_refused() -> None:
    network = network_of((layer_of([[1]], [1]),), n_steps=2)
    inputs = np.zeros((1, 2, 1), dtype=np.uint8)
    trace = golden.run(network, inputs)
    with pytest.raises(InputError, match=r"^inputs must have shape "):
        operations_of(network, np.zeros((1, 3, 1), dtype=np.uint8), trace)


def test_constants_bound_what_lies_between_their_sizes() -> None:
    assert (add_bit().low, add_bit().high) == (ADD_32 / 32, ADD_8 / 8)
    small, large = 8 * 1024, 32 * 1024
    assert read_bit(8 * small).low == read_bit(8 * small).high == READ_64[small] / 64
    between = read_bit(8 * 10_000)
    assert (between.low, between.high) == (READ_64[small] / 64, READ_64[large] / 64)
    tiny, huge = read_bit(80), read_bit(8 * 4 * 1024 * 1024)
    assert (tiny.low, tiny.high) == (SMALLER * READ_64[small] / 64, READ_64[small] / 64)
    assert (huge.low, huge.high) == (READ_64[1024 * 1024] / 64, DRAM_64 / 64)
