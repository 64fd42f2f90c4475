"""Measure a readout in few bits: `python benchmarks/readout.py [--seeds N]`.

The demo's network on scikit-learn's digits, its readout rounded to nearest and by descent
(`convexon.quantizer.descent`), over the splits of seeds 0 to N - 1. Writes
benchmarks/results/readout.json.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from demo import accuracy

from convexon.data.loading import digits
from convexon.errors import ConvexonError
from convexon.flow.network.solve import solve
from convexon.flow.run import Run
from convexon.quantizer.settings import ReadoutRounding
from convexon.report.figure import Figure, FigureKind, write_figures
from convexon.train.settings import SolveSettings

RESULT = Path(__file__).parent / "results" / "readout.json"
BITS = (8, 6, 5, 4, 3, 2)


def main() -> None:
    """Measure, and write the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=10)
    n_seeds = options.parse_args().seeds
    shares: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(n_seeds):
            for rounding in ReadoutRounding:
                for bits in BITS:
                    settings = SolveSettings(
                        seed=seed, readout_bits=bits, readout_rounding=rounding
                    )
                    try:
                        made = solve(Run(Path(folder) / f"{seed}"), digits(), settings)
                    except ConvexonError as error:
                        print(f"seed {seed}, {bits} bits, {rounding.value}: {error}", flush=True)
                        continue
                    name = f"readout.digits.{rounding.value}.{bits}bit"
                    shares.setdefault(name, []).append(accuracy(made))
                    print(f"seed {seed}, {name}: {shares[name][-1]:.4f}", flush=True)
    figures = []
    for name, found in shares.items():
        source = f"mean over {len(found)} splits, benchmarks/readout.py"
        mean = round(float(np.mean(found)), 4)
        kind = FigureKind.MEASURED
        figures.append(
            Figure(name=f"{name}.test", value=mean, unit="share", kind=kind, source=source)
        )
    write_figures(figures, RESULT)


if __name__ == "__main__":
    main()
