"""The whole chain in one call, with independent stages side by side.

Synthesis needs the bundle only, and so do the simulators; the baselines need only the samples. They
run in threads, each with a process of its own behind it, so that two cores are busy.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Protocol

from convexon.flow import stage
from convexon.flow.run import RunFolder
from convexon.progress import Progress
from convexon.train.settings import SolveSettings


class Screen(Protocol):
    """Where a chain shows what it does; see `convexon.cli.console.Console`."""

    def stage(self, name: str) -> AbstractContextManager[Progress]:
        """Show progress while a stage runs."""

    def line(self, text: str) -> None:
        """Print a line that stays."""


def run_demo(folder: RunFolder, settings: SolveSettings, screen: Screen) -> None:
    """Run every stage into ``folder``; what is current is reused.

    Raises
    ------
    MismatchError
        If a simulator and the golden model disagree; the report is written all the same.
    ConvexonError
        Whatever a stage raises.
    """
    began = time.monotonic()
    simulation = importlib.import_module("convexon.flow.verify")
    kinds = simulation.chosen_simulators(None)

    def show(name: str, call: Callable[[Progress], Any]) -> Any:
        with screen.stage(name) as progress:
            result = call(progress)
        if hasattr(result, "summary"):
            screen.line(result.summary)
        return result

    def verify(kind: Any, progress: Progress) -> Any:
        return simulation.verify_stage(folder, kind, progress=progress)

    solved = show("solve", lambda p: stage("solve")(folder, settings, p))
    for text in solved.certificate_lines:
        screen.line(text)
    emitted = show("emit", lambda p: stage("emit")(folder, p))
    # Synthesis and the first simulator take longest and start together; the rest follow.
    synthesized, *verdicts, baselines = side_by_side(
        partial(show, "synthesize", lambda p: stage("synthesize")(folder, p)),
        *(partial(show, f"verify {kind.value}", partial(verify, kind)) for kind in kinds),
        partial(show, "baselines", lambda p: stage("baselines")(folder, settings, p)),
    )
    # A run that goes on where one was interrupted says nothing of how long a whole one takes.
    made = [solved.train, solved.solved, solved.card, emitted.bundle, synthesized.cells, baselines]
    if not any(artefact.reused for artefact in (*made, *(v.verification for v in verdicts))):
        folder.time("demo", time.monotonic() - began)
    show("report", lambda p: stage("report")(folder, progress=p))
    for verdict in verdicts:
        simulation.require_equal(verdict)


def side_by_side(*calls: Callable[[], Any]) -> list[Any]:
    """Run calls two at a time, in order, and return their results.

    An error or an interrupt cancels the calls that have not begun, and waits for those that have:
    what they make is kept, and the next run goes on from there.
    """
    with ThreadPoolExecutor(max_workers=2) as pool:
        futures = [pool.submit(call) for call in calls]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
