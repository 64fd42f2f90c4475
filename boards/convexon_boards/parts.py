"""Parts that a design can be placed and routed on."""

from __future__ import annotations

from dataclasses import dataclass

from convexon.cells import Family
from convexon.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part, and how nextpnr is told of it.

    Members
    -------
    name : str
    family : Family
    options : tuple of str
        Options of nextpnr for the part, package and speed grade.
    logic : str
        nextpnr's name for the sites that hold LUT4s.
    """

    name: str
    family: Family
    options: tuple[str, ...]
    logic: str


def _ecp5(size: int) -> Part:
    # No pads are placed, so that nothing depends on the package: the two share this one.
    options = (f"--{size}k", "--package", "CABGA381", "--speed", "6", "--out-of-context")
    return Part(name=f"LFE5U-{size}F-6", family=Family.ECP5, options=options, logic="TRELLIS_COMB")


LFE5U_25F = _ecp5(25)
LFE5U_85F = _ecp5(85)
ICE40UP5K = Part(
    name="iCE40UP5K-SG48",
    family=Family.ICE40,
    options=("--up5k", "--package", "sg48"),
    logic="ICESTORM_LC",
)

PARTS = {part.name: part for part in (LFE5U_25F, LFE5U_85F, ICE40UP5K)}
"""By name; ECP5 in its slowest speed grade."""


def part_of(name: str) -> Part:
    """Return the part ``name``; `InputError` if there is none."""
    if name not in PARTS:
        raise InputError(f"part must be one of {', '.join(PARTS)}, not {name!r}")
    return PARTS[name]
