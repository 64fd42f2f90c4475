"""Time Convexon's solver beside others, on the same programs and to the same certified gap.

    pip install --group bench            # celer and skglm, pip 25.1 or newer
    python benchmarks/solver.py [--scs-seconds S] [--clarabel-seconds S] [--only SECTION]

Writes benchmarks/results/solver.json; with --only, what one section measures, and the rest is
kept. Features are correlated spikes at rates of 0.1 to 0.6, labels come from a planted sparse model
with noise, and rho is 0.05 of rho_max. Every contender's weights are judged by
`convexon.convex.bounds.gap.certify`: a contender is run at one setting after another, each tighter,
until its relative gap is at most 1e-6, and only the run that got there counts; one that needs more
than 30 s short of it is left out. Coordinate descent is met at 1e-3 too. Times are of the
processor, as the machine may do other work beside, and the best of several runs, of every contender
as many while they are short, Convexon's before and after each other's; numba compiles before the
clock starts.
SCS is given `--scs-seconds` at most, and Convexon is timed to the gap that SCS had reached by then,
or to 1e-6 where SCS did better.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import celer
import cvxpy as cp
import numpy as np
import skglm
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from convexon.convex.bounds.gap import certify
from convexon.convex.model.losses import Logistic, Softmax, Squared
from convexon.convex.model.penalty import L1, GroupL2, Penalty
from convexon.convex.model.program import ConvexProgram
from convexon.convex.solvers.solver import solve
from convexon.report.figure import Figure, FigureKind, read_figures, write_figures
from convexon.train.columns.bits import BitColumns

RESULT = Path(__file__).parent / "results" / "solver.json"
GOAL = 1e-6
PATIENCE = 30.0  # seconds of a run, after which a contender gets no tighter setting
MOST_RUNS, ENOUGH = 9, 0.5  # runs of one setting at most, and seconds of them that are enough
RHO_SHARE = 0.05

Weights = np.ndarray
Run = Callable[[], Weights]


def planted(n: int, n_columns: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Spikes (n, P), and scores (n, 10) of a planted model with 40 active columns, with noise."""
    rng = np.random.default_rng(seed)
    rates = rng.uniform(0.1, 0.6, n_columns)
    causes, shared = rng.normal(size=(n, 20)), rng.normal(size=(20, n_columns)) / np.sqrt(20)
    spikes = np.empty((n, n_columns), dtype=np.uint8)
    parts = [slice(first, first + 1000) for first in range(0, n, 1000)]
    for some in parts:
        common = causes[some] @ shared
        drive = 0.7 * common + np.sqrt(0.51) * rng.normal(size=common.shape)
        spikes[some] = drive < norm.ppf(rates)
    W = np.zeros((n_columns, 10))
    W[rng.choice(n_columns, 40, replace=False)] = 1.5 * rng.normal(size=(40, 10))
    scores = np.concatenate([spikes[some] @ W for some in parts])
    return spikes, scores - scores.mean(axis=0) + rng.gumbel(size=scores.shape)


def softmax(n: int, n_columns: int) -> ConvexProgram:
    """The softmax l1 program."""
    spikes, scores = planted(n, n_columns)
    return at_share(spikes.astype(np.float64), scores.argmax(axis=1), Softmax(), L1())


def at_share(
    spikes: Weights | BitColumns, targets: Weights, loss: object, penalty: Penalty
) -> ConvexProgram:
    """The program with rho at its share of rho_max."""
    program = ConvexProgram(
        features=spikes, targets=targets, loss=loss, penalty=penalty, rho=1.0, n_classes=None
    )
    return replace(program, rho=RHO_SHARE * program.rho_max())


def ours(program: ConvexProgram, goal: float) -> float:
    """Time of Convexon to a relative gap; nothing is kept from one run to the next."""
    anew = iter([replace(program) for _ in range(MOST_RUNS)])
    return shortest(lambda: solve(next(anew), tolerance=goal))[0]


def shortest(run: Callable[[], Any]) -> tuple[float, Any]:
    """Shortest time of up to `MOST_RUNS` runs that take `ENOUGH` together; what the first made."""
    times, first = [], None
    while len(times) < MOST_RUNS and sum(times) < ENOUGH:
        start = time.process_time()
        made = run()
        times.append(time.process_time() - start)
        first = made if len(times) == 1 else first
    return min(times), first


def theirs(
    name: str, program: ConvexProgram, runs: Iterable[Run], goal: float = GOAL
) -> float | None:
    """Time of the first run that reaches the goal, or None."""
    for run in runs:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # each contender's own verdict; the gap is what counts
            seconds, W = shortest(run)
        gap = certify(program, W)[0].relative_gap
        print(f"  {name}: {seconds:.4f} s, relative gap {gap:.1e}", flush=True)
        if gap <= goal:
            return seconds
        if seconds > PATIENCE:
            return None
    return None


