"""Sequential MNIST: `python examples/mnist.py RUN --data FOLDER`; needs the torch extra.

FOLDER holds MNIST's idx files. An image comes in chunks; a delay line brings all pixels to the last
step. The neurons above it are witnesses of a surrogate-trained network (SG-CVX of
arXiv:2605.08022): the convex program weighs them anew and prunes them to the number that is wanted.
The result is fine-tuned on the grid (CVX then SG). Whatever does best on validation is kept.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from mnist_data import N_CLASSES, balanced_subset, load_digits, sequential
from run_folder import keep, parser, script

from convexon.convex.model.losses import Softmax
from convexon.convex.model.penalty import GroupL2
from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.snn.models.simulate import accuracy
from convexon.snn.network import Branch, Network
from convexon.snn.neuron import MEMORYLESS, ReadoutMode, Reset
from convexon.train.columns.dictionary import SpikeDictionary, build_dictionary
from convexon.train.columns.rows import Rows, distinct_rows
from convexon.train.fit import best_on_path, rebuilding
from convexon.train.master import program_over
from convexon.train.surrogate.hybrid import fine_tune, train_end_to_end
from convexon.train.surrogate.model import LayerPlan
from convexon.train.surrogate.train import Lesson, TrainingPlan
from convexon.train.witnesses.alphabet import Alphabet
from convexon.train.witnesses.threshold import delay_line
from convexon.train.witnesses.witness import WitnessFamily

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
        If there are not so many digits or too few to choose on, or files are missing or damaged.
    """
    least = round(N_CLASSES / VALIDATION_SHARE)
    if n_train < least:
        raise InputError(
            f"train must be at least {least}, of which {VALIDATION_SHARE:.0%} are to choose on "
            f"and hold every digit, not {n_train}"
        )
    images, labels = load_digits(folder, "train")
    if n_train > len(labels):
        raise InputError(f"train must be at most the {len(labels)} digits in {folder}")
    if n_train < len(labels):
        chosen = balanced_subset(labels, n_train, seed=seed)
        images, labels = images[chosen], labels[chosen]
    train = sequential(images, labels, n_steps=n_steps, name="sequential MNIST, train")
    test = sequential(*load_digits(folder, "test"), n_steps=n_steps, name="sequential MNIST, test")
    return train, test


def parts(train: SpikeDataset, *, seed: int) -> tuple[SpikeDataset, SpikeDataset]:
    """Return the digits to fit on and those to choose on."""
    held = balanced_subset(train.labels, round(VALIDATION_SHARE * train.n_samples), seed=seed + 1)
    rest = np.setdiff1d(np.arange(train.n_samples), held)
    return train.take(rest), train.take(held)


def units(*, bits: int = 2, fan_in: int | None = None, n_inputs: int = 784) -> WitnessFamily:
    """Return the family of the neurons above the delay line: threshold units."""
    return WitnessFamily(
        fan_in=n_inputs if fan_in is None else fan_in,
        alphabet=Alphabet.integers(bits),
        leak=MEMORYLESS,
        reset=Reset.NONE,
        at_last=True,
    )


def best_readout(
    rows: Rows,
    branches: Sequence[Branch],
    dictionary: SpikeDictionary,
    chosen_on: SpikeDataset,
    rhos: Sequence[float],
) -> Network:
    """Weigh a dictionary's columns by the softmax program; rho is chosen on validation."""
    problem = rows.problem(Softmax(), GroupL2(), min(rhos), n_outputs=chosen_on.n_classes)
    return best_on_path(
        program_over(problem, dictionary.bits, np.ones(dictionary.n_columns)),
        rebuilding(branches, dictionary, chosen_on, MODE),
        chosen_on,
        rhos=rhos,
        tolerance=TOLERANCE,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class DigitsFit:
    """What the fit came to, and its steps on the way.

    Members
    -------
    steps : mapping of str to Network
        ``sg``: surrogate-trained. ``sg-cvx``: its neurons, weighed by the convex program.
        ``cvx-sg``: that one, fine-tuned.
    validation : mapping of str to float
        Accuracy of each.
    """

    steps: Mapping[str, Network]
    validation: Mapping[str, float]

    @property
    def network(self) -> Network:
        """The best on validation."""
        return self.steps[max(self.steps, key=self.validation.__getitem__)]


def fit_digits(
    train: SpikeDataset,
    *,
    seed: int,
    n_neurons: int,
    seconds: float,
    rhos: Sequence[float] = RHOS,
    learning_rates: Sequence[float] = LEARNING_RATES,
    fit_on: SpikeDataset | None = None,
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
    rhos, learning_rates : sequences of float
        Strengths of the row-group penalty, and rates of surrogate training that share its time, to
        choose from on validation.
    fit_on : SpikeDataset, optional
        In place of the digits of ``train`` that are not held back to choose on, such as these and
        jittered ones.
    """
    rest, chosen_on = parts(train, seed=seed)
    fit_on = rest if fit_on is None else fit_on
    lower = Branch((delay_line(train.n_inputs, train.n_steps),))
    lesson = Lesson(train=fit_on, validation=chosen_on)
    plan = TrainingPlan(
        epochs=60, seconds=0.75 * seconds, input_dropout=0.2, label_smoothing=0.1, seed=seed
    )
    layer = LayerPlan(n_neurons=n_neurons, family=units(n_inputs=lower.n_outputs))
    sg = train_end_to_end(
        [[layer]], lesson, MODE, plan, learning_rates=learning_rates, lower=lower
    ).network
    rows = distinct_rows(fit_on, MODE)
    dictionary = build_dictionary(sg.branches, fit_on, MODE, rows=rows)
    weighed = best_readout(rows, sg.branches, dictionary, chosen_on, rhos)
    tuned = fine_tune(
        weighed,
        lesson,
        replace(plan, seconds=0.25 * seconds),
        learning_rates=FINE_TUNING_RATES,
        fixed_layers=1,
    ).network
    steps = {"sg": sg, "sg-cvx": weighed, "cvx-sg": tuned}
    reached = {
        name: accuracy(network, chosen_on.inputs, chosen_on.labels)
        for name, network in steps.items()
    }
    return DigitsFit(steps=steps, validation=reached)


def main() -> None:
    """Fit, test on all test digits, and write the run folder."""
    options = parser(__doc__)
    folder = os.environ.get("CONVEXON_DATA")
    options.add_argument("--data", type=Path, default=folder, help="folder with the idx files")
    options.add_argument("--train", type=int, default=2000, help="training digits")
    options.add_argument("--steps", type=int, default=4, help="T, chunks of an image")
    options.add_argument("--neurons", type=int, default=1024, help="most last-layer neurons")
    options.add_argument("--seconds", type=float, default=180.0, help="for surrogate training")
    given = options.parse_args()
    if given.data is None:
        options.error("--data must name the folder with MNIST's idx files, or set CONVEXON_DATA")
    train, test = data_of(
        Path(given.data), n_train=given.train, n_steps=given.steps, seed=given.seed
    )
    fitted = fit_digits(train, seed=given.seed, n_neurons=given.neurons, seconds=given.seconds)
    keep(given, train, test, fitted.network)


if __name__ == "__main__":
    script(main)
