"""Random designs for the benchmarks of estimates: networks and mappings of every kind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from convexon.data.encoder import LEVEL_KINDS, Encoder, EncoderKind
from convexon.plan.mapping import Folded, LayerMapping, Mapping, Spatial, Weights
from convexon.snn.decision import Decision, Rule
from convexon.snn.fixed import QFormat
from convexon.snn.network import Branch, FixedPointNetwork, Layer
from convexon.snn.neuron import INTEGRATE, MEMORYLESS, Leak, ReadoutMode, Reset
from convexon.snn.seeded import seeded_weights

SEED = 20
"""Of the weights that hardware makes itself."""

LEAKS = (INTEGRATE, Leak(1, 1), Leak(1, 2), Leak(1, 4), Leak(3, 3), Leak(5, 4))


def drawn(
    seed: int, *, most_inputs: int, most_neurons: int, all_folded: bool = False
) -> tuple[FixedPointNetwork, Mapping]:
    """A random design.

    Parameters
    ----------
    seed : int
        Even ones are spatial, but for a layer now and then; odd ones folded.
    most_inputs, most_neurons : int
        Inputs are 4 to the one, neurons of a layer 3 to the other.
    all_folded : bool
        Whether every layer is folded.
    """
    rng = np.random.default_rng(seed)
    seeded = seed % 10 == 9
    n_inputs = int(rng.integers(4, most_inputs + 1))
    input_bits = 1 if seeded or rng.random() < 0.7 else int(rng.integers(2, 5))
    branches = []
    for _ in range(int(rng.integers(1, 3))):
        size, layers = n_inputs, []
        for _ in range(1 if seeded else int(rng.integers(1, 3))):
            layers.append(_layer(rng, size, int(rng.integers(3, most_neurons + 1)), seeded))
            size = layers[-1].n_neurons
        branches.append(Branch(tuple(layers)))
    mode = (
        ReadoutMode.COUNT
        if rng.random() < 0.6
        else rng.choice([ReadoutMode.LAST, ReadoutMode.STEP])
    )
    bits = int(rng.integers(2, 9))
    n_classes = int(rng.integers(2, 11))
    n_features = sum(branch.n_outputs for branch in branches)
    network = FixedPointNetwork(
        branches=tuple(branches),
        n_steps=8,
        input_bits=input_bits,
        readout_mode=mode,
        readout_weights=_weights(rng, (n_features, n_classes), bits, rng.uniform(0.2, 1.0)),
        readout_biases=rng.integers(-4, 5, n_classes),
        readout_format=QFormat(bits),
        bias_format=QFormat(max(bits, 4)),
    )
    return network, _mapping(
        rng,
        network,
        is_folded=all_folded or seed % 2 == 1,
        mixed=0.0 if seeded or all_folded else 0.1,
        seeded=seeded,
    )


def typical(seed: int) -> tuple[FixedPointNetwork, Mapping]:
    """A random design such as ``convexon solve`` makes: ternary witnesses of a few synapses.

    Even ones are spatial, odd ones folded.
    """
    rng = np.random.default_rng(seed)
    n_inputs = int(rng.integers(16, 65))
    input_bits = int(rng.choice([1, 1, 1, 4, 8]))
    branches = []
    for _ in range(int(rng.integers(1, 4))):
        n, fan_in = int(rng.integers(4, 17)), int(rng.integers(3, 13))
        weights = np.zeros((n_inputs, n), dtype=np.int64)
        for column in weights.T:
            column[rng.permutation(n_inputs)[:fan_in]] = rng.choice([-1, 1], fan_in)
        top = int(rng.integers(1, 4)) * ((1 << input_bits) - 1)
        tops = rng.integers(1, top + 1, n)
        layer = _around(rng, weights, thresholds=tops, recurrent=None, bits=2)
        branches.append(Branch((layer,)))
    bits, n_classes = int(rng.choice([4, 8, 8, 12, 16])), int(rng.choice([2, 4, 10]))
    n_features = sum(branch.n_outputs for branch in branches)
    network = FixedPointNetwork(
        branches=tuple(branches),
        n_steps=8,
        input_bits=input_bits,
        readout_mode=ReadoutMode.LAST if rng.random() < 0.2 else ReadoutMode.COUNT,
        readout_weights=_weights(rng, (n_features, n_classes), bits, 1.0),
        readout_biases=rng.integers(-4, 5, n_classes),
        readout_format=QFormat(bits),
        bias_format=QFormat(max(bits, 4)),
    )
    return network, _mapping(rng, network, is_folded=seed % 2 == 1, mixed=0.0, seeded=False)


def threshold_units(seed: int) -> tuple[FixedPointNetwork, Mapping]:
    """A random design such as the examples make: threshold units that read a delay line.

    Even ones are spatial; of odd ones the second layer is folded.
    """
    rng = np.random.default_rng(seed)
    n_inputs, n_steps = int(rng.integers(2, 17)), int(rng.integers(3, 7))
    taps = n_inputs * n_steps  # of the newest step first
    forward, lateral = np.zeros((n_inputs, taps), np.int64), np.zeros((taps, taps), np.int64)
    forward[np.arange(n_inputs), np.arange(n_inputs)] = 1
    older = np.arange(n_inputs, taps)
    lateral[older - n_inputs, older] = 1
    n = int(rng.integers(3, 25))
    bits = int(rng.choice([2, 2, 4]))
    weights = _weights(rng, (taps, n), bits, float(rng.uniform(0.1, 0.8)))
    layers = (
        _unit_layer(forward, np.ones(taps, np.int64), lateral, 2),
        _unit_layer(weights, rng.integers(1, 4, n), None, bits),
    )
    n_classes = int(rng.choice([2, 4, 10]))
    network = FixedPointNetwork(
        branches=(Branch(layers),),
        n_steps=n_steps,
        input_bits=1,
        readout_mode=ReadoutMode.LAST,
        readout_weights=_weights(rng, (n, n_classes), 8, 1.0),
        readout_biases=rng.integers(-4, 5, n_classes),
        readout_format=QFormat(8),
        bias_format=QFormat(8),
    )
    plain = Spatial(registers=int(rng.integers(0, 2)))
    mapping = Mapping.spatial(network, plain)
    if seed % 2:
        mapping = replace(mapping, layers=((plain, _folded(rng, n, seeded=False)),))
    return network, mapping


def _unit_layer(
    weights: np.ndarray, thresholds: np.ndarray, recurrent: np.ndarray | None, bits: int
) -> Layer:
    """A layer of threshold units, which keep nothing from step to step."""
    return Layer(
        weights=weights,
        recurrent=recurrent,
        thresholds=thresholds,
        biases=np.zeros(len(thresholds), dtype=np.int64),
        leak=MEMORYLESS,
        reset=Reset.NONE,
        weight_format=QFormat(bits),
        threshold_format=QFormat(4),
    )


def _weights(
    rng: np.random.Generator, shape: tuple[int, ...], bits: int, density: float
) -> np.ndarray:
    half = 1 << (bits - 1)
    return rng.integers(1 - half, half, shape) * (rng.random(shape) < density)


def _layer(rng: np.random.Generator, n_inputs: int, n: int, seeded: bool) -> Layer:
    """A layer of random weights, or of a seed's."""
    bits = int(rng.integers(2, 9))
    recurrent = not seeded and rng.random() < 0.2
    if seeded:
        weights = seeded_weights(SEED, n_inputs, range(n), bits=bits)
    else:
        weights = _weights(rng, (n_inputs, n), bits, rng.uniform(0.15, 1.0))
    top = max(2, (1 << (bits - 1)) * int(rng.integers(1, 4)))
    thresholds = rng.integers(1, top, n) if rng.random() < 0.5 else np.full(n, top)
    lateral = _weights(rng, (n, n), bits, 0.5) if recurrent else None
    return _around(rng, weights, thresholds=thresholds, recurrent=lateral, bits=bits, top=top)


