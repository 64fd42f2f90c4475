"""What became of one claim."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A claim that was checked and holds, or that cannot be checked from the files at hand.

    Members
    -------
    claim : str
        Its name in the certificate.
    checked : bool
    detail : str
        What was checked, or why it cannot be.
    """

    claim: str
    checked: bool
    detail: str

    @classmethod
    def held(cls, claim: str, detail: str) -> Finding:
        """A claim that holds."""
        return cls(claim, True, detail)

    @classmethod
    def open(cls, claim: str, reason: str) -> Finding:
        """A claim that these files do not decide."""
        return cls(claim, False, reason)

    @property
    def line(self) -> str:
        """The finding in one line."""
        if self.checked:
            return f"checked: {self.claim}: {self.detail}"
        return f"not checkable here: {self.claim}, because {self.detail}"
