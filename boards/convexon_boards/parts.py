"""Parts that a design can be placed and routed on."""

from __future__ import annotations

from dataclasses import dataclass

from convexon.errors import InputError
from convexon.plan.cost.cells import Family


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part, and how the tools are told of it.

    Members
    -------
    name : str
    family : Family
    options : tuple of str
        Options of nextpnr for the part, package and speed grade.
    logic : str
        nextpnr's name for the sites that hold LUT4s.
    lut_sites, block_rams : int
        What a user of the part has of either.
    pack : tuple of str
        Options of the tool that makes the bitstream.
    device : str
        Name of the part for a PLL that must be told, as Gowin's.
    """

    name: str
    family: Family
    options: tuple[str, ...]
    logic: str
    lut_sites: int
    block_rams: int
    pack: tuple[str, ...] = ()
    device: str = ""


_ECP5_SIZES = {12: (12_000, 32), 25: (24_288, 56), 85: (83_640, 208)}
"""LUT4 sites and block RAMs, as the tools count them; of the 12F, what is sold."""


def _ecp5(size: int) -> Part:
    # No pads are placed, so that nothing depends on the package: the two share this one.
    options = (f"--{size}k", "--package", "CABGA381", "--speed", "6", "--out-of-context")
    luts, blocks = _ECP5_SIZES[size]
    return Part(
        name=f"LFE5U-{size}F-6",
        family=Family.ECP5,
        options=options,
        logic="TRELLIS_COMB",
        lut_sites=luts,
        block_rams=blocks,
    )


LFE5U_25F = _ecp5(25)
LFE5U_85F = _ecp5(85)
ICE40UP5K = Part(
    name="iCE40UP5K-SG48",
    family=Family.ICE40,
    options=("--up5k", "--package", "sg48"),
    logic="ICESTORM_LC",
    lut_sites=5_280,
    block_rams=30,
)
ICE40HX8K = Part(
    name="iCE40HX8K-CT256",
    family=Family.ICE40,
    options=("--hx8k", "--package", "ct256"),
    logic="ICESTORM_LC",
    lut_sites=7_680,
    block_rams=32,
)

PARTS = {part.name: part for part in (LFE5U_25F, LFE5U_85F, ICE40UP5K)}
"""By name, those on which a design is routed without a board; ECP5 in its slowest speed grade."""

_IDCODE_12F = "0x21111043"
"""A 12F is a 25F with half of its LUTs left unsold, under another number."""


def packaged_ecp5(size: int, package: str, speed: int) -> Part:
    """Return an ECP5 part as it is on a board, with its pads."""
    luts, blocks = _ECP5_SIZES[size]
    return Part(
        name=f"LFE5U-{size}F-{speed}{package}",
        family=Family.ECP5,
        options=(f"--{size}k", "--package", package, "--speed", str(speed)),
        logic="TRELLIS_COMB",
        lut_sites=luts,
        block_rams=blocks,
        pack=("--compress", *(("--idcode", _IDCODE_12F) if size == 12 else ())),
    )


def gowin(name: str, chip: str, device: str, lut_sites: int, block_rams: int) -> Part:
    """Return a Gowin part: ``chip`` is what the open tools call its die."""
    return Part(
        name=name,
        family=Family.GOWIN,
        options=("--device", name, "--vopt", f"family={chip}"),
        logic="LUT4",
        lut_sites=lut_sites,
        block_rams=block_rams,
        pack=("-d", chip, "--sspi_as_gpio", "--mspi_as_gpio"),
        device=device,
    )


def part_of(name: str) -> Part:
    """Return the part ``name``; `InputError` if there is none."""
    if name not in PARTS:
        raise InputError(f"part must be one of {', '.join(PARTS)}, not {name!r}")
    return PARTS[name]
