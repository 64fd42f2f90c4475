"""Measure how far a network is from the best of all: `python benchmarks/certified.py DATA`.

DATA is mnist6000, mnist60000 or vowels; --data names the folder with MNIST's idx files (or set
CONVEXON_DATA), and JapaneseVowels are those of aeon (`small_data`). Column generation prices every
ternary threshold unit on every window of 3 x 3 pixels, or of 3 steps of 3 channels above a delay
line (examples/mnist_certified.py), at one regularisation strength after the other, from the
strongest on, until a gap does not close in the rounds that it is given. Of the weakest whose gap
closed the run folder is written and checked as `convexon certify` does. Validation samples, which
no fit has seen, say which strength they would choose; of all 60,000 digits, some that the weights
have not.

What is done is kept in build/certified: an interrupted run goes on from there, and its seconds are
those of all its parts. Writes benchmarks/results/certified.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from example import example
from small_data import samples

from convexon.certify.check import check_file
from convexon.convex.solvers.solver import path
from convexon.data.dataset import SpikeDataset
from convexon.data.split import stratified
from convexon.report.figure import Figure, FigureKind, read_figures, write_figures
from convexon.snn.interface import Interface
from convexon.snn.models.simulate import accuracy
from convexon.train.columns.rows import distinct_rows
from convexon.train.fit import Fitted, rebuilding
from convexon.train.generation import Round
from convexon.train.master import program_over
from convexon.train.pricing.site import Site, site_on
from convexon.train.witnesses.threshold import delay_line

certified = example("mnist_certified")
digits = example("mnist_data")
folders = example("run_folder")

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "certified.json"
VALIDATION, VALIDATION_SHARE = 2000, 0.2
"""Digits to choose on, where there are any of those that are not fitted; share of the vowels."""

CHOICES = (8e-3, 4e-3, 2e-3, 1e-3, 5e-4, 2.5e-4, 1.25e-4)
"""Strengths of which validation chooses, over the columns of the last certified one."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """Samples to fit, to choose on where there are any, and to test on; where neurons stand."""

    train: SpikeDataset
    validation: SpikeDataset | None
    test: SpikeDataset
    site: Site


def mnist(folder: Path, n_train: int) -> Data:
    """Return digits, all pixels in one step."""
    train, test = certified.data_of(folder, n_train=n_train, n_steps=1, seed=0)
    images, labels = digits.load_digits(folder, "train")
    rest = np.setdiff1d(np.arange(len(labels)), digits.balanced_subset(labels, n_train, seed=0))
    validation = None
    if len(rest) >= VALIDATION:
        held = np.random.default_rng(0).choice(rest, VALIDATION, replace=False)
        validation = digits.sequential(images[held], labels[held], n_steps=1)
    return Data(train=train, validation=validation, test=test, site=certified.site_of(train))


def vowels() -> Data:
    """Return vowels of 12 channels as spikes in the upper half of a range, above a delay line."""
    given, test = samples("vowels").split(seed=0)
    kept, held = stratified(given.known_labels, VALIDATION_SHARE, seed=0)
    parts = {"train": given.take(kept, "train"), "held": given.take(held, "validation")}
    interface = Interface.fitted(parts["train"].values, coding="midpoint", classes=given.classes)
    n_steps = given.values.shape[1]
    spikes = {
        name: part.encoded(interface, n_steps=n_steps, bits=1)
        for name, part in {**parts, "test": test}.items()
    }
    train = spikes["train"]
    site = site_on(
        train,
        distinct_rows(train, certified.MODE),
        certified.units((n_steps, train.n_inputs)),
        trunk=[delay_line(train.n_inputs, n_steps)],
        name="taps",
    )
    return Data(train=train, validation=spikes["held"], test=spikes["test"], site=site)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A set of samples, and how closely its gap is to close."""

    load: Callable[[Path], Data]
    gap: float  # to which it counts as closed
    goal: float  # to which rounds go on
    rhos: tuple[float, ...]
    per_round: int
    rounds: int = 10  # of each strength, at most


TASKS = {
    "mnist6000": Task(
        load=partial(mnist, n_train=6000),
        gap=1e-2,
        goal=1e-3,
        rhos=(8e-3, 4e-3, 2e-3, 1e-3, 5e-4, 2.5e-4),
        per_round=600,
    ),
    "mnist60000": Task(
        load=partial(mnist, n_train=60_000),
        gap=2e-2,
        goal=1e-2,
        rhos=(3e-2, 1e-2, 4e-3),
        per_round=600,
    ),
    "vowels": Task(
        load=lambda folder: vowels(),
        gap=1e-3,
        goal=1e-3,
        rhos=(3e-2, 1e-2, 8e-3),
        per_round=300,
    ),
}


