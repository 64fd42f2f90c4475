"""What place and route, and a build for a board, came to."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.plan.cost.resources import CellReport
from convexon.store.codec import Codec, Json
from convexon.store.untrusted import FILE_NAME, Amount, Count


@dataclass(frozen=True, kw_only=True)
class CriticalPath:
    """The slowest path between two registers.

    Members
    -------
    start, end : cells at its ends
    logic_ns, routing_ns : delay in cells, setup included, and in wires
    cells : cells that it passes
    """

    start: str
    end: str
    logic_ns: Amount
    routing_ns: Amount
    cells: Count


@dataclass(frozen=True, kw_only=True)
class Route:
    """One placed and routed design.

    Members
    -------
    seed : of the placer
    fmax_mhz : highest clock by static timing analysis
    used : sites of the part in use, by type, those of the registers at the ports included
    """

    seed: Count
    fmax_mhz: Amount
    used: Mapping[str, Count]
    critical_path: CriticalPath


@dataclass(frozen=True, kw_only=True)
class RouteReport:
    """A design that was placed and routed with several seeds.

    Members
    -------
    target_mhz : clock that the placer worked towards
    available : sites of the part, by type
    routes : one for each seed
    tools : versions of all tools

    Raises
    ------
    InputError
        If there is no route.
    """

    part: str
    target_mhz: Amount
    available: Mapping[str, Count]
    routes: tuple[Route, ...]
    tools: Mapping[str, str]

    def __post_init__(self) -> None:
        if not self.routes:
            raise InputError("routes must hold at least one route, not none")

    @property
    def median_fmax_mhz(self) -> float:
        """Median of the highest clocks over the seeds."""
        return statistics.median(route.fmax_mhz for route in self.routes)


@dataclass(frozen=True, eq=False, kw_only=True)
class Build:
    """A design that was built for a board.

    Members
    -------
    clock_mhz : clock that the design runs at
    line : ``spi``, or ``uart/`` and the clocks of a bit
    cells : of the whole design, its link included
    routes : of all seeds
    seed : seed of the route that was kept
    bitstream : uint8 array, shape (bytes,)
    suffix : ending of the bitstream's file name

    Raises
    ------
    InputError
        If no route has the seed.
    """

    board: str
    clock_mhz: Amount
    line: str
    cells: CellReport
    routes: RouteReport
    seed: int
    bitstream: npt.NDArray[np.uint8]
    suffix: Annotated[str, FILE_NAME]

    def __post_init__(self) -> None:
        if self.seed not in [route.seed for route in self.routes.routes]:
            raise InputError(f"seed must be one of the routes', not {self.seed!r}")

    @property
    def route(self) -> Route:
        """The route that was kept."""
        return next(route for route in self.routes.routes if route.seed == self.seed)

    @property
    def tools(self) -> Mapping[str, str]:
        """Versions of all tools."""
        return self.routes.tools

    @property
    def content(self) -> bytes:
        """Bytes of the bitstream."""
        return self.bitstream.tobytes()

    @property
    def bitstream_digest(self) -> str:
        """Return ``sha256:`` and the hash of the bitstream."""
        return "sha256:" + hashlib.sha256(self.content).hexdigest()


def _digest(build: Build) -> Json:
    """Hash of the bitstream, for readers of the file."""
    return {"bitstream_digest": build.bitstream_digest}


BUILD: Codec[Build] = Codec(Build, "convexon.build", 3, derived=_digest, made_by="convexon build")
"""File form of a `Build`."""
