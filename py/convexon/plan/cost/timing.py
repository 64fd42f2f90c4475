"""Pipeline depth for a target clock: a model of delays, and the registers that it asks for.

The model counts lookups and adders between two registers, a few constants for each family. It
ranks depths and picks one; what place and route reaches is measured by `convexon_boards`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.plan.adders.cut import cut
from convexon.plan.adders.graph import Addend, AdderGraph, signed_digits
from convexon.plan.adders.sums import weighted_sums
from convexon.plan.family import DelayModel, Family
from convexon.plan.fold import WORD, FoldPlan
from convexon.plan.mapping import MAX_REGISTERS, Spatial, Sums
from convexon.plan.windows import WindowPlan
from convexon.snn.fixed import ceil_log2, width_of
from convexon.snn.network import FixedPointNetwork, Layer
from convexon.snn.neuron import Leak, LeakRounding, ReadoutMode, Reset
from convexon.snn.ranges import LayerRanges

MAX_GRAPH_SYNAPSES = 4000
"""Synapses whose adder graph is built for an estimate; of more, a part stands for all."""

SCANNER_LOOKUPS = 5
"""LUTs in a row of a scanner beside its carry chain: the end of a word, and whom it concerns."""


@dataclass(frozen=True, kw_only=True)
class PipelineDepths:
    """Spatial parts with the fewest registers that promise a clock; None where no number does."""

    layers: tuple[Spatial | None, ...]  # by depth
    readout: Spatial | None
    decision_registers: int | None
    least: tuple[float, ...]  # delay of layers, readout, decision at best, in seconds


def pipeline_depths(
    network: FixedPointNetwork, clock_hz: float, family: Family, *, sums: Sums = Sums.AUTO
) -> PipelineDepths:
    """Fewest registers that promise a clock, part by part.

    A higher clock never gets fewer registers.

    Raises `InputError` if the clock is not positive.
    """
    if not clock_hz > 0:
        raise InputError(f"clock_hz must be above 0, not {clock_hz!r}")
    parts = _delays(network, family.delays, sums)
    *layers, readout, decision = (
        next((count for count, delay in enumerate(delays) if delay <= 1 / clock_hz), None)
        for delays in parts
    )

    def spatial(registers: int | None) -> Spatial | None:
        return None if registers is None else Spatial(registers=registers, sums=sums)

    return PipelineDepths(
        layers=tuple(map(spatial, layers)),
        readout=spatial(readout),
        decision_registers=decision,
        least=tuple(min(delays) for delays in parts),
    )


def require_reachable(clock_hz: float, least: Sequence[float], family: Family) -> None:
    """Raise `InputError` unless each part keeps the clock; ``least`` as in `PipelineDepths`."""
    slowest = max(least)
    if slowest <= 1 / clock_hz:
        return
    names = [f"layer {depth}" for depth in range(len(least) - 2)] + ["the readout", "the decision"]
    raise InputError(
        f"clock must be at most {1e-6 / slowest:.4g} MHz for this network on {family.value}, "
        f"not {1e-6 * clock_hz:.4g} MHz: {names[list(least).index(slowest)]} is in the way"
    )


def engine_delay(plan: FoldPlan, family: Family) -> float:
    """Longest delay in seconds between two registers of a folded layer's engine.

    Its pipeline is fixed, so nothing can be traded for it: a memory read; the words of a scanner,
    whose lowest spike is taken out and whose end calls the next one; an addition to a sum; and a
    lane's three clocks.
    """
    model, ranges = family.delays, plan.ranges
    current = model.sum_of(max(map(width_of, ranges.current)))
    integrated = model.sum_of(max(map(width_of, ranges.integrated)))
    clamped = 0.0 if plan.layer.saturation is None else integrated + model.lookup
    late = 0.0 if plan.layer.reset is not Reset.LATE else integrated + model.lookup
    synaptic = _synaptic_delay(plan.layer, ranges, model, 2 * model.lookup + current)
    logic = (
        _finding_delay(plan, model),
        ceil_log2(plan.choice.banks) * model.sum_of(plan.weight_width),
        synaptic + late,
        model.lookup + most_leak_adders(plan.layer) * integrated,
        integrated + clamped,
        integrated + model.lookup + clamped,
    )
    memory = 0.0 if plan.seeded else model.memory
    return max(memory, model.register + max(logic))


def _finding_delay(plan: FoldPlan, model: DelayModel) -> float:
    """The scanner's; of a convolution a choice of one pixel, or an address and what it grows by."""
    if not isinstance(plan, WindowPlan):
        return model.sum_of(WORD) + SCANNER_LOOKUPS * model.lookup
    loops = sum(loop.count > 1 for loop in plan.reading.loops)
    address = model.sum_of(max(ceil_log2(end + 1) for end in plan.reading.ends))
    chosen = ceil_log2(max(2, plan.n_sources)) * model.lookup
    return max(chosen, (2 + ceil_log2(1 + loops)) * model.lookup + address)


