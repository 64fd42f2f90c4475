"""Energy of an inference on a part, by resource: what `convexon energy` states."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from convexon.errors import InputError
from convexon.plan.energy.technology import EnergyRange
from convexon.store.codec import Codec

NOTHING = EnergyRange(low=0.0, high=0.0)


@dataclass(frozen=True, kw_only=True)
class Constant:
    """A constant of an estimate: a range, and where it is from.

    Members
    -------
    low, high : float
    unit : str
    source : str
        Publication or measurement; ``assumed`` where there is none.
    derivation : str
        How the range came of the source.

    Raises
    ------
    InputError
        If the range is empty, negative or not finite, or there is no unit, source or derivation.
    """

    low: float
    high: float
    unit: str
    source: str
    derivation: str

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high < math.inf:
            raise InputError(f"constant must have 0 <= low <= high, not {self.low}, {self.high}")
        if not (self.unit and self.source and self.derivation):
            raise InputError("constant must have a unit, a source and a derivation")


@dataclass(frozen=True, kw_only=True)
class EnergyEstimate:
    """Energy of an inference, of many that follow one another without a pause.

    Members
    -------
    part : str
    clock_mhz : float
    samples : int
        Inferences that were simulated.
    clocks : float
        Mean clocks of an inference.
    toggles : float
        Mean toggles of an inference, of all nets.
    resources : mapping of str to EnergyRange
        Joules of an inference, by resource.

    Raises
    ------
    InputError
        If the clock, the samples or the clocks are not above 0.
    """

    part: str
    clock_mhz: float
    samples: int
    clocks: float
    toggles: float
    resources: Mapping[str, EnergyRange]

    def __post_init__(self) -> None:
        if not (self.clock_mhz > 0 and self.samples > 0 and self.clocks > 0):
            raise InputError("an energy must be of a clock, samples and clocks above 0")

    @property
    def total(self) -> EnergyRange:
        """Joules of an inference."""
        return sum(self.resources.values(), NOTHING)

    @property
    def seconds(self) -> float:
        """Mean time of an inference."""
        return self.clocks / (self.clock_mhz * 1e6)

    @property
    def power(self) -> EnergyRange:
        """Watts while inferences follow one another."""
        return self.total.scaled(1 / self.seconds)


ENERGY: Codec[EnergyEstimate] = Codec(
    EnergyEstimate, "convexon.energy", 2, made_by="convexon energy"
)
"""File form of an `EnergyEstimate`."""
