"""The command line: help, exit codes, and one clear line for whatever a user can mend."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from cli_bench import SMALL, invoke, nothing_half_written

import convexon
from convexon.cli import COMMANDS, app
from convexon.data.loading import TOLD

# Help, version, and what is no command


@pytest.mark.parametrize(
    ("command", "promise"),
    [
        ("demo", "writes report.json, report.md and report.html"),
        ("solve", "write the network's silicon card"),
        ("emit", "Writes RUN/rtl (accelerator.v, ports.json, wrappers for VHDL and SystemVerilog"),
        ("map", "Choose for every layer whether it stands in logic or in block RAM"),
        ("prove", "prove"),
        ("weights", "weights"),
        ("verify", "compare with the golden model"),
        ("report", "Write report.json, report.md and report.html"),
        ("doctor", "say how to install what is missing"),
        ("predict", "Apply the network of RUN, or of a card's file, to new samples"),
        ("import", "Bring a trained network into a run folder"),
        ("explore", "print those that nothing beats"),
    ],
)
def test_every_commands_help_says_what_it_is_for(command: str, promise: str) -> None:
    result = invoke(command, "--help")
    assert (result.exit_code, result.stderr) == (0, "")
    assert invoke(command, "-h").stdout == result.stdout
    assert promise in " ".join(re.sub(r"[^\x20-\x7e]", " ", result.stdout).split())


def test_the_help_lists_every_command_in_the_order_of_the_chain() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    found = re.findall(rf"^  ({'|'.join(COMMANDS)}) ", result.stdout, re.MULTILINE)
    assert found == list(COMMANDS)


def test_every_option_says_what_it_is() -> None:
    for name in COMMANDS:
        for parameter in app.get_command(click.Context(app), name).params:
            assert isinstance(parameter, click.Argument) or parameter.help, parameter.name


def test_the_version_is_the_packages() -> None:
    result = invoke("--version")
    assert (result.exit_code, result.stdout) == (0, f"convexon {convexon.__version__}\n")


@pytest.mark.parametrize(
    "arguments", [["brew"], ["solve", "--nonsense"], ["solve", "--steps", "x"]]
)
def test_what_is_no_command_or_option_is_a_usage_error(arguments: list[str]) -> None:
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert arguments[-1].strip("-") in result.stderr or "--steps" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("sovle", "there is no command 'sovle': did you mean solve?"),
        ("reprot", "there is no command 'reprot': did you mean report?"),
        ("improt", "there is no command 'improt': did you mean import?"),
        ("zzz", f"there is no command 'zzz': it must be one of {', '.join(COMMANDS)}"),
    ],
)
def test_a_misspelt_command_is_told_the_nearest(typed: str, told: str) -> None:
    result = invoke(typed)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"convexon: {told}\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["solve", "--nonsense"], "no such option"),
        (["solve", "--steps", "x"], "--steps: 'x' is not a valid integer"),
        (["energy", "--samples", "0"], "--samples: 0 is not in the range x>=1"),
        (["verify", "--seed", "-1"], "--seed must be an integer of at least 0, not -1"),
    ],
    ids=str,
)
def test_a_usage_error_is_one_line_that_names_the_option(arguments: list[str], told: str) -> None:
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"convexon: {told}")
    assert result.stderr.count("\n") == 1


def test_no_command_is_the_help_and_a_usage_error() -> None:
    result = invoke()
    assert result.exit_code == 2
    assert result.stdout == invoke("--help").stdout == invoke("-h").stdout


# Processes


def process(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    hidden = ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
    return subprocess.run(
        [sys.executable, "-c", "from convexon.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**{k: v for k, v in os.environ.items() if k not in hidden}, **variables},
    )


def test_output_to_a_pipe_is_results_and_nothing_else(data: Path, tmp_path: Path) -> None:
    result = process("solve", tmp_path / "run", "--data", data, *SMALL, "--max-neurons", "6")
    assert (result.returncode, result.stderr) == (0, "")
    assert re.fullmatch(
        r"solve: \d+ columns, \d neurons, gap \S+, primal \S+, accuracy \S+ % train, \S+ % test\n"
        r"(certificate: .*\n){6}",
        result.stdout,
    )
    again = ("solve", tmp_path / "run", "--data", data, *SMALL, "--max-neurons", "6")
    assert process(*again).stdout == process(*again, FORCE_COLOR="1").stdout == result.stdout


def test_a_process_that_is_refused_exits_with_2_and_shows_no_traceback(tmp_path: Path) -> None:
    result = process("solve", tmp_path / "run", "--data", tmp_path / "none.npz")
    assert (result.returncode, result.stdout) == (2, "")
    message = f"{tmp_path / 'none.npz'} is missing: {TOLD}"
    assert result.stderr == f"convexon: {message}\n"


def test_an_interrupt_exits_with_130_and_says_that_the_run_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("convexon.flow.network.solve.solve_program", interrupted)
    result = invoke("solve", tmp_path / "run", "--data", data, *SMALL)
    assert result.exit_code == 130
    assert result.stderr == "convexon: interrupted: the same command goes on where it was\n"
    nothing_half_written(tmp_path / "run")
