"""Pricing by best of N random witnesses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convexon.convex.pricing.oracle import Proposal, best_columns
from convexon.convex.pricing.site import PricingProblem, Site
from convexon.convex.witness import draw_layer
from convexon.errors import InputError


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
        if self.n_drawn < 1:
            raise InputError(f"n_drawn must be at least 1, not {self.n_drawn!r}")

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"best of {self.n_drawn} random"

    def propose(
        self, problem: PricingProblem, site: Site, generator: np.random.Generator
    ) -> Proposal:
        """See `convexon.convex.pricing.oracle.Oracle`."""
        layer = draw_layer(
            site.family,
            site.signal,
            site.sample_labels,
            reach=site.reach,
            n_neurons=self.n_drawn,
            generator=generator,
        )
        features = site.features(layer)
        ratios = problem.ratios(site, layer, features)
        chosen = best_columns(site, features, ratios, problem.n_wanted)
        kept = layer.restricted(np.array(chosen), np.arange(layer.n_inputs))
        return Proposal(layer=kept, largest_ratio=None, n_seen=self.n_drawn)
