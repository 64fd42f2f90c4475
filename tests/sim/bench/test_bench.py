"""The bench on both simulators: it passes what is right, and names the first thing that is not."""

# amaranth: UnusedElaboratable=no

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from amaranth.hdl import Const, Module, Signal, Value

from convexon.plan.mapping import Mapping
from convexon.plan.pipeline import Cycles
from convexon.plan.schedule import Schedule
from convexon.snn.fixed import width_of
from convexon.snn.models import golden
from convexon.snn.models.trace import SpikeTrace, first_mismatch, mismatched_samples
from convexon.snn.network import FixedPointNetwork, Layer
from convexon.snn.neuron import ReadoutMode, Reset
from convexon_hdl.core.lif import LIFUpdate
from convexon_hdl.core.readout import Argmax
from convexon_hdl.core.stage import Stage
from convexon_sim.bench.job import SMOOTH, Traffic
from convexon_sim.simulator import Simulator, SimulatorKind, find
from faulty_parts import ComparesAfterReset, LeakTowardZero, ResetsBeforeStep, StrictThreshold
from sim_bench import (
    SIMULATIONS,
    icarus,
    inputs_of,
    rich_network,
    small_network,
    verify,
    with_first_layer,
)
from tiers import leading

pytestmark = pytest.mark.usefixtures("build_cache")

TRAFFIC = {
    "smooth": SMOOTH,
    "idle": Traffic(idle=0.4, seed=1),
    "back-pressure": Traffic(back_pressure=0.6, seed=2),
    "both": Traffic(idle=0.3, back_pressure=0.5, seed=3),
    "resets": Traffic(idle=0.2, back_pressure=0.3, resets=(0, 3, 4, 11), seed=4),
    "resets alone": Traffic(resets=(1, 1, 7), seed=5),
}

RICH = rich_network()
READOUTS = {mode: small_network(mode) for mode in ReadoutMode}


@pytest.fixture(autouse=True)
def recorded(request: pytest.FixtureRequest) -> Iterator[None]:
    """Notes in the JUnit file how many simulations a test ran: `.ci/verdict.py` adds them up."""
    before = SIMULATIONS.copy()
    yield
    for name, count in (SIMULATIONS - before).items():
        request.node.user_properties.append((f"simulations.{name}", count))


@pytest.fixture(params=SimulatorKind, ids=lambda kind: kind.value)
def simulator(request: pytest.FixtureRequest) -> Simulator:
    """Each simulator."""
    kind: SimulatorKind = request.param
    return icarus() if kind is SimulatorKind.ICARUS else find(kind)


def passes(tool: Simulator, network: FixedPointNetwork, traffic: Traffic) -> None:
    """The hardware of ``network`` does what the golden model does, in the promised cycles."""
    verdict = verify(tool, network, traffic=traffic)
    assert verdict.first is None
    assert verdict.passed
    assert verdict.finished
    assert (verdict.inferences, verdict.mismatches) == (12, 0)
    assert (verdict.simulator, verdict.version) == (tool.kind.value, tool.version)
    schedule = Schedule.of(network, Mapping.spatial(network))
    if traffic.is_smooth:
        assert verdict.latency_cycles == (schedule.latency_cycles,)
    assert min(verdict.latency_cycles) >= schedule.latency_cycles
    assert verdict.clocks >= 12 * network.n_steps


@pytest.mark.parametrize("traffic", TRAFFIC)
def test_hardware_equals_golden_model(simulator: Simulator, traffic: str) -> None:
    passes(simulator, RICH, TRAFFIC[traffic])


@pytest.mark.parametrize("traffic", leading(["both", "smooth", "resets"]))
@pytest.mark.parametrize("mode", ReadoutMode)
def test_every_readout_equals_golden_model(mode: ReadoutMode, traffic: str) -> None:
    passes(icarus(), READOUTS[mode], TRAFFIC[traffic])


def traces_of(
    network: FixedPointNetwork, mutant: FixedPointNetwork
) -> tuple[SpikeTrace, SpikeTrace]:
    """What the golden model says of a network, and of its mutant on the same inputs."""
    inputs = inputs_of(network, 12)
    return golden.run(network, inputs), golden.run(mutant, inputs)


