"""LUTs and block RAMs of a design: as they are estimated, and as synthesis counts them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from convexon.errors import InputError, require_counts
from convexon.plan.family import Family
from convexon.store.codec import Codec
from convexon.store.untrusted import Amount, Count


@dataclass(frozen=True, kw_only=True)
class CellReport:
    """Cells of a netlist, before placement."""

    family: Family
    lut4: Count  # LUT4 cells (SB_LUT4 on iCE40, LUT1 to LUT4 on Gowin)
    # CCU2C cells, each of which takes the place of two LUT4s; SB_CARRY cells on iCE40, which stand
    # beside a LUT4; ALU cells on Gowin, each in the place of one.
    carry: Count
    wide_mux: (
        Count  # PFUMX, L6MUX21 and MUX2_LUT cells, which join LUT4s and take the place of none
    )
    ff: Count  # flip-flops
    lutram: Count  # LUT4 sites that serve as memory: four for each TRELLIS_DPR16X4 or RAM16SDP4
    mult18: Count  # MULT18X18D cells; on Gowin all multipliers
    # DP16KD (and PDPW16KD) blocks of 18 Kib on ECP5, SB_RAM40_4K of 4 Kib on iCE40, memories of 18
    # Kib on Gowin.
    block_ram: Count
    raw: Mapping[str, Count]  # every cell type that Yosys counted
    tool: str  # name and version of the tool
    lone_carry: Count = 0  # on iCE40, carries that share no logic cell with a LUT; 0 elsewhere

    def __post_init__(self) -> None:
        counts = ("lut4", "carry", "wide_mux", "ff", "lutram", "mult18", "block_ram", "lone_carry")
        require_counts(self, *counts)

    @property
    def lut4_sites(self) -> int:
        """LUT4s of the part that are in use, carries and memories of LUTs included."""
        carries = self.family.carry_sites * self.carry
        return self.lut4 + carries + self.lone_carry + self.lutram


CELLS: Codec[CellReport] = Codec(CellReport, "convexon.cells", 4, made_by="convexon report")
"""File form of a `CellReport`."""


@dataclass(frozen=True, kw_only=True)
class ResourceEstimate:
    """What an accelerator is estimated to take, without a link."""

    family: Family
    lut_sites: Count
    block_rams: Count
    # Shares by which LUT sites differed from synthesis, on designs that the fit has not seen:
    median_error: Amount
    usual_error: Amount  # in nine of ten
    max_error: Amount

    def __post_init__(self) -> None:
        errors = ("median_error", "usual_error", "max_error")
        require_counts(self, "lut_sites", "block_rams", *errors)

    def error(self, cells: CellReport) -> float:
        """Share by which the LUT sites differ from those that synthesis counted.

        Raises `InputError` if the cells are of another family, or there are none.
        """
        if cells.family is not self.family or not cells.lut4_sites:
            raise InputError(
                f"cells must be LUT4s of {self.family.value}, not {cells.lut4_sites} of "
                f"{cells.family.value}"
            )
        return self.lut_sites / cells.lut4_sites - 1


RESOURCES: Codec[ResourceEstimate] = Codec(
    ResourceEstimate, "convexon.resources", 2, made_by="convexon report"
)
"""File form of a `ResourceEstimate`."""
