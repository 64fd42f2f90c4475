"""Choosing a mapping under a budget."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest
from clock_model import estimated_clock_hz
from hdl_bench import random_layer, random_network

from convexon.data.encoder import Encoder, EncoderKind
from convexon.errors import InputError
from convexon.plan.cost.budget import (
    Budget,
    fastest_within,
)
from convexon.plan.cost.mapping_cost import Activity, mapping_cost
from convexon.plan.cost.timing import engine_delay, pipeline_depths
from convexon.plan.family import Family
from convexon.plan.fold import engines_at, plans_at, readout_plan
from convexon.plan.mapping import PLAIN, Folded, Mapping, Spatial, Style, Weights
from convexon.plan.schedule import Schedule
from convexon.snn.decision import Decision, Rule
from convexon.snn.fixed import QFormat
from convexon.snn.models import golden
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import Leak, ReadoutMode, Reset
from convexon_hdl.accelerator import require_mappable
from tiers import leading

STEPS = 3


def network_and_activity() -> tuple[FixedPointNetwork, np.ndarray, Activity]:
    rng = np.random.default_rng(3)
    branches = (
        (random_layer(rng, 40, 24), random_layer(rng, 24, 8, recurrent=True)),
        (random_layer(rng, 40, 12),),
    )
    network = random_network(rng, branches, mode=ReadoutMode.COUNT, n_steps=STEPS, input_bits=2)
    inputs = rng.integers(0, 4, (4, STEPS, 40)).astype(np.uint8)
    return network, inputs, Activity.of(inputs, golden.run(network, inputs))


NETWORK, INPUTS, ACTIVITY = network_and_activity()


def chosen(luts: int | None, block_rams: int | None = None) -> Mapping:
    budget = Budget(luts=luts, block_rams=block_rams)
    return fastest_within(NETWORK, budget, ACTIVITY)


def test_activity_counts_every_bit() -> None:
    bits = (INPUTS & 1) + (INPUTS >> 1)
    assert ACTIVITY.inputs == bits.sum(axis=2).mean()
    trace = golden.run(NETWORK, INPUTS)
    assert ACTIVITY.layers[0][1] == trace.layers[0][1].spikes.sum(axis=2).mean()


def test_without_limits_everything_is_spatial() -> None:
    assert chosen(None).is_spatial


def test_what_is_chosen_fits_and_less_is_never_faster() -> None:
    trace = golden.run(NETWORK, INPUTS)
    latencies = []
    for luts in (100_000, 4_000, 2_500, 1_600):
        mapping = chosen(luts)
        require_mappable(NETWORK, mapping)
        assert mapping_cost(NETWORK, mapping, ACTIVITY, Family.ECP5).luts <= luts
        latencies.append(Schedule.of(NETWORK, mapping).cycles(INPUTS, trace).latency.mean())
    assert latencies == sorted(latencies)
    assert latencies[0] < latencies[-1]


def test_block_rams_are_a_limit_too() -> None:
    rng = np.random.default_rng(0)
    network = random_network(rng, ((random_layer(rng, 120, 48),),))
    activity = Activity(inputs=12.0, layers=((5.0,),))

    def blocks(limit: int | None) -> int:
        mapping = fastest_within(network, Budget(luts=3_000, block_rams=limit), activity)
        assert not mapping.is_spatial
        return mapping_cost(network, mapping, activity, Family.ECP5).block_rams

    used = blocks(None)
    assert used > 0
    assert blocks(used - 1) < used


def test_budget_that_holds_nothing_is_refused() -> None:
    message = "budget must hold the smallest mapping, which takes about "
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        chosen(10)


def test_large_layers_are_estimated_from_a_part() -> None:
    rng = np.random.default_rng(0)
    layer = random_layer(rng, 300, 60, leak=Leak(0, 0), reset=Reset.ZERO, saturation=QFormat(9))
    network = random_network(rng, ((layer,),))
    activity = Activity(inputs=30.0, layers=((5.0,),))
    mapping = fastest_within(network, Budget(luts=6_000), activity)
    assert isinstance(mapping.layers[0][0], Folded)


def promised(mapping: Mapping, clock_hz: float, family: Family = Family.ECP5) -> bool:
    """Whether all engines of a mapping keep a clock."""
    plans = [p for d in range(NETWORK.depth) for p in plans_at(NETWORK, mapping.at_depth(d), d)]
    if isinstance(mapping.readout, Folded):
        plans.append(readout_plan(NETWORK, mapping.readout))
    return all(engine_delay(plan, family) * clock_hz <= 1 for plan in plans)


def test_clock_goes_with_a_budget() -> None:
    """A clock that the recurrent layer's logic cannot keep still has folded mappings."""
    logic = 1 / max(pipeline_depths(NETWORK, 1e6, Family.ECP5).least)
    clock_hz = 1.05 * logic
    mapping = fastest_within(NETWORK, Budget(clock_hz=clock_hz), ACTIVITY)
    assert not mapping.is_spatial
    assert promised(mapping, clock_hz)
    require_mappable(NETWORK, mapping)
    depths = pipeline_depths(NETWORK, clock_hz, Family.ECP5)
    for depth, spatial in enumerate(depths.layers):
        own = [c for c in mapping.at_depth(depth).values() if isinstance(c, Spatial)]
        assert all(choice == spatial for choice in own)
    assert mapping.decision_registers == depths.decision_registers


