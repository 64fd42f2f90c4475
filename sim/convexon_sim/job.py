"""What the runner hands to the simulator's process, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from convexon.errors import InputError

JOB_VARIABLE = "CONVEXON_JOB"
"""Environment variable that names the job's file inside the simulator."""


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
        Samples that are first sent in part, cut off by a reset, and then sent again.
    seed : int
        Of the bench's own random generator.

    Raises
    ------
    InputError
        If a probability lies outside 0..0.95, where a run would hardly move.
    """

    idle: float = 0.0
    back_pressure: float = 0.0
    resets: tuple[int, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("idle", "back_pressure"):
            value = getattr(self, name)
            if not 0.0 <= value <= 0.95:
                raise InputError(f"{name} must be a probability in 0..0.95, not {value!r}")

    @property
    def is_smooth(self) -> bool:
        """Whether nothing ever stalls, so that cycle counts must equal the schedule."""
        return not (self.idle or self.back_pressure or self.resets)

    def to_json(self) -> dict[str, Any]:
        """Return the members as JSON."""
        return {**asdict(self), "resets": list(self.resets)}


SMOOTH = Traffic()
"""A source that is never idle and a sink that is always ready."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of the bench, as files: the only way in for the simulator's process.

    Members
    -------
    ports, inputs, expected : Path
        ports.json, the inputs (npy), and the golden model's trace.
    actual, outcome : Path
        Where the bench writes the trace that it saw, and its verdict.
    n_steps, latency_cycles, interval_cycles : int
        Steps of an inference, and the cycles that the schedule promises.
    traffic : Traffic
    """

    ports: Path
    inputs: Path
    expected: Path
    actual: Path
    outcome: Path
    n_steps: int
    latency_cycles: int
    interval_cycles: int
    traffic: Traffic = field(default_factory=Traffic)

    def to_json(self) -> dict[str, Any]:
        """Return the job as JSON."""
        content: dict[str, Any] = {
            name: str(value) if isinstance(value, Path) else value
            for name, value in vars(self).items()
        }
        return {**content, "traffic": self.traffic.to_json()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Job:
        """Inverse of `to_json`."""
        traffic = content["traffic"]
        paths = ("ports", "inputs", "expected", "actual", "outcome")
        return cls(
            **{name: Path(content[name]) for name in paths},
            n_steps=content["n_steps"],
            latency_cycles=content["latency_cycles"],
            interval_cycles=content["interval_cycles"],
            traffic=Traffic(**{**traffic, "resets": tuple(traffic["resets"])}),
        )
