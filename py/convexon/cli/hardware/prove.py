"""``convexon prove``."""

from __future__ import annotations

from pathlib import Path

from convexon.cli.options import EDITED, RUN, command


@command
@RUN
@EDITED
def prove(run: Path, edited: bool) -> None:
    """Prove the emitted network, part by part, for all inputs.

    Each neuron's Verilog is proved equal to its contract by induction, each sum of synapses equal
    to that of the weights, and the wiring is checked against the network. Exit code 1 if anything
    is not proved; the first such part is named.
    """
    from convexon.cli.console import Console
    from convexon.flow.hardware.prove import prove_stage
    from convexon.flow.run import Run

    with Console() as console, Run(run, edited).locked() as folder:
        with console.stage("prove") as line:
            result = prove_stage(folder, progress=line)
        for text in result.lines:
            console.line(text)
        console.line(result.summary)
        result.report.value.require_proved()
