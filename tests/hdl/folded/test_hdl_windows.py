# amaranth: UnusedElaboratable=no
"""Convolutions streamed from memory: spikes, cycles, whole networks, and what must fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator
from test_hdl_folded import flow_through, packed

from convexon.errors import InputError
from convexon.plan.fold import plans_at
from convexon.plan.mapping import Folded, Weights
from convexon.plan.pipeline import Engine
from convexon.plan.windows import Loop, Walk, WindowPlan
from convexon.snn.models import golden
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import Reset
from convexon_hdl.folded import engine, updater, windows
from convexon_hdl.folded.engine import FoldedEngine
from convexon_hdl.folded.lane import LIFLane
from convexon_hdl.folded.walk import AddressWalk
from convexon_hdl.folded.windows import PixelLoader, WindowAccumulator
from convolutions import convolutional, spikes_for
from faulty_parts import mutated
from tiers import leading

# name, lanes, updates, bits of an input, reset
CASES = {
    "padded": ("padded", 2, 1, 1, Reset.SUBTRACT),
    "strided, in groups": ("strided, in groups", 1, 1, 2, Reset.ZERO),
    "pooled, then dense": ("pooled, then dense", 2, 2, 3, Reset.SUBTRACT),
    "pooled": ("pooled", 2, 2, 1, Reset.ZERO),
    "a signal": ("a signal", 3, 1, 1, Reset.NONE),
}


def case_of(name: str, **changes: Any) -> tuple[FixedPointNetwork, WindowPlan, np.ndarray]:
    """A network, the plan of its convolution, and inputs of two samples."""
    windows_of, lanes, updates, bits, reset = CASES[name]
    network = convolutional(
        windows_of, input_bits=bits, n_steps=2, first={"reset": reset}, **changes
    )
    choice = Folded(lanes=lanes, updates=updates)
    (plan,) = plans_at(network, {0: choice}, 0)
    assert isinstance(plan, WindowPlan)
    return network, plan, spikes_for(network, samples=2)


def transfers_of(plan: WindowPlan, inputs: np.ndarray) -> list[dict[str, int]]:
    last = inputs.shape[1] - 1
    return [
        {"inputs": packed(step, plan.input_bits), "first": t == 0, "last": t == last}
        for sample in inputs
        for t, step in enumerate(sample)
    ]


def expected(network: FixedPointNetwork, inputs: np.ndarray) -> list[int]:
    spikes = golden.run(network, inputs).layers[0][0].spikes
    return [packed(step, 1) for step in spikes.reshape(-1, spikes.shape[-1])]


def edges(plan: WindowPlan, steps: int) -> tuple[list[int], list[int]]:
    """Clocks at which steps enter and leave, from the schedule."""
    reads = plan.spikes_of_pass(np.zeros((steps, plan.input_bits, plan.n_sources), dtype=np.uint8))
    unit = Engine(plan, reads)
    taken, given, offered = [], [], 0
    for step in range(steps):
        taken.append(unit.take(step, offered))
        given.append(unit.valid)
        unit.leave(unit.valid)
        offered = taken[-1] + 1
    return taken, given


@pytest.mark.parametrize("name", leading(CASES, 3))
def test_engine_equals_golden_model_and_schedule(name: str) -> None:
    network, plan, inputs = case_of(name)
    transfers = transfers_of(plan, inputs)
    flow = flow_through(FoldedEngine(plan), transfers, len(transfers))
    assert [result.features for result in flow.results] == expected(network, inputs)
    tags = [(result.first, result.last) for result in flow.results]
    assert tags == [(transfer["first"], transfer["last"]) for transfer in transfers]
    taken, given = edges(plan, len(transfers))
    assert (flow.taken, flow.given) == (taken, given)


@pytest.mark.parametrize(("idle", "refuse"), [(0.0, 0.97), (0.9, 0.0)])
def test_engine_loses_nothing(idle: float, refuse: float) -> None:
    network, plan, inputs = case_of("pooled, then dense")
    transfers = transfers_of(plan, inputs)
    flow = flow_through(FoldedEngine(plan), transfers, len(transfers), idle=idle, refuse=refuse)
    assert [result.features for result in flow.results] == expected(network, inputs)


def walked(walk: Walk, clocks: int) -> list[tuple[int, ...]]:
    """Addresses of a component, clock after clock, with a pause at every other place."""
    component = AddressWalk(walk)
    found: list[tuple[int, ...]] = []
    ports = [getattr(component, f"address{k}") for k in range(len(walk.begins))]

    async def bench(ctx: Any) -> None:
        for clock in range(clocks):
            for advances in (0, 1) if clock % 2 else (1,):
                seen = tuple(ctx.get(port) for port in ports)
                ctx.set(component.advance, advances)
                await ctx.tick()
            found.append(seen)

    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return found


@pytest.mark.parametrize(
    "walk",
    [
        Walk(loops=(Loop(3, (1,)),), begins=(0,)),
        Walk(loops=(Loop(1, (5,)),), begins=(2,)),
        Walk(
            loops=(Loop(2, (0, 7)), Loop(1, (9, 9)), Loop(3, (4, 0)), Loop(2, (1, 3))),
            begins=(6, 0),
        ),
    ],
    ids=["one loop", "no loop", "two addresses"],
)
def test_addresses_are_those_of_nested_loops(walk: Walk) -> None:
    twice = np.concatenate([walk.addresses()] * 2).tolist()
    assert walked(walk, 2 * walk.clocks) == [tuple(each) for each in twice]


@pytest.mark.parametrize("name", list(CASES))
def test_the_plan_reads_each_synapse_once(name: str) -> None:
    """What the addresses say, without any hardware, is the matrix that the convolution means."""
    _, plan, _ = case_of(name)
    source_of = np.full(plan.pixels, -1)
    for source, address in plan.loading.addresses():
        assert source_of[address] == -1
        source_of[address] = source
    rows = plan.bank(0)
    reads = plan.reading.addresses().reshape(plan.folds, plan.input_bits, -1, 2)
    matrix = np.zeros_like(plan.layer.matrix)
    for fold, window in enumerate(reads[:, 0]):
        for pixel, weight in window.tolist():
            for lane in range(plan.choice.lanes):
                neuron = plan.places[fold * plan.choice.lanes + lane]
                if source_of[pixel] >= 0:
                    matrix[source_of[pixel], neuron] += rows[weight, lane]
    assert np.array_equal(matrix, plan.layer.matrix)


MUTANTS = {
    "an address off by one": (
        engine,
        mutated(WindowAccumulator, "eq(reading.address0)", "eq(reading.address0 + 1)"),
    ),
    "padding on the wrong side": (
        windows,
        mutated(PixelLoader, "eq(walk.address1)", "eq(walk.address1 - 1)"),
    ),
    "the membrane is not cleared": (
        updater,
        mutated(LIFLane, "Mux(self.first, 0, self.membrane)", "self.membrane"),
    ),
    "a wrong stride": (
        windows,
        mutated(AddressWalk, "(loop.count - 1) * loop.steps[k]", "loop.count * loop.steps[k]"),
    ),
    "weights by pixels": (
        engine,
        mutated(WindowAccumulator, "eq(reading.address1)", "eq(reading.address0)"),
    ),
    "the last read left out": (
        engine,
        mutated(WindowAccumulator, "token.any & spike", "token.any & spike & ~token.ends"),
    ),
    "the last pixel left out": (
        windows,
        mutated(PixelLoader, "self.enable.eq(taken)", "self.enable.eq(taken & ~self.i.ready)"),
    ),
    "features by places": (
        engine,
        mutated(FoldedEngine, "self.plan.places.argsort()", "self.plan.places"),
    ),
}


@pytest.mark.parametrize("fault", leading(MUTANTS, 4))
def test_faulty_windows_are_caught(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, mutant = MUTANTS[fault]
    network, plan, inputs = case_of("padded", seed=4)  # no weight at the end is 0
    unit = mutant if mutant.__name__ == "FoldedEngine" else FoldedEngine
    monkeypatch.setattr(place, mutant.__name__, mutant)
    transfers = transfers_of(plan, inputs)
    flow = flow_through(unit(plan), transfers, len(transfers))
    assert [result.features for result in flow.results] != expected(network, inputs)


def test_choices_that_no_window_has_are_refused() -> None:
    network = convolutional("padded")
    for choice, told in (
        (Folded(lanes=3), "must divide its 2 output channels of a group, which 3 does not"),
        (Folded(lanes=2, banks=2), "must have one bank of fixed weights, not 2 of fixed"),
        (Folded(lanes=2, weights=Weights.LOADED), "must have one bank of fixed weights"),
    ):
        with pytest.raises(InputError, match=told):
            plans_at(network, {0: choice}, 0)
