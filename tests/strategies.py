"""Random networks and data for Hypothesis, and short ways to write small ones by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from convexon.plan.mapping import Folded, Mapping, Spatial
from convexon.snn.coding import INTENSITY, THRESHOLD
from convexon.snn.fixed import QFormat
from convexon.snn.interface import Interface
from convexon.snn.models.trace import LayerTrace, SpikeTrace
from convexon.snn.network import Branch, FixedPointNetwork, Layer, Network
from convexon.snn.neuron import INTEGRATE, Feature, Leak, LeakRounding, ReadoutMode, Reset

WEIGHED = tuple(mode for mode in ReadoutMode if mode.feature is not Feature.MEMBRANE)
"""Readouts that weigh features; the others pass membranes on."""


def layer_of(weights: Any, thresholds: Any, **changes: Any) -> Layer:
    """Layer of an integrator with reset by subtraction, unless ``changes`` say otherwise."""
    members = {
        "biases": np.zeros(np.shape(weights)[-1], dtype=np.int64),
        "leak": INTEGRATE,
        "reset": Reset.SUBTRACT,
        "weight_format": QFormat(8),
        "threshold_format": QFormat(8),
    }
    return Layer(weights=weights, thresholds=thresholds, **{**members, **changes})


def network_of(*branches: tuple[Layer, ...], n_steps: int, **changes: Any) -> FixedPointNetwork:
    """Network whose readout passes the features on, unless ``changes`` say otherwise."""
    n = sum(layers[-1].n_neurons for layers in branches)
    members = {
        "input_bits": 1,
        "readout_mode": ReadoutMode.LAST,
        "readout_weights": np.eye(n, dtype=np.int64),
        "readout_biases": np.zeros(n, dtype=np.int64),
        "readout_format": QFormat(8),
        "bias_format": QFormat(8),
    }
    return FixedPointNetwork(
        branches=tuple(Branch(layers) for layers in branches),
        n_steps=n_steps,
        **{**members, **changes},
    )


def readout_of(mode: ReadoutMode, weights: np.ndarray, biases: np.ndarray) -> dict[str, Any]:
    """Members of a network's readout; membranes are scores as they are."""
    if mode.feature is Feature.MEMBRANE:
        weights, biases = np.eye(len(weights), dtype=np.int64), np.zeros(len(weights), np.int64)
    return {"readout_mode": mode, "readout_weights": weights, "readout_biases": biases}


def interface_of(network: Network, **changes: Any) -> Interface:
    """How features in 0..1 become the network's inputs, unless ``changes`` say otherwise."""
    n = network.n_inputs
    members = {
        "coding": THRESHOLD if network.input_bits == 1 else INTENSITY,
        "shape": (n,),
        "classes": tuple(range(max(2, network.readout_weights.shape[1]))),
        "low": np.zeros(n),
        "high": np.ones(n),
    }
    return Interface(**{**members, **changes})


def integers(low: int, high: int, *shape: int) -> st.SearchStrategy[np.ndarray]:
    """Arrays of int64 in low..high."""
    return npst.arrays(np.int64, shape, elements=st.integers(low, high))


def weights(*shape: int) -> st.SearchStrategy[np.ndarray]:
    """Arrays of small weights, about half of them zero."""
    return npst.arrays(np.int64, shape, elements=st.just(0) | st.integers(-7, 7))


@st.composite
def leaks(draw: st.DrawFn) -> Leak:
    """Leaks from the pure integrator to the memoryless unit, of either rounding."""
    f = draw(st.integers(0, 5))
    return Leak(draw(st.integers(0, 1 << f)), f, draw(st.sampled_from(LeakRounding)))


@st.composite
def layers(draw: st.DrawFn, n_inputs: int, n_neurons: int) -> Layer:
    """Layers of every kind; thresholds may be negative, and out of reach."""
    width = draw(st.none() | st.integers(2, 6))
    recurrent = draw(st.booleans())
    leak = draw(leaks())
    own = integers(0, 1 << leak.f, n_neurons)
    reset = draw(st.sampled_from(Reset))
    resets = st.none() | integers(-2, 1, n_neurons)
    return Layer(
        weights=draw(weights(n_inputs, n_neurons)),
        thresholds=draw(integers(-6, 12, n_neurons)),
        biases=draw(integers(-3, 3, n_neurons)),
        recurrent=draw(weights(n_neurons, n_neurons)) if recurrent else None,
        leak=leak,
        leaks=draw(st.none() | own),
        reset=reset,
        resets=draw(resets) if reset is Reset.ZERO else None,
        weight_format=QFormat(4),
        threshold_format=QFormat(5),
        saturation=None if width is None else QFormat(width),
        synapse=draw(st.none() | leaks()),
    )


