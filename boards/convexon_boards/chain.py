"""Stage ``synthesize``: the bundle's cells on ECP5, from Yosys."""

from __future__ import annotations

import time
from dataclasses import dataclass

from convexon.cells import CELLS, CellReport
from convexon.chain.progress import QUIET, Progress
from convexon.run import Made, RunFolder
from convexon_boards.synthesis import FLOW_VERSION, synthesize_ecp5
from convexon_hdl import yosys


@dataclass(frozen=True, eq=False, kw_only=True)
class SynthesizeResult:
    """What the stage counted."""

    cells: Made[CellReport]

    @property
    def summary(self) -> str:
        """The line with the figures that matter."""
        c = self.cells.value
        return f"synthesize: ECP5, {c.lut4} LUT4, {c.carry} CCU2C, {c.ff} FF ({c.tool})"


def synthesize_stage(folder: RunFolder, progress: Progress = QUIET) -> SynthesizeResult:
    """Synthesize the bundle of ``folder`` for ECP5, out of context, and count the cells.

    Raises
    ------
    ArtefactError
        If there is no sound bundle.
    ToolError
        If Yosys is missing or fails.
    """
    bundle = folder.bundle()

    def compute() -> CellReport:
        began = time.monotonic()
        progress.begin("synthesizing for ECP5")
        report = synthesize_ecp5(bundle.value)
        folder.time("synthesize", time.monotonic() - began)
        return report

    cells = folder.made(
        "cells",
        CELLS,
        compute,
        parents={"rtl": bundle},
        recipe={"family": "ecp5", "flow": FLOW_VERSION, "yosys": yosys.version()},
    )
    return SynthesizeResult(cells=cells)
