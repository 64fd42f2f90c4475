"""What a process or a worker does for a sweep: each call is harmless to repeat.

A folder of a sweep holds ``dictionaries``, ``networks`` and ``points``, each with run folders that
are named for the digest of what they are made by. A network takes the artefacts of its dictionary,
a point those of its network, so that nothing is computed twice; a point's folder can be emitted,
verified and reported on like any other run folder.
"""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from convexon.data.dataset import DATASET, SpikeDataset
from convexon.data.loading import load_samples
from convexon.data.samples import Samples
from convexon.errors import ArtefactError, InputError, SolverError, ToolError
from convexon.flow.hardware.map import map_stage
from convexon.flow.network import solve as flow
from convexon.flow.run import Made, Run, source_digest
from convexon.plan.cost.resource_model import resource_model
from convexon.plan.mapping import MAPPING
from convexon.plan.operations import SOURCE, neutral_energy, operations_of
from convexon.report.figure import Figure, FigureKind
from convexon.settings import settings_of
from convexon.snn.card import CARD
from convexon.snn.models import simulate
from convexon.snn.network import FixedPointNetwork
from convexon.store.artefact import DRAFT, atomic_write, digest_of, open_artefact, save
from convexon.store.codec import Codec, to_json
from convexon.sweeps.point import POINT, Point
from convexon.sweeps.sweep import PointSettings, plain
from convexon.train.settings import SolveSettings

T = TypeVar("T")

INFEASIBLE = (InputError, SolverError)
"""Errors that end a point, and not the sweep: its choices do not go together, or do not fit."""

MADE_OF: Mapping[str, Codec[Any]] = {"card": CARD, "test": DATASET, "mapping": MAPPING}
"""Artefacts in a point's folder that it was made of."""

GIVEN = frozenset({"card", "train", "test"})
"""Artefacts that a point takes of a network that is mapped as it is."""

DRAWN_BY = frozenset(each.name for each in settings_of(SolveSettings)) - {
    *("loss", "max_neurons", "rho", "readout_bits", "readout_rounding", "bit_penalty"),
    *("solver", "tolerance"),
}
"""Settings that a dictionary follows from: all but those of the solver."""


class Ended(Enum):
    """How a point came to be there.

    ``WRITTEN``: by this call. ``FOUND``: it was there. ``REPEATED``: somebody else wrote it
    meanwhile, the same but for the last digits that another kind of processor leaves.
    """

    WRITTEN = "written"
    FOUND = "found"
    REPEATED = "repeated"


KINDS = ("dictionaries", "networks", "points")
"""Folders of a sweep; each holds run folders."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What all calls of a sweep share.

    Members
    -------
    root : folder of the sweep; absolute
    source : where the samples are (`convexon.data.loading.load_samples`)
    data : their digest; of a network that is mapped as it is, that of its card and samples
    given : run folder of that network, absolute; None where networks are solved
    version : digest of Convexon's source
    """

    root: Path
    source: str
    data: str
    given: Path | None = None
    version: str = field(default_factory=source_digest)

    def key(self, kind: str, choices: Mapping[str, Any]) -> str:
        """Return the name of the folder of what these choices make."""
        made_by = {"kind": kind, "data": self.data, "convexon": self.version, **choices}
        return digest_of(made_by).removeprefix("sha256:")[:12]

    def dictionary(self, settings: SolveSettings) -> Run:
        """Folder of the dictionary of these settings: of those that differ in the solver alone."""
        drawn = {name: plain(getattr(settings, name)) for name in sorted(DRAWN_BY)}
        return Run(self.root / "dictionaries" / self.key("d", drawn))

    def network(self, settings: SolveSettings | None) -> Run:
        """Folder of the network of these settings, or of the one that is mapped as it is."""
        if self.given is not None:
            return Run(self.given)
        return Run(self.root / "networks" / self.key("n", to_json(settings)))

    def point(self, point: PointSettings) -> Run:
        """Folder of a point."""
        made_by = {
            "network": self.network(point.solve).path.name,
            "board": point.place.board,
            "budget": {name: plain(value) for name, value in vars(point.budget).items()},
            "model": resource_model(point.family).digest,
        }
        return Run(self.root / "points" / self.key("p", made_by))


