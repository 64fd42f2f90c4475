"""Pricing among neurons that are given, such as those of a surrogate-trained network (SG-CVX)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convexon.errors import InputError
from convexon.snn.network import Layer
from convexon.train.pricing.oracle import Effort, Proposal, proposed
from convexon.train.pricing.site import PricingProblem, Site


@dataclass(frozen=True, eq=False, kw_only=True)
class GivenNeurons:
    """Prices the neurons of a layer, all of them: exact over this layer.

    Members
    -------
    layer : Layer
        Neurons of the site's family.
    """

    layer: Layer

    @classmethod
    def of(cls, effort: Effort) -> GivenNeurons:
        """Return the oracle of the neurons that the effort gives.

        Raises
        ------
        InputError
            If it gives none.
        """
        if effort.given is None:
            raise InputError("given must be the neurons to price, not None")
        return cls(layer=effort.given)

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"{self.layer.n_neurons} given neurons"

    def propose(
        self, problem: PricingProblem, site: Site, generator: np.random.Generator
    ) -> Proposal:
        """See `convexon.train.pricing.oracle.Oracle`.

        Raises
        ------
        InputError
            If the layer does not read what the site offers, or its neurons are not of the family.
        """
        kind = (self.layer.leak, self.layer.reset, self.layer.saturation)
        lateral = self.layer.recurrent is not None or self.layer.biases.any()
        if kind != (site.family.leak, site.family.reset, None) or lateral:
            raise InputError(
                f"layer must have leak and reset of site {site.name}, no biases and no lateral "
                "weights: its neurons would be others there"
            )
        if self.layer.n_inputs != site.n_inputs:
            raise InputError(
                f"layer must read the {site.n_inputs} inputs of site {site.name}, "
                f"not {self.layer.n_inputs}"
            )
        return proposed(problem, site, self.layer, n_seen=self.layer.n_neurons, exact=True)
