"""Tools that come as wheels, each run in a process of its own, in a folder of its own.

The first run of a YoWASP tool after its installation compiles WebAssembly and keeps the result in
``$YOWASP_CACHE_DIR``, else below ``$CONVEXON_CACHE``, else in the user's cache.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from convexon.errors import MissingToolError, ToolError

_CHILD = """
import sys
from {module} import {function}
sys.exit({call})
"""


@dataclass(frozen=True)
class Wheel:
    """A tool in a wheel.

    Members
    -------
    distribution, module, function : str
        Where it is.
    takes_arguments : bool
        Whether the function takes the arguments, or reads ``sys.argv``.
    """

    distribution: str
    module: str
    function: str
    takes_arguments: bool = True

    @property
    def version(self) -> str:
        """Version of the distribution; `MissingToolError` if it is not installed."""
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            raise MissingToolError(
                f"{self.distribution} is not installed: pip install {self.distribution}"
            ) from None


@dataclass(frozen=True)
class Ran:
    """What a run left.

    Members
    -------
    status : int
        Exit status.
    log : str
        All that it printed.
    files : mapping of str to bytes
        Of the outputs, those that there are.
    """

    status: int
    log: str
    files: Mapping[str, bytes]


def run(
    wheel: Wheel,
    arguments: Sequence[str],
    *,
    inputs: Mapping[str, bytes | str],
    outputs: Sequence[str] = (),
) -> Ran:
    """Run a tool where ``inputs`` are; names have no folder, as YoWASP shows it another /tmp.

    Raises
    ------
    MissingToolError
        If it is not installed.
    """
    if importlib.util.find_spec(wheel.module.partition(".")[0]) is None:
        raise MissingToolError(
            f"{wheel.distribution} is not installed: pip install {wheel.distribution}"
        )
    call = f"{wheel.function}({'sys.argv[1:]' if wheel.takes_arguments else ''})"
    child = _CHILD.format(module=wheel.module, function=wheel.function, call=call)
    with tempfile.TemporaryDirectory(prefix="convexon-tool-") as name:
        folder = Path(name)
        for file, content in inputs.items():
            (folder / file).write_bytes(content.encode() if isinstance(content, str) else content)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", child, *arguments],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        there = [file for file in outputs if (folder / file).is_file()]
        files = {file: (folder / file).read_bytes() for file in there}
    return Ran(done.returncode, done.stdout, files)


def require(ran: Ran, name: str, tool: str) -> bytes:
    """Return the output ``name``; `ToolError` with the tool's own words if there is none."""
    if ran.status or name not in ran.files:
        raise ToolError(f"{tool} failed: {last_error(ran.log)}")
    return ran.files[name]


def last_error(log: str) -> str:
    """Line of a log that says what went wrong."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return ((errors or lines or ["no output"])[-1]).removeprefix("ERROR:").strip()


def environment() -> dict[str, str]:
    """Environment of the process: its cache of compiled WebAssembly is ours, if that was moved."""
    variables = dict(os.environ)
    if "CONVEXON_CACHE" in variables:
        cache = Path(variables["CONVEXON_CACHE"]).absolute() / "yowasp"
        variables.setdefault("YOWASP_CACHE_DIR", str(cache))
    return variables
