"""``convexon explore``."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from explore_bench import N_POINTS, fewest_luts, results

from convexon.cli import app
from convexon.sweeps.stage import ExploreResult
from tiers import leading

SMALL = (
    *("--steps", "4", "--witnesses", "40", "--fan-in", "3", "--rho", "0.01"),
    *("--max-neurons", "4", "--max-neurons", "8"),
    *("--mapping", "spatial", "--mapping", "folded", "--lanes", "2", "--lanes", "4"),
)
"""The sweep of the bench."""

FILE = """
rho = [0.01]

[sweep]
steps = [4, 5, 6]
witnesses = 40
fan_in = 3
max_neurons = [4, 8]
mapping = ["spatial", "folded"]
lanes = [2, 4]
"""


def is_running(group: int) -> bool:
    """Whether a process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def explore(root: Path, *options: object) -> Result:
    return CliRunner().invoke(app, ["explore", str(root), *map(str, options)])


def test_options_and_a_file_say_the_same(
    explored: tuple[Path, ExploreResult], data: Path, tmp_path: Path
) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(FILE)
    ways = (SMALL, ("--sweep", path, "--steps", "4"))
    for k, options in enumerate(ways):
        root = tmp_path / f"root{k}"
        result = explore(root, "--data", data, "--jobs", "1", *options)
        assert result.exit_code == 0, result.output
        assert results(root) == results(explored[0])
        lines = result.stdout.splitlines()
        assert lines[:-1] == explored[1].table
        assert lines[-1] == explored[1].summary.replace(str(explored[0]), str(root))
        assert result.stderr == ""


def test_points_that_do_not_fit_are_counted_with_their_reason(
    explored: tuple[Path, ExploreResult], data: Path, tmp_path: Path
) -> None:
    luts = fewest_luts(explored[1])
    result = explore(tmp_path, "--data", data, "--jobs", "1", *SMALL, "--luts", luts)
    assert result.exit_code == 0, result.output
    assert re.match(r"\d of the points: budget must hold the smallest mapping", result.stdout)
    assert re.search(r"^explore: 6 points .*, [1-5] do not fit, ", result.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", "0"], "--steps must be an integer of 1 to 65536, not 0"),
        (
            ["--max-neurons", "4", "--max-neurons", "0"],
            "--max-neurons must be an integer of 1 to 65536, not 0",
        ),
        (
            ["--coding", "threshold", "--bits", "2"],
            "--bits must be 1 to 1 for threshold coding, not 2",
        ),
        (["--coding", "morse"], "--coding must be one of threshold, .*, not 'morse'"),
        (["--family", "z80"], "--family must be one of ecp5, ice40, gowin, not 'z80'"),
        (["--mapping", "any", "--lanes", "2"], "--lanes must come with folded mappings: .*"),
        (["--luts", "0"], "--luts must be an integer of at least 1, not 0"),
        (["--clock", "-1"], r"--clock must be a number above 0 that is finite, not -1\.0"),
        (["--rho", "-1"], r"--rho must be a number above 0 that is finite, not -1\.0"),
        (["--jobs", "0"], "--jobs: 0 is not in the range x>=1"),
        (["--jobs", "2", "--cluster", "tcp://x"], "--jobs must be left out with a cluster, .*"),
        (["--sweep", "none.toml"], "none.toml cannot be read: .*: give a TOML file with a sweep"),
        (["--data", ""], "--data must be 'digits' or a file's name, not ''"),
        (
            ["--data", "none.npz"],
            r".*none\.npz is missing: give an npz with features, .*",
        ),
    ],
    ids=" ".join,
)
def test_bad_options_are_refused_before_anything_is_written(
    data: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    result = explore(tmp_path / "root", "--data", data, *options)
    assert result.exit_code == 2, result.output
    assert re.fullmatch(f"convexon: {message}\n", result.stderr), result.stderr
    assert result.stdout == ""
    assert not (tmp_path / "root").exists()


def test_a_table_that_is_none_is_refused_whatever_the_options_say(
    data: Path, tmp_path: Path
) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text("sweep = 3\n")
    result = explore(tmp_path / "root", "--sweep", path, "--data", data, "--steps", "4")
    assert result.exit_code == 2, result.output
    assert result.stderr == "convexon: [sweep] must be a table, not 3\n"


def test_nothing_fits_is_an_error_after_the_reasons_are_written(data: Path, tmp_path: Path) -> None:
    result = explore(tmp_path, "--data", data, "--jobs", "1", *SMALL, "--luts", "10")
    assert result.exit_code == 2, result.output
    assert re.fullmatch(r"convexon: no point fits, see .*explore\.json: .*\n", result.stderr)
    assert (tmp_path / "explore.json").exists()


def test_a_cluster_does_the_same(
    explored: tuple[Path, ExploreResult], data: Path, tmp_path: Path, cluster: str
) -> None:
    result = explore(tmp_path / "root", "--data", data, *SMALL, "--cluster", cluster)
    assert result.exit_code == 0, result.output
    assert results(tmp_path / "root") == results(explored[0])
    assert result.stderr == ""


def test_a_cluster_builds_the_dictionary_of_a_solve(
    data: Path, tmp_path: Path, cluster: str
) -> None:
    small = ("--steps", "4", "--witnesses", "40", "--fan-in", "3", "--rho", "0.01")
    for name, more in (("threads", ()), ("cluster", ("--cluster", cluster))):
        options = ["solve", str(tmp_path / name), "--data", str(data), *small, *more]
        result = CliRunner().invoke(app, options)
        assert result.exit_code == 0, result.output
    cards = [(tmp_path / name / "card.json").read_bytes() for name in ("threads", "cluster")]
    assert cards[0] == cards[1]


@pytest.mark.parametrize("jobs", leading(["2", "1"]))
def test_an_interrupt_ends_in_a_line_and_the_same_command_goes_on(
    explored: tuple[Path, ExploreResult], data: Path, tmp_path: Path, jobs: str
) -> None:
    root = tmp_path / "root"
    arguments = ["explore", str(root), "--data", str(data), *SMALL, "--jobs", jobs]
    command = [sys.executable, "-m", "convexon.cli", *arguments]
    running = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that all its processes get the signal, as on a terminal
        # A suite in the background of a shell is started with the signal ignored: its children not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not list(root.glob("networks/*/branches.json")):
        assert running.poll() is None, running.stderr.read() if running.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.killpg(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert err == "convexon: interrupted: the same command goes on where it was\n"
    assert out == ""
    assert not (root / "explore.json").exists()
    while is_running(running.pid):  # none is left behind
        assert time.monotonic() < deadline
        time.sleep(0.05)
    kept = {path: path.stat().st_ino for path in root.glob("dictionaries/*/*.json")}
    assert kept
    again = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert again.stderr == ""
    assert f"explore: {N_POINTS} points" in again.stdout
    assert results(root) == results(explored[0])
    assert {path: path.stat().st_ino for path in kept} == kept
