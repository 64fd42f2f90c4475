"""Mappings and the cycles that follow from them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given

from convexon.errors import InputError
from convexon.plan.mapping import Mapping, Spatial
from convexon.plan.schedule import Schedule
from convexon.snn.network import FixedPointNetwork
from strategies import layer_of, network_of, networks

ONE = layer_of([[1]], [1])


@given(networks())
def test_spatial_mapping_fits_every_network(network: FixedPointNetwork) -> None:
    mapping = Mapping.spatial(network)
    mapping.check(network)
    assert {choice for layers in mapping.layers for choice in layers} == {Spatial()}


@pytest.mark.parametrize(
    ("depths", "n_steps", "latency"), [((1,), 1, 3), ((1,), 4, 6), ((1, 3), 4, 8), ((2, 2), 5, 8)]
)
def test_cycles_by_hand(depths: tuple[int, ...], n_steps: int, latency: int) -> None:
    network = network_of(*((ONE,) * depth for depth in depths), n_steps=n_steps)
    schedule = Schedule.of(network, Mapping.spatial(network))
    assert schedule.latency_cycles == latency
    assert schedule.initiation_interval_cycles == n_steps


@pytest.mark.parametrize(
    ("depths", "message"),
    [
        ((1, 1), "mapping must have [2, 1] layers by branch, not [1, 1]"),
        ((2,), "mapping must have [2, 1] layers by branch, not [2]"),
    ],
)
def test_mapping_of_another_network_is_refused(depths: tuple[int, ...], message: str) -> None:
    network = network_of((ONE, ONE), (ONE,), n_steps=2)
    mapping = Mapping(layers=tuple((Spatial(),) * depth for depth in depths))
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        Schedule.of(network, mapping)
