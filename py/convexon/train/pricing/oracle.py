"""The interface of a pricing oracle, and what oracles have in common.

The certificate does not depend on where a column comes from, so an oracle may be as heuristic as it
likes; only one that has seen every column of its set says that it is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from convexon.snn.network import Layer
from convexon.train.columns.bits import BitColumns
from convexon.train.pricing.site import PricingProblem, Site
from convexon.train.witnesses.witness import draw_layer


@dataclass(frozen=True, eq=False, kw_only=True)
class Proposal:
    """Neurons that an oracle proposes for a site.

    Members
    -------
    layer : Layer
        The neurons.
    largest_ratio : float or None
        For an exact oracle the largest `PricingProblem.ratios` of any column of its set, those not
        proposed too; an upper bound on it. None for a heuristic one.
    n_seen : int
        Columns that were looked at.
    """

    layer: Layer | None
    largest_ratio: float | None
    n_seen: int


class Oracle(Protocol):
    """Finds neurons of a site whose columns violate the dual constraint."""

    @property
    def name(self) -> str:
        """What reports call it."""

    def propose(
        self, problem: PricingProblem, site: Site, generator: np.random.Generator
    ) -> Proposal:
        """Return neurons for ``site``, about ``problem.n_wanted`` of them, the best first."""


def candidates(site: Site, count: int, generator: np.random.Generator) -> Layer:
    """Draw ``count`` neurons of the site's family: where a heuristic search starts."""
    return draw_layer(
        site.family,
        site.signal,
        site.sample_labels,
        reach=site.reach,
        n_neurons=count,
        generator=generator,
    )


def proposed(
    problem: PricingProblem, site: Site, layer: Layer, *, n_seen: int, exact: bool = False
) -> Proposal:
    """Return the best neurons of ``layer`` as a proposal, each pattern once, the best first.

    With ``exact`` these neurons are the whole set that was to be priced.
    """
    found = site.family.layer(layer.weights, layer.thresholds)
    features = site.features(found)
    ratios = problem.ratios(site, found, features)
    keys = BitColumns.pack(features, max_value=site.max_feature).keys()
    chosen: dict[bytes, int] = {}
    for j in np.argsort(-ratios, kind="stable"):
        chosen.setdefault(keys[j], int(j))
        if len(chosen) == problem.n_wanted:
            break
    return Proposal(
        layer=found.restricted(np.array(list(chosen.values())), np.arange(found.n_inputs)),
        largest_ratio=float(ratios.max(initial=0.0)) if exact else None,
        n_seen=n_seen,
    )
