"""The clock of a design: the oscillator's own, or what the part's PLL makes of it."""

from __future__ import annotations

from convexon.errors import InputError
from convexon_boards.board import Board
from convexon_boards.families import tools_of
from convexon_boards.toolchain import Clocking

TOLERANCE = 0.01
"""A PLL's clock may be that far from the one that was asked for, as a fraction."""


def clocking(board: Board, mhz: float | None = None) -> Clocking:
    """Return how ``board`` makes a clock of ``mhz``; by default its oscillator is used.

    Raises
    ------
    InputError
        If the clock is not above 0, far beyond what the part takes, or no PLL setting is near it.
    """
    oscillator = board.oscillator_mhz
    if mhz is None or mhz == oscillator:
        return Clocking(oscillator, "  assign clk = clock;\n  assign locked = 1'b1;\n")
    if not 0 < mhz < float("inf"):
        raise InputError(f"freq must be above 0 MHz, not {mhz!r}")
    if not isinstance(board.part, str) and mhz > board.part.most_mhz:
        raise InputError(
            f"freq must be at most {board.part.most_mhz:g} MHz on {board.part.name}, not {mhz:g}: "
            "even a small network with its link reaches no more than half of that"
        )
    choices = list(tools_of(board).plls(board, mhz))
    if not choices:
        raise InputError(f"freq must be one that the PLL of {board.name} can make, not {mhz:g} MHz")
    best = min(choices, key=lambda choice: abs(choice.mhz - mhz))
    if abs(best.mhz - mhz) > TOLERANCE * mhz:
        raise InputError(
            f"freq must be near {best.mhz:.3f} MHz or another clock that the PLL of {board.name} "
            f"makes of {oscillator:g} MHz, not {mhz:g}"
        )
    return best
