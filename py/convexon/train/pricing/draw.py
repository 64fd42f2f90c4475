"""Pricing by best of N random witnesses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convexon.errors import require_positive
from convexon.train.pricing.oracle import (
    Effort,
    Proposal,
    candidates,
    proposed,
)
from convexon.train.pricing.site import PricingProblem, Site


@dataclass(frozen=True, kw_only=True)
class RandomDraws:
    """Draws witnesses of the site's family and keeps those that violate the most.

    Members
    -------
    n_drawn : int
        N, positive.
    """

    n_drawn: int = 2000

    def __post_init__(self) -> None:
        require_positive(n_drawn=self.n_drawn)

    @classmethod
    def of(cls, effort: Effort) -> RandomDraws:
        """Return the oracle that looks at as many neurons as a search of this effort."""
        return cls(n_drawn=effort.n_candidates * effort.n_moves)

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"best of {self.n_drawn} random"

    def propose(
        self, problem: PricingProblem, site: Site, generator: np.random.Generator
    ) -> Proposal:
        """See `convexon.train.pricing.oracle.Oracle`."""
        layer = candidates(site, self.n_drawn, generator)
        return proposed(problem, site, layer, n_seen=self.n_drawn)