@st.composite
def branches(draw: st.DrawFn, n_inputs: int) -> Branch:
    """Branches of one to three layers."""
    stack = []
    for n_neurons in draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)):
        stack.append(draw(layers(n_inputs, n_neurons)))
        n_inputs = n_neurons
    return Branch(tuple(stack))


@st.composite
def networks(
    draw: st.DrawFn, modes: Sequence[ReadoutMode] = tuple(ReadoutMode)
) -> FixedPointNetwork:
    """Valid networks of one to three branches, one to four classes where features are weighed."""
    n_inputs = draw(st.integers(1, 4))
    parallel = tuple(draw(branches(n_inputs)) for _ in range(draw(st.integers(1, 3))))
    n_features = sum(branch.n_outputs for branch in parallel)
    n_classes = draw(st.integers(1, 4))
    return FixedPointNetwork(
        branches=parallel,
        n_steps=draw(st.integers(1, 5)),
        input_bits=draw(st.integers(1, 3)),
        **readout_of(
            draw(st.sampled_from(modes)),
            draw(integers(-8, 7, n_features, n_classes)),
            draw(integers(-16, 15, n_classes)),
        ),
        readout_format=QFormat(4, frac=2),
        bias_format=QFormat(5, frac=2),
    )


@st.composite
def networks_with_inputs(
    draw: st.DrawFn, modes: Sequence[ReadoutMode] = tuple(ReadoutMode)
) -> tuple[FixedPointNetwork, np.ndarray]:
    """Networks, each with inputs of one to four samples."""
    network = draw(networks(modes))
    shape = (draw(st.integers(1, 4)), network.n_steps, network.n_inputs)
    high = network.input_range.high
    return network, draw(npst.arrays(np.uint8, shape, elements=st.integers(0, high)))


def random_mapping(network: FixedPointNetwork, rng: np.random.Generator) -> Mapping:
    """A mapping in which every layer, and the readout, is spatial or folded by chance."""

    def choice(n_neurons: int) -> Spatial | Folded:
        if rng.random() < 0.3:
            return Spatial(registers=int(rng.integers(0, 3)))
        lanes = int(rng.integers(1, n_neurons + 1))
        divisors = [d for d in range(1, lanes + 1) if lanes % d == 0]
        banks = int(rng.integers(1, 4))
        return Folded(lanes=lanes, banks=banks, updates=int(rng.choice(divisors)))

    readout: Spatial | Folded = Spatial(registers=int(rng.integers(0, 3)))
    if rng.random() < 0.5 and not network.reads_membranes:
        readout = Folded(lanes=network.n_classes, banks=int(rng.integers(1, 3)))
    return Mapping(
        layers=tuple(
            tuple(choice(layer.n_neurons) for layer in branch.layers) for branch in network.branches
        ),
        readout=readout,
        decision_registers=int(rng.integers(0, 2)),
    )


def copied(trace: SpikeTrace) -> SpikeTrace:
    """Deep copy of a trace, to be changed."""
    return SpikeTrace(
        layers=tuple(
            tuple(LayerTrace(layer.spikes.copy(), layer.membranes.copy()) for layer in branch)
            for branch in trace.layers
        ),
        scores=trace.scores.copy(),
        labels=trace.labels.copy(),
        latency_cycles=None if trace.latency_cycles is None else trace.latency_cycles.copy(),
    )


def equal(a: SpikeTrace, b: SpikeTrace) -> bool:
    """Whether two traces hold the same, compared without `convexon.snn.models.trace`."""
    pairs = [(a.scores, b.scores), (a.labels, b.labels)]
    for one, other in zip(a.layers, b.layers, strict=True):
        for x, y in zip(one, other, strict=True):
            pairs += [(x.spikes, y.spikes), (x.membranes, y.membranes)]
    return all(np.array_equal(x, y) for x, y in pairs)


def image_words(image):
    """Words of a weight image, to be sent in this order."""
    return np.frombuffer(image, dtype="<u4").tolist()
