"""Every artefact checks its values on reading, whatever its digest says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forgery import CODECS, Forger, optimal_run

from convexon.certify import folder
from convexon.errors import ArtefactError
from convexon.store.artefact import load


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return optimal_run(tmp_path_factory.mktemp("stored") / "run")


@pytest.fixture
def forger(solved: Path, tmp_path: Path) -> Forger:
    return Forger(Path(shutil.copytree(solved, tmp_path / "run")))


@pytest.mark.parametrize("name", ["branches", "dictionary", "network", "solution"])
def test_the_checker_reads_the_files_that_are_written(name: str) -> None:
    """Two statements of one form, as the checker shares no code with what writes it."""
    read, written = getattr(folder, name.upper()), CODECS[name]
    assert (read.schema, read.version) == (written.schema, written.version)


def refused(forger: Forger, name: str) -> str:
    """The line that refuses a file whose digest is right."""
    forger.sign()
    with pytest.raises(ArtefactError) as error:
        load(CODECS[name], forger.path / f"{name}.json")
    told = str(error.value)
    assert told.isprintable()
    assert f"{name}." in told
    return told


@pytest.mark.parametrize("name", [name for name in CODECS if name != "card"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_no_array_holds_what_is_no_number(forger: Forger, name: str, value: float) -> None:
    arrays = forger.files[name].arrays
    for key in [key for key, array in arrays.items() if array.dtype.kind == "f"]:
        sound = arrays[key]
        if not sound.size:
            continue
        bad = sound.copy()
        bad.flat[0] = value
        forger.raw(name).arrays[key] = bad
        assert "does not match its digest" not in refused(forger, name)
        arrays[key] = sound


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("dictionary", ("max_feature",), -1),
        ("dictionary", ("max_feature",), 256),
        ("dictionary", ("n_silent",), -1),
        ("dictionary", ("n_drawn",), 1.5),
        ("network", ("n_steps",), 1 << 17),
        ("card", ("n_steps",), 10**30),
        ("card", ("input_bits",), 0),
        ("certificate", ("tolerance",), 0.0),
        ("certificate", ("statement", "rho"), 1e300),
        ("certificate", ("priced", 0, "n_columns"), 0),
        ("train", ("n_classes",), 1),
    ],
)
def test_no_figure_is_out_of_its_range(
    forger: Forger, name: str, place: tuple[Any, ...], value: Any
) -> None:
    inner = forger.raw(name).head["content"]
    for part in place[:-1]:
        inner = inner[part]
    inner[place[-1]] = value
    assert "does not match its digest" not in refused(forger, name)


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("columns", lambda a: a[::-1]),
        ("columns", lambda a: a + 10**6),
        ("weights", lambda a: -a),
        ("weights", lambda a: a[:0]),
        ("W", lambda a: a[:-1]),
        ("dual", lambda a: a[:, :-1]),
        ("history", lambda a: a[:, :-1]),
        ("columns", lambda a: a != a),
        ("weights", lambda a: a.astype(int)),
    ],
)
def test_no_array_of_a_solution_fits_no_other(forger: Forger, key: str, change: Any) -> None:
    forger.raw("solution").arrays[key] = change(forger.files["solution"].arrays[key])
    assert "does not match its digest" not in refused(forger, "solution")


@pytest.mark.parametrize("member", ["parents", "recipe", "arrays", "source"])
@pytest.mark.parametrize("value", [None, [], 7, [["train", "x"]]])
def test_no_head_is_garbled(forger: Forger, member: str, value: Any) -> None:
    path = forger.path / "certificate.json"
    head = {**json.loads(path.read_text()), member: value}
    path.write_text(json.dumps(head))
    with pytest.raises(ArtefactError, match=r"is damaged: a field of its head has another form; "):
        load(CODECS["certificate"], path)
