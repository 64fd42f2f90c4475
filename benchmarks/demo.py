"""Measure `convexon demo`: a run from an empty folder, and its accuracy over several splits.

    python benchmarks/demo.py [--seeds N]

Writes benchmarks/results/demo.json, the report of the default seed, and
benchmarks/results/demo_seeds.json with the accuracies beside the baselines' for seeds 0 to N - 1.
The build cache of the simulators is empty in the measured run, so compilation counts.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from convexon.data.loading import digits
from convexon.flow.network.baselines import baselines
from convexon.flow.network.solve import Solved, solve
from convexon.flow.run import Run
from convexon.report.figure import Figure, FigureKind, read_figures, write_figures
from convexon.train.settings import SolveSettings

RESULTS = Path(__file__).parent / "results"


def measured_demo(folder: Path) -> None:
    """Run the command in a process of its own, warm (installed and compiled) but from nothing."""
    environment = {**os.environ, "CONVEXON_CACHE": str(folder / "cache")}
    command = [sys.executable, "-m", "convexon.cli", "demo", "--out", str(folder / "run")]
    subprocess.run(command, check=True, env=environment)
    write_figures(read_figures(folder / "run" / "report.json").values(), RESULTS / "demo.json")


def accuracy(made: Solved) -> float:
    """Share of right decisions on the test samples."""
    test = made.drawn.test
    return made.accuracy(test.value) if test is not None else float("nan")


def over_seeds(n_seeds: int, folder: Path) -> None:
    """Solve and compare on splits with other seeds."""
    rows: dict[str, list[float]] = {}
    for seed in range(n_seeds):
        settings, samples = SolveSettings(seed=seed), digits()
        run = Run(folder / f"seed{seed}")
        made = solve(run, samples, settings)
        compared = baselines(run, samples, settings).value
        figures = {
            "accuracy.test": accuracy(made),
            "baseline.logistic.accuracy.test": compared.logistic.accuracy_test,
            "baseline.reservoir.accuracy.test": compared.reservoir.accuracy_test,
            "network.neurons": made.card.value.n_neurons,
            "certificate.gap": made.certificate.value.gap,
        }
        print(f"seed {seed}:", ", ".join(f"{name} {value:.6g}" for name, value in figures.items()))
        for name, value in figures.items():
            rows.setdefault(name, []).append(value)
    source = f"benchmarks/demo.py, seeds 0 to {n_seeds - 1}"
    write_figures(
        [
            Figure(
                name=f"seeds.{name}.{kind}",
                value=round(float(function(values)), 12),
                unit="1",
                kind=FigureKind.MEASURED,
                source=source,
            )
            for name, values in rows.items()
            for kind, function in (("mean", np.mean), ("min", np.min), ("max", np.max))
        ],
        RESULTS / "demo_seeds.json",
    )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="convexon-bench-") as name:
        measured_demo(Path(name))
        over_seeds(arguments.seeds, Path(name))


if __name__ == "__main__":
    main()
