"""The oracle that a name and an effort ask for."""

from __future__ import annotations

# Each of these modules registers its oracle.
import convexon.train.pricing.ascent
import convexon.train.pricing.draw
import convexon.train.pricing.enumeration
import convexon.train.pricing.given
import convexon.train.pricing.local
import convexon.train.pricing.milp  # noqa: F401
from convexon.train.pricing.oracle import ORACLES, Effort, Oracle


def oracle_for(name: str, effort: Effort | None = None) -> Oracle:
    """Return the oracle of this name.

    Parameters
    ----------
    name : str
        ``random``, ``local``, ``ascent``, ``milp``, ``enumeration``, ``given``, or one of another
        package.
    effort : Effort, optional

    Raises
    ------
    InputError
        If there is no such oracle, or the effort lacks what it needs.
    """
    return ORACLES[name].of(effort or Effort())
