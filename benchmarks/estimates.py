"""Estimates of a mapping against synthesis: benchmarks/results/estimates.json.

    python benchmarks/estimates.py [--networks N] [--quick]

Random networks that no constant was fitted on, half of them spatial and half folded: LUT4 sites and
block RAMs that `convexon_hdl.cost` estimates, against the netlist's on ECP5 and iCE40. On iCE40 the
estimate counts a LUT for each bit of an adder, as the part has it; its netlist's LUT4 cells and the
carries that stand without one are not told apart there, so only ECP5's error is stated. Latency is
the schedule's against a simulation of every network.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import networks
import numpy as np

from convexon import simulate as model
from convexon.cells import Family
from convexon.mapping import Folded, Mapping, Spatial
from convexon.network import FixedPointNetwork
from convexon.report.figure import Figure, FigureKind, write_figures
from convexon.schedule import Schedule
from convexon.simulator import SimulatorKind, find
from convexon_boards.synthesis import synthesize
from convexon_hdl.cost import mapping_cost
from convexon_hdl.emit import emit
from convexon_hdl.map_chain import measured_activity
from convexon_sim.runner import simulate

RESULT = Path(__file__).parent / "results" / "estimates.json"
SAMPLES = 8


def drawn(seed: int) -> tuple[FixedPointNetwork, Mapping]:
    """A random network, and a mapping of it."""
    rng = np.random.default_rng(1000 + seed)
    sizes = (int(rng.integers(16, 160)), int(rng.integers(8, 48)), int(rng.integers(3, 12)))
    bits = int(rng.choice([2, 3, 4, 6, 8]))
    thresholds = (1 << bits, 1 << bits)
    network = networks.random_network(
        sizes, weight_bits=bits, thresholds=thresholds, n_steps=8, seed=seed
    )
    if seed % 2 == 0:
        registers = int(rng.integers(0, 3))
        return network, Mapping.spatial(network, Spatial(registers=registers))
    updates = int(rng.choice([1, 2, 4]))
    banks = int(rng.choice([1, 2, 4]))
    choices = []
    for n_neurons in sizes[1:]:
        folds = int(rng.choice([1, 2]))
        lanes = -(-n_neurons // folds)
        choices.append(
            Folded(lanes=lanes, banks=banks, updates=updates if lanes % updates == 0 else 1)
        )
    return network, replace(Mapping.spatial(network), layers=(tuple(choices),))


def measure(seed: int) -> dict[str, float]:
    """Errors of one network."""
    network, mapping = drawn(seed)
    inputs = networks.inputs_of(network, SAMPLES)
    trace = model.run(network, inputs)
    activity = measured_activity(inputs, trace)
    bundle = emit(network, mapping)
    row: dict[str, float] = {}
    for family in (Family.ECP5, Family.ICE40):
        cells = synthesize(bundle, family).cells
        cost = mapping_cost(network, mapping, activity, family)
        row[f"{family.value}.luts"] = cells.lut4_sites
        row[f"{family.value}.estimated"] = cost.luts
        row[f"{family.value}.bram"] = cells.block_ram
        row[f"{family.value}.bram.estimated"] = cost.block_rams
    cycles = Schedule.of(network, mapping).cycles(inputs, trace)
    verdict = simulate(
        bundle, find(SimulatorKind.VERILATOR), inputs=inputs, expected=trace, cycles=cycles
    )
    row["latency.error"] = float(verdict.mismatches)
    kind = "spatial" if mapping.is_spatial else "folded"
    print(f"{seed}, {kind}: {row}", flush=True)
    return row


def main() -> None:
    """Measure, and write the errors."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", type=int, default=16)
    parser.add_argument("--quick", action="store_true", help="two networks; no results")
    options = parser.parse_args()
    count = 2 if options.quick else options.networks
    rows = [measure(seed) for seed in range(count)]
    errors = np.array([abs(r["ecp5.estimated"] / r["ecp5.luts"] - 1) for r in rows])
    blocks = max(
        abs(r[f"{family}.bram"] - r[f"{family}.bram.estimated"])
        for r in rows
        for family in ("ecp5", "ice40")
    )
    figures = {
        "lut.median_error": (float(np.median(errors)), "1"),
        "lut.max_error": (float(errors.max()), "1"),
        "bram.error": (float(blocks), "block RAMs"),
        "latency.error": (float(sum(r["latency.error"] for r in rows)), "inferences"),
        "networks": (count, "networks"),
    }
    for name, (value, unit) in figures.items():
        print(f"{name}: {value:g} {unit}")
    if not options.quick:
        source = "benchmarks/estimates.py: random networks, ECP5 (block RAMs also iCE40), Yosys"
        write_figures(
            [
                Figure(name=f"estimate.{name}", value=value, unit=unit,
                       kind=FigureKind.MEASURED, source=source)
                for name, (value, unit) in figures.items()
            ],
            RESULT,
        )  # fmt: skip


if __name__ == "__main__":
    main()
