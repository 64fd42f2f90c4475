"""``convexon explore``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from convexon.cli.options import Cluster

Numbers = list[int] | None
Words = list[str] | None


def _several(text: str) -> Any:
    """Option that may be given several times, a value to try each."""
    return typer.Option(help=f"{text} Several are tried one by one.")


Jobs = Annotated[int | None, typer.Option(help="Processes; one for each core by default.")]
File = Annotated[
    Path | None, typer.Option(help="A TOML file with the choices; options replace its own.")
]


def explore(
    ctx: typer.Context,
    root: Annotated[
        Path, typer.Argument(help="Folder of the sweep, and of others that share points with it.")
    ] = Path("build/explore"),
    sweep: File = None,
    data: Annotated[
        str | None,
        typer.Option(help="'digits', or an npz file with features and labels, as for solve."),
    ] = None,
    coding: Annotated[Words, _several("threshold, latency or intensity.")] = None,
    steps: Annotated[Numbers, _several("T, the steps of an inference.")] = None,
    bits: Annotated[Numbers, _several("Bits of an intensity; 1 for spikes.")] = None,
    readout_bits: Annotated[Numbers, _several("Bits of a readout weight.")] = None,
    alphabet: Annotated[Words, _several("Hidden weights: ternary, intB or pow2-B.")] = None,
    neurons: Annotated[Numbers, _several("Neurons to keep at most.")] = None,
    fan_in: Annotated[Numbers, _several("Synapses of a neuron.")] = None,
    depth: Annotated[Numbers, _several("Layers of a branch.")] = None,
    witnesses: Annotated[Numbers, _several("Witnesses to draw.")] = None,
    seed: Annotated[Numbers, _several("Seed of the split and of the witnesses.")] = None,
    rho: Annotated[
        list[float] | None,
        typer.Option(help="Strength of the l1 penalty; each network takes the best of them."),
    ] = None,
    mapping: Annotated[Words, _several("spatial, folded, or any.")] = None,
    lanes: Annotated[Numbers, _several("Lanes of folded layers.")] = None,
    family: Annotated[Words, _several("ecp5, ice40 or gowin.")] = None,
    board: Annotated[Words, _several("Boards to fit: part and clock are limits.")] = None,
    luts: Annotated[int | None, typer.Option(help="Most LUT4s.")] = None,
    block_rams: Annotated[int | None, typer.Option(help="Most block RAMs.")] = None,
    latency_cycles: Annotated[int | None, typer.Option(help="Most cycles, on average.")] = None,
    clock: Annotated[float | None, typer.Option(help="Clock in MHz that must be kept.")] = None,
    jobs: Jobs = None,
    cluster: Cluster = None,
) -> None:
    """Try combinations of choices, and print those that nothing beats.

    Every combination becomes a point: a network, its mapping, and what it takes. Points are kept,
    so an interrupted sweep goes on, and a larger one computes what is new. The front of accuracy,
    latency, LUTs, block RAMs and energy is printed, and written to explore.json
    and the page explore.html.
    """
    from convexon.cli.console import Console
    from convexon.explore.executor import executor_for
    from convexon.explore.sweep import read_sweep, sweep_from
    from convexon.flow import stage

    del data, coding, steps, bits, readout_bits, alphabet, neurons, fan_in, depth, witnesses, seed
    del (
        rho,
        mapping,
        lanes,
        family,
        board,
        luts,
        block_rams,
        latency_cycles,
        clock,
    )  # all are in ctx
    tables = {} if sweep is None else read_sweep(sweep)
    chosen = sweep_from(_replaced(tables, ctx.params))
    with Console() as console, executor_for(jobs=jobs, cluster=cluster) as executor:
        with console.stage("explore") as line:
            result = stage("explore")(root, chosen, executor=executor, progress=line)
        for text in (*result.failures, *result.table, result.summary):
            console.line(text)


def _replaced(tables: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Tables of a file, with the options on the command line in place of what it says."""
    from convexon.explore.sweep import AXES, LIMITS

    given = {name: value for name, value in options.items() if value not in (None, ())}
    merged = dict(tables)
    for key, option in (("data", "data"), ("rhos", "rho")):
        if option in given:
            merged[key] = given[option]
    for key, names in (("sweep", AXES), ("budget", LIMITS)):
        own = {name: given[name] for name in names if name in given}
        if own:
            table = merged.get(key, {})
            # What is no table is refused when the sweep is made, whatever the options say.
            merged[key] = {**table, **own} if isinstance(table, dict) else table
    return merged
