"""What the tests of sweeps share: small ones, and an executor that notes what it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convexon.sweeps.executor import ProcessExecutor
from convexon.sweeps.stage import ExploreResult
from convexon.sweeps.sweep import Sweep, sweep_from
from convexon.train.columns.parallel import Executor

CHOICES = {
    "steps": 4,
    "witnesses": 40,
    "fan_in": 3,
    "max_neurons": [4, 8],
    "mapping": ["spatial", "folded"],
    "lanes": [2, 4],
}
N_DICTIONARIES, N_NETWORKS, N_POINTS = 1, 2, 6


def toy_sweep(data: Path, *, budget: dict[str, Any] | None = None, **choices: Any) -> Sweep:
    """Two networks of one dictionary, each spatial and folded in two ways.

    ``choices`` replace those; None leaves one out.
    """
    chosen = {name: v for name, v in {**CHOICES, **choices}.items() if v is not None}
    tables = {"data": str(data), "rho": [0.01], "sweep": chosen}
    return sweep_from({**tables, "budget": budget or {}})


def folder_of(work: Callable[..., Any], task: Sequence[Any]) -> Path:
    """Folder that a call makes."""
    job, settings = task[:2]
    kind = {"draw": "dictionary", "solve": "network", "measure": "point"}[work.__name__]
    found: Path = getattr(job, kind)(settings).path
    return found


def name_of(work: Callable[..., Any], task: Sequence[Any]) -> str:
    """Name of a call: what it does, and for which folder."""
    return f"{work.__name__} {folder_of(work, task).name}"


def files_in(folder: Path) -> dict[str, int]:
    """Every file, and which one it is: a file that is written again is another one."""
    return {path.name: path.stat().st_ino for path in folder.glob("*") if path.is_file()}


def logged(log: Path, work: Callable[..., Any], *task: Any) -> Any:
    """Call, and note in ``log``, which several processes may write, whether it wrote anything."""
    before = files_in(folder_of(work, task))
    result = work(*task)
    wrote = files_in(folder_of(work, task)) != before
    with log.open("a") as stream:
        stream.write(f"{name_of(work, task)}{' wrote' if wrote else ''}\n")
    return result


@dataclass
class Logging:
    """Runs calls by another executor, and notes each in ``log``."""

    log: Path
    inner: Executor

    def each(
        self, work: Callable[..., Any], tasks: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[int, Any]]:
        return self.inner.each(logged, [(self.log, work, *task) for task in tasks])

    @property
    def calls(self) -> list[str]:
        """Names of all calls, and whether they wrote."""
        return calls_in(self.log)


def calls_in(log: Path) -> list[str]:
    """Calls that were noted in ``log``."""
    return log.read_text().splitlines() if log.exists() else []


def fewest_luts(result: ExploreResult) -> int:
    """LUTs of the smaller spatial point, so that the larger one does not fit into as many."""
    spatial = [p for p in result.exploration.points if p.settings["mapping"] == "spatial"]
    small, large = sorted(int(point["estimate.luts"]) for point in spatial)
    assert small < large
    return small + 1  # they are rounded


def serial(log: Path) -> Logging:
    """One call after the other, in this process."""
    return Logging(log, ProcessExecutor(1))


def results(root: Path) -> dict[str, bytes]:
    """Files that say what came of a sweep, by name."""
    files = [root / "explore.json", *root.glob("points/*/point.json")]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}
