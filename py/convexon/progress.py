"""How a stage reports its progress, without knowing whether anybody watches."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Something that shows how far a stage is."""

    def begin(self, what: str) -> None:
        """Say what is being done now."""

    def advance(self, detail: str) -> None:
        """Say how far it is."""


class Quiet:
    """Shows nothing."""

    def begin(self, what: str) -> None:
        """Ignore."""

    def advance(self, detail: str) -> None:
        """Ignore."""


QUIET = Quiet()
"""The progress of a call that nobody watches."""
