"""What the tools read beside a design's Verilog: constraints, or a vendor's whole project."""

from __future__ import annotations

from convexon.errors import InputError
from convexon_boards.design.top import TOP, Design
from convexon_boards.families import TOOLCHAINS, VENDOR_TOOLS
from convexon_boards.toolchain import VendorTool
from convexon_boards.tools.nextpnr import Constraints


def constraints_of(design: Design) -> Constraints:
    """Return the constraints for nextpnr; `InputError` if the board needs its vendor's tool."""
    tools = TOOLCHAINS[design.board.open_part.family]
    text = tools.constraints(design.board, design.ports)
    return Constraints(tools.constraints_file, text, tools.constraints_options)


def files_of(design: Design) -> dict[str, str]:
    """Return all files of the vendor's project, by name.

    Raises
    ------
    InputError
        If open tools build for the board.
    """
    made = _tool(design).project(design.board, design.ports, TOP, tuple(design.files))
    return {**design.files, **made}


def command_of(design: Design) -> str:
    """Return the command that builds the vendor's project, in its folder."""
    return _tool(design).command


def _tool(design: Design) -> VendorTool:
    if design.board.vendor is None:
        raise InputError(
            f"board {design.board.name} must be built with open tools: it has no project"
        )
    return VENDOR_TOOLS[design.board.vendor]
