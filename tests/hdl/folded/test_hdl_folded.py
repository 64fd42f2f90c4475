# amaranth: UnusedElaboratable=no
"""The folded mapping in Amaranth's simulator: spikes, results and cycles, and what must fail."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, Value
from amaranth.sim import Simulator
from hdl_bench import random_layer, random_network
from hypothesis import given, settings
from hypothesis import strategies as st

from convexon.errors import InputError
from convexon.plan.fold import FoldPlan, plans_at
from convexon.plan.mapping import Folded, Mapping, Spatial
from convexon.plan.pipeline import Engine
from convexon.plan.schedule import Schedule
from convexon.snn.fixed import QFormat
from convexon.snn.models import golden
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import Feature, Leak, LeakRounding, ReadoutMode, Reset
from convexon_hdl.accelerator import Accelerator
from convexon_hdl.folded import engine, scanner
from convexon_hdl.folded.accumulator import EventAccumulator
from convexon_hdl.folded.engine import FoldedEngine
from convexon_hdl.folded.scanner import EventScanner
from faulty_parts import mutated
from tiers import leading

LIMIT = 4000
"""Clocks after which a test gives up."""


def scan(scanner: EventScanner, patterns: list[int]) -> list[tuple[list[int], int]]:
    """Rows that a scanner lists of each pattern, and the clocks that it takes."""
    found: list[tuple[list[int], int]] = []

    async def bench(ctx: Any) -> None:
        for pattern in patterns:
            ctx.set(scanner.sources, pattern)
            ctx.set(scanner.start, 1)
            await ctx.tick()
            ctx.set(scanner.start, 0)
            rows, clocks, finished = [], 0, False
            while not finished and clocks < LIMIT:
                clocks += 1
                if ctx.get(scanner.valid):
                    rows.append(ctx.get(scanner.row))
                finished = bool(ctx.get(scanner.finishing))
                await ctx.tick()
            found.append((rows, clocks))

    simulator = Simulator(scanner)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return found


def expected_scan(pattern: int) -> tuple[list[int], int]:
    """What a scanner must say of ``pattern``."""
    rows = [k for k in range(pattern.bit_length()) if pattern >> k & 1]
    return rows, len(rows) + 3 if rows else 1


@pytest.mark.parametrize("n_sources", [1, 2, 5, 7])
def test_scanner_lists_every_pattern(n_sources: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanner, "WORD", 2)  # so that few sources make several groups
    patterns = list(range(1 << n_sources))
    found = scan(EventScanner(n_sources), patterns)
    assert found == [expected_scan(pattern) for pattern in patterns]


@pytest.mark.parametrize("n_sources", [15, 16, 17, 70])
def test_scanner_lists_random_patterns(n_sources: int) -> None:
    generator = random.Random(n_sources)
    patterns = [0, (1 << n_sources) - 1, *(generator.getrandbits(n_sources) for _ in range(20))]
    found = scan(EventScanner(n_sources), patterns)
    assert found == [expected_scan(pattern) for pattern in patterns]


HastyScanner = mutated(EventScanner, "~word_valid | ~rest.any()", "~word_valid | ~rest[:-1].any()")
"""Leaves a word while it still has a spike."""


def test_scanner_that_loses_a_spike_is_caught() -> None:
    patterns = list(range(1 << 5))
    assert scan(HastyScanner(5), patterns) != [expected_scan(pattern) for pattern in patterns]


def test_scanner_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match=r"^n_sources must be at least 1, not 0$"):
        EventScanner(0)


@dataclass
class Flow:
    """Transfers of a component, and their clocks."""

    taken: list[int] = field(default_factory=list)
    given: list[int] = field(default_factory=list)
    results: list[Any] = field(default_factory=list)


def flow_through(
    component: Any, transfers: list[Any], n_results: int, *, idle: float = 0, refuse: float = 0
) -> Flow:
    """Send ``transfers`` through ``i``, and take ``n_results`` from ``o``."""
    generator = random.Random(len(transfers))
    seen = Flow()
    clock = 0

    async def source(ctx: Any) -> None:
        for transfer in transfers:
            while generator.random() < idle:
                await ctx.tick()
            ctx.set(component.i.payload, transfer)
            ctx.set(component.i.valid, 1)
            await ctx.tick().until(component.i.ready)
            ctx.set(component.i.valid, 0)

    async def sink(ctx: Any) -> None:
        for _ in range(LIMIT):
            if len(seen.results) >= n_results:
                return
            ctx.set(component.o.ready, int(generator.random() >= refuse))
            await ctx.tick()

    async def watch(ctx: Any) -> None:
        nonlocal clock
        streams = (component.i, component.o)
        handshakes = [wire for stream in streams for wire in (stream.valid, stream.ready)]
        while True:
            *_, offered, accepts, valid, ready, payload = await ctx.tick().sample(
                *handshakes, component.o.payload
            )
            if offered and accepts:
                seen.taken.append(clock)
            if valid and ready:
                seen.given.append(clock)
                seen.results.append(payload)
            clock += 1

    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(source)
    simulator.add_testbench(watch, background=True)
    simulator.add_testbench(sink)
    simulator.run()
    return seen


def packed(step: np.ndarray, bits: int) -> int:
    """Inputs of a step side by side."""
    return sum(int(value) << (i * bits) for i, value in enumerate(step))


@dataclass(frozen=True)
class Case:
    """One folded layer and what it reads."""

    network: FixedPointNetwork
    plan: FoldPlan
    inputs: np.ndarray

    def engine(self) -> FoldedEngine:
        feature = self.network.readout_mode.feature
        return engine.FoldedEngine(self.plan, feature=feature, width=self.network.score_width)

    def transfers(self) -> list[dict[str, int]]:
        """Steps of all samples, one after the other."""
        last = self.network.n_steps - 1
        return [
            {"inputs": packed(step, self.plan.input_bits), "first": t == 0, "last": t == last}
            for sample in self.inputs
            for t, step in enumerate(sample)
        ]

    def expected(self) -> list[int]:
        """Features of every step, from the golden model."""
        trace = golden.run(self.network, self.inputs).layers[0][0]
        feature, width = self.network.readout_mode.feature, 1
        values = trace.spikes
        if feature is Feature.SIGN:
            values = trace.membranes >= 0
        elif feature is Feature.MEMBRANE:
            width = self.network.score_width
            values = trace.membranes & ((1 << width) - 1)
        return [packed(step, width) for step in values.reshape(-1, values.shape[-1])]

    def edges(self) -> tuple[list[int], list[int]]:
        """Clocks at which steps enter and leave, from the schedule."""
        spikes = golden.run(self.network, self.inputs).layers[0][0].spikes
        plan = self.plan
        passes = plan.spikes_of_pass(plan.sources_of_planes(self.inputs, spikes))
        unit = Engine(plan, passes.reshape(-1, plan.input_bits))
        taken, given, offered = [], [], 0
        for step in range(passes.shape[0] * passes.shape[1]):
            taken.append(unit.take(step, offered))
            given.append(unit.valid)
            unit.leave(unit.valid)
            offered = taken[-1] + 1
        return taken, given


def case(seed: int, **changes: Any) -> Case:
    """A random layer under a random folding, unless ``changes`` say otherwise."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 10))
    lanes = int(rng.integers(1, n + 1))
    divisors = [d for d in range(1, lanes + 1) if lanes % d == 0]
    chosen = {
        "n_inputs": int(rng.integers(1, 40)),
        "n": n,
        "lanes": lanes,
        "banks": int(rng.integers(1, 4)),
        "updates": int(rng.choice(divisors)),
        "bits": int(rng.integers(1, 4)),
        "recurrent": bool(rng.integers(2)),
        "saturation": (None, QFormat(5))[rng.integers(2)],
        "synapse": (None, Leak(1, 2, LeakRounding.ZERO))[seed % 2],
        "reset": list(Reset)[rng.integers(len(Reset))],
        "mode": (ReadoutMode.COUNT, ReadoutMode.SIGN)[rng.integers(2)],
        "activity": float(rng.random()),
        **({"mode": ReadoutMode.MEMBRANE} if seed % 4 == 2 else {}),
        **changes,
    }
    layer = random_layer(
        rng,
        chosen["n_inputs"],
        chosen["n"],
        leak=Leak(int(rng.integers(0, 9)), 3, list(LeakRounding)[seed % 2]),
        reset=chosen["reset"],
        recurrent=chosen["recurrent"],
        saturation=chosen["saturation"],
        synapse=chosen["synapse"],
        leaks=None if seed % 3 else rng.integers(0, 9, chosen["n"]),
        resets=None if chosen["reset"] is not Reset.ZERO else np.arange(chosen["n"]) % 3 - 1,
    )
    network = random_network(
        rng, ((layer,),), mode=chosen["mode"], n_steps=3, input_bits=chosen["bits"]
    )
    choice = Folded(lanes=chosen["lanes"], banks=chosen["banks"], updates=chosen["updates"])
    (plan,) = plans_at(network, {0: choice}, 0)
    shape = (3, network.n_steps, chosen["n_inputs"])
    values = rng.integers(0, 1 << chosen["bits"], shape)
    inputs = np.where(rng.random(shape) < chosen["activity"], values, 0).astype(np.uint8)
    return Case(network, plan, inputs)


