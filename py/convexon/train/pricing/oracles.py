"""The built-in oracles by name, and the one that a name and an effort ask for."""

from __future__ import annotations

from convexon.train.pricing.ascent import SurrogateAscent
from convexon.train.pricing.draw import RandomDraws
from convexon.train.pricing.enumeration import Enumeration
from convexon.train.pricing.given import GivenNeurons
from convexon.train.pricing.local import LocalSearch
from convexon.train.pricing.milp import MixedIntegerProgram
from convexon.train.pricing.oracle import ORACLES, Effort, Oracle

ORACLES.add("local", LocalSearch)
ORACLES.add("random", RandomDraws)
ORACLES.add("ascent", SurrogateAscent)
ORACLES.add("milp", MixedIntegerProgram)
ORACLES.add("enumeration", Enumeration)
ORACLES.add("given", GivenNeurons)


def oracle_names() -> tuple[str, ...]:
    """Return the names of all oracles."""
    return ORACLES.names


def oracle_for(name: str, effort: Effort | None = None) -> Oracle:
    """Return the oracle of this name, which may be one of another package.

    Raises
    ------
    InputError
        If there is no such oracle, or the effort lacks what it needs.
    """
    return ORACLES[name].of(effort or Effort())
