"""A build for a board: the bitstream, and what the tools reported on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.plan.cost.cells import CellReport, Route, RouteReport
from convexon.store.codec import Codec, Json


@dataclass(frozen=True, eq=False, kw_only=True)
class Build:
    """A design that was built for a board.

    Members
    -------
    board : str
    clock_mhz : float
        Clock that the design runs at.
    line : str
        ``spi``, or ``uart/`` and the clocks of a bit.
    cells : CellReport
        Of the whole design, its link included.
    routes : RouteReport
        Of all seeds.
    seed : int
        Seed of the route that was kept.
    bitstream : uint8 array, shape (bytes,)
    suffix : str
        Ending of the bitstream's file name.

    Raises
    ------
    InputError
        If no route has the seed.
    """

    board: str
    clock_mhz: float
    line: str
    cells: CellReport
    routes: RouteReport
    seed: int
    bitstream: npt.NDArray[np.uint8]
    suffix: str

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
