"""Run folders with a report, a sweep, and the browser that looks at them."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from convexon.data.loading import load_samples
from convexon.errors import ToolError
from convexon.flow.hardware.emit import emit_stage
from convexon.flow.hardware.verify import verify_stage
from convexon.flow.network.solve import solve
from convexon.flow.run import Run
from convexon.report.stage import report_stage
from convexon.sweeps.executor import ProcessExecutor
from convexon.sweeps.stage import explore_stage
from convexon.sweeps.sweep import sweep_from
from convexon_sim.simulator import SimulatorKind, find
from toy import toy_file, toy_settings

pytest.importorskip("selenium", reason="selenium is missing: pip install 'convexon[test]'")

from report_bench import CHROMEDRIVER, CHROMIUM, INSTALL, mutate, started
from selenium import webdriver

KIND = SimulatorKind.ICARUS  # it compiles in no time; test_chain_demo reports on both


@pytest.fixture(scope="session")
def browser() -> Iterator[webdriver.Chrome]:
    missing = [program for program in (CHROMIUM, CHROMEDRIVER) if not Path(program).exists()]
    if missing:
        pytest.skip(f"{' and '.join(missing)} missing, so no page was looked at: {INSTALL}")
    driver = started()
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_file(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def unverified(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run without hardware, and its report."""
    folder = Run(tmp_path_factory.mktemp("unverified"))
    solve(folder, load_samples(str(data)), toy_settings())
    report_stage(folder)
    return folder


def copied(folder: Run, path: Path) -> Run:
    return Run(Path(shutil.copytree(folder.path, path)))


@pytest.fixture(scope="session")
def verified(unverified: Run, build_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose hardware was simulated, and its report."""
    del build_cache
    try:
        find(KIND)
    except ToolError as error:
        pytest.skip(str(error))
    folder = copied(unverified, tmp_path_factory.mktemp("verified") / "run")
    emit_stage(folder)
    verify_stage(folder, KIND)
    report_stage(folder)
    return folder


@pytest.fixture(scope="session")
def mutated(verified: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same with hardware that has a fault, and its report."""
    folder = copied(verified, tmp_path_factory.mktemp("mutated") / "run")
    mutate(folder)
    verify_stage(dataclasses.replace(folder, edited=True), KIND)
    report_stage(folder)
    return folder


@pytest.fixture
def run(verified: Run, tmp_path: Path) -> Run:
    """A copy of the verified run, that a test may change."""
    return copied(verified, tmp_path / "run")


def explored(root: Path, data: Path) -> Path:
    """A sweep of six points, one of which does not fit, and its page."""
    sweep = sweep_from(
        {
            "data": str(data),
            "rho": [0.01],
            "sweep": {
                "steps": 4,
                "coding": "threshold",
                "guide": "difference",
                "witnesses": 40,
                "fan_in": 3,
                "max_neurons": [4, 8],
                "mapping": ["spatial", "folded"],
                "lanes": [2, 4],
            },
            "budget": {"latency_cycles": 95},
        }
    )
    explore_stage(root, sweep, executor=ProcessExecutor(1))
    return root


@pytest.fixture(scope="session")
def sweep(data: Path, verified: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep with a point that was verified and reported on, and its page."""
    del verified  # where it can be, this can be verified
    root = explored(tmp_path_factory.mktemp("sweep"), data)
    first = Run(min((root / "points").glob("*/mapping.json")).parent)
    emit_stage(first)
    verify_stage(first, KIND)
    report_stage(first)
    return explored(root, data)