def draw(job: Job, settings: SolveSettings) -> str:
    """Make a dictionary; return why it cannot be made, or nothing.

    Raises
    ------
    ConvexonError
        Of what ends the sweep: other samples, or a folder that cannot be written.
    """
    samples = _samples(job)
    return _reason(lambda: flow.draw(job.dictionary(settings), samples, settings))


def solve(job: Job, settings: SolveSettings) -> str:
    """Make a network on its dictionary; return and raise as `draw`."""
    samples, folder = _samples(job), job.network(settings)
    share(job.dictionary(settings), folder)
    return _reason(lambda: flow.solve(folder, samples, settings))


def _reason(make: Callable[[], object]) -> str:
    """Why something cannot be made, in a line; nothing where it was."""
    try:
        make()
    except INFEASIBLE as error:
        return _line(error)
    return ""


def measure(job: Job, point: PointSettings, reason: str = "") -> Ended:
    """Map a point's network, and write what it takes and how well it does.

    Parameters
    ----------
    reason : why there is no network, where there is none

    Raises
    ------
    ConvexonError
        If the folder cannot be written, or the point is there with figures that differ by more
        than `DIGITS`.
    """
    folder = job.point(point)
    recipe = recipe_of(job, point)
    if is_point(job, point):
        return Ended.FOUND
    parents: dict[str, Made[Any]] = {}
    found = Point(settings=point.to_json(), reason=reason) if reason else None
    if found is None:
        share(job.network(point.solve), folder, None if job.given is None else GIVEN)
        card, test = folder.read("card", CARD), folder.read("test", DATASET)
        parents = {"card": card, "test": test}
        try:
            mapped = map_stage(folder, budget=point.budget)
        except INFEASIBLE as error:
            found = Point(settings=point.to_json(), reason=_line(error))
        else:
            parents["mapping"] = mapped.mapping
            train = folder.read("train", DATASET).value if folder.has("train") else None
            figures = _figures(card.value, train, test.value, mapped)
            found = Point(settings=point.to_json(), figures=figures)
    digests = {role: parent.record.digest for role, parent in parents.items()}
    written = save_once(POINT, found, folder.file("point"), parents=digests, recipe=recipe)
    return Ended.WRITTEN if written else Ended.REPEATED


def recipe_of(job: Job, point: PointSettings) -> dict[str, Any]:
    """Return what the artefact of a point says that it is made by."""
    return {"data": job.data, "folder": job.point(point).path.name}


def is_point(job: Job, point: PointSettings) -> bool:
    """Whether the point is there with what it was made of, all of it sound."""
    folder = job.point(point)
    if not folder.has("point"):
        return False
    try:
        record = folder.read("point", POINT).record
        found = {role: folder.read(role, MADE_OF[role]).record.digest for role in record.parents}
    except ArtefactError:
        return False
    return dict(record.recipe) == recipe_of(job, point) and found == dict(record.parents)


def share(source: Run, target: Run, names: frozenset[str] | None = None) -> None:
    """Give ``target`` the artefacts of ``source``, where they take no further space.

    Those of ``names`` alone, if these are given.

    Artefacts are replaced and never changed in place, so that what is done in one folder is not
    seen in the other. The JSON of an artefact comes after its arrays.

    Raises
    ------
    ArtefactError
        If the folder cannot be written.
    """
    files = [
        path
        for path in source.path.glob("[!.]*.*")
        if path.name != "timing.json" and (names is None or path.name.split(".")[0] in names)
    ]
    for path in sorted(files, key=lambda path: (path.suffix == ".json", path.name)):
        own = target.path / path.name
        if own.exists() and own.samefile(path):
            continue
        draft = own.with_name(f".{own.name}.{uuid.uuid4().hex}{DRAFT}")
        try:
            target.path.mkdir(parents=True, exist_ok=True)
            os.link(path, draft)
            os.replace(draft, own)
        except OSError:  # a file system without links
            atomic_write(own, path.read_bytes())
        finally:  # to replace a file by itself does nothing
            with contextlib.suppress(OSError):
                draft.unlink()


