"""Stage ``explore``: a sweep, on all cores or a cluster, and its Pareto front."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from convexon.data.dataset import DATASET
from convexon.data.loading import EMBEDDED, load_samples
from convexon.errors import ArtefactError, InputError
from convexon.flow.run import Run, joined
from convexon.progress import QUIET, Progress
from convexon.snn.card import CARD
from convexon.store.artefact import atomic_write, digest_of, load, save
from convexon.sweeps.executor import ProcessExecutor
from convexon.sweeps.page import as_page
from convexon.sweeps.point import EXPLORATION, POINT, Exploration
from convexon.sweeps.sweep import PointSettings, Sweep
from convexon.sweeps.work import KINDS, Ended, Job, draw, is_point, measure, solve
from convexon.train.columns.parallel import Executor, Task
from convexon.train.settings import SolveSettings

T = TypeVar("T")


@dataclass(frozen=True, eq=False, kw_only=True)
class ExploreResult:
    """What a sweep found.

    Members
    -------
    path : of explore.json; explore.html lies beside it
    computed, repeated : points that were not there before; and those of them that two workers made,
        as happens where one is taken for lost. Their results were compared, and are the same.
    varied : names of the choices that have several values
    """

    exploration: Exploration
    path: Path
    computed: int
    repeated: int
    varied: list[str]

    @property
    def summary(self) -> str:
        """The line with the figures that matter."""
        points = self.exploration.points
        failed = sum(bool(point.reason) for point in points)
        repeated = f", {self.repeated} of them twice" if self.repeated else ""
        return (
            f"explore: {len(points)} points ({self.computed} computed{repeated}, "
            f"{len(points) - self.computed} reused), {failed} do not fit, "
            f"{len(self.exploration.front)} on the front, {self.path}"
        )

    @property
    def table(self) -> list[str]:
        """The front, a line a point, with the choices that vary."""
        points, names = self.exploration.points, self.exploration.names
        head = [*self.varied, "accuracy", "cycles", "LUTs", "block RAMs", "nJ", "folder"]
        rows = [
            [
                *(str(points[k].settings.get(name, "-")) for name in self.varied),
                f"{100 * points[k]['accuracy.test']:.2f} %",
                f"{points[k]['latency.cycles.mean']:.1f}",
                f"{points[k]['estimate.luts']}",
                f"{points[k]['estimate.block_rams']}",
                f"{1e9 * points[k]['energy.neutral.high']:.3g}",
                f"points/{names[k]}",
            ]
            for k in sorted(self.exploration.front, key=lambda k: points[k].objectives)
        ]
        return _aligned([head, *rows])

    @property
    def failures(self) -> list[str]:
        """The reasons why points failed, a line each, with how many they hold for."""
        counts: dict[str, int] = {}
        for point in self.exploration.points:
            if point.reason:
                counts[point.reason] = counts.get(point.reason, 0) + 1
        return [f"{count} of the points: {reason}" for reason, count in counts.items()]


def explore_stage(
    root: Path, sweep: Sweep, *, executor: Executor | None = None, progress: Progress = QUIET
) -> ExploreResult:
    """Compute the points of a sweep that are not there yet, and write explore.json and .html.

    Points that differ in their mapping share a network, and networks that differ in the solver's
    choices share a dictionary.

    Parameters
    ----------
    root : folder of this sweep and others; a point that another one has computed is reused
    executor : what computes the points; the processes of this machine by default

    Raises
    ------
    InputError
        If no point fits, which is written with the reasons.
    ConvexonError
        If samples cannot be read, the folder cannot be written, or a worker fails.
    """
    points = sweep.points
    progress.begin("reading samples")
    job = _job(root, sweep)
    pending = [point for point in points if not is_point(job, point)]
    with joined(job.root, [*KINDS, *(f"{kind}/*" for kind in KINDS)]):
        ended = _compute(job, pending, executor or ProcessExecutor(), progress)
    exploration, digests = _gathered(job, points)
    explored = root / "explore.json"
    save(EXPLORATION, exploration, explored, parents=digests, source=job.version)
    progress.begin("writing the page")
    page = as_page(root, exploration, sweep.varied)
    atomic_write(explored.with_suffix(".html"), page.encode())
    result = ExploreResult(
        exploration=exploration,
        path=explored,
        computed=len(pending),
        repeated=ended.count(Ended.REPEATED),
        varied=sweep.varied,
    )
    if not exploration.front:
        raise InputError(f"no point fits, see {explored}: {result.failures[0]}")
    return result


def _job(root: Path, sweep: Sweep) -> Job:
    """What all calls share; workers may stand in another folder."""
    if sweep.network:
        run = Run(Path(sweep.network).resolve())
        made = (run.read("card", CARD), run.read("test", DATASET))
        data = digest_of({"given": [each.record.digest for each in made]})
        return Job(root=root.resolve(), source="", data=data, given=run.path)
    source = sweep.data if sweep.data == EMBEDDED else str(Path(sweep.data).resolve())
    samples = load_samples(source)
    for point in sweep.points:
        if point.solve is not None:
            point.solve.on(samples)  # refuses what no such samples can have before a folder is made
    return Job(root=root.resolve(), source=source, data=samples.digest)


def _compute(
    job: Job, pending: Sequence[PointSettings], executor: Executor, progress: Progress
) -> list[Ended]:
    """Make what the points need, level by level, and then the points."""

    def on_each(what: str, work: Callable[..., T], tasks: Sequence[Task]) -> list[T]:
        progress.begin(f"{what} ({len(tasks)})")
        results: dict[int, T] = {}
        for k, result in executor.each(work, tasks):
            results[k] = result
            progress.advance(f"{len(results)} of {len(tasks)}")
        return [results[k] for k in range(len(tasks))]

    networks = list(dict.fromkeys(point.solve for point in pending if point.solve is not None))
    dictionaries = {job.dictionary(settings): settings for settings in networks}
    drawn = on_each("building dictionaries", draw, [(job, s) for s in dictionaries.values()])
    no_dictionary = dict(zip(dictionaries, drawn, strict=True))
    reasons: dict[SolveSettings, str] = {
        settings: no_dictionary[job.dictionary(settings)] for settings in networks
    }
    possible = [settings for settings in networks if not reasons[settings]]
    solved = on_each("solving networks", solve, [(job, settings) for settings in possible])
    reasons |= dict(zip(possible, solved, strict=True))
    tasks = [(job, point, "" if point.solve is None else reasons[point.solve]) for point in pending]
    return on_each("mapping points", measure, tasks)


def _gathered(job: Job, points: Sequence[PointSettings]) -> tuple[Exploration, dict[str, str]]:
    """Read all points, and their digests by folder."""
    found, digests = [], {}
    for settings in points:
        folder = job.point(settings)
        if not folder.has("point"):
            raise ArtefactError(
                f"{folder.file('point')} is not here, though a worker wrote it: give the cluster a "
                "folder that all machines share"
            )
        point, record = load(POINT, folder.file("point"))
        found.append(point)
        digests[folder.path.name] = record.digest
    return Exploration(names=tuple(digests), points=tuple(found)), digests


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines, numbers to the right of their columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