def cone_weights(program: ConvexProgram, solver: str, **options: float) -> Weights:
    """Solve the softmax l1 program through CVXPY."""
    W = cp.Variable((program.n_columns, program.n_outputs))
    Z = program.take(slice(None)) @ W
    own = cp.sum(cp.multiply(program.encoded.values, Z))
    fit = (cp.sum(cp.log_sum_exp(Z, axis=1)) - own) / program.n_rows
    cp.Problem(cp.Minimize(fit + program.rho * cp.norm1(W))).solve(solver=solver, **options)
    return np.asarray(W.value)


def against_clarabel(program: ConvexProgram, limit: float) -> dict[str, float]:
    """Clarabel to the goal, or a lower bound on the ratio where its time ends before that."""
    names = ("tol_gap_rel", "tol_gap_abs", "tol_feas")
    start = time.perf_counter()
    try:
        seconds = theirs(
            "CVXPY with Clarabel",
            program,
            [
                partial(
                    cone_weights,
                    program,
                    "CLARABEL",
                    time_limit=limit,
                    **dict.fromkeys(names, tolerance),
                )
                for tolerance in (1e-8, 1e-10, 1e-12)
            ],
        )
    except cp.error.SolverError:
        seconds = None
    spent = time.perf_counter() - start
    own = ours(program, GOAL)
    if seconds is None:
        print(f"  CVXPY with Clarabel: not at the goal within {spent:.0f} s", flush=True)
        return {"speedup.clarabel.at_least": spent / own}
    return {"speedup.clarabel": seconds / own}


def against_scs(program: ConvexProgram, limit: float) -> dict[str, float]:
    """Both to the gap that SCS reaches in its time."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is inaccurate is what is measured
        W = cone_weights(
            program, "SCS", eps_abs=1e-9, eps_rel=1e-9, max_iters=10**7, time_limit_secs=limit
        )
    seconds = time.perf_counter() - start
    gap = certify(program, W)[0].relative_gap
    own = ours(program, max(gap, GOAL))
    print(f"  CVXPY with SCS: {seconds:.1f} s, relative gap {gap:.1e}; Convexon {own:.3f} s")
    return {"scs.gap": gap, "speedup.scs": seconds / own}


def against_saga(program: ConvexProgram) -> dict[str, float]:
    """scikit-learn's saga on the softmax l1 program."""
    strength = 1.0 / (program.n_rows * program.rho)

    def run(iterations: int) -> Run:
        model = LogisticRegression(
            penalty="l1", C=strength, solver="saga", fit_intercept=False, tol=1e-12,
            max_iter=iterations,
        )  # fmt: skip
        return lambda: model.fit(program.features, program.targets).coef_.T

    seconds = theirs("saga", program, [run(100 * 2**k) for k in range(12)])
    return {} if seconds is None else {"speedup.saga": seconds / ours(program, GOAL)}


SIZES = {"": (1000, 1024), ".narrow": (1000, 512), ".6000": (6000, 1024)}
"""Rows and columns, by what they add to a figure's name."""

GOALS = {"": GOAL, ".loose": 1e-3}
"""Relative gaps to reach, likewise."""


def against_coordinate_descent() -> dict[str, float]:
    """Skglm, celer and liblinear on squared l1, logistic l1 and squared row-group l2."""
    figures: dict[str, float] = {}
    for size, (n, n_columns) in SIZES.items():
        drawn, scores = planted(n, n_columns)
        spikes = drawn.astype(np.float64)
        labels = np.where(scores[:, 0] > np.median(scores[:, 0]), 1.0, -1.0)
        cases = {
            "squared": (at_share(spikes, scores[:, 0], Squared(), L1()), scores[:, 0]),
            "logistic": (at_share(spikes, labels, Logistic(), L1()), labels),
            "multitask": (at_share(spikes, scores, Squared(), GroupL2()), scores),
        }
        for (case, (program, targets)), (end, goal) in product(cases.items(), GOALS.items()):
            own, reached = ours(program, goal), {}
            for name in PEERS[case]:
                features = np.asfortranarray(program.features)  # the order that they want
                if name != "liblinear":
                    _model(name, case, program, 1e-2).fit(features, targets)  # compiles
                runs = [
                    partial(_fitted, _model(name, case, program, tolerance), features, targets)
                    for tolerance in 10.0 ** -np.arange(1, 12.5, 0.5)
                ]
                seconds = theirs(f"{name} {case}", program, runs, goal)
                own = min(own, ours(program, goal))  # whatever else the machine did meanwhile
                if seconds is not None:
                    reached[name] = seconds
            print(f"{case}{size}{end}: Convexon {own:.4f} s", flush=True)
            for name, seconds in reached.items():
                figures[f"speedup.{name}.{case}{size}{end}"] = seconds / own
    for name in ("skglm", "celer", "liblinear"):
        ratios = [value for key, value in figures.items() if key.startswith(f"speedup.{name}.")]
        if ratios:
            figures[f"speedup.{name}"] = min(ratios)
    return figures


