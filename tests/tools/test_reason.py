"""The line of a log that says what went wrong, by the form of each tool."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from convexon.tools import reason
from convexon.tools.process import run
from convexon.tools.reason import failure, keep_log, reason_of

VERILATOR = """\
%Warning-WIDTH: design.v:3:1: Operator ASSIGN expects 3 bits: no error
%Error: design.v:7:12: syntax error, unexpected ';'
    7 |   assign x = ;
      |              ^
%Error: design.v:9:1: Cannot continue
%Error: Exiting due to 2 error(s)
"""
COMPILER = """\
In file included from unit0.cc:1:
model/Vtop.cpp:12:9: error: 'x' was not declared in this scope
   12 |         x = raise_error(1);
model/Vtop.cpp:13:9: error: expected ';'
make[2]: *** [Vtop.mk:1: unit0.o] Error 1
"""
PYTHON = """\
Traceback (most recent call last):
  File "a.py", line 1, in f
    raise RuntimeError(
ValueError: the cause

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "b.py", line 3, in g
    raise ToolError("no error at all") from error
convexon.errors.ToolError: the last word
"""
COCOTB = """\
     0.00ns INFO     cocotb.regression   running bench (1/1)
    12.00ns WARNING  ..st_bench.bench    Traceback (most recent call last):
                                           File "bench.py", line 185, in bench
                                             raise RuntimeError(
                                         RuntimeError: no handle named x
"""


@pytest.mark.parametrize(
    ("log", "told"),
    [
        (VERILATOR, "design.v:7:12: syntax error, unexpected ';'"),
        ("%Error-UNSUPPORTED: a.v:1:1: no\n%Error: Exiting due to 1 error(s)\n", "a.v:1:1: no"),
        (COMPILER, "model/Vtop.cpp:12:9: error: 'x' was not declared in this scope"),
        ("c++: fatal error: no input files\n", "c++: fatal error: no input files"),
        ("design.v:1: syntax error\nI give up.\n", "design.v:1: syntax error"),
        ("1. Executing\nERROR: No such command: x\n", "No such command: x"),
        ("design.v:3: ERROR: syntax error, unexpected\n", "design.v:3: syntax error, unexpected"),
        ("Info: error rate\nERROR: Unable to place cell\n0 warnings\n", "Unable to place cell"),
        (PYTHON, "convexon.errors.ToolError: the last word"),
        (COCOTB, "RuntimeError: no handle named x"),
        ("KeyboardInterrupt\n", "KeyboardInterrupt"),
        ("make: *** [Makefile:3: all] Error 2\n", "[Makefile:3: all] Error 2"),
        ("/usr/bin/ld: cannot find -lx\n", "cannot find -lx"),
        ("one\ntwo\n\n", "two"),
        ("", "exit status 1 (no output)"),
    ],
)
def test_each_tool_s_own_form_is_known(log: str, told: str) -> None:
    assert reason_of(log) == told


@pytest.mark.parametrize("long", ["\n", " ", "x", "x.", ": ", ":1", "A", "E.A", "ld", "a b: \n"])
def test_a_long_log_is_searched_in_time_that_grows_with_it(long: str) -> None:
    log = long * 100_000 + "\nERROR: no\n"
    began = time.process_time()
    assert reason_of(log) == "no"
    assert time.process_time() - began < 2


def test_a_signal_is_named() -> None:
    assert reason_of("working\n", -11) == "it was ended by SIGSEGV (working)"
    assert reason_of("", -99) == "it was ended by signal 99 (no output)"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONVEXON_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_log_is_kept_and_named(cache: Path) -> None:
    error = run(
        ["sh", "-c", "echo first; echo ERROR: no; exit 1"], name="a tool", timeout=9
    ).failure
    (log,) = (cache / "logs").iterdir()
    assert str(error) == f"a tool failed: no (log: {log})"
    assert log.read_text() == "first\nERROR: no\n"


def test_the_same_log_is_kept_once_and_of_others_the_newest(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reason, "LOGS", 3)
    assert keep_log("tool", "same") == keep_log("tool", "same")
    kept = [keep_log("tool", f"{k}") for k in range(5)]
    for k, file in enumerate(kept):
        if file is not None and file.exists():
            os.utime(file, (k, k))
    last = keep_log("../../tool\n", "last")
    assert last is not None
    assert last.parent == cache / "logs"
    assert len(list((cache / "logs").iterdir())) == 3
    assert kept[0] is not None
    assert not kept[0].exists()


def test_without_a_cache_there_is_no_log_and_still_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CONVEXON_CACHE", str(tmp_path / "file"))
    assert str(failure("tool", "ERROR: no")) == "tool failed: no"


@pytest.mark.parametrize(
    ("log", "code"),
    [
        ("collect2: fatal error: ld terminated with signal 7 [Bus error]\n", 1),
        ("Bus error (core dumped)\n", 135),
        ("", -7),
        ("write: No space left on device\n", 1),
        ("OSError: [Errno 28] no room\n", 1),
    ],
)
def test_a_full_disk_is_told(log: str, code: int, cache: Path) -> None:
    assert "the disk is full, free space, or set CONVEXON" in str(failure("c++", log, code=code))


def test_a_disk_that_is_full_now_is_told_whatever_the_log_says(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "the disk is full" not in str(failure("c++", "odd\n", folder=tmp_path))
    full = reason.shutil._ntuple_diskusage(100, 100, 0)
    monkeypatch.setattr(reason.shutil, "disk_usage", lambda place: full)
    assert "the disk is full" in str(failure("c++", "odd\n", folder=tmp_path))
