"""Stages ``synthesize`` and ``route``: the bundle's cells and clock on a real part."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from convexon.cells import CELLS, ROUTES, CellReport, Family, RouteReport
from convexon.chain.progress import QUIET, Progress
from convexon.run import Made, RunFolder
from convexon_boards import nextpnr
from convexon_boards.flows import FLOW_VERSION
from convexon_boards.parts import LFE5U_25F, Part
from convexon_boards.synthesis import synthesize
from convexon_hdl import yosys

_NAMES = {Family.ECP5: "ECP5", Family.ICE40: "iCE40"}
_CARRIES = {Family.ECP5: "CCU2C", Family.ICE40: "SB_CARRY"}


@dataclass(frozen=True, eq=False, kw_only=True)
class SynthesizeResult:
    """What the stage counted."""

    cells: Made[CellReport]

    @property
    def summary(self) -> str:
        """The line with the figures that matter."""
        c = self.cells.value
        memory = f", {c.block_ram} block RAM" if c.block_ram else ""
        return (
            f"synthesize: {_NAMES[c.family]}, {c.lut4} LUT4, {c.carry} {_CARRIES[c.family]}, "
            f"{c.ff} FF{memory} ({c.tool})"
        )


def synthesize_stage(
    folder: RunFolder, progress: Progress = QUIET, *, family: Family = Family.ECP5
) -> SynthesizeResult:
    """Synthesize the bundle of ``folder`` for ``family``, out of context, and count the cells.

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
        progress.begin(f"synthesizing for {_NAMES[family]}")
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
    return SynthesizeResult(cells=cells)


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
    folder: RunFolder,
    progress: Progress = QUIET,
    *,
    part: Part = LFE5U_25F,
    target_mhz: float = 100.0,
    seeds: Sequence[int] = (1,),
) -> RouteResult:
    """Place and route the bundle of ``folder`` on ``part``, as `convexon_boards.nextpnr.route`.

    Raises
    ------
    ArtefactError
        If there is no sound bundle.
    ConvexonError
        As `convexon_boards.nextpnr.route` does.
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
            "nextpnr": nextpnr.version(part.family),
        },
    )
    return RouteResult(routes=routes)
