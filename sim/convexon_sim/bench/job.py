"""What the runner hands to the simulator's process, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from convexon.errors import InputError

JOB_VARIABLE = "CONVEXON_JOB"
"""Environment variable that names the order's file inside the simulator."""


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """How the bench treats the accelerator's streams.

    Members
    -------
    idle : float
        Probability that the source offers nothing in a clock.
    back_pressure : float
        Probability that the sink refuses in a clock.
    resets : tuple of int
        Samples that are first cut off by a reset, and then sent again.
    reset_after : tuple of int
        Clocks from the first offer of each of ``resets`` to its reset, 1 or more; the source goes
        on offering until then. Empty: after a random part of the sample, at a random clock.
    seed : int
        Of the bench's own random generator.

    Raises
    ------
    InputError
        If a probability lies outside 0..0.95, where a run would hardly move, or ``reset_after``
        does not have a clock for each of ``resets``.
    """

    idle: float = 0.0
    back_pressure: float = 0.0
    resets: tuple[int, ...] = ()
    reset_after: tuple[int, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("idle", "back_pressure"):
            value = getattr(self, name)
            if not 0.0 <= value <= 0.95:
                raise InputError(f"{name} must be a probability in 0..0.95, not {value!r}")
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

    def to_json(self) -> dict[str, Any]:
        """Return the members as JSON."""
        return {
            **asdict(self),
            "resets": list(self.resets),
            "reset_after": list(self.reset_after),
        }


SMOOTH = Traffic()
"""A source that is never idle and a sink that is always ready."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of the bench, as files: the only way in for the simulator's process.

    Members
    -------
    ports, inputs, expected, cycles : Path
        ports.json, the inputs (npy), the golden model's trace, and the cycles that the schedule
        promises (npz with ``taken`` and ``given``, as `convexon.plan.schedule.Cycles`).
    image : Path or None
        Weights that the bench loads after the first reset, where they are loaded at run time.
    actual : Path or None
        Where the bench writes the trace that it saw, if anywhere.
    scope, design : tuple of str
        Instances from the top module down to the one whose signals are named as the ports, and to
        the accelerator itself. Both are empty where the accelerator is the top.
    traffic : Traffic
    """

    ports: Path
    inputs: Path
    expected: Path
    cycles: Path
    image: Path | None = None
    actual: Path | None = None
    scope: tuple[str, ...] = ()
    design: tuple[str, ...] = ()
    traffic: Traffic = field(default_factory=Traffic)

    def to_json(self) -> dict[str, Any]:
        """Return the job as JSON."""
        return {
            **{name: str(getattr(self, name)) for name in _PATHS},
            "image": _text(self.image),
            "actual": _text(self.actual),
            "scope": list(self.scope),
            "design": list(self.design),
            "traffic": self.traffic.to_json(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Job:
        """Inverse of `to_json`."""
        traffic = content["traffic"]
        tuples = {name: tuple(traffic[name]) for name in ("resets", "reset_after")}
        return cls(
            **{name: Path(content[name]) for name in _PATHS},
            image=_path(content["image"]),
            actual=_path(content["actual"]),
            scope=tuple(content["scope"]),
            design=tuple(content["design"]),
            traffic=Traffic(**{**traffic, **tuples}),
        )


_PATHS = ("ports", "inputs", "expected", "cycles")
"""Files that every job reads."""


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


@dataclass(frozen=True, kw_only=True)
class Order:
    """What one simulation does: jobs one after the other, and one file for their outcomes.

    Members
    -------
    jobs : tuple of Job
    outcomes : Path
        Where the bench writes a list with the verdict of each job.
    """

    jobs: tuple[Job, ...]
    outcomes: Path

    def to_json(self) -> dict[str, Any]:
        """Return the order as JSON."""
        return {"jobs": [job.to_json() for job in self.jobs], "outcomes": str(self.outcomes)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Order:
        """Inverse of `to_json`."""
        jobs = tuple(Job.from_json(job) for job in content["jobs"])
        return cls(jobs=jobs, outcomes=Path(content["outcomes"]))
