"""The whole chain in one call, with independent stages side by side.

Synthesis needs the bundle only, and so do the simulators; the baselines need only the samples. They
run in threads, each with a process of its own behind it, so that two cores are busy.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, Protocol

from convexon.chain import stage
from convexon.chain.progress import Progress
from convexon.chain.settings import SolveSettings
from convexon.run import RunFolder


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
    simulation = importlib.import_module("convexon_sim.chain")
    kinds = simulation.chosen_simulators(None)

    def show(name: str, call: Callable[[Progress], Any]) -> Any:
        with screen.stage(name) as progress:
            result = call(progress)
        if hasattr(result, "summary"):
            screen.line(result.summary)
        return result

    # The pool is entered last and left first: an error in one stage waits for the others'
    # processes.
    with ThreadPoolExecutor(max_workers=2) as pool:
        solved = show("solve", lambda p: stage("solve")(folder, settings, p))
        for text in solved.certificate_lines:
            screen.line(text)
        emitted = show("emit", lambda p: stage("emit")(folder, p))
        # Two at a time: the longest first, the baselines when synthesis is done.
        jobs: list[Future[Any]] = [
            pool.submit(_verify_all, simulation, folder, kinds, show),
            pool.submit(show, "synthesize", lambda p: stage("synthesize")(folder, p)),
            pool.submit(show, "baselines", lambda p: stage("baselines")(folder, settings, p)),
        ]
        verdicts, synthesized, baselines = [job.result() for job in jobs]
    # A run that goes on where one was interrupted says nothing of how long a whole one takes.
    made = [solved.train, solved.solved, solved.card, emitted.bundle, synthesized.cells, baselines]
    if not any(artefact.reused for artefact in (*made, *(v.verification for v in verdicts))):
        folder.time("demo", time.monotonic() - began)
    show("report", lambda p: stage("report")(folder, progress=p))
    for verdict in verdicts:
        simulation.require_equal(verdict)


def _verify_all(
    simulation: Any, folder: RunFolder, kinds: list[Any], show: Callable[..., Any]
) -> list[Any]:
    """Run the simulators one after the other, so that synthesis keeps a core of its own."""
    return [
        show(
            f"verify {kind.value}",
            lambda p, kind=kind: simulation.verify_stage(folder, kind, progress=p),
        )
        for kind in kinds
    ]
