"""Place and route the peers' networks, and verify the same RTL: benchmarks/results/hardware.json.

    python benchmarks/hardware.py [--seeds N] [--inferences N] [--only CELL] [--known] [--fresh]

Networks are those of benchmarks/networks.py. LUTs, flip-flops and block RAM are of the netlist
alone. The highest clock is nextpnr's on the netlist inside `convexon_boards.design.shell`, so that
paths from and to the ports count: a stricter measure than that of the peers, whose port paths
static timing leaves out. ``fmax_mhz`` is the median over the seeds, ``fmax_mhz_one_seed`` that of
seed 1. Cycles are the schedule's at 15 % input activity, which every simulated inference must
equal. Proofs are those of the components and, by parts, of the small network under both mappings;
mutants are counted by benchmarks/mutants.py. What a cell measured is kept under build/benchmarks,
so that a run that is broken off goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import networks

from convexon.errors import ConvexonError, MismatchError
from convexon.plan.family import Family
from convexon.plan.mapping import Folded, Mapping, Spatial
from convexon.plan.schedule import Schedule
from convexon.report.figure import Figure, FigureKind, read_figures, write_figures
from convexon.snn.models import simulate as model
from convexon.snn.network import FixedPointNetwork
from convexon_boards.board import Part
from convexon_boards.families import part_of
from convexon_boards.tools.nextpnr import route
from convexon_boards.tools.synthesis import FLOW_VERSION, synthesize
from convexon_hdl.emit.emitter import emit
from convexon_hdl.formal.network import obligations
from convexon_hdl.formal.obligation import prove_all
from convexon_hdl.formal.prover import Verdict
from convexon_sim.judge import observe
from convexon_sim.simulator import SimulatorKind, find
from convexon_sim.trial import Trial

ICE40UP5K = part_of("iCE40UP5K-SG48")
LFE5U_25F = part_of("LFE5U-25F-6")

ROOT = Path(__file__).parent
sys.path += [str(ROOT.parent / "tests"), str(ROOT.parent / "tests" / "hdl")]
from component_proofs import prove_components  # noqa: E402

RESULT = ROOT / "results" / "hardware.json"
KEPT = ROOT.parent / "build" / "benchmarks" / "hardware"
UNITS = {"fmax_mhz": "MHz", "fmax_mhz_one_seed": "MHz", "us_per_step": "us", "lut4": "LUT4",
         "lut4_sites": "LUT4", "cycles_per_step": "cycles", "ff": "flip-flops",
         "bram": "block RAMs", "carry": "cells"}  # fmt: skip

SMALL_FOLDED = Mapping(
    layers=((Folded(lanes=16, banks=2, updates=4), Folded(lanes=10, banks=1, updates=2)),),
    readout=Spatial(registers=1),
    decision_registers=3,
)
LARGE_FOLDED = Mapping(
    layers=((Folded(lanes=128, banks=2, updates=8), Folded(lanes=5, banks=1, updates=1)),),
    readout=Spatial(registers=1),
    decision_registers=3,
)
"""The second layer's rows fit one block RAM if five lanes fold it twice."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One network, mapping and part."""

    name: str
    network: Callable[[], FixedPointNetwork]
    mapping: Callable[[FixedPointNetwork], Mapping]
    part: Part
    target_mhz: float

    def key(self, seeds: int, inferences: int) -> str:
        """Everything that its figures follow from: the emitted bundle, and how it is measured."""
        network = self.network()
        digest = emit(network, self.mapping(network)).digest
        settings = f"{self.target_mhz}, {seeds} seeds, {inferences} inferences, flow {FLOW_VERSION}"
        return f"{self.name}: {digest}, {self.part.name}, {settings}"


