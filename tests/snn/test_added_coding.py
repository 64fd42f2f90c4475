"""A coding of somebody else's: one class, and it is solved, applied, swept and put on a card."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import convexon as cx
from convexon.cli import app
from convexon.errors import ArtefactError, InputError
from convexon.interop.export import as_c_header
from convexon.snn.coding import CODINGS, Coding
from convexon.sweeps.sweep import sweep_from
from toy import toy_arrays, toy_file

SMALL = ("--witnesses", "40", "--fan-in", "3", "--rho", "0.01", "--max-neurons", "10")


class Dark(Coding):
    """A spike at each step below whose threshold a value lies."""

    c_expression = "u < (double)(t + 1) / (T + 1)"

    def encode(self, values: np.ndarray, *, n_steps: int, bits: int) -> np.ndarray:
        thresholds = np.arange(1, n_steps + 1) / (n_steps + 1)
        return (values[:, None, :] < thresholds[:, None]).astype(np.uint8)


@pytest.fixture
def dark(monkeypatch: pytest.MonkeyPatch) -> None:
    """The coding, for one test."""
    monkeypatch.setattr(CODINGS, "_known", dict(CODINGS._known))
    CODINGS.add("dark", Dark())


def convexon(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.usefixtures("dark")
def test_the_command_line_solves_and_predicts_with_it(tmp_path: Path) -> None:
    run, data = tmp_path / "run", toy_file(tmp_path)
    convexon("solve", run, "--data", data, "--coding", "dark", *SMALL)
    card = json.loads((run / "card.json").read_text())
    assert card["content"]["interface"]["coding"] == "dark"
    printed = convexon("predict", run, "--data", data)
    share = float(printed.split(", ")[1].split()[0])
    assert share > 80
    assert "dark, direct" not in convexon("solve", "--help"), "the built-in ones come first"
    assert "dark" in convexon("solve", "--help")


@pytest.mark.usefixtures("dark")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_estimator_fits_with_it_and_the_header_says_it_in_c(tmp_path: Path) -> None:
    X, y = toy_arrays()
    fitted = cx.SpikingClassifier(
        coding="dark", witnesses=40, fan_in=3, max_neurons=10, rho=(0.01,), random_state=0
    ).fit(X, y)
    assert fitted.score(X, y) > 0.8
    fitted.network_.save(tmp_path / "card.json")
    again = cx.load(tmp_path / "card.json")
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
    assert str(Dark.c_expression) in as_c_header(again.card, digest="none")


@pytest.mark.usefixtures("dark")
def test_a_sweep_varies_it() -> None:
    sweep = sweep_from({"sweep": {"coding": ["dark", "threshold"]}})
    assert [point.solve.coding for point in sweep.points] == ["dark", "threshold"]
    assert sweep.varied == ["coding"]


def test_without_it_its_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"^coding must be one of threshold, .*, not 'dark'$"):
        cx.SolveSettings(coding="dark")
    with monkeypatch.context() as patch:
        patch.setattr(CODINGS, "_known", dict(CODINGS._known))
        CODINGS.add("dark", Dark())
        convexon(
            "solve", tmp_path / "run", "--data", toy_file(tmp_path), "--coding", "dark", *SMALL
        )
    with pytest.raises(ArtefactError, match=r"holds bad content: interface: coding must be one of"):
        cx.load(tmp_path / "run" / "card.json")
