"""How the generator scales: benchmarks/results/generator.json.

    python benchmarks/generator.py [--quick | --large]

- seconds of elaboration and emission against synapses, one hidden layer of random 4-bit weights:
  spatial up to 12,800 synapses, folded up to 200,704, and the exponent of a power law through each;
- CPU seconds, Yosys included, and peak memory of the emission of 512 and of 2,048 neurons that read
  32 of 784 inputs each through weights of -1 and 1, with ten classes behind them (``--large``
  measures these alone, and leaves the other results as they are);
- LUT4 sites per synapse of a spatial layer on ECP5, for weights of 1 to 8 bits: the netlist of a
  64-32 layer less that of the same layer without weights;
- cycles per step of a folded layer against the activity of its inputs, by the schedule;
- inferences per second of the volume runner on scikit-learn's digits, the demo's card;
- LUT4 sites of adder graphs against those of a balanced tree, from benchmarks/results/adders.json.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import replace
from pathlib import Path

import networks
import numpy as np

from convexon.flow.hardware.verify import volume_stage
from convexon.flow.run import Run
from convexon.plan.family import Family
from convexon.plan.mapping import Folded, Mapping
from convexon.plan.schedule import Schedule
from convexon.report.figure import Figure, FigureKind, read_figures, write_figures
from convexon.snn.fixed import QFormat
from convexon.snn.models import simulate as model
from convexon.snn.network import Branch, FixedPointNetwork
from convexon_boards.tools.synthesis import synthesize
from convexon_hdl.emit.emitter import emit

RESULT = Path(__file__).parent / "results" / "generator.json"
ADDERS = RESULT.with_name("adders.json")
SPATIAL = ((20, 40), (40, 80), (80, 80), (80, 160))
FOLDED = ((80, 80), (160, 160), (392, 128), (784, 128), (784, 256))
WEIGHT_BITS = range(1, 9)
ACTIVITIES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0)
LARGE = (512, 2048)
FAN_IN = 32
SAMPLES = 8

Row = tuple[str, float, str]
"""Name, value, unit."""


def one_layer(n_inputs: int, n_neurons: int, *, weight_bits: int = 4) -> FixedPointNetwork:
    """A layer, read out as it is."""
    return networks.random_network(
        (n_inputs, n_neurons), weight_bits=weight_bits, thresholds=(40,), membrane_bits=8
    )


def folded(network: FixedPointNetwork) -> Mapping:
    """The layer in block RAM, 64 lanes and two banks."""
    n_neurons = network.branches[0].layers[0].n_neurons
    lanes = min(64, n_neurons)
    return Mapping(layers=((Folded(lanes=lanes, banks=2, updates=lanes // 8),),))


def emission_seconds(quick: bool) -> list[Row]:
    """Seconds of elaboration and emission, and the exponent over the synapses."""
    rows: list[Row] = []
    for kind, sizes in (("spatial", SPATIAL), ("folded", FOLDED)):
        points = []
        for n_inputs, n_neurons in sizes[: 2 if quick else None]:
            network = one_layer(n_inputs, n_neurons)
            mapping = Mapping.spatial(network) if kind == "spatial" else folded(network)
            began = time.perf_counter()
            emit(network, mapping)
            seconds = time.perf_counter() - began
            synapses = n_inputs * n_neurons
            points.append((synapses, seconds))
            rows.append((f"emit.{kind}.{synapses}.seconds", seconds, "seconds"))
            print(f"{kind}, {synapses} synapses: {seconds:.2f} s", flush=True)
        synapses, seconds = np.log(np.array(points)).T
        rows.append((f"emit.{kind}.exponent", float(np.polyfit(synapses, seconds, 1)[0]), "1"))
    return rows


def sparse_layer(n_neurons: int, *, n_inputs: int = 784, n_classes: int = 10) -> FixedPointNetwork:
    """A layer of ternary weights, ``FAN_IN`` a neuron, with a dense readout of 4 bits."""
    rng = np.random.default_rng(1)
    weights = np.zeros((n_inputs, n_neurons), dtype=np.int64)
    for column in weights.T:
        read = rng.choice(n_inputs, FAN_IN, replace=False)
        column[read] = rng.choice([-1, 1], FAN_IN)
    network = networks.random_network(
        (n_inputs, n_neurons), weight_bits=4, thresholds=(8,), membrane_bits=8
    )
    (layer,) = network.branches[0].layers
    return replace(
        network,
        branches=(Branch((replace(layer, weights=weights),)),),
        readout_weights=rng.integers(-7, 8, (n_neurons, n_classes)),
        readout_biases=np.zeros(n_classes, dtype=np.int64),
        readout_format=QFormat(4),
    )


def large_layers() -> list[Row]:
    """CPU seconds and peak memory of the emission of large layers, the smallest first."""
    rows: list[Row] = []
    for n_neurons in LARGE:
        network = sparse_layer(n_neurons)
        began = cpu_seconds()
        emit(network, Mapping.spatial(network))
        seconds = cpu_seconds() - began
        megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rows.append((f"emit_seconds.{n_neurons}", seconds, "CPU seconds"))
        rows.append((f"emit_megabytes.{n_neurons}", megabytes, "MiB"))
        print(f"{n_neurons} neurons: {seconds:.1f} CPU s, {megabytes:.0f} MiB", flush=True)
    return rows


def cpu_seconds() -> float:
    """CPU seconds of this process and of those that it waited for."""
    times = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in times)


def sites_per_synapse(quick: bool) -> list[Row]:
    """LUT4 sites for each weight, the neurons' own left out."""
    n_inputs, n_neurons = 64, 32
    rows: list[Row] = []
    for bits in list(WEIGHT_BITS)[: 2 if quick else None]:
        network = with_weights(one_layer(n_inputs, n_neurons, weight_bits=max(bits, 2)), bits)
        empty = with_weights(network, 0)
        full, bare = (
            synthesize(emit(n, Mapping.spatial(n)), Family.ECP5).cells for n in (network, empty)
        )
        share = (full.lut4_sites - bare.lut4_sites) / (n_inputs * n_neurons)
        rows.append((f"lut4_per_synapse.bits{bits}", share, "LUT4"))
        print(f"{bits} bits: {share:.3f} LUT4 a synapse", flush=True)
    return rows


