"""``convexon predict``: raw samples in, names of classes out."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from cli_bench import invoke, refused

import convexon as cx
from convexon.data.samples import Samples
from convexon.flow.network.solve import solve
from convexon.flow.run import Run
from convexon.snn.card import CARD
from convexon.store.artefact import digest_of, load, save
from small_run import small_network
from toy import toy_arrays, toy_settings

NAMES = np.array(["salt, pepper", 'a "quoted" one', "plain"])


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose classes have awkward names."""
    folder = Run(tmp_path_factory.mktemp("named"))
    X, y = toy_arrays()
    solve(folder, Samples.of(X, NAMES[y], name="named"), toy_settings(max_neurons=6))
    return folder.path


def written(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("labelled", [True, False])
def test_new_samples_get_the_names_of_their_classes(
    named: Path, tmp_path: Path, labelled: bool
) -> None:
    X, y = toy_arrays()
    labels = {"labels": NAMES[y]} if labelled else {}
    np.savez(tmp_path / "new.npz", features=X, **labels)
    table = tmp_path / "answers.csv"
    result = invoke("predict", named, "--data", tmp_path / "new.npz", "--output", table)
    assert result.exit_code == 0, result.output
    net = cx.load(named / "card.json")
    right = float((net.predict(X) == NAMES[y]).mean())
    share = f", {100 * right:.2f} % correct" if labelled else ""
    assert result.stdout.splitlines()[0] == f"predict: 108 samples{share}, {table}"
    rows = written(table)
    assert [row["class"] for row in rows] == net.predict(X).tolist()
    assert [int(row["sample"]) for row in rows] == list(range(108))
    for k, name in enumerate(net.classes):
        scores = [float(row[f"score {name}"]) for row in rows]
        np.testing.assert_allclose(scores, net.scores(X)[:, k], rtol=1e-5)
    assert right > 0.9


def test_a_card_alone_is_enough_and_the_table_lies_beside_it(named: Path, tmp_path: Path) -> None:
    X, _ = toy_arrays()
    np.savez(tmp_path / "new.npz", features=X[:5])
    card = tmp_path / "net.card.json"
    cx.load(named / "card.json").save(card)
    assert invoke("predict", card, "--data", tmp_path / "new.npz").exit_code == 0
    assert len(written(tmp_path / "predictions.csv")) == 5
    assert invoke("predict", named, "--data", tmp_path / "new.npz").exit_code == 0
    assert len(written(named / "predictions.csv")) == 5


def test_inputs_that_never_spike_in_the_new_samples_are_named(named: Path, tmp_path: Path) -> None:
    X, _ = toy_arrays()
    X[:, 3] = X[:, 3].min() - 100.0
    np.savez(tmp_path / "new.npz", features=X)
    result = invoke(
        "predict", named, "--data", tmp_path / "new.npz", "--output", tmp_path / "x.csv"
    )
    assert result.stdout.splitlines()[1] == "1 of 8 inputs never spike: 3"


def test_samples_that_do_not_fit_are_refused(named: Path, tmp_path: Path) -> None:
    X, _ = toy_arrays()
    np.savez(tmp_path / "narrow.npz", features=X[:, :3])
    message = r"samples must have shape \(samples, 8\), not \(108, 3\)"
    refused(invoke("predict", named, "--data", tmp_path / "narrow.npz"), message)
    refused(invoke("predict", named, "--data", tmp_path / "x.npz"), r".*x\.npz is missing: .*")
    result = invoke("predict", named)
    assert (result.exit_code, result.stderr) == (2, "convexon: missing option '--data'\n")


def test_a_network_of_steps_alone_is_refused(tmp_path: Path) -> None:
    save(CARD, small_network(), tmp_path / "card.json")
    np.savez(tmp_path / "new.npz", features=np.zeros((2, 6)))
    message = "the network takes encoded steps: its card does not say how raw samples are encoded"
    refused(invoke("predict", tmp_path, "--data", tmp_path / "new.npz"), message)


def test_an_old_card_is_refused_with_the_command_that_makes_a_new_one(
    named: Path, tmp_path: Path
) -> None:
    """Version 1 had no interface, and its files no member ``source``."""
    head = json.loads((named / "card.json").read_text())
    del head["content"]["interface"], head["source"]
    old = {**head, "schema_version": 1, "digest": ""}
    del old["digest"]
    (tmp_path / "card.json").write_text(json.dumps({"digest": digest_of(old), **old}))
    np.savez(tmp_path / "new.npz", features=toy_arrays()[0])
    line = (
        rf"{re.escape(str(tmp_path))}/card\.json must have convexon\.card version 3, not 1: run "
        rf"`convexon solve {re.escape(str(tmp_path))}` again with this version of Convexon"
    )
    refused(invoke("predict", tmp_path, "--data", tmp_path / "new.npz"), line)
    refused(invoke("emit", tmp_path), line)


def test_it_is_what_the_network_says(named: Path) -> None:
    card, _ = load(CARD, named / "card.json")
    assert card.interface is not None
    assert set(card.interface.classes) == set(NAMES.tolist())


def test_an_unknown_label_is_refused_before_anything_is_written(
    named: Path, tmp_path: Path
) -> None:
    X, y = toy_arrays()
    np.savez(tmp_path / "new.npz", features=X, labels=np.where(y == 0, "sugar", NAMES[y]))
    table = tmp_path / "answers.csv"
    result = invoke("predict", named, "--data", tmp_path / "new.npz", "--output", table)
    refused(result, "labels must be of the classes .*, not 'sugar'")
    assert not table.exists()
