"""The interface of a pricing oracle, the oracles by name, and what they have in common.

The certificate does not depend on where a column comes from, so an oracle may be as heuristic as it
likes; only one that has seen every column of its set says that it is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from convexon.certify.network.cells import CellSet
from convexon.certify.network.windows import WindowSet
from convexon.errors import InputError
from convexon.registry import Registry
from convexon.snn.network import Layer
from convexon.train.columns.bits import BitColumns
from convexon.train.pricing.site import PricingProblem, Site
from convexon.train.witnesses.witness import draw_layer


@dataclass(frozen=True, eq=False, kw_only=True)
class Proposal:
    """Neurons that an oracle proposes for a site, out of ``n_seen`` columns that it looked at.

    An exact oracle states the largest `PricingProblem.ratios` of any column of its set, those not
    proposed too, or an upper bound on it.
    """

    layer: Layer | None
    largest_ratio: float | None
    n_seen: int


class Oracle(Protocol):
    """Finds neurons of a site whose columns violate the dual constraint.

    A name stands for the oracle that its class makes without arguments.
    """

    @property
    def name(self) -> str:
        """What reports call it."""

    def propose(
        self, problem: PricingProblem, site: Site, generator: np.random.Generator
    ) -> Proposal:
        """Return neurons for ``site``, about ``problem.n_wanted`` of them, the best first."""


@runtime_checkable
class Exhaustive(Protocol):
    """An oracle that knows every column of a site's form."""

    def columns(self, site: Site) -> BitColumns:
        """Return the distinct columns."""


@runtime_checkable
class Windowed(Protocol):
    """An oracle that is exact over neurons of few inputs, and can state them for a checker."""

    def set_of(self, site: Site, branch: int) -> WindowSet | CellSet:
        """Return the set that it prices on a site, which is the trunk of ``branch``."""


def _require_stated(oracle: type[Oracle]) -> None:
    """Raise `InputError` unless a class has what an oracle must have."""
    missing = [name for name in ("name", "propose") if not hasattr(oracle, name)]
    if missing:
        raise InputError(f"oracle {oracle.__name__} must have {', '.join(missing)}")


ORACLES = Registry[type[Oracle]]("oracle", "convexon.oracles", _require_stated)
"""The oracles by name; `convexon.train.pricing.oracles` registers the built-in ones."""


def candidates(site: Site, count: int, generator: np.random.Generator) -> Layer:
    """Draw ``count`` neurons of the site's family: where a heuristic search starts."""
    return draw_layer(site.family, count, site.signal, site.sample_labels, generator=generator)


def proposed(
    problem: PricingProblem, site: Site, layer: Layer, *, n_seen: int, exact: bool = False
) -> Proposal:
    """Return the best neurons of ``layer`` as a proposal, each pattern once, the best first.

    With ``exact`` these neurons are the whole set that was to be priced.
    """
    found = site.family.layer(layer.matrix, layer.thresholds)
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
