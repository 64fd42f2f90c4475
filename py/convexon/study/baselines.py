"""What the method is compared with, each tuned on the same validation samples.

- the paper's method as it stands: Gaussian witnesses of K parallel LIF branches, hinge loss, the
  membrane's sign as readout (CVX of arXiv:2605.08022), on our integer grid;
- ridge regression on a random LIF reservoir;
- logistic regression on the raw input;
- surrogate gradient end to end, by `convexon.surrogate` (the torch extra).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from convexon.convex.alphabet import Alphabet
from convexon.convex.dictionary import build_dictionary, patterns
from convexon.convex.labels import targets_for
from convexon.convex.loss import LossKind, loss_for
from convexon.convex.master import Task
from convexon.convex.penalty import L1
from convexon.convex.reconstruct import reconstruct
from convexon.convex.rows import distinct_rows
from convexon.convex.solver import solve
from convexon.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.fixed import Interval, QFormat, width_of
from convexon.network import Branch, Layer, Network
from convexon.neuron import Leak, ReadoutMode, Reset
from convexon.study.fit import accuracy

FloatArray = npt.NDArray[np.float64]
Decide = Callable[[SpikeDataset], npt.NDArray[np.int64]]

PAPER_LEAK = Leak(10, 10)
"""About the paper's 0.99."""

RIDGE_ALPHAS = tuple(10.0**k for k in range(-3, 5))
LOGISTIC_STRENGTHS = (0.01, 0.1, 1.0, 10.0)
PAPER_RHOS = (1e-1, 1e-2, 1e-3)


def paper_method(
    train: SpikeDataset,
    validation: SpikeDataset,
    *,
    n_layers: int,
    width: int,
    seed: int,
    n_branches: int = 2,
    rhos: Sequence[float] = PAPER_RHOS,
) -> Network:
    """Fit the paper's CVX: random deep LIF branches, then the convex program over their columns.

    Weights are Gaussian, with the paper's scale of one over the square root of the inputs, rounded
    to 8 bits; thresholds are one on that scale.

    Parameters
    ----------
    train, validation : SpikeDataset
    n_layers : int
        Hidden layers of a branch.
    width : int
        Neurons of a layer, over all branches.
    seed : int
    n_branches : int
        K.
    rhos : sequence of float
        Strengths to choose from on validation.

    Raises
    ------
    InputError
        If every strength leaves no neuron.
    """
    generator = np.random.default_rng([seed, 5])
    branches = [
        _gaussian_branch(train.n_inputs, n_layers, width // n_branches, generator)
        for _ in range(n_branches)
    ]
    mode = ReadoutMode.STEP if train.has_step_labels else ReadoutMode.SIGN
    rows = distinct_rows(train, mode)
    dictionary = build_dictionary(branches, train, mode, rows=rows)
    loss = LossKind.HINGE
    n_outputs = 1 if train.n_classes == 2 else train.n_classes
    best: tuple[float, Network] | None = None
    start = None
    for rho in sorted(rhos, reverse=True):
        task = Task(
            rows=rows,
            targets=targets_for(loss, rows.labels, n_outputs),
            loss=loss_for(loss),
            penalty=L1(),
            rho=rho,
            n_classes=n_outputs,
        )
        program = task.program(dictionary.bits, np.ones(dictionary.n_columns))
        start = solve(program, tolerance=1e-3, start=start).W
        if not start[:-1].any():
            continue
        network = reconstruct(
            branches,
            dictionary,
            start,
            n_steps=train.n_steps,
            input_bits=train.input_bits,
            readout_mode=mode,
        )
        reached = accuracy(network, validation)
        if best is None or reached > best[0]:
            best = reached, network
    if best is None:
        raise InputError(f"rhos must leave a neuron active, not {tuple(rhos)!r}: lower them")
    return best[1]


def _gaussian_branch(
    n_inputs: int, n_layers: int, width: int, generator: np.random.Generator
) -> Branch:
    """Draw a branch as the paper does, on a grid of 8 bits."""
    layers = []
    alphabet = Alphabet.integers(8)
    for _ in range(n_layers):
        drawn = generator.standard_normal((n_inputs, width)) / np.sqrt(n_inputs)
        scale = alphabet.largest / float(np.abs(drawn).max())
        threshold = max(1, round(scale))
        layers.append(
            Layer(
                weights=alphabet.nearest(drawn * scale),
                thresholds=np.full(width, threshold),
                biases=np.zeros(width, dtype=np.int64),
                leak=PAPER_LEAK,
                reset=Reset.SUBTRACT,
                weight_format=alphabet.format,
                threshold_format=QFormat(width_of(Interval(0, threshold))),
            )
        )
        n_inputs = width
    return Branch(tuple(layers))


def ridge_reservoir(
    train: SpikeDataset, validation: SpikeDataset, *, n_neurons: int, seed: int
) -> Network:
    """Fit a ridge readout on a random recurrent LIF reservoir, alpha chosen on validation.

    The readout weighs the spikes of the last step, or of each step where each has a label.
    """
    from convexon.baseline import random_reservoir

    generator = np.random.default_rng([seed, 2])
    branch = random_reservoir(train, n_neurons, generator)
    mode = ReadoutMode.STEP if train.has_step_labels else ReadoutMode.LAST
    columns = patterns([branch], train, mode).astype(np.float64)
    labels = train.labels.ravel()
    one_hot = np.eye(train.n_classes)[labels] - 1.0 / train.n_classes
    mean = columns.mean(axis=0)
    centred = columns - mean
    values, vectors = np.linalg.eigh(centred.T @ centred)
    projected = vectors.T @ (centred.T @ (one_hot - one_hot.mean(axis=0)))
    best: tuple[float, Network] | None = None
    for alpha in RIDGE_ALPHAS:
        weights = vectors @ (projected / (np.maximum(values, 0.0)[:, None] + alpha))
        network = Network(
            branches=(branch,),
            n_steps=train.n_steps,
            input_bits=train.input_bits,
            readout_mode=mode,
            readout_weights=weights,
            readout_biases=one_hot.mean(axis=0) - mean @ weights,
        )
        reached = accuracy(network, validation)
        if best is None or reached > best[0]:
            best = reached, network
    assert best is not None  # noqa: S101  # there is an alpha
    return best[1]


def logistic_on_raw(train: SpikeDataset, validation: SpikeDataset) -> Decide:
    """Fit logistic regression on the raw input, its strength chosen on validation.

    The input is the whole sample, or the step alone where each step has a label.
    """
    from sklearn.linear_model import LogisticRegression

    def raw(data: SpikeDataset) -> FloatArray:
        rows = data.n_samples * (data.n_steps if data.has_step_labels else 1)
        return data.inputs.reshape(rows, -1).astype(np.float64) / data.input_range.high

    best: tuple[float, LogisticRegression] | None = None
    for strength in LOGISTIC_STRENGTHS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an unconverged fit is judged by its accuracy
            model = LogisticRegression(C=strength, max_iter=300)
            model.fit(raw(train), train.labels.ravel())
        reached = float((model.predict(raw(validation)) == validation.labels.ravel()).mean())
        if best is None or reached > best[0]:
            best = reached, model
    assert best is not None  # noqa: S101  # there is a strength
    chosen = best[1]
    return lambda data: np.asarray(chosen.predict(raw(data)), dtype=np.int64)
