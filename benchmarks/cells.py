"""Cells of a benchmark: one experiment each, measured over seeds, kept in a file as they come.

A benchmark that is broken off goes on where it stopped: what a cell measured is kept under
``build/benchmarks``, by its settings, a file each, so that runs may go side by side. Figures are
means over seeds.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from convexon.report.figure import Figure, FigureKind, read_figures, write_figures

ROOT = Path(__file__).parent
CACHE = ROOT.parent / "build" / "benchmarks"
UNITS = {"seconds": "seconds", "neurons": "neurons", "lut4": "LUT4", "cost": "LUT4"}
"""Units by the last part of a name; shares have the unit 1."""

Measure = Callable[[int], Mapping[str, float]]
"""Figures by name, from a seed."""


class Cells:
    """The cells of the benchmark ``name``."""

    def __init__(
        self, name: str, seeds: Sequence[int], settings: str, options: argparse.Namespace
    ) -> None:
        self.name, self.seeds, self.settings = name, seeds, settings
        self._fresh, self._known_alone = options.fresh, options.known
        self._quick, self._only = options.quick, options.only
        self._figures: list[Figure] = []

    def measure(self, cell: str, how: str, measure: Measure) -> None:
        """Measure a cell at every seed, and print the means.

        Parameters
        ----------
        cell : str
            Prefix of the names of its figures.
        how : str
            Settings of the cell, for the source of its figures.
        measure : callable
            Its figure "" is named as the cell is. The wall time is a figure too.
        """
        if self._known_alone and not all(self._kept(cell, how, s).exists() for s in self.seeds):
            return
        rows = [self._at(cell, how, seed, measure) for seed in self.seeds]
        means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
        shown = ", ".join(f"{key or 'accuracy'} {value:.4g}" for key, value in means.items())
        print(f"{cell}: {shown}", flush=True)
        many = f"mean of seeds {self.seeds[0]} to {self.seeds[-1]}"
        seeds = many if len(self.seeds) > 1 else f"seed {self.seeds[0]}"
        self._figures += [
            Figure(
                name=f"{cell}.{key}" if key else cell,
                value=round(value, 6),
                unit=UNITS.get(key.rpartition(".")[2], "1"),
                kind=FigureKind.MEASURED,
                source=f"benchmarks/{self.name}.py, {seeds}; {self.settings}; {how}",
            )
            for key, value in means.items()
        ]

    def _at(self, cell: str, how: str, seed: int, measure: Measure) -> dict[str, float]:
        kept = self._kept(cell, how, seed)
        if kept.exists() and not self._fresh:
            return dict(json.loads(kept.read_text(encoding="utf-8"))["figures"])
        began = time.perf_counter()
        row = dict(measure(seed))
        row.setdefault("seconds", time.perf_counter() - began)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(
            json.dumps({"cell": f"{cell}, seed {seed}", "figures": row}), encoding="utf-8"
        )
        return row

    def _kept(self, cell: str, how: str, seed: int) -> Path:
        key = f"{cell}, seed {seed}; {self.settings}; {how}"
        return CACHE / self.name / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"

    def write(self) -> None:
        """Write the benchmark's file of results; with ``--only`` all others stay in it.

        ``--quick`` writes a file for temporary ones instead.
        """
        path = ROOT / "results" / f"{self.name}.json"
        figures = {figure.name: figure for figure in self._figures}
        if self._quick:
            path = Path(tempfile.gettempdir()) / f"convexon-{self.name}.json"
        elif self._only:
            figures = dict(read_figures(path)) | figures
        write_figures(figures.values(), path)


def arguments(description: str | None, *, sg_seconds: float, seeds: int) -> argparse.Namespace:
    """Return the options that the benchmarks share."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=seeds, help="seeds 0 to this, less one")
    parser.add_argument(
        "--sg-seconds",
        type=float,
        default=sg_seconds,
        help="wall time of a surrogate-gradient baseline, for all of its settings",
    )
    parser.add_argument("--only", default="", help="measure this method alone")
    parser.add_argument("--quick", action="store_true", help="a few cells, one seed; no results")
    parser.add_argument("--fresh", action="store_true", help="measure known cells again")
    parser.add_argument(
        "--known", action="store_true", help="write what earlier runs measured; measure nothing"
    )
    return parser.parse_args()
