"""``convexon import``; and an importer of somebody else's: one class, and its files are read."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from convexon.cli import app
from convexon.data.dataset import DATASET
from convexon.errors import InputError
from convexon.flow.network.solve import solve
from convexon.flow.run import Run
from convexon.interop.importers import IMPORTERS, Importer, ReadingSettings, importer_for
from convexon.snn.card import CARD
from convexon.snn.network import FixedPointNetwork
from convexon.store.artefact import load, save
from small_run import small_network
from strategies import layer_of, network_of
from toy import toy_arrays, toy_file, toy_samples, toy_settings


class Table(Importer):
    """A layer that is read step by step, one line of weights an input, as comma-separated text."""

    suffixes = (".lif.csv",)

    def read(self, path: Path, reading: ReadingSettings) -> FixedPointNetwork:
        rows = [[int(cell) for cell in line.split(",")] for line in path.read_text().split()]
        if len({len(row) for row in rows}) != 1:
            raise InputError(f"{path} must have lines of one length")
        return network_of((layer_of(rows, np.ones(len(rows[0]), dtype=int)),), n_steps=4)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    """The importer, for one test."""
    monkeypatch.setattr(IMPORTERS, "_known", dict(IMPORTERS._known))
    IMPORTERS.add("table", Table())


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = Run(tmp_path_factory.mktemp("solved"))
    solve(folder, toy_samples(), toy_settings(max_neurons=6))
    return folder


def convexon(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def done(*arguments: object) -> str:
    result = convexon(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(message: str, *arguments: object) -> None:
    result = convexon(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(f"convexon: {message}\n", result.stderr), result.stderr


@pytest.mark.usefixtures("table")
def test_a_file_of_another_program_becomes_a_run(tmp_path: Path) -> None:
    file = tmp_path / "net.lif.csv"
    file.write_text("1,-1\n2,0\n0,3\n")
    printed = done("import", file, tmp_path / "run")
    assert printed.startswith("import: 2 neurons, 6 synapses, 4 steps, ")
    card, record = load(CARD, tmp_path / "run" / "card.json")
    assert card.branches[0].layers[0].weights.tolist() == [[1, -1], [2, 0], [0, 3]]
    assert dict(record.recipe) == {"file": "net.lif.csv"}
    assert "emit: " in done("emit", tmp_path / "run")
    (tmp_path / "named.txt").write_text("1,-1\n")
    done("import", tmp_path / "named.txt", tmp_path / "other", "--format", "table")
    file.write_text("1,2\n3\n")
    refused(r".*net\.lif\.csv must have lines of one length", "import", file, tmp_path / "third")


def test_a_card_of_another_run_is_brought_with_its_test_samples(
    solved: Run, tmp_path: Path
) -> None:
    run = Run(tmp_path / "run")
    data = toy_file(tmp_path)
    printed = done("import", solved.file("card"), run.path, "--data", data)
    assert printed.endswith(f"108 test samples, {run.file('card')}\n")
    assert run.read("card", CARD).value.n_neurons == solved.read("card", CARD).value.n_neurons
    test = run.read("test", DATASET).value
    np.testing.assert_array_equal(test.inputs, run.read("card", CARD).value.encode(toy_arrays()[0]))
    assert "report: " in done("report", run.path, "--no-synthesize")
    figures = json.loads((run.path / "report.json").read_text())["figures"]
    names = {figure["name"] for figure in figures}
    assert {"accuracy.test", "network.neurons"} <= names
    assert not {name for name in names if name.startswith("certificate.")}


@pytest.mark.usefixtures("table")
def test_labels_are_matched_by_name_whatever_their_order(solved: Run, tmp_path: Path) -> None:
    X, y = toy_arrays()
    np.savez(tmp_path / "two.npz", features=X[y > 0], labels=y[y > 0])
    done("import", solved.file("card"), tmp_path / "run", "--data", tmp_path / "two.npz")
    test = Run(tmp_path / "run").read("test", DATASET).value
    assert (test.n_classes, test.labels.tolist()) == (3, y[y > 0].tolist())


def test_what_cannot_be_brought_is_refused(solved: Run, tmp_path: Path) -> None:
    card, run = solved.file("card"), tmp_path / "run"
    X, y = toy_arrays()
    np.savez(tmp_path / "unlabelled.npz", features=X)
    np.savez(tmp_path / "narrow.npz", features=X[:, :3], labels=y)
    np.savez(tmp_path / "others.npz", features=X, labels=y + 7)
    for name, message in (
        ("unlabelled", "labels must be given: unlabelled has none"),
        ("narrow", r"samples must have shape \(samples, 8\), not \(108, 3\)"),
        ("others", "labels must be of the classes 0, 1, 2, not 7"),
        ("none", r".*none\.npz is missing: give an npz .*"),
    ):
        refused(message, "import", card, run, "--data", tmp_path / f"{name}.npz")
    refused(r".*none\.json is missing: run `.*", "import", tmp_path / "none.json", run)
    refused(
        r"--format of net\.txt must be given: one of card, nir, layers, exported",
        "import",
        tmp_path / "net.txt",
        run,
    )
    refused(
        "--format must be one of card, nir, layers, exported, not 'x'",
        "import",
        card,
        run,
        "--format",
        "x",
    )
    save(CARD, small_network(), tmp_path / "steps.json")
    refused(
        "--data must be left out: the card does not say how samples are encoded",
        *("import", tmp_path / "steps.json", run, "--data", toy_file(tmp_path)),
    )
    assert not Run(run).has("card")
    assert not Run(run).has("test")


def test_neither_a_run_nor_a_brought_network_is_overwritten(solved: Run, tmp_path: Path) -> None:
    ours = Path(shutil.copytree(solved.path, tmp_path / "ours"))
    message = r".*/ours has a network already: choose another folder"
    refused(message, "import", solved.file("card"), ours)
    done("import", solved.file("card"), tmp_path / "brought")
    before = (tmp_path / "brought" / "card.json").read_bytes()
    small = ("--data", toy_file(tmp_path), "--witnesses", "40", "--fan-in", "3", "--rho", "0.01")
    refused(
        ".*/brought holds a network that was not solved here: choose another folder, or give "
        "--replace",
        *("solve", tmp_path / "brought", *small),
    )
    assert (tmp_path / "brought" / "card.json").read_bytes() == before
    done("solve", tmp_path / "brought", *small, "--replace")


def test_the_longest_end_of_a_name_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    class Json(Table):
        suffixes = (".net.json", ".lif.csv")

    monkeypatch.setattr(IMPORTERS, "_known", dict(IMPORTERS._known))
    own = IMPORTERS.add("json", Json())
    assert importer_for(Path("a.net.json")) is own
    assert importer_for(Path("a.card.json")) is IMPORTERS["card"]
    assert importer_for(Path("a.net.json"), "card") is IMPORTERS["card"]


@pytest.mark.parametrize("thing", [object(), Table, type("Bare", (Table,), {"suffixes": ()})()])
def test_what_is_no_importer_cannot_be_added(thing: object) -> None:
    with pytest.raises(InputError, match=r"^an importer must be an instance of .* with suffixes"):
        IMPORTERS.add("bare", thing)  # type: ignore[arg-type]
