"""What the tests of sweeps start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from explore_bench import serial, toy_sweep

from convexon.sweeps.stage import ExploreResult, explore_stage
from toy import toy_file


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_file(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def explored(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ExploreResult]:
    """The small sweep, made one call after the other."""
    root = tmp_path_factory.mktemp("explored")
    return root, explore_stage(root, toy_sweep(data), executor=serial(root / "calls"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Address of a cluster of two workers, each a process that is replaced when it is lost."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
    ) as local:
        yield local.scheduler_address
