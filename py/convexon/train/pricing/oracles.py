"""The built-in oracles by name, and the two simplest of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convexon.errors import InputError, require_positive
from convexon.snn.network import Layer
from convexon.train.pricing.ascent import SurrogateAscent
from convexon.train.pricing.cells import CellPricing
from convexon.train.pricing.enumeration import Enumeration
from convexon.train.pricing.local import LocalSearch
from convexon.train.pricing.milp import MixedIntegerProgram
from convexon.train.pricing.oracle import (
    ORACLES as ORACLES,  # re-exported: complete once the built-in ones are here
)
from convexon.train.pricing.oracle import Proposal, candidates, proposed
from convexon.train.pricing.site import PricingProblem, Site
from convexon.train.pricing.windows import WindowPricing


@dataclass(frozen=True, kw_only=True)
class RandomDraws:
    """Draws witnesses of the site's family and keeps those that violate the most."""

    n_drawn: int = 2560

    def __post_init__(self) -> None:
        require_positive(n_drawn=self.n_drawn)

    @property
    def name(self) -> str:  # noqa: D102
        return f"best of {self.n_drawn} random"

    def propose(  # noqa: D102
        self, problem: PricingProblem, site: Site, generator: np.random.Generator
    ) -> Proposal:
        layer = candidates(site, self.n_drawn, generator)
        return proposed(problem, site, layer, n_seen=self.n_drawn)


class GivenNeurons:
    """Prices the neurons of a layer, such as a surrogate-trained one (SG-CVX): exact over these.

    It has no name in `ORACLES`: a setting could not say which neurons.
    """

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    @property
    def name(self) -> str:  # noqa: D102
        return f"{self.layer.n_neurons} given neurons"

    def propose(
        self, problem: PricingProblem, site: Site, generator: np.random.Generator
    ) -> Proposal:
        """See `Oracle`; `InputError` if the neurons could not stand on the site."""
        layer = self.layer
        kind = (layer.leak, layer.reset, layer.saturation, layer.synapse)
        members = (layer.recurrent, layer.leaks, layer.resets, layer.tables)
        others = any(member is not None for member in members) or layer.biases.any()
        if kind != (site.family.leak, site.family.reset, None, None) or others:
            raise InputError(
                f"layer must have leak and reset of site {site.name}, no biases, no lateral "
                "weights, resets, tables or synaptic current: its neurons would be others there"
            )
        if self.layer.n_inputs != site.n_inputs:
            raise InputError(
                f"layer must read the {site.n_inputs} inputs of site {site.name}, "
                f"not {self.layer.n_inputs}"
            )
        return proposed(problem, site, self.layer, n_seen=self.layer.n_neurons, exact=True)


ORACLES.add("local", LocalSearch)
ORACLES.add("random", RandomDraws)
ORACLES.add("ascent", SurrogateAscent)
ORACLES.add("milp", MixedIntegerProgram)
ORACLES.add("enumeration", Enumeration)
ORACLES.add("windows", WindowPricing)
ORACLES.add("cells", CellPricing)
