"""Programs that this package starts: each in a session of its own, which ends as a whole."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from convexon.errors import ToolError


@dataclass(frozen=True)
class Ended:
    """A program that came to its end.

    Members
    -------
    name : str
        What messages call it.
    code : int
        Its exit status.
    output : str
        What it wrote to its output and to its error stream.
    """

    name: str
    code: int
    output: str

    @property
    def reason(self) -> str:
        """The line that says best what went wrong: the first with an error, or else the last."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower()]
        return (errors or lines[-1:] or ["no output"])[0]

    def checked(self) -> str:
        """Return the output; `ToolError` if the exit status is not 0."""
        if self.code:
            raise ToolError(f"{self.name} failed: {self.reason}")
        return self.output


def with_deep_stack(command: Sequence[str]) -> list[str]:
    """Return a command that may use all the stack there is: Verilator recurses over designs."""
    raised = 'ulimit -s unlimited 2>/dev/null || ulimit -s "$(ulimit -H -s)"; exec "$@"'
    return ["sh", "-c", raised, "sh", *command]


@contextmanager
def started(
    command: Sequence[str],
    *,
    name: str = "",
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
) -> Iterator[subprocess.Popen[str]]:
    """Start a program, which ends with the context, and all that it started with it.

    Parameters
    ----------
    command : sequence of str
    name : str
        What messages call it; the program's own name by default.
    folder : Path or None
        Where it runs; here by default.
    environment : mapping or None
        Variables besides those of this process.
    stdin : int
        Nothing, or ``subprocess.PIPE``.

    Raises
    ------
    ToolError
        If it cannot be started.
    """
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise ToolError(f"{name or Path(command[0]).name} cannot be run: {error}") from error
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def run(
    command: Sequence[str],
    *,
    timeout: float,
    name: str = "",
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run a program to its end, whatever its exit status; arguments as those of `started`.

    Raises
    ------
    ToolError
        If it cannot be started, or does not end within ``timeout`` seconds.
    """
    name = name or Path(command[0]).name
    with started(command, name=name, folder=folder, environment=environment) as process:
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise ToolError(f"{name} did not end within {timeout:g} seconds") from None
    return Ended(name, process.returncode, output)
