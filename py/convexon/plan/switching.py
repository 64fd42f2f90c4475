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
    """A netlist that a simulator is to run, and what it is to count there.

    Members
    -------
    verilog, top : str
        The netlist with the models of its cells, and its module.
    ports : mapping
        Streams, clock and reset, as ports.json has them.
    port : str
        Output that shows the nets.
    n_nets : int
        Its width.
    together : tuple of tuple of int
        Groups of nets: clocks at which all of a group are high are counted; an empty group is high
        at every clock.
    """

    verilog: str
    top: str
    ports: Mapping[str, Any]
    port: str
    n_nets: int
    together: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Switching:
    """What was counted from the clock that takes the first sample to the one of the last result.

    Counts are of settled values, one a clock: a glitch within a clock is not seen.

    Members
    -------
    clocks : int
        Clocks of the run, back to back.
    samples : int
    toggles : int64 array, shape (nets,)
        Changes of each net.
    highs : int64 array, shape (groups,)
        Clocks at which each group was high.

    Raises
    ------
    InputError
        If there is no sample, or a net toggles more often than there are clocks.
    """

    clocks: int
    samples: int
    toggles: IntArray
    highs: IntArray

    def __post_init__(self) -> None:
        if self.samples < 1 or self.clocks < 1:
            raise InputError("switching must be of at least 1 sample and 1 clock")
        for name in ("toggles", "highs"):
            counts = getattr(self, name)
            if counts.size and not 0 <= counts.min() <= counts.max() <= self.clocks:
                raise InputError(f"{name} must be at most one a clock, {self.clocks} in all")
