"""MNIST without any gradient: `python examples/mnist_convex.py RUN --data FOLDER`.

FOLDER holds MNIST's idx files. An image comes in chunks, and a delay line brings all pixels to the
last step. The threshold neurons above it see rectangles of the image: each weighs the difference of
two training digits of different classes there. Eight times as many are drawn as are kept; those are
kept that explain most of what the ones before left open; and the convex program weighs them.
With `--cells` the neurons are logic cells, one LUT each: Boolean functions of four pixels of a
rectangle of 3 x 3, of which pricing finds the best for what is left, out of more than four billion.
Each neuron then changes a synapse at a time, as far as the loss falls, in a few sweeps over all of
them. Digits that are jittered are further rows. Digits held back choose the regularisation.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from mnist import MODE, VALIDATION_SHARE, units
from mnist_data import N_CLASSES, balanced_subset, load_digits, sequential
from run_folder import keep, parser, script

from convexon.convex.model.losses import Softmax
from convexon.convex.model.penalty import GroupL2
from convexon.convex.solvers.solver import solve
from convexon.data.dataset import SpikeDataset
from convexon.snn.network import Branch, Layer, Network
from convexon.train.columns.bits import BitColumns
from convexon.train.columns.dictionary import build_dictionary
from convexon.train.columns.rows import distinct_rows
from convexon.train.fit import best_on_path, rebuilding
from convexon.train.jitter import jittered
from convexon.train.master import program_over
from convexon.train.pricing.cells import CellPricing
from convexon.train.pricing.site import site_on
from convexon.train.pursuit import Pursuit, pursue, pursue_priced
from convexon.train.refinement import Refinement, refine
from convexon.train.witnesses.threshold import delay_line
from convexon.train.witnesses.witness import Field, WitnessFamily, draw_branch

SIDE = 28

RHOS = (3e-4, 1e-4)
"""Strengths of the row-group penalty to choose from."""

TOLERANCE, SWEPT = 1e-2, 3e-2
"""Duality gaps of the programs that choose rho, and that neurons are refined for."""


@dataclass(frozen=True, kw_only=True)
class ConvexPlan:
    """How the digits are fitted."""

    neurons: int = 1024  # of the last layer, at most
    drawn: int = 8  # witnesses drawn for each that is kept
    fan_in: int = 64  # of a neuron, at most
    bits: int = 2  # of a hidden weight
    n_steps: int = 4  # T, chunks of an image
    copies: int = 10  # rows of a digit: itself, and jittered
    selected_on: int = 30_000  # rows that select neurons, and that refine them in a sweep, at most
    rhos: tuple[float, ...] = RHOS
    sweeps: int = 8  # of refinement
    cells: bool = False  # whether the neurons are logic cells
    seed: int = 0


def pixels(n_steps: int) -> npt.NDArray[np.int64]:
    """Return the delay line's unit that holds each pixel at the last step, (28, 28)."""
    chunk = -(-SIDE * SIDE // n_steps)
    pixel = np.arange(SIDE * SIDE)
    ago = n_steps - 1 - pixel // chunk
    return (ago * chunk + pixel % chunk).reshape(SIDE, SIDE)


def selected(
    drawn: Branch,
    fit_on: SpikeDataset,
    family: WitnessFamily,
    plan: ConvexPlan,
    generator: np.random.Generator,
) -> Layer:
    """Return the neurons of the last layer drawn that together explain most of the rows."""
    some = some_of(fit_on, plan, generator)
    rows = distinct_rows(some, MODE)
    columns = build_dictionary([drawn], some, MODE, rows=rows)
    kept = pursue(
        columns.bits, rows.labels, N_CLASSES, Pursuit(keep=plan.neurons), counts=rows.counts
    )
    neurons = np.sort(columns.witnesses[kept, 1])
    last = drawn.layers[-1]
    return family.layer(last.weights[:, neurons], last.thresholds[neurons])


def priced_cells(
    line: Layer,
    fit_on: SpikeDataset,
    family: WitnessFamily,
    plan: ConvexPlan,
    generator: np.random.Generator,
) -> Layer:
    """Return logic cells on the pixels, each block the best for what the ones before left open."""
    some = some_of(fit_on, plan, generator)
    site = site_on(some, distinct_rows(some, MODE), family, trunk=[line])
    oracle = CellPricing(exact=False)
    wanted = Pursuit(keep=plan.neurons)
    return pursue_priced(site, oracle, N_CLASSES, wanted, generator=generator)


def refined(
    line: Layer,
    last: Layer,
    digits: Digits,
    family: WitnessFamily,
    plan: ConvexPlan,
    generator: np.random.Generator,
) -> tuple[Layer, npt.NDArray[np.float64] | None]:
    """Return the neurons after their sweeps of refinement, each on digits jittered anew.

    And the readout weights that the last sweep began with.
    """
    count, weights = min(plan.selected_on, plan.copies * len(digits.labels)), None
    for _ in range(plan.sweeps):
        some = digits.fresh(count, generator)
        rows = distinct_rows(some, MODE)
        site = site_on(some, rows, family, trunk=[line])
        problem = rows.problem(Softmax(), GroupL2(), min(plan.rhos), n_outputs=N_CLASSES)
        columns = BitColumns.pack(site.features(last))
        program = program_over(problem, columns, np.ones(last.n_neurons))
        weights = solve(program, tolerance=SWEPT, start=weights).W
        hidden, intercept = weights[:-1], weights[-1]
        last = refine(site, last, hidden, intercept, problem, Refinement(), generator=generator)
    return last, weights


def some_of(fit_on: SpikeDataset, plan: ConvexPlan, generator: np.random.Generator) -> SpikeDataset:
    """Return the rows that select neurons."""
    count = min(plan.selected_on, fit_on.n_samples)
    return fit_on.take(np.sort(generator.permutation(fit_on.n_samples)[:count]))


@dataclass(frozen=True, eq=False)
class Digits:
    """Training digits, as rows of a program."""

    images: npt.NDArray[np.uint8]  # (samples, 784)
    labels: npt.NDArray[np.int64]
    n_steps: int

    def rows(self, copies: int, generator: np.random.Generator) -> SpikeDataset:
        """Return every digit as it is, and jittered, ``copies`` times in all."""
        every = [self.images, *(_moved(self.images, generator) for _ in range(copies - 1))]
        labels = np.tile(self.labels, copies)
        return sequential(np.concatenate(every), labels, n_steps=self.n_steps)

    def fresh(self, count: int, generator: np.random.Generator) -> SpikeDataset:
        """Return ``count`` digits at random, each jittered."""
        chosen = generator.integers(len(self.labels), size=count)
        moved = _moved(self.images[chosen], generator)
        return sequential(moved, self.labels[chosen], n_steps=self.n_steps)


def _moved(images: npt.NDArray[np.uint8], generator: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Return images (samples, 784), each jittered."""
    return jittered(images.reshape(-1, SIDE, SIDE), generator).reshape(images.shape)


def held_back(
    images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], plan: ConvexPlan
) -> tuple[Digits, SpikeDataset]:
    """Return the digits to fit on, and those that choose the regularisation."""
    count = round(VALIDATION_SHARE * len(labels))
    held = balanced_subset(labels, count, seed=plan.seed + 1)
    rest = np.setdiff1d(np.arange(len(labels)), held)
    chosen_on = sequential(images[held], labels[held], n_steps=plan.n_steps)
    return Digits(images[rest], labels[rest], plan.n_steps), chosen_on


def fit_convex(
    images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], plan: ConvexPlan
) -> Network:
    """Draw and select, or price; refine; weigh."""
    digits, chosen_on = held_back(images, labels, plan)
    generator = np.random.default_rng([plan.seed, 29])
    fit_on = digits.rows(plan.copies, generator)
    family = units(bits=plan.bits, fan_in=plan.fan_in)
    seeing: WitnessFamily = replace(family, field=Field(places=pixels(plan.n_steps)))
    line = delay_line(fit_on.n_inputs, fit_on.n_steps)
    if plan.cells:
        last = priced_cells(line, fit_on, seeing, plan, generator)
    else:
        widths = [plan.drawn * plan.neurons]
        plain = digits.rows(1, generator)
        drawn = draw_branch([seeing], plain, widths=widths, generator=generator, trunk=[line])
        last = selected(drawn, fit_on, family, plan, generator)
    last, start = refined(line, last, digits, seeing, plan, generator)
    branch = Branch((line, last))
    rows = distinct_rows(fit_on, MODE)
    dictionary = build_dictionary([branch], fit_on, MODE, rows=rows)
    problem = rows.problem(Softmax(), GroupL2(), min(plan.rhos), n_outputs=N_CLASSES)
    if start is not None:
        start = start[np.append(dictionary.witnesses[:, 1], -1)]
    return best_on_path(
        program_over(problem, dictionary.bits, np.ones(dictionary.n_columns)),
        rebuilding([branch], dictionary, chosen_on, MODE),
        chosen_on,
        rhos=plan.rhos,
        tolerance=TOLERANCE,
        start=start,
    )


def main() -> None:
    """Fit, test on all test digits, and write the run folder."""
    options = parser(__doc__)
    folder = os.environ.get("CONVEXON_DATA")
    options.add_argument("--data", type=Path, default=folder, help="folder with the idx files")
    options.add_argument("--train", type=int, default=2000, help="training digits")
    options.add_argument("--steps", type=int, default=4, help="T, chunks of an image")
    options.add_argument("--neurons", type=int, default=1024, help="most last-layer neurons")
    options.add_argument("--cells", action="store_true", help="logic cells, one LUT a neuron")
    given = options.parse_args()
    if given.data is None:
        options.error("--data must name the folder with MNIST's idx files, or set CONVEXON_DATA")
    images, labels = load_digits(Path(given.data), "train")
    chosen = balanced_subset(labels, given.train, seed=given.seed)
    images, labels = images[chosen], labels[chosen]
    plan = ConvexPlan(
        neurons=given.neurons, n_steps=given.steps, cells=given.cells, seed=given.seed
    )
    network = fit_convex(images, labels, plan)
    train = sequential(images, labels, n_steps=given.steps, name="sequential MNIST, train")
    test_images, test_labels = load_digits(Path(given.data), "test")
    test = sequential(test_images, test_labels, n_steps=given.steps, name="sequential MNIST, test")
    keep(given, train, test, network)


if __name__ == "__main__":
    script(main)
