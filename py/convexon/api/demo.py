"""The whole chain in one call, with independent stages side by side.

Synthesis needs the bundle only, and so do the simulators; the baselines need only the samples. They
run in threads, each with a process of its own behind it, so that two cores are busy.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Protocol, TypeVar

from convexon.data.loading import digits
from convexon.flow.hardware.emit import emit_stage
from convexon.flow.hardware.synthesize import synthesize_stage
from convexon.flow.hardware.verify import VerifyResult, chosen_simulators, verify_stage
from convexon.flow.network.baselines import baselines
from convexon.flow.network.solve import solve
from convexon.flow.run import Made, Run
from convexon.progress import Progress
from convexon.report.stage import report_stage
from convexon.tools.process import Scope
from convexon.train.settings import SolveSettings
from convexon_sim.simulator import SimulatorKind

T = TypeVar("T")


class Screen(Protocol):
    """Where a chain shows what it does; see `convexon.cli.console.Console`."""

    def stage(self, name: str) -> AbstractContextManager[Progress]:
        """Show progress while a stage runs."""

    def line(self, text: str) -> None:
        """Print a line that stays."""


def run_demo(run: Run, settings: SolveSettings, screen: Screen) -> None:
    """Run every stage into ``run``, on the embedded digits; what is current is reused.

    Raises
    ------
    MismatchError
        If a simulator and the golden model disagree; the report is written all the same.
    ConvexonError
        Whatever a stage raises.
    """
    began = time.monotonic()
    kinds = chosen_simulators(None)
    samples = digits()

    def show(name: str, call: Callable[[Progress], T]) -> T:
        with screen.stage(name) as progress:
            result = call(progress)
        if hasattr(result, "summary"):
            screen.line(result.summary)
        return result

    def verify(kind: SimulatorKind) -> VerifyResult:
        return show(f"verify {kind.value}", lambda p: verify_stage(run, kind, progress=p))

    solved = show("solve", lambda p: solve(run, samples, settings, progress=p))
    for text in (*solved.notices, *solved.certificate_lines):
        screen.line(text)
    emitted = show("emit", lambda p: emit_stage(run, p))
    # Synthesis and the first simulator take longest and start together; the rest follow.
    with _Threads() as threads:
        synthesis = threads.start(lambda: show("synthesize", lambda p: synthesize_stage(run, p)))
        checks = [threads.start(partial(verify, kind)) for kind in kinds]
        others = threads.start(
            lambda: show("baselines", lambda p: baselines(run, samples, settings, p))
        )
        synthesized, verdicts = synthesis(), [check() for check in checks]
        compared = others()
    # A run that goes on where one was interrupted says nothing of how long a whole one takes.
    made: list[Made[Any]] = [
        *(solved.drawn.train, solved.solution, solved.card),
        *(emitted.bundle, synthesized.cells, compared),
    ]
    made += [verdict.verification for verdict in verdicts]
    if not any(artefact.reused for artefact in made):
        run.time("demo", time.monotonic() - began)
    show("report", lambda p: report_stage(run, progress=p))
    for verdict in verdicts:
        verdict.raise_if_different()


class _Threads:
    """Two calls at a time, in order.

    An error cancels the calls that have not begun, and waits for those that have: what they make is
    kept, and the next run goes on from there. An interrupt ends the programs that they wait for.
    """

    def __enter__(self) -> _Threads:
        self._pool, self._scope = ThreadPoolExecutor(max_workers=2), Scope()
        return self

    def start(self, call: Callable[[], T]) -> Callable[[], T]:
        """Start a call; what is returned waits for its result."""
        return self._pool.submit(self._scope.within(call)).result

    def __exit__(self, *error: Any) -> None:
        if isinstance(error[1], KeyboardInterrupt):
            self._scope.end()
        self._pool.shutdown(wait=True, cancel_futures=error[0] is not None)
