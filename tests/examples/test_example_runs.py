"""The examples as scripts: from a command line to a run folder that the checker accepts."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from convexon.certify.check import check_file
from convexon.data.dataset import DATASET
from convexon.snn.card import CARD
from convexon.snn.models.simulate import accuracy, scores
from convexon.snn.neuron import ReadoutMode
from convexon.store.artefact import load
from convexon.train.columns.rows import distinct_rows
from convexon.train.solved import NETWORK
from idx_files import write_digits
from scripts import ROOT, example
from tiers import exhaustive


def ran(line: str, run: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run an example by its command line."""
    name, *words = line.split()
    command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), str(run), *words, *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


XOR = "xor --length 5 --layers 3 --train 400"


@pytest.fixture(scope="module")
def xor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("xor")
    result = ran(XOR, folder)
    assert result.returncode == 0, result.stderr
    assert re.search(r"\d+ last-layer neurons, \d+ in all, test 100.00 %\n", result.stdout)
    said = "certificate: the bound over any network of any depth, width and weights on these inputs"
    assert f"{said} closes, to the tolerance 1e-05" in result.stdout
    return folder


def test_three_layers_are_proved_best_of_all_networks(xor: Path) -> None:
    verdict = check_file(xor)
    assert all(verdict.holds(claim) for claim in ("primal", "universal", "data"))
    assert [found.line for found in verdict.findings if not found.checked] == []
    assert verdict.conclusion.startswith("the weights are globally optimal over any network of any")
    assert verdict.certificate.statement.loss == "squared"
    assert verdict.certificate.closes(verdict.certificate.universal.lower_bound)


def test_the_files_are_of_one_fit(xor: Path) -> None:
    network, _ = load(NETWORK, xor / "network.json")
    card, _ = load(CARD, xor / "card.json")
    train, _ = load(DATASET, xor / "train.json")
    test, _ = load(DATASET, xor / "test.json")
    assert not {x.tobytes() for x in train.inputs} & {x.tobytes() for x in test.inputs}
    for data in (train, test):
        assert accuracy(card, data.inputs, data.labels) == 1.0
    # The certified objective is that of the network in the folder.
    verdict = check_file(xor)
    residual = scores(network, train.inputs)[:, 0, 0] - (2.0 * train.labels - 1.0)
    loss = 0.5 * float(np.square(residual).mean())
    weights = np.abs(network.readout_weights).sum() + np.abs(network.readout_biases).sum()
    rho = verdict.certificate.statement.rho
    assert verdict.certificate.primal == pytest.approx(loss + rho * weights, rel=1e-9)
    assert any(
        line.endswith(f"of {test.n_samples} decisions on test samples cannot flip")
        for line in verdict.certificate.sentences
    )


