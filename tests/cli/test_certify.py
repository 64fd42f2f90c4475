"""``convexon certify``: what it says of a sound run, and how it refuses every other."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from convexon.certify.certificate import CERTIFICATE, Certificate
from convexon.cli import app
from convexon.flow.network.solve import solve
from convexon.flow.run import Run
from convexon.store.artefact import load, save
from toy import toy_samples, toy_settings


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certify")
    solve(Run(folder / "run"), toy_samples(), toy_settings())
    return folder / "run"


@pytest.fixture
def run(solved: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(solved, tmp_path / "run"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of another seed."""
    folder = tmp_path_factory.mktemp("certify") / "other"
    solve(Run(folder), toy_samples(), toy_settings(seed=1))
    return folder


def certify(path: Path) -> Result:
    return CliRunner().invoke(app, ["certify", str(path)])


def refused(result: Result, code: int, message: str) -> None:
    """One line on stderr, which matches the pattern, and nothing else."""
    assert result.exit_code == code, result.output
    assert re.fullmatch(f"convexon: {message}\n", result.stderr), result.stderr
    assert result.stdout == ""


def rewrite(run: Path, change: Certificate) -> None:
    """Save a changed certificate with sound digests and the same parents."""
    _, record = load(CERTIFICATE, run / "certificate.json")
    save(CERTIFICATE, change, run / "certificate.json", parents=record.parents)


def read(run: Path) -> Certificate:
    return load(CERTIFICATE, run / "certificate.json")[0]


def test_every_claim_of_a_run_is_checked_but_for_the_test_samples(
    solved: Path, tmp_path: Path
) -> None:
    (tmp_path / "run.json").symlink_to(solved)  # a folder, whatever its name
    for path in (solved, solved / "certificate.json", tmp_path / "run.json"):
        result = certify(path)
        assert result.exit_code == 0, result.output
        lines = result.stdout.splitlines()
        assert not [line for line in lines if line.startswith("not checkable here: ")]
        checked = [line.split(": ")[1] for line in lines if line.startswith("checked: ")]
        assert checked == [
            "primal", "dual", "gap", "dictionary", "universal", "score_error", "rounded primal",
            "objective_change", "margins", "data", "samples", "columns", "costs", "solution",
            "network", "card", "recipe", "margins (test)",
        ]  # fmt: skip
        assert re.fullmatch(
            r"claimed, to a tolerance of 1e-06: an objective of 0\.\d{8}, within \S+ of the least "
            r"over its own 13 columns, \S+ of the least over the dictionary's 52, \S+ of the least "
            r"over any network of any depth, width and weights on these inputs",
            lines[-2],
        )
        assert lines[-1] == "certify: 18 of 18 claims checked, none fails"
        assert "globally optimal" not in result.stdout


@pytest.mark.parametrize("digit", range(8))
def test_a_changed_digit_is_refused(run: Path, digit: int) -> None:
    path = run / "certificate.json"
    text = path.read_text()
    places = [m.start() for m in re.finditer(r"\d", text)]
    place = places[len(places) * digit // 8]
    path.write_text(text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :])
    result = certify(run)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert str(path.parent) in result.stderr


@pytest.mark.parametrize("flag", ["exact", "every_network_of_form", "intercept"])
def test_a_changed_flag_is_refused(run: Path, flag: str) -> None:
    path = run / "certificate.json"
    head = json.loads(path.read_text())
    home = head["content"]["statement"] if flag == "intercept" else head["content"]["priced"][0]
    home[flag] = not home[flag]
    path.write_text(json.dumps(head))
    refused(certify(run), 2, ".*certificate.json does not match its digest: .*")


