"""A board that is only simulated: the same top module, on no part in particular."""

from __future__ import annotations

from dataclasses import dataclass

from convexon.flow.emit import emitted
from convexon.flow.run import RunFolder
from convexon.link.transport import require_serial
from convexon_boards.board import Board
from convexon_boards.build import results_of
from convexon_boards.design.clocking import clocking
from convexon_boards.design.top import TOP, design_of
from convexon_hdl.link.link import Uart

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


@dataclass(frozen=True, kw_only=True)
class SimulatedDesign:
    """What a simulator runs.

    Members
    -------
    verilog, top : str
        The whole design, and its top module.
    divisor : int
        Clocks of a bit of its serial line.
    """

    verilog: str
    top: str
    divisor: int


def design_of_run(folder: RunFolder) -> SimulatedDesign:
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
    design = design_of(
        bundle.value,
        _BOARD,
        clocking=clocking(_BOARD),
        line=Uart(divisor=DIVISOR),
        results=results_of(source.network),
    )
    return SimulatedDesign(verilog=design.verilog, top=TOP, divisor=DIVISOR)
