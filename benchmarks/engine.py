"""Measure convex training without any gradient: `python benchmarks/engine.py [--only ROW ...]`.

    pip install --group bench        # data that packages ship
    --data FOLDER                    # MNIST's idx files, or set CONVEXON_DATA
    --full                           # all 60,000 images of MNIST alone
    --seeds N --methods NAME ...     # fewer than three seeds; some of the methods

Rows of MNIST: 6,000 training images in T = 4 chunks, any idx folder of 28 x 28 images in its place.
Ternary threshold neurons see rectangles of the image; many are drawn, selected by the residual,
refined one by one, and weighed by the convex program (examples/mnist_convex.py). Methods cell and
cell2048 have logic cells instead, which pricing finds: 1,024 and 2,048 at most. Beside them:
surrogate gradient with as many neurons, the same bits, the same wall time with jittered digits and
again without, its rate chosen on validation; its hybrids with the convex program, which get a third
more; a random reservoir; and logistic regression.

Rows of the small data (benchmarks/small_data.py): `SolveSettings` as they come, with four jittered
copies of each training image or series; beside logistic regression on raw values and a random
reservoir, both without copies, and surrogate gradient with as many neurons of the same kind, bits
and wall time. Surrogate gradient may choose to have no copies, and of a table spikes and the small
ternary neurons that read them.

Everything is chosen on validation samples, over three seeds. benchmarks/results/engine.json is
written after each seed; what stands there is not measured again.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mnist_sequential
import numpy as np
import numpy.typing as npt
import small_data
from example import example

from convexon.data.dataset import SpikeDataset
from convexon.flow.network.baselines import baselines
from convexon.flow.network.solve import Solved, solve
from convexon.flow.run import Run
from convexon.quantizer.readout import quantize
from convexon.report.figure import Figure, FigureKind, read_figures, write_figures
from convexon.snn.coding import THRESHOLD
from convexon.snn.models.simulate import accuracy
from convexon.snn.network import FixedPointNetwork, Network
from convexon.train.selection import validation_split
from convexon.train.settings import SolveSettings, WitnessGuide

if TYPE_CHECKING:
    from convexon.train.surrogate.train import Training

convex = example("mnist_convex")

RESULT = Path(__file__).parent / "results" / "engine.json"
READOUT_BITS = 8

PLANS: Mapping[str, Mapping[str, object]] = {
    "cvx": {"neurons": 1024},
    "cell": {"neurons": 1024, "cells": True},
    "cell2048": {"neurons": 2048, "cells": True},
}
WHOLE = {"copies": 5, "selected_on": 60_000, "rhos": (1e-4, 5e-5)}
LARGE = {
    "mnist6000": (6000, PLANS),
    "mnist6000-256": (6000, {"cvx": {"neurons": 256}}),
}
FULL = {"mnist60000": (60_000, {name: {**own, **WHOLE} for name, own in PLANS.items()})}
"""Training images, and what the plan of each method has of its own, by name of a row."""

METHODS = (*PLANS, "sg", "baselines")
"""Cells are of MNIST's rows alone, where `sg` brings its hybrids too; `baselines` are reservoir and
logistic."""

REACHES = {"cvx": "cvx", "sg": "sg", "baselines": "logistic"}
"""What is known of small data where a method was measured."""

SEEDS = 3

JITTERED = {"jitter": 4}
"""More copies did no better on folds inside the training parts of digits and JapaneseVowels."""

INPUTS: Mapping[bool, Sequence[dict[str, Any]]] = {
    True: ({}, {"coding": THRESHOLD, "guide": WitnessGuide.DIFFERENCE}),
    False: (JITTERED, {}),
}
"""What surrogate gradient tries, by whether samples are a table; the program has the first."""

UNITS = {"test": "share", "neurons": "neurons", "fan_in": "synapses", "seconds": "seconds"}

SHARE_OF_SURROGATE = 0.75
"""Of the seconds that `examples/mnist.py` gets: the rest is for fine-tuning."""

LEAST_SECONDS = 20.0
"""That surrogate training gets, of each choice of inputs, where the convex program took less."""

Values = Mapping[str, Mapping[str, float]]
"""By method, a value for some of `UNITS`."""


def on_mnist(
    folder: Path,
    n_train: int,
    plans: Mapping[str, Mapping[str, object]],
    asked: Sequence[str],
    seed: int,
    known: Values,
) -> Values:
    """Measure by the methods that are asked for what is not known of one seed."""
    found = dict(known)
    for method, own in plans.items():
        if method in asked and method not in known:
            found[method] = convex_network(folder, n_train, own, seed)
    train, test = mnist_sequential.data_of(
        folder, n_train=n_train, n_steps=mnist_sequential.N_STEPS, seed=seed
    )
    if "sg" in asked and "sg" not in known and "cvx" in found:
        plan = convex.ConvexPlan(seed=seed, **plans["cvx"])
        digits, _ = convex.held_back(*digits_of(folder, n_train, seed), plan)
        jittered = digits.rows(plan.copies, np.random.default_rng([seed, 31]))
        found |= surrogate(train, jittered, test, plan.neurons, found["cvx"]["seconds"], seed)
    if "baselines" in asked and "logistic" not in known:
        for name, reached in mnist_sequential.baselines(train, test, seed=seed):
            found[name] = {"test": reached}
    return found


def convex_network(
    folder: Path, n_train: int, own: Mapping[str, object], seed: int
) -> Mapping[str, float]:
    """Fit the convex network of one plan, and test it on all test images."""
    plan = convex.ConvexPlan(seed=seed, **own)
    images, labels = digits_of(folder, n_train, seed)
    test = convex.sequential(*convex.load_digits(folder, "test"), n_steps=plan.n_steps)
    began = time.perf_counter()
    network = convex.fit_convex(images, labels, plan)
    return tested(network, test, time.perf_counter() - began)


def digits_of(
    folder: Path, n_train: int, seed: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return images and labels of the training digits of a seed."""
    images, labels = convex.load_digits(folder, "train")
    chosen = convex.balanced_subset(labels, n_train, seed=seed)
    return images[chosen], labels[chosen]


