"""Measure convex training without any gradient: `python benchmarks/engine.py --data FOLDER`.

FOLDER holds MNIST's idx files (or set CONVEXON_DATA); any idx folder of 28 x 28 images will do.
With 6,000 training images, over three seeds, in T = 4 chunks: ternary threshold neurons that see
rectangles, drawn eightfold, selected by the residual and weighed by the convex program
(examples/mnist_convex.py), with at most 1,024 and at most 256 of them. --full takes all 60,000
images and one seed. Everything is chosen on validation images. Writes
benchmarks/results/engine.json after each seed; a seed that stands there is not measured again.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from example import example

from convexon.quantizer.readout import quantize
from convexon.report.figure import Figure, FigureKind, read_figures, write_figures
from convexon.snn.simulate import accuracy

convex = example("mnist_convex")

RESULT = Path(__file__).parent / "results" / "engine.json"
READOUT_BITS = 8

SMALL = {
    "mnist6000": ({"neurons": 1024}, 6000, 3),
    "mnist6000-256": ({"neurons": 256}, 6000, 3),
}
FULL = {"mnist60000": ({"neurons": 1024, "shifts": ((0, 0),)}, 60_000, 1)}
"""What the plan has of its own, training images, and seeds, by name of a row."""

UNITS = {"test": "share", "neurons": "neurons", "fan_in": "synapses", "seconds": "seconds"}


def measured(folder: Path, plan: object, n_train: int) -> dict[str, float]:
    """Fit once; returns a value for each of `UNITS`."""
    images, labels = convex.load_digits(folder, "train")
    test = convex.sequential(*convex.load_digits(folder, "test"), n_steps=plan.n_steps)
    chosen = convex.balanced_subset(labels, n_train, seed=plan.seed)
    began = time.perf_counter()
    network = convex.fit_convex(images[chosen], labels[chosen], plan)
    seconds = time.perf_counter() - began
    card = quantize(network, bits=READOUT_BITS)
    last = card.branches[0].layers[-1]
    return {
        "test": accuracy(card, test.inputs, test.labels),
        "neurons": last.n_neurons,
        "fan_in": float(np.count_nonzero(last.weights, axis=0).mean()),
        "seconds": seconds,
    }


def figures_of(row: str, seeds: list[Mapping[str, float]], told: str) -> list[Figure]:
    """Each seed's values, their means, and how sure the mean accuracy is."""
    values = [
        (f"{name}.seed{seed}", value, name)
        for seed, found in enumerate(seeds)
        for name, value in found.items()
    ]
    for name in UNITS:
        values.append((name, float(np.mean([found[name] for found in seeds])), name))
    if len(seeds) > 1:
        tests = [found["test"] for found in seeds]
        values.append(("test.stderr", float(np.std(tests, ddof=1) / np.sqrt(len(tests))), "test"))
    return [
        Figure(
            name=f"engine.{row}.cvx.{name}",
            value=round(value, 4),
            unit=UNITS[kind],
            kind=FigureKind.MEASURED,
            source=told,
        )
        for name, value, kind in values
    ]


def main() -> None:
    """Measure, and write the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=os.environ.get("CONVEXON_DATA"))
    options.add_argument("--full", action="store_true", help="all 60,000 images, one seed")
    given = options.parse_args()
    if given.data is None:
        options.error("--data must name the folder with the idx files, or set CONVEXON_DATA")
    for row, (own, n_train, n_seeds) in (FULL if given.full else SMALL).items():
        seeds: list[Mapping[str, float]] = []
        for seed in range(n_seeds):
            known = read_figures(RESULT) if RESULT.exists() else {}
            names = {name: f"engine.{row}.cvx.{name}.seed{seed}" for name in UNITS}
            if all(name in known for name in names.values()):
                seeds.append({kind: known[name].value for kind, name in names.items()})
                continue
            seeds.append(measured(Path(given.data), convex.ConvexPlan(seed=seed, **own), n_train))
            print(f"{row}, seed {seed}: {seeds[-1]}", flush=True)
            told = f"{len(seeds)} seeds, {n_train} training images, {READOUT_BITS}-bit readout"
            found = figures_of(row, seeds, told)
            write_figures({**known, **{f.name: f for f in found}}.values(), RESULT)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{peak:.1f} GiB at most")


if __name__ == "__main__":
    main()
