"""The interface of a pricing oracle, and how proposals are chosen among.

The certificate does not depend on where a column comes from, so an oracle may be as heuristic as it
likes; only one that has seen every column of its set says that it is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from convexon.convex.bits import BitColumns
from convexon.convex.pricing.site import PricingProblem, Site
from convexon.network import Layer

FloatArray = npt.NDArray[np.float64]


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


def best_columns(
    site: Site, features: npt.NDArray[np.uint8], ratios: FloatArray, count: int
) -> list[int]:
    """Return up to ``count`` columns of the largest ratios, each pattern once."""
    keys = BitColumns.pack(features, max_value=site.max_feature).keys()
    chosen: list[int] = []
    seen: set[bytes] = set()
    for j in np.argsort(-ratios, kind="stable"):
        if keys[j] not in seen:
            seen.add(keys[j])
            chosen.append(int(j))
            if len(chosen) == count:
                break
    return chosen
