"""Measure sequential MNIST: `python benchmarks/mnist_sequential.py --data FOLDER [--full]`.

FOLDER holds MNIST's idx files (or set CONVEXON_DATA). Images come as T = 4 chunks of 196 binary
pixels; a delay line of recurrent threshold units brings them to the last step, and at most 1,024
threshold neurons with ternary weights read them. With 6,000 training digits, over three seeds:

- ``cvx``: drawn witnesses, weighed by the convex program, without any gradient;
- ``priced``: witnesses found by pricing;
- ``sg``: a surrogate-trained network of the same size and bits, its rate tuned;
- ``sg_cvx``: the neurons of surrogate-trained networks, weighed and pruned by the convex program;
- ``cvx_sg``: that network fine-tuned on the grid;
- ``test``: the one of all these that did best on validation;
- ``reservoir``, ``logistic``: baselines.

With --full all 60,000 digits are used, one seed. Writes benchmarks/results/mnist_sequential.json,
keeping the figures of the other part.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from baselines import logistic_on_raw, ridge_reservoir, right_on
from example import example

from convexon.convex.model.losses import Softmax
from convexon.convex.model.penalty import GroupL2
from convexon.data.dataset import SpikeDataset
from convexon.errors import ArtefactError
from convexon.quantizer.readout import quantize
from convexon.report.figure import Figure, FigureKind, read_figures, write_figures
from convexon.snn.network import Network
from convexon.train.columns.rows import distinct_rows
from convexon.train.generation import GenerationBudget, generate
from convexon.train.pricing.local import LocalSearch
from convexon.train.pricing.oracle import Oracle
from convexon.train.pricing.oracles import RandomDraws
from convexon.train.pricing.site import site_on
from convexon.train.witnesses.threshold import delay_line

mnist = example("mnist")
LEARNING_RATES, RHOS = mnist.LEARNING_RATES, mnist.RHOS
data_of, fit_digits, parts = mnist.data_of, mnist.fit_digits, mnist.parts

RESULT = Path(__file__).parent / "results" / "mnist_sequential.json"
N_STEPS, N_NEURONS = 4, 1024
READOUT_BITS = 8
PRICED_RHOS = (1e-3, 3e-4)
BLIND = RandomDraws(n_drawn=1024)
SEARCH = LocalSearch(n_candidates=192, n_moves=60, n_rows=2048)
RHOS_OF_ALL, RATES_OF_ALL = (3e-4, 1e-4), (0.1,)
"""Strengths to choose from with all digits, where a program takes minutes; and the rate that 6,000
digits chose."""


def methods(
    train: SpikeDataset, *, seed: int, seconds: float, without_gradient: bool
) -> Iterator[tuple[str, Network, float, float]]:
    """Yield each method's network with its validation accuracy and its seconds."""
    fit_on, chosen_on = parts(train, seed=seed)
    if without_gradient:
        for name, oracle, fan_in in (("cvx", BLIND, 32), ("priced", SEARCH, 48)):
            began = time.perf_counter()
            budget = budget_of(1 if name == "cvx" else 12, seconds)
            network = priced(fit_on, chosen_on, fan_in, oracle, budget=budget, seed=seed)
            yield name, network, right_on(network, chosen_on), time.perf_counter() - began
    began = time.perf_counter()
    fitted = fit_digits(
        train,
        seed=seed,
        n_neurons=N_NEURONS,
        seconds=seconds,
        rhos=RHOS if without_gradient else RHOS_OF_ALL,
        learning_rates=LEARNING_RATES if without_gradient else RATES_OF_ALL,
    )
    elapsed = time.perf_counter() - began
    for name, network in fitted.steps.items():
        yield name, network, fitted.validation[name], elapsed


