"""``convexon study``: what it refuses, in one line that says what to change."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from convexon.cli import app


def study(task: str, run: Path, *options: str, data: str | None = None) -> Result:
    return CliRunner().invoke(app, ["study", task, str(run), *options], env={"CONVEXON_DATA": data})


STRINGS = "take longer strings or more training"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("automaton --symbols 0", "n_symbols must be at least 2, not 0"),
        ("automaton --symbols 1", "n_symbols must be at least 2, not 1"),
        ("automaton --length -1", "length must be at least 1, not -1"),
        ("automaton --length 0", "length must be at least 1, not 0"),
        ("xor --length 2", f"test strings must have both labels, not one: {STRINGS}"),
        ("xor --length 3", f"validation samples must have all 2 classes .*: {STRINGS} strings"),
        (
            "xor --length 4 --layers 5",
            f"validation samples must have all 2 classes .*: {STRINGS} strings",
        ),
        ("xor --readout-bits 1", "readout_bits must be 2 to 24, not 1"),
        ("xor --readout-bits 60", "readout_bits must be 2 to 24, not 60"),
        ("mnist --data x --train 50", "n_train must be at least 100, .*, not 50"),
        ("chess --base 3", "task must be one of addition, xor, automaton, mnist, not 'chess'"),
        (
            "xor --base 3",
            "--base must be left out for xor, which has --length, --layers, --disjoint, "
            "--train, --test",
        ),
        ("xor --no-carry", "--carry must be left out for xor, .*"),
        ("xor --data x", "--data must be left out for xor, .*"),
        ("addition --base 3 --train 99", "--train must be left out for addition, .*--carry"),
        # An option is refused whatever it says, its default included.
        ("mnist --length 11", "--length must be left out for mnist, .*"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(tmp_path: Path, line: str, message: str) -> None:
    task, *options = line.split()
    result = study(task, tmp_path / "run", *options)
    assert result.exit_code == 2, result.output
    assert re.fullmatch(f"convexon: {message}[^\n]*\n", result.stderr), result.stderr
    assert not (tmp_path / "run").exists()


def test_options_that_the_task_has_are_taken(tmp_path: Path) -> None:
    options = ("--length", "4", "--states", "2", "--symbols", "3", "--train", "40", "--test", "9")
    # The folder of digits may be set in the environment whatever is studied.
    result = study("automaton", tmp_path, *options, "--no-disjoint", "--seed", "1", data="/none")
    assert result.exit_code == 0, result.output
    summary = r"^study: \d+ last-layer neurons, \d+ in all, test \d+\.\d\d %$"
    assert re.search(summary, result.output, re.MULTILINE), result.output
    assert "certificate: " in result.output
