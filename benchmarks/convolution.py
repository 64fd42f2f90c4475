"""A trained convolutional network on an ECP5-85F: benchmarks/results/convolution.json.

    python benchmarks/convolution.py GRAPH [--inferences N] [--place]

GRAPH is cnn_sinabs.nir of the NIR project: N-MNIST, 2 x 34 x 34 pixels, three convolutions of 5 x 5
and 3 x 3, two sum poolings, 256 and 10 neurons. Its neurons are read as NIR's equations have them,
with one spike a step. It is rounded to 6 bits on random spikes, as no data set comes with it: what
is measured is hardware, not accuracy. Convolutions are folded, so that each window is streamed past
its kernel.

Every inference is compared spike by spike and cycle by cycle in Verilator. With ``--place`` the
design is placed and routed inside `convexon_boards.design.shell`, whose cells are among those
counted; without it these figures are kept from the last run.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from convexon.errors import MismatchError
from convexon.interop.nir import read_nir
from convexon.plan.cost.mapping_cost import estimated_resources
from convexon.plan.cost.resources import CellReport
from convexon.plan.family import Family
from convexon.plan.mapping import Folded, Mapping
from convexon.plan.schedule import Schedule
from convexon.quantizer.hidden import Calibration, quantize_network
from convexon.quantizer.settings import HiddenSettings, Rounding
from convexon.report.figure import Figure, FigureKind, read_figures, write_figures
from convexon.snn.models import simulate
from convexon.snn.network import FixedPointNetwork
from convexon_boards.design import shell
from convexon_boards.families import part_of
from convexon_boards.tools.nextpnr import place_all, report_of
from convexon_boards.tools.synthesis import Netlist, synthesize_verilog
from convexon_hdl.emit.bundle import RtlBundle
from convexon_hdl.emit.emitter import emit
from convexon_sim.judge import observe
from convexon_sim.simulator import SimulatorKind, find
from convexon_sim.trial import Trial

RESULT = Path(__file__).parent / "results" / "convolution.json"
PART = part_of("LFE5U-85F-6")
TARGET_MHZ = 60.0
STEPS, RATE, CALIBRATION = 8, 0.1, 24
MAPPING = Mapping(
    layers=(
        (
            Folded(lanes=16),
            Folded(lanes=16),
            Folded(lanes=8),
            Folded(lanes=8),
            Folded(lanes=10, updates=5),
        ),
    ),
    readout=Folded(lanes=10),
)
"""All output channels of a convolution side by side, and as few lanes behind as keep pace."""


def spikes(samples: int, inputs: int, *, seed: int) -> np.ndarray:
    """Random spikes."""
    rng = np.random.default_rng(seed)
    return (rng.random((samples, STEPS, inputs)) < RATE).astype(np.uint8)


def rounded(graph: Path) -> FixedPointNetwork:
    """The network of integers."""
    real = read_nir(graph, dt=1.0)
    n = real.n_inputs
    calibration = Calibration(
        inputs=spikes(CALIBRATION, n, seed=0), bits=1, scale=np.ones(n), offset=np.zeros(n)
    )
    settings = HiddenSettings(bits=(6,), rounding=Rounding.NEAREST, guard_bits=2)
    return quantize_network(real, calibration, settings).card


def figure(name: str, value: float, unit: str, source: str) -> Figure:
    """One figure that was measured."""
    return Figure(
        name=f"convolution.cnn-sinabs.{name}",
        value=value,
        unit=unit,
        kind=FigureKind.MEASURED,
        source=source,
    )


def simulated(network: FixedPointNetwork, bundle: RtlBundle, inferences: int) -> list[Figure]:
    """Figures of a run in Verilator.

    Raises
    ------
    MismatchError
        If a spike, a membrane, a score or a cycle differs.
    """
    inputs = spikes(inferences, network.n_inputs, seed=1)
    trace = simulate.run(network, inputs)
    cycles = Schedule.of(network, MAPPING).cycles(inputs, trace)
    trial = Trial(bundle=bundle, inputs=inputs, expected=trace, cycles=cycles)
    begin = time.monotonic()
    verdict = observe(trial, find(SimulatorKind.VERILATOR)).verification
    if not verdict.passed:
        raise MismatchError(f"the convolutional network: {verdict.first}")
    print(f"simulated in {time.monotonic() - begin:.0f} s", flush=True)
    rates = [float(layer.spikes.mean()) for layer in trace.layers[0]]
    source = "Verilator, every spike, membrane, score and cycle of random inputs"
    return [
        figure("inferences", verdict.inferences, "inferences", source),
        figure("mismatches", verdict.mismatches, "mismatches", source),
        figure("cycles_per_step", float(cycles.interval.mean()) / STEPS, "cycles", source),
        *(
            figure(f"rate.layer{depth}", round(rate, 4), "spikes a neuron and step", source)
            for depth, rate in enumerate(rates)
        ),
    ]


def estimated(network: FixedPointNetwork) -> list[Figure]:
    """What the design was expected to take."""
    found = estimated_resources(network, MAPPING, Family.ECP5)
    rows = (("lut4_sites", found.lut_sites, "LUT4"), ("bram", found.block_rams, "block RAMs"))
    return [
        Figure(
            name=f"convolution.cnn-sinabs.estimated.{name}",
            value=value,
            unit=unit,
            kind=FigureKind.ESTIMATED,
            source="convexon.plan.cost, the accelerator alone",
        )
        for name, value, unit in rows
    ]


def counted(cells: CellReport) -> list[Figure]:
    """Figures of a netlist."""
    source = f"{cells.tool}, {PART.name}, the shell around it included"
    return [
        figure("lut4", cells.lut4, "LUT4", source),
        figure("lut4_sites", cells.lut4_sites, "LUT4", source),
        figure("ff", cells.ff, "flip-flops", source),
        figure("bram", cells.block_ram, "block RAMs", source),
    ]


def placed(netlist: Netlist) -> list[Figure]:
    """Figures of a routed design."""
    placements = place_all(netlist, PART, target_mhz=TARGET_MHZ, seeds=(1,))
    routed = report_of(placements, PART, target_mhz=TARGET_MHZ, tools={})
    (only,) = routed.routes
    print(f"critical: {only.critical_path}", flush=True)
    source = f"nextpnr, {PART.name}, one seed"
    return [figure("fmax_mhz", round(only.fmax_mhz, 2), "MHz", source)]


def main() -> None:
    """Measure, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("graph", type=Path)
    parser.add_argument("--inferences", type=int, default=20)
    parser.add_argument("--place", action="store_true")
    options = parser.parse_args()
    begin = time.monotonic()
    network = rounded(options.graph)
    told = time.monotonic()
    bundle = emit(network, MAPPING)
    source = "wall time on a shared machine"
    figures = [
        figure("seconds.import", round(told - begin, 1), "s", source),
        figure("seconds.emit", round(time.monotonic() - told, 1), "s", source),
    ]
    kernels = sum(layer.stored.size for layer in network.branches[0].layers)
    unrolled = sum(layer.n_inputs * layer.n_neurons for layer in network.branches[0].layers)
    figures += [
        figure("weights", kernels, "weights", "the card"),
        figure("weights_unrolled", unrolled, "weights", "the matrices that the card stands for"),
    ]
    keep(estimated(network))
    keep([*figures, *simulated(network, bundle, options.inferences)])
    if options.place:
        netlist = synthesize_verilog(shell.in_shell(bundle), shell.TOP, PART.family)
        keep(counted(netlist.cells))
        keep(placed(netlist))


def keep(figures: list[Figure]) -> None:
    """Write figures beside those that are there."""
    known = read_figures(RESULT) if RESULT.exists() else {}
    write_figures({**known, **{each.name: each for each in figures}}.values(), RESULT)


if __name__ == "__main__":
    main()