def features_of(flow: Flow) -> list[int]:
    return [result.features for result in flow.results]


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**20))
def test_engine_equals_golden_model_and_schedule(seed: int) -> None:
    one = case(seed)
    transfers = one.transfers()
    flow = flow_through(one.engine(), transfers, len(transfers))
    assert features_of(flow) == one.expected()
    tags = [(result.first, result.last) for result in flow.results]
    assert tags == [(transfer["first"], transfer["last"]) for transfer in transfers]
    taken, given_at = one.edges()
    begin = flow.taken[0]
    assert [clock - begin for clock in flow.taken] == taken
    assert [clock - begin for clock in flow.given] == given_at


@pytest.mark.parametrize(("idle", "refuse"), [(0.0, 0.9), (0.9, 0.0), (0.5, 0.5)])
@pytest.mark.parametrize("seed", range(4))
def test_engine_loses_nothing(seed: int, idle: float, refuse: float) -> None:
    one = case(seed)
    transfers = one.transfers()
    flow = flow_through(one.engine(), transfers, len(transfers), idle=idle, refuse=refuse)
    assert features_of(flow) == one.expected()


class NoCredit(FoldedEngine):
    """Hands over without asking whether there is room."""

    def _permissions(self, m: Module, accumulator: EventAccumulator, completes: Value) -> None:
        m.d.comb += [accumulator.credit.eq(1), accumulator.settled.eq(1)]


