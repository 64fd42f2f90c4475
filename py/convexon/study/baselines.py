"""What the method is compared with, each tuned on the same validation samples.

- the paper's method as it stands: Gaussian witnesses of K parallel LIF branches, hinge loss, the
  membrane's sign as readout (CVX of arXiv:2605.08022), on an integer grid fine enough for its leak;
- ridge regression on a random LIF reservoir;
- logistic regression on the raw input;
- surrogate gradient end to end through K parallel LIF branches, by `convexon.train.surrogate` (the
torch
  extra).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from convexon.convex.model.labels import targets_for
from convexon.convex.model.loss import LossKind, loss_for
from convexon.convex.model.penalty import L1
from convexon.convex.solvers.solver import solve
from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.snn.fixed import Interval, QFormat, width_of
from convexon.snn.network import Branch, Layer, Network
from convexon.snn.neuron import Leak, ReadoutMode, Reset
from convexon.study.fit import accuracy
from convexon.train.baseline import random_reservoir
from convexon.train.columns.dictionary import build_dictionary, patterns
from convexon.train.columns.rows import distinct_rows
from convexon.train.master import Task
from convexon.train.witnesses.alphabet import Alphabet
from convexon.train.witnesses.reconstruct import reconstruct
from convexon.train.witnesses.witness import Guide, WitnessFamily

if TYPE_CHECKING:
    from convexon.train.surrogate.model import LayerPlan

FloatArray = npt.NDArray[np.float64]
Classes = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.int64]]
"""Classes (samples, readouts) of inputs (samples, steps, inputs), of any number of steps where each
has a readout of its own."""

PAPER_LEAK = Leak(10, 10)
"""About the paper's 0.99."""

RIDGE_ALPHAS = tuple(10.0**k for k in range(-3, 5))
LOGISTIC_STRENGTHS = (0.01, 0.1, 1.0, 10.0)
PAPER_RHOS = (1e-1, 1e-2, 1e-3, 1e-4)

PAPER_TOLERANCE = 1e-3
"""Relative duality gap of the paper's programs."""

PAPER_BITS = 12
"""Bits of the paper's weights on our grid: at 8 a leak of 0.99 would be below its rounding."""

SURROGATE_BATCH = 128
"""Samples of a batch of surrogate training."""

SURROGATE_BITS = 8
"""Bits of weights that surrogate gradient trains: float32 then holds every membrane exactly."""

N_BRANCHES = 2
"""K, parallel branches, in nearly all of the paper's experiments."""


def paper_method(
    train: SpikeDataset,
    validation: SpikeDataset,
    *,
    widths: Sequence[int],
    seed: int,
    n_branches: int = N_BRANCHES,
    rhos: Sequence[float] = PAPER_RHOS,
    max_seconds: float | None = None,
) -> Network:
    """Fit the paper's CVX: random deep LIF branches, then the convex program over their columns.

    The loss is the hinge for two classes, softmax for more.

    Weights are Gaussian, with the paper's scale of one over the square root of the inputs, and
    rounded to `PAPER_BITS` bits; thresholds are one on that scale, inputs at most one.

    Parameters
    ----------
    train, validation : SpikeDataset
    widths : sequence of int
        Neurons of each hidden layer, over all branches.
    seed : int
    n_branches : int
        K.
    rhos : sequence of float
        Strengths to choose from on validation.
    max_seconds : float, optional
        Wall time of the program of each strength; the best weights found by then are taken.

    Raises
    ------
    InputError
        If a layer has fewer neurons than there are branches, or every strength leaves no neuron.
    """
    shares = _shares(widths, n_branches)
    generator = np.random.default_rng([seed, 5])
    top = int(train.inputs.max(initial=1))
    branches = [gaussian_branch(train.n_inputs, shares, top, generator) for _ in range(n_branches)]
    best = _best_readout(branches, train, validation, rhos, max_seconds)
    if best is None:
        raise InputError(f"rhos must leave a neuron active, not {tuple(rhos)!r}: lower them")
    return best


