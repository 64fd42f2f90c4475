"""Encoders and early decisions in simulation: what the bench drives, compares, and notices."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from convexon.data.encoder import Encoder, EncoderKind
from convexon.errors import InputError
from convexon.plan.mapping import Folded, Mapping, Spatial
from convexon.plan.schedule import Schedule
from convexon.snn.decision import Decision, Rule
from convexon.snn.network import FixedPointNetwork
from convexon_hdl.emit.emitter import emit
from convexon_sim.bench.job import SMOOTH, Traffic
from convexon_sim.bench.runner import observe_all, simulate_all
from convexon_sim.trial import Trial
from convexon_sim.verification import Verification
from rules_cases import N_SAMPLES, Case
from sim_bench import icarus, rich_network, small_network

pytestmark = pytest.mark.usefixtures("build_cache")

ROUGH = Traffic(idle=0.3, back_pressure=0.5, resets=(2, 5), seed=3)


def paired_network() -> FixedPointNetwork:
    """The small network on rises and falls of two channels."""
    small = small_network()
    weights = np.array([[3, -4, 2], [2, 5, -3], [-2, 3, 4], [5, 1, -1]])
    layer = dataclasses.replace(small.branches[0].layers[0], weights=weights)
    branch = dataclasses.replace(small.branches[0], layers=(layer,))
    return dataclasses.replace(small, branches=(branch,), n_steps=9)


def _cases() -> dict[str, Case]:
    small = dataclasses.replace(small_network(), n_steps=9)
    weights = np.random.default_rng(3).integers(-7, 8, (4, 3))
    rich = dataclasses.replace(rich_network(), n_steps=8, readout_weights=weights)
    bits = rich.input_bits
    spatial, mixed = (
        Mapping.spatial(small),
        Mapping(layers=((Folded(lanes=3),),), readout=Folded(lanes=2)),
    )
    rate = Encoder(kind=EncoderKind.RATE, bits=4, seed=9)
    certain = Decision(rule=Rule.CERTAIN)
    threshold = Decision(rule=Rule.THRESHOLD, threshold=7)
    far = Decision(rule=Rule.THRESHOLD, threshold=10)
    both = Mapping(
        layers=((Folded(lanes=3, banks=2),), (Spatial(registers=1), Spatial())),
        decision_registers=1,
    )
    hold = Encoder(kind=EncoderKind.HOLD, bits=bits)
    midpoint = Encoder(kind=EncoderKind.MIDPOINT, bits=3)
    delta = Encoder(kind=EncoderKind.DELTA, bits=6, resolution=3)
    crossing = Encoder(kind=EncoderKind.CROSSING, bits=6, resolution=2)
    return {
        "midpoint, certain": Case(
            small, dataclasses.replace(spatial, encoder=midpoint, decision=certain)
        ),
        "delta, threshold": Case(
            paired_network(), dataclasses.replace(spatial, encoder=delta, decision=threshold)
        ),
        "folded, crossing": Case(paired_network(), dataclasses.replace(mixed, encoder=crossing)),
        "rate": Case(small, dataclasses.replace(spatial, encoder=rate)),
        "certain": Case(small, dataclasses.replace(spatial, decision=certain)),
        "rate, threshold": Case(
            small, dataclasses.replace(spatial, encoder=rate, decision=threshold)
        ),
        "folded, certain": Case(small, dataclasses.replace(mixed, decision=certain)),
        "folded, rate, threshold": Case(
            small, dataclasses.replace(mixed, encoder=rate, decision=threshold)
        ),
        "rich, threshold": Case(rich, dataclasses.replace(both, decision=far)),
        "rich, hold, threshold": Case(rich, dataclasses.replace(both, encoder=hold, decision=far)),
    }


CASES = _cases()


def verdicts(trials: list[Trial]) -> tuple[Verification, ...]:
    return simulate_all(trials, icarus())


def test_rules_matter_in_these_cases() -> None:
    for case in CASES.values():
        if case.mapping.decision.is_early:
            assert case.expected.steps is not None
            assert len(set(case.expected.steps.tolist())) > 1


def test_everything_equals_the_twins() -> None:
    names = [(name, traffic) for name in CASES for traffic in (SMOOTH, ROUGH)]
    found = verdicts([CASES[name].trial(traffic) for name, traffic in names])
    for (name, _), verdict in zip(names, found, strict=True):
        assert (name, verdict.first) == (name, None)
        assert verdict.passed
        assert verdict.inferences == N_SAMPLES


@pytest.mark.parametrize("name", ["rate, threshold", "folded, certain"])
def test_a_reset_in_any_clock_loses_the_inferences_under_way_alone(name: str) -> None:
    case = CASES[name]
    latency = int(case.trial().cycles.latency.max())
    clocks = range(1, latency + 3, max(1, latency // 12))
    found = verdicts([case.trial(Traffic(resets=(4,), reset_after=(n,))) for n in clocks])
    assert {verdict.first for verdict in found} == {None}
    assert all(verdict.passed for verdict in found)


def test_hardware_trace_says_how_many_steps_it_took() -> None:
    case = CASES["rate, threshold"]
    (observed,) = observe_all([case.trial()], icarus())
    seen = observed.actual
    registers = sum(Schedule.of(case.network, case.mapping).stages)
    assert seen.steps is not None
    assert case.expected.steps is not None
    taken = np.minimum(case.network.n_steps, case.expected.steps + registers)
    assert seen.steps[:-1].tolist() == taken[:-1].tolist()
    assert (taken < case.network.n_steps).any()
    # Steps that it did not take are not compared, and stand at 0.
    for _, _, layer in seen.flat_layers():
        skipped = np.arange(case.network.n_steps) >= seen.steps[:, None]
        assert not layer.membranes[skipped].any()


def with_weight(network: FixedPointNetwork, by: int) -> FixedPointNetwork:
    """The network with one weight of its readout changed."""
    weights = network.readout_weights.copy()
    weights[1, 1] += by
    return dataclasses.replace(network, readout_weights=weights)


def test_wrong_hardware_is_noticed() -> None:
    case = CASES["rate, threshold"]
    network, mapping = case.network, case.mapping
    assert mapping.decision.threshold is not None
    later = Decision(rule=Rule.THRESHOLD, threshold=mapping.decision.threshold + 1)
    other = Encoder(kind=EncoderKind.RATE, bits=4, seed=10)
    first = dataclasses.replace(network.branches[0].layers[0], biases=np.array([0, -1, 2]))
    branch = dataclasses.replace(network.branches[0], layers=(first,))
    wrong = [
        emit(network, dataclasses.replace(mapping, decision=later)),
        emit(network, dataclasses.replace(mapping, encoder=other)),
        emit(with_weight(network, 1), mapping),
        emit(dataclasses.replace(network, branches=(branch,)), mapping),
    ]
    for verdict in verdicts([case.trial(bundle=bundle) for bundle in wrong]):
        assert not verdict.passed
        assert verdict.first is not None


def test_wrong_expectations_are_noticed() -> None:
    case = CASES["certain"]
    trial = case.trial()
    steps = case.expected.steps
    assert steps is not None
    late = dataclasses.replace(trial.cycles, given=trial.cycles.given + (np.arange(12) == 3))
    more = dataclasses.replace(case.expected, steps=np.full_like(steps, 10))
    changed = [
        (dataclasses.replace(trial, cycles=late), "latency at sample 3"),
        (dataclasses.replace(trial, expected=more), "steps at sample 0: expected 10, got 9"),
    ]
    found = verdicts([wrong for wrong, _ in changed])
    for verdict, (_, message) in zip(found, changed, strict=True):
        assert not verdict.passed
        assert message in str(verdict.first)


def test_steps_in_flight_are_compared_too() -> None:
    """A step after the decision that the hardware still takes must be right as well."""
    case = CASES["rate, threshold"]
    steps = case.expected.steps
    assert steps is not None
    sample = int(np.flatnonzero(steps < case.network.n_steps - 1)[0])
    layer = case.expected.layers[0][0]
    membranes = layer.membranes.copy()
    membranes[sample, steps[sample], 0] += 1  # the one after the deciding step
    layers = ((dataclasses.replace(layer, membranes=membranes),),)
    expected = dataclasses.replace(case.expected, layers=layers)
    (verdict,) = verdicts([dataclasses.replace(case.trial(), expected=expected)])
    place = f"membrane at sample {sample}, step {steps[sample]}, branch 0, layer 0, neuron 0"
    assert not verdict.passed
    assert str(verdict.first).startswith(place)


def test_levels_and_steps_are_not_confused() -> None:
    case = CASES["rate"]
    message = "inputs must have 1 transfers a sample, as ports.json says, not 9"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        dataclasses.replace(case.trial(), inputs=case.steps)
