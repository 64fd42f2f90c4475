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