def surrogate(
    train: SpikeDataset,
    jittered: SpikeDataset,
    test: SpikeDataset,
    neurons: int,
    seconds: float,
    seed: int,
) -> Values:
    """Train by surrogate gradient in so many seconds; its hybrids get a third more to fine-tune.

    On the digits as they are, and again on the rows that the convex program has: of each method
    the network that does better on validation is tested.
    """
    best: dict[str, tuple[float, Network, float]] = {}
    for fit_on in (None, jittered):
        began = time.perf_counter()
        fitted = mnist_sequential.fit_digits(
            train, seed=seed, n_neurons=neurons, seconds=seconds / SHARE_OF_SURROGATE, fit_on=fit_on
        )
        elapsed = time.perf_counter() - began
        for name, network in fitted.steps.items():
            reached = fitted.validation[name]
            if name not in best or reached > best[name][0]:
                best[name] = (reached, network, seconds if name == "sg" else elapsed)
    return {name: tested(network, test, took) for name, (_, network, took) in best.items()}


def tested(network: Network, test: SpikeDataset, seconds: float) -> Mapping[str, float]:
    """Measure the card of a network on test images."""
    card = quantize(network, bits=READOUT_BITS)
    reached = accuracy(card, test.inputs, test.labels)
    return {"test": reached, "seconds": seconds, **size_of(card)}


def on_small(name: str, asked: Sequence[str], seed: int, known: Values) -> Values:
    """Fit by the methods that are asked for what is not known of one split."""
    found = dict(known)
    asked = [method for method in asked if REACHES.get(method) not in (None, *known)]
    if not asked:
        return found
    samples = small_data.samples(name)
    choices = INPUTS[samples.is_table]
    tried = choices if "sg" in asked else choices[:1]
    with tempfile.TemporaryDirectory(prefix="convexon-bench-") as folder:
        every, took = [], []
        for k, own in enumerate(tried):
            began = time.perf_counter()
            run = Run(Path(folder) / str(k))
            every.append(solve(run, samples, SolveSettings(seed=seed, **own)))
            took.append(time.perf_counter() - began)
        if "baselines" in asked:
            apart = Run(Path(folder) / "baselines")
            others = baselines(apart, samples, SolveSettings(seed=seed)).value
            found["reservoir"] = {
                "test": others.reservoir.accuracy_test,
                "neurons": others.reservoir.neurons,
            }
            found["logistic"] = {"test": others.logistic.accuracy_test}
    if "cvx" in asked:
        card, test = every[0].card.value, every[0].drawn.test.value
        found["cvx"] = {"test": every[0].accuracy(test), "seconds": took[0], **size_of(card)}
    if "sg" in asked:
        found["sg"] = best_trained(every, max(sum(took), LEAST_SECONDS * len(every)))
    return found


def best_trained(every: Sequence[Solved], seconds: float) -> Mapping[str, float]:
    """Train by surrogate gradient on every choice of inputs; what is best on validation is tested.

    The seconds are shared out evenly.
    """
    trainings = [trained(made, seconds / len(every)) for made in every]
    best = int(np.argmax([found.best.validation_accuracy for found in trainings]))
    card = quantize(trainings[best].network, bits=every[best].settings.readout_bits)
    test = every[best].drawn.test.value
    return {
        "test": accuracy(card, test.inputs, test.labels),
        "seconds": seconds,
        **size_of(card),
    }


