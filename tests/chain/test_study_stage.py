"""Stage ``study``: from a task to a card and a certificate that the checker accepts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from convexon.artefact import load
from convexon.card import CARD
from convexon.convex.branches import NETWORK
from convexon.dataset import DATASET
from convexon.errors import ArtefactError, InputError
from convexon.proof.check import check_file
from convexon.report.figure import read_figures
from convexon.run import RunFolder
from convexon.simulate import decisions, scores
from convexon.study.settings import StudySettings
from convexon.study.stage import study_stage


@pytest.fixture(scope="module")
def xor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("xor")
    study_stage(RunFolder(folder), StudySettings(task="xor", length=5, layers=3, n_train=400))
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
    assert figures["study.xor.neurons"].value == card.n_neurons


def test_what_is_current_is_not_fitted_again(xor: Path) -> None:
    settings = StudySettings(task="xor", length=5, layers=3, n_train=400)
    before = {path: path.read_bytes() for path in xor.glob("*.json")}
    again = study_stage(RunFolder(xor), settings)
    assert again.network.reused
    assert again.certificate is not None
    assert again.certificate.reused
    assert {path: path.read_bytes() for path in xor.glob("*.json")} == before
    assert again.summary.startswith("study: ")
    assert any("globally optimal" in line for line in again.certificate_lines)


def test_the_form_that_was_enumerated_is_named(tmp_path: Path) -> None:
    settings = StudySettings(task="addition", base=2)
    result = study_stage(RunFolder(tmp_path), settings)
    assert {name: value for name, value in result.figures.items() if value < 1.0} == {}
    assert set(result.figures) == {
        f"{kind}.{k}x" for kind in ("joint", "sequence") for k in (1, 2, 5, 10)
    }
    said = " ".join(result.certificate_lines)
    assert "every network of neurons on input, of 3 synapses or less" in said
    check_file(tmp_path)


def test_a_study_of_another_kind_takes_the_folder_over(xor: Path, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    study_stage(folder, StudySettings(task="xor", length=6, n_train=200))
    result = study_stage(
        folder, StudySettings(task="automaton", states=3, length=7, n_train=300, n_test=30)
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
        ({"task": "mnist", "seconds": 0.0}, "seconds must be positive, not 0.0"),
    ],
)
def test_settings_that_are_none_are_refused(members: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        StudySettings(**members)


def test_digits_need_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^data must name the folder with MNIST's idx files"):
        study_stage(RunFolder(tmp_path), StudySettings(task="mnist"))
    missing = StudySettings(task="mnist", data=str(tmp_path))
    with pytest.raises(ArtefactError, match="is missing: put the idx files of MNIST there"):
        study_stage(RunFolder(tmp_path), missing)


def test_digits_are_fitted_where_the_data_folder_is_given(mnist: Path, tmp_path: Path) -> None:
    settings = StudySettings(
        task="mnist", data=str(mnist), n_train=1000, neurons=64, seconds=20.0, n_steps=4
    )
    result = study_stage(RunFolder(tmp_path), settings)
    assert result.figures["test"] > 0.8  # 64 threshold neurons, a thousand digits
    assert result.certificate is None
    assert result.card.value.n_features <= 64
    assert not (tmp_path / "certificate.json").exists()
