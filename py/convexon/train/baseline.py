"""Baselines on the same split, their regularisation chosen on validation as the method's is."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from convexon.data.dataset import SpikeDataset
from convexon.snn.fixed import Interval, QFormat, width_of
from convexon.snn.models.simulate import branch_trace
from convexon.snn.network import Branch, Layer
from convexon.snn.neuron import Leak, ReadoutMode, Reset
from convexon.store.codec import Codec
from convexon.store.untrusted import Amount, Count, Share
from convexon.train.columns.dictionary import patterns

FloatArray = npt.NDArray[np.float64]

LOGISTIC_C = (0.1, 1.0, 10.0, 100.0)
RIDGE_ALPHA = tuple(10.0**k for k in range(-4, 6))


Predict = Callable[[FloatArray], npt.NDArray[np.int64]]
Group = tuple[FloatArray, npt.NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A baseline's accuracy: shares of correct decisions."""

    accuracy_train: Share
    accuracy_test: Share
    chosen: Amount  # the regularisation that did best on validation
    neurons: Count  # hidden neurons; 0 for logistic regression


@dataclass(frozen=True, kw_only=True)
class Baselines:
    """All baselines of one split."""

    logistic: Baseline
    reservoir: Baseline


def logistic_regression(fit: Group, validation: Group, test: Group) -> Baseline:
    """Multinomial logistic regression on scaled features, C chosen on validation.

    A group has features, shape (samples, inputs), and labels.
    """
    from sklearn.linear_model import LogisticRegression

    def train(strength: float, features: FloatArray, labels: npt.NDArray[np.int64]) -> Predict:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an unconverged fit is judged by its accuracy
            model = LogisticRegression(C=strength, max_iter=5000).fit(features, labels)
        return lambda x: np.asarray(model.predict(x), dtype=np.int64)

    return _tuned(train, LOGISTIC_C, (fit, validation, test), neurons=0)


def reservoir(
    fit: SpikeDataset,
    validation: SpikeDataset,
    test: SpikeDataset,
    *,
    n_neurons: int,
    generator: np.random.Generator,
) -> Baseline:
    """Random recurrent LIF layer of ``n_neurons`` with a ridge readout of its spike counts.

    Weights are random integers of 4 bits, one lateral weight in ten is present, the leak is 1/8,
    and each threshold is the median reach of its neuron's membrane, so that no neuron is silent.
    """
    from sklearn.linear_model import Ridge

    n_classes = fit.n_classes

    def train(strength: float, features: FloatArray, labels: npt.NDArray[np.int64]) -> Predict:
        model = Ridge(alpha=strength).fit(features, np.eye(n_classes)[labels])
        return lambda x: np.asarray(model.predict(x).argmax(axis=1), dtype=np.int64)

    branch = random_reservoir(fit, n_neurons, generator)
    groups = [
        (patterns([branch], data, ReadoutMode.COUNT).astype(np.float64), data.labels)
        for data in (fit, validation, test)
    ]
    return _tuned(train, RIDGE_ALPHA, groups, neurons=n_neurons)


def _tuned(
    train: Callable[[float, FloatArray, npt.NDArray[np.int64]], Predict],
    strengths: Sequence[float],
    groups: Sequence[Group],
    *,
    neurons: int,
) -> Baseline:
    """Choose the strength on validation, then train once more on fit and validation together."""
    fit, validation, test = groups
    scores = [_accuracy(train(strength, *fit), validation) for strength in strengths]
    chosen = strengths[int(np.argmax(scores))]
    both = (np.concatenate([fit[0], validation[0]]), np.concatenate([fit[1], validation[1]]))
    predict = train(chosen, *both)
    return Baseline(
        accuracy_train=_accuracy(predict, both),
        accuracy_test=_accuracy(predict, test),
        chosen=float(chosen),
        neurons=neurons,
    )


def _accuracy(predict: Predict, group: Group) -> float:
    return float((predict(group[0]) == group[1]).mean())


def random_reservoir(data: SpikeDataset, n_neurons: int, generator: np.random.Generator) -> Branch:
    """Draw a reservoir; thresholds come from its membranes on ``data`` without lateral weights."""
    weights = generator.integers(-7, 8, (data.n_inputs, n_neurons))
    lateral = generator.integers(-7, 8, (n_neurons, n_neurons))
    lateral[generator.random((n_neurons, n_neurons)) >= 0.1] = 0
    free = Layer(
        weights=weights,
        thresholds=np.zeros(n_neurons, dtype=np.int64),
        biases=np.zeros(n_neurons, dtype=np.int64),
        leak=Leak(1, 3),
        reset=Reset.NONE,
        weight_format=QFormat(4),
        threshold_format=QFormat(1),
    )
    reach = Interval(0, (1 << data.input_bits) - 1)
    highest = branch_trace(Branch((free,)), data.inputs, reach)[0].membranes.max(axis=1)
    thresholds = np.maximum(1, np.median(highest, axis=0)).astype(np.int64)
    layer = replace(
        free,
        recurrent=lateral,
        thresholds=thresholds,
        reset=Reset.SUBTRACT,
        threshold_format=QFormat(width_of(Interval.hull([0, *thresholds.tolist()]))),
    )
    return Branch((layer,))


BASELINES: Codec[Baselines] = Codec(Baselines, "convexon.baselines", 2, made_by="convexon demo")
"""File form of `Baselines`."""