def _delays(network: FixedPointNetwork, model: DelayModel, sums: Sums) -> list[list[float]]:
    """Delay of every layer depth, of the readout and of the decision, by number of registers."""
    numbers = range(MAX_REGISTERS + 1)
    parts = []
    for depth in range(network.depth):
        branches = [b for b, branch in enumerate(network.branches) if depth < branch.depth]
        layers = [_Layer(network, b, depth, sums) for b in branches]
        parts.append([max(layer.delay(model, count) for layer in layers) for count in numbers])
    readout = _Readout(network, sums)
    parts.append([readout.delay(model, count) for count in numbers])
    parts.append([_decision_delay(network, model, count) for count in numbers])
    return parts


class _Layer:
    """Delays of one layer; its graphs are built once."""

    def __init__(self, network: FixedPointNetwork, b: int, depth: int, sums: Sums) -> None:
        self._layer = layer = network.branches[b].layers[depth]
        self._ranges = network.ranges[b][depth]
        planes = network.input_bits if depth == 0 else 1
        if layer.tables is not None:  # as the sum of as many inputs
            sums = Sums.TABLES
        self._forward = _slowest_graph(layer.matrix, layer.biases, sums, planes)
        self._lateral = (
            None
            if layer.recurrent is None
            else _slowest_graph(layer.recurrent, np.zeros_like(layer.biases), sums, 1)
        )

    def delay(self, model: DelayModel, registers: int) -> float:
        """Longest delay between two registers."""
        lateral = 0.0
        if self._lateral is not None:  # recurrent spikes are masked at the first step
            lateral = model.lookup + _longest(self._lateral, model, 1)
        if not registers:
            current = _longest(self._forward, model, 1)
            if lateral:  # its tables join those of the inputs in one tree
                current = max(current, lateral) + model.adder
            return self._loop(model, current, is_split=False)
        is_split = self._layer.synapse is None and self._layer.tables is None
        below = 0.0
        if is_split:
            below = model.sum_of(max(map(width_of, self._ranges.current)))  # I - theta, after I
        elif lateral:
            lateral += model.sum_of(max(map(width_of, self._ranges.current)))
        sums = model.register + _longest(self._forward, model, registers, below)
        return max(sums, self._loop(model, lateral, is_split=is_split))

    def _loop(self, model: DelayModel, current: float, *, is_split: bool) -> float:
        """From the membrane, or from a current that comes late, around to the membrane."""
        adder = model.sum_of(max(map(width_of, self._ranges.integrated)))
        leaked = model.lookup + most_leak_adders(self._layer) * adder
        current = _synaptic_delay(self._layer, self._ranges, model, current)
        delay = max(leaked, current) + adder + model.lookup
        if not is_split or self._lateral is not None or self._layer.reset is Reset.LATE:
            delay += adder  # u - theta after u, or the leaky membrane plus what comes late
        if self._layer.saturation is not None:
            delay += 2 * (adder + model.lookup)
        return model.register + delay


