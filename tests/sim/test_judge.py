"""The judge: a whole test set by the fastest way, and stalls where the bench runs anyway."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from amaranth.hdl import Const, Value

from convexon.plan.mapping import Mapping
from convexon.snn.models import golden
from convexon_hdl.core.readout import Argmax
from convexon_hdl.emit.emitter import emit
from convexon_sim import judge
from convexon_sim.bench.job import SMOOTH, Traffic
from convexon_sim.simulator import SimulatorKind, find
from convexon_sim.trial import Trial
from sim_bench import cycles_of, icarus, inputs_of, small_network

pytestmark = pytest.mark.usefixtures("build_cache")

NETWORK = small_network()
VERILATOR = SimulatorKind.VERILATOR


def trial(n_samples: int = 12, traffic: Traffic = SMOOTH) -> Trial:
    inputs = inputs_of(NETWORK, n_samples)
    expected = golden.run(NETWORK, inputs)
    return Trial(
        bundle=emit(NETWORK, Mapping.spatial(NETWORK)),
        inputs=inputs,
        expected=expected,
        cycles=cycles_of(NETWORK, inputs, expected),
        traffic=traffic,
    )


class HastyArgmax(Argmax):
    """Gives up a decision that is not taken at once: right in every run that never stalls."""

    def can_accept(self) -> Value:
        return Const(1)


def test_the_same_is_said_in_both_simulators() -> None:
    for count in (2, 40):  # fewer than the samples that come again, and more
        smooth = judge.observe(trial(count), icarus()).verification
        assert smooth.passed
        volume = judge.observe(trial(count), find(VERILATOR)).verification
        version = {"simulator": "icarus", "version": smooth.version}
        assert dataclasses.replace(volume, **version) == smooth


def test_a_fault_that_only_stalls_show_is_found_without_asking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("convexon_hdl.accelerator.Argmax", HastyArgmax)
    hasty = trial(30)
    verdict = judge.observe(hasty, icarus()).verification
    message = r"^with idle clocks, back-pressure and resets: stream o dropped valid before the tran"
    assert re.search(message, str(verdict.first))
    assert verdict.inferences == 30, "of the whole set, which is right"
    assert not verdict.passed


def test_traffic_that_is_asked_for_has_the_bench_in_verilator_too() -> None:
    seen = judge.observe(trial(traffic=Traffic(back_pressure=0.5, seed=1)), find(VERILATOR))
    assert seen.verification.passed
    assert np.unique(seen.actual.latency_cycles).size > 1, "it was stalled"