def test_a_damaged_array_is_refused(run: Path) -> None:
    (arrays,) = run.glob("certificate.*.npz")
    data = bytearray(arrays.read_bytes())
    for place in range(len(data) // 2, len(data) // 2 + 128):  # more than a header of the archive
        data[place] ^= 1
    arrays.write_bytes(data)
    refused(certify(run), 2, ".*certificate.*npz (is truncated|does not match).*")


def test_another_runs_dictionary_is_refused(run: Path, other: Path) -> None:
    for file in other.glob("dictionary.*"):
        shutil.copy(file, run)
    refused(
        certify(run),
        2,
        ".*dictionary.json is not the dictionary of .*certificate.json: solve again",
    )


def test_what_is_missing_is_named(run: Path, tmp_path: Path) -> None:
    message = r".*none/certificate\.json is missing: run `convexon solve \S*/none` first"
    refused(certify(tmp_path / "none"), 2, message)
    (run / "dictionary.json").unlink()
    message = (
        r".*certificate\.json cannot be checked: dictionary\.json is not beside it; solve again"
    )
    refused(certify(run), 2, message)
    shutil.copy(run / "solution.json", run / "certificate.json")
    refused(certify(run), 2, ".*must hold convexon.certificate, not 'convexon.solution'")


def test_a_false_claim_with_a_sound_digest_is_exit_code_1(run: Path) -> None:
    certificate = read(run)
    rewrite(run, replace(certificate, lower=np.nextafter(certificate.primal, 1e9)))
    refused(certify(run), 1, "claim dual does not hold: it is .*, below .*")


def test_labels_that_are_not_the_data_sets_are_refused(run: Path) -> None:
    """Two labels exchanged, and every figure certified for those: only the data object."""
    certificate = read(run)
    statement, order = certificate.statement, np.arange(certificate.statement.n_rows)
    targets = statement.targets[order]
    targets[0] = np.roll(targets[0], 1)
    relabelled = replace(
        certificate,
        statement=replace(statement, targets=targets),
        primal=1e3,
        lower=-1e3,
        gap=2e3,
        priced=(),
        universal=None,
        rounded=None,
    )
    rewrite(run, relabelled)
    refused(certify(run), 1, "claim data does not hold: the targets are not .*train.json")


def test_inputs_that_are_not_equal_may_not_be_called_so(run: Path) -> None:
    """Rows that fire alike in every column are told apart by the data set alone."""
    certificate = read(run)
    groups = certificate.statement.groups.copy()
    labels = certificate.statement.targets.argmax(axis=1)
    first, second = np.flatnonzero(labels == labels[0])[:2]
    groups[second] = groups[first]
    merged = replace(certificate, statement=replace(certificate.statement, groups=groups))
    rewrite(run, replace(merged, universal=None))
    refused(certify(run), 1, "claim data does not hold: the rows are not .*train.json")


@pytest.mark.parametrize(
    ("grouped", "changes"),
    [
        (True, {}),
        (False, {"cost": "luts", "depth": 2, "hidden": 16}),
        (False, {"cost": "memory", "coding": "intensity", "bits": 4, "readout": "sign"}),
    ],
)
def test_every_link_of_other_runs_is_checked(grouped: bool, changes: Any, tmp_path: Path) -> None:
    samples = toy_samples()
    if grouped:
        samples = replace(samples, groups=np.arange(samples.n_samples) // 3 % 9)
    solve(Run(tmp_path / "run"), samples, toy_settings(**changes))
    assert certify(tmp_path / "run").stdout.endswith("18 of 18 claims checked, none fails\n")


NEEDED = {
    "train": "data samples columns costs network card recipe",
    "samples-train": "samples",
    "samples-test": "samples",
    "test": "samples",
    "branches": "columns network card",
    "solution": "solution recipe",
    "network": "network card",
    "card": "data samples columns costs network card recipe",
}
"""Links that are open where a file is missing; and of them all but the last two, margins are."""


@pytest.mark.parametrize("name", NEEDED)
def test_what_is_not_beside_it_leaves_links_open(run: Path, name: str) -> None:
    (run / f"{name}.json").unlink()
    found = certify(run)
    assert found.exit_code == 0
    lines = [line for line in found.stdout.splitlines() if line.startswith("not checkable here")]
    expected = set(NEEDED[name].split()) | (
        set() if name in ("samples-train", "samples-test", "solution") else {"margins (test)"}
    )
    assert {line.split(": ")[1].split(", because ")[0] for line in lines} == expected
    assert all(line.endswith(f"{name}.json is not beside it") for line in lines)


@pytest.mark.parametrize("name", NEEDED)
def test_another_runs_file_is_refused(run: Path, name: str, other: Path) -> None:
    for file in other.glob(f"{name}.*"):
        shutil.copy(file, run)
    refused(certify(run), 2, rf".*{name}\.json is not the {name} of .*\.json: solve again")
