"""Networks for the bench, and a short way to run one of them in a simulator."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter

import numpy as np
import pytest

from convexon.errors import MissingToolError
from convexon.plan.mapping import Folded, Mapping, Weights
from convexon.plan.pipeline import Cycles
from convexon.plan.schedule import Schedule
from convexon.snn.fixed import QFormat
from convexon.snn.models import golden
from convexon.snn.models.trace import SpikeTrace
from convexon.snn.network import Branch, FixedPointNetwork, Layer
from convexon.snn.neuron import Leak, ReadoutMode, Reset
from convexon_hdl.emit.bundle import RtlBundle
from convexon_hdl.emit.emitter import emit
from convexon_sim.bench.job import SMOOTH, Traffic
from convexon_sim.bench.runner import simulate_all
from convexon_sim.simulator import Simulator, SimulatorKind, find
from convexon_sim.trial import Trial
from convexon_sim.verification import Verification
from strategies import layer_of, network_of, readout_of

SIMULATIONS: Counter[str] = Counter()
"""How often each simulator compared at least one sample."""


def icarus() -> Simulator:
    """Icarus, or a skip that says how to install it."""
    try:
        return find(SimulatorKind.ICARUS)
    except MissingToolError as error:
        pytest.skip(str(error))


def small_network(mode: ReadoutMode = ReadoutMode.COUNT) -> FixedPointNetwork:
    """One layer, every neuron of which integrates, fires and leaks on negative membranes."""
    layer = layer_of(
        [[3, -4, 2], [2, 5, -3], [-2, 3, 4]],
        [4, 5, 3],
        biases=[0, -1, 1],
        leak=Leak(1, 2),
        weight_format=QFormat(5),
    )
    return network_of(
        (layer,),
        n_steps=4,
        **readout_of(mode, np.array([[3, -2], [-1, 4], [2, 1]]), np.array([1, -1])),
    )


def rich_network() -> FixedPointNetwork:
    """Two branches of different depth: recurrent, saturating, a lone neuron, intensities."""
    rng = np.random.default_rng(11)
    shallow = layer_of(
        rng.integers(-3, 4, (4, 3)),
        [5, 7, -2],
        recurrent=rng.integers(-4, 5, (3, 3)),
        leak=Leak(3, 3),
        reset=Reset.ZERO,
        saturation=QFormat(5),
    )
    first = layer_of(rng.integers(-3, 4, (4, 4)), [6, 9, 4, 12], leak=Leak(1, 2))
    second = layer_of(rng.integers(-3, 4, (4, 1)), [2], biases=[1], reset=Reset.NONE)
    return network_of(
        (shallow,),
        (first, second),
        n_steps=5,
        input_bits=2,
        readout_mode=ReadoutMode.COUNT,
        readout_weights=rng.integers(-7, 8, (4, 3)),
        readout_biases=[1, 0, -1],
    )


def inputs_of(network: FixedPointNetwork, n_samples: int) -> np.ndarray:
    """Random inputs."""
    shape = (n_samples, network.n_steps, network.n_inputs)
    limit = 1 << network.input_bits
    return np.random.default_rng(5).integers(0, limit, shape, dtype=np.uint8)


def with_first_layer(network: FixedPointNetwork, **changes: object) -> FixedPointNetwork:
    """The network with members of the first layer of its first branch changed."""
    first, *others = network.branches[0].layers
    changed: Layer = dataclasses.replace(first, **changes)  # type: ignore[arg-type]
    branches = (Branch((changed, *others)), *network.branches[1:])
    return dataclasses.replace(network, branches=branches)


@functools.cache
def bundle_of(network: FixedPointNetwork) -> RtlBundle:
    """The RTL of this very network object, emitted once: what is patched later comes too late."""
    return emit(network, Mapping.spatial(network))


def cycles_of(network: FixedPointNetwork, inputs: np.ndarray, expected: SpikeTrace) -> Cycles:
    """What the schedule of the spatial mapping promises."""
    return Schedule.of(network, Mapping.spatial(network)).cycles(inputs, expected)


def verify(
    simulator: Simulator,
    network: FixedPointNetwork,
    *,
    emitted: FixedPointNetwork | None = None,
    traffic: Traffic = SMOOTH,
    n_samples: int = 12,
    cycles: Cycles | None = None,
) -> Verification:
    """Hold the hardware of ``emitted``, or of ``network`` itself, against the golden model."""
    inputs = inputs_of(network, n_samples)
    hardware = network if emitted is None else emitted
    expected = golden.run(network, inputs)
    trial = Trial(
        bundle=bundle_of(hardware),
        inputs=inputs,
        expected=expected,
        cycles=cycles or cycles_of(network, inputs, expected),
        traffic=traffic,
    )
    (verdict,) = simulate_all([trial], simulator)
    SIMULATIONS[verdict.simulator] += verdict.inferences > 0
    return verdict


def loaded_mapping(network: FixedPointNetwork) -> Mapping:
    """Every layer folded with loaded weights, two lanes where there are two neurons."""
    layers = tuple(
        tuple(
            Folded(lanes=min(2, layer.n_neurons), banks=2, weights=Weights.LOADED)
            for layer in branch.layers
        )
        for branch in network.branches
    )
    return Mapping(layers=layers)


def other_weights(network: FixedPointNetwork) -> FixedPointNetwork:
    """The same network with the weights of each layer negated."""
    branches = tuple(
        Branch(tuple(dataclasses.replace(layer, weights=-layer.weights) for layer in branch.layers))
        for branch in network.branches
    )
    return dataclasses.replace(network, branches=branches)
