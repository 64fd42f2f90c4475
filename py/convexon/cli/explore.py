"""``convexon explore``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from convexon.cli.options import CLUSTER, command, option
from convexon.plan.cost.budget import Limits
from convexon.settings import settings_of
from convexon.sweeps.sweep import AXES, LIMITS
from convexon.train.settings import SolveSettings


@command
@click.argument("root", type=click.Path(path_type=Path), default=Path("build/explore"))
@click.option(
    "--sweep",
    type=click.Path(path_type=Path),
    help="A TOML file with the choices; options replace its own.",
)
@click.option("--data", help="'digits', or a file, as for solve; digits by default.")
@click.option("--network", help="RUN whose network is mapped as it is, on its own samples.")
@option(next(each for each in settings_of(SolveSettings) if each.name == "rho"))
@click.option("--jobs", type=click.IntRange(min=1), help="Processes; one a core by default.")
@CLUSTER
def explore(
    root: Path, sweep: Path | None, jobs: int | None, cluster: str | None, **options: Any
) -> None:
    """Try combinations of choices, and print those that nothing beats.

    Every combination becomes a point: a network, its mapping, and what it takes. Points are kept,
    so an interrupted sweep goes on, and a larger one computes what is new. The front of accuracy,
    latency, LUTs, block RAMs and energy is printed, and written to explore.json
    and the page explore.html.
    """
    from convexon.cli.console import Console
    from convexon.sweeps.executor import executor_for
    from convexon.sweeps.stage import explore_stage
    from convexon.sweeps.sweep import read_sweep, sweep_from

    tables = {} if sweep is None else read_sweep(sweep)
    chosen = sweep_from(_replaced(tables, options))
    with Console() as console, executor_for(jobs=jobs, cluster=cluster) as executor:
        with console.stage("explore") as line:
            result = explore_stage(root, chosen, executor=executor, progress=line)
        for text in (*result.failures, *result.table, result.summary):
            console.line(text)


for _each in (*AXES.values(), *settings_of(Limits)):
    explore = option(_each, several=_each.name in AXES)(explore)


def _replaced(tables: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Tables of a file, with the options on the command line in place of what it says."""
    given = {
        name: list(value) if isinstance(value, tuple) else value  # as a file has them
        for name, value in options.items()
        if value not in (None, ())
    }
    merged: dict[str, Any] = tables | {
        name: given[name] for name in ("data", "network", "rho") if name in given
    }
    for key, names in (("sweep", AXES), ("budget", LIMITS)):
        own = {name: given[name] for name in names if name in given}
        if own:
            table = merged.get(key, {})
            # What is no table is refused when the sweep is made, whatever the options say.
            merged[key] = {**table, **own} if isinstance(table, dict) else table
    return merged
