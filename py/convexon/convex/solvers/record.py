"""What a solver reports while it runs, and what it may spend."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class GapRecord:
    """One point of the convergence plot: a gap over all columns that may be active.

    It is evaluated in plain float64; the certificate at the end also covers rounding.
    """

    iteration: int  # inner iterations so far
    seconds: float  # wall time since the solver started
    primal: float  # lowest objective so far
    dual: float  # best dual value so far
    gap: float  # their difference
    n_working: int  # columns in the working set
    n_screened: int = 0  # columns that were proved to be zero in every solution, and dropped


@dataclass
class Budget:
    """Iterations and seconds that may be spent, counted from construction."""

    max_iterations: int
    max_seconds: float | None = None
    iterations: int = 0
    stalled: bool = False
    """Set by a method that rounding, or a bad system, keeps from going on."""
    started: float = field(default_factory=time.perf_counter)

    def charge(self) -> None:
        """Count one iteration."""
        self.iterations += 1

    @property
    def seconds(self) -> float:
        """Wall time since construction."""
        return time.perf_counter() - self.started

    @property
    def spent(self) -> bool:
        """Whether the iterations or the seconds are used up, or nothing can be made of them."""
        late = self.max_seconds is not None and self.seconds >= self.max_seconds
        return late or self.stalled or self.iterations >= self.max_iterations
