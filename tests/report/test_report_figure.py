"""Figures and their file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from convexon.errors import ArtefactError, InputError
from convexon.report.figure import Figure, FigureKind, read_figures, write_figures


def figure(name: str = "certificate.gap", value: float = 1e-7) -> Figure:
    return Figure(name=name, value=value, unit="1", kind=FigureKind.PROVED, source="a test")


def test_figures_come_back_as_they_were_written(tmp_path: Path) -> None:
    rows = [figure(), figure("network.neurons", 12), figure("cells.ecp5.lut4", 0)]
    write_figures(rows, tmp_path / "report.json")
    found = read_figures(tmp_path / "report.json")
    assert found == {row.name: row for row in rows}
    assert [type(row.value) for row in found.values()] == [float, int, int]


def test_the_file_has_the_documented_form(tmp_path: Path) -> None:
    write_figures([figure()], tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text()) == {
        "schema": "convexon.report",
        "schema_version": 1,
        "figures": [
            {
                "name": "certificate.gap",
                "value": 1e-7,
                "unit": "1",
                "kind": "proved",
                "source": "a test",
            }
        ],
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), True])
def test_a_value_that_is_no_finite_number_is_refused(value: float) -> None:
    with pytest.raises(InputError, match=rf"^value of a\.b must be a finite number, not {value}$"):
        figure("a.b", value)


@pytest.mark.parametrize("name", ["", "Gap", "a..b", ".a", "a.", "a b", "a\n", "é"])
def test_a_name_that_is_not_dotted_lower_case_is_refused(name: str) -> None:
    message = f"name must be dotted lower case, not {name!r}"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        figure(name)


def test_two_figures_of_one_name_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    message = "^figures must have names of their own, and 'a.b' is there twice$"
    with pytest.raises(InputError, match=message):
        write_figures([figure("a.b"), figure("c"), figure("a.b")], tmp_path / "report.json")
    assert not list(tmp_path.iterdir())


def test_a_missing_file_says_which(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    message = f"{path} is missing: run the command that writes it"
    with pytest.raises(ArtefactError, match=f"^{re.escape(message)}$"):
        read_figures(path)


@pytest.mark.parametrize(
    ("field", "value"), [("schema", "other.report"), ("schema_version", 2), ("schema_version", "1")]
)
def test_a_foreign_schema_or_version_is_refused(tmp_path: Path, field: str, value: object) -> None:
    path = tmp_path / "report.json"
    write_figures([figure()], path)
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    message = f"{path} must be convexon.report version 1, not "
    with pytest.raises(ArtefactError, match=f"^{re.escape(message)}"):
        read_figures(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("]", ""),  # as a truncated file
        ('"proved"', '"guessed"'),
        ("1e-07", "null"),
        ("1e-07", "NaN"),
        ('"unit"', '"units"'),
        ('"certificate.gap"', '"Certificate gap"'),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "report.json"
    write_figures([figure()], path)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ArtefactError, match=f"^{re.escape(str(path))} is truncated or damaged: "):
        read_figures(path)
