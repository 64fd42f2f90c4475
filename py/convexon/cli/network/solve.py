"""``convexon solve``."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from convexon.cli.options import CLUSTER, DATA, RUN, command, settings
from convexon.train.settings import SolveSettings

if TYPE_CHECKING:
    from convexon.train.columns.parallel import Executor


@command
@RUN
@DATA
@settings(SolveSettings)
@click.option("--replace", is_flag=True, help="Replace a run that holds other samples.")
@CLUSTER
def solve(
    run: Path, data: str, settings: SolveSettings, replace: bool, cluster: str | None
) -> None:
    """Solve the convex program, certify it, and write the network's silicon card.

    Encodes the samples, draws integer LIF witnesses, builds the spike dictionary, solves the l1
    program to a certified duality gap, reconstructs the pruned network, and quantizes its readout.
    The dictionary is built in chunks: by threads, or by the workers of a Dask cluster.
    """
    from convexon.cli.console import Console
    from convexon.data.loading import load_samples
    from convexon.flow.network import solve as flow
    from convexon.flow.run import Run

    samples = load_samples(data, n_steps=settings.steps)
    with Console() as console, Run(run).locked(new=True) as folder, _builders(cluster) as executor:
        with console.stage("solve") as line:
            made = flow.solve(
                folder, samples, settings, replace=replace, progress=line, executor=executor
            )
        console.line(made.summary)
        for text in (*made.notices, *made.certificate_lines):
            console.line(text)


def _builders(cluster: str | None) -> AbstractContextManager[Executor]:
    """What builds the dictionary: threads, or the cluster at an address."""
    from convexon.sweeps.executor import executor_for
    from convexon.train.columns.parallel import THREADS

    return nullcontext(THREADS) if cluster is None else executor_for(cluster=cluster)