def test_the_same_command_writes_the_same_bytes(xor: Path, tmp_path: Path) -> None:
    assert ran(XOR, tmp_path).returncode == 0
    files = sorted(path.name for path in xor.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == files
    assert all((tmp_path / name).read_bytes() == (xor / name).read_bytes() for name in files)


def test_another_example_takes_the_folder_over(tmp_path: Path) -> None:
    assert ran("xor --length 6 --train 200", tmp_path).returncode == 0
    line = "automata --states 3 --length 5 --train 100 --test 8 --seed 11 --readout-bits 5"
    result = ran(line, tmp_path)
    assert result.returncode == 0, result.stderr
    verdict = check_file(tmp_path)
    assert verdict.certificate.statement.loss == "logistic"
    # What was fitted is the artefact, so that the checker finds its rows there.
    train, _ = load(DATASET, tmp_path / "train.json")
    rows = distinct_rows(train, ReadoutMode.LAST).n_rows
    data = next(finding for finding in verdict.findings if finding.claim == "data")
    assert data.checked
    assert data.detail == f"{train.n_samples} samples with their labels, {rows} distinct inputs"
    card, _ = load(CARD, tmp_path / "card.json")
    assert np.abs(card.readout_weights).max() <= 15


def test_nothing_of_an_earlier_certificate_stays(xor: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(xor, tmp_path / "run"))
    assert ran("automata --states 3 --length 5 --train 100 --test 8 --seed 11", run).returncode == 0
    left = {"branches", "solution", "samples-train", "samples-test"}
    assert left <= {path.name.split(".")[0] for path in xor.iterdir()}
    assert not left & {path.name.split(".")[0] for path in run.iterdir()}
    assert check_file(run).conclusion is None


def test_the_form_that_was_enumerated_is_named(tmp_path: Path) -> None:
    result = ran("addition --base 2", tmp_path)
    assert result.returncode == 0, result.stderr
    for name in (
        "test",
        *(f"{kind} {k}x" for k in (1, 2, 5, 10) for kind in ("joint", "sequence")),
    ):
        assert f"{name} 100.00 %" in result.stdout
    addition = example("addition")
    stored, _ = load(DATASET, tmp_path / "test.json")
    fresh = addition.fresh_sums(addition.Addition(base=2), seed=0)
    assert np.array_equal(stored.inputs, fresh.inputs)
    said = "over every network of threshold units on the input, up to 3 ternary weights"
    assert said in result.stdout
    check_file(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("automata --symbols 1", "n_symbols must be at least 2, not 1"),
        ("xor --length 3", "validation samples must have all 2 classes"),
        ("addition --base 1", "base must be 2 to 16, not 1"),
        *(
            pytest.param(*case, marks=exhaustive)
            for case in (
                ("automata --length 0", "length must be at least 1, not 0"),
                ("xor --length 2", "test strings must have both labels, not one: take longer str"),
                ("xor --layers 1", "n_layers must be at least 2, taps and units, not 1"),
                ("xor --length 5 --readout-bits 1", "bits must be 2 to 24, not 1"),
            )
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(tmp_path: Path, line: str, message: str) -> None:
    result = ran(line, tmp_path / "run")
    assert result.returncode == 2, result.stderr
    assert re.fullmatch(rf"{line.split()[0]}\.py: {message}[^\n]*\n", result.stderr), result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("n_train", "message"),
    [
        (50, "train must be at least 100, of which 10% are to choose on"),
        pytest.param(5000, "train must be at most the 120 digits in ", marks=exhaustive),
    ],
)
def test_digits_that_are_too_few_are_refused(tmp_path: Path, n_train: int, message: str) -> None:
    pytest.importorskip("torch")
    write_digits(tmp_path, n_train=120, n_test=20, seed=0)
    result = ran(f"mnist --data {tmp_path} --train {n_train}", tmp_path / "run")
    assert result.returncode == 2
    assert result.stderr.startswith(f"mnist.py: {message}")


def test_digits_leave_a_card_and_no_certificate(xor: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    run = tmp_path / "run"
    run.mkdir()
    for stale in ("dictionary.json", "certificate.json"):
        (run / stale).write_bytes((xor / stale).read_bytes())
    write_digits(tmp_path / "idx", n_train=240, n_test=30, seed=0)
    line = f"mnist --data {tmp_path / 'idx'} --train 100 --neurons 8 --seconds 1"
    result = ran(line, run)
    assert result.returncode == 0, result.stderr
    card, _ = load(CARD, run / "card.json")
    assert card.n_features <= 8
    assert not list(run.glob("certificate*")) + list(run.glob("dictionary*"))
    test, _ = load(DATASET, run / "test.json")
    reached = accuracy(card, test.inputs, test.labels)
    assert f"test {100 * reached:.2f} %" in result.stdout


@exhaustive
def test_real_digits_are_fitted_where_the_data_folder_is_given(mnist: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    result = ran(f"mnist --data {mnist} --train 1000 --neurons 64 --seconds 20", tmp_path)
    assert result.returncode == 0, result.stderr
    card, _ = load(CARD, tmp_path / "card.json")
    test, _ = load(DATASET, tmp_path / "test.json")
    assert card.n_features <= 64
    assert accuracy(card, test.inputs, test.labels) > 0.8