class _Readout:
    """Delays of the readout; its graph is built once."""

    def __init__(self, network: FixedPointNetwork, sums: Sums) -> None:
        self._accumulates = network.readout_mode is ReadoutMode.COUNT
        self._peaks = network.readout_mode is ReadoutMode.PEAK
        self._width = network.score_width
        self._graph = None
        if not network.reads_membranes:
            self._graph = _slowest_graph(network.readout_weights, network.readout_biases, sums, 1)

    def delay(self, model: DelayModel, registers: int) -> float:
        """Longest delay between two registers."""
        if self._graph is None:  # membranes: for the largest, a comparator and two multiplexers
            compares = model.sum_of(self._width) + 2 * model.lookup
            return model.register + self._peaks * compares
        if not self._accumulates:
            return model.register + _longest(self._graph, model, registers + 1)
        accumulates = model.lookup + model.sum_of(self._width)
        if not registers:
            return model.register + _longest(self._graph, model, 1) + accumulates
        return model.register + max(_longest(self._graph, model, registers), accumulates)


def _synaptic_delay(layer: Layer, ranges: LayerRanges, model: DelayModel, current: float) -> float:
    """When i is there, where I comes after ``current``."""
    if layer.synapse is None:
        return current
    adder = model.sum_of(max(map(width_of, ranges.synaptic)))
    return max(current, model.lookup + leak_adders(layer.synapse) * adder) + adder


def most_leak_adders(layer: Layer) -> int:
    """The same of the slowest of a layer's neurons."""
    return max(leak_adders(layer.leak.of(int(d))) for d in np.unique(layer.leak_numerators))


def leak_adders(leak: Leak) -> int:
    """Adders in a row from v to what the leak leaves of it."""
    if leak.d in (0, 1 << leak.f):
        return 0
    digits = len(signed_digits(leak.d))
    return 1 + ceil_log2(digits) + (leak.rounding is LeakRounding.ZERO)


def _decision_delay(network: FixedPointNetwork, model: DelayModel, registers: int) -> float:
    """A round is a comparator and a multiplexer of a whole score."""
    rounds = -(-max(1, ceil_log2(network.n_classes)) // (registers + 1))
    return model.register + rounds * (model.sum_of(network.score_width) + 2 * model.lookup)


def _slowest_graph(
    weights: npt.NDArray[np.int64], biases: npt.NDArray[np.int64], sums: Sums, planes: int
) -> AdderGraph:
    """Graph of the sums of a matrix; of a large one, of those with the most synapses."""
    synapses = np.count_nonzero(weights, axis=0) * planes
    order = np.argsort(-synapses, kind="stable")
    kept = max(1, int(np.searchsorted(np.cumsum(synapses[order]), MAX_GRAPH_SYNAPSES, "right")))
    columns = np.sort(order[:kept])
    return matrix_graph(weights[:, columns].tolist(), biases[columns].tolist(), sums, planes)


def matrix_graph(
    weights: list[list[int]], offsets: list[int], sums: Sums, planes: int
) -> AdderGraph:
    """Adder graph of a matrix of weights, by input and output; made once, as it takes a while."""
    return _matrix_graph(tuple(map(tuple, weights)), tuple(offsets), sums, planes)


@lru_cache(maxsize=256)
def _matrix_graph(
    weights: tuple[tuple[int, ...], ...], offsets: tuple[int, ...], sums: Sums, planes: int
) -> AdderGraph:
    rows = [
        [
            Addend(i * planes + plane, row[j], plane)
            for plane in range(planes)
            for i, row in enumerate(weights)
            if row[j]
        ]
        for j in range(len(offsets))
    ]
    return weighted_sums(len(weights) * planes, rows, offsets, sums)


def _longest(graph: AdderGraph, model: DelayModel, n_clocks: int, then: float = 0.0) -> float:
    """Longest delay within a clock of a cut graph, ``then`` added where outputs leave."""
    clocks = cut(graph, n_clocks)
    delays: list[float] = []
    for node, clock in zip(graph.nodes, clocks, strict=True):
        inside = [delays[t.node] for t in node.operands if clocks[t.node] == clock]
        own = model.sum_of(node.width) if node.operands else model.lookup * (not node.is_wire)
        delays.append(own + max(inside, default=0.0))
    leaving = {term.node for term in graph.outputs}
    last = [delays[k] * (clocks[k] == n_clocks - 1) + then for k in leaving]
    return max([*delays, *last], default=0.0)