def with_weights(network: FixedPointNetwork, bits: int) -> FixedPointNetwork:
    """The network with weights of ``bits`` bits: none for 0; +1 and -1, one bit of choice, for 1.

    A layer without weights keeps one, so that it is not constant as a whole.
    """
    (layer,) = network.branches[0].layers
    weights = layer.weights.copy()
    if bits == 0:
        weights[:] = 0
        weights[0] = 1
    elif bits == 1:
        weights = np.random.default_rng(0).choice([-1, 1], weights.shape)
    changed = replace(layer, weights=weights)
    return replace(network, branches=(Branch((changed,)),))


def cycles_against_activity() -> list[Row]:
    """Mean cycles of a step of a folded 784-128 layer."""
    network = one_layer(784, 128)
    schedule = Schedule.of(network, folded(network))
    rows: list[Row] = []
    for activity in ACTIVITIES:
        inputs = networks.inputs_of(network, SAMPLES, activity=activity)
        cycles = schedule.cycles(inputs, model.run(network, inputs))
        mean = float(cycles.interval.mean()) / network.n_steps
        rows.append((f"cycles_per_step.activity{round(100 * activity):03d}", mean, "cycles"))
        print(f"activity {activity:g}: {mean:.1f} cycles a step", flush=True)
    return rows


def volume_rate(run: Path) -> list[Row]:
    """Inferences per second of the volume runner, on the run folder of a demo."""
    result = volume_stage(Run(run))
    result.raise_if_different()
    print(f"volume: {result.inferences_per_second:.0f} inferences a second", flush=True)
    return [
        ("volume.inferences_per_second", result.inferences_per_second, "1/s"),
        ("volume.inferences", float(result.verification.inferences), "inferences"),
    ]


def against_a_tree() -> list[Row]:
    """Sites of every way to add, over those of a balanced tree."""
    figures = {name: float(figure.value) for name, figure in read_figures(ADDERS).items()}
    rows: list[Row] = []
    for name, sites in sorted(figures.items()):
        *place, way, last = name.split(".")
        tree = figures.get(".".join([*place, "tree", last]))
        if last == "lut4" and way != "tree" and tree:
            rows.append((".".join(["adders", *place[1:], way, "over_tree"]), sites / tree, "1"))
    return rows


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few points; no results")
    parser.add_argument("--large", action="store_true", help="only the large layers")
    parser.add_argument("--run", type=Path, help="run folder of a demo, emitted: for the volume")
    options = parser.parse_args()
    rows: list[Row] = []
    if not options.quick:
        rows += large_layers()
    if not options.large:
        rows += cycles_against_activity()
        if options.run is not None:
            rows += volume_rate(options.run)
        if ADDERS.exists():
            rows += against_a_tree()
        rows += emission_seconds(options.quick)
        rows += sites_per_synapse(options.quick)
    kept = read_figures(RESULT).values() if options.large else ()
    named = [(f"generator.{name}", value, unit) for name, value, unit in rows]
    source = "benchmarks/generator.py: random networks of benchmarks/networks.py"
    if not options.quick:
        write_figures(
            [
                *(figure for figure in kept if figure.name not in {row[0] for row in named}),
                *(
                    Figure(
                        name=name,
                        value=round(value, 4),
                        unit=unit,
                        kind=FigureKind.MEASURED,
                        source=source,
                    )
                    for name, value, unit in named
                ),
            ],
            RESULT,
        )


if __name__ == "__main__":
    main()
