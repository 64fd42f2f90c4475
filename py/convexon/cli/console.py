"""What a command shows: a live line for a stage on a terminal, a line for each result anywhere."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from rich.console import Console as RichConsole
from rich.progress import Progress as RichProgress
from rich.progress import SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from convexon.store.untrusted import printable


def rich_console(**options: Any) -> RichConsole:
    """Return rich's console; a width that is none, or 0, it is not told of."""
    sizes = ("COLUMNS", "LINES")
    known = {
        k: v
        for k, v in os.environ.items()
        if k not in sizes or re.fullmatch("0*[1-9]\\d*", v, re.ASCII)
    }
    return RichConsole(highlight=False, _environ=known, **options)


class Summed(Protocol):
    """The result of a stage, which says in a line what came of it."""

    @property
    def summary(self) -> str:
        """The line with the figures that matter."""


T = TypeVar("T", bound=Summed)


class StageLine:
    """One stage's live line; a `convexon.progress.Progress`."""

    def __init__(self, live: RichProgress, task: TaskID) -> None:
        self._live = live
        self._task = task
        self._what = ""

    def begin(self, what: str) -> None:
        """Say what is being done now."""
        self._what = printable(what)
        self._live.update(self._task, what=self._what, detail="")

    def advance(self, detail: str) -> None:
        """Say how far it is."""
        self._live.update(self._task, what=self._what, detail=printable(detail))


class Console:
    """Live lines on a terminal; nothing but results elsewhere."""

    def __init__(self) -> None:
        self._rich = rich_console(soft_wrap=True)
        self._live = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.fields[what]}"),
            TextColumn("[dim]{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=self._rich,
            transient=True,
            disable=not sys.stdout.isatty(),  # a log gets lines, whatever FORCE_COLOR says
        )

    def __enter__(self) -> Console:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    @contextmanager
    def stage(self, name: str) -> Iterator[StageLine]:
        """Show a live line while a stage runs."""
        task = self._live.add_task(name, total=None, what=name, detail="")
        try:
            yield StageLine(self._live, task)
        finally:
            self._live.remove_task(task)

    def show(self, name: str, call: Callable[[StageLine], T]) -> T:
        """Run a stage behind its live line, and print what it says of its result."""
        with self.stage(name) as line:
            result = call(line)
        self.line(result.summary)
        return result

    def line(self, text: str) -> None:
        """Print a line that stays."""
        self._rich.print(printable(text), markup=False)
