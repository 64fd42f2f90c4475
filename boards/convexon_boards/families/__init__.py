"""The families of parts, and the vendors' tools: one object each."""

from __future__ import annotations

from convexon.errors import InputError
from convexon.plan.family import Family
from convexon_boards.board import Board, Part, Vendor
from convexon_boards.families.ecp5 import ECP5
from convexon_boards.families.gowin import GOWIN
from convexon_boards.families.ice40 import ICE40
from convexon_boards.families.quartus import QUARTUS
from convexon_boards.families.vivado import VIVADO
from convexon_boards.toolchain import Toolchain, VendorTool

TOOLCHAINS: dict[Family, Toolchain] = {tools.family: tools for tools in (ECP5, ICE40, GOWIN)}
VENDOR_TOOLS: dict[Vendor, VendorTool] = {tool.vendor: tool for tool in (VIVADO, QUARTUS)}


def tools_of(board: Board) -> Toolchain | VendorTool:
    """Return what builds for ``board``."""
    if board.vendor is not None:
        return VENDOR_TOOLS[board.vendor]
    return TOOLCHAINS[board.open_part.family]


def part_of(name: str) -> Part:
    """Return the part ``name``, as its maker calls it; `InputError` if open tools know none.

    An ECP5 may be named without its package: then a design is placed without pads.
    """
    for tools in TOOLCHAINS.values():
        part = tools.part(name)
        if part is not None:
            return part
    known = ", ".join(tools.part_like for tools in TOOLCHAINS.values())
    raise InputError(f"part must be one that open tools know, such as {known}, not {name!r}")