def test_clock_within_reach_of_the_logic_keeps_everything_spatial() -> None:
    clock_hz = 0.9 / max(pipeline_depths(NETWORK, 1e6, Family.ECP5).least)
    mapping = fastest_within(NETWORK, Budget(clock_hz=clock_hz), ACTIVITY)
    assert mapping.is_spatial
    assert estimated_clock_hz(NETWORK, mapping, Family.ECP5) >= clock_hz


def test_clock_beyond_every_mapping_is_refused() -> None:
    with pytest.raises(InputError, match=r"^clock must be at most \S+ MHz .*, not 5000 MHz: "):
        fastest_within(NETWORK, Budget(clock_hz=5e9), ACTIVITY)


@pytest.mark.parametrize("family", leading(Family), ids=lambda family: family.value)
@pytest.mark.parametrize("style", Style, ids=lambda style: style.value)
def test_clock_that_a_refusal_names_is_the_highest(style: Style, family: Family) -> None:
    """Wherever the clock that was refused lies: far off, or out of reach of some parts alone."""
    budget = Budget(style=style, family=family, clock_hz=1e12)
    named = set()
    for _ in range(3):
        with pytest.raises(InputError) as refused:
            fastest_within(NETWORK, budget, ACTIVITY)
        found = re.match(r"clock must be at most (\S+) MHz ", str(refused.value))
        assert found is not None
        named.add(found[1])
        budget = dataclasses.replace(budget, clock_hz=1.001e6 * float(found[1]))
    assert len(named) == 1
    budget = dataclasses.replace(budget, clock_hz=0.999e6 * float(named.pop()))
    require_mappable(NETWORK, fastest_within(NETWORK, budget, ACTIVITY))


def test_surroundings_are_paid_from_the_budget() -> None:
    encoder, certain = Encoder(kind=EncoderKind.HOLD, bits=2), Decision(rule=Rule.CERTAIN)
    plain = fastest_within(NETWORK, Budget(), ACTIVITY)
    luts = mapping_cost(NETWORK, plain, ACTIVITY, Family.ECP5).luts
    budget = Budget(luts=math.ceil(luts))
    assert fastest_within(NETWORK, budget, ACTIVITY) == plain
    early = fastest_within(NETWORK, budget, ACTIVITY, encoder=encoder, decision=certain)
    assert (early.encoder, early.decision) == (encoder, certain)
    assert not early.is_spatial
    assert mapping_cost(NETWORK, early, ACTIVITY, Family.ECP5).luts <= budget.luts


def test_loading_has_its_cost() -> None:
    def cost(weights: Weights) -> float:
        choice = Folded(lanes=12, weights=weights)
        mapping = Mapping(layers=((PLAIN, PLAIN), (choice,)))
        return mapping_cost(NETWORK, mapping, ACTIVITY, Family.ECP5).luts

    assert cost(Weights.LOADED) > cost(Weights.FIXED) + 500


@pytest.mark.parametrize(("style", "kind"), [(Style.SPATIAL, Spatial), (Style.FOLDED, Folded)])
def test_a_style_is_kept_by_every_layer(style: Style, kind: type) -> None:
    mapping = fastest_within(NETWORK, Budget(style=style), ACTIVITY)
    choices = [choice for layers in mapping.layers for choice in layers]
    assert {type(choice) for choice in [*choices, mapping.readout]} == {kind}
    require_mappable(NETWORK, mapping)


@pytest.mark.parametrize("lanes", [1, 5, 16, 64])
def test_folded_layers_have_the_lanes_that_are_asked_for(lanes: int) -> None:
    mapping = fastest_within(NETWORK, Budget(style=Style.FOLDED, lanes=lanes), ACTIVITY)
    require_mappable(NETWORK, mapping)
    for depth in range(NETWORK.depth):
        for engine in engines_at(NETWORK, depth):
            n = sum(NETWORK.branches[b].layers[depth].n_neurons for b in engine)
            assert {mapping.layers[b][depth].lanes for b in engine} == {min(lanes, n)}


def test_a_clock_out_of_reach_of_logic_is_told_where_all_must_stand_in_it() -> None:
    reachable = 1 / max(pipeline_depths(NETWORK, 1e6, Family.ECP5).least)
    budget = Budget(style=Style.SPATIAL, clock_hz=reachable * 1.01)
    message = re.escape(
        f"clock must be at most {1e-6 * reachable:.4g} MHz for this network on ecp5"
    )
    with pytest.raises(InputError, match=f"^{message}"):
        fastest_within(NETWORK, budget, ACTIVITY)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"lanes": 0}, "lanes must be 1 to 2048, not 0"),
        (
            {"lanes": 4, "style": Style.SPATIAL},
            "lanes must be left out where all is spatial, not 4",
        ),
    ],
)
def test_a_budget_that_does_not_fit_is_refused(members: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        Budget(**members)
