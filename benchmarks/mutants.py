"""Mutants of emitted Verilog against the bench: `python benchmarks/mutants.py`.

Each mutant has one fault, of the kinds of `convexon_sim.mutation`, and is caught if the bench on
Icarus rejects it under smooth or under stalling traffic. One that is not caught must be proved
equal to the design by Yosys, and then does not count. Prints the list and the score, and writes
benchmarks/results/mutants.json.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from convexon import golden
from convexon.errors import MismatchError
from convexon.fixed import QFormat
from convexon.mapping import Mapping
from convexon.network import Branch, FixedPointNetwork, Layer
from convexon.neuron import Leak, ReadoutMode, Reset
from convexon.report.figure import Figure, FigureKind, write_figures
from convexon.schedule import Schedule
from convexon.simulator import SimulatorKind, find
from convexon_hdl.emit import emit
from convexon_sim.job import SMOOTH, Traffic
from convexon_sim.mutation import Mutant, chosen, is_equivalent
from convexon_sim.runner import Trial, simulate_all

N_MUTANTS = 60
N_SAMPLES = 40
SEED = 1

SUBJECT_SEED = 139
"""Of weights with which every neuron fires now and then, and every two classes tie."""

STALLING = Traffic(idle=0.2, back_pressure=0.6, resets=(0, 3, 9), seed=3)


def subject(seed: int = SUBJECT_SEED) -> FixedPointNetwork:
    """Return a network with two branches, recurrence, leaks, two resets and a result a step."""
    rng = np.random.default_rng(seed)

    def layer(n_inputs: int, n_neurons: int, *, recurrent: bool, **changes: object) -> Layer:
        members: dict[str, object] = {
            "weights": rng.integers(-3, 5, (n_inputs, n_neurons)),
            "recurrent": rng.integers(-3, 4, (n_neurons, n_neurons)) if recurrent else None,
            "thresholds": rng.integers(2, 6, n_neurons),
            "biases": rng.integers(0, 2, n_neurons),
            "leak": Leak(1, 2),
            "reset": Reset.SUBTRACT,
            "weight_format": QFormat(4),
            "threshold_format": QFormat(4),
            **changes,
        }
        return Layer(**members)  # type: ignore[arg-type]

    return FixedPointNetwork(
        branches=(
            Branch((layer(4, 3, recurrent=True, reset=Reset.ZERO),)),
            Branch((layer(4, 3, recurrent=False), layer(3, 2, recurrent=False))),
        ),
        n_steps=6,
        input_bits=1,
        readout_mode=ReadoutMode.STEP,
        readout_weights=rng.integers(-3, 4, (5, 3)),
        readout_biases=rng.integers(-2, 3, 3),
        readout_format=QFormat(4),
        bias_format=QFormat(4),
    )


def trials_of(network: FixedPointNetwork) -> list[Trial]:
    """Return the trials that every mutant of the network must fail at least one of."""
    mapping = Mapping.spatial(network)
    shape = (N_SAMPLES, network.n_steps, network.n_inputs)
    inputs = np.random.default_rng(5).integers(0, 2, shape, dtype=np.uint8)
    expected = golden.run(network, inputs)
    members = {
        "bundle": emit(network, mapping),
        "inputs": inputs,
        "expected": expected,
        "cycles": Schedule.of(network, mapping).cycles(inputs, expected),
    }
    return [Trial(**members, traffic=traffic) for traffic in (SMOOTH, STALLING)]


def findings(trials: list[Trial], mutants: list[Mutant]) -> list[str | None]:
    """Return what the bench says first of each mutant, None if it passes all trials."""
    simulator = find(SimulatorKind.ICARUS)
    mutated = [
        dataclasses.replace(trial, bundle=dataclasses.replace(trial.bundle, verilog=mutant.verilog))
        for mutant in mutants
        for trial in trials
    ]
    verdicts = simulate_all([*trials, *mutated], simulator)
    own, others = verdicts[: len(trials)], verdicts[len(trials) :]
    for verdict in own:
        if not verdict.passed:
            raise MismatchError(f"the design itself fails: {verdict.first}")
    firsts = [None if verdict.passed else verdict.first for verdict in others]
    groups = [firsts[k : k + len(trials)] for k in range(0, len(firsts), len(trials))]
    return [next((first for first in group if first), None) for group in groups]


def main() -> None:
    """Print the list and the score, and write the figures."""
    trials = trials_of(subject())
    bundle = trials[0].bundle
    mutants = chosen(bundle.verilog, N_MUTANTS, seed=SEED)
    caught = total = 0
    for mutant, first in zip(mutants, findings(trials, mutants), strict=True):
        same = first is None and is_equivalent(bundle.verilog, mutant, top=bundle.top)
        total += not same
        caught += first is not None
        print(f"{'equal' if same else 'caught' if first else 'MISSED'}: {mutant}")
        if first:
            print(f"    {first}")
    print(f"{caught} of {total} mutants caught")
    source = f"benchmarks/mutants.py, Icarus, seed {SEED}, mutants proved equal left out"
    figures = [
        Figure(
            name=f"hw.mutants.{name}",
            value=value,
            unit="mutants",
            kind=FigureKind.MEASURED,
            source=source,
        )
        for name, value in (("caught", caught), ("total", total))
    ]
    write_figures(figures, Path(__file__).parent / "results" / "mutants.json")


if __name__ == "__main__":
    main()
