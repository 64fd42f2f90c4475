"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "convexon",
    derandomize=True,  # a test that failed once fails again
    deadline=None,  # machines differ
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("convexon")


@pytest.fixture(scope="session", autouse=True)
def build_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder of compiled simulations and the like: the one that is set, or else a temporary one."""
    chosen = os.environ.get("CONVEXON_CACHE")
    if chosen:
        yield Path(chosen)
        return
    folder = tmp_path_factory.mktemp("build-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVEXON_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def mnist() -> Path:
    """Folder with data sets: where CONVEXON_DATA points."""
    folder = os.environ.get("CONVEXON_DATA")
    if not folder:
        pytest.skip("CONVEXON_DATA is not set: point it to a folder that holds MNIST's idx files")
    return Path(folder)
