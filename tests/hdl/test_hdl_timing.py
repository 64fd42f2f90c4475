"""Pipeline depth chosen for a target clock."""

from __future__ import annotations

import re

import numpy as np
import pytest
from clock_model import estimated_clock_hz
from hdl_bench import random_layer, random_network

from convexon.errors import InputError
from convexon.plan.cost.budget import Budget, fastest_within
from convexon.plan.cost.mapping_cost import Activity
from convexon.plan.cost.timing import leak_adders
from convexon.plan.family import Family
from convexon.plan.mapping import Mapping, Spatial, Style
from convexon.snn.fixed import QFormat
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import INTEGRATE, MEMORYLESS, Leak, ReadoutMode


def _network(mode: ReadoutMode, *, recurrent: bool = False) -> FixedPointNetwork:
    rng = np.random.default_rng(6)
    deep = (
        random_layer(rng, 30, 8, weight_bits=6),
        random_layer(rng, 8, 6, recurrent=recurrent, saturation=QFormat(7) if recurrent else None),
    )
    shallow = (random_layer(rng, 30, 4, leak=Leak(10, 10)),)
    return random_network(rng, (deep, shallow), mode=mode, n_classes=5)


NETWORKS = {
    "count": _network(ReadoutMode.COUNT),
    "last": _network(ReadoutMode.LAST),
    "recurrent": _network(ReadoutMode.STEP, recurrent=True),
}


def registers(mapping: Mapping) -> list[int]:
    """All numbers of registers of a spatial mapping."""
    choices = [choice for layers in mapping.layers for choice in layers]
    chosen = [*choices, mapping.readout]
    return [c.registers for c in chosen if isinstance(c, Spatial)] + [mapping.decision_registers]


def registers_for(network: FixedPointNetwork, clock_hz: float, family: Family) -> Mapping:
    """Spatial mapping with the fewest registers that promise a clock."""
    budget = Budget(clock_hz=clock_hz, family=family, style=Style.SPATIAL)
    spikes = tuple((1.0,) * branch.depth for branch in network.branches)
    return fastest_within(network, budget, Activity(inputs=1.0, layers=spikes))


def fastest(network: FixedPointNetwork, family: Family) -> float:
    """What the refusal of an unreachable clock says."""
    with pytest.raises(InputError) as refused:
        registers_for(network, 1e12, family)
    found = re.fullmatch(
        rf"clock must be at most (\S+) MHz for this network on {family.value}, not 1e\+06 MHz: "
        "(layer 0|layer 1|the readout|the decision) is in the way",
        str(refused.value),
    )
    assert found is not None
    return 1e6 * float(found[1])


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("name", NETWORKS)
def test_registers_grow_with_the_clock_and_keep_it(name: str, family: Family) -> None:
    network = NETWORKS[name]
    limit = fastest(network, family) * 0.999  # the message has four digits
    before = [0] * 5
    for clock_hz in np.linspace(limit / 8, limit, 6):
        mapping = registers_for(network, float(clock_hz), family)
        chosen = registers(mapping)
        assert all(a <= b for a, b in zip(before, chosen, strict=True))
        assert estimated_clock_hz(network, mapping, family) >= clock_hz * (1 - 1e-9)
        before = chosen
    assert before != [0] * 5
    assert registers(registers_for(network, limit / 8, family)) == [0] * 5


def test_registers_are_not_one_too_many() -> None:
    network = NETWORKS["count"]
    clock_hz = fastest(network, Family.ECP5) * 0.9
    mapping = registers_for(network, clock_hz, Family.ECP5)
    readout = mapping.readout
    assert isinstance(readout, Spatial)
    for part in ("readout", "decision_registers"):
        fewer = dict(vars(mapping))
        if part == "readout":
            if not readout.registers:
                continue
            fewer[part] = Spatial(registers=readout.registers - 1)
        else:
            fewer[part] = mapping.decision_registers - 1
        assert estimated_clock_hz(network, Mapping(**fewer), Family.ECP5) < clock_hz


def test_model_meets_what_place_and_route_reached() -> None:
    """ECP5 speed grade 6, 40-16-10 of 6-bit weights: 70 MHz plain, 113 MHz with two registers.

    Other random weights, so a little more room than the model's own fit.
    """
    rng = np.random.default_rng(0)
    layers = (
        random_layer(rng, 40, 16, weight_bits=6, leak=Leak(1, 3)),
        random_layer(rng, 16, 10, weight_bits=6, leak=Leak(1, 3)),
    )
    network = random_network(rng, (layers,), mode=ReadoutMode.COUNT, n_steps=16, n_classes=10)
    for count, reached in ((0, 70.4e6), (2, 113.0e6)):
        mapping = Mapping.spatial(network, Spatial(registers=count))
        estimate = estimated_clock_hz(network, mapping, Family.ECP5)
        assert estimate == pytest.approx(reached, rel=0.25)


def test_leak_adders() -> None:
    counts = [leak_adders(leak) for leak in (INTEGRATE, MEMORYLESS, Leak(1, 3), Leak(10, 10))]
    assert counts == [0, 0, 1, 2]


def test_bad_arguments_are_refused() -> None:
    network = NETWORKS["count"]
    with pytest.raises(InputError, match=r"^clock_hz must be above 0, not 0$"):
        registers_for(network, 0, Family.ECP5)
