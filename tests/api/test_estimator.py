"""The estimator: scikit-learn's conventions, any labels and samples, and its certificate."""

from __future__ import annotations

import pickle
import re
import warnings
from dataclasses import replace
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import convexon as cx
from convexon.api.estimator import FittedCertificate
from convexon.data.samples import SAMPLES, Samples
from convexon.errors import ClaimError, InputError
from convexon.flow.network import solve as flow
from convexon.flow.run import Run
from convexon.settings import settings_of
from convexon.train.settings import SolveSettings
from toy import toy_arrays, toy_samples, toy_settings

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # notices, which others look at

SMALL = {"witnesses": 40, "fan_in": 3, "max_neurons": 10, "rho": (0.01,), "random_state": 0}


class Fruit(Enum):
    FIG = 1
    PEAR = 2
    LIME = 3


def small(**changes: Any) -> cx.SpikingClassifier:
    return cx.SpikingClassifier(**{**SMALL, **changes})


NOT_ASKED = {
    "check_array_api_input": "scipy asks for arrays of other libraries by a variable of its own",
}
"""Checks of scikit-learn that are not run, and why."""


def test_the_conventions_of_scikit_learn_are_kept() -> None:
    results = check_estimator(small(witnesses=16), on_skip=None, on_fail=None)
    assert len(results) > 50
    other = {r["check_name"]: r["exception"] for r in results if r["status"] != "passed"}
    assert set(other) <= set(NOT_ASKED), other


# Parameters


def test_its_parameters_are_the_settings_of_solve() -> None:
    names = {each.name for each in settings_of(SolveSettings)}
    parameters = small().get_params()
    assert set(parameters) == names - {"seed"} | {"random_state"}
    assert cx.SpikingClassifier(random_state=0).settings() == SolveSettings()
    assert small(loss="softmax", random_state=7).settings() == SolveSettings(
        loss="softmax", witnesses=40, fan_in=3, max_neurons=10, rho=(0.01,), seed=7
    )


def test_an_unknown_parameter_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"^SpikingClassifier has no parameter 'neurons'; it has "):
        cx.SpikingClassifier(neurons=3)
    with pytest.raises(ValueError, match="Invalid parameter 'neurons'"):
        small().set_params(neurons=3)


def test_a_parameter_that_does_not_fit_is_refused_when_it_is_fitted() -> None:
    X, y = toy_arrays()
    message = "steps must be an integer of 1 to 65536, not 0"
    with pytest.raises(InputError, match=f"^{message}$"):
        small(steps=0).fit(X, y)


@pytest.mark.parametrize("state", [None, 3, np.random.RandomState(3)], ids=str)
def test_a_random_state_is_any_that_scikit_learn_takes(state: Any) -> None:
    X, y = toy_arrays()
    assert small(random_state=state).fit(X, y).score(X, y) > 0.8


# scikit-learn around it


def test_it_works_in_a_pipeline_and_a_grid_search() -> None:
    X, y = toy_arrays()
    steps = make_pipeline(StandardScaler(), small())
    assert cross_val_score(steps, X, y, cv=3).mean() > 0.8
    search = GridSearchCV(small(), {"steps": [2, 5], "max_neurons": [4]}, cv=3).fit(X, y)
    assert search.best_params_["max_neurons"] == 4
    assert search.best_estimator_.network_.card.n_steps == search.best_params_["steps"]
    assert search.score(X, y) > 0.8


def test_a_clone_is_unfitted_and_fits_the_same() -> None:
    X, y = toy_arrays()
    fitted = small(steps=5).fit(X, y)
    again = clone(fitted)
    assert not hasattr(again, "network_")
    assert again.get_params() == fitted.get_params()
    np.testing.assert_array_equal(again.fit(X, y).decision_function(X), fitted.decision_function(X))


def test_it_pickles_with_what_it_fitted() -> None:
    X, y = toy_arrays()
    fitted = small().fit(X, y)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
    assert str(again.certificate_) == str(fitted.certificate_)
    assert again.certificate_.check()


