"""Run folders that the tests of the command line change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from convexon.data.loading import load_samples
from convexon.flow.hardware.emit import emit_stage
from convexon.flow.network.solve import solve
from convexon.flow.run import Run
from toy import toy_file, toy_settings


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_file(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def solved(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = Run(tmp_path_factory.mktemp("solved"))
    solve(folder, load_samples(str(data)), toy_settings(max_neurons=6))
    return folder


@pytest.fixture(scope="module")
def emitted(solved: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    copied = tmp_path_factory.mktemp("emitted") / "run"
    folder = Run(Path(shutil.copytree(solved.path, copied)))
    emit_stage(folder)
    return folder


@pytest.fixture
def run(solved: Run, tmp_path: Path) -> Path:
    """A copy of a solved folder, that a test may change."""
    return Path(shutil.copytree(solved.path, tmp_path / "run"))


@pytest.fixture
def rtl_run(emitted: Run, tmp_path: Path) -> Path:
    """A copy of a folder with a bundle, that a test may change."""
    return Path(shutil.copytree(emitted.path, tmp_path / "rtl_run"))
