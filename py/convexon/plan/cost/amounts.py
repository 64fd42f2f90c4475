"""How much logic of each kind a mapping has: counts and widths, before anything is built.

`convexon.plan.cost.resource_model` turns amounts into LUT sites of a family.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum

import numpy as np
import numpy.typing as npt

from convexon.data.encoder import Encoder, EncoderKind
from convexon.plan.adders.digits import signed_digits
from convexon.plan.adders.graph import AdderGraph
from convexon.plan.cost.memory import MemoryShape
from convexon.plan.cost.timing import MAX_GRAPH_SYNAPSES, matrix_graph
from convexon.plan.family import Family
from convexon.plan.fold import WORD, FoldPlan, plans_at, readout_plan, sum_intervals
from convexon.plan.mapping import Folded, LayerMapping, Mapping, Spatial, Sums
from convexon.snn.decision import Decision, Rule
from convexon.snn.fixed import Interval, ceil_log2, width_of
from convexon.snn.network import FixedPointNetwork, Layer
from convexon.snn.neuron import Leak, ReadoutMode, Reset
from convexon.snn.ranges import LayerRanges


class Logic(Enum):
    """A kind of logic, and what is counted of it.

    Of adder graphs: functions of at most four bits; LUTs of sums without a carry chain; sums with
    one, and their bits. Of neurons, updated side by side or a lane at a time: bits of the adders
    and multiplexers of each part of a step. Of a folded layer: what finds spikes, reads rows and
    sums them up. Around the layers: the source of steps, the decision, and the loader of weights.
    """

    LOOKUP = "lookup"
    SHORT_SUM = "short sum"
    SUM = "sum"
    SUM_BIT = "sum bit"

    NEURON = "neuron"
    LEAK = "leak"
    INTEGRATE = "integrate"
    COMPARE = "compare"
    SUBTRACT = "reset by subtraction"
    ZERO = "reset to zero"
    NO_RESET = "no reset"
    CLAMP = "clamp"
    SURPLUS = "surplus"
    LATERAL = "lateral"
    STAGE = "stage"

    ENGINE = "engine"
    SOURCE = "source"
    GROUP = "group of sources"
    WORD = "bit of a scanner's word"
    PLANE = "plane"
    BANK = "bank"
    ADDRESS = "address"
    COLUMN = "column"
    SUM_OF_LANE = "sum of a lane"
    DOUBLING = "doubling"
    BUFFER = "buffer"
    LANE_CURRENT = "lane current"
    LANE_LEAK = "lane leak"
    LANE_INTEGRATE = "lane integrate"
    LANE_SUBTRACT = "lane reset by subtraction"
    LANE_ZERO = "lane reset to zero"
    LANE_NO_RESET = "lane without reset"
    LANE_CLAMP = "lane clamp"
    CONSTANT_BIT = "constant bit"
    WRITTEN_SITE = "written site"
    MIXER = "mixer"
    SEEDED_BIT = "seeded bit"

    SCORE = "score"
    TOURNAMENT = "tournament"
    CONTROL = "control"
    EXIT = "exit"
    EXIT_CERTAIN = "certain exit"
    EXIT_THRESHOLD = "exit at a threshold"
    LEVEL_THRESHOLD = "threshold encoder"
    LEVEL_LATENCY = "latency encoder"
    LEVEL_BIT_PLANE = "bit-plane encoder"
    LEVEL_RATE = "rate encoder"
    LOADER = "loader"
    LOADED_BIT = "loaded bit"


Amounts = Counter[Logic]
"""Amounts by kind."""

RESETS = {Reset.SUBTRACT: Logic.SUBTRACT, Reset.ZERO: Logic.ZERO, Reset.NONE: Logic.NO_RESET}
LANE_RESETS = {
    Reset.SUBTRACT: Logic.LANE_SUBTRACT,
    Reset.ZERO: Logic.LANE_ZERO,
    Reset.NONE: Logic.LANE_NO_RESET,
}
ENCODERS = {
    EncoderKind.THRESHOLD: Logic.LEVEL_THRESHOLD,
    EncoderKind.LATENCY: Logic.LEVEL_LATENCY,
    EncoderKind.BIT_PLANE: Logic.LEVEL_BIT_PLANE,
    EncoderKind.RATE: Logic.LEVEL_RATE,
}
EXITS = {Rule.CERTAIN: Logic.EXIT_CERTAIN, Rule.THRESHOLD: Logic.EXIT_THRESHOLD}


def graph_amounts(graph: AdderGraph, share: float = 1.0) -> Amounts:
    """Amounts of an adder graph, times ``share``."""
    count = graph.count
    amounts = {
        Logic.LOOKUP: count.lookups,
        Logic.SHORT_SUM: count.short_luts,
        Logic.SUM: count.chains,
        Logic.SUM_BIT: count.chain_bits,
    }
    return Amounts({logic: round(share * amount) for logic, amount in amounts.items()})


def matrix_amounts(
    weights: npt.NDArray[np.int64], biases: npt.NDArray[np.int64], sums: Sums, planes: int
) -> Amounts:
    """Amounts of the sums of a matrix of weights; of large ones by the share of a part of them."""
    synapses = int(np.count_nonzero(weights)) * planes
    columns = np.arange(weights.shape[1])
    if synapses > MAX_GRAPH_SYNAPSES:  # neurons of a kind may stand together: take some of all
        outputs = max(1, len(columns) * MAX_GRAPH_SYNAPSES // synapses)
        columns = np.linspace(0, len(columns) - 1, outputs).round().astype(np.int64)
    part = matrix_graph(weights[:, columns].tolist(), biases[columns].tolist(), sums, planes)
    return graph_amounts(part, weights.shape[1] / len(columns))


def spatial_amounts(
    network: FixedPointNetwork, branch: int, depth: int, choice: Spatial
) -> Amounts:
    """Amounts of a spatial layer: its adder graph, and a step of each neuron."""
    layer, ranges = network.branches[branch].layers[depth], network.ranges[branch][depth]
    planes = network.input_bits if depth == 0 else 1
    amounts = matrix_amounts(layer.weights, layer.biases, choice.sums, planes)
    if layer.recurrent is not None:
        none = np.zeros_like(layer.biases)
        amounts += matrix_amounts(layer.recurrent, none, choice.sums, 1)
    return amounts + _neuron_amounts(layer, ranges, is_split=choice.registers > 0)


def _neuron_amounts(layer: Layer, ranges: LayerRanges, *, is_split: bool) -> Amounts:
    """Amounts of the neurons of a spatial layer beside their sums."""
    amounts = Amounts({Logic.STAGE: 1, Logic.NEURON: layer.n_neurons})
    digits = leak_digits(layer.leak)
    lateral = layer.recurrent is not None
    for threshold, u, v in zip(layer.thresholds, ranges.integrated, ranges.membrane, strict=True):
        bits = width_of(u)
        may_differ = u.high >= threshold > u.low
        if keeps_nothing(layer.leak):
            if may_differ and u.high - u.low > 1:  # else its spike is a bit of the sum
                amounts[Logic.COMPARE] += bits
            continue
        amounts[Logic.INTEGRATE] += bits
        amounts[Logic.LEAK] += digits * width_of(v)
        if may_differ:
            amounts[RESETS[layer.reset]] += bits
        if is_split:
            amounts[Logic.SURPLUS] += bits
        if is_split and lateral:
            amounts[Logic.LATERAL] += bits
        if layer.saturation is not None:
            amounts[Logic.CLAMP] += max(0, bits - layer.saturation.width) + layer.saturation.width
    return amounts


def leak_digits(leak: Leak) -> int:
    """Adders of a leak: one for each signed digit of d."""
    return 0 if leak.d == 0 or keeps_nothing(leak) else len(signed_digits(leak.d))


def keeps_nothing(leak: Leak) -> bool:
    """Whether a membrane is forgotten from step to step, as that of a threshold unit is."""
    return leak.d == 1 << leak.f


def engine_amounts(plan: FoldPlan, family: Family) -> Amounts:
    """Amounts of what a folded layer and a folded readout share: spikes, rows, and sums."""
    choice, lanes = plan.choice, plan.choice.lanes
    bits = lanes * width_of(Interval.union(sum_intervals(plan)))
    amounts = Amounts(
        {
            Logic.ENGINE: 1,
            Logic.SOURCE: plan.n_sources,
            Logic.GROUP: choice.banks * -(-plan.rows // WORD),
            Logic.WORD: choice.banks * min(plan.rows, WORD),
            Logic.PLANE: plan.layer.n_inputs * (plan.input_bits - 1),
            Logic.BANK: choice.banks,
            Logic.ADDRESS: choice.banks * ceil_log2(plan.depth_of_bank) * (plan.folds > 1),
            Logic.COLUMN: lanes * (choice.banks - 1) * (plan.weight_width + 1),
            Logic.SUM_OF_LANE: bits,
            Logic.DOUBLING: bits * (plan.input_bits > 1),
        }
    )
    if plan.seeded:
        amounts[Logic.MIXER] = choice.banks
        amounts[Logic.SEEDED_BIT] = choice.banks * plan.folds * lanes * (plan.weight_width + 1)
    return amounts + memory_amounts(weight_memories(plan), family)


def folded_amounts(plan: FoldPlan, family: Family) -> Amounts:
    """Amounts of a folded layer."""
    layer, choice, ranges = plan.layer, plan.choice, plan.ranges
    amounts = engine_amounts(plan, family)
    sum_width = width_of(Interval.union(sum_intervals(plan)))
    u, v = (width_of(Interval.union(part)) for part in (ranges.integrated, ranges.membrane))
    updates = choice.updates
    # A fold is read while the next one is summed up: its sums stand in registers that shift.
    amounts[Logic.BUFFER] += (choice.lanes - updates) * sum_width
    current = width_of(Interval.union(ranges.current))
    amounts[Logic.LANE_CURRENT] += updates * current * (len(set(layer.biases.tolist())) > 1)
    if not keeps_nothing(layer.leak):
        amounts[Logic.LANE_LEAK] += updates * v * (1 + leak_digits(layer.leak))
    amounts[Logic.LANE_INTEGRATE] += updates * u
    amounts[LANE_RESETS[layer.reset]] += updates * u
    if layer.saturation is not None:
        amounts[Logic.LANE_CLAMP] += updates * u
    return amounts + memory_amounts(neuron_memories(plan), family)


def weight_memories(plan: FoldPlan) -> list[MemoryShape]:
    """Memories of the weights of an engine; none where they are made from a seed."""
    if plan.seeded:
        return []
    width = plan.choice.lanes * plan.weight_width
    one = MemoryShape(width=width, depth=plan.depth_of_bank, is_written=plan.is_loaded)
    return [one] * plan.choice.banks


def neuron_memories(plan: FoldPlan) -> list[MemoryShape]:
    """Memories of the membranes of a folded layer, and of constants that differ."""
    updates, depth = plan.choice.updates, plan.folds * plan.groups
    memories = []
    if not keeps_nothing(plan.layer.leak):  # else what is written is never read
        width = updates * plan.ranges.membrane_width
        memories.append(MemoryShape(width=width, depth=depth, is_written=True))
    for values in (plan.layer.thresholds.tolist(), plan.layer.biases.tolist()):
        if len(set(values)) > 1:
            width = max(width_of(Interval(value, value)) for value in values)
            memories.append(MemoryShape(width=updates * width, depth=depth))
    return memories


def memory_amounts(memories: list[MemoryShape], family: Family) -> Amounts:
    """Amounts of the memories that are cheaper outside of block RAM."""
    amounts = Amounts()
    for memory in memories:
        if memory.blocks(family):
            continue
        if memory.is_written:
            amounts[Logic.WRITTEN_SITE] += memory.sites(family)
        else:
            amounts[Logic.CONSTANT_BIT] += memory.width * memory.depth
    return amounts


def readout_amounts(network: FixedPointNetwork, choice: LayerMapping, family: Family) -> Amounts:
    """Amounts of the readout."""
    if isinstance(choice, Folded):
        return engine_amounts(readout_plan(network, choice), family)
    amounts = matrix_amounts(network.readout_weights, network.readout_biases, choice.sums, 1)
    amounts[Logic.STAGE] += 1
    if network.readout_mode is ReadoutMode.COUNT:
        amounts[Logic.SCORE] += network.score_width * network.n_classes
    return amounts


def surroundings_amounts(
    network: FixedPointNetwork, encoder: Encoder | None, decision: Decision
) -> Amounts:
    """Amounts of what stands around the layers: the source of the steps, and the decision."""
    width, classes = network.score_width, network.n_classes
    amounts = Amounts({Logic.CONTROL: 1, Logic.TOURNAMENT: (classes - 1) * width})
    if decision.rule in EXITS:
        amounts[Logic.EXIT] = 1
        amounts[EXITS[decision.rule]] = width * classes
    if encoder is not None and encoder.kind in ENCODERS:
        amounts[ENCODERS[encoder.kind]] = network.n_inputs * encoder.bits
    return amounts


def loader_amounts(network: FixedPointNetwork, mapping: Mapping) -> Amounts:
    """Amounts of loading weights at run time, where a layer asks for it."""
    plans = [
        plan
        for depth in range(network.depth)
        for plan in plans_at(network, mapping.at_depth(depth), depth)
    ]
    rows = [plan.choice.lanes * plan.weight_width for plan in plans if plan.is_loaded]
    return Amounts({Logic.LOADER: 1, Logic.LOADED_BIT: max(rows)} if rows else {})


def layer_amounts(
    network: FixedPointNetwork, choices: dict[int, LayerMapping], depth: int, family: Family
) -> Amounts:
    """Amounts of all layers at ``depth``."""
    amounts = Amounts()
    for b, choice in choices.items():
        if isinstance(choice, Spatial):
            amounts += spatial_amounts(network, b, depth, choice)
    for plan in plans_at(network, choices, depth):
        amounts += folded_amounts(plan, family)
    return amounts


def mapping_amounts(network: FixedPointNetwork, mapping: Mapping, family: Family) -> Amounts:
    """Amounts of a whole design."""
    amounts = surroundings_amounts(network, mapping.encoder, mapping.decision)
    amounts += loader_amounts(network, mapping)
    for depth in range(network.depth):
        amounts += layer_amounts(network, mapping.at_depth(depth), depth, family)
    return amounts + readout_amounts(network, mapping.readout, family)


def memories_of(network: FixedPointNetwork, mapping: Mapping) -> list[MemoryShape]:
    """Memories of a whole design."""
    memories = [
        memory
        for depth in range(network.depth)
        for plan in plans_at(network, mapping.at_depth(depth), depth)
        for memory in (*weight_memories(plan), *neuron_memories(plan))
    ]
    if isinstance(mapping.readout, Folded):
        memories += weight_memories(readout_plan(network, mapping.readout))
    return memories