@dataclass
class State:
    """What is done: rounds, as `convexon.train.generation.Round` states them, and the peaks."""

    path: Path
    rounds: list[dict[str, float]] = field(default_factory=list)
    closed: list[float] = field(default_factory=list)
    seconds: float = 0.0
    memory_bytes: int = 0

    @classmethod
    def of(cls, path: Path) -> State:
        """Read what an interrupted run left."""
        return cls(path, **json.loads(path.read_text())) if path.exists() else cls(path)

    def add(self, rho: float, record: Round, seconds: float) -> None:
        """Keep a round, and the seconds since the one before."""
        certified.show(record)
        names = ("objective", "largest_ratio", "exact_bound", "n_columns", "n_active")
        self.rounds.append({"rho": rho, **{name: getattr(record, name) for name in names}})
        self.seconds += seconds
        self.keep()

    def keep(self) -> None:
        """Write it."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self.memory_bytes = max(self.memory_bytes, peak)
        content = {name: value for name, value in asdict(self).items() if name != "path"}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(content, indent=1))


def measure(name: str, task: Task, folder: Path) -> Iterator[Figure]:
    """Fit, certify, check, and yield the figures."""
    work = ROOT / "build" / "certified" / name
    state = State.of(work / "state.json")
    data = task.load(folder)
    train, test = data.train, data.test
    fitted = None
    for rho in task.rhos:
        if rho in state.closed and rho != state.closed[-1]:
            continue
        found = grown(state, work, data, task, rho)
        if not closed(found, task.gap):
            break
        fitted = found
        if rho not in state.closed:
            state.closed.append(rho)
        state.keep()
    if fitted is None:
        raise SystemExit(f"{name}: no gap closed to {task.gap:g}")
    run = work / "run"
    given = Namespace(run=run, seed=0, readout_bits=8, rho=fitted.rho)
    folders.keep(given, train, test, fitted)
    began = time.perf_counter()
    verdict = check_file(run)
    checked = time.perf_counter() - began
    print(verdict.claim, verdict.summary, sep="\n", flush=True)
    if not verdict.holds("windows"):
        raise SystemExit(f"{name}: the bound over windows was not checked")
    claimed = verdict.certificate
    bound = claimed.windows
    assert bound is not None  # noqa: S101  # it was checked
    source = f"benchmarks/certified.py, {train.name}, softmax, row-group l2, rho {fitted.rho:g}"

    def figure(what: str, value: float, unit: str, kind: FigureKind) -> Figure:
        return Figure(name=f"certified.{name}.{what}", value=value, unit=unit, kind=kind,
                      source=source)  # fmt: skip

    proved, measured = FigureKind.PROVED, FigureKind.MEASURED
    yield figure("set", sum(part.n_neurons for part in bound.sets), "neurons", proved)
    yield figure("primal", claimed.primal, "1", proved)
    yield figure("lower_bound", bound.lower_bound, "1", proved)
    yield figure("gap", 1.0 - bound.lower_bound / claimed.primal, "1", proved)
    yield figure("rho", fitted.rho, "1", measured)
    yield figure("rounds", len(state.rounds), "rounds", measured)
    yield figure("neurons", fitted.card.n_features, "neurons", measured)
    yield figure("test", accuracy(fitted.card, test.inputs, test.labels), "share", measured)
    yield figure("seconds", round(state.seconds, 1), "seconds", measured)
    yield figure("memory_bytes", state.memory_bytes, "bytes", measured)
    yield figure("certify_seconds", round(checked, 1), "seconds", measured)
    yield figure("rho_validation", validated(fitted, data), "1", measured)
    for k, record in enumerate(state.rounds):
        yield figure(f"round{k}.rho", record["rho"], "1", measured)
        yield figure(f"round{k}.objective", record["objective"], "1", proved)
        yield figure(f"round{k}.ratio", record["largest_ratio"], "1", measured)
        yield figure(f"round{k}.bound", record["exact_bound"], "1", proved)


def grown(state: State, work: Path, data: Data, task: Task, rho: float) -> Fitted:
    """Grow columns at one strength from those of the one before, or of an interrupted run."""
    began = time.perf_counter()

    def watch(record: Round) -> None:
        nonlocal began
        now = time.perf_counter()
        state.add(rho, record, now - began)
        began = now

    rounds = task.rounds - sum(record["rho"] == rho for record in state.rounds)
    plan = certified.Pricing(
        rho=rho, gap=task.goal, per_round=task.per_round, rounds=max(1, rounds)
    )
    kept = work / certified.COLUMNS
    fitted: Fitted = certified.fit_certified(
        data.site, data.train, plan, seed=0, kept=kept, progress=watch
    )
    state.seconds += time.perf_counter() - began
    return fitted


def closed(fitted: Fitted, gap: float) -> bool:
    """Whether the certified gap over all neurons is small enough."""
    bound, certificate = fitted.generated.bound, fitted.generated.solution.certificate
    return bound is not None and 1.0 - bound.value / certificate.primal <= gap


def validated(fitted: Fitted, data: Data) -> float:
    """Return the strength that does best on samples that were not fitted.

    Where all were, some are left out of the weights here; pricing has seen them.
    """
    found, problem, validation = fitted.generated, fitted.problem, data.validation
    bits, rows = found.dictionary.bits, data.site.rows
    if validation is None:
        left, held = stratified(rows.labels, VALIDATION / rows.n_rows, seed=0)
        bits, validation = bits.rows(left), data.train.take(rows.samples[held])
        problem = rows.take(left).problem(
            problem.loss, problem.penalty, problem.rho, n_outputs=problem.n_outputs
        )
    program = program_over(problem, bits, found.weights)
    rebuild = rebuilding(found.branches, found.dictionary, data.train, certified.MODE)
    right: dict[float, float] = {}
    solutions = path(program, CHOICES, tolerance=3e-2, max_seconds=120.0)
    for solution, rho in zip(solutions, CHOICES, strict=True):
        if solution.W[:-1].any():
            right[rho] = accuracy(rebuild(solution.W), validation.inputs, validation.labels)
            print(f"rho {rho:g}: {right[rho]:.2%} of validation samples", flush=True)
    return max(right, key=lambda rho: (right[rho], rho))


def main() -> None:
    """Measure what is asked for, and write the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("tasks", nargs="+", choices=TASKS, metavar="DATA")
    options.add_argument("--data", type=Path, default=os.environ.get("CONVEXON_DATA", "."))
    given = options.parse_args()
    for name in given.tasks:
        found = list(measure(name, TASKS[name], Path(given.data)))
        known = read_figures(RESULT) if RESULT.exists() else {}
        mine = f"certified.{name}."
        others = [figure for figure in known.values() if not figure.name.startswith(mine)]
        write_figures([*others, *found], RESULT)


if __name__ == "__main__":
    main()