def _around(
    rng: np.random.Generator,
    weights: np.ndarray,
    *,
    thresholds: np.ndarray,
    recurrent: np.ndarray | None,
    bits: int,
    top: int | None = None,
) -> Layer:
    """A layer of these weights, with a random leak, reset, biases and saturation."""
    n = weights.shape[1]
    widest = QFormat((top or int(thresholds.max())).bit_length() + 1)
    return Layer(
        weights=weights,
        recurrent=recurrent,
        thresholds=thresholds,
        biases=rng.integers(-3, 4, n) if rng.random() < 0.5 else np.zeros(n, dtype=np.int64),
        leak=LEAKS[int(rng.integers(len(LEAKS)))],
        reset=(Reset.SUBTRACT, Reset.ZERO, Reset.NONE)[int(rng.integers(3))],
        weight_format=QFormat(bits),
        threshold_format=QFormat(max(4, widest.width)),
        saturation=QFormat(widest.width + 1) if rng.random() < 0.25 else None,
    )


def _mapping(
    rng: np.random.Generator,
    network: FixedPointNetwork,
    *,
    is_folded: bool,
    mixed: float,
    seeded: bool,
) -> Mapping:
    """A mapping of one kind, but a share ``mixed`` of its layers, with an encoder and a rule."""
    registers = int(rng.integers(0, 3))
    spatial = replace(Mapping.spatial(network), decision_registers=int(rng.integers(0, 2)))
    layers = tuple(
        tuple(
            _folded(rng, layer.n_neurons, seeded=seeded)
            if is_folded != (not seeded and rng.random() < mixed)
            else Spatial(registers=registers)
            for layer in branch.layers
        )
        for branch in network.branches
    )
    readout: LayerMapping = Spatial(registers=registers)
    if is_folded and rng.random() < 0.7:
        readout = Folded(lanes=network.n_classes, banks=int(rng.choice([1, 2])))
    mapping = replace(spatial, layers=layers, readout=readout, encoder=_encoder(rng, network))
    if network.readout_mode is ReadoutMode.COUNT and rng.random() < 0.35:
        early = Decision(rule=Rule.CERTAIN)
        if rng.random() < 0.5:
            early = Decision(rule=Rule.THRESHOLD, threshold=1 << (network.score_width - 3))
        highest = max(interval.high for interval in network.score_ranges)
        if early.threshold is None or early.threshold <= highest:
            mapping = replace(mapping, decision=early)
    return mapping


def _folded(rng: np.random.Generator, n_neurons: int, *, seeded: bool) -> Folded:
    lanes = -(-n_neurons // int(rng.choice([1, 2, 4])))
    divisors = [d for d in range(1, lanes + 1) if lanes % d == 0]
    updates = int(rng.choice(divisors[:3]))
    banks = int(rng.choice([1, 2, 4]))
    if seeded:
        return Folded(lanes=lanes, banks=banks, updates=updates, weights=Weights.SEEDED, seed=SEED)
    loaded = rng.random() < 0.12
    weights = Weights.LOADED if loaded else Weights.FIXED
    return Folded(lanes=lanes, banks=banks, updates=updates, weights=weights)


def _encoder(rng: np.random.Generator, network: FixedPointNetwork) -> Encoder | None:
    if rng.random() < 0.7:
        return None
    if network.input_bits > 1:
        return Encoder(kind=EncoderKind.HOLD, bits=network.input_bits)
    kinds = [kind for kind in LEVEL_KINDS if kind is not EncoderKind.HOLD]
    kind = kinds[int(rng.integers(len(kinds)))]
    seed = 7 if kind is EncoderKind.RATE else None
    return Encoder(kind=kind, bits=int(rng.integers(2, 9)), seed=seed)
