"""The house in numbers: `python benchmarks/house.py [--tests]`.

Lines of the product's Python, modules of its largest folder, and CPU seconds until the front door
and the command line's help are there, each the least of several processes. With --tests the wall
time of `make test`, which runs then. Writes benchmarks/results/house.json.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

from convexon.report.figure import Figure, FigureKind, read_figures, write_figures

ROOT = Path(__file__).parent.parent
RESULT = ROOT / "benchmarks" / "results" / "house.json"
PRODUCT = ("py", "hdl", "sim", "boards")
RUNS = 5


def modules() -> list[Path]:
    """Return all modules of the product."""
    return [path for root in PRODUCT for path in (ROOT / root).rglob("*.py")]


def lines() -> int:
    """Count the lines of all modules, blank ones and docstrings included."""
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in modules())


def largest_folder() -> tuple[int, str]:
    """Return the most modules that lie side by side in one folder, and its name."""
    counts: dict[str, int] = {}
    for path in modules():
        if path.name != "__init__.py":
            name = path.parent.relative_to(ROOT).as_posix()
            counts[name] = counts.get(name, 0) + 1
    return max((count, name) for name, count in counts.items())


def cpu_seconds(*command: str) -> float:
    """Return the least CPU time of a process over several runs."""
    taken = []
    for _ in range(RUNS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(taken)


def main() -> None:
    """Measure, and write the figures."""
    known = read_figures(RESULT) if RESULT.exists() else {}
    count, folder = largest_folder()
    rows = [
        ("house.lines.product", lines(), "lines", "Python in py, hdl, sim and boards"),
        ("house.modules.largest_folder", count, "modules", folder),
        *(
            (f"house.{name}_seconds", round(cpu_seconds(*command), 3), "seconds", "CPU, least of 5")
            for name, command in (
                ("import", ("-c", "import convexon")),
                ("help", ("-m", "convexon.cli", "--help")),
            )
        ),
    ]
    if "--tests" in sys.argv[1:]:
        began = time.monotonic()
        subprocess.run(["make", "test"], cwd=ROOT, check=True)
        rows.append(("test.seconds", round(time.monotonic() - began, 1), "seconds", "wall"))
    figures = {
        name: Figure(name=name, value=value, unit=unit, kind=FigureKind.MEASURED, source=source)
        for name, value, unit, source in rows
    }
    write_figures({**known, **figures}.values(), RESULT)
    for name, figure in figures.items():
        print(name, figure.value)


if __name__ == "__main__":
    main()
