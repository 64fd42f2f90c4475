"""The volume runner: right hardware passes, and what is wrong is named as the bench names it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sim_bench import bundle_of, cycles_of, icarus, inputs_of, rich_network

from convexon.errors import InputError, MismatchError
from convexon.plan.pipeline import Cycles
from convexon.snn import golden
from convexon.snn.trace import first_mismatch, mismatched_samples
from convexon_sim.bench.packing import unpack
from convexon_sim.programs.volume import VolumeResult, packed, run_volume
from convexon_sim.simulator import SimulatorKind, find
from strategies import copied

pytestmark = pytest.mark.usefixtures("build_cache")

NETWORK = rich_network()
INPUTS = inputs_of(NETWORK, 300)
EXPECTED = golden.run(NETWORK, INPUTS)
CYCLES = cycles_of(NETWORK, INPUTS, EXPECTED)


def volume(**changes: object) -> VolumeResult:
    members = {"inputs": INPUTS, "expected": EXPECTED, "cycles": CYCLES, **changes}
    return run_volume(bundle_of(NETWORK), find(SimulatorKind.VERILATOR), **members)  # type: ignore[arg-type]


def test_right_hardware_passes_without_a_clock_lost() -> None:
    result = volume()
    assert result.first is None
    assert (result.inferences, result.mismatches) == (300, 0)
    assert result.clocks == 300 * NETWORK.n_steps + CYCLES.latency[0] - NETWORK.n_steps + 16
    assert result.inferences_per_second == 300 / result.seconds
    result.require_equal()
    assert "300 inferences" in result.summary
    assert result.summary.endswith("all equal")


@pytest.mark.parametrize("what", ["spikes", "membranes", "scores", "labels"])
def test_one_wrong_value_is_named_exactly(what: str) -> None:
    wrong = copied(EXPECTED)
    if what in ("scores", "labels"):
        getattr(wrong, what)[211, 0] ^= 1
    else:
        getattr(wrong.layers[1][0], what)[211, 3, 2] ^= 1
    result = volume(expected=wrong)
    assert result.first == str(first_mismatch(wrong, EXPECTED))
    assert (result.inferences, result.mismatches) == (300, 1)
    with pytest.raises(MismatchError, match=r"^volume: 1 inferences differ; first "):
        result.require_equal()


def test_first_of_several_wrong_values_is_named() -> None:
    wrong = copied(EXPECTED)
    for sample, step in ((250, 0), (17, 4), (17, 2)):
        wrong.layers[0][0].membranes[sample, step, 0] += 1
    wrong.layers[1][1].spikes[17, 3, 0] ^= 1
    result = volume(expected=wrong)
    assert result.first == str(first_mismatch(wrong, EXPECTED))
    assert result.mismatches == mismatched_samples(wrong, EXPECTED) == 2


def test_wrong_cycles_are_named() -> None:
    late = CYCLES.given + (np.arange(300) == 40)
    result = volume(cycles=Cycles(taken=CYCLES.taken, given=late))
    latency = int(CYCLES.latency[0])
    assert result.first == f"latency at sample 40: expected {latency + 1} clocks, got {latency}"
    assert result.mismatches == 2, "its interval, and the next one's"


def test_only_verilator_runs_in_volume() -> None:
    with pytest.raises(InputError, match=r"^a volume run needs verilator, not icarus$"):
        run_volume(bundle_of(NETWORK), icarus(), inputs=INPUTS, expected=EXPECTED, cycles=CYCLES)


@pytest.mark.parametrize("width", [1, 3, 8, 31, 33])
def test_packing_is_undone_by_unpacking(width: int) -> None:
    rng = np.random.default_rng(width)
    values = rng.integers(-(1 << (width - 1)), 1 << (width - 1), (6, 5))
    words = packed(values, width, 7)
    assert words.shape == (6, 7)
    vectors = [int.from_bytes(row.tobytes(), "little") for row in words]
    assert np.array_equal(unpack(vectors, width=width, count=5, signed=True), values)


def test_lost_results_are_noticed() -> None:
    bundle = bundle_of(NETWORK)
    stuck = dataclasses.replace(
        bundle, verilog=bundle.verilog.replace("o__valid <= ", "o__valid <= 1'h0 & ", 1)
    )
    result = run_volume(
        stuck,
        find(SimulatorKind.VERILATOR),
        inputs=INPUTS,
        expected=EXPECTED,
        cycles=CYCLES,
    )
    assert (result.first or "").startswith("0 of 300 results came: steps were lost, or a stream")
    assert result.inferences == 0
