"""``convexon run``."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from convexon.cli.options import Baud, Run
from convexon.link.protocol import DEFAULT_BAUD


def run(
    run: Run = Path("build/run"),
    port: Annotated[
        str | None, typer.Option(help="Serial port of the board, or /dev/spidevBUS.DEVICE.")
    ] = None,
    simulate: Annotated[
        bool,
        typer.Option(
            "--simulate", help="Use the board's design in Verilator instead of a port's board."
        ),
    ] = False,
    data: Annotated[str, typer.Option(help="Samples to send: test or train.")] = "test",
    samples: Annotated[int | None, typer.Option(help="How many; all by default.", min=1)] = None,
    baud: Baud = DEFAULT_BAUD,
    wait: Annotated[
        float,
        typer.Option(help="Seconds to wait for an answer before asking again.", min=0.01, max=3600),
    ] = 0.5,
) -> None:
    """Send samples to a board and compare all scores and labels with the golden model's.

    The board must hold this run's design. Lost and damaged bytes are made up for and counted. Exit
    code 1 if an answer differs; the first difference is named.
    """
    from convexon.cli.console import Console
    from convexon.errors import InputError
    from convexon.flow import stage
    from convexon.flow.run import RunFolder
    from convexon.link.session import Patience
    from convexon.link.transport import open_port

    if data not in ("test", "train"):
        raise InputError(f"data must be one of test, train, not {data!r}")
    if (port is None) != simulate:
        raise InputError("run must be given one of --port and --simulate")
    folder = RunFolder(run)
    with Console() as console:
        with console.stage("run") as line, _board(folder, port) as name:
            transport = open_port(name, baud)
            try:
                result = stage("run")(
                    folder,
                    transport,
                    line,
                    name=data,
                    limit=samples,
                    patience=Patience(seconds=wait),
                )
            finally:
                transport.close()
        console.line(result.summary)
    result.require_equal()


@contextmanager
def _board(folder: object, port: str | None) -> Iterator[str]:
    """Name the port of the board: the user's, or a simulated board's while it runs."""
    if port is not None:
        yield port
        return
    design = importlib.import_module("convexon.flow.simulated_board").design_of_run(folder)
    serial_board = importlib.import_module("convexon_sim.programs.serial_board")
    simulator = importlib.import_module("convexon_sim.simulator")
    with serial_board.SimulatedBoard(
        design.verilog,
        top=design.top,
        simulator=simulator.find(simulator.SimulatorKind.VERILATOR),
        divisor=design.divisor,
    ) as board:
        yield board.port
