"""Sequential MNIST: an image in chunks, all pixels brought to the last step by a delay line.

The neurons above it are witnesses of a surrogate-trained network (SG-CVX of arXiv:2605.08022): the
convex program weighs them anew and prunes them to the number that is wanted. The result can be
fine-tuned on the grid (CVX then SG). Whatever does best on validation is returned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from convexon.convex.model.labels import targets_for
from convexon.convex.model.loss import LossKind, loss_for
from convexon.convex.model.penalty import GroupL2
from convexon.convex.solvers.solver import solve
from convexon.data.dataset import SpikeDataset
from convexon.data.mnist import balanced_subset, load_digits, sequential
from convexon.errors import InputError
from convexon.snn.network import Branch, Network
from convexon.snn.neuron import MEMORYLESS, ReadoutMode, Reset
from convexon.study.fit import accuracy
from convexon.train.columns.dictionary import SpikeDictionary, build_dictionary
from convexon.train.columns.rows import Rows, distinct_rows
from convexon.train.generation import GenerationBudget, Round, generate
from convexon.train.master import Task
from convexon.train.pricing.draw import RandomDraws
from convexon.train.pricing.local import LocalSearch
from convexon.train.pricing.oracle import Oracle
from convexon.train.pricing.site import Site, site_on
from convexon.train.witnesses.alphabet import Alphabet
from convexon.train.witnesses.reconstruct import reconstruct
from convexon.train.witnesses.threshold import delay_line
from convexon.train.witnesses.witness import WitnessFamily

if TYPE_CHECKING:
    from convexon.train.surrogate.train import TrainingPlan

MODE = ReadoutMode.LAST
VALIDATION_SHARE = 0.1
"""Share of the training digits on which rho and learning rates are chosen."""

RHOS = (1e-3, 3e-4, 1e-4, 3e-5)
"""Strengths of the row-group penalty to choose from."""

LEARNING_RATES, FINE_TUNING_RATES = (0.05, 0.1, 0.2), (0.01, 0.03)
"""Rates of surrogate training to choose from on validation."""

TOLERANCE = 3e-3
"""Duality gap of the programs that choose rho."""


def data_of(
    folder: Path, *, n_train: int, n_steps: int, seed: int
) -> tuple[SpikeDataset, SpikeDataset]:
    """Return ``n_train`` training digits, classes in their shares, and all test digits.

    Raises
    ------
    InputError, ArtefactError
        If there are not so many digits, or the files are missing or damaged.
    """
    images, labels = load_digits(folder, "train")
    if n_train < len(labels):
        chosen = balanced_subset(labels, n_train, seed=seed)
        images, labels = images[chosen], labels[chosen]
    train = sequential(images, labels, n_steps=n_steps, name="sequential MNIST, train")
    test = sequential(*load_digits(folder, "test"), n_steps=n_steps, name="sequential MNIST, test")
    return train, test


def parts(train: SpikeDataset, *, seed: int) -> tuple[SpikeDataset, SpikeDataset]:
    """Return the digits to fit on and those to choose on."""
    held = balanced_subset(train.labels, round(VALIDATION_SHARE * train.n_samples), seed=seed + 1)
    mask = np.zeros(train.n_samples, dtype=bool)
    mask[held] = True
    return train.take(np.flatnonzero(~mask)), train.take(held)


def units(*, bits: int = 2, fan_in: int | None = None, n_inputs: int = 784) -> WitnessFamily:
    """Return the family of the neurons above the delay line: threshold units."""
    return WitnessFamily(
        fan_in=n_inputs if fan_in is None else fan_in,
        alphabet=Alphabet.integers(bits),
        leak=MEMORYLESS,
        reset=Reset.NONE,
        at_last=True,
    )


def site_of(data: SpikeDataset, rows: Rows, family: WitnessFamily) -> Site:
    """Return the site above a delay line that holds the whole image."""
    trunk = [delay_line(data.n_inputs, data.n_steps)]
    return site_on(data, MODE, rows, family, trunk=trunk, name="pixels")


@dataclass(frozen=True, eq=False, kw_only=True)
class DigitsFit:
    """What the study came to, and its steps on the way.

    Members
    -------
    network : Network
        The best on validation.
    stages : mapping of str to Network
        ``sg``: surrogate-trained. ``sg-cvx``: its neurons, weighed by the convex program.
        ``cvx-sg``: that one, fine-tuned.
    validation : mapping of str to float
        Accuracy of each.
    """

    network: Network
    stages: dict[str, Network]
    validation: dict[str, float]


def fit_digits(
    train: SpikeDataset,
    *,
    seed: int,
    n_neurons: int,
    seconds: float,
    bits: int = 2,
    rhos: Sequence[float] = RHOS,
    learning_rates: Sequence[float] = LEARNING_RATES,
) -> DigitsFit:
    """Fit the hybrid: surrogate witnesses, convex program, fine-tuning.

    Parameters
    ----------
    train : SpikeDataset
    seed : int
    n_neurons : int
        Most neurons of the last layer.
    seconds : float
        Wall time for surrogate training, three quarters of it before the convex program.
    bits : int
        Of a hidden weight.
    rhos, learning_rates : sequences of float
        Strengths of the row-group penalty, and rates of surrogate training that share its time, to
        choose from on validation.

    Raises
    ------
    MissingToolError
        If torch is not installed.
    SolverError
        If a gap is not reached.
    """
    from convexon.train.surrogate.hybrid import fine_tune, surrogate_baseline
    from convexon.train.surrogate.model import LayerPlan

    fit_on, chosen_on = parts(train, seed=seed)
    lower = Branch((delay_line(train.n_inputs, train.n_steps),))
    family = units(bits=bits, n_inputs=lower.n_outputs)
    plan = training(seconds=0.75 * seconds, seed=seed)
    sg = surrogate_baseline(
        [[LayerPlan(n_neurons=n_neurons, family=family)]],
        fit_on,
        chosen_on,
        mode=MODE,
        plan=plan,
        learning_rates=learning_rates,
        lower=lower,
    ).network
    weighed = weighed_by_program(sg.branches[0], fit_on, chosen_on, rhos=rhos)
    tuned = fine_tune(
        weighed,
        fit_on,
        chosen_on,
        plan=training(seconds=0.25 * seconds, seed=seed),
        learning_rates=FINE_TUNING_RATES,
        fixed_layers=1,
    ).network
    stages = {"sg": sg, "sg-cvx": weighed, "cvx-sg": tuned}
    reached = {name: accuracy(network, chosen_on) for name, network in stages.items()}
    best = stages[max(stages, key=reached.__getitem__)]
    return DigitsFit(network=best, stages=stages, validation=reached)


def training(*, seconds: float, seed: int) -> TrainingPlan:
    """Return the settings of surrogate training on digits, for a budget of wall time."""
    from convexon.train.surrogate.train import TrainingPlan

    return TrainingPlan(
        epochs=60, seconds=seconds, input_dropout=0.2, label_smoothing=0.1, seed=seed
    )


def weighed_by_program(
    branch: Branch,
    fit_on: SpikeDataset,
    chosen_on: SpikeDataset,
    *,
    rhos: Sequence[float] = RHOS,
) -> Network:
    """Weigh the neurons of a branch by the softmax program, rho chosen on validation.

    Raises
    ------
    InputError
        If no rho leaves a neuron.
    SolverError
        If a gap is not reached.
    """
    rows = distinct_rows(fit_on, MODE)
    dictionary = build_dictionary([branch], fit_on, MODE, rows=rows)
    return best_of_path(fit_on, chosen_on, rows, [branch], dictionary, rhos=rhos)


def priced(
    fit_on: SpikeDataset,
    chosen_on: SpikeDataset,
    *,
    n_neurons: int,
    family: WitnessFamily,
    oracle: Oracle,
    seed: int,
    rhos: Sequence[float] = RHOS,
    max_rounds: int = 12,
    max_seconds: float | None = None,
    progress: Callable[[Round], None] | None = None,
) -> Network:
    """Fit without any surrogate: neurons by pricing alone (CVX), rho chosen on validation.

    Columns are priced at the smallest rho, which keeps the most of them.

    Raises
    ------
    InputError
        If no rho leaves a neuron.
    SolverError
        If a gap is not reached.
    """
    rows = distinct_rows(fit_on, MODE)
    generated = generate(
        _task(rows, min(rhos), fit_on.n_classes),
        [site_of(fit_on, rows, family)],
        [oracle],
        budget=GenerationBudget(
            max_rounds=max_rounds + 1,
            columns_per_round=-(-n_neurons // max_rounds),
            max_columns=n_neurons,
            max_seconds=max_seconds,
            tolerance=TOLERANCE,
            patience=3,
        ),
        generator=np.random.default_rng([seed, 17]),
        progress=progress,
    )
    return best_of_path(
        fit_on, chosen_on, rows, generated.branches, generated.dictionary, rhos=rhos
    )


def best_of_path(
    fit_on: SpikeDataset,
    chosen_on: SpikeDataset,
    rows: Rows,
    branches: Sequence[Branch],
    dictionary: SpikeDictionary,
    *,
    rhos: Sequence[float],
) -> Network:
    """Solve from the largest rho down, each from the weights of the one before; keep the best."""
    best: tuple[float, Network] | None = None
    start: npt.NDArray[np.float64] | None = None
    for rho in sorted(rhos, reverse=True):
        program = _task(rows, rho, fit_on.n_classes).program(
            dictionary.bits, np.ones(dictionary.n_columns)
        )
        start = solve(program, tolerance=TOLERANCE, start=start).W
        if not start[:-1].any():
            continue
        network = reconstruct(
            branches,
            dictionary,
            start,
            n_steps=fit_on.n_steps,
            input_bits=fit_on.input_bits,
            readout_mode=MODE,
        )
        reached = accuracy(network, chosen_on)
        if best is None or reached > best[0]:
            best = reached, network
    if best is None:
        raise InputError(f"rhos must leave a neuron active, not {tuple(rhos)!r}: lower them")
    return best[1]


def _task(rows: Rows, rho: float, n_classes: int) -> Task:
    return Task(
        rows=rows,
        targets=targets_for(LossKind.SOFTMAX, rows.labels, n_classes),
        loss=loss_for(LossKind.SOFTMAX),
        penalty=GroupL2(),
        rho=rho,
        n_classes=n_classes,
    )


BLIND = RandomDraws(n_drawn=1024)
SEARCH = LocalSearch(n_candidates=192, n_moves=60, n_rows=2048)
"""Oracles of the study without surrogates."""
