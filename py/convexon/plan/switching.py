"""How often the nets of a netlist switch: counted in a simulation of its gates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Watch:
    """A netlist that a simulator is to run, and what it is to count there."""

    verilog: str  # the netlist with the models of its cells
    top: str  # its module
    ports: Mapping[str, Any]  # streams, clock and reset, as ports.json has them
    port: str  # output that shows the nets
    n_nets: int  # its width
    # Groups of nets: clocks at which all of a group are high are counted; an empty group is high at
    # every clock.
    together: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Switching:
    """What was counted from the clock that takes the first sample to the one of the last result.

    Counts are of settled values, one a clock: a glitch within a clock is not seen.

    Raises `InputError` if there is no sample, or a net toggles more often than there are clocks.
    """

    clocks: int  # clocks of the run, back to back
    samples: int
    toggles: IntArray  # (nets,), changes of each net
    highs: IntArray  # (groups,), clocks at which each group was high

    def __post_init__(self) -> None:
        if self.samples < 1 or self.clocks < 1:
            raise InputError("switching must be of at least 1 sample and 1 clock")
        for name in ("toggles", "highs"):
            counts = getattr(self, name)
            if counts.size and not 0 <= counts.min() <= counts.max() <= self.clocks:
                raise InputError(f"{name} must be at most one a clock, {self.clocks} in all")