def mutants_of(network: FixedPointNetwork) -> dict[str, FixedPointNetwork]:
    """The network with one number off by one, or one choice replaced."""
    first = network.branches[0].layers[0]

    def moved(name: str, place: tuple[int, ...], by: int) -> FixedPointNetwork:
        values = getattr(first, name).copy()
        values[place] += by
        return with_first_layer(network, **{name: values})

    readout = network.readout_weights.copy()
    readout[1, 0] -= 1
    return {
        "weight": moved("weights", (1, 2), 1),
        "threshold": moved("thresholds", (1,), -1),
        "bias": moved("biases", (0,), 1),
        "reset": with_first_layer(network, reset=Reset.ZERO),
        "readout": dataclasses.replace(network, readout_weights=readout),
    }


def rejects(tool: Simulator, network: FixedPointNetwork, mutant: FixedPointNetwork) -> str:
    """The bench rejects the mutant's hardware with the place where the models part; returns it."""
    expected, actual = traces_of(network, mutant)
    verdict = verify(tool, network, emitted=mutant)
    assert verdict.first == str(first_mismatch(expected, actual))
    assert verdict.mismatches == mismatched_samples(expected, actual) > 0
    assert verdict.finished
    assert verdict.inferences == 12
    assert not verdict.passed
    return verdict.first


@pytest.mark.parametrize("name", ["weight", "threshold", "bias", "reset"])
def test_hardware_with_one_wrong_number_is_named_exactly(name: str) -> None:
    network = small_network()
    text = rejects(icarus(), network, mutants_of(network)[name])
    place = r"^membrane at sample \d+, step \d+, branch 0, layer 0, neuron \d+: "
    assert re.search(place + r"expected -?\d+, got -?\d+$", text)


def test_hardware_with_one_wrong_readout_weight_is_named_exactly() -> None:
    network = small_network()
    text = rejects(icarus(), network, mutants_of(network)["readout"])
    assert re.search(r"^score at sample \d+, step 0, class 0: expected -?\d+, got -?\d+$", text)


def test_verilator_names_one_wrong_weight_exactly() -> None:
    network = small_network()
    rejects(find(SimulatorKind.VERILATOR), network, mutants_of(network)["weight"])


State = tuple[int, int]
"""Membrane and synaptic current; the networks here have none of the latter."""


def toward_zero(
    layer: Layer, j: int, state: State, inputs: list[int], previous: list[int]
) -> tuple[int, State]:
    """The golden model's step with the leak of `LeakTowardZero`."""
    loss = int(state[0] * layer.leak.d / (1 << layer.leak.f))
    floor = (state[0] * layer.leak.d) >> layer.leak.f
    changed = dataclasses.replace(layer, biases=layer.biases + floor - loss)
    return ORIGINAL_STEP(changed, j, state, inputs, previous)


def strict(
    layer: Layer, j: int, state: State, inputs: list[int], previous: list[int]
) -> tuple[int, State]:
    """The golden model's step with the comparison of `StrictThreshold`."""
    quiet = dataclasses.replace(layer, reset=Reset.NONE)
    _, (u, i) = ORIGINAL_STEP(quiet, j, state, inputs, previous)
    threshold = int(layer.thresholds[j])
    return (1, (u - threshold, i)) if u > threshold else (0, (u, i))


def wrapped(layer: Layer, j: int, value: int) -> int:
    """The value as the register of neuron ``j``, which was sized for the right contract, has it."""
    (ranges,) = small_network().ranges[0]
    half = 1 << (width_of(ranges.membrane[j]) - 1)
    return (value + half) % (2 * half) - half


def resets_before_step(
    layer: Layer, j: int, state: State, inputs: list[int], previous: list[int]
) -> tuple[int, State]:
    """The golden model's step with the reset of `ResetsBeforeStep`."""
    spike, (after, i) = ORIGINAL_STEP(layer, j, state, inputs, previous)
    if spike:
        after = wrapped(layer, j, state[0] - int(layer.thresholds[j]))
    return spike, (after, i)


