"""Choosing a mapping under a budget: what each choice costs, and the fastest that fits.

Costs are estimated from widths and counts alone, before anything is built. They rank choices;
`convexon_boards` measures what comes of the one that is chosen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from convexon.cells import Family
from convexon.errors import InputError
from convexon.fixed import width_of
from convexon.fold import (
    EMPTY_SCAN_CLOCKS,
    SCAN_CLOCKS,
    FoldPlan,
    engines_at,
    plans_at,
    readout_plan,
)
from convexon.mapping import Folded, LayerMapping, Mapping, Spatial, Sums, Weights
from convexon.network import FixedPointNetwork
from convexon.neuron import ReadoutMode
from convexon_hdl.folded.accumulator import hull, sum_intervals
from convexon_hdl.timing import leak_adders, matrix_graph

BLOCK_RAM = {
    Family.ECP5: (18 * 1024, 36),
    Family.ICE40: (4 * 1024, 16),
}
"""Bits of one block RAM of each family, and the most that it reads at once."""

SMALL_MEMORY_BITS = 1024
"""Memories up to this size are not put into block RAM."""

MAX_GRAPH_SYNAPSES = 4000
"""Synapses whose adder graph is built for an estimate; of more, a part stands for all."""

MAX_CANDIDATES = 12
"""Choices that are kept for each depth: the fastest, the smallest, and those between."""


MAX_PLANS = 60
"""Plans for the first depths that are kept: the fastest, and as many of the smallest."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a mapping may use; None is no limit.

    Members
    -------
    luts : int or None
        LUT4 sites, those of carry chains included.
    block_rams : int or None
    latency_cycles : int or None
        Mean clock edges from the first step to the result.
    family : Family
    """

    luts: int | None = None
    block_rams: int | None = None
    latency_cycles: int | None = None
    family: Family = Family.ECP5


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

Choices = dict[int, LayerMapping]
"""Choices at one depth, by branch."""


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


def memory_blocks(width: int, depth: int, family: Family) -> int:
    """Block RAMs of a memory with one read port; 0 for one that is small enough for logic."""
    if width * depth <= SMALL_MEMORY_BITS:
        return 0
    bits, widest = BLOCK_RAM[family]
    best = None
    while widest >= 1:
        blocks = -(-width // widest) * -(-depth // (bits // widest))
        best = blocks if best is None else min(best, blocks)
        widest //= 2
    return best or 0


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
    sum_width = width_of(hull(sum_intervals(plan)))
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
            choice.lanes * plan.weight_width, plan.depth_of_bank, family
        )
    groups = plan.folds * plan.groups
    memories += memory_blocks(choice.updates * membrane, groups, family)
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
    folded = {b: choice for b, choice in choices.items() if isinstance(choice, Folded)}
    for plan in plans_at(network, folded, depth):
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


def folded_choices(
    network: FixedPointNetwork, depth: int, *, folds: int, banks: int, spikes: float
) -> dict[int, LayerMapping]:
    """Every layer at ``depth`` folded ``folds`` times, updated no faster than it is summed up."""
    choices: dict[int, LayerMapping] = {}
    for engine in engines_at(network, depth):
        n = sum(network.branches[b].layers[depth].n_neurons for b in engine)
        lanes = -(-n // folds)
        choice = Folded(lanes=lanes, banks=banks, updates=_updates(lanes, spikes / banks))
        choices |= dict.fromkeys(engine, choice)
    return choices


def _updates(lanes: int, clocks: float) -> int:
    """Fewest updates per clock that keep pace with a pass of ``clocks``."""
    divisors = [d for d in range(1, lanes + 1) if lanes % d == 0]
    return next(d for d in divisors if lanes / d <= max(clocks, 4) or d == lanes)


def candidates_at(
    network: FixedPointNetwork, depth: int, activity: Activity, budget: Budget, spatial: Spatial
) -> list[tuple[Cost, dict[int, LayerMapping]]]:
    """Choices for a depth of which none is beaten by another, the fastest first."""
    branches = [b for b, branch in enumerate(network.branches) if depth < branch.depth]
    found: list[tuple[Cost, dict[int, LayerMapping]]] = []

    def consider(choices: dict[int, LayerMapping]) -> None:
        cost = cost_at(network, choices, depth, activity, budget.family)
        if not any(other.beats(cost) for other, _ in found):
            found[:] = [(other, kept) for other, kept in found if not cost.beats(other)]
            found.append((cost, choices))

    most = max(network.branches[b].layers[depth].n_neurons for b in branches)
    spikes = activity.inputs
    if depth:
        spikes = float(np.mean([activity.layers[b][depth - 1] for b in branches]))
    for folds in _powers(most):
        for banks in (1, 2, 4):
            consider(folded_choices(network, depth, folds=folds, banks=banks, spikes=spikes))
    consider(dict.fromkeys(branches, spatial))
    found.sort(key=lambda pair: pair[0].clocks)
    stride = max(1, -(-len(found) // MAX_CANDIDATES))
    return [*found[:-1:stride], found[-1]]


def _powers(limit: int) -> Iterator[int]:
    power = 1
    while power <= limit:
        yield power
        power *= 2


def fastest_within(
    network: FixedPointNetwork, budget: Budget, activity: Activity, spatial: Spatial
) -> Mapping:
    """Return the mapping with the fewest clocks for a step that fits.

    The clocks are those of the slowest depth, which sets the interval, then those of all together.

    Raises
    ------
    InputError
        If none fits; it says what the smallest one takes.
    """
    reads = sum(layers[-1] for layers in activity.layers)
    readouts: list[LayerMapping] = [spatial]
    readouts += [Folded(lanes=network.n_classes, banks=banks) for banks in (1, 2, 4)]
    parts: list[list[tuple[Cost, Choices]]] = [
        candidates_at(network, depth, activity, budget, spatial) for depth in range(network.depth)
    ]
    parts.append(
        [(readout_cost(network, each, reads, budget.family), {0: each}) for each in readouts]
    )
    plans = [_Plan(cost=NOTHING, slowest=0.0, picks=())]
    for candidates in parts:
        plans = _unbeaten(
            [plan.extended(cost, choices) for plan in plans for cost, choices in candidates], budget
        )
    if not plans:
        raise InputError(_too_small(parts, budget))
    steps = network.n_steps
    best = min(plans, key=lambda plan: plan.preference(steps, budget.latency_cycles is not None))
    layers = [
        tuple(best.picks[d][b] for d in range(branch.depth))
        for b, branch in enumerate(network.branches)
    ]
    return Mapping(
        layers=tuple(layers),
        readout=best.picks[-1][0],
        decision_registers=min(spatial.registers, 1),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Plan:
    """Choices for the first depths, and what they cost together."""

    cost: Cost
    slowest: float
    picks: tuple[Choices, ...]

    def extended(self, cost: Cost, choices: Choices) -> _Plan:
        """Return the plan with one depth more."""
        return _Plan(
            cost=self.cost + cost,
            slowest=max(self.slowest, cost.clocks),
            picks=(*self.picks, choices),
        )

    def beats(self, other: _Plan) -> bool:
        """Whether this is nowhere worse than ``other``."""
        return self.slowest <= other.slowest and self.cost.beats(other.cost)

    def preference(self, n_steps: int, is_latency: bool) -> tuple[float, ...]:
        """Smaller is better: the interval first, or the latency where that is limited."""
        latency = (n_steps - 1) * self.slowest + self.cost.clocks
        first = latency if is_latency else self.slowest
        return first, self.cost.clocks, self.cost.luts


def _unbeaten(plans: Sequence[_Plan], budget: Budget) -> list[_Plan]:
    """Plans within the budget that no other beats; the fastest of them where there are many."""
    kept: list[_Plan] = []
    for plan in sorted(plans, key=lambda plan: (plan.slowest, plan.cost.clocks, plan.cost.luts)):
        if _exceeds(plan.cost.luts, budget.luts):
            continue
        if _exceeds(plan.cost.block_rams, budget.block_rams):
            continue
        if not any(other.beats(plan) for other in kept):
            kept.append(plan)
    smallest = sorted(kept, key=lambda plan: plan.cost.luts)[:MAX_PLANS]
    return list(dict.fromkeys([*kept[:MAX_PLANS], *smallest]))


def mapping_cost(
    network: FixedPointNetwork, mapping: Mapping, activity: Activity, family: Family
) -> Cost:
    """Estimated cost of ``mapping``."""
    reads = sum(layers[-1] for layers in activity.layers)
    parts = [
        cost_at(network, mapping.at_depth(depth), depth, activity, family)
        for depth in range(network.depth)
    ]
    return sum(parts, readout_cost(network, mapping.readout, reads, family))


def _exceeds(value: float, limit: int | None) -> bool:
    return limit is not None and value > limit


def _too_small(parts: Sequence[Sequence[tuple[Cost, Choices]]], budget: Budget) -> str:
    """What to say where nothing fits: the parts that take the fewest LUTs, and what they take."""
    least = [min((cost for cost, _ in part), key=lambda cost: cost.luts) for part in parts]
    smallest = sum(least, NOTHING)
    limits = [
        f"{limit} {name}"
        for limit, name in ((budget.luts, "LUTs"), (budget.block_rams, "block RAMs"))
        if limit is not None
    ]
    return (
        f"budget must hold the smallest mapping, which takes about {smallest.luts:.0f} LUTs and "
        f"{smallest.block_rams} block RAMs, not {' and '.join(limits)}: raise it, or use fewer "
        "neurons, inputs or bits"
    )