def trained(made: Solved, seconds: float) -> Training:
    """Train as many neurons of the same kind by surrogate gradient on the same samples."""
    from convexon.train.surrogate.hybrid import train_end_to_end
    from convexon.train.surrogate.model import LayerPlan
    from convexon.train.surrogate.train import Lesson, TrainingPlan

    settings, train = made.settings, made.drawn.train.value
    fit, held = validation_split(train.labels, train.groups, seed=settings.seed)
    held = held[held < train.n_samples // (settings.jitter + 1)]  # no copies
    families = settings.families(train.n_inputs)
    each = -(-made.card.value.n_neurons // len(families))
    stacks = [[LayerPlan(n_neurons=each, family=family)] for family in families]
    lesson = Lesson(train=train.take(fit), validation=train.take(held))
    plan = TrainingPlan(epochs=200, seconds=seconds, seed=settings.seed)
    return train_end_to_end(stacks, lesson, settings.readout, plan)


def size_of(card: FixedPointNetwork) -> dict[str, float]:
    """Neurons of the last layers, and the mean of their synapses."""
    last = [branch.layers[-1] for branch in card.branches]
    fan_in = np.concatenate([np.count_nonzero(layer.weights, axis=0) for layer in last])
    return {"neurons": float(len(fan_in)), "fan_in": float(fan_in.mean())}


def figures_of(row: str, seeds: Sequence[Values]) -> list[Figure]:
    """Each seed's values, their means, and how sure the mean accuracy is."""
    found = []
    numbers: dict[str, int] = {}
    for method, units in {m: units for values in seeds for m, units in values.items()}.items():
        measured = {seed: v[method] for seed, v in enumerate(seeds) if method in v}
        numbers[method] = len(measured)
        for name in units:
            values = [each[name] for each in measured.values()]
            found += [
                (method, f"{name}.seed{seed}", each[name], name) for seed, each in measured.items()
            ]
            found.append((method, name, float(np.mean(values)), name))
            if name == "test" and len(values) > 1:
                error = float(np.std(values, ddof=1) / np.sqrt(len(values)))
                found.append((method, "test.stderr", error, name))
    return [
        Figure(
            name=f"engine.{row}.{method}.{name}",
            value=round(value, 4),
            unit=UNITS[kind],
            kind=FigureKind.MEASURED,
            source=f"benchmarks/engine.py, {numbers[method]} seeds, {READOUT_BITS}-bit readout",
        )
        for method, name, value, kind in found
    ]


def known_values(row: str, seed: int) -> Values:
    """What was measured of a seed before; empty where nothing was."""
    found: dict[str, dict[str, float]] = {}
    start, end = f"engine.{row}.", f".seed{seed}"
    for name, figure in (read_figures(RESULT) if RESULT.exists() else {}).items():
        if name.startswith(start) and name.endswith(end):
            method, kind = name.removeprefix(start).removesuffix(end).split(".")
            found.setdefault(method, {})[kind] = figure.value
    return found


def measure(row: str, fit: Callable[[int, Values], Values], n_seeds: int) -> None:
    """Measure of a row what is not known, seed by seed, and write it after each."""
    seeds = [known_values(row, seed) for seed in range(SEEDS)]
    for seed in range(n_seeds):
        seeds[seed] = fit(seed, seeds[seed])
        tests = {method: values["test"] for method, values in seeds[seed].items()}
        print(f"{row}, seed {seed}: {tests}", flush=True)
        known = read_figures(RESULT) if RESULT.exists() else {}
        found = {figure.name: figure for figure in figures_of(row, seeds)}
        write_figures({**known, **found}.values(), RESULT)


def main() -> None:
    """Measure, and write the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=os.environ.get("CONVEXON_DATA"))
    options.add_argument("--full", action="store_true", help="all 60,000 images")
    options.add_argument("--only", nargs="+", choices=(*LARGE, *small_data.DATA))
    options.add_argument("--seeds", type=int, default=SEEDS, choices=range(1, SEEDS + 1))
    options.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    given = options.parse_args()
    large = FULL if given.full else LARGE
    rows = list(FULL) if given.full else given.only or [*LARGE, *small_data.DATA]
    if given.data is None and set(rows) & set(large):
        options.error("--data must name the folder with the idx files, or set CONVEXON_DATA")
    for row in rows:
        if row in large:
            n_train, plans = large[row]
            fit = partial(on_mnist, Path(given.data), n_train, plans, given.methods)
        else:
            fit = partial(on_small, row, given.methods)
        measure(row, fit, given.seeds)


if __name__ == "__main__":
    main()
