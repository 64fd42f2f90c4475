"""Stages ``synthesize`` and ``route``: the bundle's cells and clock on a real part."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from convexon.flow.emit import emitted
from convexon.flow.run import Made, Run
from convexon.plan.cost.mapping_cost import estimated_resources
from convexon.plan.cost.resource_model import resource_model
from convexon.plan.cost.resources import CELLS, RESOURCES, CellReport, ResourceEstimate
from convexon.plan.family import Family
from convexon.progress import QUIET, Progress
from convexon_boards.board import Part
from convexon_boards.built import ROUTES, RouteReport
from convexon_boards.families import TOOLCHAINS, part_of
from convexon_boards.tools import nextpnr
from convexon_boards.tools.synthesis import FLOW_VERSION, synthesize
from convexon_hdl.emit import yosys

DEFAULT_PART = part_of("LFE5U-25F-6")
"""ECP5 in its slowest speed grade."""


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


@dataclass(frozen=True, eq=False, kw_only=True)
class RouteResult:
    """What place and route reached."""

    routes: Made[RouteReport]

    @property
    def summary(self) -> str:
        """The line with the figures that matter."""
        r = self.routes.value
        seeds = f", median of {len(r.routes)} seeds" if len(r.routes) > 1 else ""
        return f"route: {r.part}, {r.median_fmax_mhz:.1f} MHz{seeds}"


def route_stage(
    folder: Run,
    progress: Progress = QUIET,
    *,
    part: Part = DEFAULT_PART,
    target_mhz: float = 100.0,
    seeds: Sequence[int] = (1,),
) -> RouteResult:
    """Place and route the bundle of ``folder`` on ``part`` (`convexon_boards.tools.nextpnr`).

    Raises
    ------
    ArtefactError
        If there is no sound bundle.
    ConvexonError
        As `convexon_boards.tools.nextpnr.route` does.
    """
    bundle = folder.bundle()

    def compute() -> RouteReport:
        began = time.monotonic()
        progress.begin(f"placing and routing on {part.name}")
        report = nextpnr.route(bundle.value, part, target_mhz=target_mhz, seeds=seeds)
        folder.time("route", time.monotonic() - began)
        return report

    routes = folder.made(
        "routes",
        ROUTES,
        compute,
        parents={"rtl": bundle},
        recipe={
            "part": part.name,
            "target_mhz": target_mhz,
            "seeds": list(seeds),
            "flow": FLOW_VERSION,
            "yosys": yosys.version(),
            "nextpnr": TOOLCHAINS[part.family].router.version,
        },
    )
    return RouteResult(routes=routes)
