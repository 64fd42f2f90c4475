"""Random networks under random mappings, encoders and rules, all in one simulation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from convexon.data.encoder import LEVEL_KINDS, Encoder, EncoderKind
from convexon.snn.decision import Decision, Rule
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import ReadoutMode
from convexon_sim.bench.job import SMOOTH, Traffic
from convexon_sim.bench.runner import simulate_all
from rules_cases import N_SAMPLES, Case
from sim_bench import icarus
from strategies import networks_with_inputs, random_mapping

pytestmark = pytest.mark.usefixtures("build_cache")

N_NETWORKS = 6


def encoder_of(network: FixedPointNetwork, k: int) -> Encoder | None:
    """None for every third network, and each kind that it can read for the others."""
    if k % 3 == 0:
        return None
    if network.input_bits > 1:
        return Encoder(kind=EncoderKind.HOLD, bits=network.input_bits)
    kinds = [kind for kind in LEVEL_KINDS if kind is not EncoderKind.HOLD]
    kind = kinds[k % len(kinds)]
    return Encoder(kind=kind, bits=3, seed=k if kind is EncoderKind.RATE else None)


def decision_of(network: FixedPointNetwork, k: int) -> Decision:
    """The two early rules in turn, with a threshold within reach."""
    if k % 2:
        return Decision(rule=Rule.CERTAIN)
    highest = max(interval.high for interval in network.score_ranges)
    return Decision(rule=Rule.THRESHOLD, threshold=min(highest, max(1, highest // 4)))


def drawn() -> list[Case]:
    """Networks that count spikes, always the same ones."""
    cases: list[Case] = []

    @settings(
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        max_examples=N_NETWORKS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(networks_with_inputs())
    def collect(drawn_network: tuple[FixedPointNetwork, np.ndarray]) -> None:
        k, rng = len(cases), np.random.default_rng(len(cases))
        network = dataclasses.replace(
            drawn_network[0], readout_mode=ReadoutMode.COUNT, n_steps=int(rng.integers(1, 9))
        )
        mapping = dataclasses.replace(
            random_mapping(network, rng),
            decision=decision_of(network, k),
            encoder=encoder_of(network, k),
        )
        cases.append(Case(network, mapping))

    collect()
    return cases[:N_NETWORKS]


def test_random_rules_equal_their_twins() -> None:
    cases = drawn()
    assert len(cases) == N_NETWORKS
    early = [np.asarray(case.expected.steps) < case.network.n_steps for case in cases]
    assert sum(bool(which.any()) for which in early) > N_NETWORKS // 2
    rough = Traffic(idle=0.3, back_pressure=0.4, resets=(1, 6), seed=4)
    trials = [case.trial(traffic) for case in cases for traffic in (SMOOTH, rough)]
    for verdict in simulate_all(trials, icarus()):
        assert verdict.first is None
        assert verdict.passed
        assert verdict.inferences == N_SAMPLES
