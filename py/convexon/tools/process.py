"""Programs that this process starts: each with its children in a group, which ends as a whole.

A group ends when its program ends, when its time is over, and when this process ends, be it by an
interrupt, by SIGTERM or SIGHUP, or killed outright: its first member is a watcher that reads from a
pipe of ours, and kills the group when no one can write to it any more.
"""

from __future__ import annotations

import faulthandler
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from convexon.errors import ToolError
from convexon.tools.environment import environment, import_path
from convexon.tools.reason import failure, reason_of

T = TypeVar("T")
R = TypeVar("R")

LONGEST_SECONDS = 4 * 3600.0
"""Wall time of synthesis, place and route: far above that of a design that fills a part."""

MOST_OUTPUT = 64 << 20
"""Bytes that a program may write to its output: one that never stops must not fill the memory."""

_LOOK_SECONDS = 0.2
"""How often a program that writes nothing is looked after."""

_WATCHER = ("/bin/sh", "-c", "read -r _; kill -KILL 0")


@dataclass(frozen=True)
class Ended:
    """A program that came to its end.

    Members
    -------
    name : str
        What messages call it.
    code : int
        Its exit status; negative for the signal that ended it.
    output : str
        What it wrote to its output and to its error stream.
    folder : Path or None
        Where it ran.
    """

    name: str
    code: int
    output: str
    folder: Path | None = None

    @property
    def reason(self) -> str:
        """The line that says best what went wrong."""
        return reason_of(self.output, self.code)

    @property
    def failure(self) -> ToolError:
        """The error that says so, and names the log, which is kept."""
        return failure(self.name, self.output, code=self.code, folder=self.folder)

    def checked(self) -> str:
        """Return the output; raises `failure` if the exit status is not 0."""
        if self.code:
            raise self.failure
        return self.output


def with_deep_stack(command: Sequence[str]) -> list[str]:
    """Return a command that may use all the stack there is: Verilator recurses over designs."""
    raised = 'ulimit -s unlimited 2>/dev/null || ulimit -s "$(ulimit -H -s)"; exec "$@"'
    return ["/bin/sh", "-c", raised, "sh", *command]


def in_python(code: str, *arguments: str) -> list[str]:
    """Return a command that runs code in a Python of its own, which imports from where we do."""
    prelude = f"import sys; sys.path[:] = {import_path()!r}\n"
    flags = ("-I", "-X", "utf8", "-W", "ignore")  # isolated: no PYTHON variable, no user's site
    return [sys.executable, *flags, "-c", prelude + code, *arguments]


