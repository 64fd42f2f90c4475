"""Measure what a dictionary and its program cost as they grow: `python benchmarks/scaling.py`.

    python benchmarks/scaling.py --data FOLDER [--quick]

FOLDER holds MNIST's idx files (or set CONVEXON_DATA). Witnesses are drawn, simulated and packed,
and the softmax program with the row-group penalty is solved to a relative gap of 1e-2: against the
samples n, the columns P and the steps T. Each point runs in a process of its own, so that its peak
memory is its own. Exponents are fitted by least squares in logarithms over the larger half of the
points, where constants have faded. The accuracies against n are of the same programs.

Writes benchmarks/results/scaling.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from example import example

from convexon.convex.model.losses import Softmax
from convexon.convex.model.penalty import GroupL2
from convexon.convex.solvers.solver import solve
from convexon.report.figure import Figure, FigureKind, write_figures
from convexon.snn.models.simulate import accuracy
from convexon.train.columns.dictionary import build_dictionary
from convexon.train.columns.rows import distinct_rows
from convexon.train.fit import rebuilding
from convexon.train.master import program_over
from convexon.train.witnesses.threshold import delay_line
from convexon.train.witnesses.witness import draw_branch

mnist = example("mnist")
MODE, data_of, units = mnist.MODE, mnist.data_of, mnist.units
RESULTS = Path(__file__).parent / "results"
SAMPLES = (1000, 2500, 6000, 15000, 30000, 60000)
COLUMNS = (256, 512, 1024, 2048, 4096)
STEPS = (1, 2, 4, 7, 14)
LARGEST = (60000, 20000)
BASE_SAMPLES, BASE_COLUMNS, BASE_STEPS = 6000, 512, 4
RHO = 1e-3
_WIDTH = 4096  # witnesses of a branch: what draws them looks at all of a branch at once


@dataclass(frozen=True, kw_only=True)
class Point:
    """What one size cost.

    Members
    -------
    n, p, t
        Samples, witnesses drawn, steps.
    columns
        Distinct columns.
    build, solve : float
        Seconds; the solve is 0 where it was not asked for.
    gap, relative_gap : float
    dictionary_bytes : int
    peak_bytes : int
        Largest resident memory of the process until the dictionary was packed: interpreter, imports
        and the whole of MNIST included.
    test : float
        Accuracy on all test digits, with a real readout.
    """

    n: int
    p: int
    t: int
    columns: int
    build: float
    solve: float
    relative_gap: float
    dictionary_bytes: int
    peak_bytes: int
    test: float


def _resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measured(folder: Path, n: int, p: int, t: int, *, solving: bool) -> Point:
    """Build and solve one size."""
    train, test = data_of(folder, n_train=n, n_steps=t, seed=0)
    rows = distinct_rows(train, MODE)
    began = time.perf_counter()
    branches = [
        draw_branch(
            [units(fan_in=32)],
            train,
            widths=[min(p - first, _WIDTH)],
            generator=np.random.default_rng(first),
            trunk=[delay_line(train.n_inputs, t)],
        )
        for first in range(0, p, _WIDTH)
    ]
    dictionary = build_dictionary(branches, train, MODE, rows=rows)
    build = time.perf_counter() - began
    peak = _resident()
    seconds = relative = reached = 0.0
    if solving:
        problem = rows.problem(Softmax(), GroupL2(), RHO, n_outputs=10)
        began = time.perf_counter()
        solution = solve(
            program_over(problem, dictionary.bits, np.ones(dictionary.n_columns)), tolerance=1e-2
        )
        seconds = time.perf_counter() - began
        relative = solution.certificate.relative_gap
        network = rebuilding(branches, dictionary, train, MODE)(solution.W)
        reached = accuracy(network, test.inputs, test.labels)
    return Point(
        n=n,
        p=p,
        t=t,
        columns=dictionary.n_columns,
        build=build,
        solve=seconds,
        relative_gap=relative,
        dictionary_bytes=dictionary.bits.planes.nbytes,
        peak_bytes=peak,
        test=reached,
    )


def in_its_own_process(folder: Path, n: int, p: int, t: int, *, solving: bool = True) -> Point:
    """Run `measured` where no earlier size has left memory behind."""
    command = [sys.executable, __file__, "--data", str(folder), "--point", f"{n},{p},{t}"]
    command += ["--build-only"] if not solving else []
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    point = Point(**json.loads(found.stdout))
    print(
        f"n {n}, P {p}, T {t}: {point.columns} columns in {point.build:.1f} s, solved in "
        f"{point.solve:.1f} s to {point.relative_gap:.1e}, "
        f"peak {point.peak_bytes / 2**20:.0f} MiB, "
        f"test {100 * point.test:.2f} %",
        flush=True,
    )
    return point


def exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """Return the slope in logarithms over the larger half of the sizes."""
    half = len(sizes) // 2
    slope, _ = np.polyfit(np.log(sizes[half:]), np.log(seconds[half:]), 1)
    return float(slope)


def figures_of(
    by_n: Sequence[Point], by_p: Sequence[Point], by_t: Sequence[Point], largest: Point
) -> Iterator[Figure]:
    """Yield exponents, then every point."""

    def figure(name: str, value: float, unit: str, source: str) -> Figure:
        return Figure(
            name=f"scaling.{name}",
            value=value,
            unit=unit,
            kind=FigureKind.MEASURED,
            source=f"benchmarks/scaling.py, sequential MNIST, {source}",
        )

    for letter, points in (("n", by_n), ("p", by_p), ("t", by_t)):
        sizes = [getattr(point, letter) for point in points]
        fixed = {
            "n": f"P {BASE_COLUMNS}, T {BASE_STEPS}",
            "p": f"n {BASE_SAMPLES}, T {BASE_STEPS}",
            "t": f"n {BASE_SAMPLES}, P {BASE_COLUMNS}",
        }[letter]
        whole = [point.build + point.solve for point in points]
        yield figure(f"time.exponent.{letter}", exponent(sizes, whole), "1", fixed)
        for what in ("build", "solve"):
            times = [getattr(point, what) for point in points]
            yield figure(f"{what}.exponent.{letter}", exponent(sizes, times), "1", fixed)
        for size, point in zip(sizes, points, strict=True):
            where = f"{letter}{size}"
            yield figure(f"{where}.build", point.build, "seconds", fixed)
            yield figure(f"{where}.solve", point.solve, "seconds", f"{fixed}, relative gap 1e-2")
            yield figure(
                f"{where}.peak",
                point.peak_bytes,
                "bytes",
                f"{fixed}, whole process, build and packing",
            )
            yield figure(f"{where}.accuracy.test", point.test, "1", f"{fixed}, rho {RHO}")
    entries = largest.n * largest.columns
    source = f"n {largest.n}, P {largest.p}, T {largest.t}"
    yield figure("memory.bytes_per_bit", largest.dictionary_bytes / entries, "bytes", source)
    yield figure(
        "memory.peak", largest.peak_bytes, "bytes", f"{source}, whole process, build and packing"
    )
    yield figure("memory.build", largest.build, "seconds", source)


def main() -> None:
    """Run the benchmark, or one point of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("CONVEXON_DATA"))
    parser.add_argument("--quick", action="store_true", help="only the smaller sizes")
    parser.add_argument("--point", help="n,P,T: measure one size and print it")
    parser.add_argument("--build-only", action="store_true")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("--data must name the folder with MNIST's idx files, or set CONVEXON_DATA")
    folder = Path(arguments.data)
    if arguments.point:
        n, p, t = map(int, arguments.point.split(","))
        point = measured(folder, n, p, t, solving=not arguments.build_only)
        print(json.dumps(asdict(point)))
        return
    cut = 3 if arguments.quick else None
    by_n = [in_its_own_process(folder, n, BASE_COLUMNS, BASE_STEPS) for n in SAMPLES[:cut]]
    by_p = [in_its_own_process(folder, BASE_SAMPLES, p, BASE_STEPS) for p in COLUMNS[:cut]]
    by_t = [in_its_own_process(folder, BASE_SAMPLES, BASE_COLUMNS, t) for t in STEPS[:cut]]
    largest = in_its_own_process(folder, *LARGEST, BASE_STEPS, solving=False)
    if not arguments.quick:
        write_figures(figures_of(by_n, by_p, by_t, largest), RESULTS / "scaling.json")


if __name__ == "__main__":
    main()
