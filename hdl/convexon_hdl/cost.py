"""What a mapping costs: estimates from widths and counts alone, before anything is built.

They rank choices; `convexon_boards` measures what comes of the one that is chosen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from convexon.cells import Family
from convexon.decision import Decision, Rule
from convexon.encoder import Encoder, EncoderKind
from convexon.fixed import Interval, width_of
from convexon.fold import EMPTY_SCAN_CLOCKS, SCAN_CLOCKS, FoldPlan, plans_at, readout_plan
from convexon.mapping import Folded, LayerMapping, Mapping, Spatial, Sums, Weights
from convexon.network import FixedPointNetwork
from convexon.neuron import ReadoutMode
from convexon_hdl.folded.accumulator import sum_intervals
from convexon_hdl.memory_cost import memory_blocks
from convexon_hdl.timing import leak_adders, matrix_graph

MAX_GRAPH_SYNAPSES = 4000
"""Synapses whose adder graph is built for an estimate; of more, a part stands for all."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Estimated cost of a part.

    Members
    -------
    luts : float
        LUT4 sites.
    block_rams : int
    clocks : float
        Mean clocks for one step.
    """

    luts: float
    block_rams: int
    clocks: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            luts=self.luts + other.luts,
            block_rams=self.block_rams + other.block_rams,
            clocks=self.clocks + other.clocks,
        )

    def beats(self, other: Cost) -> bool:
        """Whether this is nowhere worse than ``other``."""
        return (
            self.luts <= other.luts
            and self.block_rams <= other.block_rams
            and self.clocks <= other.clocks
        )


NOTHING = Cost(luts=0.0, block_rams=0, clocks=0.0)


@dataclass(frozen=True, kw_only=True)
class Activity:
    """Mean spikes of a step: of the inputs (over all bit planes), and of every layer.

    Members
    -------
    inputs : float
    layers : tuple of tuples of float
        By branch and layer.
    """

    inputs: float
    layers: tuple[tuple[float, ...], ...]

    @property
    def reads(self) -> float:
        """Mean spikes of a step that the readout reads."""
        return sum(layers[-1] for layers in self.layers)


def spatial_cost(network: FixedPointNetwork, branch: int, depth: int, choice: Spatial) -> Cost:
    """Cost of a spatial layer: its adder graph, and four adders of a membrane for each neuron."""
    layer, ranges = network.branches[branch].layers[depth], network.ranges[branch][depth]
    planes = network.input_bits if depth == 0 else 1
    luts = float(_graph_cost(layer.weights, layer.biases, choice.sums, planes))
    if layer.recurrent is not None:
        luts += _graph_cost(layer.recurrent, np.zeros_like(layer.biases), choice.sums, 1)
    adders = 3 + leak_adders(layer.leak)
    update = sum(adders * width_of(membrane) for membrane in ranges.membrane)
    return Cost(luts=luts + update, block_rams=0, clocks=1.0)


def folded_cost(plan: FoldPlan, spikes: float, family: Family) -> Cost:
    """Cost of an engine that reads ``spikes`` rows a step, on average."""
    choice = plan.choice
    sum_width = width_of(Interval.union(sum_intervals(plan)))
    membrane = plan.ranges.membrane_width
    scan = 1.7 * plan.n_sources
    banks = (choice.banks - 1) * (plan.weight_width + 1)
    buffer = sum_width if choice.lanes > choice.updates else 0
    lanes = choice.lanes * (sum_width + banks + buffer)
    update = choice.updates * membrane * (5 + leak_adders(plan.layer.leak))
    made = 0.0
    if choice.weights is Weights.SEEDED:  # a LUT4 for each bit of a weight, and the rounds' adders
        made = choice.banks * (plan.folds * choice.lanes * (plan.weight_width + 1) + 150)
        memories = 0
    else:
        memories = choice.banks * memory_blocks(
            choice.lanes * plan.weight_width,
            plan.depth_of_bank,
            family,
            is_written=plan.is_loaded,
        )
    groups = plan.folds * plan.groups
    memories += memory_blocks(choice.updates * membrane, groups, family, is_written=True)
    per_pass = spikes / plan.input_bits / choice.banks
    uneven = 0.6 * math.sqrt(per_pass) if choice.banks > 1 else 0.0  # the fullest bank counts
    clocks = plan.input_bits * (per_pass + uneven + SCAN_CLOCKS if spikes else EMPTY_SCAN_CLOCKS)
    clocks = plan.folds * max(clocks, plan.spacing) + 1
    return Cost(luts=scan + lanes + update + made + 150, block_rams=memories, clocks=clocks)


def readout_cost(
    network: FixedPointNetwork, choice: LayerMapping, spikes: float, family: Family
) -> Cost:
    """Cost of the readout."""
    if isinstance(choice, Folded):
        plan = readout_plan(network, choice)
        cost = folded_cost(plan, spikes, family)
        if network.readout_mode in (ReadoutMode.LAST, ReadoutMode.SIGN):
            return replace(cost, clocks=1 + cost.clocks / network.n_steps)
        return cost
    width = max(width_of(interval) for interval in network.score_ranges)
    counts = width * network.n_classes if network.readout_mode is ReadoutMode.COUNT else 0
    luts = _graph_cost(network.readout_weights, network.readout_biases, choice.sums, 1)
    return Cost(luts=luts + counts, block_rams=0, clocks=1.0)


def _graph_cost(
    weights: npt.NDArray[np.int64], biases: npt.NDArray[np.int64], sums: Sums, planes: int
) -> float:
    """LUTs of the sums of a matrix of weights; large ones by the share of a part of them."""
    synapses = int(np.count_nonzero(weights)) * planes
    outputs = weights.shape[1]
    if synapses > MAX_GRAPH_SYNAPSES:
        outputs = max(1, outputs * MAX_GRAPH_SYNAPSES // synapses)
    part = matrix_graph(weights[:, :outputs].tolist(), biases[:outputs].tolist(), sums, planes)
    return part.cost * weights.shape[1] / outputs


def cost_at(
    network: FixedPointNetwork,
    choices: dict[int, LayerMapping],
    depth: int,
    activity: Activity,
    family: Family,
) -> Cost:
    """Cost of all layers at ``depth``: resources add up, the slowest unit sets the clocks."""
    parts = [
        spatial_cost(network, b, depth, choice)
        for b, choice in choices.items()
        if isinstance(choice, Spatial)
    ]
    for plan in plans_at(network, choices, depth):
        b = plan.branches[0]
        spikes = activity.inputs if depth == 0 else activity.layers[b][depth - 1]
        if plan.layer.recurrent is not None:
            spikes += sum(activity.layers[k][depth] for k in plan.branches)
        cost = folded_cost(plan, spikes, family)
        if plan.layer.recurrent is not None:  # nothing overlaps
            cost = replace(cost, clocks=cost.clocks + plan.completion_clocks)
        parts.append(cost)
    return Cost(
        luts=sum(part.luts for part in parts),
        block_rams=sum(part.block_rams for part in parts),
        clocks=max(part.clocks for part in parts),
    )


ENCODER_LUTS = {
    EncoderKind.THRESHOLD: (1.0, 0.0),
    EncoderKind.LATENCY: (1.0, 2.0),
    EncoderKind.BIT_PLANE: (0.85, 0.0),
    EncoderKind.RATE: (2.3, 0.0),
    EncoderKind.HOLD: (0.0, 0.0),
}
"""LUT4 sites of an encoder for each bit of a level, and for each level."""

CONTROL_LUTS = 15
"""LUT4 sites of an encoder's or a sequencer's counters."""

EXIT_LUTS = {Rule.END: 0.0, Rule.THRESHOLD: 1.2, Rule.CERTAIN: 7.5}
"""LUT4 sites of an early exit for each bit of the scores."""

LOADER_LUTS = (540.0, 1.45)
"""LUT4 sites of a loader with its CRC, and for each bit of its widest row."""


def surroundings_cost(
    network: FixedPointNetwork, encoder: Encoder | None, decision: Decision
) -> Cost:
    """Cost of what stands around the layers: the source of the steps, and the decision.

    The constants are fitted on synthesis for ECP5.
    """
    width = max(width_of(interval) for interval in network.score_ranges)
    tournament = (network.n_classes - 1) * (2 * width + 4)
    luts = CONTROL_LUTS + tournament + EXIT_LUTS[decision.rule] * width * network.n_classes
    if encoder is not None:
        per_bit, per_level = ENCODER_LUTS[encoder.kind]
        luts += network.n_inputs * (per_bit * encoder.bits + per_level)
    return Cost(luts=luts, block_rams=0, clocks=0.0)


def loader_cost(network: FixedPointNetwork, mapping: Mapping) -> Cost:
    """Cost of loading weights at run time, where a layer asks for it."""
    plans = [
        plan
        for depth in range(network.depth)
        for plan in plans_at(network, mapping.at_depth(depth), depth)
    ]
    rows = [plan.choice.lanes * plan.weight_width for plan in plans if plan.is_loaded]
    if not rows:
        return NOTHING
    fixed, per_bit = LOADER_LUTS
    return Cost(luts=fixed + per_bit * max(rows), block_rams=0, clocks=0.0)


def mapping_cost(
    network: FixedPointNetwork, mapping: Mapping, activity: Activity, family: Family
) -> Cost:
    """Estimated cost of ``mapping``, with all that stands around the layers."""
    cost = surroundings_cost(network, mapping.encoder, mapping.decision)
    cost += loader_cost(network, mapping)
    for depth in range(network.depth):
        cost += cost_at(network, mapping.at_depth(depth), depth, activity, family)
    return cost + readout_cost(network, mapping.readout, activity.reads, family)
