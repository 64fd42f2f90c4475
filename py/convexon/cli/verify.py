"""``convexon verify``."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

from convexon.cli.options import Run


def verify(
    run: Run = Path("build/run"),
    simulator: Annotated[
        list[str] | None,
        typer.Option(help="verilator or icarus; both that are installed by default."),
    ] = None,
    idle: Annotated[float, typer.Option(help="Probability of an idle clock at the input.")] = 0.0,
    back_pressure: Annotated[
        float, typer.Option(help="Probability of a refused clock at the output.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the traffic.", min=0)] = 0,
    first_divergence: Annotated[
        bool,
        typer.Option(
            "--first-divergence",
            help="Name the first spike that differs, in every simulator, and what led there.",
        ),
    ] = False,
    volume: Annotated[
        bool,
        typer.Option(
            "--volume",
            help="Run all training and test samples through Verilator, without cocotb.",
        ),
    ] = False,
) -> None:
    """Simulate the test samples on the emitted Verilog and compare with the golden model.

    Spikes of every layer, membranes, scores, labels and, where nothing stalls, cycle counts must be
    equal. Exit code 1 if anything differs; the first difference is named.
    """
    from convexon.cli.console import Console
    from convexon.flow.run import RunFolder

    if volume:
        _in_volume(run)
        return
    chain = importlib.import_module("convexon.flow.verify")
    traffic = importlib.import_module("convexon_sim.bench.job").Traffic(
        idle=idle, back_pressure=back_pressure, seed=seed
    )
    kinds = chain.chosen_simulators(simulator)
    results = []
    with Console() as console:
        for kind in kinds:
            with console.stage(f"verify {kind.value}") as line:
                result = chain.verify_stage(RunFolder(run), kind, traffic=traffic, progress=line)
            console.line(result.summary)
            results.append(result)
            if first_divergence:  # every simulator has its say before the command fails
                for text in result.divergence_lines:
                    console.line(text)
            else:
                chain.require_equal(result)
    for result in results:
        chain.require_equal(result)


def _in_volume(run: Path) -> None:
    """All training and test samples, without cocotb."""
    from convexon.cli.console import Console
    from convexon.flow.run import RunFolder

    runner = importlib.import_module("convexon.flow.volume")
    with Console() as console:
        with console.stage("verify in volume") as line:
            checked = runner.volume_stage(RunFolder(run), progress=line)
        console.line(checked.summary)
        checked.require_equal()
