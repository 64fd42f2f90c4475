"""The verdict of a whole test run: what was skipped or never simulated does not pass."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / ".ci" / "verdict.py"
SPEC = importlib.util.spec_from_file_location("ci_verdict", FILE)
assert SPEC is not None
assert SPEC.loader is not None
verdict = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(verdict)


def case(name: str, inside: str = "", **simulations: int) -> str:
    notes = "".join(
        f'<property name="simulations.{simulator}" value="{count}" />'
        for simulator, count in simulations.items()
    )
    properties = f"<properties>{notes}</properties>" if notes else ""
    return f'<testcase classname="tests.sim.test" name="{name}">{properties}{inside}</testcase>'


def judged(folder: Path, capsys: pytest.CaptureFixture[str], *cases: str) -> tuple[int, list[str]]:
    """Exit code and lines for these test cases."""
    path = folder / "tests.xml"
    path.write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")
    code = verdict.main(str(path))
    return code, capsys.readouterr().out.splitlines()


BOTH = case("test_both[smooth]", verilator=1, icarus=2)


def test_a_run_on_both_simulators_passes_and_says_how_many(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judged(tmp_path, capsys, BOTH, case("test_other"), case("test_one", icarus=3)) == (
        0,
        [
            "verilator: 1 simulations in 1 tests that passed",
            "icarus: 5 simulations in 2 tests that passed",
            "3 passed, 0 failed, 0 skipped",
        ],
    )


@pytest.mark.parametrize(
    "idle",
    [
        case("test_old_icarus_is_refused"),
        case("test_hardware[icarus-smooth]"),
        case("test_hardware[icarus-smooth]", icarus=0),
        case("test_hardware[icarus-smooth]", '<failure message="wrong" />', icarus=1),
        case("test_hardware[icarus-smooth]", '<skipped message="missing" />', icarus=1),
    ],
    ids=["name", "parameter", "nothing", "failed", "skipped"],
)
def test_a_simulator_that_only_appears_in_names_ran_nothing(
    idle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines = judged(tmp_path, capsys, case("test_hardware", verilator=1), idle)
    assert code == 1
    assert lines[-1] == "no simulation ran on icarus"


@pytest.mark.parametrize(
    ("inside", "counts"),
    [
        ('<failure message="wrong" />', "1 passed, 1 failed, 0 skipped"),
        ('<error message="broken" />', "1 passed, 1 failed, 0 skipped"),
        ('<skipped message="icarus is missing" />', "1 passed, 0 failed, 1 skipped"),
    ],
)
def test_a_test_that_did_not_pass_fails_the_run(
    inside: str, counts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines = judged(tmp_path, capsys, BOTH, case("test_it", inside))
    assert code == 1
    assert lines[-1] == counts
    if "skipped" in inside:
        assert lines[0] == "skipped: tests.sim.test.test_it: icarus is missing"
