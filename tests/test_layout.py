"""Rules of the repository that a reader relies on."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOTS = ("py", "hdl", "sim", "boards")
MODULES = sorted(path for root in ROOTS for path in (ROOT / root).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(path: Path) -> Iterator[str]:
    """Top-level name of every module that is imported."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module).partition(".")[0]


def test_the_modules_are_found() -> None:
    assert {"py/convexon/snn/models/golden.py", "sim/convexon_sim/bench/bench.py"} <= set(
        map(name_of, MODULES)
    )


@pytest.mark.parametrize("folder", [*ROOTS, "tests"])
def test_a_source_root_is_no_package(folder: str) -> None:
    assert not (ROOT / folder / "__init__.py").exists()


@pytest.mark.parametrize("folder", ROOTS)
def test_a_source_root_holds_one_package_and_nothing_importable_beside_it(folder: str) -> None:
    entries = {path.name for path in (ROOT / folder).iterdir() if path.name != "__pycache__"}
    assert entries == {"convexon" if folder == "py" else f"convexon_{folder}"}


def test_no_module_is_named_for_nothing() -> None:
    vague = {"utils", "util", "misc", "helpers", "common"}
    assert [name_of(path) for path in MODULES if vague & set(path.with_suffix("").parts)] == []


def test_nothing_is_pickled() -> None:
    # joblib hands calls to processes; the contracts of pyproject.toml say which module may ask it.
    for path in MODULES:
        of_joblib = re.findall(
            r"^[ \t]*(?:from|import) joblib.*$", path.read_text("utf-8"), re.MULTILINE
        )
        assert set(of_joblib) <= {"from joblib import Parallel, delayed, parallel_config"}
    unsafe = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"}
    found = {name_of(path): unsafe & set(imported(path)) for path in MODULES}
    assert {name: names for name, names in found.items() if names} == {}
    allowed = re.compile(r"allow_pickle\s*=\s*True")
    assert [name_of(p) for p in MODULES if allowed.search(p.read_text(encoding="utf-8"))] == []


def test_programs_are_started_by_one_module_alone() -> None:
    starts = re.compile(
        r"\b(?:os\.(?:system|popen|fork|forkpty|exec\w+|spawn\w+|posix_spawn\w*|startfile)"
        r"|subprocess\.\w+|create_subprocess_\w+|ProcessPoolExecutor|pty\.\w+)\("
    )
    found = {name_of(path) for path in MODULES if starts.search(path.read_text(encoding="utf-8"))}
    assert found == {"py/convexon/tools/process.py"}
    asks = {name_of(path) for path in MODULES if {"subprocess", "pty"} & set(imported(path))}
    assert asks == found


def test_the_golden_model_and_the_hardware_share_no_code() -> None:
    golden = (ROOT / "py/convexon/snn/models/golden.py").read_text(encoding="utf-8")
    assert "convexon.snn.models.simulate" not in re.findall(
        r"^(?:from|import) (\S+)", golden, re.MULTILINE
    )
    for path in (ROOT / "hdl").rglob("*.py"):
        names = re.findall(r"^\s*(?:from|import) (.*)$", path.read_text("utf-8"), re.MULTILINE)
        assert not [line for line in names if re.search(r"\b(golden|simulate)\b", line)], path.name


def test_the_figures_in_the_readme_are_the_measured_ones() -> None:
    table = ROOT / "benchmarks" / "tables.py"
    results = [ROOT / "benchmarks" / "results" / n for n in ("demo.json", "demo_seeds.json")]
    missing = [path.name for path in (table, *results) if not path.exists()]
    if missing:
        pytest.skip(f"{', '.join(missing)} missing: python benchmarks/demo.py")
    result = subprocess.run([sys.executable, table, "--check"], capture_output=True, text=True)
    assert result.returncode == 0, f"python benchmarks/tables.py mends it\n{result.stderr}"
