"""Random networks of every kind, many in one simulation, and the named corner cases."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from convexon.plan.mapping import Mapping, Spatial
from convexon.plan.schedule import Schedule
from convexon.snn.card import CARD
from convexon.snn.cells import OWN, cell_layer
from convexon.snn.fixed import QFormat
from convexon.snn.models import golden
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import MEMORYLESS, Leak, ReadoutMode, Reset
from convexon.store.artefact import canonical
from convexon_hdl.emit.emitter import emit
from convexon_sim.bench.job import SMOOTH, Traffic
from convexon_sim.bench.runner import simulate_all
from convexon_sim.simulator import Simulator, SimulatorKind, find
from convexon_sim.trial import Trial
from sim_bench import (
    SIMULATIONS,
    bundle_of,
    cycles_of,
    icarus,
    inputs_of,
    rich_network,
    small_network,
)
from strategies import layer_of, network_of, networks_with_inputs, random_mapping
from tiers import leading

pytestmark = pytest.mark.usefixtures("build_cache", "recorded")

N_DRAWN = 260
N_NETWORKS = 200
BATCH = 25
"""Networks of one simulation: more would only hold more memory."""

Case = tuple[FixedPointNetwork, np.ndarray]


@pytest.fixture
def recorded(request: pytest.FixtureRequest) -> object:
    """Note in the JUnit file how many simulations a test ran, as test_bench.py does."""
    before = SIMULATIONS.copy()
    yield
    for name, count in (SIMULATIONS - before).items():
        request.node.user_properties.append((f"simulations.{name}", count))


@functools.cache
def drawn() -> tuple[Case, ...]:
    """Distinct networks with inputs, always the same ones."""
    found: dict[bytes, Case] = {}

    @settings(
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        max_examples=N_DRAWN,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(networks_with_inputs())
    def collect(case: Case) -> None:
        content, _ = CARD.encode(case[0])
        found.setdefault(canonical(content), case)

    collect()
    return tuple(found.values())[:N_NETWORKS]


def mapping_of(network: FixedPointNetwork, k: int) -> Mapping:
    """The mapping of random network number ``k``: half of them spatial, half mixed."""
    if k % 2 == 0:
        return Mapping.spatial(network, Spatial(registers=k // 2 % 4))
    return random_mapping(network, np.random.default_rng(k))


def traffics_of(k: int, n_samples: int) -> list[Traffic]:
    """Smooth traffic for every network, and for every other one what may stall and reset it."""
    if k % 2:
        return [SMOOTH]
    resets = tuple(range(0, n_samples, 2))
    return [SMOOTH, Traffic(idle=0.3, back_pressure=0.5, resets=resets, seed=k)]


def trials_of(k: int, case: Case) -> list[Trial]:
    network, inputs = case
    mapping = mapping_of(network, k)
    bundle, expected = emit(network, mapping), golden.run(network, inputs)
    cycles = Schedule.of(network, mapping).cycles(inputs, expected)
    return [
        Trial(bundle=bundle, inputs=inputs, expected=expected, cycles=cycles, traffic=traffic)
        for traffic in traffics_of(k, len(inputs))
    ]


def all_pass(trials: list[Trial], simulator: Simulator) -> None:
    verdicts = simulate_all(trials, simulator)
    SIMULATIONS[simulator.kind.value] += len(verdicts)
    for trial, verdict in zip(trials, verdicts, strict=True):
        assert verdict.first is None
        assert verdict.passed
        assert verdict.inferences == len(trial.inputs)


def test_networks_are_many_and_of_every_kind() -> None:
    networks = [network for network, _ in drawn()]
    layers = [layer for n in networks for branch in n.branches for layer in branch.layers]
    assert len(networks) == N_NETWORKS
    assert {network.readout_mode for network in networks} == set(ReadoutMode)
    assert {layer.reset for layer in layers} == set(Reset)
    assert {len(network.branches) for network in networks} == {1, 2, 3}
    assert {network.depth for network in networks} == {1, 2, 3}
    assert {network.input_bits for network in networks} == {1, 2, 3}
    assert {layer.recurrent is None for layer in layers} == {True, False}
    assert {layer.saturation is None for layer in layers} == {True, False}


@pytest.mark.parametrize("first", leading(range(0, N_NETWORKS, BATCH)))
def test_random_networks_equal_the_golden_model_on_icarus(first: int) -> None:
    numbered = list(enumerate(drawn()))[first : first + BATCH]
    all_pass([trial for k, case in numbered for trial in trials_of(k, case)], icarus())


@pytest.mark.parametrize("first", leading([1, 11, 20, 30]))
def test_every_tenth_random_network_equals_the_golden_model_on_verilator(first: int) -> None:
    numbered = list(enumerate(drawn()))[first::40]
    assert len(numbered) == N_NETWORKS // 40
    trials = [trial for k, case in numbered for trial in trials_of(k, case)]
    all_pass(trials, find(SimulatorKind.VERILATOR))


def corner_cases() -> dict[str, FixedPointNetwork]:
    """Networks at the edges of what there is."""
    rng = np.random.default_rng(3)
    one = layer_of([[3]], [2], leak=Leak(1, 1))
    wide = layer_of(rng.integers(-2, 3, (4, 256)), rng.integers(1, 6, 256))
    deep = [layer_of(rng.integers(-3, 4, (3, 3)), [2, 1, 3], biases=[1, 0, 1]) for _ in range(8)]
    mixing = layer_of(
        rng.integers(-3, 4, (3, 4)), [3, 2, 4, 1], recurrent=rng.integers(-4, 5, (4, 4))
    )
    clamped = layer_of(np.full((4, 3), 7), [31, 31, 30], saturation=QFormat(6), reset=Reset.NONE)
    cases = {
        "toy": small_network(),
        "rich": rich_network(),
        "one neuron": network_of((one,), n_steps=3),
        "wide": network_of((wide,), n_steps=3, **narrow_readout(rng, 256)),
        "deep": network_of(tuple(deep), n_steps=4),
        "recurrent": network_of((mixing,), n_steps=6, readout_mode=ReadoutMode.STEP),
        "saturating": network_of((clamped,), n_steps=6, readout_mode=ReadoutMode.COUNT),
        "memoryless": network_of(
            (layer_of([[2, -1], [1, 3]], [2, 3], leak=MEMORYLESS),), n_steps=3
        ),
        "one step": network_of((layer_of([[2, -1], [1, 3]], [2, 3]),), n_steps=1),
        "logic cells": network_of(
            (
                cell_layer([[0, 2, 1], [1, OWN, 2]], rng.integers(0, 2, (2, 8)), n_inputs=3),
                cell_layer([[1, 0], [0, OWN]], [[0, 1, 1, 0], [0, 0, 0, 1]], n_inputs=2),
            ),
            n_steps=5,
            readout_mode=ReadoutMode.COUNT,
        ),
        "intensities": network_of((layer_of([[2, -1], [1, 3]], [9, 8]),), n_steps=4, input_bits=8),
    }
    for mode in ReadoutMode:
        for reset in Reset:
            layer = layer_of(rng.integers(-4, 5, (3, 4)), [3, 2, 4, 1], reset=reset)
            cases[f"{mode.value} {reset.value}"] = network_of(
                (layer,), n_steps=4, readout_mode=mode
            )
    return cases


def narrow_readout(rng: np.random.Generator, n_features: int) -> dict[str, np.ndarray]:
    return {
        "readout_weights": rng.integers(-7, 8, (n_features, 3)),
        "readout_biases": np.zeros(3, dtype=np.int64),
    }


@pytest.mark.parametrize(
    "kind", leading([SimulatorKind.ICARUS, SimulatorKind.VERILATOR]), ids=lambda kind: kind.value
)
def test_corner_cases_equal_the_golden_model(kind: SimulatorKind) -> None:
    trials = []
    for network in corner_cases().values():
        inputs = inputs_of(network, 6)
        expected = golden.run(network, inputs)
        cycles = cycles_of(network, inputs, expected)
        for traffic in (SMOOTH, Traffic(idle=0.2, back_pressure=0.6, resets=(2,), seed=1)):
            trials.append(
                Trial(
                    bundle=bundle_of(network),
                    inputs=inputs,
                    expected=expected,
                    cycles=cycles,
                    traffic=traffic,
                )
            )
    all_pass(trials, icarus() if kind is SimulatorKind.ICARUS else find(kind))


def reset_trials(network: FixedPointNetwork) -> list[Trial]:
    """One trial for every clock of an inference, and some beyond, with a reset in that clock."""
    inputs = inputs_of(network, 5)
    expected = golden.run(network, inputs)
    cycles = cycles_of(network, inputs, expected)
    latency = int(cycles.latency.max())
    return [
        Trial(
            bundle=bundle_of(network),
            inputs=inputs,
            expected=expected,
            cycles=cycles,
            traffic=Traffic(resets=(2,), reset_after=(clocks,)),
        )
        for clocks in range(1, 2 * latency + 1)
    ]


@pytest.mark.parametrize("mode", [ReadoutMode.COUNT, ReadoutMode.STEP])
def test_a_reset_in_any_clock_loses_the_inferences_under_way_alone(mode: ReadoutMode) -> None:
    network = dataclasses.replace(rich_network(), readout_mode=mode)
    all_pass(reset_trials(network), icarus())


def test_a_register_that_a_reset_forgets_is_noticed() -> None:
    network = rich_network()
    trials = reset_trials(network)
    bundle = bundle_of(network)
    lines = bundle.verilog.split("\n")
    place = next(
        k for k, line in enumerate(lines) if line.startswith("module \\accelerator.sequencer")
    )
    at = next(k for k in range(place, len(lines)) if "rst ?" in lines[k])
    lines[at] = lines[at].replace("rst ?", "1'h0 ?")
    mutant = dataclasses.replace(
        bundle, verilog="\n".join(lines).replace("reg [2:0] step;", "reg [2:0] step = 0;")
    )
    verdicts = simulate_all(
        [dataclasses.replace(trial, bundle=mutant) for trial in trials], icarus()
    )
    assert sum(not verdict.passed for verdict in verdicts) > len(verdicts) // 2
