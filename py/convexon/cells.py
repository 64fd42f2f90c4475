"""Cells of a synthesized design: what a synthesis counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from convexon.artefact import Arrays, Codec, Json


@dataclass(frozen=True, kw_only=True)
class CellReport:
    """Cells of a netlist for ECP5, before placement.

    Members
    -------
    lut4 : int
        LUT4 cells.
    carry : int
        CCU2C cells. Each takes the place of two LUT4s besides: see ``lut4_sites``.
    wide_mux : int
        PFUMX and L6MUX21 cells, which join LUT4s and take the place of none.
    ff : int
        TRELLIS_FF cells.
    mult18, dp16kd : int
        Multipliers and block memories; a spatial mapping has none.
    raw : mapping of str to int
        Every cell type that Yosys counted.
    tool : str
        Name and version of the tool.
    """

    lut4: int
    carry: int
    wide_mux: int
    ff: int
    mult18: int
    dp16kd: int
    raw: Mapping[str, int]
    tool: str

    @property
    def lut4_sites(self) -> int:
        """LUT4s of the part that are in use: the LUT4 cells, and two for each CCU2C."""
        return self.lut4 + 2 * self.carry


def _encode(report: CellReport) -> tuple[Json, Arrays]:
    return {**vars(report), "raw": dict(report.raw)}, {}


def _decode(content: Json, _: Arrays) -> CellReport:
    return CellReport(**content)


CELLS: Codec[CellReport] = Codec("convexon.cells", 1, _encode, _decode)
"""File form of a `CellReport`."""
