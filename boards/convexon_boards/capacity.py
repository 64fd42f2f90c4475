"""What a network may take on a board: its part, less the link and what routing needs free."""

from __future__ import annotations

from dataclasses import replace

from convexon.plan.cost.budget import Budget
from convexon_boards.board import Board
from convexon_boards.catalogue import board_of

LINK_LUTS = 900
LINK_BLOCKS = 2
"""LUT sites and, at most, block RAMs of the host link around an accelerator."""


def budget_of(board: Board | str, limits: Budget = Budget()) -> Budget:  # noqa: B008  (frozen)
    """Return ``limits`` with the family of ``board``, and what it has where they state nothing.

    The clock is the oscillator's where none is given, as that of `convexon.flow.board.build` is.

    Raises
    ------
    InputError
        If there is no such board, or its vendor's tool builds for it.
    """
    board = board_of(board) if isinstance(board, str) else board
    part = board.open_part
    most = max(1, round(part.family.usable * part.lut_sites) - LINK_LUTS)
    blocks = part.block_rams - LINK_BLOCKS
    return replace(
        limits,
        family=part.family,
        luts=most if limits.luts is None else limits.luts,
        block_rams=blocks if limits.block_rams is None else limits.block_rams,
        clock_hz=board.oscillator_mhz * 1e6 if limits.clock_hz is None else limits.clock_hz,
    )