PEERS = {
    "squared": ("skglm", "celer"),
    "logistic": ("skglm", "celer", "liblinear"),
    "multitask": ("skglm",),  # celer 0.7.4 calls a method that scikit-learn has dropped
}


def _model(name: str, case: str, program: ConvexProgram, tolerance: float) -> object:
    """The estimator that states the program; all use the same forms of objective."""
    common = {"fit_intercept": False, "tol": float(tolerance)}
    strength = 1.0 / (program.n_rows * program.rho)
    if name == "liblinear":
        return LogisticRegression(
            penalty="l1", C=strength, solver="liblinear", max_iter=100_000, **common
        )
    module = {"skglm": skglm, "celer": celer}[name]
    if case == "squared":
        return module.Lasso(alpha=program.rho, **common)
    if case == "multitask":
        return module.MultiTaskLasso(alpha=program.rho, **common)
    if module is skglm:
        return skglm.SparseLogisticRegression(alpha=program.rho, **common)
    return celer.LogisticRegression(C=strength, **common)


def _fitted(model: object, features: Weights, targets: Weights) -> Weights:
    return np.reshape(model.fit(features, targets).coef_, (-1, features.shape[1])).T


UNITS = {"seconds": "seconds", "memory_bytes": "bytes"}
"""By the last part of a figure's name."""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scs-seconds", type=float, default=240.0)
    parser.add_argument("--clarabel-seconds", type=float, default=600.0)
    parser.add_argument("--only", choices=("softmax", "descent", "clarabel", "full"))
    arguments = parser.parse_args()
    program = softmax(1000, 256)
    sections = {
        "softmax": lambda: against_first_order(program, arguments.scs_seconds),
        "descent": against_coordinate_descent,
        "clarabel": lambda: against_clarabel(program, arguments.clarabel_seconds),
        "full": at_full_size,
    }
    for name, section in sections.items():
        if arguments.only in (None, name):
            save(section(), scs_seconds=arguments.scs_seconds)


def against_first_order(program: ConvexProgram, scs_seconds: float) -> dict[str, float]:
    """Convexon alone on two sizes of softmax l1, and SCS and saga on the smaller."""
    large = softmax(6000, 1024)
    start = time.process_time()
    solution = solve(large)
    figures = {
        "large.seconds": time.process_time() - start,
        "large.gap": solution.certificate.relative_gap,
        "seconds": ours(program, GOAL),
    }
    print(f"large: {figures['large.seconds']:.2f} s; small: {figures['seconds']:.3f} s", flush=True)
    return figures | against_scs(program, scs_seconds) | against_saga(program)


def at_full_size() -> dict[str, float]:
    """Softmax with row groups over 60,000 x 4,096 packed columns, to 1e-3; memory of the process.

    Run by itself: memory is the most that the process ever had.
    """
    spikes, scores = planted(60_000, 4096)
    program = at_share(BitColumns.pack(spikes), scores.argmax(axis=1), Softmax(), GroupL2())
    start = time.process_time()
    solution = solve(program, tolerance=1e-3)
    figures = {
        "full.seconds": time.process_time() - start,
        "full.gap": solution.certificate.relative_gap,
        "full.memory_bytes": 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }
    print(f"full: {figures}, {solution.certificate.n_active} active", flush=True)
    return figures


def save(figures: dict[str, float], *, scs_seconds: float) -> None:
    """Write what has been measured beside what is known."""
    source = (
        "benchmarks/solver.py: random spikes, labels of a planted model, rho = 0.05 rho_max, "
        "relative gap 1e-6 by convexon.convex.bounds.gap.certify; SCS, given "
        f"{scs_seconds:g} s, at the gap that it had reached by then"
    )
    rows = [
        Figure(
            name=f"solver.{name}",
            value=float(value),
            unit=UNITS.get(name.rsplit(".", 1)[-1], "1"),
            kind=FigureKind.PROVED if name.endswith("gap") else FigureKind.MEASURED,
            source=source,
        )
        for name, value in figures.items()
    ]
    known = read_figures(RESULT) if RESULT.exists() else {}
    # Of a contender that was met again no ratio stays that it did not reach this time.
    met = tuple(f"solver.speedup.{name.split('.')[1]}" for name in figures if "speedup." in name)
    kept = {name: figure for name, figure in known.items() if not name.startswith(met)}
    write_figures({**kept, **{row.name: row for row in rows}}.values(), RESULT)


if __name__ == "__main__":
    main()
