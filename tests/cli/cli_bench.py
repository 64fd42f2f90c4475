"""What the tests of the command line share."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner, Result

from convexon.cli import app
from convexon.data.dataset import DATASET
from convexon.data.samples import SAMPLES
from convexon.store.artefact import load
from convexon.train.columns.dictionary import DICTIONARY
from convexon.train.solved import BRANCHES, SOLVED

SMALL = ("--steps", "4", "--witnesses", "20", "--fan-in", "3", "--rho", "0.01")
CODECS = {
    "train": DATASET,
    "test": DATASET,
    "branches": BRANCHES,
    "dictionary": DICTIONARY,
    "solution": SOLVED,
    "samples-train": SAMPLES,
    "samples-test": SAMPLES,
}


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(result: Result, message: str) -> None:
    """Exit code 2 and one line on stderr, which is ``convexon: message``, a pattern."""
    assert result.exit_code == 2, result.output
    assert re.fullmatch(f"convexon: {message}\n", result.stderr), result.stderr
    assert result.stdout == ""


def nothing_half_written(folder: Path) -> None:
    """Whatever lies in ``folder`` is a sound artefact of a stage that had ended."""
    files = {path.name for path in folder.iterdir()} if folder.exists() else set()
    for name in sorted(files - {".lock"}):
        stem = name.partition(".")[0]
        assert stem in CODECS, f"{name} was left"
        load(CODECS[stem], folder / f"{stem}.json")
