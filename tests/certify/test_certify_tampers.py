"""A sample of all tampers; `python benchmarks/tampers.py` tries more than ten thousand."""

from __future__ import annotations

from pathlib import Path

import pytest
from judge import Judge
from tampering import RUNS, Outcome, Trial, cells_run, tampers

from convexon.certify.check import check_file

SAMPLE = 40
"""Tampers of each run."""


@pytest.fixture(scope="module", params=RUNS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return RUNS[request.param](tmp_path_factory.mktemp("tampered") / "run")


def test_the_judge_agrees_on_what_was_not_tampered_with(run: Path) -> None:
    assert disagreements(run) == []


def disagreements(run: Path) -> list[str]:
    """Claims that were checked, and that the judge finds false."""
    judge = Judge(run)
    findings = check_file(run).findings
    checked = [found.claim for found in findings if found.checked]
    assert len(checked) >= 10
    return [claim for claim in checked if not judge.is_true(claim)]


def test_no_tamper_is_believed_nor_breaks_the_checker(run: Path, tmp_path: Path) -> None:
    trial, outcome = Trial(run, tmp_path / "run"), Outcome()
    every = list(tampers(trial.forger))
    assert len(every) > 2000
    for tamper in every[:: len(every) // SAMPLE]:
        trial.run(tamper, outcome)
    assert outcome.total >= SAMPLE
    assert outcome.false == []
    assert outcome.tracebacks == []


def test_the_judge_agrees_on_logic_cells(tmp_path: Path) -> None:
    assert disagreements(cells_run(tmp_path / "run")) == []
