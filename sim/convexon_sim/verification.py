"""The verdict of a simulation: how the hardware compares with the golden model."""

from __future__ import annotations

from dataclasses import dataclass

from convexon.errors import InputError, require_counts
from convexon.store.codec import Codec
from convexon.store.untrusted import Count


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Verdict of one simulation against the golden model.

    Members
    -------
    finished : whether the run came to its end and every sample was compared
    inferences : samples that came out whole and were compared: all of them if ``finished``
    mismatches : samples of them that differ anywhere: in a value, or, where nothing stalls, in
        cycles
    first : what kept the run from its end, if anything did, and the first difference; None when all
        is equal
    latency_cycles : all latencies that occurred, each once
    clocks : clocks simulated

    Raises
    ------
    InputError
        If more samples differ than were compared.
    """

    simulator: str
    version: str
    finished: bool
    inferences: Count
    mismatches: Count
    first: str | None
    latency_cycles: tuple[Count, ...]
    clocks: Count

    def __post_init__(self) -> None:
        require_counts(self, "inferences", "mismatches", "clocks")
        if self.mismatches > self.inferences:
            raise InputError(
                f"mismatches must be at most the {self.inferences} inferences, "
                f"not {self.mismatches}"
            )

    @property
    def passed(self) -> bool:
        """Whether every sample was compared, and every comparison was equal."""
        return self.finished and self.first is None and self.mismatches == 0 and self.inferences > 0


VERIFICATION: Codec[Verification] = Codec(
    Verification, "convexon.verification", 3, made_by="convexon verify"
)
"""File form of a `Verification`."""
