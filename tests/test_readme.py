"""README.md: its commands and its Python example work, in the order in which they stand there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris

from convexon.data.loading import digits
from convexon.flow.hardware.emit import emit_stage
from convexon.flow.hardware.synthesize import synthesize_stage
from convexon.flow.network.solve import solve
from convexon.flow.run import Run
from convexon.report.collect import collect, figures_of
from convexon.report.figure import read_figures
from convexon.train.settings import SolveSettings

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def example(name: str) -> str:
    found = re.search(rf"<!-- example:{name} -->\n(.*?)<!-- example:end -->", README, re.DOTALL)
    assert found is not None, f"README.md has no example {name}"
    return found[1]


def run(*command: str, folder: Path) -> str:
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.usefixtures("build_cache")
def test_the_python_example_runs_as_it_stands(tmp_path: Path) -> None:
    code = example("python").replace("```python\n", "").replace("```\n", "")
    (tmp_path / "example.py").write_text(code)
    printed = run(sys.executable, "example.py", folder=tmp_path)
    assert float(printed.splitlines()[0]) > 0.8
    assert (tmp_path / "iris-rtl" / "accelerator.v").exists()


@pytest.mark.usefixtures("build_cache")
def test_the_commands_run_in_their_order_on_samples_of_four_features(tmp_path: Path) -> None:
    X, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    np.savez(tmp_path / "mine.npz", features=X, labels=names)
    np.savez(tmp_path / "new.npz", features=X[::10])
    lines = [line.partition("#")[0].split() for line in example("shell").splitlines()]
    for words in lines:
        assert words[0] == "convexon"
        run(sys.executable, "-m", "convexon.cli", *words[1:], folder=tmp_path)
    folder = tmp_path / "build" / "mine"
    for name in ("card.json", "predictions.csv", "report.html", "rtl/accelerator.v"):
        assert (folder / name).exists(), name
    answers = (folder / "predictions.csv").read_text().splitlines()
    assert answers[0].startswith("sample,class,")
    assert {row.split(",")[1] for row in answers[1:]} <= set(names)


def demo_figures() -> dict[str, float]:
    results = Path(__file__).parent.parent / "benchmarks" / "results"
    return {name: figure.value for name, figure in read_figures(results / "demo.json").items()}


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = Run(tmp_path_factory.mktemp("demo"))
    solve(folder, digits(), SolveSettings())
    return folder


def compared(folder: Run, prefixes: tuple[str, ...]) -> None:
    """What this code makes of the digits is what the table says."""
    stated = demo_figures()
    figures = {figure.name: figure.value for figure in figures_of(collect(folder))}
    names = [name for name in figures if name.startswith(prefixes)]
    assert names
    for name in names:
        expected = pytest.approx(stated[name], rel=1e-6, abs=1e-8)
        assert figures[name] == expected, f"{name}: run python benchmarks/demo.py"


def test_the_demo_table_is_of_this_network(solved: Run) -> None:
    compared(solved, ("accuracy.", "certificate.", "dictionary.", "network.", "latency."))


@pytest.mark.exhaustive
def test_the_demo_table_is_of_this_hardware(solved: Run) -> None:
    emit_stage(solved)
    synthesize_stage(solved)
    compared(solved, ("cells.",))
