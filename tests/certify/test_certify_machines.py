"""Two kinds of processor: what they agree on, and that each one's certificate holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from convexon.certify.check import check_file

SOLVE = "from pathlib import Path; from forgery import *; optimal_run(Path(sys.argv[1]), steps=3)"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same run by linear algebra for an old processor and for a newer one."""
    paths = []
    for kind in ("Prescott", "Haswell"):
        path = tmp_path_factory.mktemp(kind) / "run"
        code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); {SOLVE}"
        environment = {**os.environ, "OPENBLAS_CORETYPE": kind}
        subprocess.run([sys.executable, "-c", code, str(path)], check=True, env=environment)
        paths.append(path)
    return paths


def test_each_machines_certificate_holds(runs: list[Path]) -> None:
    for path in runs:
        assert all(found.checked for found in check_file(path).findings)


def test_machines_agree_on_every_integer_of_the_network(runs: list[Path]) -> None:
    first, second = (json.loads((path / "card.json").read_text())["content"] for path in runs)
    assert first == second


def test_machines_agree_on_what_is_proved_to_a_billionth(runs: list[Path]) -> None:
    first, second = (json.loads((path / "certificate.json").read_text()) for path in runs)
    for name in ("primal", "lower", "tolerance"):
        assert first["content"][name] == pytest.approx(second["content"][name], rel=1e-9)
