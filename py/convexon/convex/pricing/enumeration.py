"""Exact pricing by enumeration: every neuron of a small grid, simulated once.

On a site with few inputs, or with a small fan-in, all neurons of the family can be listed. Their
distinct columns are kept packed; a round of pricing is then one product with the dual point, and
its answer is exact: no neuron of the grid violates more.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from convexon.convex.bits import BitColumns
from convexon.convex.pricing.oracle import Proposal
from convexon.convex.pricing.site import PricingProblem, Site
from convexon.errors import InputError
from convexon.ranges import weighted_range

IntArray = npt.NDArray[np.int64]

_BLOCK = 4096
"""Neurons that are simulated at once."""


@dataclass(eq=False, kw_only=True)
class Enumeration:
    """Every neuron of a site with up to ``fan_in`` synapses.

    Weights are all of the family's alphabet; thresholds all integers from 1 to the largest membrane
    that the weights can reach, and without memory also those down to the smallest, which realise
    the complements.

    Members
    -------
    max_neurons : int
        Most neurons that may be listed.
    """

    max_neurons: int = 2_000_000
    _listed: dict[int, _Listing] = field(default_factory=dict, init=False, repr=False)

    @property
    def name(self) -> str:
        """What reports call it."""
        return "enumeration"

    def size(self, site: Site) -> int:
        """Return about how many neurons the grid has: weight vectors, times the mean threshold."""
        values = len(site.family.alphabet.nonzero)
        return sum(
            math.comb(site.n_inputs, k) * values**k for k in range(1, site.family.fan_in + 1)
        )

    def columns(self, site: Site) -> BitColumns:
        """Return the distinct columns of all neurons of the grid."""
        return self._listing(site).bits

    def propose(
        self, problem: PricingProblem, site: Site, generator: np.random.Generator
    ) -> Proposal:
        """See `convexon.convex.pricing.oracle.Oracle`; ``largest_ratio`` is exact."""
        listing = self._listing(site)
        n = listing.bits.n_columns
        ratios = np.empty(n)
        width = max(1, (1 << 22) // listing.bits.n_rows)
        for first in range(0, n, width):
            block = slice(first, first + width)
            layer = site.family.layer(listing.weights[:, block], listing.thresholds[block])
            ratios[block] = problem.ratios(site, layer, listing.bits.dense(block))
        order = np.argsort(-ratios, kind="stable")[: problem.n_wanted]
        return Proposal(
            layer=site.family.layer(listing.weights[:, order], listing.thresholds[order]),
            largest_ratio=float(ratios.max(initial=0.0)),
            n_seen=n,
        )

    def _listing(self, site: Site) -> _Listing:
        if id(site) not in self._listed:
            if self.size(site) > self.max_neurons:
                raise InputError(
                    f"fan_in must leave at most {self.max_neurons} weight vectors to enumerate, "
                    f"not {self.size(site)}: lower it, or take a smaller alphabet"
                )
            self._listed[id(site)] = _listed(site)
        return self._listed[id(site)]


@dataclass(frozen=True, eq=False, kw_only=True)
class _Listing:
    """Distinct columns of a grid, each with the first neuron that realises it."""

    site: Site  # kept alive, so that its id stays its own
    bits: BitColumns
    weights: IntArray
    thresholds: IntArray


def _listed(site: Site) -> _Listing:
    seen: dict[bytes, int] = {}
    parts: list[BitColumns] = []
    weights: list[IntArray] = []
    thresholds: list[IntArray] = []
    for block_weights, block_thresholds in _blocks(site):
        layer = site.family.layer(block_weights, block_thresholds)
        bits = BitColumns.pack(site.features(layer), max_value=site.max_feature)
        new = []
        for j, key in enumerate(bits.keys()):
            if key not in seen:
                seen[key] = j
                new.append(j)
        parts.append(bits.take(np.array(new, dtype=np.intp)))
        weights.append(block_weights[:, new])
        thresholds.append(block_thresholds[new])
    return _Listing(
        site=site,
        bits=BitColumns.joined(parts),
        weights=np.concatenate(weights, axis=1),
        thresholds=np.concatenate(thresholds),
    )


def _blocks(site: Site) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield the grid's neurons: weights (inputs, k) and thresholds (k,)."""
    columns: list[IntArray] = []
    levels: list[int] = []
    for vector in _vectors(site):
        reach = weighted_range(vector, site.reach)
        steps = 1 if site.memoryless else site.signal.shape[1]
        low = min(1, reach.low + 1) if site.memoryless else 1
        for threshold in range(low, steps * reach.high + 1):
            columns.append(vector)
            levels.append(threshold)
            if len(levels) == _BLOCK:
                yield np.stack(columns, axis=1), np.array(levels, dtype=np.int64)
                columns, levels = [], []
    if levels:
        yield np.stack(columns, axis=1), np.array(levels, dtype=np.int64)


def _vectors(site: Site) -> Iterator[IntArray]:
    """Yield every weight vector of 1 to ``fan_in`` synapses."""
    values = site.family.alphabet.nonzero.tolist()
    for k in range(1, site.family.fan_in + 1):
        for inputs in itertools.combinations(range(site.n_inputs), k):
            for chosen in itertools.product(values, repeat=k):
                vector = np.zeros(site.n_inputs, dtype=np.int64)
                vector[list(inputs)] = chosen
                yield vector
