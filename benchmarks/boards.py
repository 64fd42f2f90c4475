"""From network to bitstream: benchmarks/results/boards.json.

    python benchmarks/boards.py --run NAME=FOLDER [--run ...] [--board NAME ...] [--energy]

Each FOLDER is a run folder with a solved network, such as a demo's or an example's; NAME is what it
is called. For every board with open tools the fastest mapping within its budget is chosen
(``convexon map --board``), emitted and built, in a folder and a process of its own. All of it is
done twice, and the second bitstream must equal the first. Seconds are those of the whole road from
the network to the bitstream, the memory is the most that a process of it had.

Beside the measured LUTs of the accelerator alone stand those that were estimated. ``--energy``
simulates a few inferences, whose results and cycles must be the golden model's and the schedule's,
and estimates the energy of one at the board's clock, from the toggles of the netlist.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import energy

from convexon.data.dataset import DATASET
from convexon.errors import ConvexonError, MismatchError
from convexon.flow.board.build import build_stage
from convexon.flow.hardware.emit import emit_stage, emitted
from convexon.flow.hardware.map import map_stage
from convexon.flow.hardware.synthesize import synthesize_stage
from convexon.flow.run import Run
from convexon.plan.cost.budget import Budget
from convexon.report.figure import Figure, FigureKind, read_figures, write_figures
from convexon.snn.models import simulate
from convexon_boards.board import Board
from convexon_boards.capacity import budget_of
from convexon_boards.catalogue import BOARDS, board_of
from convexon_boards.families import TOOLCHAINS
from convexon_sim.judge import observe
from convexon_sim.simulator import SimulatorKind, find
from convexon_sim.trial import Trial

RESULT = Path(__file__).parent / "results" / "boards.json"
SAMPLES = 4
"""Inferences that are simulated for energy and latency."""

Row = dict[str, float | str]

UNITS = {"fmax_mhz": "MHz", "clock_mhz": "MHz", "lut4": "LUT4", "lut4_sites": "LUT4",
         "sites_used": "sites", "bram": "block RAMs", "ff": "flip-flops", "cycles": "cycles",
         "simulated": "inferences", "simulated.mismatches": "inferences",
         "latency_us": "us", "seconds": "seconds", "memory": "MB",
         "bitstream_bytes": "bytes", "digest": "1",
         "accelerator.lut4_sites": "LUT4",
         "accelerator.lut4_sites_estimated": "LUT4", "accelerator.bram": "block RAMs",
         "accelerator.bram_estimated": "block RAMs", "energy.low": "J",
         "energy.high": "J"}  # fmt: skip
ESTIMATED = ("accelerator.lut4_sites_estimated", "accelerator.bram_estimated", "energy.low",
             "energy.high", "cycles", "latency_us")  # fmt: skip


def road(run: Path, board: Board, folder: Path, luts: int | None) -> Row:
    """Map, emit and build the network of ``run`` in ``folder``; return the figures."""
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("rtl", "build*", "mapping*"))
    own = Run(folder)
    began = time.perf_counter()
    mapped = map_stage(own, budget=budget_of(board, Budget(luts=luts)))
    emit_stage(own)
    result = build_stage(own, board=board)
    seconds = time.perf_counter() - began
    build, cycles = result.build.value, float(mapped.cycles.latency.mean())
    used = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "fmax_mhz": round(build.route.fmax_mhz, 2),
        "clock_mhz": build.clock_mhz,
        "lut4": build.cells.lut4,
        "lut4_sites": build.cells.lut4_sites,
        "sites_used": build.route.used[TOOLCHAINS[board.open_part.family].sites[0]],
        "bram": build.cells.block_ram,
        "ff": build.cells.ff,
        "cycles": cycles,
        "latency_us": round(cycles / build.clock_mhz, 4),
        "accelerator.lut4_sites_estimated": round(mapped.cost.luts),
        "accelerator.bram_estimated": mapped.cost.block_rams,
        "seconds": round(seconds, 1),
        "memory": round(max(use.ru_maxrss for use in used) / 1024),
        "bitstream_bytes": len(build.content),
        "digest": build.bitstream_digest,
    }


def alone(folder: Path, board: Board) -> Row:
    """Count the accelerator without its link."""
    cells = synthesize_stage(Run(folder), family=board.open_part.family).cells.value
    return {"accelerator.lut4_sites": cells.lut4_sites, "accelerator.bram": cells.block_ram}


def simulated(folder: Path, board: Board, clock_mhz: float) -> Row:
    """Simulate a few inferences of the accelerator: its cycles, and the energy of its netlist."""
    own = Run(folder)
    design, bundle = emitted(own)
    inputs = own.read("test", DATASET).value.inputs[:SAMPLES]
    trace = simulate.run(design.network, inputs)
    cycles = design.schedule.cycles(inputs, trace)
    trial = Trial(bundle=bundle.value, inputs=inputs, expected=trace, cycles=cycles)
    verdict = observe(trial, find(SimulatorKind.VERILATOR)).verification
    joules = energy.energy_of(own, board.open_part, SAMPLES, clock_mhz=clock_mhz).total
    return {
        "simulated": verdict.inferences,
        "simulated.mismatches": verdict.mismatches,
        "energy.low": joules.low,
        "energy.high": joules.high,
    }


def in_process(work, *arguments):  # type: ignore[no-untyped-def]
    """Call in a process of its own, so that its memory is its own."""
    with ProcessPoolExecutor(1) as pool:
        return pool.submit(work, *arguments).result()


def measure(
    name: str, run: Path, board: Board, *, luts: int | None, with_energy: bool
) -> list[Figure]:
    """Build twice, and state the first; the digest is part of the source of every figure."""
    print(f"{board.name}, {name}", flush=True)
    with tempfile.TemporaryDirectory(prefix="convexon-boards-") as place:
        first, second = Path(place) / "first", Path(place) / "second"
        row: Row = in_process(road, run, board, first, luts)
        again: Row = in_process(road, run, board, second, luts)
        row |= alone(first, board)
        if with_energy:
            row |= simulated(first, board, float(row["clock_mhz"]))
    if row["digest"] != again["digest"]:
        raise MismatchError(f"{board.name}, {name}: a second build gave another bitstream")
    print(f"  {row}", flush=True)
    source = f"benchmarks/boards.py, one seed, built twice alike: {row['digest']}"
    # The digest's first 48 bits, which a number holds exactly; all of it is in the source.
    row["digest"] = int(str(row["digest"]).removeprefix("sha256:")[:12], 16)
    return [
        Figure(
            name=f"boards.{board.name}.{name}.{key}",
            value=float(row[key]),
            unit=unit,
            kind=FigureKind.ESTIMATED if key in ESTIMATED else FigureKind.MEASURED,
            source=source,
        )
        for key, unit in UNITS.items()
        if key in row
    ]


def main() -> int:
    """Measure the boards and the networks; what another run measured is kept."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", action="append", required=True, metavar="NAME=FOLDER")
    open_boards = [name for name in BOARDS if board_of(name).vendor is None]
    parser.add_argument("--board", action="append", choices=open_boards, default=None)
    parser.add_argument("--luts", type=int, help="LUTs of a mapping, in place of the board's share")
    parser.add_argument("--energy", action="store_true", help="simulate the netlists too")
    options = parser.parse_args()
    failed = 0
    for pair in options.run:
        name, _, folder = pair.partition("=")
        for board in options.board or open_boards:
            try:
                found = measure(
                    name,
                    Path(folder),
                    board_of(board),
                    luts=options.luts,
                    with_energy=options.energy,
                )
            except ConvexonError as error:
                print(f"  {type(error).__name__}: {error}", flush=True)
                found, failed = [], 1
            figures = read_figures(RESULT) if RESULT.exists() else {}
            start = f"boards.{board}.{name}."
            others = [figure for key, figure in figures.items() if not key.startswith(start)]
            write_figures([*others, *found], RESULT)
    return failed


if __name__ == "__main__":
    sys.exit(main())
