"""What a bench is told to do: the traffic on the streams, and the job as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.settings import Settings, setting
from convexon.store.codec import Codec
from convexon.store.untrusted import Size

JOBS_VARIABLE = "CONVEXON_JOBS"
"""Environment variable that names the file of the jobs inside the simulator."""

RECORDS = "records.json"
"""Name of the file beside it that the bench leaves its records in."""

RESET_CLOCKS = 2
"""Clocks of the first reset."""

QUIET_CLOCKS = 16
"""Clocks to watch after the last result: nothing more may come."""


@dataclass(frozen=True, kw_only=True)
class Traffic(Settings):
    """How the bench treats the accelerator's streams.

    Members
    -------
    resets : samples that are first cut off by a reset, and then sent again
    reset_after : clocks from the first offer of each of ``resets`` to its reset, 1 or more; the
        source goes on offering until then. Empty: after a random part of the sample, at a random
        clock.

    Raises
    ------
    InputError
        If a probability is one under which a run would hardly move, or ``reset_after`` does not
        have a clock for each of ``resets``.
    """

    idle: float = setting(0.0, "Probability of an idle clock at the input.", least=0, most=0.95)
    back_pressure: float = setting(
        0.0, "Probability of a refused clock at the output.", least=0, most=0.95
    )
    seed: int = setting(0, "Seed of the traffic.", least=0)
    resets: tuple[int, ...] = ()
    reset_after: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reset_after and len(self.reset_after) != len(self.resets):
            raise InputError(
                f"reset_after must be empty or as long as the {len(self.resets)} resets, "
                f"not {len(self.reset_after)}"
            )
        if any(clocks < 1 for clocks in self.reset_after):
            raise InputError(f"reset_after must be 1 clock or more, not {min(self.reset_after)}")

    @property
    def is_smooth(self) -> bool:
        """Whether nothing ever stalls, so that cycle counts must equal the schedule."""
        return not (self.idle or self.back_pressure or self.resets)


SMOOTH = Traffic()
"""A source that is never idle and a sink that is always ready."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Job:
    """One run of the bench.

    Members
    -------
    ports : content of ports.json
    inputs : uint8 array, shape (samples, transfers, inputs)
    n_steps, per_sample : steps and results of a sample
    slowest : clocks that no sample should exceed in a run that never stalls
    image : weights that the bench loads after the first reset, where they are loaded at run time
    scope, design : instances from the top module down to the one whose signals are named as the
        ports, and to the accelerator itself. Both are empty where the accelerator is the top.
    """

    ports: Mapping[str, Any]
    inputs: npt.NDArray[np.uint8]
    n_steps: Size
    per_sample: Size
    slowest: Size
    image: bytes | None
    scope: tuple[str, ...]
    design: tuple[str, ...]
    traffic: Traffic


def clock_limit(results: int, *, per_sample: int, slowest: int, traffic: Traffic) -> int:
    """Return a generous limit of the clocks in which some results must come.

    ``per_sample`` results make a sample, and none takes longer than ``slowest`` clocks without
    stalls.
    """
    work = (-(-results // per_sample) + 1) * slowest + QUIET_CLOCKS
    return int(work * 4 / ((1 - traffic.idle) * (1 - traffic.back_pressure))) + 1000


JOBS: Codec[tuple[Job, ...]] = Codec(tuple[Job, ...], "convexon.jobs", 1)
"""File form of what a bench is told to do."""