class BeginsAtOne(EventAccumulator):
    """Counts a spike too many on every lane."""

    def starts(self) -> list[int]:
        return [1] * self.plan.choice.lanes


@pytest.mark.parametrize(
    ("place", "mutant", "refuse"),
    [
        ("engine.FoldedEngine", NoCredit, 0.9),
        ("engine.EventAccumulator", BeginsAtOne, 0.0),
        ("accumulator.EventScanner", HastyScanner, 0.0),
    ],
)
def test_faulty_engine_is_caught(
    place: str, mutant: type, refuse: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"convexon_hdl.folded.{place}", mutant)
    one = case(5, n_inputs=20, n=4, lanes=4, updates=2, recurrent=False, bits=1, activity=0.6)
    transfers = one.transfers()
    unit = one.engine()
    flow = flow_through(unit, transfers, len(transfers), refuse=refuse)
    assert features_of(flow) != one.expected()


KINDS = (
    Spatial(),
    Spatial(registers=2),
    Folded(lanes=1),
    Folded(lanes=2, banks=2, updates=2),
    Folded(lanes=3, banks=3),
)


def mixed_networks() -> Iterator[tuple[str, FixedPointNetwork, Mapping]]:
    """Two branches of different depth, each layer in another mapping, under every readout."""
    kinds = list(product(KINDS, repeat=2))
    for seed, mode in enumerate(ReadoutMode):
        for folded_readout in (False, True):
            rng = np.random.default_rng(seed)
            branches = (
                (random_layer(rng, 6, 4), random_layer(rng, 4, 3, recurrent=seed % 2 == 1)),
                (random_layer(rng, 6, 5, recurrent=seed % 2 == 0),),
            )
            network = random_network(rng, branches, mode=mode, n_steps=3, input_bits=2)
            first, second = kinds[(7 * seed + 11 * folded_readout) % len(kinds)]
            third = KINDS[(seed + 3 * folded_readout) % len(KINDS)]
            readout = (
                Folded(lanes=network.n_classes, banks=2)
                if folded_readout and not network.reads_membranes
                else KINDS[seed % 2]
            )
            mapping = Mapping(
                layers=((first, second), (third,)), readout=readout, decision_registers=seed % 2
            )
            yield f"{mode.value}-{folded_readout}", network, mapping


