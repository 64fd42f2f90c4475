"""``convexon verify``."""

from __future__ import annotations

from pathlib import Path

import click

from convexon.cli.options import EDITED, RUN, command, settings
from convexon_sim.bench.job import Traffic


@command
@RUN
@click.option(
    "--simulator", multiple=True, help="verilator or icarus; both that are installed by default."
)
@settings(Traffic, "traffic")
@click.option(
    "--first-divergence",
    is_flag=True,
    help="Name the first spike that differs, in every simulator, and what led there.",
)
@click.option(
    "--volume",
    is_flag=True,
    help="Run all training and test samples through Verilator, without cocotb.",
)
@EDITED
def verify(
    run: Path,
    simulator: tuple[str, ...],
    traffic: Traffic,
    first_divergence: bool,
    volume: bool,
    edited: bool,
) -> None:
    """Simulate the test samples on the emitted Verilog and compare with the golden model.

    Spikes of every layer, membranes, scores, labels and, where nothing stalls, cycle counts must be
    equal. Exit code 1 if anything differs; the first difference is named.
    """
    from convexon.cli.console import Console
    from convexon.flow.hardware.verify import (
        VerifyResult,
        chosen_simulators,
        verify_stage,
        volume_stage,
    )
    from convexon.flow.run import Run

    with Console() as console, Run(run, edited).locked() as folder:
        if volume:
            checked = console.show(
                "verify in volume", lambda line: volume_stage(folder, progress=line)
            )
            checked.raise_if_different()
            return
        results: list[VerifyResult] = []
        for kind in chosen_simulators(simulator):
            with console.stage(f"verify {kind.value}") as line:
                result = verify_stage(folder, kind, traffic=traffic, progress=line)
            console.line(result.summary)
            results.append(result)
            if first_divergence:  # every simulator has its say before the command fails
                for text in result.divergence_lines:
                    console.line(text)
            else:
                result.raise_if_different()
        for result in results:
            result.raise_if_different()
