"""How much logic of each kind a mapping has: counts and widths, before anything is built.

`convexon.plan.cost.resource_model` turns amounts into LUT sites of a family.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum

import numpy as np
import numpy.typing as npt

from convexon.data.encoder import Encoder, EncoderKind
from convexon.plan.adders.graph import LUT_INPUTS, SHORT_SUMS, AdderGraph, signed_digits
from convexon.plan.cost.memory import MemoryShape
from convexon.plan.cost.timing import MAX_GRAPH_SYNAPSES, matrix_graph
from convexon.plan.family import Family
from convexon.plan.fold import WORD, FoldPlan, engines_of, plans_at, readout_plan, sum_intervals
from convexon.plan.mapping import Folded, LayerMapping, Mapping, Spatial, Sums
from convexon.plan.windows import WindowPlan
from convexon.snn.decision import Decision, Rule
from convexon.snn.fixed import Interval, ceil_log2, width_of
from convexon.snn.network import FixedPointNetwork, Layer
from convexon.snn.neuron import Leak, LeakRounding, ReadoutMode, Reset

IntArray = npt.NDArray[np.int64]


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
    LEVEL_DELTA = "delta encoder"
    LEVEL_CROSSING = "crossing encoder"
    LOADER = "loader"
    LOADED_BIT = "loaded bit"


Amounts = Counter[Logic]
"""Amounts by kind."""

RESETS = {
    Reset.SUBTRACT: Logic.SUBTRACT,
    Reset.ZERO: Logic.ZERO,
    Reset.NONE: Logic.NO_RESET,
    Reset.LATE: Logic.SUBTRACT,
}
LANE_RESETS = {
    Reset.SUBTRACT: Logic.LANE_SUBTRACT,
    Reset.ZERO: Logic.LANE_ZERO,
    Reset.NONE: Logic.LANE_NO_RESET,
    Reset.LATE: Logic.LANE_SUBTRACT,
}
ENCODERS = {
    EncoderKind.THRESHOLD: Logic.LEVEL_THRESHOLD,
    EncoderKind.LATENCY: Logic.LEVEL_LATENCY,
    EncoderKind.BIT_PLANE: Logic.LEVEL_BIT_PLANE,
    EncoderKind.RATE: Logic.LEVEL_RATE,
    EncoderKind.DELTA: Logic.LEVEL_DELTA,
    EncoderKind.CROSSING: Logic.LEVEL_CROSSING,
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


def matrix_amounts(weights: IntArray, biases: IntArray, sums: Sums, planes: int) -> Amounts:
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
    if layer.tables is not None:
        amounts = Amounts({Logic.LOOKUP: int(table_luts(layer).sum())})
    else:
        amounts = matrix_amounts(layer.matrix, layer.biases, choice.sums, planes)
    if layer.recurrent is not None and layer.tables is None:
        none = np.zeros_like(layer.biases)
        amounts += matrix_amounts(layer.recurrent, none, choice.sums, 1)
    low, high = np.array([(u.low, u.high) for u in ranges.integrated], dtype=np.int64).T
    kept = np.array([width_of(v) for v in ranges.membrane], dtype=np.int64)
    synaptic = np.array([width_of(i) for i in ranges.synaptic], dtype=np.int64)
    is_split = choice.registers > 0 and layer.synapse is None and layer.tables is None
    each = update_amounts(layer, low, high, kept, synaptic, is_split=is_split)
    neurons = {logic: int(n.sum()) for logic, n in each.items()}
    return amounts + Amounts({Logic.STAGE: 1, **neurons})


def table_luts(layer: Layer) -> IntArray:
    """LUT4s of the truth table of each neuron, (neurons,).

    One of up to 4 inputs, and twice as many for each input more. A spike of the layer's own is an
    input with whether the step begins, which one neuron's share.
    """
    read = np.count_nonzero(layer.addresses, axis=0)
    if layer.recurrent is not None:
        read += layer.recurrent.any(axis=0)
    return np.asarray(1 << np.maximum(0, read - LUT_INPUTS))


def update_amounts(
    layer: Layer,
    low: IntArray,
    high: IntArray,
    kept: IntArray,
    synaptic: IntArray | int = 0,
    *,
    is_split: bool = False,
) -> dict[Logic, IntArray]:
    """Amounts of a step of each neuron of a spatial layer, beside its sum.

    ``low`` and ``high`` are the range of each membrane before the reset, ``kept`` its bits after
    it, ``synaptic`` those of its synaptic current where it has one, all (neurons,). Where it
    ``is_split``, registers stand between the sum and the membrane.
    """
    bits = 1 + np.maximum(bit_lengths(high), bit_lengths(~low))
    decides = (high >= layer.thresholds) & (layer.thresholds > low)
    one = np.ones(layer.n_neurons, dtype=np.int64)
    if not layer.keeps_membrane and layer.synapse is None:  # of two values a bit of the sum
        if layer.tables is not None:  # a spike is what the table says
            return {}
        return {Logic.NEURON: one, Logic.COMPARE: bits * (decides & (high - low > 1))}
    amounts = {
        Logic.NEURON: one,
        Logic.INTEGRATE: bits,
        Logic.LEAK: leak_adders_of(layer) * kept,
        RESETS[layer.reset]: bits * decides,
        Logic.SURPLUS: bits * is_split,
        Logic.LATERAL: bits * (is_split and layer.recurrent is not None),
    }
    if layer.synapse is not None:
        amounts[Logic.INTEGRATE] = bits + synaptic
        amounts[Logic.LEAK] = amounts[Logic.LEAK] + leak_digits(layer.synapse) * synaptic
    if layer.saturation is not None:
        width = layer.saturation.width
        amounts[Logic.CLAMP] = np.maximum(0, bits - width) + width
    return amounts


def bit_lengths(values: IntArray) -> IntArray:
    """Bits of each of ``values``, as of `int.bit_length`; 0 of those below 1."""
    return np.frexp(np.maximum(values, 0).astype(np.float64))[1].astype(np.int64)


def table_amounts(weights: IntArray, planes: int) -> dict[Logic, IntArray]:
    """Amounts of the sum of each neuron alone, as tables of four inputs and a tree of adders.

    Of weights of shape (inputs, neurons), without building the graph: bits of lookups that are
    wires, and those that two lookups share, are counted too.
    """
    magnitudes = np.sort(np.abs(weights), axis=0)[::-1]
    magnitudes = np.pad(magnitudes, ((0, -len(magnitudes) % LUT_INPUTS), (0, 0)))
    tables = magnitudes.reshape(-1, LUT_INPUTS, weights.shape[1]).sum(axis=1)
    terms = np.concatenate([tables << plane for plane in range(planes)])
    short, chains, chain_bits = np.zeros((3, weights.shape[1]), dtype=np.int64)
    while len(terms) > 1:
        terms = np.pad(terms, ((0, len(terms) % 2), (0, 0)))
        first, second = terms[::2], terms[1::2]
        terms, is_sum = first + second, (first > 0) & (second > 0)
        widths = bit_lengths(terms) * is_sum
        is_short = widths < len(SHORT_SUMS)
        short += np.where(is_short, np.take(SHORT_SUMS, widths, mode="clip"), 0).sum(axis=0)
        chains += (~is_short).sum(axis=0)
        chain_bits += (widths * ~is_short).sum(axis=0)
    lookups = planes * bit_lengths(tables).sum(axis=0)
    return {
        Logic.LOOKUP: lookups,
        Logic.SHORT_SUM: short,
        Logic.SUM: chains,
        Logic.SUM_BIT: chain_bits,
    }


def leak_digits(leak: Leak) -> int:
    """Adders of a leak: one for each signed digit of d, and one to round towards zero."""
    if leak.d == 0 or leak.forgets:
        return 0
    return len(signed_digits(leak.d)) + (leak.rounding is LeakRounding.ZERO)


def leak_adders_of(layer: Layer) -> IntArray:
    """Adders of the leak of every neuron; one number, shape (), where it is the same for all."""
    numerators, places = np.unique(layer.leak_numerators, return_inverse=True)
    digits = np.array([leak_digits(layer.leak.of(int(d))) for d in numerators], dtype=np.int64)
    return np.asarray(digits[places.reshape(layer.leak_numerators.shape)])


def engine_amounts(plan: FoldPlan, family: Family) -> Amounts:
    """Amounts of what a folded layer and a folded readout share: spikes, rows, and sums."""
    choice, lanes = plan.choice, plan.choice.lanes
    bits = lanes * width_of(Interval.union(sum_intervals(plan)))
    amounts = Amounts(
        {
            Logic.ENGINE: 1,
            Logic.BANK: choice.banks,
            Logic.SUM_OF_LANE: bits,
            Logic.DOUBLING: bits * (plan.input_bits > 1),
        }
    )
    amounts += window_amounts(plan) if isinstance(plan, WindowPlan) else scan_amounts(plan)
    if plan.seeded:
        amounts[Logic.MIXER] = choice.banks
        amounts[Logic.SEEDED_BIT] = choice.banks * plan.folds * lanes * (plan.weight_width + 1)
    return amounts + memory_amounts(weight_memories(plan), family)


def scan_amounts(plan: FoldPlan) -> Amounts:
    """Amounts of what finds spikes and addresses their rows."""
    banks = plan.choice.banks
    return Amounts(
        {
            Logic.SOURCE: plan.n_sources,
            Logic.GROUP: banks * -(-plan.rows // WORD),
            Logic.WORD: banks * min(plan.rows, WORD),
            Logic.PLANE: plan.layer.n_inputs * (plan.input_bits - 1),
            Logic.ADDRESS: banks * ceil_log2(plan.depth_of_bank) * (plan.folds > 1),
            Logic.COLUMN: plan.choice.lanes * (banks - 1) * (plan.weight_width + 1),
        }
    )


def window_amounts(plan: WindowPlan) -> Amounts:
    """Amounts of what takes pixels in and addresses them and their weights.

    A multiplexer of many takes two LUTs for three of its inputs; an address a lookup for each bit
    of what it grows by, and an adder.
    """
    amounts = Amounts({Logic.LOOKUP: 2 * plan.n_sources * plan.input_bits // 3})
    for walk in (plan.loading, plan.reading):
        counters = [ceil_log2(loop.count) for loop in walk.loops if loop.count > 1]
        addresses = [ceil_log2(end + 1) for end in walk.ends]
        amounts[Logic.LOOKUP] += 2 * sum(counters) + len(counters) * sum(addresses) // 2
        amounts[Logic.SUM] += len(addresses)
        amounts[Logic.SUM_BIT] += sum(counters) + sum(addresses)
    return amounts


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
    if layer.keeps_membrane:
        adders = sum(leak_digits(leak) for leak in plan.leaks)
        amounts[Logic.LANE_LEAK] += updates * v * (len(plan.leaks) + adders)
    amounts[Logic.LANE_INTEGRATE] += updates * u
    if layer.synapse is not None:
        i = ranges.synaptic_width
        amounts[Logic.LANE_LEAK] += updates * i * (1 + leak_digits(layer.synapse))
        amounts[Logic.LANE_INTEGRATE] += updates * i
    amounts[LANE_RESETS[layer.reset]] += updates * u
    if layer.saturation is not None:
        amounts[Logic.LANE_CLAMP] += updates * u
    return amounts + memory_amounts(neuron_memories(plan), family)


def weight_memories(plan: FoldPlan) -> list[MemoryShape]:
    """Memories of the weights of an engine, and of a convolution's pixels.

    There are none where weights are made from a seed.
    """
    if plan.seeded:
        return []
    width = plan.choice.lanes * plan.weight_width
    one = MemoryShape(width=width, depth=plan.depth_of_bank, is_written=plan.is_loaded)
    pixels = []
    if isinstance(plan, WindowPlan):
        pixels.append(MemoryShape(width=plan.input_bits, depth=plan.pixels, is_written=True))
    return [one] * plan.choice.banks + pixels


def neuron_memories(plan: FoldPlan) -> list[MemoryShape]:
    """Memories of the states of a folded layer's neurons, and of constants that differ."""
    updates, depth = plan.choice.updates, plan.folds * plan.groups
    memories = []
    layer, widths = plan.layer, []
    if layer.keeps_membrane:  # else what is written is never read
        widths.append(plan.ranges.membrane_width)
    if layer.synapse is not None and not layer.synapse.forgets:
        widths.append(plan.ranges.synaptic_width)
    for width in widths:
        memories.append(MemoryShape(width=updates * width, depth=depth, is_written=True))
    for values in plan.constants.values():
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
    if network.reads_membranes:  # a register, and for the largest a comparison like argmax's
        compared = network.score_width * network.n_classes
        peaks = compared * (network.readout_mode is ReadoutMode.PEAK)
        return Amounts({Logic.STAGE: 1, Logic.TOURNAMENT: peaks})
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
        compared = encoder.resolution if encoder.kind is EncoderKind.CROSSING else encoder.bits
        channels = network.n_inputs // encoder.inputs_per_level
        amounts[ENCODERS[encoder.kind]] = channels * int(compared or 0)
    return amounts


def loader_amounts(network: FixedPointNetwork, mapping: Mapping) -> Amounts:
    """Amounts of loading weights at run time, where a layer asks for it."""
    plans = [plan for plan in engines_of(network, mapping) if plan.is_loaded]
    rows = [plan.choice.lanes * plan.weight_width for plan in plans]
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
        for plan in engines_of(network, mapping)
        for memory in (*weight_memories(plan), *neuron_memories(plan))
    ]
    if isinstance(mapping.readout, Folded):
        memories += weight_memories(readout_plan(network, mapping.readout))
    return memories