@pytest.mark.parametrize(
    ("network", "mapping"),
    [pytest.param(n, m, id=name) for name, n, m in mixed_networks()],
)
@pytest.mark.parametrize("refuse", leading([0.7, 0.0]))
def test_mixed_mappings_equal_golden_model_and_schedule(
    network: FixedPointNetwork, mapping: Mapping, refuse: float
) -> None:
    rng = np.random.default_rng(9)
    inputs = rng.integers(0, 4, (3, network.n_steps, network.n_inputs)).astype(np.uint8)
    trace = golden.run(network, inputs)
    transfers = [packed(step, 2) for step in inputs.reshape(-1, network.n_inputs)]
    flow = flow_through(
        Accelerator(network, mapping=mapping), transfers, trace.labels.size, refuse=refuse
    )
    classes = range(network.n_classes)
    assert [result.label for result in flow.results] == trace.labels.ravel().tolist()
    scores = [[result.scores[c] for c in classes] for result in flow.results]
    assert scores == trace.scores.reshape(-1, network.n_classes).tolist()
    if not refuse:
        cycles = Schedule.of(network, mapping).cycles(inputs, trace)
        begin = flow.taken[0]
        per_sample = trace.labels.shape[1]
        ends = flow.given[per_sample - 1 :: per_sample]
        assert [clock - begin for clock in flow.taken[:: network.n_steps]] == cycles.taken.tolist()
        assert [clock - begin for clock in ends] == cycles.given.tolist()


def test_signs_stay_with_the_branch_that_ends() -> None:
    """First layers alike in all else: one is weighed by its signs, one passes its spikes on."""
    rng = np.random.default_rng(4)
    branches = ((random_layer(rng, 5, 3),), (random_layer(rng, 5, 3), random_layer(rng, 3, 2)))
    network = random_network(rng, branches, mode=ReadoutMode.SIGN, n_steps=3)
    choice = Folded(lanes=3)
    mapping = Mapping(layers=((choice,), (choice, Folded(lanes=2))))
    inputs = rng.integers(0, 2, (4, 3, 5)).astype(np.uint8)
    trace = golden.run(network, inputs)
    transfers = [packed(step, 1) for step in inputs.reshape(-1, 5)]
    flow = flow_through(Accelerator(network, mapping=mapping), transfers, trace.labels.size)
    scores = [[result.scores[c] for c in range(network.n_classes)] for result in flow.results]
    assert scores == trace.scores.reshape(-1, network.n_classes).tolist()


def refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        call()


def test_what_cannot_be_folded_is_refused() -> None:
    rng = np.random.default_rng(0)
    network = random_network(rng, ((random_layer(rng, 3, 2),),))

    def accelerator(layer: Folded, readout: Folded | Spatial = KINDS[0]) -> Accelerator:
        return Accelerator(network, mapping=Mapping(layers=((layer,),), readout=readout))

    refused(
        lambda: accelerator(Folded(lanes=3)),
        "lanes of branch 0 layer 0 must be at most its 2 neurons, not 3",
    )
    refused(
        lambda: accelerator(Folded(lanes=1), Folded(lanes=2)),
        "lanes of the readout must be its 3 classes, not 2",
    )
    refused(lambda: Folded(lanes=4, updates=3), "updates must divide the 4 lanes, which 3 does not")