def budget_of(rounds: int, seconds: float) -> GenerationBudget:
    """Return a budget that lets ``rounds`` of pricing find all neurons."""
    return GenerationBudget(
        max_rounds=rounds + 1,
        columns_per_round=-(-N_NEURONS // rounds),
        max_columns=N_NEURONS,
        max_seconds=seconds,
        tolerance=mnist.TOLERANCE,
        patience=3,
    )


def priced(
    fit_on: SpikeDataset,
    chosen_on: SpikeDataset,
    fan_in: int,
    oracle: Oracle,
    *,
    budget: GenerationBudget,
    seed: int,
) -> Network:
    """Fit without any surrogate: neurons by pricing alone (CVX), rho chosen on validation.

    Columns are priced at the smallest rho, which keeps the most of them.
    """
    rows = distinct_rows(fit_on, mnist.MODE)
    trunk = [delay_line(fit_on.n_inputs, fit_on.n_steps)]
    family = mnist.units(fan_in=fan_in)
    generated = generate(
        rows.problem(Softmax(), GroupL2(), min(PRICED_RHOS), n_outputs=fit_on.n_classes),
        [site_on(fit_on, rows, family, trunk=trunk, name="pixels")],
        [oracle],
        budget=budget,
        generator=np.random.default_rng([seed, 17]),
    )
    return mnist.best_readout(
        rows, generated.branches, generated.dictionary, chosen_on, PRICED_RHOS
    )


def baselines(train: SpikeDataset, test: SpikeDataset, *, seed: int) -> Iterator[tuple[str, float]]:
    """Yield the test accuracy of what the method is compared with."""
    fit_on, chosen_on = parts(train, seed=seed)
    reservoir = ridge_reservoir(fit_on, chosen_on, n_neurons=N_NEURONS, seed=seed)
    yield "reservoir", right_on(reservoir, test)
    named = logistic_on_raw(fit_on, chosen_on)(test.inputs)
    yield "logistic", float((named[:, 0] == test.labels).mean())


def one_seed(
    folder: Path, *, n_train: int, seed: int, seconds: float, whole: bool
) -> dict[str, float]:
    """Return test accuracies and sizes by method; the networks' readouts have 8 bits."""
    train, test = data_of(folder, n_train=n_train, n_steps=N_STEPS, seed=seed)
    found: dict[str, float] = {}
    best = -1.0
    for name, network, validation, elapsed in methods(
        train, seed=seed, seconds=seconds, without_gradient=whole
    ):
        card = quantize(network, bits=READOUT_BITS)
        reached = right_on(card, test)
        print(
            f"n {n_train}, seed {seed}, {name}: validation {100 * validation:.2f} %, "
            f"test {100 * reached:.2f} %, {card.n_features} neurons, {elapsed:.0f} s",
            flush=True,
        )
        key = name.replace("-", "_")
        found |= {key: reached, f"{key}.neurons": card.n_features, f"{key}.seconds": elapsed}
        if validation > best:
            best = validation
            found |= {"test": reached, "neurons": card.n_features}
    if whole:
        for name, reached in baselines(train, test, seed=seed):
            print(f"n {n_train}, seed {seed}, {name}: test {100 * reached:.2f} %", flush=True)
            found[name] = reached
    return found


def figures_of(prefix: str, seeds: list[dict[str, float]], source: str) -> Iterator[Figure]:
    """Yield means over the seeds, and the smallest and largest accuracy where there are several."""
    for name in seeds[0]:
        values = [found[name] for found in seeds if name in found]
        kinds = {"neurons": "neurons", "seconds": "seconds"}
        unit = kinds.get(name.rpartition(".")[2], "1")
        parts_of = [("", float(np.mean(values)))]
        if len(seeds) > 1 and unit == "1":
            parts_of += [(".min", min(values)), (".max", max(values))]
        for suffix, value in parts_of:
            yield Figure(
                name=f"mnist.{prefix}.{name}{suffix}",
                value=value,
                unit=unit,
                kind=FigureKind.MEASURED,
                source=source,
            )


def kept(prefix: str) -> list[Figure]:
    """Return the figures of the other part, as they are."""
    try:
        return [f for f in read_figures(RESULT).values() if not f.name.startswith(prefix)]
    except ArtefactError:
        return []


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("CONVEXON_DATA"))
    parser.add_argument("--full", action="store_true", help="all 60,000 digits, one seed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, help="for surrogate training, and for pricing")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("--data must name the folder with MNIST's idx files, or set CONVEXON_DATA")
    full = arguments.full
    seconds = arguments.seconds or (900.0 if full else 120.0)
    n_train, seeds = (60000, 1) if full else (6000, arguments.seeds)
    prefix = "full" if full else "t4.n6000"
    found = [
        one_seed(Path(arguments.data), n_train=n_train, seed=s, seconds=seconds, whole=not full)
        for s in range(seeds)
    ]
    source = (
        f"benchmarks/mnist_sequential.py, {n_train} digits, T 4, binary pixels, ternary weights, "
        f"8-bit readout, {seeds} seed(s), {seconds:g} s of surrogate training"
    )
    write_figures(
        [*kept(f"mnist.{prefix}."), *figures_of(prefix, found, source)],
        RESULT,
    )


if __name__ == "__main__":
    main()