def save_once(
    codec: Codec[T],
    artefact: T,
    path: Path,
    *,
    parents: Mapping[str, str],
    recipe: Mapping[str, Any],
) -> bool:
    """Write an artefact without arrays unless it is there; return whether this call wrote it.

    Of several that write it at once, one does, and what it wrote stays. A damaged file is replaced.

    Raises
    ------
    ArtefactError
        If it is there with a content that is not `alike`, or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        own = tempfile.TemporaryDirectory(DRAFT, f".{path.stem}.", path.parent)
    except OSError as error:
        raise ArtefactError(f"{path} cannot be written: {error.strerror or error}") from error
    with own as folder:
        draft = Path(folder) / path.name
        save(codec, artefact, draft, parents=parents, recipe=recipe)
        try:
            os.link(draft, path)
            return True
        except FileExistsError:
            pass
        except OSError:  # a file system without links: the last one wins, with the same bytes
            if not path.exists():
                os.replace(draft, path)
                return True
        if _says(codec, path, parents, recipe):
            there = open_artefact(codec, path)
            mine = open_artefact(codec, draft)
            if there.record.digest != mine.record.digest and not alike(there.content, mine.content):
                raise ArtefactError(
                    f"{path} was computed twice, with different results: machines differ in "
                    "their libraries; make it again on machines that are alike"
                )
            return False
        os.replace(draft, path)
        return True


DIGITS = 1e-9
"""Share by which figures may differ that unlike processors computed from the same inputs."""


def alike(a: Any, b: Any) -> bool:
    """Whether two contents agree, real numbers to `DIGITS` and all else exactly."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(alike(a[name], b[name]) for name in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=DIGITS)
    return type(a) is type(b) and bool(a == b)


def _says(
    codec: Codec[T], path: Path, parents: Mapping[str, str], recipe: Mapping[str, Any]
) -> bool:
    """Whether a sound artefact lies there that was made of these parents, by this recipe."""
    try:
        record = open_artefact(codec, path).record
    except ArtefactError:
        return False
    return dict(record.parents) == dict(parents) and dict(record.recipe) == dict(recipe)


def _samples(job: Job) -> Samples:
    """The samples; raises unless they and the source are those that the sweep began with."""
    if job.version != source_digest():
        raise ToolError(
            "convexon must be the same on every worker as where the sweep began: install it there"
        )
    samples = load_samples(job.source)
    if samples.digest != job.data:
        raise ArtefactError(
            f"{job.source} has other samples than when the sweep began, or on another machine: "
            "start again, with one file for all"
        )
    return samples


def _figures(
    card: FixedPointNetwork, train: SpikeDataset | None, test: SpikeDataset, mapped: Any
) -> tuple[Figure, ...]:
    """Figures of a point that fits."""
    latency = mapped.cycles.latency
    cycles = f"schedule, exact, first {len(latency)} test samples"
    estimate = "counts and widths of the mapping"
    operations = operations_of(card, test.inputs, simulate.run(card, test.inputs))
    energy = neutral_energy(card, operations)
    counted = f"operations of the test samples, {SOURCE}; not of an FPGA"
    measured, estimated = FigureKind.MEASURED, FigureKind.ESTIMATED

    def accuracy(data: SpikeDataset) -> float:
        return simulate.accuracy(card, data.inputs, data.labels)

    return (
        Figure("accuracy.test", accuracy(test), "1", measured, test.name),
        *(
            Figure("accuracy.train", accuracy(data), "1", measured, data.name)
            for data in (train,)
            if data is not None
        ),
        Figure("latency.cycles.mean", float(latency.mean()), "cycles", estimated, cycles),
        Figure("latency.cycles.max", int(latency.max()), "cycles", estimated, cycles),
        Figure("estimate.luts", round(mapped.cost.luts), "LUTs", estimated, estimate),
        Figure(
            "estimate.block_rams", int(mapped.cost.block_rams), "block RAMs", estimated, estimate
        ),
        Figure("energy.neutral.low", energy.low, "J", estimated, counted),
        Figure("energy.neutral.high", energy.high, "J", estimated, counted),
        Figure("network.neurons", card.n_neurons, "neurons", measured, "card"),
        Figure("network.synapses", card.n_synapses, "synapses", measured, "card"),
    )


def _line(error: Exception) -> str:
    """An error's text as one line."""
    return " ".join(str(error).split())