def compares_after_reset(
    layer: Layer, j: int, state: State, inputs: list[int], previous: list[int]
) -> tuple[int, State]:
    """The golden model's step with the comparison of `ComparesAfterReset`."""
    quiet = dataclasses.replace(layer, reset=Reset.NONE)
    _, (u, i) = ORIGINAL_STEP(quiet, j, state, inputs, previous)
    left = u - int(layer.thresholds[j])
    spike = left >= int(layer.thresholds[j])
    return int(spike), (wrapped(layer, j, left if spike else u), i)


ORIGINAL_STEP = golden.neuron_step


@pytest.mark.parametrize(
    ("update", "step"),
    [
        (LeakTowardZero, toward_zero),
        (StrictThreshold, strict),
        (ResetsBeforeStep, resets_before_step),
        (ComparesAfterReset, compares_after_reset),
    ],
)
def test_neuron_with_wrong_arithmetic_is_named_exactly(
    update: type[LIFUpdate], step: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = small_network()
    inputs = inputs_of(network, 12)
    expected = golden.run(network, inputs)
    with monkeypatch.context() as patch:
        patch.setattr(golden, "neuron_step", step)
        actual = golden.run(network, inputs)
    monkeypatch.setattr("convexon_hdl.core.lif.LIFUpdate", update)
    verdict = verify(icarus(), network)
    assert verdict.first == str(first_mismatch(expected, actual))
    assert verdict.first.startswith("membrane at sample ")
    assert verdict.mismatches == mismatched_samples(expected, actual) > 0
    assert (verdict.finished, verdict.inferences) == (True, 12)
    assert not verdict.passed


class OverwritingStage(Stage):
    """Takes a step even while its own is not taken, which is then lost."""

    def can_accept(self) -> Value:
        return self.o.ready | ~self.o.ready  # always, with the port that the bench watches


class OnceOverwritingStage(Stage):
    """Does so for the last step of an inference alone: every result comes, and in order."""

    def can_accept(self) -> Value:
        return super().can_accept() | self.i.payload.last


class HastyArgmax(Argmax):
    """Gives up a decision that is not taken at once."""

    def can_accept(self) -> Value:
        return Const(1)


PLACE = r"; membrane at sample \d+, step \d+, branch 0, layer 0, neuron \d+: expected -?\d+, got -?"


@pytest.mark.parametrize(
    ("mutant", "mode", "message"),
    [
        (
            OverwritingStage,
            ReadoutMode.STEP,
            r"^\d+ of 24 results came within \d+ clocks: steps were lost, or a stream is stuck",
        ),
        (
            OnceOverwritingStage,
            ReadoutMode.COUNT,
            r"^branch 0 layer 0 completed \d\d of 24 steps: steps were lost or doubled",
        ),
    ],
)
def test_step_dropped_under_back_pressure_is_noticed(
    mutant: type[Stage], mode: ReadoutMode, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = dataclasses.replace(small_network(mode), n_steps=2)
    monkeypatch.setattr("convexon_hdl.accelerator.Stage", mutant)
    passes(icarus(), network, SMOOTH)
    verdict = verify(icarus(), network, traffic=Traffic(back_pressure=0.8, seed=2))
    assert re.search(message + PLACE, verdict.first or "")
    assert not verdict.finished
    assert 0 < verdict.mismatches <= verdict.inferences < 12, "the samples that came out whole"
    assert not verdict.passed


@pytest.mark.parametrize(
    ("mode", "what"),
    [(ReadoutMode.COUNT, "dropped valid"), (ReadoutMode.STEP, "changed its payload")],
)
def test_output_that_changes_while_it_is_stalled_is_noticed(
    mode: ReadoutMode, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = small_network(mode)
    monkeypatch.setattr("convexon_hdl.accelerator.Argmax", HastyArgmax)
    passes(icarus(), network, SMOOTH)
    verdict = verify(icarus(), network, traffic=Traffic(back_pressure=0.6, seed=2))
    assert re.search(rf"^stream o {what} before the transfer, in clock \d+$", verdict.first or "")
    assert not verdict.finished
    assert verdict.mismatches == 0, "what came before was right"
    assert not verdict.passed


PROMISE = Schedule.of(small_network(), Mapping.spatial(small_network()))


def promised(late: list[int], longer: int) -> Cycles:
    """What the schedule of the small network promises, and more for some samples, or for all."""
    samples = np.arange(12)
    extra = np.resize(late, 12)
    taken = samples * (PROMISE.initiation_interval_cycles + longer)
    return Cycles(taken=taken, given=taken + PROMISE.latency_cycles + extra)


LATE_ONCE = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("late", "longer", "first", "mismatches"),
    [
        ([-1], 0, "latency at sample 0: expected 5 clocks, got 6", 12),
        ([+1], 0, "latency at sample 0: expected 7 clocks, got 6", 12),
        ([0], -1, "interval at sample 1: expected 3 clocks, got 4", 11),
        ([+1], +1, "latency at sample 0: expected 7 clocks, got 6", 12),
        (LATE_ONCE, 0, "latency at sample 3: expected 7 clocks, got 6", 2),
    ],
)
def test_wrong_cycles_count_as_mismatched_samples(
    late: list[int], longer: int, first: str, mismatches: int
) -> None:
    verdict = verify(icarus(), small_network(), cycles=promised(late, longer))
    assert verdict.first == first
    assert (verdict.finished, verdict.inferences, verdict.mismatches) == (True, 12, mismatches)
    assert verdict.latency_cycles == (PROMISE.latency_cycles,)
    assert not verdict.passed


def test_cycles_are_not_held_against_a_run_that_stalls() -> None:
    cycles = promised([-1], 0)
    assert verify(icarus(), small_network(), cycles=cycles, traffic=TRAFFIC["both"]).passed


class HesitantArgmax(Argmax):
    """Rests for a clock before it takes a result of class 1."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        rested = Signal()
        pause = self.i.valid & (self.i.payload.scores[1] > self.i.payload.scores[0]) & ~rested
        m.d.sync += rested.eq(pause)
        with m.If(pause):
            m.d.comb += self.i.ready.eq(0)
            m.d.sync += self.o.valid.eq(self.o.valid & ~self.o.ready)
        return m

    def datapath(self, m: Module, accept: Value) -> None:
        super().datapath(m, self.i.valid & self.i.ready)


def test_samples_with_a_wrong_value_and_with_wrong_cycles_are_counted_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = small_network()
    monkeypatch.setattr("convexon_hdl.accelerator.Argmax", HesitantArgmax)
    assert verify(icarus(), network, traffic=TRAFFIC["both"]).passed, "late, and right"
    late = verify(icarus(), network)
    assert re.search(r"^(latency|interval) at sample \d+: expected \d clocks, got \d$", late.first)
    assert late.finished
    assert 0 < late.mismatches < 12
    mutant = mutants_of(network)["bias"]
    expected, actual = traces_of(network, mutant)
    both = verify(icarus(), network, emitted=mutant)
    assert both.first == str(first_mismatch(expected, actual)), "values are named before cycles"
    assert mismatched_samples(expected, actual) <= both.mismatches <= 12
    assert not both.passed


class StuckStage(Stage):
    """Takes ten steps and then no more."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        taken = Signal(range(16))
        m.d.sync += taken.eq(taken + (self.i.valid & self.i.ready))
        with m.If(taken == 10):
            m.d.comb += self.i.ready.eq(0)
            m.d.sync += self.o.valid.eq(self.o.valid & ~self.o.ready)
        return m


def test_design_that_is_stuck_is_judged_by_what_came_out_whole(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = small_network()
    monkeypatch.setattr("convexon_hdl.accelerator.Stage", StuckStage)
    verdict = verify(simulator, network)
    message = r"^2 of 12 results came within \d+ clocks: steps were lost, or a stream is stuck$"
    assert re.search(message, verdict.first or "")
    assert (verdict.finished, verdict.inferences, verdict.mismatches) == (False, 2, 0)
    assert not verdict.passed


def test_design_that_is_wrong_and_then_stuck_is_judged_by_what_came_out_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = small_network()
    monkeypatch.setattr("convexon_hdl.accelerator.Stage", StuckStage)
    mutant = mutants_of(network)["weight"]
    expected, actual = traces_of(network, mutant)
    verdict = verify(icarus(), network, emitted=mutant)
    message = r"^2 of 12 results came within \d+ clocks: steps were lost, or a stream is stuck"
    assert re.search(message + r"; membrane at sample \d, ", verdict.first or "")
    wrong = mismatched_samples(expected.head(2), actual.head(2))
    assert (verdict.finished, verdict.inferences, verdict.mismatches) == (False, 2, wrong)


class SilentArgmax(Argmax):
    """Never offers a result."""

    def produces(self) -> Value:
        return Const(0)


def test_design_without_any_result_has_no_inference_and_no_mismatch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("convexon_hdl.accelerator.Argmax", SilentArgmax)
    verdict = verify(icarus(), small_network())
    assert re.search(r"^0 of 12 results came within \d+ clocks: ", verdict.first or "")
    assert (verdict.finished, verdict.inferences, verdict.mismatches) == (False, 0, 0)
    assert verdict.latency_cycles == ()
    assert verdict.clocks > 0
    assert not verdict.passed


class RepeatingArgmax(Argmax):
    """Hands over the twelfth result twice."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        given = Signal(range(32))
        transfer = self.o.valid & self.o.ready
        m.d.sync += given.eq(given + transfer)
        with m.If(transfer & (given == 11)):
            m.d.sync += self.o.valid.eq(1)
        return m


def test_result_that_comes_twice_counts_against_the_last_sample(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("convexon_hdl.accelerator.Argmax", RepeatingArgmax)
    verdict = verify(icarus(), small_network())
    assert verdict.first == "1 results came after the last sample's: steps were doubled"
    assert (verdict.finished, verdict.inferences, verdict.mismatches) == (True, 12, 1)
    assert not verdict.passed


def argmax_with_last(last: Callable[[Argmax, Value], object]) -> type[Argmax]:
    """A decision whose ``last`` is what ``last`` makes of it."""

    class WrongLast(Argmax):
        def datapath(self, m: Module, accept: Value) -> None:
            super().datapath(m, accept)
            with m.If(accept):
                m.d.sync += self.o.payload.last.eq(last(self, self.i.payload.last))

    return WrongLast


@pytest.mark.parametrize(
    ("mode", "mutant", "first", "mismatches"),
    [
        (ReadoutMode.COUNT, lambda _, right: 0, "last at sample 0, step 0: expected 1, got 0", 12),
        (ReadoutMode.STEP, lambda _, right: 0, "last at sample 0, step 3: expected 1, got 0", 12),
        (ReadoutMode.STEP, lambda _, right: 1, "last at sample 0, step 0: expected 0, got 1", 12),
    ],
    ids=["count-never", "step-never", "step-always"],
)
def test_wrong_last_is_named_exactly(
    mode: ReadoutMode,
    mutant: Callable[[Argmax, Value], object],
    first: str,
    mismatches: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("convexon_hdl.accelerator.Argmax", argmax_with_last(mutant))
    verdict = verify(icarus(), small_network(mode))
    assert verdict.first == first
    assert (verdict.finished, verdict.inferences, verdict.mismatches) == (True, 12, mismatches)
    assert not verdict.passed


def test_last_that_is_wrong_for_some_samples_names_the_first_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = small_network()
    scores = golden.run(network, inputs_of(network, 12)).scores[:, 0]
    wrong = [k for k, (a, b) in enumerate(scores) if a > b]
    assert 0 < len(wrong) < 12
    mutant = argmax_with_last(
        lambda argmax, right: right & (argmax.i.payload.scores[0] <= argmax.i.payload.scores[1])
    )
    monkeypatch.setattr("convexon_hdl.accelerator.Argmax", mutant)
    verdict = verify(icarus(), network)
    assert verdict.first == f"last at sample {wrong[0]}, step 0: expected 1, got 0"
    assert (verdict.finished, verdict.mismatches) == (True, len(wrong))
