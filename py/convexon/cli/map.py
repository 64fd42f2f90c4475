"""``convexon map``."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

from convexon.cli.options import Run


def map(
    run: Run = Path("build/run"),
    file: Annotated[
        Path | None, typer.Option(help="A TOML file with the choice for every layer.")
    ] = None,
    luts: Annotated[int | None, typer.Option(help="Most LUT4s.", min=1)] = None,
    block_rams: Annotated[int | None, typer.Option(help="Most block RAMs.", min=0)] = None,
    latency_cycles: Annotated[
        int | None, typer.Option(help="Most cycles of an inference, on average.", min=1)
    ] = None,
    clock: Annotated[
        float | None, typer.Option(help="Clock in MHz that pipeline registers are chosen for.")
    ] = None,
    family: Annotated[str, typer.Option(help="ecp5 or ice40.")] = "ecp5",
) -> None:
    """Choose for every layer whether it stands in logic or in block RAM.

    Without options everything stands in logic, which is fastest. With a budget, the fastest mapping
    that fits it is chosen. The next emit and verify take it.
    """
    from convexon import simulate
    from convexon.cells import Family
    from convexon.chain import stage
    from convexon.chain.settings import choice
    from convexon.cli.console import Console
    from convexon.errors import InputError
    from convexon.run import RunFolder

    if clock is not None and not 0 < clock < 10_000:
        raise InputError(f"clock must be a number of MHz, not {clock!r}")
    limits = {"luts": luts, "block_rams": block_rams, "latency_cycles": latency_cycles}
    if file is not None and (clock is not None or any(v is not None for v in limits.values())):
        raise InputError("file must stand alone: a mapping by hand has no budget and no clock")
    budget = importlib.import_module("convexon_hdl.budget").Budget(
        family=choice(Family, family, "family"), **limits
    )
    with Console() as console:
        with console.stage("map") as line:
            result = stage("map")(
                RunFolder(run),
                budget=budget,
                clock_hz=None if clock is None else clock * 1e6,
                file=file,
                progress=line,
                model=simulate.run,
            )
        console.line(result.summary)
