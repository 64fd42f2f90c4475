"""The monitor of a layer that updates its neurons in groups, on signals that a test sets."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from convexon.errors import InputError, MismatchError
from convexon_sim.bench.agents import LayerMonitor

WIDTH = 5
PROBE: dict[str, Any] = {
    "kind": "updates",
    "branch": 1,
    "layer": 2,
    "neurons": 5,
    "offset": 0,
    "groups": 3,
    "valid": ["layer", "valid"],
    "base": {"path": ["layer", "base"], "width": 2},
    "spikes": {"path": ["layer", "spikes"], "width": 1, "count": 2},
    "membranes": {"path": ["layer", "membranes"], "width": WIDTH, "count": 2},
}
NAMES = ("valid", "base", "spikes", "membranes")


class Layer:
    """Signals of a layer, and the monitor that watches them."""

    def __init__(self, probe: dict[str, Any] = PROBE) -> None:
        self.signals = {name: SimpleNamespace(value=0) for name in (*NAMES, "ready")}
        self.monitor = LayerMonitor(SimpleNamespace(layer=SimpleNamespace(**self.signals)), probe)
        self.cycle = 0

    def edge(self, **values: object) -> None:
        self.cycle += 1
        for name in self.signals:
            self.signals[name].value = values.get(name, 0)
        self.monitor.sample(self.cycle)

    def group(self, base: int, spikes: int, *membranes: int) -> None:
        vector = sum((v % (1 << WIDTH)) << (k * WIDTH) for k, v in enumerate(membranes))
        self.edge(valid=1, base=base, spikes=spikes, membranes=vector)


def vector_of(*membranes: int) -> int:
    return sum((v % (1 << WIDTH)) << (k * WIDTH) for k, v in enumerate(membranes))


def test_groups_make_a_step_when_the_last_neuron_was_written() -> None:
    layer = Layer()
    layer.group(0, 0b01, 3, -4)
    layer.edge(base=2, spikes=3)  # not valid: nothing is written
    layer.group(1, 0b10, -16, 15)
    assert layer.monitor.spikes == []
    layer.group(2, 0b11, 7, 9)  # the second neuron of the last group does not exist
    assert layer.monitor.spikes == [0b1_10_01]
    assert layer.monitor.membranes == [vector_of(3, -4, -16, 15, 7)]
    for base in range(3):
        layer.group(base, 0, 0, 0)
    assert layer.monitor.spikes == [0b1_10_01, 0]


def test_a_layer_that_shares_its_groups_takes_its_own_neurons() -> None:
    layer = Layer({**PROBE, "neurons": 3, "offset": 1})
    for base, (spikes, one, two) in enumerate([(0b11, 1, 2), (0b01, 3, -4), (0b10, 5, 6)]):
        layer.group(base, spikes, one, two)
    assert layer.monitor.spikes == [0b0_1_1]
    assert layer.monitor.membranes == [vector_of(2, 3, -4)]


@pytest.mark.parametrize(("groups", "wrong", "due"), [([], 1, 0), ([0], 0, 1), ([0, 1], 3, 2)])
def test_group_out_of_order_is_named(groups: list[int], wrong: int, due: int) -> None:
    layer = Layer()
    for base in groups:
        layer.group(base, 0, 0, 0)
    message = (
        f"branch 1 layer 2 updated group {wrong} in clock {len(groups) + 1}, "
        f"where group {due} of 3 was due"
    )
    with pytest.raises(MismatchError, match=f"^{re.escape(message)}$"):
        layer.group(wrong, 0, 0, 0)


def test_reset_forgets_the_step_under_way() -> None:
    layer = Layer()
    for base in (0, 1, 2, 0, 1):
        layer.group(base, 0b11, 1, 1)
    layer.monitor.rewind(1)
    for base in range(3):
        layer.group(base, 0, base, base)
    assert layer.monitor.spikes == [0b11111, 0]
    layer.monitor.rewind(0)
    assert layer.monitor.spikes == layer.monitor.membranes == []


@pytest.mark.parametrize("name", NAMES)
def test_unknown_bits_are_no_number(name: str) -> None:
    layer = Layer()
    with pytest.raises(MismatchError, match=rf"^{name} of branch 1 layer 2 has unknown bits: X$"):
        layer.edge(**{"valid": 1, "base": 0, "spikes": 0, "membranes": 0, name: "X"})


def test_probe_without_a_kind_holds_registers_and_another_is_refused() -> None:
    probe = {name: value for name, value in PROBE.items() if name != "kind"}
    layer = Layer({**probe, "ready": ["layer", "ready"]})
    layer.edge(valid=1, spikes=2, membranes=3)
    assert layer.monitor.spikes == []
    layer.edge(valid=1, ready=1, spikes=2, membranes=3)
    assert (layer.monitor.spikes, layer.monitor.membranes) == ([2], [3])
    message = r"^kind of a probe must be one of registers, updates, not 'waves': emit the network"
    with pytest.raises(InputError, match=message):
        Layer({**PROBE, "kind": "waves"})
