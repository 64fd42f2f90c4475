"""What the method is compared with, each tuned on the same validation samples.

- the paper's method as it stands: Gaussian witnesses of K parallel LIF branches, hinge loss, the
  membrane's sign as readout (CVX of arXiv:2605.08022), on an integer grid fine enough for its leak;
- ridge regression on a random LIF reservoir;
- logistic regression on the raw input;
- surrogate gradient end to end through K parallel LIF branches, by `convexon.train.surrogate` (the
  torch extra);
- the paper's hybrids: neurons that surrogate gradient trained, weighed by the convex program
  (SG-CVX), and a convex solution that surrogate gradient trains further (CVX then SG).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from convexon.convex.model.loss import Loss
from convexon.convex.model.losses import Hinge, Softmax
from convexon.convex.model.penalty import L1
from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.snn.fixed import Interval, QFormat, width_of
from convexon.snn.models.simulate import accuracy
from convexon.snn.network import Branch, FixedPointNetwork, Layer, Network
from convexon.snn.neuron import Leak, ReadoutMode, Reset
from convexon.train.baseline import random_reservoir
from convexon.train.columns.dictionary import build_dictionary, patterns
from convexon.train.columns.rows import distinct_rows
from convexon.train.fit import best_on_path, rebuilding
from convexon.train.master import program_over
from convexon.train.witnesses.alphabet import Alphabet
from convexon.train.witnesses.witness import Guide, WitnessFamily

if TYPE_CHECKING:
    from convexon.train.surrogate.model import LayerPlan

FloatArray = npt.NDArray[np.float64]
Classes = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.int64]]
"""Classes (samples, readouts) of inputs (samples, steps, inputs), of any number of steps where each
has a readout of its own."""

Split = Callable[[int], tuple[SpikeDataset, SpikeDataset, SpikeDataset]]
"""Training, validation and test samples of a seed."""

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
    mode = ReadoutMode.STEP if train.has_step_labels else ReadoutMode.SIGN
    return _best_readout(branches, mode, train, validation, rhos, max_seconds)


def _best_readout(
    branches: Sequence[Branch],
    mode: ReadoutMode,
    train: SpikeDataset,
    validation: SpikeDataset,
    rhos: Sequence[float],
    max_seconds: float | None,
) -> Network:
    """Network of the strength that is best on validation."""
    rows = distinct_rows(train, mode)
    dictionary = build_dictionary(branches, train, mode, rows=rows)
    loss: Loss = Hinge() if train.n_classes == 2 else Softmax()
    n_outputs = loss.outputs_for(train.n_classes, single=True)
    problem = rows.problem(loss, L1(), min(rhos), n_outputs=n_outputs)
    return best_on_path(
        program_over(problem, dictionary.bits, np.ones(dictionary.n_columns)),
        rebuilding(branches, dictionary, train, mode),
        validation,
        rhos=rhos,
        tolerance=PAPER_TOLERANCE,
        max_seconds=max_seconds,
    )


def right_on(model: Network | FixedPointNetwork | Classes, data: SpikeDataset) -> float:
    """Share of right decisions."""
    if isinstance(model, Network | FixedPointNetwork):
        return accuracy(model, data.inputs, data.labels)
    return float((model(data.inputs) == data.labels.reshape(data.n_samples, -1)).mean())


def on_test(
    split: Split, fit: Callable[..., Network | Classes]
) -> Callable[[int], dict[str, float]]:
    """Return the measurement of what ``fit(train, validation, seed=seed)`` does on test samples."""

    def measure(seed: int) -> dict[str, float]:
        train, validation, test = split(seed)
        return {"": right_on(fit(train, validation, seed=seed), test)}

    return measure


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
    networks = [
        Network(
            branches=(branch,),
            n_steps=train.n_steps,
            input_bits=train.input_bits,
            readout_mode=mode,
            readout_weights=weights,
            readout_biases=biases,
        )
        for mode in modes
        for weights, biases in _ridge_path(
            patterns([branch], train, mode).astype(np.float64), one_hot
        )
    ]
    return max(networks, key=lambda network: right_on(network, validation))


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


def logistic_on_raw(train: SpikeDataset, validation: SpikeDataset, *, seed: int = 0) -> Classes:
    """Fit logistic regression on the raw input, its strength chosen on validation.

    The input is the whole sample, or the step alone where each step has a label. Nothing is drawn,
    so the seed has no say.
    """
    from sklearn.linear_model import LogisticRegression

    del seed
    stepwise = train.has_step_labels
    top = float(train.inputs.max(initial=1))

    def raw(inputs: npt.NDArray[np.uint8]) -> FloatArray:
        rows = inputs.shape[0] * (inputs.shape[1] if stepwise else 1)
        return inputs.reshape(rows, -1).astype(np.float64) / top

    def fitted(strength: float) -> LogisticRegression:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an unconverged fit is judged by its accuracy
            model = LogisticRegression(C=strength, max_iter=300)
            return model.fit(raw(train.inputs), train.labels.ravel())

    def reached(model: LogisticRegression) -> float:
        return float((model.predict(raw(validation.inputs)) == validation.labels.ravel()).mean())

    chosen = max((fitted(strength) for strength in LOGISTIC_STRENGTHS), key=reached)

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
    from convexon.train.surrogate.hybrid import LEARNING_RATES, train_end_to_end
    from convexon.train.surrogate.train import Lesson, TrainingPlan

    if not leaks:
        raise InputError("leaks must hold at least one leak, not none")
    shares = _shares(widths, n_branches)
    layers = list(zip([train.n_inputs, *shares[:-1]], shares, strict=True))
    plan = TrainingPlan(
        epochs=max_epochs, seconds=seconds / len(leaks), batch_size=SURROGATE_BATCH, seed=seed
    )
    trained = [
        train_end_to_end(
            [_stack(layers, leak)] * n_branches,
            Lesson(train=train, validation=validation),
            ReadoutMode.STEP if train.has_step_labels else ReadoutMode.LAST,
            plan,
            learning_rates=learning_rates or LEARNING_RATES,
        )
        for leak in leaks
    ]
    return max(trained, key=lambda training: training.best.merit).network


def weighed(
    network: Network,
    train: SpikeDataset,
    validation: SpikeDataset,
    *,
    rhos: Sequence[float] = PAPER_RHOS,
    max_seconds: float | None = None,
) -> Network:
    """Weigh the neurons of a trained network by the convex program (the paper's SG-CVX).

    Loss, penalty and choice of rho are those of `paper_method`. Where training has left no neuron
    that is worth a weight, ``network`` stays as it is.
    """
    mode = network.readout_mode
    try:
        return _best_readout(network.branches, mode, train, validation, rhos, max_seconds)
    except InputError:
        return network


def trained_further(
    network: Network, train: SpikeDataset, validation: SpikeDataset, *, seconds: float, seed: int
) -> Network:
    """Train a convex solution by surrogate gradient, its rate chosen on validation (CVX then SG).

    On validation it is never worse than ``network``. Raises as
    `convexon.train.surrogate.hybrid.fine_tune`.
    """
    from convexon.train.surrogate.hybrid import fine_tune
    from convexon.train.surrogate.train import Lesson, TrainingPlan

    plan = TrainingPlan(epochs=1000, seconds=seconds, batch_size=SURROGATE_BATCH, seed=seed)
    return fine_tune(network, Lesson(train=train, validation=validation), plan).network


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
