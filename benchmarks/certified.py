"""Measure how far a network is from the best of all: `python benchmarks/certified.py DATA`.

DATA is mnist6000 or mnist60000; --data names the folder with MNIST's idx files (or set
CONVEXON_DATA). Column generation prices every ternary threshold unit on every window of 3 x 3
pixels (examples/mnist_certified.py), at one regularisation strength after the other, from the
strongest on, until a gap does not close in the rounds that it is given. Of the weakest whose gap
closed the run folder is written and checked as `convexon certify` does. Validation digits, which no
fit has seen, say which strength they would choose.

What is done is kept in build/certified: an interrupted run goes on from there, and its seconds are
those of all its parts. Writes benchmarks/results/certified.json.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from example import example

from convexon.certify.check import check_file
from convexon.convex.solvers.solver import path
from convexon.data.dataset import SpikeDataset
from convexon.report.figure import Figure, FigureKind, read_figures, write_figures
from convexon.snn.simulate import accuracy
from convexon.train.fit import Fitted, rebuilding
from convexon.train.generation import Round
from convexon.train.master import program_over

certified = example("mnist_certified")
digits = example("mnist_data")
folders = example("run_folder")

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "certified.json"
VALIDATION = 2000
"""Digits to choose on, of those that are not fitted."""

CHOICES = (8e-3, 4e-3, 2e-3, 1e-3, 5e-4)
"""Strengths of which validation chooses, over the columns of the last certified one."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A set of digits, and how closely its gap is to close."""

    n_train: int
    gap: float
    rhos: tuple[float, ...]
    per_round: int
    rounds: int = 10  # of each strength, at most


TASKS = {
    "mnist6000": Task(n_train=6000, gap=1e-2, rhos=(8e-3, 4e-3), per_round=600),
    "mnist60000": Task(n_train=60_000, gap=2e-2, rhos=(3e-2,), per_round=300),
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


def measure(name: str, task: Task, data: Path) -> Iterator[Figure]:
    """Fit, certify, check, and yield the figures."""
    work = ROOT / "build" / "certified" / name
    state = State.of(work / "state.json")
    train, test = certified.data_of(data, n_train=task.n_train, n_steps=1, seed=0)
    fitted = None
    for rho in task.rhos:
        if rho in state.closed and rho != state.closed[-1]:
            continue
        found = grown(state, work, train, task, rho)
        if not closed(found, task.gap):
            break
        fitted = found
        if rho not in state.closed:
            state.closed.append(rho)
        state.keep()
    if fitted is None:
        raise SystemExit(f"{name}: no gap closed to {task.gap:g}")
    run = work / "run"
    given = Namespace(run=run, seed=0, readout_bits=8, train=task.n_train, rho=fitted.rho)
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
    with contextlib.suppress(ValueError):  # no digits are left to choose on
        yield figure("rho_validation", validated(fitted, train, data, task), "1", measured)
    for k, record in enumerate(state.rounds):
        yield figure(f"round{k}.rho", record["rho"], "1", measured)
        yield figure(f"round{k}.objective", record["objective"], "1", proved)
        yield figure(f"round{k}.ratio", record["largest_ratio"], "1", measured)
        yield figure(f"round{k}.bound", record["exact_bound"], "1", proved)


def grown(state: State, work: Path, train: SpikeDataset, task: Task, rho: float) -> Fitted:
    """Grow columns at one strength from those of the one before, or of an interrupted run."""
    began = time.perf_counter()

    def watch(record: Round) -> None:
        nonlocal began
        now = time.perf_counter()
        state.add(rho, record, now - began)
        began = now

    rounds = task.rounds - sum(record["rho"] == rho for record in state.rounds)
    plan = certified.Pricing(rho=rho, gap=task.gap, per_round=task.per_round, rounds=max(1, rounds))
    kept = work / certified.COLUMNS
    fitted: Fitted = certified.fit_certified(train, plan, seed=0, kept=kept, progress=watch)
    state.seconds += time.perf_counter() - began
    return fitted


def closed(fitted: Fitted, gap: float) -> bool:
    """Whether the certified gap over all neurons is small enough."""
    bound, certificate = fitted.generated.bound, fitted.generated.solution.certificate
    return bound is not None and 1.0 - bound.value / certificate.primal <= gap


def validated(fitted: Fitted, train: SpikeDataset, data: Path, task: Task) -> float:
    """Return the strength that does best on digits that were not fitted.

    Raises `ValueError` where there are none.
    """
    images, labels = digits.load_digits(data, "train")
    chosen = digits.balanced_subset(labels, task.n_train, seed=0)
    rest = np.setdiff1d(np.arange(len(labels)), chosen)
    held = np.random.default_rng(0).choice(rest, VALIDATION, replace=False)
    validation = digits.sequential(images[held], labels[held], n_steps=1)
    found = fitted.generated
    program = program_over(fitted.problem, found.dictionary.bits, found.weights)
    rebuild = rebuilding(found.branches, found.dictionary, train, certified.MODE)
    right: dict[float, float] = {}
    for solution, rho in zip(
        path(program, CHOICES, tolerance=3e-2, max_seconds=120.0), CHOICES, strict=True
    ):
        if solution.W[:-1].any():
            right[rho] = accuracy(rebuild(solution.W), validation.inputs, validation.labels)
            print(f"rho {rho:g}: {100 * right[rho]:.2f} % of validation digits", flush=True)
    return max(right, key=lambda rho: (right[rho], rho))


def main() -> None:
    """Measure what is asked for, and write the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("tasks", nargs="+", choices=TASKS, metavar="DATA")
    options.add_argument("--data", type=Path, default=os.environ.get("CONVEXON_DATA"))
    given = options.parse_args()
    if given.data is None:
        options.error("--data must name the folder with MNIST's idx files, or set CONVEXON_DATA")
    for name in given.tasks:
        found = list(measure(name, TASKS[name], Path(given.data)))
        known = read_figures(RESULT) if RESULT.exists() else {}
        mine = f"certified.{name}."
        others = [figure for figure in known.values() if not figure.name.startswith(mine)]
        write_figures([*others, *found], RESULT)


if __name__ == "__main__":
    main()
