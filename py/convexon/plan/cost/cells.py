"""Cells and clock of a design on a real part: what synthesis, and place and route, found."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from convexon.errors import InputError
from convexon.store.codec import Codec


class Family(Enum):
    """A family of parts that open tools place and route.

    ``ECP5``: Lattice ECP5, LUT4s with carry chains of two bits a cell. ``ICE40``: Lattice iCE40,
    whose logic cell has a LUT4, a carry and a flip-flop. ``GOWIN``: Gowin GW1N and GW2A, LUT4s of
    which each may be a bit of a carry chain instead.
    """

    ECP5 = "ecp5"
    ICE40 = "ice40"
    GOWIN = "gowin"


@dataclass(frozen=True, kw_only=True)
class CellReport:
    """Cells of a netlist, before placement.

    Members
    -------
    family : Family
    lut4 : int
        LUT4 cells (SB_LUT4 on iCE40, LUT1 to LUT4 on Gowin).
    carry : int
        CCU2C cells, each of which takes the place of two LUT4s; SB_CARRY cells on iCE40, which
        stand beside a LUT4; ALU cells on Gowin, each in the place of one.
    wide_mux : int
        PFUMX, L6MUX21 and MUX2_LUT cells, which join LUT4s and take the place of none.
    ff : int
        Flip-flops.
    lutram : int
        LUT4 sites that serve as memory: four for each TRELLIS_DPR16X4 or RAM16SDP4.
    mult18 : int
        MULT18X18D cells; on Gowin all multipliers.
    block_ram : int
        DP16KD (and PDPW16KD) blocks of 18 Kib on ECP5, SB_RAM40_4K of 4 Kib on iCE40, memories of
        18 Kib on Gowin.
    raw : mapping of str to int
        Every cell type that Yosys counted.
    tool : str
        Name and version of the tool.
    lone_carry : int
        On iCE40, carries that share no logic cell with a LUT; 0 elsewhere.
    """

    family: Family
    lut4: int
    carry: int
    wide_mux: int
    ff: int
    lutram: int
    mult18: int
    block_ram: int
    raw: Mapping[str, int]
    tool: str
    lone_carry: int = 0

    @property
    def lut4_sites(self) -> int:
        """LUT4s of the part that are in use, carries and memories of LUTs included."""
        per_carry = {Family.ECP5: 2, Family.ICE40: 0, Family.GOWIN: 1}[self.family]
        return self.lut4 + per_carry * self.carry + self.lone_carry + self.lutram


CELLS: Codec[CellReport] = Codec(CellReport, "convexon.cells", 4, made_by="convexon report")
"""File form of a `CellReport`."""


@dataclass(frozen=True, kw_only=True)
class CriticalPath:
    """The slowest path between two registers.

    Members
    -------
    start, end : str
        Cells at its ends.
    logic_ns, routing_ns : float
        Delay in cells, setup included, and in wires.
    cells : int
        Cells that it passes.
    """

    start: str
    end: str
    logic_ns: float
    routing_ns: float
    cells: int


@dataclass(frozen=True, kw_only=True)
class Route:
    """One placed and routed design.

    Members
    -------
    seed : int
        Of the placer.
    fmax_mhz : float
        Highest clock by static timing analysis.
    used : mapping of str to int
        Sites of the part in use, by type, those of the registers at the ports included.
    critical_path : CriticalPath
    """

    seed: int
    fmax_mhz: float
    used: Mapping[str, int]
    critical_path: CriticalPath


@dataclass(frozen=True, kw_only=True)
class RouteReport:
    """A design that was placed and routed with several seeds.

    Members
    -------
    part : str
    target_mhz : float
        Clock that the placer worked towards.
    available : mapping of str to int
        Sites of the part, by type.
    routes : tuple of Route
        One for each seed.
    tools : mapping of str to str
        Versions of all tools.

    Raises
    ------
    InputError
        If there is no route.
    """

    part: str
    target_mhz: float
    available: Mapping[str, int]
    routes: tuple[Route, ...]
    tools: Mapping[str, str]

    def __post_init__(self) -> None:
        if not self.routes:
            raise InputError("routes must hold at least one route, not none")

    @property
    def median_fmax_mhz(self) -> float:
        """Median of the highest clocks over the seeds."""
        return statistics.median(route.fmax_mhz for route in self.routes)


ROUTES: Codec[RouteReport] = Codec(RouteReport, "convexon.routes", 2, made_by="convexon build")
"""File form of a `RouteReport`."""
