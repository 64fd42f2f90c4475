"""What was proved of an emitted network, in numbers: the artefact ``proofs`` of a run folder.

`convexon_hdl.formal` makes it; reports and benchmarks read it.
"""

from __future__ import annotations

from dataclasses import dataclass

from convexon.errors import MismatchError, require_counts
from convexon.store.codec import Codec
from convexon.store.untrusted import Count


@dataclass(frozen=True, kw_only=True)
class KindOfProof:
    """Obligations of one kind: those that were proved, all, and the proofs that they took."""

    kind: str
    passed: Count
    total: Count
    distinct: Count

    def __post_init__(self) -> None:
        require_counts(self, "passed", "total", "distinct")


@dataclass(frozen=True, kw_only=True)
class ProofReport:
    """All obligations of a network, by kind.

    ``failures`` say where an obligation was not proved, and why; ``left_to_simulation`` names what
    no obligation speaks of; ``keys`` are of what was proved, for the next time.
    """

    kinds: tuple[KindOfProof, ...]
    failures: tuple[str, ...] = ()
    left_to_simulation: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    @property
    def passed(self) -> int:
        """Obligations that were proved."""
        return sum(kind.passed for kind in self.kinds)

    @property
    def total(self) -> int:
        """All obligations."""
        return sum(kind.total for kind in self.kinds)

    def require_proved(self) -> None:
        """Raise `MismatchError` with the first obligation that was not proved."""
        if self.failures:
            raise MismatchError(
                f"{len(self.failures)} of {self.total} obligations are not proved; the first is "
                f"{self.failures[0]}"
            )


PROOFS: Codec[ProofReport] = Codec(ProofReport, "convexon.proofs", 2, made_by="convexon prove")
"""File form of a report."""
