"""Measure convex training without any gradient: `python benchmarks/engine.py --data FOLDER`.

FOLDER holds MNIST's idx files (or set CONVEXON_DATA); any idx folder of 28 x 28 images will do.
With 6,000 training images, over three seeds, in T = 4 chunks: ternary threshold neurons that see
rectangles, drawn eightfold, selected by the residual and weighed by the convex program
(examples/mnist_convex.py), with at most 1,024 and at most 256 of them. --full takes all 60,000
images and one seed. Everything is chosen on validation images. Writes
benchmarks/results/engine.json.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from pathlib import Path

import numpy as np
from example import example

from convexon.quantizer.readout import quantize
from convexon.report.figure import Figure, FigureKind, read_figures, write_figures
from convexon.snn.simulate import accuracy

convex = example("mnist_convex")

RESULT = Path(__file__).parent / "results" / "engine.json"
SEEDS = (0, 1, 2)
READOUT_BITS = 8


def measured(folder: Path, name: str, *, n_train: int, neurons: int, seeds: int) -> list[Figure]:
    """Fit for each seed, and return the figures of one row."""
    tests, fans, counts, seconds = [], [], [], []
    test_images, test_labels = convex.load_digits(folder, "test")
    test = convex.sequential(test_images, test_labels, n_steps=4, name="test")
    images, labels = convex.load_digits(folder, "train")
    for seed in range(seeds):
        chosen = convex.balanced_subset(labels, n_train, seed=seed)
        began = time.perf_counter()
        plan = convex.ConvexPlan(neurons=neurons, seed=seed)
        network = convex.fit_convex(images[chosen], labels[chosen], plan)
        seconds.append(time.perf_counter() - began)
        card = quantize(network, bits=READOUT_BITS)
        tests.append(accuracy(card, test.inputs, test.labels))
        last = card.branches[0].layers[-1]
        fans.append(float(np.count_nonzero(last.weights, axis=0).mean()))
        counts.append(last.n_neurons)
        print(f"{name}, seed {seed}: {100 * tests[-1]:.2f} % test, {seconds[-1]:.0f} s", flush=True)
    error = float(np.std(tests, ddof=1) / np.sqrt(len(tests))) if len(tests) > 1 else None
    row = f"engine.{name}.cvx"
    values = [
        (f"{row}.test", round(float(np.mean(tests)), 4), "share"),
        (f"{row}.neurons", max(counts), "neurons"),
        (f"{row}.fan_in", round(float(np.mean(fans)), 1), "synapses"),
        (f"{row}.seconds", round(float(np.mean(seconds)), 1), "seconds"),
    ]
    if error is not None:
        values.insert(1, (f"{row}.test.stderr", round(error, 4), "share"))
    told = f"{len(tests)} seeds, {n_train} training images, 8-bit readout"
    return [
        Figure(name=key, value=value, unit=unit, kind=FigureKind.MEASURED, source=told)
        for key, value, unit in values
    ]


def main() -> None:
    """Measure, and write the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=os.environ.get("CONVEXON_DATA"))
    options.add_argument("--full", action="store_true", help="all 60,000 images, one seed")
    given = options.parse_args()
    if given.data is None:
        options.error("--data must name the folder with the idx files, or set CONVEXON_DATA")
    rows = [("mnist60000", 60_000, 1024, 1)]
    if not given.full:
        rows = [("mnist6000", 6000, 1024, len(SEEDS)), ("mnist6000-256", 6000, 256, len(SEEDS))]
    known = read_figures(RESULT) if RESULT.exists() else {}
    for name, n_train, neurons, seeds in rows:
        found = measured(Path(given.data), name, n_train=n_train, neurons=neurons, seeds=seeds)
        known = {**known, **{figure.name: figure for figure in found}}
        write_figures(known.values(), RESULT)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{peak:.1f} GiB at most")


if __name__ == "__main__":
    main()
