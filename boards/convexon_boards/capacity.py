"""What a network may take on a board: its part, less the link and what routing needs free."""

from __future__ import annotations

from convexon.plan.cost.budget import Budget
from convexon.plan.mapping import Style
from convexon_boards.board import Board
from convexon_boards.catalogue import board_of

LINK_LUTS = 900
LINK_BLOCKS = 2
"""LUT sites and, at most, block RAMs of the host link around an accelerator."""


def budget_of(
    board: Board | str,
    *,
    luts: int | None = None,
    block_rams: int | None = None,
    latency_cycles: int | None = None,
    clock_hz: float | None = None,
    style: Style = Style.ANY,
    lanes: int | None = None,
) -> Budget:
    """Return the budget of a mapping for ``board``; what is given takes the place of the board's.

    The clock is the oscillator's where none is given, as that of `convexon.flow.build` is.

    Parameters
    ----------
    board : Board or str
        A board, or its name.
    luts, block_rams, latency_cycles, clock_hz, style, lanes
        As of `Budget`.

    Raises
    ------
    InputError
        If there is no such board, or its vendor's tool builds for it.
    """
    board = board_of(board) if isinstance(board, str) else board
    part = board.open_part
    most = max(1, round(part.family.usable * part.lut_sites) - LINK_LUTS)
    return Budget(
        luts=most if luts is None else luts,
        block_rams=part.block_rams - LINK_BLOCKS if block_rams is None else block_rams,
        latency_cycles=latency_cycles,
        clock_hz=board.oscillator_mhz * 1e6 if clock_hz is None else clock_hz,
        family=part.family,
        style=style,
        lanes=lanes,
    )