def _best_readout(
    branches: Sequence[Branch],
    train: SpikeDataset,
    validation: SpikeDataset,
    rhos: Sequence[float],
    max_seconds: float | None,
) -> Network | None:
    """Network of the strength that is best on validation; None if none leaves a neuron."""
    mode = ReadoutMode.STEP if train.has_step_labels else ReadoutMode.SIGN
    rows = distinct_rows(train, mode)
    dictionary = build_dictionary(branches, train, mode, rows=rows)
    two = train.n_classes == 2
    kind, n_outputs = (LossKind.HINGE, 1) if two else (LossKind.SOFTMAX, train.n_classes)
    best: tuple[float, Network] | None = None
    start = None
    for rho in sorted(rhos, reverse=True):
        task = Task(
            rows=rows,
            targets=targets_for(kind, rows.labels, n_outputs),
            loss=loss_for(kind),
            penalty=L1(),
            rho=rho,
            n_classes=n_outputs,
        )
        program = task.program(dictionary.bits, np.ones(dictionary.n_columns))
        start = solve(
            program,
            tolerance=PAPER_TOLERANCE,
            start=start,
            max_seconds=max_seconds,
            allow_unconverged=max_seconds is not None,
        ).W
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
    return None if best is None else best[1]


def _shares(widths: Sequence[int], n_branches: int) -> list[int]:
    """Neurons that one branch has of each layer."""
    if not widths or n_branches < 1 or min(widths) < n_branches:
        raise InputError(
            f"widths must hold at least {max(n_branches, 1)} neurons a layer, one a branch, "
            f"not {tuple(widths)!r}"
        )
    return [width // n_branches for width in widths]


def gaussian_branch(
    n_inputs: int, widths: Sequence[int], top: int, generator: np.random.Generator
) -> Branch:
    """Draw a branch as the paper does, for inputs of 0 to ``top``, on a fine integer grid."""
    layers = []
    alphabet = Alphabet.integers(PAPER_BITS)
    for width in widths:
        drawn = generator.standard_normal((n_inputs, width)) / np.sqrt(n_inputs)
        scale = alphabet.largest / float(np.abs(drawn).max())
        # The paper divides inputs by their largest value; here it multiplies the threshold.
        threshold = round(scale * top)
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
        n_inputs, top = width, 1
    return Branch(tuple(layers))


def ridge_reservoir(
    train: SpikeDataset, validation: SpikeDataset, *, n_neurons: int, seed: int
) -> Network:
    """Fit a ridge readout on a random recurrent LIF reservoir, alpha chosen on validation.

    The readout weighs spikes of each step where each has a label. Elsewhere it weighs spikes or
    membrane signs of the last step, or spike counts, whichever is best on validation.

    Parameters
    ----------
    train, validation : SpikeDataset
    n_neurons : int
    seed : int
    """
    generator = np.random.default_rng([seed, 2])
    branch = random_reservoir(train, n_neurons, generator)
    modes = [ReadoutMode.LAST, ReadoutMode.SIGN, ReadoutMode.COUNT]
    if train.has_step_labels:
        modes = [ReadoutMode.STEP]
    one_hot = np.eye(train.n_classes)[train.labels.ravel()]
    best: tuple[float, Network] | None = None
    for mode in modes:
        columns = patterns([branch], train, mode).astype(np.float64)
        for weights, biases in _ridge_path(columns, one_hot):
            network = Network(
                branches=(branch,),
                n_steps=train.n_steps,
                input_bits=train.input_bits,
                readout_mode=mode,
                readout_weights=weights,
                readout_biases=biases,
            )
            reached = accuracy(network, validation)
            if best is None or reached > best[0]:
                best = reached, network
    assert best is not None  # noqa: S101  # there is an alpha
    return best[1]


def _ridge_path(
    columns: FloatArray, targets: FloatArray
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Yield weights and biases of ridge regression for every alpha, from one decomposition."""
    mean, level = columns.mean(axis=0), targets.mean(axis=0)
    centred = columns - mean
    values, vectors = np.linalg.eigh(centred.T @ centred)
    projected = vectors.T @ (centred.T @ (targets - level))
    for alpha in RIDGE_ALPHAS:
        weights = vectors @ (projected / (np.maximum(values, 0.0)[:, None] + alpha))
        yield weights, level - mean @ weights


def logistic_on_raw(train: SpikeDataset, validation: SpikeDataset) -> Classes:
    """Fit logistic regression on the raw input, its strength chosen on validation.

    The input is the whole sample, or the step alone where each step has a label.
    """
    from sklearn.linear_model import LogisticRegression

    stepwise = train.has_step_labels
    top = float(train.inputs.max(initial=1))

    def raw(inputs: npt.NDArray[np.uint8]) -> FloatArray:
        rows = inputs.shape[0] * (inputs.shape[1] if stepwise else 1)
        return inputs.reshape(rows, -1).astype(np.float64) / top

    best: tuple[float, LogisticRegression] | None = None
    for strength in LOGISTIC_STRENGTHS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an unconverged fit is judged by its accuracy
            model = LogisticRegression(C=strength, max_iter=300)
            model.fit(raw(train.inputs), train.labels.ravel())
        named = model.predict(raw(validation.inputs))
        reached = float((named == validation.labels.ravel()).mean())
        if best is None or reached > best[0]:
            best = reached, model
    assert best is not None  # noqa: S101  # there is a strength
    chosen = best[1]

    def classes(inputs: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        return np.asarray(chosen.predict(raw(inputs)), dtype=np.int64).reshape(len(inputs), -1)

    return classes


def surrogate_gradient(
    train: SpikeDataset,
    validation: SpikeDataset,
    *,
    widths: Sequence[int],
    seconds: float,
    seed: int,
    n_branches: int = N_BRANCHES,
    leaks: Sequence[Leak] = (PAPER_LEAK,),
    learning_rates: Sequence[float] | None = None,
    max_epochs: int = 1000,
) -> Network:
    """Train deep LIF branches end to end by surrogate gradient (the paper's SG, tuned).

    Learning rate and leak are chosen on validation, and so is the epoch whose network is kept. The
    start is drawn alive, in every layer. The readout weighs spikes of the last step, or of each
    step where each has a label.

    Parameters
    ----------
    train, validation : SpikeDataset
    widths : sequence of int
        Neurons of each hidden layer, over all branches.
    seconds : float
        Wall time for everything: all learning rates and all leaks, in equal parts.
    seed : int
    n_branches : int
        K.
    leaks : sequence of Leak
    learning_rates : sequence of float, optional
        `convexon.train.surrogate.hybrid.LEARNING_RATES` where None.
    max_epochs : int
        Of each leak, over all learning rates: the end where it comes before that of ``seconds``.

    Raises
    ------
    InputError
        If a layer has fewer neurons than there are branches, or there is no leak.
    MissingToolError
        If torch is not installed.
    """
    from convexon.train.surrogate.hybrid import LEARNING_RATES, surrogate_baseline
    from convexon.train.surrogate.train import TrainingPlan

    if not leaks:
        raise InputError("leaks must hold at least one leak, not none")
    shares = _shares(widths, n_branches)
    layers = list(zip([train.n_inputs, *shares[:-1]], shares, strict=True))
    mode = ReadoutMode.STEP if train.has_step_labels else ReadoutMode.LAST
    plan = TrainingPlan(
        epochs=max_epochs, seconds=seconds / len(leaks), batch_size=SURROGATE_BATCH, seed=seed
    )
    trained = [
        surrogate_baseline(
            [_stack(layers, leak)] * n_branches,
            train,
            validation,
            mode=mode,
            plan=plan,
            learning_rates=learning_rates or LEARNING_RATES,
        )
        for leak in leaks
    ]
    return max(trained, key=lambda training: training.best.merit).network


def _stack(layers: Sequence[tuple[int, int]], leak: Leak) -> list[LayerPlan]:
    """Layers, by fan-in and neurons, that surrogate training starts from."""
    from convexon.train.surrogate.model import LayerPlan

    return [
        LayerPlan(
            n_neurons=n_neurons,
            family=WitnessFamily(
                fan_in=fan_in,
                alphabet=Alphabet.integers(SURROGATE_BITS),
                leak=leak,
                reset=Reset.SUBTRACT,
                guide=Guide.BLIND,
            ),
        )
        for fan_in, n_neurons in layers
    ]