class _Group:
    """A watcher, and the program beside it."""

    def __init__(
        self, command: Sequence[str], folder: Path | None, variables: Mapping[str, str]
    ) -> None:
        reads, self._writes = os.pipe()
        try:
            self._watcher = subprocess.Popen(
                _WATCHER,
                stdin=reads,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                process_group=0,
            )
        except BaseException:
            os.close(self._writes)
            raise
        finally:
            os.close(reads)
        try:
            self.program = subprocess.Popen(
                command,
                cwd=folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                process_group=self._watcher.pid,
            )
        except BaseException:
            self._end_watcher()
            raise

    def kill(self) -> None:
        """Kill all of it; harmless when repeated, as the watcher's number is ours until `end`."""
        with suppress(ProcessLookupError):
            os.killpg(self._watcher.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill what is left of it, and collect both."""
        self.kill()
        if self.program.stdout is not None:
            self.program.stdout.close()
        self.program.wait()
        self._end_watcher()

    def _end_watcher(self) -> None:
        os.close(self._writes)
        self._watcher.wait()


_SCOPE: ContextVar[Scope | None] = ContextVar("scope", default=None)


class Scope:
    """The groups that are running for one purpose, so that they can be ended together."""

    def __init__(self) -> None:
        self._outer = _SCOPE.get()
        self._lock = threading.Lock()
        self._groups: set[_Group] = set()
        self._over = False

    def start(self, make: Callable[[], _Group]) -> _Group:
        """Start a group in this scope and all around it; `ToolError` if it was ended."""
        with self._lock:
            if self._over:
                raise ToolError("nothing more is started: what this was for has ended")
            group = make() if self._outer is None else self._outer.start(make)
            self._groups.add(group)
            return group

    def end_group(self, group: _Group) -> None:
        """End a group: nobody kills it any more when its number may be another's."""
        with self._lock:
            self._groups.discard(group)
            if self._outer is None:
                group.end()
            else:
                self._outer.end_group(group)

    def within(self, call: Callable[[], R]) -> Callable[[], R]:
        """Return a call that another thread is to make, in this scope."""

        def called() -> R:
            token = _SCOPE.set(self)
            try:
                return call()
            finally:
                _SCOPE.reset(token)

        return called

    def end(self) -> None:
        """Kill all groups, and start no more."""
        with self._lock:
            self._over = True
            for group in self._groups:
                group.kill()


_UNSCOPED = Scope()
"""Where programs are started that no `ended_together` is around: it is never ended itself."""


@contextmanager
def ended_together() -> Iterator[Scope]:
    """Give a scope: where its context ends by an error, all programs within are killed.

    Its `Scope.within` takes a call for another thread into it.
    """
    scope = Scope()
    token = _SCOPE.set(scope)
    try:
        yield scope
    except BaseException:
        scope.end()
        raise
    finally:
        _SCOPE.reset(token)


def side_by_side(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Return ``work`` of each item, from threads that wait for programs.

    Where one raises, or an interrupt comes, the programs of the others are killed.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool, ended_together() as scope:
        running = [pool.submit(scope.within(partial(work, item))) for item in items]
        try:
            for future in as_completed(running):
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in running]


@contextmanager
def started(
    command: Sequence[str],
    *,
    name: str = "",
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program, which ends with the context, and all that it started with it.

    Parameters
    ----------
    command : sequence of str
    name : str
        What messages call it; the program's own name by default.
    folder : Path or None
        Where it runs, and makes its temporary files; here by default.
    variables : mapping or None
        Variables besides those of `environment`.

    Raises
    ------
    ToolError
        If it cannot be started.
    """
    if folder is not None:
        variables = {"TMPDIR": ".", **(variables or {})}
    surroundings = environment(**(variables or {}))
    scope = _SCOPE.get() or _UNSCOPED
    try:
        group = scope.start(lambda: _Group(command, folder, surroundings))
    except OSError as error:
        told = error.strerror or error
        raise ToolError(f"{name or Path(command[0]).name} cannot be run: {told}") from error
    try:
        yield group.program
    finally:
        scope.end_group(group)


def run(
    command: Sequence[str],
    *,
    timeout: float,
    name: str = "",
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> Ended:
    """Run a program to its end, whatever its exit status; arguments as those of `started`.

    Raises
    ------
    ToolError
        If it cannot be started, does not end within ``timeout`` seconds, or writes more than
        `MOST_OUTPUT`.
    """
    name = name or Path(command[0]).name
    deadline = time.monotonic() + timeout
    with started(command, name=name, folder=folder, variables=variables) as program:
        try:
            output = _output(program, name, deadline)
            code = program.wait(max(0.0, deadline - time.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired):
            raise ToolError(f"{name} did not end within {timeout:g} seconds") from None
    return Ended(name, code, output, folder)


def _output(program: subprocess.Popen[bytes], name: str, deadline: float) -> str:
    """Read all that a program writes; `TimeoutError` where that does not end in time.

    It has ended though what it left running could still write: that is not waited for.
    """
    assert program.stdout is not None  # noqa: S101  (it was started with a pipe)
    pieces: list[bytes] = []
    size = 0
    with selectors.DefaultSelector() as selector:
        selector.register(program.stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            has_ended = program.poll() is not None
            if not selector.select(0.0 if has_ended else min(left, _LOOK_SECONDS)):
                if has_ended:
                    return b"".join(pieces).decode(errors="replace")
                continue
            piece = os.read(program.stdout.fileno(), 1 << 16)
            if not piece:
                return b"".join(pieces).decode(errors="replace")
            pieces.append(piece)
            size += len(piece)
            if size > MOST_OUTPUT:
                raise ToolError(
                    f"{name} wrote more than {MOST_OUTPUT >> 20} MiB of messages, and was stopped"
                )
    raise TimeoutError


def survives(work: Callable[[], object]) -> bool:
    """Whether a copy of this process lives through ``work``, whatever that raises.

    For libraries in C that a broken file may kill. Where there are no copies, on Windows, True.
    """
    if not hasattr(os, "fork"):
        return True
    with warnings.catch_warnings():
        # The copy has no other threads; it does this work alone, and ends.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        try:
            faulthandler.disable()
            work()
        finally:
            os._exit(0)
    try:
        return not os.WIFSIGNALED(os.waitpid(child, 0)[1])
    except BaseException:  # a signal to this process alone: the copy goes with it
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise


def end_with(parent: int) -> None:
    """End this process soon after ``parent``, which started it, has ended; for worker processes.

    Programs that it has started end with it.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.1)
        os._exit(128 + signal.SIGHUP)

    threading.Thread(target=watch, name="convexon-parent", daemon=True).start()
