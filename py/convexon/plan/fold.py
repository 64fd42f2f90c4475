"""The folded mapping's geometry: folds, banks, rows, groups, and the clocks between them.

One definition that the hardware, its schedule and the host's weight images share. The golden model
knows nothing of it.

A layer of n neurons on ``lanes`` accumulators is *folded* F = ceil(n / lanes) times: neuron j is
lane j mod lanes of fold j // lanes. Its sources are the inputs, then (in a recurrent layer) its own
neurons one step earlier. Source s lies in bank s mod banks; its *row* for fold g holds the weights
from s to the fold's neurons. The membranes of a fold are updated in L = lanes / updates *groups*.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import chain
from operator import attrgetter
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.plan.mapping import Folded, LayerMapping, Weights
from convexon.plan.mapping import Mapping as LayerMappings
from convexon.snn.convolution import IntegerConvolution
from convexon.snn.fixed import Interval, width_of
from convexon.snn.network import FixedPointNetwork, Layer
from convexon.snn.neuron import INTEGRATE, Leak, Reset
from convexon.snn.ranges import LayerRanges, ranges_of_currents
from convexon.snn.seeded import identify

IntArray = npt.NDArray[np.int64]
T = TypeVar("T")

SCAN_CLOCKS = 4
"""Clocks of a pass over the spikes beyond one for each: to find the groups, a group, its word."""

EMPTY_SCAN_CLOCKS = 2
"""Clocks of a pass that finds no spike."""

WRITE_CLOCKS = 5
"""Clocks from the edge that reads a membrane to the one that writes it back."""

WORD = 16
"""Sources of one group. Groups without a spike are skipped at once."""


@dataclass(frozen=True, kw_only=True)
class SeededNeuron:
    """A neuron whose weights are made from a seed."""

    number: int  # its number in `convexon.snn.seeded`
    bits: int  # bits of its weights


@dataclass(frozen=True, kw_only=True, eq=False)
class FoldPlan:
    """One folded engine: a layer, or the first layers of several branches side by side."""

    layer: Layer  # merged over `branches`, see `merged`
    ranges: LayerRanges  # of `layer`; of any weights of its format, where they are loaded
    choice: Folded
    input_bits: int  # bits of one input, 1 for spikes
    branches: tuple[int, ...]  # of the network, in order
    depth: int  # position of the layers in their branches
    seeded: tuple[SeededNeuron, ...] = ()  # one a neuron where weights are made from a seed

    @property
    def n_sources(self) -> int:
        """Inputs, and neurons whose spikes come back."""
        lateral = 0 if self.layer.recurrent is None else self.layer.n_neurons
        return self.layer.n_inputs + lateral

    @property
    def folds(self) -> int:
        """F, the passes over the spikes of a step."""
        return -(-self.layer.n_neurons // self.choice.lanes)

    @property
    def is_loaded(self) -> bool:
        """Whether the host loads the weights at run time."""
        return self.choice.weights is Weights.LOADED

    @property
    def groups(self) -> int:
        """L, the clocks in which the membranes of a fold are updated."""
        return self.choice.lanes // self.choice.updates

    @property
    def rows(self) -> int:
        """Rows of a fold in a bank."""
        return -(-self.n_sources // self.choice.banks)

    @property
    def stride(self) -> int:
        """Addresses from a fold to the next.

        Rows lie close in a memory. Where they are made from a seed, fold and row are bits of the
        address of their own, and there is an address beyond the rows of each fold.
        """
        if self.choice.weights is not Weights.SEEDED:
            return self.rows
        return 1 << (self.rows + (self.choice.banks > 1) - 1).bit_length()

    @property
    def depth_of_bank(self) -> int:
        """Addresses of a bank; with several banks the last is zero, for clocks without a spike."""
        if self.choice.weights is Weights.SEEDED:
            return self.folds * self.stride
        return self.folds * self.rows + (self.choice.banks > 1)

    @property
    def weight_interval(self) -> Interval:
        """Weights that a row can hold: those it holds, or those of the format where loaded."""
        if self.is_loaded:
            return self.layer.weight_format.interval
        low, high = int(self.layer.stored.min()), int(self.layer.stored.max())
        if self.layer.recurrent is not None:
            low = min(low, int(self.layer.recurrent.min()))
            high = max(high, int(self.layer.recurrent.max()))
        return Interval(min(low, 0), max(high, 0))

    @property
    def weight_width(self) -> int:
        """Bits of one weight, in two's complement."""
        return width_of(self.weight_interval)

    @cached_property
    def leaks(self) -> tuple[Leak, ...]:
        """Leaks that its neurons have, the fastest last."""
        layer = self.layer
        return tuple(layer.leak.of(int(d)) for d in np.unique(layer.leak_numerators))

    @property
    def constants(self) -> dict[str, list[int]]:
        """What a lane is told of each neuron in the order of their places, where they differ.

        Of leaks it is the place in `leaks`, of which a lane has all.
        """
        layer = self.layer
        places = {leak.d: place for place, leak in enumerate(self.leaks)}
        leaks = np.broadcast_to(layer.leak_numerators, (layer.n_neurons,))
        told = {
            "thresholds": self.of_places(layer.thresholds.tolist()),
            "biases": self.of_places(layer.biases.tolist()),
            "leaks": self.of_places([places[d] for d in leaks.tolist()]),
        }
        if layer.resets is not None:
            told["resets"] = self.of_places(layer.resets.tolist())
        return told

    @property
    def spacing(self) -> int:
        """Fewest clocks between the ends of two folds: the last one's membranes are on their way.

        A membrane is read again no earlier than it has been written.
        """
        return max(self.groups, -(-WRITE_CLOCKS // self.folds))

    @property
    def handover_clocks(self) -> int:
        """Clock edges from the end of a pass to the one that hands its sums over.

        Address (where folds need an adder), memory, its register, sum of the banks (where there
        are several), accumulator, handover.
        """
        return 4 + (self.folds > 1) + (self.choice.banks > 1)

    @property
    def completion_clocks(self) -> int:
        """Clock edges from the end of a step's last pass to the one that completes its spikes."""
        return self.handover_clocks + WRITE_CLOCKS + self.groups - 1

    @property
    def load_clocks(self) -> int:
        """Clocks in which a step comes in."""
        return 1

    @cached_property
    def places(self) -> IntArray:
        """Neuron at each place, lane after lane and fold after fold: shape (n_neurons,)."""
        return np.arange(self.layer.n_neurons)

    def of_places(self, per_neuron: Sequence[T]) -> list[T]:
        """Return what each neuron has, in the order of their places."""
        return [per_neuron[j] for j in self.places]

    @cached_property
    def matrix(self) -> IntArray:
        """Weights from every source, padded to whole folds: shape (n_sources, folds * lanes)."""
        parts = [self.layer.matrix]
        if self.layer.recurrent is not None:
            parts.append(self.layer.recurrent)
        stacked = np.concatenate(parts, axis=0)
        padding = self.folds * self.choice.lanes - self.layer.n_neurons
        return np.pad(stacked, ((0, 0), (0, padding)))

    def bank(self, index: int) -> IntArray:
        """Content of a bank, shape (depth_of_bank, lanes): fold after fold, row after row."""
        own = self.matrix[index :: self.choice.banks]
        rows = np.zeros((self.stride, own.shape[1]), dtype=np.int64)
        rows[: len(own)] = own
        folds = rows.reshape(self.stride, self.folds, self.choice.lanes).transpose(1, 0, 2)
        content = folds.reshape(self.folds * self.stride, self.choice.lanes)
        spare = self.depth_of_bank - len(content)
        return np.pad(content, ((0, spare), (0, 0)))

    def packed_bank(self, index: int) -> list[int]:
        """Content of a bank as unsigned integers: lane k at bits ``k * weight_width`` and up."""
        width, mask = self.weight_width, (1 << self.weight_width) - 1
        return [
            sum((weight & mask) << (lane * width) for lane, weight in enumerate(row))
            for row in self.bank(index).tolist()
        ]

    def spikes_of_pass(self, sources: npt.NDArray[np.uint8]) -> IntArray:
        """Reads that passes over ``sources`` (..., n_sources) take, the most of any bank, (...)."""
        banks = [
            sources[..., k :: self.choice.banks].sum(axis=-1, dtype=np.int64)
            for k in range(self.choice.banks)
        ]
        most: IntArray = np.max(banks, axis=0)
        return most

    def clocks_of_pass(self, reads: IntArray) -> IntArray:
        """Clocks of passes with so many reads."""
        return np.where(reads > 0, reads + SCAN_CLOCKS, EMPTY_SCAN_CLOCKS)

    def mean_clocks(self, spikes: float) -> float:
        """Mean clocks of a step with ``spikes`` rows to read."""
        banks = self.choice.banks
        per_pass = spikes / self.input_bits / banks
        uneven = 0.6 * math.sqrt(per_pass) if banks > 1 else 0.0  # the fullest bank counts
        each = per_pass + uneven + SCAN_CLOCKS if spikes else EMPTY_SCAN_CLOCKS
        return self.folds * max(self.input_bits * each, self.spacing) + self.load_clocks

    def sources_of_planes(
        self, inputs: npt.NDArray[np.uint8], spikes: npt.NDArray[np.uint8]
    ) -> npt.NDArray[np.uint8]:
        """What each pass of a fold reads: the bit planes of a step, the most significant first.

        Lateral spikes are read with the last plane. From inputs (samples, steps, n_inputs) and the
        layer's own spikes (samples, steps, n_neurons): (samples, steps, input_bits, n_sources).
        """
        places = np.arange(self.input_bits - 1, -1, -1, dtype=np.uint8)
        planes = ((inputs[:, :, None, :] >> places[:, None]) & 1).astype(np.uint8)
        if self.layer.recurrent is None:
            return planes
        lateral = np.zeros((*planes.shape[:3], self.layer.n_neurons), dtype=np.uint8)
        lateral[:, 1:, -1] = spikes[:, :-1]
        return np.concatenate([planes, lateral], axis=-1)


def engines_at(network: FixedPointNetwork, depth: int) -> list[list[int]]:
    """Branches whose layers at ``depth`` can share an engine.

    First layers read the same inputs, so that those with the same kind of neuron do, and each spike
    is found once, unless one hands on spikes and another does not. Deeper layers have an engine
    each, and convolutions too.
    """
    shared: dict[object, list[int]] = {}
    for b, branch in enumerate(network.branches):
        if depth >= branch.depth:
            continue
        layer = branch.layers[depth]
        of_neurons = (layer.leak, layer.reset, layer.saturation, layer.synapse)
        have = (layer.leaks is None, layer.resets is None, layer.recurrent is None)
        kind = (*of_neurons, *have, network.feature(b, depth))
        of_its_own = isinstance(layer.weights, IntegerConvolution) or layer.tables is not None
        alone = depth > 0 or of_its_own
        shared.setdefault(b if alone else kind, []).append(b)
    return list(shared.values())


def plans_at(
    network: FixedPointNetwork, choices: Mapping[int, LayerMapping], depth: int
) -> tuple[FoldPlan, ...]:
    """Engines for the folded layers among the ``choices`` at ``depth``, given by branch.

    Layers that can share an engine do so if they have the same choice.
    """
    plans = []
    for engine in engines_at(network, depth):
        for choice in dict.fromkeys(choices.get(b) for b in engine):
            if not isinstance(choice, Folded):
                continue
            branches = tuple(b for b in engine if choices.get(b) == choice)
            plans.append(_plan(network, branches, choice, depth))
    return tuple(plans)


def engines_of(network: FixedPointNetwork, mapping: LayerMappings) -> Iterator[FoldPlan]:
    """Yield the engines of all folded layers, depth by depth; the readout's is `readout_plan`."""
    for depth in range(network.depth):
        yield from plans_at(network, mapping.at_depth(depth), depth)


def _plan(
    network: FixedPointNetwork, branches: tuple[int, ...], choice: Folded, depth: int
) -> FoldPlan:
    layers = [network.branches[b].layers[depth] for b in branches]
    layer = merged(layers)
    if layer.tables is not None:
        raise InputError(
            f"branch {branches[0]} layer {depth} has truth tables, which are logic and no weights "
            "in a memory: map it spatially"
        )
    if choice.weights is Weights.LOADED:
        inputs = network.input_range if depth == 0 else Interval(0, 1)
        ranges = _ranges_of_any_weights(layer, inputs, network.n_steps)
    else:
        parts = [network.ranges[b][depth] for b in branches]
        side_by_side = (
            tuple(chain.from_iterable(getattr(part, each.name) for part in parts))
            for each in fields(LayerRanges)
        )
        ranges = LayerRanges(*side_by_side)
    if choice.lanes > layer.n_neurons:
        raise InputError(
            f"lanes of branch {branches[0]} layer {depth} must be at most its {layer.n_neurons} "
            f"neurons, not {choice.lanes}"
        )
    bits = network.input_bits if depth == 0 else 1
    from convexon.plan.windows import WindowPlan  # it is a FoldPlan

    shared = isinstance(layer.weights, IntegerConvolution)
    return (WindowPlan if shared else FoldPlan)(
        layer=layer,
        ranges=ranges,
        choice=choice,
        input_bits=bits,
        branches=branches,
        depth=depth,
        seeded=_seeded(network, branches, choice, depth),
    )


def _seeded(
    network: FixedPointNetwork, branches: tuple[int, ...], choice: Folded, depth: int
) -> tuple[SeededNeuron, ...]:
    """Neurons of an engine by their numbers in the seed; none where there is no seed."""
    if choice.seed is None:
        return ()
    neurons: list[SeededNeuron] = []
    for b in branches:
        layer = network.branches[b].layers[depth]
        where = f"branch {b} layer {depth}"
        if layer.recurrent is not None:
            raise InputError(f"{where} must not be recurrent to have its weights made from a seed")
        bits = layer.weight_format.width
        try:
            numbers = identify(layer.matrix, choice.seed, bits=bits)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        neurons += [SeededNeuron(number=number, bits=bits) for number in numbers]
    return tuple(neurons)


def readout_plan(network: FixedPointNetwork, choice: Folded) -> FoldPlan:
    """Engine for the scores: a layer with a lane for each class, without neurons.

    Its sources are the features, its ranges of the current those of the scores.
    """
    if choice.lanes != network.n_classes:
        raise InputError(
            f"lanes of the readout must be its {network.n_classes} classes, not {choice.lanes}"
        )
    if choice.weights is not Weights.FIXED:
        raise InputError(
            f"weights of the readout must be fixed, not {choice.weights.value}: they decide how "
            "wide the scores are"
        )
    scores = tuple(network.score_ranges)
    layer = Layer(
        weights=network.readout_weights,
        thresholds=np.zeros(network.n_classes, dtype=np.int64),
        biases=network.readout_biases,
        leak=INTEGRATE,
        reset=Reset.NONE,
        weight_format=network.readout_format,
        threshold_format=network.bias_format,
    )
    return FoldPlan(
        layer=layer,
        ranges=LayerRanges(scores, scores, scores),
        choice=choice,
        input_bits=1,
        branches=(),
        depth=network.depth,
    )


def merged(layers: Sequence[Layer]) -> Layer:
    """One layer that computes all of ``layers`` side by side on the same inputs.

    They must agree in leak, reset, saturation and synapse, and all or none be recurrent, have
    leaks, have resets, and have tables of as many inputs.
    """
    if len(layers) == 1:
        return layers[0]
    first, width = layers[0], attrgetter("width")  # all formats are signed
    recurrent = None
    if first.recurrent is not None:
        total = sum(layer.n_neurons for layer in layers)
        recurrent = np.zeros((total, total), dtype=np.int64)
        begin = 0
        for layer in layers:
            part = slice(begin, begin + layer.n_neurons)
            if layer.recurrent is not None:
                recurrent[part, part] = layer.recurrent
            begin = part.stop
    return replace(
        first,
        weights=np.concatenate([layer.matrix for layer in layers], axis=1),
        thresholds=np.concatenate([layer.thresholds for layer in layers]),
        biases=np.concatenate([layer.biases for layer in layers]),
        recurrent=recurrent,
        leaks=None
        if first.leaks is None
        else np.concatenate([layer.leak_numerators for layer in layers]),
        resets=None if first.resets is None else np.concatenate([layer.resets for layer in layers]),
        tables=None
        if first.tables is None
        else np.concatenate([layer.tables for layer in layers], axis=1),
        weight_format=max((layer.weight_format for layer in layers), key=width),
        threshold_format=max((layer.threshold_format for layer in layers), key=width),
    )


def _ranges_of_any_weights(layer: Layer, inputs: Interval, n_steps: int) -> LayerRanges:
    """Ranges of ``layer`` for every choice of weights that its format holds.

    Thresholds and biases are those of ``layer``: they are not loaded.
    """
    limits = layer.weight_format.interval
    lateral = 0 if layer.recurrent is None else layer.n_neurons
    reach = limits.scaled(layer.n_inputs * inputs.high + lateral)
    currents = [reach + Interval(int(bias), int(bias)) for bias in layer.biases]
    return ranges_of_currents(layer, currents, n_steps)


def sum_intervals(plan: FoldPlan) -> list[Interval]:
    """Range of the sum of every lane, of any part of its weights, over all folds."""
    per_neuron = [
        current + Interval(-int(bias), -int(bias))
        for current, bias in zip(plan.ranges.current, plan.layer.biases, strict=True)
    ]
    lanes, placed = plan.choice.lanes, plan.of_places(per_neuron)
    return [Interval.union([Interval(0, 0), *placed[lane::lanes]]) for lane in range(lanes)]