def spatial(registers: int, *, after: int) -> Callable[[FixedPointNetwork], Mapping]:
    """Everything in logic, with pipeline registers in the sums and ``after`` in the decision."""
    return lambda network: replace(
        Mapping.spatial(network, Spatial(registers=registers)),
        readout=Spatial(registers=after // 2),
        decision_registers=after,
    )


CELLS = (
    Cell(name="hw.spatial.40-16-10", network=networks.small, mapping=spatial(2, after=3),
         part=LFE5U_25F, target_mhz=150.0),
    Cell(name="hw.folded.40-16-10", network=networks.small, mapping=lambda _: SMALL_FOLDED,
         part=LFE5U_25F, target_mhz=150.0),
    Cell(name="hw.folded.784-128-10", network=networks.large, mapping=lambda _: LARGE_FOLDED,
         part=LFE5U_25F, target_mhz=150.0),
    Cell(name="hw.spatial.ice40", network=networks.small, mapping=spatial(1, after=1),
         part=ICE40UP5K, target_mhz=30.0),
    Cell(name="hw.folded.ice40", network=networks.small, mapping=lambda _: SMALL_FOLDED,
         part=ICE40UP5K, target_mhz=30.0),
)  # fmt: skip

PROVED = ("hw.spatial.40-16-10", "hw.folded.40-16-10")
"""Cells whose RTL is proved by parts."""

PEERS = {
    "spiker-plus.40-16-10": {"lut4": 2252, "carry": 273, "ff": 585, "fmax_mhz": 83.9,
                             "cycles_per_step_min": 45, "cycles_per_step_max": 63},
    "spiker-plus.784-128-10": {"lut4": 7713, "carry": 1546, "ff": 2346, "bram": 31,
                               "fmax_mhz": 46.1, "cycles_per_step_min": 789,
                               "cycles_per_step_max": 919},
    "sc-neurocore.40-16-10": {"lut4": 3993, "carry": 356, "ff": 475, "fmax_mhz": 10.4,
                              "cycles_per_step": 27},
}  # fmt: skip
"""Others on the same networks; a LUT4 beside each carry cell's two."""


def measure(cell: Cell, n_seeds: int, inferences: int) -> dict[str, float]:
    """Figures of one cell."""
    network = cell.network()
    mapping = cell.mapping(network)
    bundle = emit(network, mapping)
    inputs = networks.inputs_of(network, inferences)
    trace = model.run(network, inputs)
    cycles = Schedule.of(network, mapping).cycles(inputs, trace)
    trial = Trial(bundle=bundle, inputs=inputs, expected=trace, cycles=cycles)
    verdict = observe(trial, find(SimulatorKind.VERILATOR)).verification
    if not verdict.passed:
        raise MismatchError(f"{cell.name}: {verdict.first}")
    counted = synthesize(bundle, cell.part.family).cells
    routed = route(bundle, cell.part, target_mhz=cell.target_mhz, seeds=range(1, n_seeds + 1))
    per_step = float(cycles.interval.mean()) / network.n_steps
    path = routed.routes[0].critical_path
    print(f"  critical: {path}", flush=True)
    return {
        "lut4": counted.lut4,
        "carry": counted.carry,
        "lut4_sites": counted.lut4_sites,
        "ff": counted.ff,
        "bram": counted.block_ram,
        "fmax_mhz": round(routed.median_fmax_mhz, 2),
        "fmax_mhz_one_seed": round(routed.routes[0].fmax_mhz, 2),
        "cycles_per_step": round(per_step, 3),
        "us_per_step": round(per_step / routed.median_fmax_mhz, 5),
        "mismatches": verdict.mismatches,
        "inferences": verdict.inferences,
    }


def kept(cell: Cell, options: argparse.Namespace) -> dict[str, float]:
    """Figures of one cell, from its file if they were measured before."""
    key = cell.key(options.seeds, options.inferences)
    path = KEPT / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
    if path.exists() and not options.fresh:
        return dict(json.loads(path.read_text(encoding="utf-8"))["figures"])
    if options.known:
        raise ConvexonError("not measured yet")
    figures = measure(cell, options.seeds, options.inferences)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cell": key, "figures": figures}), encoding="utf-8")
    return figures


def proofs() -> tuple[int, int]:
    """Obligations that are proved, and all of them."""
    proved = list(prove_components())
    for cell in CELLS:
        if cell.name in PROVED:
            network = cell.network()
            mapping = cell.mapping(network)
            proved += prove_all(obligations(network, mapping, emit(network, mapping).verilog))
    for proof in proved:
        if proof.verdict is not Verdict.PROVED:
            print(f"not proved: {proof.kind} {proof.where}: {proof.reason}", flush=True)
    return sum(proof.verdict is Verdict.PROVED for proof in proved), len(proved)


def checks() -> list[Figure]:
    """Figures of the proofs, and of the mutants that were counted last."""
    passed, total = proofs()
    source = "convexon_hdl.formal: components, and the small network by parts, spatial and folded"
    found = [
        Figure(name=f"hw.proofs.{key}", value=value, unit="obligations",
               kind=FigureKind.MEASURED, source=source)
        for key, value in (("passed", passed), ("total", total))
    ]  # fmt: skip
    return [*found, *read_figures(ROOT / "results" / "mutants.json").values()]


def figures_of(rows: dict[str, dict[str, float]], options: argparse.Namespace) -> list[Figure]:
    """All figures, with the totals of the verification and the peers'."""
    found = []
    for cell in CELLS:
        if cell.name not in rows:
            continue
        carries = "CCU2C" if cell.part.family is Family.ECP5 else "SB_CARRY"
        source = (
            f"benchmarks/hardware.py: {cell.part.name}, {options.seeds} seeds, "
            f"target {cell.target_mhz:g} MHz, carry cells are {carries}"
        )
        found += [
            Figure(name=f"{cell.name}.{key}", value=value, unit=UNITS[key],
                   kind=FigureKind.MEASURED, source=source)
            for key, value in rows[cell.name].items()
            if key in UNITS
        ]  # fmt: skip
    for key in ("mismatches", "inferences"):
        total = sum(row[key] for row in rows.values())
        found.append(
            Figure(name=f"hw.{key}", value=total, unit="inferences", kind=FigureKind.MEASURED,
                   source="Verilator against the golden model's arithmetic: spikes, membranes, "
                   "scores, cycles")
        )  # fmt: skip
    source = "its public code through the same open tools, ECP5 -6, out of context, one seed"
    found += [
        Figure(name=f"peer.{peer}.{key}", value=value,
               unit=UNITS.get(key, "cycles"), kind=FigureKind.ASSUMED,
               source=f"{peer.split('.')[0]}: {source}")
        for peer, row in PEERS.items()
        for key, value in row.items()
    ]  # fmt: skip
    return found


def main() -> None:
    """Measure every cell; one that cannot be built is named, a mismatch ends the run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5, help="place and route seeds 1 to this")
    parser.add_argument("--inferences", type=int, default=100, help="verified for each cell")
    parser.add_argument("--only", default="", help="measure this cell alone; no results")
    parser.add_argument("--known", action="store_true", help="write what was measured before")
    parser.add_argument("--fresh", action="store_true", help="measure known cells again")
    options = parser.parse_args()
    rows: dict[str, dict[str, float]] = {}
    for cell in CELLS:
        if options.only and cell.name != options.only:
            continue
        try:
            rows[cell.name] = kept(cell, options)
        except MismatchError:
            raise
        except ConvexonError as error:
            print(f"{cell.name}: {type(error).__name__}: {error}", flush=True)
            continue
        shown = ", ".join(f"{key} {value:g}" for key, value in rows[cell.name].items())
        print(f"{cell.name}: {shown}", flush=True)
    if not options.only:
        write_figures([*figures_of(rows, options), *checks()], RESULT)


if __name__ == "__main__":
    main()
