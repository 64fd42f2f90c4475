"""MNIST with a bound: `python examples/mnist_certified.py RUN --data FOLDER`.

FOLDER holds MNIST's idx files. A digit's pixels come at once, and a neuron is a ternary threshold
unit on a window of 3 x 3 pixels: there are 80 million of them. Column generation prices all of them
in every round, until the network found is provably near the best that any number of them can be.
`convexon certify RUN` checks that anew. An interrupted run goes on from the columns that it had.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from mnist import data_of
from run_folder import keep, parser, script

from convexon.convex.model.losses import Softmax
from convexon.convex.model.penalty import GroupL2
from convexon.convex.model.problem import Problem
from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.quantizer.readout import quantize
from convexon.snn.neuron import MEMORYLESS, ReadoutMode, Reset
from convexon.train.columns.rows import distinct_rows
from convexon.train.fit import Fitted, rebuilding
from convexon.train.generation import Generated, GenerationBudget, Round, generate
from convexon.train.master import Master, columns_on
from convexon.train.pricing.site import Site, site_on
from convexon.train.pricing.windows import WindowPricing
from convexon.train.witnesses.alphabet import TERNARY
from convexon.train.witnesses.witness import Field, WitnessFamily

SIDE, WINDOW = 28, 3
MODE = ReadoutMode.LAST
COLUMNS = "columns.npz"
"""File of a run folder with the columns of a run that is not at its end."""


@dataclass(frozen=True, kw_only=True)
class Pricing:
    """How the columns are grown."""

    rho: float = 4e-3  # strength of the row-group penalty
    gap: float = 1e-2  # relative gap over all neurons at which to end
    per_round: int = 600  # columns that join in a round
    rounds: int = 40  # rounds at most
    seconds: float | None = None  # wall time at most


def units(shape: tuple[int, int]) -> WitnessFamily:
    """Return the ternary threshold units on windows of a grid of inputs."""
    return WitnessFamily(
        fan_in=WINDOW * WINDOW,
        alphabet=TERNARY,
        leak=MEMORYLESS,
        reset=Reset.NONE,
        at_last=True,
        field=Field.of(shape),
    )


def site_of(train: SpikeDataset) -> Site:
    """Return where the threshold units stand: on the pixels, which come in one step."""
    return site_on(train, distinct_rows(train, MODE), units((SIDE, SIDE)), name="pixels")


def show(record: Round) -> None:
    """Print a round."""
    bound = record.exact_bound or 0.0
    print(
        f"{record.seconds:.0f} s, {record.n_columns} columns, {record.n_active} active, objective "
        f"{record.objective:.6f}, largest ratio {record.largest_ratio:.4f}, bound {bound:.6f}",
        flush=True,
    )


def fit_certified(
    site: Site,
    train: SpikeDataset,
    plan: Pricing,
    *,
    seed: int,
    kept: Path,
    progress: Callable[[Round], None] = show,
) -> Fitted:
    """Grow columns until the gap over all neurons closes; ``kept`` holds them between rounds."""
    oracle = WindowPricing()
    problem = site.rows.problem(Softmax(), GroupL2(), plan.rho, n_outputs=train.n_classes)
    master = Master.empty(problem, site.max_feature)
    if kept.exists():
        resume(master, site, kept)

    def watch(record: Round) -> None:
        if master.places:
            save(master, kept)
        progress(record)

    budget = GenerationBudget(
        max_rounds=plan.rounds,
        max_columns=1 << 14,
        max_seconds=plan.seconds,
        columns_per_round=plan.per_round,
        tolerance=1e-5,
        patience=3,
        gap=plan.gap,
    )
    found = generate(
        problem,
        [site],
        [oracle],
        budget=budget,
        generator=np.random.default_rng([seed, 31]),
        progress=watch,
        master=master,
    )
    return fitted_of(problem, site, oracle, found, train)


def fitted_of(
    problem: Problem, site: Site, oracle: WindowPricing, found: Generated, train: SpikeDataset
) -> Fitted:
    """Return the network of the columns, with what certifies it."""
    if not found.solution.W[:-1].any():
        raise InputError(f"rho must leave a neuron active, not {problem.rho!r}: lower it")
    rebuild = rebuilding(found.branches, found.dictionary, train, MODE)
    network = rebuild(found.solution.W)
    return Fitted(
        problem=problem,
        generated=found,
        sites=[site],
        oracles=[oracle],
        network=network,
        card=quantize(network, bits=8),
        validation={},  # the strength was given
    )


def save(master: Master, path: Path) -> None:
    """Write the master's columns and weights."""
    layers = [layer for _, layer in master.places]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part.npz")
    np.savez_compressed(
        partial,
        weights=np.concatenate([layer.weights for layer in layers], axis=1).astype(np.int8),
        thresholds=np.concatenate([layer.thresholds for layer in layers]),
        W=master.start,
    )
    partial.replace(path)


def resume(master: Master, site: Site, path: Path) -> None:
    """Fill an empty master with the columns that `save` wrote."""
    with np.load(path) as held:
        weights: npt.NDArray[np.int64] = held["weights"].astype(np.int64)
        layer = site.family.layer(weights, held["thresholds"])
        master.add(columns_on(site, layer))
        master.start = held["W"]


def main() -> None:
    """Fit, test on all test digits, and write the run folder."""
    options = parser(__doc__)
    folder = os.environ.get("CONVEXON_DATA")
    plan = Pricing()
    options.add_argument("--data", type=Path, default=folder, help="folder with the idx files")
    options.add_argument("--train", type=int, default=1000, help="training digits")
    options.add_argument("--rho", type=float, default=8e-3, help="strength of the penalty")
    options.add_argument("--gap", type=float, default=plan.gap, help="relative gap to end at")
    options.add_argument("--rounds", type=int, default=plan.rounds, help="rounds of pricing")
    given: argparse.Namespace = options.parse_args()
    if given.data is None:
        options.error("--data must name the folder with MNIST's idx files, or set CONVEXON_DATA")
    train, test = data_of(Path(given.data), n_train=given.train, n_steps=1, seed=given.seed)
    chosen = Pricing(rho=given.rho, gap=given.gap, rounds=given.rounds)
    kept = given.run / COLUMNS
    fitted = fit_certified(site_of(train), train, chosen, seed=given.seed, kept=kept)
    keep(given, train, test, fitted)
    kept.unlink()


if __name__ == "__main__":
    script(main)
