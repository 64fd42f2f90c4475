"""What people ask of a board: where a network is to stand, and how it is built."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from convexon.link.transport import SerialLine
from convexon.plan.cost.budget import Budget, Limits
from convexon.plan.family import Family
from convexon.plan.mapping import MAX_LANES, Style
from convexon.settings import Settings, setting
from convexon_boards.capacity import budget_of


@dataclass(frozen=True, kw_only=True)
class Placement(Settings):
    """Where a network is to stand."""

    mapping: Style = setting(Style.ANY, "Where layers may stand.")
    lanes: int | None = setting(None, "Lanes of folded layers.", least=1, most=MAX_LANES)
    family: Family | None = setting(None, "Family of parts; ecp5 where no board is given.")
    board: str | None = setting(None, "Board to fit: its part, less the link, and its clock.")

    def budget(self, limits: Limits) -> Budget:
        """Return what a mapping may use; a board's family is its own.

        Raises
        ------
        InputError
            If there is no such board, or open tools do not build for it.
        """
        stated = replace(limits.budget, style=self.mapping, lanes=self.lanes)
        if self.board is not None:
            return budget_of(self.board, stated)
        return replace(stated, family=self.family or Family.ECP5)


class LinkKind(Enum):
    """How the host is linked to a board."""

    UART = "uart"
    SPI = "spi"


@dataclass(frozen=True, kw_only=True)
class BuildOptions(SerialLine):
    """What a build for a board is asked for."""

    freq: float | None = setting(
        None, "Clock in MHz, made by the part's PLL; the oscillator's by default.", above=0
    )
    seeds: int = setting(1, "Runs of the placer, side by side; the fastest is kept.", least=1)
    link: LinkKind = setting(LinkKind.UART, "How the host is linked.")

    @property
    def placer_seeds(self) -> tuple[int, ...]:
        """The seed of each run."""
        return tuple(range(1, self.seeds + 1))
