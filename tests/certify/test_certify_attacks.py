"""The adversary's table: each way to cheat is tried, and told.

docs/certificates.md has the table; a row without its attack, or an attack without its row, fails.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from attacks import ATTACKS, BASES, told_of
from forgery import CODECS, Forger

TABLE = Path(__file__).parents[2] / "docs" / "certificates.md"


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs to be forged, by name."""
    folder = tmp_path_factory.mktemp("forged")
    return {name: make(folder / name) for name, make in BASES.items()}


def test_the_runs_are_sound_and_globally_optimal_as_they_are(runs: dict[str, Path]) -> None:
    assert "globally optimal" in told_of(runs["optimal"])
    assert "18 of 18 claims checked" in told_of(runs["costly"])


def test_a_forger_that_changes_nothing_is_believed(runs: dict[str, Path], tmp_path: Path) -> None:
    """Digests made again are sound: what tells the other forgeries is what they say."""
    forger = Forger(Path(shutil.copytree(runs["optimal"], tmp_path / "run")))
    for name in CODECS:
        forger.set(name, forger.get(name))
    forger.sign()
    assert "globally optimal" in told_of(forger.path)


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(name: str, runs: dict[str, Path], tmp_path: Path) -> None:
    attack = ATTACKS[name]
    forger = Forger(Path(shutil.copytree(runs[attack.base], tmp_path / "run")))
    attack.forge(forger)
    forger.sign()
    told = told_of(forger.path)
    assert re.search(attack.told, told), told
    assert "globally optimal" not in told
    assert all(line.isprintable() for line in told.split("\n"))


def test_the_table_is_of_these_attacks() -> None:
    rows = re.findall(r"^\| (.+?) \| .+ \| `(\S+)` \|$", TABLE.read_text(), re.MULTILINE)
    assert [(how, name) for how, name in rows] == [(a.how, a.name) for a in ATTACKS.values()]
    assert len(rows) >= 40
