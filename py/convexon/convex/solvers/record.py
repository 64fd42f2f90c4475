"""What a solver reports while it runs, and what it may spend."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class GapRecord:
    """One point of the convergence plot: a gap over all columns that may be active.

    It is evaluated in plain float64; the certificate at the end also covers rounding.

    Members
    -------
    iteration
        Inner iterations so far.
    seconds
        Wall time since the solver started.
    primal, dual, gap
        Objective of the current weights, best dual value so far, and their difference.
    n_working
        Columns in the working set.
    n_screened
        Columns that were proved to be zero in every solution, and dropped.
    """

    iteration: int
    seconds: float
    primal: float
    dual: float
    gap: float
    n_working: int
    n_screened: int = 0


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