def test_a_table_of_pandas_keeps_its_names() -> None:
    X, y = toy_arrays()
    table = pd.DataFrame(X, columns=[f"feature {k}" for k in range(X.shape[1])])
    fitted = small().fit(table, pd.Series(np.array(["a", "b", "c"])[y]))
    assert fitted.feature_names_in_.tolist() == list(table.columns)
    np.testing.assert_array_equal(fitted.predict(table), fitted.predict(table.to_numpy()))
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(table[table.columns[::-1]])


# Labels


@pytest.mark.parametrize(
    "names",
    [
        ["red", "green", "blue"],
        [3, 1, 2],
        [-1, 0, 1],
        [0.0, 1.0, 2.0],
        np.array([10**12, 5, 7]),
    ],
    ids=str,
)
def test_labels_may_be_any(names: Any) -> None:
    X, y = toy_arrays()
    named = np.asarray(names)[y]
    fitted = small().fit(X, named)
    assert fitted.classes_.tolist() == np.unique(named).tolist()
    assert set(fitted.predict(X)) <= set(named)
    assert fitted.score(X, named) > 0.8
    assert fitted.network_.predict(X).tolist() == fitted.predict(X).tolist()


@pytest.mark.parametrize(
    "names",
    [
        [(1, "b"), (0, "a"), (0, "b")],
        [date(2024, 1, 1), date(2024, 1, 2), date(2023, 1, 1)],
        [Fruit.PEAR, Fruit.FIG, Fruit.LIME],
    ],
    ids=["tuples", "dates", "members"],
)
def test_labels_may_be_of_any_hashable_kind(names: list[Any]) -> None:
    X, y = toy_arrays()
    named = [names[k] for k in y]
    fitted = small().fit(X, named)
    assert set(fitted.classes_) == set(names)
    found = fitted.predict(X)
    assert np.mean([a == b for a, b in zip(found, named, strict=True)]) > 0.8
    assert fitted.network_.predict(X).tolist() == [str(name) for name in found]


@pytest.mark.parametrize("labels", [np.eye(3, dtype=int), [[0, 1], [1, 1], [0, 0]]])
def test_several_labels_a_sample_are_refused(labels: Any) -> None:
    with pytest.raises(InputError, match=r"^labels must be one class a sample, not several: "):
        small().fit(np.eye(3), labels)


@pytest.mark.parametrize("names", [[False, True], ["no", "yes"]], ids=str)
def test_two_classes_have_one_decision_function(names: list[Any]) -> None:
    X, y = toy_arrays()
    for loss in ("squared", "logistic", "hinge"):
        fitted = small(loss=loss).fit(X[y < 2], np.array(names)[y[y < 2]])
        decided = fitted.decision_function(X[y < 2])
        assert decided.shape == (int((y < 2).sum()),)
        np.testing.assert_array_equal(
            fitted.predict(X[y < 2]), fitted.classes_[(decided > 0).astype(int)]
        )
        shares = fitted.predict_proba(X[y < 2])
        np.testing.assert_allclose(shares.sum(axis=1), 1.0)
        np.testing.assert_array_equal(shares.argmax(axis=1), (decided > 0).astype(int))


@pytest.mark.parametrize("labels", [[np.nan, 1.0, 2.0], [0.5, 1.5, 2.5], [1, 1, 1]], ids=str)
def test_what_is_no_class_is_refused(labels: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"NaN|Unknown label type|two classes or more"):
        small().fit(np.eye(3), labels)


# Samples


def test_images_have_one_range_and_come_in_flat_or_as_they_are() -> None:
    images, y = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8)
    fitted = small(max_neurons=64, witnesses=300, fan_in=8).fit(images[:600], y[:600])
    interface = fitted.network_.interface
    assert (interface.shape, set(interface.high), set(interface.low)) == ((8, 8), {16.0}, {0.0})
    assert fitted.score(images[600:900], y[600:900]) > 0.7
    flat = images[600:610].reshape(10, 64)
    np.testing.assert_array_equal(fitted.network_.predict(flat), fitted.predict(images[600:610]))


