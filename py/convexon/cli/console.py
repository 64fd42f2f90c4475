"""What a command shows: a live line for a stage on a terminal, a line for each result anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console as RichConsole
from rich.progress import Progress as RichProgress
from rich.progress import SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


class StageLine:
    """One stage's live line; a `convexon.progress.Progress`."""

    def __init__(self, live: RichProgress, task: TaskID) -> None:
        self._live = live
        self._task = task
        self._what = ""

    def begin(self, what: str) -> None:
        """Say what is being done now."""
        self._what = what
        self._live.update(self._task, what=what, detail="")

    def advance(self, detail: str) -> None:
        """Say how far it is."""
        self._live.update(self._task, what=self._what, detail=detail)


class Console:
    """Live lines on a terminal; nothing but results elsewhere."""

    def __init__(self) -> None:
        self._rich = RichConsole(highlight=False, soft_wrap=True)
        self._live = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.fields[what]}"),
            TextColumn("[dim]{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=self._rich,
            transient=True,
            disable=not self._rich.is_terminal,
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

    def line(self, text: str) -> None:
        """Print a line that stays."""
        self._rich.print(text, markup=False)
