"""Baselines: sane on an easy problem, and tuned without a look at the test samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from convexon.data.dataset import SpikeDataset
from convexon.data.samples import Samples
from convexon.snn.coding import THRESHOLD
from convexon.snn.interface import Interface
from convexon.train import baseline
from convexon.train.baseline import (
    LOGISTIC_C,
    RIDGE_ALPHA,
    Baseline,
    logistic_regression,
    reservoir,
)
from toy import toy_arrays


def parts(noise: float = 0.0) -> tuple[Samples, Samples, Samples]:
    """Samples to fit on, to validate on, and to test on."""
    features, labels = toy_arrays()
    rng = np.random.default_rng(3)
    features = np.clip(features + rng.normal(0.0, noise, features.shape), 0.0, 1.0)
    rest, test = Samples.of(features, labels, name="toy").split(seed=0)
    fit, validation = rest.split(seed=1)
    return fit, validation, test


def relabelled(samples: Samples) -> Samples:
    """The same samples, every label the next class."""
    return replace(samples, labels=(samples.known_labels + 1) % len(samples.classes))


def grouped(samples: Samples) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels."""
    return samples.values, samples.known_labels


def run_logistic(fit: Samples, validation: Samples, test: Samples) -> Baseline:
    return logistic_regression(grouped(fit), grouped(validation), grouped(test))


def run_reservoir(fit: Samples, validation: Samples, test: Samples) -> Baseline:
    interface = Interface.fitted(fit.values, coding=THRESHOLD, classes=fit.classes)
    data = [s.encoded(interface, n_steps=6, bits=1) for s in (fit, validation, test)]
    return reservoir(*data, n_neurons=40, generator=np.random.default_rng(5))


def test_logistic_regression_solves_an_easy_problem() -> None:
    result = run_logistic(*parts())
    assert result.accuracy_test >= 0.95
    assert result.accuracy_train >= 0.95
    assert result.neurons == 0
    assert result.chosen in LOGISTIC_C


def test_the_reservoir_solves_an_easy_problem() -> None:
    result = run_reservoir(*parts())
    assert result.accuracy_test >= 0.9
    assert result.accuracy_train >= 0.9
    assert result.neurons == 40
    assert result.chosen in RIDGE_ALPHA


def test_the_reservoir_depends_on_its_generator_alone() -> None:
    assert run_reservoir(*parts(noise=0.3)) == run_reservoir(*parts(noise=0.3))


def test_no_neuron_of_the_reservoir_is_silent_or_saturated(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[np.ndarray] = []
    steps: list[int] = []
    patterns = baseline.patterns

    def recorded(branches: object, data: SpikeDataset, mode: object) -> np.ndarray:
        counts.append(patterns(branches, data, mode))
        steps.append(data.n_steps)
        return counts[-1]

    monkeypatch.setattr(baseline, "patterns", recorded)
    run_reservoir(*parts())
    assert len(counts) == 3, "on the samples to fit, to validate and to test"
    rates = counts[0].mean(axis=0) / steps[0]
    assert rates.shape == (40,)
    assert rates.min() > 0.0
    assert rates.max() < 1.0
    assert 0.05 < rates.mean() < 0.8


@pytest.mark.parametrize("method", [run_logistic, run_reservoir])
def test_the_test_samples_have_no_say_in_what_is_chosen(method: object) -> None:
    fit, validation, test = parts(noise=0.3)
    right = method(fit, validation, test)  # type: ignore[operator]
    wrong = method(fit, validation, relabelled(test))  # type: ignore[operator]
    assert (wrong.chosen, wrong.accuracy_train) == (right.chosen, right.accuracy_train)
    assert wrong.accuracy_test < 0.5 < right.accuracy_test


def test_the_strength_is_the_best_on_validation_after_a_fit_without_it() -> None:
    from sklearn.linear_model import LogisticRegression

    choices = set()
    for noise in (0.0, 0.3, 0.6):
        fit, validation, test = parts(noise)
        scores = [
            LogisticRegression(C=c, max_iter=5000).fit(*grouped(fit)).score(*grouped(validation))
            for c in LOGISTIC_C
        ]
        chosen = run_logistic(fit, validation, test).chosen
        assert chosen == LOGISTIC_C[int(np.argmax(scores))]
        choices.add(chosen)
    assert len(choices) > 1, "the choice must depend on the data"
