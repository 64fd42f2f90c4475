"""``convexon solve``."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convexon.cli.options import Cluster, Data, Run, Seed

if TYPE_CHECKING:
    from convexon.train.columns.parallel import Executor

Coding = Annotated[str, typer.Option(help="threshold, latency, or intensity (bit planes).")]
Loss = Annotated[str, typer.Option(help="squared, hinge or softmax; logistic for two classes.")]
Alphabet = Annotated[str, typer.Option(help="Hidden weights: ternary, intB or pow2-B (B bits).")]
Rounds = Annotated[
    int, typer.Option(help="Rounds of column generation that add to the drawn witnesses.")
]
Cost = Annotated[
    str | None, typer.Option(help="Penalty weights by silicon: luts, events or memory.")
]
Rhos = Annotated[
    list[float] | None,
    typer.Option(help="Strength of the l1 penalty; several are chosen from on validation."),
]


def solve(
    run: Run = Path("build/run"),
    data: Data = "digits",
    coding: Coding = "threshold",
    steps: Annotated[int, typer.Option(help="T, the steps of an inference.")] = 8,
    bits: Annotated[int, typer.Option(help="Bits of an intensity; 1 for spikes.")] = 1,
    loss: Loss = "squared",
    readout: Annotated[str, typer.Option(help="last, sign or count.")] = "count",
    witnesses: Annotated[int, typer.Option(help="Witnesses to draw.")] = 2000,
    fan_in: Annotated[int, typer.Option(help="Synapses of a neuron.")] = 8,
    depth: Annotated[int, typer.Option(help="Layers of a branch.")] = 1,
    hidden: Annotated[int, typer.Option(help="Neurons of each layer below the last.")] = 128,
    alphabet: Alphabet = "ternary",
    pricing_rounds: Rounds = 0,
    cost: Cost = None,
    max_neurons: Annotated[int, typer.Option(help="Neurons to keep at most.")] = 256,
    rho: Rhos = None,
    readout_bits: Annotated[int, typer.Option(help="Bits of a readout weight.")] = 8,
    tolerance: Annotated[float, typer.Option(help="Duality gap to reach.")] = 1e-6,
    seed: Seed = 0,
    cluster: Cluster = None,
) -> None:
    """Solve the convex program, certify it, and write the network's silicon card.

    Encodes the samples, draws integer LIF witnesses, builds the spike dictionary, solves the l1
    program to a certified duality gap, reconstructs the pruned network, and quantizes its readout.
    The dictionary is built in chunks: by threads, or by the workers of a Dask cluster.
    """
    from convexon.cli.console import Console
    from convexon.convex.model.loss import LossKind
    from convexon.data.coding import Coding as CodingKind
    from convexon.flow import stage
    from convexon.flow.run import RunFolder
    from convexon.snn.neuron import ReadoutMode
    from convexon.train.cost import CostKind
    from convexon.train.settings import SolveSettings, choice

    settings = SolveSettings(
        data=data,
        coding=choice(CodingKind, coding, "coding"),
        n_steps=steps,
        bits=bits,
        loss=choice(LossKind, loss, "loss"),
        readout_mode=choice(ReadoutMode, readout, "readout"),
        n_witnesses=witnesses,
        fan_in=fan_in,
        depth=depth,
        hidden=hidden,
        alphabet=alphabet,
        pricing_rounds=pricing_rounds,
        cost=None if cost is None else choice(CostKind, cost, "cost"),
        max_neurons=max_neurons,
        rhos=tuple(rho or SolveSettings.rhos),
        readout_bits=readout_bits,
        tolerance=tolerance,
        seed=seed,
    )
    with Console() as console, _builders(cluster) as executor:
        with console.stage("solve") as line:
            result = stage("solve")(RunFolder(run), settings, line, executor=executor)
        console.line(result.summary)
        for text in result.certificate_lines:
            console.line(text)


def _builders(cluster: str | None) -> AbstractContextManager[Executor]:
    """What builds the dictionary: threads, or the cluster at an address."""
    from convexon.explore.executor import executor_for
    from convexon.train.columns.parallel import THREADS

    return nullcontext(THREADS) if cluster is None else executor_for(cluster=cluster)
