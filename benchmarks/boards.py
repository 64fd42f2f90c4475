"""From network to bitstream: benchmarks/results/boards.json.

    python benchmarks/boards.py --run NAME=FOLDER [--run NAME=FOLDER ...] [--board NAME ...]

Each FOLDER is a run folder with a solved network, such as a demo's; NAME is what it is called. For
every board the fastest mapping within its budget is chosen and built in a folder of its own, twice:
the second bitstream must equal the first. Seconds are those of synthesis, placement, routing and
packing of the first build.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from convexon import simulate
from convexon.cells import Family
from convexon.errors import ConvexonError, MismatchError
from convexon.report.figure import Figure, FigureKind, read_figures, write_figures
from convexon.run import RunFolder
from convexon_boards.boards import board_of
from convexon_boards.build import build_stage
from convexon_hdl.budget import Budget
from convexon_hdl.chain import emit_stage
from convexon_hdl.map_chain import map_stage

RESULT = Path(__file__).parent / "results" / "boards.json"

BUDGETS = {
    "ulx3s-85f": Budget(luts=60_000, block_rams=200, family=Family.ECP5),
    "icebreaker": Budget(luts=3_800, block_rams=28, family=Family.ICE40),
}
"""Boards that are measured, and what a network may take there: the link comes on top."""


def built(run: Path, board: str, folder: Path) -> tuple[RunFolder, dict[str, float | str]]:
    """Map, emit and build the network of ``run`` in ``folder``; return the figures."""
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("rtl", "build", "mapping*"))
    own = RunFolder(folder)
    mapped = map_stage(own, budget=BUDGETS[board], model=simulate.run)
    print(f"  {mapped.summary}", flush=True)
    emit_stage(own)
    began = time.perf_counter()
    result = build_stage(own, board=board_of(board))
    seconds = time.perf_counter() - began
    print(f"  {result.summary}, {seconds:.0f} s", flush=True)
    build = result.build.value
    latency = mapped.cycles.latency
    return own, {
        "fmax_mhz": round(build.route.fmax_mhz, 2),
        "clock_mhz": build.clock_mhz,
        "lut4": build.cells.lut4,
        "lut4_sites": build.cells.lut4_sites,
        "bram": build.cells.block_ram,
        "ff": build.cells.ff,
        "latency_us": round(float(latency.mean()) / build.clock_mhz, 4),
        "seconds": round(seconds, 1),
        "bitstream_bytes": len(build.content),
        "digest": build.bitstream_digest,
    }


UNITS = {"fmax_mhz": "MHz", "clock_mhz": "MHz", "lut4": "LUT4", "lut4_sites": "LUT4",
         "bram": "block RAMs", "ff": "flip-flops", "latency_us": "us", "seconds": "seconds",
         "bitstream_bytes": "bytes"}  # fmt: skip


def measure(name: str, run: Path, board: str) -> list[Figure]:
    """Build twice, and state the first; the digest is part of the source of every figure."""
    print(f"{board}, {name}", flush=True)
    with tempfile.TemporaryDirectory(prefix="convexon-boards-") as place:
        _, first = built(run, board, Path(place) / "first")
        _, second = built(run, board, Path(place) / "second")
    if first["digest"] != second["digest"]:
        raise MismatchError(f"{board}, {name}: a second build gave another bitstream")
    source = f"benchmarks/boards.py, one seed, built twice alike: {first['digest']}"
    return [
        Figure(name=f"boards.{board}.{name}.{key}", value=float(first[key]), unit=unit,
               kind=FigureKind.MEASURED, source=source)
        for key, unit in UNITS.items()
    ]  # fmt: skip


def main() -> None:
    """Measure the boards and the networks; what another run measured is kept."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", action="append", required=True, metavar="NAME=FOLDER")
    parser.add_argument("--board", action="append", choices=list(BUDGETS), default=None)
    options = parser.parse_args()
    figures = read_figures(RESULT) if RESULT.exists() else {}
    for pair in options.run:
        name, _, folder = pair.partition("=")
        for board in options.board or BUDGETS:
            try:
                found = measure(name, Path(folder), board)
            except MismatchError:
                raise
            except ConvexonError as error:
                print(f"  {type(error).__name__}: {error}", flush=True)
                continue
            figures |= {figure.name: figure for figure in found}
            write_figures(figures.values(), RESULT)


if __name__ == "__main__":
    main()
