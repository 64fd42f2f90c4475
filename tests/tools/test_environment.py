"""What programs see of the environment, and where the cache is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from convexon.errors import ToolError
from convexon.tools.environment import cache_folder, environment, require_cache
from convexon.tools.process import run
from scripts import HOSTILE


def test_programs_get_the_allow_list_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(HOSTILE) >= 40
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    seen = dict(line.split("=", 1) for line in run(["env"], timeout=10).output.splitlines())
    assert set(seen) <= {"PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "LC_ALL", "PYTHONUTF8", "PWD"}
    assert seen["PATH"] == os.environ["PATH"]
    assert run(["env"], timeout=10, variables={"MORE": "1"}).output.count("MORE=1") == 1


def test_messages_are_in_english(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LANG", "LC_ALL", "LC_MESSAGES", "LANGUAGE"):
        monkeypatch.setenv(name, "de_DE.UTF-8")
    assert environment()["LC_ALL"] == "C"
    assert not {"LANG", "LANGUAGE", "LC_MESSAGES"} & set(environment())


def test_cache_follows_its_variable_and_the_user_s_cache_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("CONVEXON_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.setenv("CONVEXON_CACHE", "")
    assert cache_folder() == tmp_path / "xdg" / "convexon"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / "home" / ".cache" / "convexon"
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert cache_folder() == tmp_path / ".cache" / "convexon"
    monkeypatch.setenv("CONVEXON_CACHE", "relative")
    monkeypatch.chdir(tmp_path)
    assert cache_folder() == tmp_path / "relative"


def test_a_user_without_a_home_is_told_of_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONVEXON_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    with pytest.raises(ToolError, match=r"^the cache has no place, .*: set CONVEXON_CACHE to "):
        require_cache()


@pytest.mark.parametrize("variable", ["CONVEXON_CACHE", "XDG_CACHE_HOME", "HOME"])
def test_a_cache_that_cannot_be_written_is_told_of_the_variable(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CONVEXON_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "file").touch()
    monkeypatch.setenv(variable, str(tmp_path / "file"))
    pattern = rf"^the cache cannot be written in {re.escape(str(tmp_path))}/file.*: set CONVEXON_CA"
    with pytest.raises(ToolError, match=pattern):
        require_cache()


@pytest.mark.parametrize("command", [["doctor"], ["verify", "RUN"], ["run", "RUN", "--simulate"]])
def test_commands_tell_of_the_cache_before_any_work(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = subprocess.run(
        [sys.executable, "-m", "convexon.cli", *command],
        env={**os.environ, "CONVEXON_CACHE": str(tmp_path / "file"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 2
    told = done.stdout if command == ["doctor"] else done.stderr
    assert "the cache cannot be written" in told
    assert "CONVEXON_CACHE" in told
    assert "Traceback" not in done.stderr
