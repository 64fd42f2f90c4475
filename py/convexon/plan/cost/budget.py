"""Choosing a mapping under a budget: the fastest that fits, and that keeps the clock."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np

from convexon.data.encoder import Encoder
from convexon.errors import InputError, require_within
from convexon.plan.cost.mapping_cost import Activity, Cost, cost_at, readout_cost, surroundings_cost
from convexon.plan.cost.timing import (
    PipelineDepths,
    engine_delay,
    pipeline_depths,
    require_reachable,
)
from convexon.plan.family import Family
from convexon.plan.fold import engines_at, plans_at, readout_plan
from convexon.plan.mapping import MAX_LANES, PLAIN, Folded, LayerMapping, Mapping, Spatial, Style
from convexon.plan.windows import window_lanes
from convexon.settings import Settings, setting
from convexon.snn.convolution import IntegerConvolution
from convexon.snn.decision import Decision
from convexon.snn.network import FixedPointNetwork

MAX_CANDIDATES = 12
"""Choices that are kept for each depth: the fastest, the smallest, and those between."""

BANKS = (1, 2, 4)
"""Numbers of banks that are considered."""

MAX_PLANS = 60
"""Plans for the first depths that are kept: the fastest, and as many of the smallest."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a mapping may use; None is no limit.

    Raises `InputError` if ``lanes`` is out of range, or no layer may be folded.
    """

    luts: int | None = None  # LUT4 sites, those of carry chains included
    block_rams: int | None = None
    latency_cycles: int | None = None  # mean clock edges from the first step to the result
    clock_hz: float | None = None  # that all parts must promise, spatial ones by their registers
    family: Family = Family.ECP5
    style: Style = Style.ANY
    lanes: int | None = None  # of every folded layer, or its neurons; any where None

    def __post_init__(self) -> None:
        if self.lanes is not None:
            require_within("lanes", self.lanes, 1, MAX_LANES)
            if self.style is Style.SPATIAL:
                raise InputError(f"lanes must be left out where all is spatial, not {self.lanes!r}")


@dataclass(frozen=True, kw_only=True)
class Limits(Settings):
    """What a mapping may take, as people state it; None is no limit."""

    luts: int | None = setting(None, "Most LUT4 sites, those of carry chains included.", least=1)
    block_rams: int | None = setting(None, "Most block RAMs.", least=0)
    latency_cycles: int | None = setting(None, "Most cycles of an inference, on average.", least=1)
    clock: float | None = setting(None, "Clock in MHz that must be kept.", above=0)

    @property
    def budget(self) -> Budget:
        """The limits as a budget, of the default family."""
        clock = None if self.clock is None else self.clock * 1e6
        return Budget(
            luts=self.luts,
            block_rams=self.block_rams,
            latency_cycles=self.latency_cycles,
            clock_hz=clock,
        )


Choices = dict[int, LayerMapping]
"""Choices at one depth, by branch."""


def folded_choices(
    network: FixedPointNetwork,
    depth: int,
    *,
    folds: int,
    banks: int,
    spikes: float,
    most_lanes: int = MAX_LANES,
) -> dict[int, LayerMapping]:
    """Every layer at ``depth`` folded ``folds`` times, updated no faster than it is summed up.

    No layer has more than ``most_lanes``: it is folded more often instead. A convolution has a lane
    for one of ``folds`` output channels.
    """
    choices: dict[int, LayerMapping] = {}
    for engine in engines_at(network, depth):
        shared = network.branches[engine[0]].layers[depth].weights
        if isinstance(shared, IntegerConvolution):
            channels = len(shared.kernel) // shared.windows.groups
            lanes = window_lanes(shared, min(max(1, channels // folds), most_lanes))
            updates = _updates(lanes, shared.fan_in)
            choices[engine[0]] = Folded(lanes=lanes, updates=updates)
            continue
        n = sum(network.branches[b].layers[depth].n_neurons for b in engine)
        lanes = min(-(-n // folds), most_lanes)
        choice = Folded(lanes=lanes, banks=banks, updates=_updates(lanes, spikes / banks))
        choices |= dict.fromkeys(engine, choice)
    return choices


def _updates(lanes: int, clocks: float) -> int:
    """Fewest updates per clock that keep pace with a pass of ``clocks``."""
    divisors = [d for d in range(1, lanes + 1) if lanes % d == 0]
    return next(d for d in divisors if lanes / d <= max(clocks, 4) or d == lanes)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Part:
    """What a depth, or the readout, may be."""

    folded: list[tuple[Choices, float]]  # with the delay of the slowest engine, in seconds
    spatial: Choices | None  # with the registers for the clock; None where none keep it
    least: float  # least delay of all, registers for any clock included

    @classmethod
    def of(
        cls,
        folded: list[tuple[Choices, float]],
        branches: Sequence[int],
        spatial: Spatial | None,
        least: float,
        style: Style,
    ) -> _Part:
        """Put the choices together; ``least`` is that of the spatial ones."""
        delays = [delay for _, delay in folded]
        if style is Style.FOLDED:
            return cls(folded=folded, spatial=None, least=min(delays))
        choices: Choices | None = None
        if spatial is not None:
            choices = dict.fromkeys(branches, spatial)
        return cls(folded=folded, spatial=choices, least=min([least, *delays]))

    def in_time(self, clock_hz: float | None) -> list[Choices]:
        """Choices that keep the clock."""
        period = math.inf if clock_hz is None else 1 / clock_hz
        kept = [choices for choices, delay in self.folded if delay <= period]
        return kept if self.spatial is None else [*kept, self.spatial]


def _layers_at(
    network: FixedPointNetwork, depth: int, activity: Activity, budget: Budget, own: PipelineDepths
) -> _Part:
    """What the layers at ``depth`` may be."""
    branches = [b for b, branch in enumerate(network.branches) if depth < branch.depth]
    most = max(network.branches[b].layers[depth].n_neurons for b in branches)
    spikes = activity.inputs
    if depth:
        spikes = float(np.mean([activity.layers[b][depth - 1] for b in branches]))
    folded: list[tuple[Choices, float]] = []
    in_logic = any(network.branches[b].layers[depth].tables is not None for b in branches)
    if budget.style is Style.FOLDED or (budget.style is Style.ANY and not in_logic):
        powers = (most if budget.lanes is None else 1).bit_length()
        for folds, banks in product([1 << k for k in range(powers)], BANKS):
            choices = folded_choices(
                network,
                depth,
                folds=folds,
                banks=banks,
                spikes=spikes,
                most_lanes=budget.lanes or MAX_LANES,
            )
            plans = plans_at(network, choices, depth)
            folded.append((choices, max(engine_delay(plan, budget.family) for plan in plans)))
    return _Part.of(folded, branches, own.layers[depth], own.least[depth], budget.style)


def _readout(network: FixedPointNetwork, budget: Budget, own: PipelineDepths) -> _Part:
    """What the readout may be."""
    folded: list[tuple[Choices, float]] = []
    style = Style.SPATIAL if network.reads_membranes else budget.style
    for banks in () if style is Style.SPATIAL else BANKS:
        choice = Folded(lanes=network.n_classes, banks=banks)
        delay = engine_delay(readout_plan(network, choice), budget.family)
        folded.append(({0: choice}, delay))
    return _Part.of(folded, [0], own.readout, own.least[-2], style)


def _candidates(
    part: _Part, cost_of: Callable[[Choices], Cost], clock_hz: float | None
) -> list[tuple[Cost, Choices]]:
    """Choices that keep the clock and that no other beats, the fastest first."""
    found: list[tuple[Cost, Choices]] = []
    for choices in part.in_time(clock_hz):
        cost = cost_of(choices)
        if not any(other.beats(cost) for other, _ in found):
            found[:] = [(other, kept) for other, kept in found if not cost.beats(other)]
            found.append((cost, choices))
    found.sort(key=lambda pair: pair[0].clocks)
    stride = max(1, -(-len(found) // MAX_CANDIDATES))
    return [*found[:-1:stride], found[-1]]


def fastest_within(
    network: FixedPointNetwork,
    budget: Budget,
    activity: Activity,
    *,
    encoder: Encoder | None = None,
    decision: Decision = Decision(),  # noqa: B008  (frozen)
) -> Mapping:
    """Return the mapping with the fewest clocks for a step that fits.

    The clocks are those of the slowest depth, which sets the interval, then those of all together.
    The budget pays for the encoder and the decision too.

    Raises `InputError` if none fits, or none keeps the clock; it says what the smallest takes, and
    what the fastest promises.
    """
    own = _depths(network, budget)
    layers = [_layers_at(network, d, activity, budget, own) for d in range(network.depth)]
    readout = _readout(network, budget, own)
    if budget.clock_hz is not None:
        least = [*(part.least for part in layers), readout.least, own.least[-1]]
        require_reachable(budget.clock_hz, least, budget.family)
    parts = [
        _candidates(
            part,
            partial(cost_at, network, depth=depth, activity=activity, family=budget.family),
            budget.clock_hz,
        )
        for depth, part in enumerate(layers)
    ]
    parts.append(
        _candidates(
            readout,
            lambda choices: readout_cost(network, choices[0], activity.reads, budget.family),
            budget.clock_hz,
        )
    )
    surroundings = surroundings_cost(network, encoder, decision, budget.family)
    plans = [_Plan(cost=surroundings, slowest=0.0, picks=())]
    for candidates in parts:
        plans = _unbeaten(
            [plan.extended(cost, choices) for plan in plans for cost, choices in candidates], budget
        )
    if not plans:
        raise InputError(_too_small(parts, surroundings, budget))
    steps = network.n_steps
    best = min(plans, key=lambda plan: plan.preference(steps, budget.latency_cycles is not None))
    return Mapping(
        layers=tuple(
            tuple(best.picks[d][b] for d in range(branch.depth))
            for b, branch in enumerate(network.branches)
        ),
        readout=best.picks[-1][0],
        decision_registers=own.decision_registers or 0,
        encoder=encoder,
        decision=decision,
    )


def _depths(network: FixedPointNetwork, budget: Budget) -> PipelineDepths:
    """Registers for the budget's clock; none without one."""
    if budget.clock_hz is not None:
        return pipeline_depths(network, budget.clock_hz, budget.family)
    none = (0.0,) * (network.depth + 2)
    plain = (PLAIN,) * network.depth
    return PipelineDepths(layers=plain, readout=PLAIN, decision_registers=0, least=none)


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


def _exceeds(value: float, limit: int | None) -> bool:
    return limit is not None and value > limit


def _too_small(
    parts: Sequence[Sequence[tuple[Cost, Choices]]], surroundings: Cost, budget: Budget
) -> str:
    """What to say where nothing fits: the parts that take the fewest LUTs, and what they take."""
    least = [min((cost for cost, _ in part), key=lambda cost: cost.luts) for part in parts]
    smallest = sum(least, surroundings)
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
