"""The volume runner: it says of every trial, clock for clock, what the bench on Icarus says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from convexon.data.encoder import Encoder, EncoderKind
from convexon.errors import InputError
from convexon.plan.image import weight_image
from convexon.plan.mapping import Folded, Mapping, Spatial
from convexon.plan.pipeline import Cycles
from convexon.snn.decision import Decision, Rule
from convexon.snn.models import golden
from convexon.snn.models.trace import first_mismatch, mismatched_samples
from convexon_sim.bench.job import Traffic
from convexon_sim.bench.packing import unpack
from convexon_sim.bench.runner import observe_all
from convexon_sim.programs.volume import run_volume
from convexon_sim.programs.words import integers, packed
from convexon_sim.simulator import SimulatorKind, find
from convexon_sim.trial import Observation, Trial
from rules_cases import Case
from sim_bench import (
    bundle_of,
    cycles_of,
    icarus,
    inputs_of,
    loaded_mapping,
    other_weights,
    rich_network,
)
from strategies import copied
from tiers import leading

pytestmark = pytest.mark.usefixtures("build_cache")

NETWORK = rich_network()
INPUTS = inputs_of(NETWORK, 300)
EXPECTED = golden.run(NETWORK, INPUTS)
CYCLES = cycles_of(NETWORK, INPUTS, EXPECTED)
TRIAL = Trial(bundle=bundle_of(NETWORK), inputs=INPUTS, expected=EXPECTED, cycles=CYCLES)


def volume(trial: Trial = TRIAL, **changes: object) -> Observation:
    changed = dataclasses.replace(trial, **changes)  # type: ignore[arg-type]
    return run_volume(changed, find(SimulatorKind.VERILATOR))


def test_right_hardware_passes_without_a_clock_lost() -> None:
    seen = volume()
    verdict = seen.verification
    assert verdict.passed
    assert verdict.finished
    assert (verdict.first, verdict.inferences, verdict.mismatches) == (None, 300, 0)
    steps = 300 * NETWORK.n_steps + int(CYCLES.latency[0]) - NETWORK.n_steps
    assert verdict.clocks == 2 + 1 + steps + 1 + 16
    assert seen.seconds > 0
    assert first_mismatch(EXPECTED, seen.actual) is None


@pytest.mark.parametrize("what", ["spikes", "membranes", "scores", "labels"])
def test_one_wrong_value_is_named_exactly(what: str) -> None:
    wrong = copied(EXPECTED)
    if what in ("scores", "labels"):
        getattr(wrong, what)[211, 0] ^= 1
    else:
        getattr(wrong.layers[1][0], what)[211, 3, 2] ^= 1
    verdict = volume(expected=wrong).verification
    assert verdict.first == str(first_mismatch(wrong, EXPECTED))
    assert (verdict.inferences, verdict.mismatches) == (300, 1)
    assert not verdict.passed


def test_first_of_several_wrong_values_is_named() -> None:
    wrong = copied(EXPECTED)
    for sample, step in ((250, 0), (17, 4), (17, 2)):
        wrong.layers[0][0].membranes[sample, step, 0] += 1
    wrong.layers[1][1].spikes[17, 3, 0] ^= 1
    verdict = volume(expected=wrong).verification
    assert verdict.first == str(first_mismatch(wrong, EXPECTED))
    assert verdict.mismatches == mismatched_samples(wrong, EXPECTED) == 2


def test_wrong_cycles_are_named() -> None:
    late = CYCLES.given + (np.arange(300) == 40)
    verdict = volume(cycles=Cycles(taken=CYCLES.taken, given=late)).verification
    latency = int(CYCLES.latency[0])
    assert verdict.first == f"latency at sample 40: expected {latency + 1} clocks, got {latency}"
    assert verdict.mismatches == 2, "its interval, and the next one's"


def test_only_verilator_without_stalls_runs_in_volume() -> None:
    with pytest.raises(InputError, match=r"^a volume run needs verilator, not icarus$"):
        run_volume(TRIAL, icarus())
    with pytest.raises(InputError, match=r"^a volume run never stalls nor resets: run traffic"):
        volume(traffic=Traffic(idle=0.1))


@pytest.mark.parametrize("width", [1, 3, 8, 31, 33])
def test_packing_is_undone_by_unpacking(width: int) -> None:
    rng = np.random.default_rng(width)
    values = rng.integers(-(1 << (width - 1)), 1 << (width - 1), (6, 5))
    words = packed(values, width)
    assert words.shape == (6, max(3, -(-5 * width // 32)))
    assert np.array_equal(unpack(integers(words), width=width, count=5, signed=True), values)


def loaded_trials() -> list[Trial]:
    """Weights that are loaded: right ones, those of another network, and a broken image."""
    case = Case(NETWORK, loaded_mapping(NETWORK))
    image = weight_image(NETWORK, case.mapping)
    other = weight_image(other_weights(NETWORK), case.mapping)
    broken = bytearray(image)
    broken[20] ^= 4
    return [case.trial(image=given) for given in (image, other, bytes(broken))]


def changed_trial(old: str, new: str, case: Case) -> Trial:
    """A trial of a design in whose text the first ``old`` is another."""
    assert old in case.bundle.verilog
    text = case.bundle.verilog.replace(old, new, 1)
    return case.trial(bundle=dataclasses.replace(case.bundle, verilog=text))


SPATIAL = Case(NETWORK, Mapping.spatial(NETWORK))
PAIRS = Folded(lanes=2, updates=2)
FOLDED = Case(NETWORK, Mapping(layers=((PAIRS,), (PAIRS, Spatial()))))
LEVELS = Encoder(kind=EncoderKind.HOLD, bits=2)
FIRST = Decision(rule=Rule.THRESHOLD, threshold=5)
EARLY = Case(NETWORK, dataclasses.replace(SPATIAL.mapping, encoder=LEVELS, decision=FIRST))
MANY = Case(NETWORK, dataclasses.replace(FOLDED.mapping, decision=FIRST))


def trials() -> dict[str, Trial]:
    """Trials of every kind of hardware, right and wrong."""
    right = {"spatial": SPATIAL, "folded": FOLDED, "early levels": EARLY, "early folded": MANY}
    found = {name: case.trial() for name, case in right.items()}
    for name, trial in zip(("loaded", "of another", "refused"), loaded_trials(), strict=True):
        found[name] = trial
    found["silent"] = changed_trial("o__valid <= ", "o__valid <= 1'h0 & ", SPATIAL)
    found["late"] = dataclasses.replace(
        found["early folded"], cycles=Cycles(taken=np.arange(12), given=np.arange(12) + 9)
    )
    return found


TRIALS = trials()


@pytest.mark.parametrize("name", leading(TRIALS, 3))
def test_volume_says_what_the_bench_says(name: str) -> None:
    (due,), seen = observe_all([TRIALS[name]], icarus()), volume(TRIALS[name])
    want = dataclasses.replace(due.verification, simulator="verilator", version="")
    assert dataclasses.replace(seen.verification, version="") == want
    assert first_mismatch(due.actual, seen.actual) is None
    right = {"spatial", "folded", "early levels", "early folded", "loaded"}
    assert seen.verification.passed is (name in right)