def test_series_are_read_step_by_step() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    time = np.linspace(0, 1, 6)
    shape = np.stack([time, 1 - time, np.abs(2 * time - 1)])[y]
    series = np.stack([shape, 5 * shape], axis=2) + rng.normal(0, 0.05, (90, 6, 2))
    fitted = small(coding="series", bits=4, fan_in=2, readout="count").fit(series, y)
    card = fitted.network_.card
    assert (card.n_steps, card.n_inputs, card.input_bits) == (6, 2, 4)
    assert fitted.score(series, y) > 0.8


def test_series_of_unequal_length_are_padded_and_keep_their_groups() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    series = [
        (np.linspace(0, 1, 4 + k % 3)[:, None] - label) ** 2 + rng.normal(0, 0.02, (4 + k % 3, 1))
        for k, label in enumerate(y)
    ]
    parameters = {"coding": "series", "bits": 4, "fan_in": 1, "rho": (0.01, 0.003)}
    fitted = small(**parameters).fit(series, y, groups=[f"subject {k}" for k in np.arange(60) // 6])
    assert fitted.network_.card.n_steps == 6
    assert fitted.score(series, y) > 0.8
    held = [np.concatenate([each, np.repeat(each[-1:], 6 - len(each), axis=0)]) for each in series]
    assert fitted.predict(series).tolist() == fitted.predict(np.array(held)).tolist()
    assert fitted.network_.predict(series[:1]).tolist() == fitted.predict(held[:1]).tolist()
    with pytest.raises(InputError, match=r"^samples\[1\] must have at most 6 steps, not 7: cut it"):
        fitted.predict([series[0], np.zeros((7, 1))])


def test_spikes_come_in_as_they_are() -> None:
    rng = np.random.default_rng(1)
    y = np.arange(80) % 2
    spikes = (rng.random((80, 5, 4)) < np.where(y, 0.8, 0.2)[:, None, None]).astype(np.uint8)
    fitted = small(coding="direct").fit(spikes, y)
    np.testing.assert_array_equal(fitted.network_.card.encode(spikes), spikes)
    assert fitted.score(spikes, y) > 0.9
    with pytest.raises(InputError, match=r"^samples must be integers in 0\.\.1 \(1 bits\)$"):
        fitted.predict(2 * spikes)


def test_each_feature_of_wine_has_its_own_scale() -> None:
    """In units of their own: with one range for all, 12 of the 13 inputs never changed.

    The ranges are those of the training samples; with those of all samples, the test's included,
    all 53 would be right.
    """
    train, test = Samples.of(*load_wine(return_X_y=True)).split(seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no input is silent
        fitted = cx.SpikingClassifier(
            **{"random_state": 0, "witnesses": 1000, "fan_in": 4, "max_neurons": 64},
            **{"coding": "threshold", "guide": "difference"},
        ).fit(train.values, train.labels)
    assert fitted.score(train.values, train.labels) == 1.0
    assert fitted.score(test.values, test.labels) >= 52 / 53


def test_a_table_is_levels_unless_it_is_said_otherwise() -> None:
    train, test = Samples.of(*load_wine(return_X_y=True)).split(seed=0)
    fitted = cx.SpikingClassifier(random_state=0, witnesses=200).fit(train.values, train.labels)
    card = fitted.network_.card
    assert (card.input_bits, card.interface.coding) == (8, "intensity")
    assert max(np.abs(layer.matrix).max() for b in card.branches for layer in b.layers) == 31
    assert fitted.score(test.values, test.labels) > 0.9
    spikes = clone(fitted).set_params(bits=1).fit(train.values, train.labels).network_.card
    assert (spikes.input_bits, spikes.interface.coding) == (1, "threshold")


def test_fan_in_is_clipped_to_the_features() -> None:
    X, y = load_iris(return_X_y=True)
    fitted = cx.SpikingClassifier(random_state=0, witnesses=200, max_neurons=16).fit(X, y)
    assert fitted.network_.card.n_inputs == 4
    assert fitted.score(X, y) > 0.85


def test_a_constant_feature_is_named_in_a_warning() -> None:
    X, y = toy_arrays()
    with_constant = np.insert(X, 2, 7.0, axis=1)
    with pytest.warns(UserWarning, match=r"^1 of 9 inputs never spike: 2$"):
        small().fit(with_constant, y)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((3, 8)), None),
        (np.full((3, 8), np.nan), "NaN"),
        (np.zeros((3, 9)), "9 features"),
        (np.zeros(8), "1D array"),
        ([["a"] * 8], None),
    ],
    ids=["fits", "nan", "wide", "flat", "text"],
)
def test_new_samples_that_do_not_fit_are_value_errors(samples: Any, message: str | None) -> None:
    fitted = small().fit(*toy_arrays())
    if message is None and not isinstance(samples, list):
        assert fitted.predict(samples).shape == (3,)
        return
    with pytest.raises(ValueError, match=message or ""):
        fitted.predict(samples)


