"""Pricing among neurons that are given, such as those of a surrogate-trained network (SG-CVX)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convexon.convex.pricing.oracle import Proposal, best_columns
from convexon.convex.pricing.site import PricingProblem, Site
from convexon.errors import InputError
from convexon.network import Layer


@dataclass(frozen=True, eq=False, kw_only=True)
class GivenNeurons:
    """Prices the neurons of a layer, all of them: exact over this layer.

    Members
    -------
    layer : Layer
        Neurons of the site's family.
    """

    layer: Layer

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"{self.layer.n_neurons} given neurons"

    def propose(
        self, problem: PricingProblem, site: Site, generator: np.random.Generator
    ) -> Proposal:
        """See `convexon.convex.pricing.oracle.Oracle`.

        Raises
        ------
        InputError
            If the layer does not read what the site offers.
        """
        if self.layer.n_inputs != site.n_inputs:
            raise InputError(
                f"layer must read the {site.n_inputs} inputs of site {site.name}, "
                f"not {self.layer.n_inputs}"
            )
        found = site.family.layer(self.layer.weights, self.layer.thresholds)
        features = site.features(found)
        ratios = problem.ratios(site, found, features)
        chosen = best_columns(site, features, ratios, problem.n_wanted)
        kept = found.restricted(np.array(chosen), np.arange(found.n_inputs))
        return Proposal(
            layer=kept,
            largest_ratio=float(ratios.max(initial=0.0)),
            n_seen=self.layer.n_neurons,
        )
