"""Stage ``study``: from a task to a card and a certificate that the checker accepts."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convexon.certify.check import check_file
from convexon.data.dataset import DATASET
from convexon.errors import ArtefactError, InputError
from convexon.flow.run import Run
from convexon.quantize.readout import quantize
from convexon.report.figure import read_figures
from convexon.snn.card import CARD
from convexon.snn.network import FixedPointNetwork, Network
from convexon.snn.neuron import ReadoutMode
from convexon.snn.simulate import decisions, scores
from convexon.store.artefact import load
from convexon.study.addition import N_TEST, data_of, fresh_sums
from convexon.study.automata import fit_automaton
from convexon.study.fit import accuracy
from convexon.study.mnist import data_of as digits_of
from convexon.study.settings import StudySettings
from convexon.study.stage import StudyResult, study_stage
from convexon.tasks.addition import Addition
from convexon.tasks.strings import random_automaton
from convexon.train.columns.rows import distinct_rows
from convexon.train.witnesses.branches import NETWORK
from idx_files import write_digits

XOR = StudySettings(task="xor", length=5, layers=3, n_train=400)


@pytest.fixture(scope="module")
def xor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("xor")
    study_stage(Run(folder), XOR)
    return folder


def test_three_layers_are_proved_best_of_all_networks(xor: Path) -> None:
    verdict = check_file(xor)
    assert "globally optimal over any network of any depth, width and weights" in verdict.summary
    assert verdict.certificate.statement.loss == "squared"
    assert verdict.certificate.closes(verdict.certificate.universal.lower_bound)


def test_the_files_are_of_one_fit(xor: Path) -> None:
    network, _ = load(NETWORK, xor / "network.json")
    card, _ = load(CARD, xor / "card.json")
    train, _ = load(DATASET, xor / "train.json")
    test, _ = load(DATASET, xor / "test.json")
    assert not {x.tobytes() for x in train.inputs} & {x.tobytes() for x in test.inputs}
    for data in (train, test):
        right = decisions(scores(card, data.inputs))[:, 0] == data.labels
        assert right.all()
    # The certified objective is that of the network in the folder.
    verdict = check_file(xor)
    residual = scores(network, train.inputs)[:, 0, 0] - (2.0 * train.labels - 1.0)
    loss = 0.5 * float(np.square(residual).mean())
    weights = np.abs(network.readout_weights).sum() + np.abs(network.readout_biases).sum()
    rho = verdict.certificate.statement.rho
    assert verdict.certificate.primal == pytest.approx(loss + rho * weights, rel=1e-9)
    figures = read_figures(xor / "study.json")
    assert figures["study.xor.test"].value == 1.0
    assert figures["study.xor.neurons"].value == card.n_features
    assert figures["study.xor.neurons.all"].value == card.n_neurons > card.n_features
    assert any(
        line.endswith(f"of {test.n_samples} decisions on test samples cannot flip")
        for line in verdict.certificate.sentences
    )


def test_what_is_current_is_not_fitted_again(xor: Path) -> None:
    before = {path: path.read_bytes() for path in xor.glob("*.json")}
    again = study_stage(Run(xor), XOR)
    assert again.network.reused
    assert again.certificate is not None
    assert again.certificate.reused
    assert {path: path.read_bytes() for path in xor.glob("*.json")} == before
    card = again.card.value
    assert again.summary == (
        f"study: {card.n_features} last-layer neurons, {card.n_neurons} in all, test 100.00 %"
    )
    assert any("globally optimal" in line for line in again.certificate_lines)


@pytest.mark.parametrize("lost", ["network", "dictionary", "certificate"])
def test_a_lost_file_is_made_again_with_all_that_its_fit_makes(
    xor: Path, tmp_path: Path, lost: str
) -> None:
    folder = Run(shutil.copytree(xor, tmp_path / "xor"))
    folder.file(lost).unlink()
    result = study_stage(folder, XOR)
    assert result.certificate is not None
    assert not result.network.reused
    assert not result.certificate.reused
    assert result.certificate_lines[-1].startswith("certificate: the weights are globally optimal")
    check_file(folder.path)
    assert names(folder.path) == names(xor)  # no arrays of files that were replaced
    assert study_stage(folder, XOR).network.reused


def names(folder: Path) -> set[str]:
    """Files of a folder, but for digests in their names."""
    found = [re.sub(r"\.[0-9a-f]{12}\.", ".", path.name) for path in folder.iterdir()]
    assert len(set(found)) == len(found)
    return set(found)


def test_addition_is_tested_on_sums_that_have_had_no_say() -> None:
    task = Addition(base=5)
    seen = {sums.tobytes() for part in data_of(task, seed=1) for sums in part.inputs}
    # Of 2 * 5 ** 12 sums hardly any is drawn twice.
    assert not any(sums.tobytes() in seen for sums in fresh_sums(task, seed=1).inputs)


def test_the_command_line_fits_as_the_benchmark_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convexon.study.automata.FAN_INS", (1, 3))
    settings = StudySettings(task="automaton", length=5, states=3, n_train=100, n_test=8, seed=11)
    folder = Run(tmp_path)
    network = study_stage(folder, settings).network.value
    task = random_automaton(n_states=3, n_symbols=2, length=5, seed=11)
    drawn, _ = task.split(100, 8, seed=11)
    expected = fit_automaton(drawn, seed=11).network
    used = np.count_nonzero(network.branches[0].layers[-1].weights, axis=0)
    assert 1 < used.max() <= 3  # the greater fan-in was chosen, on validation
    assert np.array_equal(network.readout_weights, expected.readout_weights)
    # What was fitted is the artefact, so that the checker finds its rows there.
    train = folder.read("train", DATASET).value
    rows = distinct_rows(train, ReadoutMode.LAST).n_rows
    verdict = check_file(tmp_path)
    data = next(finding for finding in verdict.findings if finding.claim == "data")
    assert data.checked
    assert data.detail == f"{train.n_samples} samples, {rows} distinct inputs"


@pytest.mark.parametrize(
    "members",
    [
        {"task": "addition"},
        {"task": "xor", "length": 5},
        {"task": "automaton", "length": 5, "states": 3},
    ],
)
def test_rho_is_chosen_on_the_card_that_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: dict[str, Any]
) -> None:
    tried = []

    def recorded(network: Network, *, bits: int) -> FixedPointNetwork:
        tried.append(bits)
        return quantize(network, bits=bits)

    monkeypatch.setattr("convexon.study.fit.quantize", recorded)
    card = study_stage(Run(tmp_path), StudySettings(**members, readout_bits=5)).card.value
    assert tried
    assert set(tried) == {5}
    assert np.abs(card.readout_weights).max() <= 15


def test_the_form_that_was_enumerated_is_named(tmp_path: Path) -> None:
    settings = StudySettings(task="addition", base=2)
    result = study_stage(Run(tmp_path), settings)
    assert {name: value for name, value in result.figures.items() if value < 1.0} == {}
    assert set(result.figures) == {"test"} | {
        f"{kind}.{k}x" for kind in ("joint", "sequence") for k in (1, 2, 5, 10)
    }
    stored, _ = load(DATASET, tmp_path / "test.json")
    assert np.array_equal(stored.inputs, fresh_sums(Addition(base=2), seed=0).inputs)
    assert stored.n_samples == N_TEST
    said = " ".join(result.certificate_lines)
    assert "over every network of threshold units on the input, up to 3 ternary weights" in said
    check_file(tmp_path)


def test_a_study_of_another_kind_takes_the_folder_over(xor: Path, tmp_path: Path) -> None:
    folder = Run(tmp_path)
    study_stage(folder, StudySettings(task="xor", length=6, n_train=200))
    result = study_stage(
        folder, StudySettings(task="automaton", states=3, length=5, n_train=100, n_test=8)
    )
    assert not result.network.reused
    verdict = check_file(tmp_path)
    assert verdict.certificate.statement.loss == "logistic"
    assert json.loads((tmp_path / "network.json").read_text())["recipe"]["task"] == "automaton"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"task": "chess"}, "task must be one of addition, xor, automaton, mnist, not 'chess'"),
        ({"task": "xor", "n_train": 0}, "n_train must be at least 1, not 0"),
        ({"task": "xor", "seed": -1}, "seed must be at least 0, not -1"),
        ({"task": "xor", "readout_bits": 1}, "readout_bits must be 2 to 24, not 1"),
        ({"task": "xor", "readout_bits": 60}, "readout_bits must be 2 to 24, not 60"),
        ({"task": "mnist", "seconds": 0.0}, "seconds must be positive, not 0.0"),
    ],
)
def test_settings_that_are_none_are_refused(members: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        StudySettings(**members)


def test_digits_need_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^data must name the folder with MNIST's idx files"):
        study_stage(Run(tmp_path), StudySettings(task="mnist"))
    missing = StudySettings(task="mnist", data=str(tmp_path))
    with pytest.raises(ArtefactError, match="is missing: put the idx files of MNIST there"):
        study_stage(Run(tmp_path), missing)


@pytest.mark.parametrize(
    ("n_train", "message"),
    [
        (50, "n_train must be at least 100, of which 10% are to choose on"),
        (5000, "n_train must be at most the 120 training digits in "),
    ],
)
def test_digits_that_are_too_few_are_refused(tmp_path: Path, n_train: int, message: str) -> None:
    write_digits(tmp_path, n_train=120, n_test=20, seed=0)
    settings = StudySettings(task="mnist", data=str(tmp_path), n_train=n_train)
    with pytest.raises(InputError, match=f"^{message}"):
        study_stage(Run(tmp_path / "run"), settings)


def test_other_digits_in_place_of_the_first_are_fitted_anew(xor: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    folder = Run(shutil.copytree(xor, tmp_path / "run"))

    def result_on(place: str) -> StudyResult:
        settings = StudySettings(
            task="mnist", data=str(tmp_path / place), n_train=100, neurons=8, seconds=0.3
        )
        return study_stage(folder, settings)

    for place, seed in (("first", 0), ("copy", 0), ("other", 1)):
        write_digits(tmp_path / place, n_train=240, n_test=30, seed=seed)
    first = result_on("first")
    assert names(folder.path).isdisjoint(
        {"dictionary.json", "dictionary.npz", "certificate.json", "certificate.npz"}
    )
    assert result_on("copy").network.reused  # a folder is a place, not data
    other = result_on("other")
    assert not other.network.reused
    test = folder.read("test", DATASET)
    assert other.figures["test"] == accuracy(other.card.value, test.value)
    _, expected = digits_of(tmp_path / "other", n_train=100, n_steps=4, seed=0)
    assert np.array_equal(test.value.inputs, expected.inputs)
    assert first.network.record.parents != other.network.record.parents


def test_digits_are_fitted_where_the_data_folder_is_given(mnist: Path, tmp_path: Path) -> None:
    settings = StudySettings(
        task="mnist", data=str(mnist), n_train=1000, neurons=64, seconds=20.0, n_steps=4
    )
    result = study_stage(Run(tmp_path), settings)
    assert result.figures["test"] > 0.8  # 64 threshold neurons, a thousand digits
    assert result.certificate is None
    assert result.card.value.n_features <= 64
    assert not (tmp_path / "certificate.json").exists()