# What it fits, and what is proved of it


def test_it_fits_what_solve_fits_on_its_training_samples(tmp_path: Path) -> None:
    """The command line holds out a test share first; the fit is the same function."""
    settings = toy_settings(seed=3)
    train, _ = toy_samples().split(seed=3)
    parameters = {each.name: getattr(settings, each.name) for each in settings_of(SolveSettings)}
    seed = parameters.pop("seed")
    fitted = cx.SpikingClassifier(**parameters, random_state=seed).fit(train.values, train.labels)
    solved = flow.solve(Run(tmp_path), toy_samples(), settings)
    test = solved.drawn.test.value
    own = fitted.network_.card
    assert own.readout_weights.tolist() == solved.card.value.readout_weights.tolist()
    assert fitted.certificate_.certificate.primal == solved.certificate.value.primal
    assert solved.accuracy(test) == np.mean(
        fitted.predict(toy_samples().split(seed=3)[1].values) == test.labels
    )


def test_a_fit_and_a_solve_in_one_folder_have_samples_of_their_own(tmp_path: Path) -> None:
    """A fit trains on all, a solve holds some out: neither takes the other's for its own."""
    X, y = toy_arrays()
    run = cx.Run(tmp_path / "run")
    settings = toy_settings(seed=0)
    parameters = {each.name: getattr(settings, each.name) for each in settings_of(SolveSettings)}
    parameters["random_state"] = parameters.pop("seed")
    trained = []
    for step in ("solve", "fit", "solve", "fit"):
        if step == "solve":
            run.solve(X, y, settings)
        else:
            cx.SpikingClassifier(**parameters).fit(X, y, run=run)
        trained.append(run.folder.read("samples-train", SAMPLES).value.n_samples)
    assert trained[0] == trained[2] < trained[1] == trained[3] == len(y)


def test_its_certificate_checks_itself_and_no_false_one_passes() -> None:
    fitted = small().fit(*toy_arrays())
    certificate = fitted.certificate_
    assert str(certificate).startswith("over its own ")
    claims = {finding.claim for finding in certificate.check()}
    assert {"primal", "dual", "gap", "universal"} <= claims
    stated = certificate.certificate
    false = replace(stated, lower=float(np.nextafter(stated.primal, 1e9)))
    with pytest.raises(ClaimError, match=r"^claim dual does not hold"):
        FittedCertificate(false, certificate.columns).check()


def test_two_fits_are_the_same() -> None:
    X, y = toy_arrays()
    one, other = (small().fit(X, y) for _ in range(2))
    assert repr(one.network_) == repr(other.network_)
    np.testing.assert_array_equal(one.decision_function(X), other.decision_function(X))
    assert str(one.certificate_) == str(other.certificate_)
    assert re.fullmatch(
        r"Network\(8 inputs, 8 steps, \d+ neurons, \d+ synapses, 3 classes\)", repr(one.network_)
    )
