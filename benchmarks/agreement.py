"""Compare Convexon's solver with CVXPY and Clarabel on random small programs.

    python benchmarks/agreement.py [--programs N]

Writes benchmarks/results/agreement.json. The programs go round all losses and penalties, with
uneven column weights, row multiplicities, spikes or spike counts as features, and rho between a
hundredth and a half of rho_max. The error is between the two objectives, relative to Clarabel's.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np

from convexon.convex.model.loss import LOSSES
from convexon.convex.model.penalty import PENALTIES
from convexon.convex.model.program import ConvexProgram
from convexon.convex.solvers.crosscheck import ConeSolver, solve_with_cvxpy
from convexon.convex.solvers.solver import solve
from convexon.report.figure import Figure, FigureKind, write_figures

LOSS_NAMES = ("squared", "logistic", "hinge", "softmax")
PENALTY_NAMES = ("l1", "group_l2", "group_linf")
RESULT = Path(__file__).parent / "results" / "agreement.json"


def random_program(loss: str, penalty: str, seed: int) -> ConvexProgram:
    """A program of up to 40 rows, 30 columns and 4 outputs."""
    rng = np.random.default_rng([seed, 3])
    n, n_columns, n_outputs = rng.integers(8, 41), rng.integers(2, 31), rng.integers(2, 5)
    targets = {
        "squared": rng.normal(size=(n, n_outputs)),
        "logistic": rng.choice([-1, 1], n),
        "hinge": rng.choice([-1, 1], (n, n_outputs)),
        "softmax": rng.integers(0, n_outputs, n),
    }[loss]
    features = rng.integers(0, rng.choice([2, 9]), (n, n_columns))
    features[0] = 1
    program = ConvexProgram(
        features=features,
        targets=targets,
        loss=LOSSES[loss](),
        penalty=PENALTIES[penalty](),
        rho=1.0,
        weights=rng.uniform(0.5, 2.0, n_columns),
        n_classes=int(n_outputs) if loss == "softmax" else None,
        counts=rng.integers(1, 21, n),
    )
    return replace(program, rho=max(program.rho_max() * rng.choice([0.01, 0.1, 0.5]), 1e-6))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=200)
    arguments = parser.parse_args()
    kinds = itertools.cycle(itertools.product(LOSS_NAMES, PENALTY_NAMES))
    errors = []
    for seed, (loss, penalty) in zip(range(arguments.programs), kinds, strict=False):
        program = random_program(loss, penalty, seed)
        _, reference = solve_with_cvxpy(program, solver=ConeSolver.CLARABEL)
        primal = solve(program, tolerance=1e-9).certificate.primal
        errors.append(abs(primal - reference) / reference)
        print(f"{seed} {loss} {penalty}: {errors[-1]:.1e}")
    source = "benchmarks/agreement.py, CVXPY with Clarabel, tolerances of 1e-10 and 1e-9"
    common = {"unit": "1", "kind": FigureKind.MEASURED, "source": source}
    write_figures(
        [
            Figure(name="agreement.programs", value=len(errors), **common),
            Figure(name="agreement.max_relative_error", value=float(max(errors)), **common),
        ],
        RESULT,
    )
    print(f"{len(errors)} programs, largest relative error {max(errors):.1e}")


if __name__ == "__main__":
    main()
