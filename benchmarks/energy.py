"""Power against published measurements: a part of benchmarks/results/estimates.json.

    python benchmarks/energy.py [--samples N] [--only NAME]

Two kinds of measurements are compared. The circuits of `measured` are the
same on the same part: some of the constants come of them, so their ratios say how well the method
fits what it stands on, no more. The networks are other people's, of which the sizes, the part or a
like part, and the clock are published: ours has the same layer sizes, random weights of 4 bits and
random spikes at 15 %, and is another circuit, so the ratio is of two designs as much as of an
estimate and a measurement. A figure of a network is in watts while inferences follow one another.

- syntzulu: 32-64-128-64-12 on the same part and clock. Its measured power is that of a whole system
  with a RISC-V processor; ours is the accelerator alone.
- spiker-plus: 784-128-10 at 100 MHz. It was measured on another vendor's part of 28 nm; ours is
  estimated on an ECP5 at the same clock, which it would not reach there.

Other networks with a published power lack their clock or their part.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import networks
from measured import MEASURED, PORTS, TINYVISION, TOP, Measured

from convexon.flow.board import energy as stage
from convexon.flow.run import Run
from convexon.plan.family import Family
from convexon.plan.mapping import Folded, Mapping, Spatial
from convexon.report.figure import Figure, FigureKind, read_figures, write_figures
from convexon.snn.models import simulate
from convexon.snn.network import FixedPointNetwork
from convexon_boards.board import Part
from convexon_boards.energy.device import DEVICES
from convexon_boards.energy.estimate import EnergyEstimate, energy_on
from convexon_boards.energy.estimate import energy_of as product
from convexon_boards.energy.nets import nets_of, watch_of
from convexon_boards.families import part_of
from convexon_boards.tools.synthesis import synthesize_verilog
from convexon_hdl.emit.emitter import emit
from convexon_sim.programs.activity import count_free, count_switching

ICE40UP5K = part_of("iCE40UP5K-SG48")
LFE5U_85F = part_of("LFE5U-85F-6")

RESULT = Path(__file__).parent / "results" / "estimates.json"
SAMPLES = 4
FREE_CLOCKS = 1 << 16
"""Clocks that a circuit without inputs runs: all states of the multiplier's counters."""

UP5K = DEVICES["iCE40UP5K"]


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A network whose power was published, and how ours is mapped.

    Members
    -------
    sizes : tuple of int
        Inputs, and neurons of every layer.
    thresholds : tuple of int
    layers : tuple of Folded
    part : Part
    clock_mhz : float
    watts : float
        As published.
    source : str
    """

    sizes: tuple[int, ...]
    thresholds: tuple[int, ...]
    layers: tuple[Folded, ...]
    part: Part
    clock_mhz: float
    watts: float
    source: str

    def network(self) -> FixedPointNetwork:
        """The network, with random weights."""
        return networks.random_network(self.sizes, weight_bits=4, thresholds=self.thresholds)

    def mapping(self) -> Mapping:
        """Everything folded but the readout."""
        return Mapping(layers=(self.layers,), readout=Spatial(registers=1), decision_registers=3)


PEERS = {
    "syntzulu": Peer(
        sizes=(32, 64, 128, 64, 12),
        thresholds=(20, 30, 40, 30),
        layers=(Folded(lanes=16), Folded(lanes=32), Folded(lanes=32), Folded(lanes=12)),
        part=ICE40UP5K,
        clock_mhz=24.0,
        watts=9.5e-3,
        source="SYNtzulu, its project's files: iCE40UP5K at 24 MHz, measured, with its processor",
    ),
    "spiker-plus": Peer(
        sizes=(784, 128, 10),
        thresholds=(60, 20),
        layers=(Folded(lanes=128, banks=2, updates=8), Folded(lanes=5)),
        part=LFE5U_85F,
        clock_mhz=100.0,
        watts=180e-3,
        source="Spiker+, arXiv 2401.01141: xc7z020 at 100 MHz, another part than ours",
    ),
}


def of_peer(peer: Peer, samples: int) -> EnergyEstimate:
    """Estimate our circuit with the layers of a peer's."""
    network, mapping = peer.network(), peer.mapping()
    inputs = networks.inputs_of(network, samples)
    return energy_on(
        emit(network, mapping),
        peer.part,
        inputs,
        simulate.run(network, inputs),
        clock_mhz=peer.clock_mhz,
        count=count_switching,
    )


