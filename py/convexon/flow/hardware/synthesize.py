"""The bundle's cells on a family of parts, beside what was estimated."""

from __future__ import annotations

import time
from dataclasses import dataclass

from convexon.flow.hardware.emit import emitted
from convexon.flow.run import Made, Run
from convexon.plan.cost.mapping_cost import estimated_resources
from convexon.plan.cost.resource_model import resource_model
from convexon.plan.cost.resources import CELLS, RESOURCES, CellReport, ResourceEstimate
from convexon.plan.family import Family
from convexon.progress import QUIET, Progress
from convexon_boards.families import TOOLCHAINS
from convexon_boards.tools.synthesis import FLOW_VERSION, synthesize
from convexon_hdl.emit import yosys


@dataclass(frozen=True, eq=False, kw_only=True)
class SynthesizeResult:
    """What the stage counted, and what had been estimated."""

    cells: Made[CellReport]
    estimate: Made[ResourceEstimate]

    @property
    def summary(self) -> str:
        """The line with the figures that matter."""
        c = self.cells.value
        carries = next(k.names for k in TOOLCHAINS[c.family].cells if k.counts_as == "carry")
        memory = f", {c.block_ram} block RAM" if c.block_ram else ""
        sites = f"{c.lut4_sites} LUT sites ({self.estimate.value.lut_sites} estimated)"
        return (
            f"synthesize: {c.family.title}, {c.lut4} LUT4, {c.carry} {carries}, "
            f"{sites}, {c.ff} FF{memory} ({c.tool})"
        )


def synthesize_stage(
    folder: Run, progress: Progress = QUIET, *, family: Family = Family.ECP5
) -> SynthesizeResult:
    """Synthesize the bundle of ``folder`` for ``family``, out of context, and count the cells.

    What the mapping was estimated to take is kept beside.

    Raises
    ------
    ArtefactError
        If there is no sound bundle, or it is of another card or mapping.
    ToolError
        If Yosys is missing or fails.
    """
    design, bundle = emitted(folder)

    def estimate() -> ResourceEstimate:
        return estimated_resources(design.network, design.mapping, family)

    def compute() -> CellReport:
        began = time.monotonic()
        progress.begin(f"synthesizing for {family.title}")
        report = synthesize(bundle.value, family).cells
        folder.time("synthesize", time.monotonic() - began)
        return report

    cells = folder.made(
        "cells",
        CELLS,
        compute,
        parents={"rtl": bundle},
        recipe={"family": family.value, "flow": FLOW_VERSION, "yosys": yosys.version()},
    )
    resources = folder.made(
        "resources",
        RESOURCES,
        estimate,
        parents={"rtl": bundle},
        recipe={"family": family.value, "model": resource_model(family).digest},
    )
    return SynthesizeResult(cells=cells, estimate=resources)
