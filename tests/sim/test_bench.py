"""The bench on both simulators: it passes what is right, and names the first thing that is not."""

# amaranth: UnusedElaboratable=no

from __future__ import annotations

import dataclasses
import re

import pytest
from amaranth.hdl import Const, Module, Mux, Value
from sim_bench import icarus, inputs_of, rich_network, small_network, verify, with_first_layer

from convexon import golden
from convexon.mapping import Mapping, Schedule
from convexon.network import FixedPointNetwork, Layer
from convexon.neuron import ReadoutMode, Reset
from convexon.simulator import Simulator, SimulatorKind, find
from convexon.trace import SpikeTrace, first_mismatch, mismatched_samples
from convexon_hdl.accelerator import Accelerator
from convexon_hdl.arithmetic import Operand, node
from convexon_hdl.lif import LIF, LIFUpdate
from convexon_hdl.readout import Argmax
from convexon_hdl.stage import Stage
from convexon_sim.job import SMOOTH, Traffic

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


@pytest.mark.parametrize("traffic", ["smooth", "both", "resets"])
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


class LeakTowardZero(LIFUpdate):
    """Rounds d * v / 2**f toward zero."""

    def leaked(self, m: Module, membrane: Operand) -> Operand:
        leak = self.parameters.leak
        product = membrane.value * leak.d
        loss = (product + Mux(product < 0, (1 << leak.f) - 1, 0)) >> leak.f
        return node(m, membrane.value - loss, membrane.interval, name="leaked")


class StrictThreshold(LIFUpdate):
    """Fires at u > theta."""

    def fired(self, integrated: Operand) -> Value:
        return integrated.value > self.parameters.threshold


def toward_zero(
    layer: Layer, j: int, v: int, inputs: list[int], previous: list[int]
) -> tuple[int, int]:
    """The golden model's step with the leak of `LeakTowardZero`."""
    loss = int(v * layer.leak.d / (1 << layer.leak.f))
    floor = (v * layer.leak.d) >> layer.leak.f
    changed = dataclasses.replace(layer, biases=layer.biases + floor - loss)
    return ORIGINAL_STEP(changed, j, v, inputs, previous)


def strict(layer: Layer, j: int, v: int, inputs: list[int], previous: list[int]) -> tuple[int, int]:
    """The golden model's step with the comparison of `StrictThreshold`."""
    quiet = dataclasses.replace(layer, reset=Reset.NONE)
    _, u = ORIGINAL_STEP(quiet, j, v, inputs, previous)
    threshold = int(layer.thresholds[j])
    return (1, u - threshold) if u > threshold else (0, u)


ORIGINAL_STEP = golden.neuron_step


@pytest.mark.parametrize(
    ("update", "step"), [(LeakTowardZero, toward_zero), (StrictThreshold, strict)]
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
    monkeypatch.setattr(LIF, "update_class", update)
    verdict = verify(icarus(), network)
    assert verdict.first == str(first_mismatch(expected, actual))
    assert verdict.first.startswith("membrane at sample ")
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
    monkeypatch.setattr(Accelerator, "stage_class", mutant)
    passes(icarus(), network, SMOOTH)
    verdict = verify(icarus(), network, traffic=Traffic(back_pressure=0.8, seed=2))
    assert re.search(message + PLACE, verdict.first or "")
    assert not verdict.passed


@pytest.mark.parametrize(
    ("mode", "what"),
    [(ReadoutMode.COUNT, "dropped valid"), (ReadoutMode.STEP, "changed its payload")],
)
def test_output_that_changes_while_it_is_stalled_is_noticed(
    mode: ReadoutMode, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = small_network(mode)
    monkeypatch.setattr(Accelerator, "argmax_class", HastyArgmax)
    passes(icarus(), network, SMOOTH)
    verdict = verify(icarus(), network, traffic=Traffic(back_pressure=0.6, seed=2))
    assert re.search(rf"^stream o {what} before the transfer, in clock \d+$", verdict.first or "")
    assert not verdict.passed


def test_result_a_clock_late_is_noticed() -> None:
    network = small_network()
    schedule = Schedule.of(network, Mapping.spatial(network))
    late = dataclasses.replace(schedule, n_stages=schedule.n_stages - 1)
    verdict = verify(icarus(), network, schedule=late)
    assert verdict.first == "latency at sample 0: expected 5 clocks, got 6"
    early = dataclasses.replace(schedule, n_stages=schedule.n_stages + 1)
    verdict = verify(icarus(), network, schedule=early)
    assert verdict.first == "latency at sample 0: expected 7 clocks, got 6"
    assert verdict.mismatches == 0
    assert not verdict.passed