def of_circuit(circuit: Measured) -> EnergyEstimate:
    """Estimate a measured circuit; an inference of it is all of its clocks."""
    netlist = synthesize_verilog(circuit.verilog, TOP, Family.ICE40)
    nets = nets_of(netlist)
    counted = count_free(watch_of(netlist, nets, PORTS), FREE_CLOCKS)
    return product(nets, counted, UP5K, clock_mhz=circuit.clock_mhz)


def energy_of(folder: Run, part: Part, samples: int, *, clock_mhz: float) -> EnergyEstimate:
    """Estimate an inference of a run folder's accelerator on a part, on its first test samples."""
    made = stage.energy_stage(folder, part=part, clock_mhz=clock_mhz, samples=samples)
    return made.estimate.value


def compared(name: str, estimate: EnergyEstimate, watts: float, source: str) -> Iterator[Figure]:
    """Yield the figures of an estimate, and its ratios to what was published."""
    power, base = estimate.power, f"estimate.energy.{name}"
    middle = math.sqrt(power.low * power.high)
    how = f"benchmarks/energy.py, {estimate.part} at {estimate.clock_mhz:g} MHz"
    values = {
        "low": (power.low, "W"),
        "high": (power.high, "W"),
        "ratio_to_published.low": (power.low / watts, "1"),
        "ratio_to_published": (middle / watts, "1"),
        "ratio_to_published.high": (power.high / watts, "1"),
    }
    for key, (value, unit) in values.items():
        about = f"{how}; of {source}" if key.startswith("ratio") else how
        yield Figure(name=f"{base}.{key}", value=value, unit=unit,
                     kind=FigureKind.ESTIMATED, source=about)  # fmt: skip
    yield Figure(name=f"{base}.published", value=watts, unit="W",
                 kind=FigureKind.MEASURED, source=source)  # fmt: skip


def joules(name: str, estimate: EnergyEstimate) -> Iterator[Figure]:
    """Yield the energy of an inference, its clocks and its toggles."""
    how = f"benchmarks/energy.py, {estimate.samples} inferences of {estimate.clocks:.0f} clocks"
    for key, value, unit in (
        ("inference.low", estimate.total.low, "J"),
        ("inference.high", estimate.total.high, "J"),
        ("inference.toggles", estimate.toggles, "toggles"),
    ):
        yield Figure(name=f"estimate.energy.{name}.{key}", value=value, unit=unit,
                     kind=FigureKind.ESTIMATED, source=how)  # fmt: skip


def shown(name: str, estimate: EnergyEstimate, watts: float) -> None:
    """Print an estimate beside its measurement."""
    power = estimate.power
    print(f"{name}: {power.low * 1e3:.3g} to {power.high * 1e3:.3g} mW, published "
          f"{watts * 1e3:.3g} mW", flush=True)  # fmt: skip
    for resource, energy in estimate.resources.items():
        scale = 1e3 / estimate.seconds
        print(f"  {resource}: {energy.low * scale:.3g} to {energy.high * scale:.3g} mW", flush=True)


def main() -> None:
    """Estimate, and write what each comes to; what another run estimated is kept."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--only", choices=[*MEASURED, *PEERS])
    options = parser.parse_args()
    figures = read_figures(RESULT) if RESULT.exists() else {}
    for name, circuit in MEASURED.items():
        if options.only in (None, name):
            estimate = of_circuit(circuit)
            shown(name, estimate, circuit.watts)
            own = compared(f"up5k-{name}", estimate, circuit.watts, f"{TINYVISION}, core rail")
            figures |= {figure.name: figure for figure in own}
    for name, peer in PEERS.items():
        if options.only in (None, name):
            estimate = of_peer(peer, options.samples)
            shown(name, estimate, peer.watts)
            own = (*compared(name, estimate, peer.watts, peer.source), *joules(name, estimate))
            figures |= {figure.name: figure for figure in own}
    write_figures(figures.values(), RESULT)


if __name__ == "__main__":
    main()
