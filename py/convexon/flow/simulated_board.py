"""A board that is only simulated: the same top module, on no part in particular."""

from __future__ import annotations

from convexon.flow.emit import emitted
from convexon.flow.run import RunFolder
from convexon.link.transport import require_serial
from convexon_boards.board import Board
from convexon_boards.build import results_of
from convexon_boards.design.clocking import clocking
from convexon_boards.design.top import TOP, Design, design_of
from convexon_hdl.link.link import Uart
from convexon_sim.programs.serial_board import SimulatedBoard
from convexon_sim.simulator import SimulatorKind, find

DIVISOR = 4
"""Clocks of a bit: as few as a receiver can do with, as each costs time."""

_BOARD = Board(
    name="simulated",
    title="Simulated board",
    part="none",
    oscillator_mhz=1.0,
    clock="1",
    rx="2",
    tx="3",
)


def design_of_run(folder: RunFolder) -> Design:
    """Return the design of ``folder`` behind a serial line.

    Raises
    ------
    ArtefactError
        If there is no sound bundle or card, or one is not of the other.
    MissingToolError
        If pyserial is not installed: nothing could be sent, so nothing is compiled first.
    ToolError
        If Yosys is missing or fails.
    """
    require_serial()
    source, bundle = emitted(folder)
    return design_of(
        bundle.value,
        _BOARD,
        clocking=clocking(_BOARD),
        line=Uart(divisor=DIVISOR),
        results=results_of(source.network),
    )


def simulated_board(folder: RunFolder) -> SimulatedBoard:
    """Return the design of ``folder`` as a board in Verilator, a context manager.

    Raises
    ------
    ConvexonError
        As `design_of_run` does; `MissingToolError` too if Verilator is not installed.
    """
    return SimulatedBoard(
        design_of_run(folder).verilog,
        top=TOP,
        simulator=find(SimulatorKind.VERILATOR),
        divisor=DIVISOR,
    )
