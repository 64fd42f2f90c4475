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
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.snn.ranges import weighted_range
from convexon.train.columns.bits import BitColumns
from convexon.train.pricing.oracle import Proposal
from convexon.train.pricing.site import PricingProblem, Site

IntArray = npt.NDArray[np.int64]

_BLOCK = 4096
"""Neurons that are simulated at once."""


@dataclass(eq=False, kw_only=True)
class Enumeration:
    """Every neuron of a site with up to ``fan_in`` synapses, if they are not too many to list.

    Weights are all of the family's alphabet; thresholds all integers from 1, below which a neuron
    at rest would fire, to the largest membrane that the weights can reach. Where columns have costs
    the cheapest neuron of each pattern is listed.
    """

    max_neurons: int = 5_000_000
    name: ClassVar[str] = "enumeration"
    _listed: dict[Site, _Listing] = field(default_factory=dict, init=False, repr=False)

    def size(self, site: Site) -> int:
        """Return a bound on the neurons of the grid: weight vectors times the most thresholds."""
        values = len(site.family.alphabet.nonzero)
        most = site.family.alphabet.largest * site.reach.high * _steps(site)
        return sum(
            math.comb(site.n_inputs, k) * values**k * k * most
            for k in range(1, site.family.fan_in + 1)
        )

    def columns(self, site: Site) -> BitColumns:
        """Return the distinct columns of all neurons of the grid."""
        return self._listing(site).bits

    def propose(
        self, problem: PricingProblem, site: Site, generator: np.random.Generator
    ) -> Proposal:
        """See `convexon.train.pricing.oracle.Oracle`; ``largest_ratio`` is exact."""
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
        if site not in self._listed:
            if self.size(site) > self.max_neurons:
                raise InputError(
                    f"fan_in must leave at most {self.max_neurons} neurons to enumerate, "
                    f"not {self.size(site)}: lower it, or take a smaller alphabet"
                )
            self._listed[site] = _listed(site)
        return self._listed[site]


@dataclass(frozen=True, eq=False, kw_only=True)
class _Listing:
    """Distinct columns of a grid, each with the cheapest neuron that realises it."""

    bits: BitColumns
    weights: IntArray
    thresholds: IntArray


def _listed(site: Site) -> _Listing:
    place: dict[bytes, int] = {}  # of a pattern in the list
    parts: list[BitColumns] = []
    weights: list[IntArray] = []
    thresholds: list[int] = []
    prices: list[float] = []
    for block_weights, block_thresholds in _blocks(site):
        layer = site.family.layer(block_weights, block_thresholds)
        features = site.features(layer)
        bits = BitColumns.pack(features, max_value=site.max_feature)
        block_prices = site.weights(layer)
        fresh = []
        for j, key in enumerate(bits.keys()):
            at = place.setdefault(key, len(prices))
            if at == len(prices):
                fresh.append(j)
                weights.append(block_weights[:, j])
                thresholds.append(int(block_thresholds[j]))
                prices.append(float(block_prices[j]))
            elif block_prices[j] < prices[at]:
                weights[at], prices[at] = block_weights[:, j], float(block_prices[j])
                thresholds[at] = int(block_thresholds[j])
        parts.append(bits.take(np.array(fresh, dtype=np.intp)))
    return _Listing(
        bits=BitColumns.joined(parts),
        weights=np.stack(weights, axis=1),
        thresholds=np.array(thresholds, dtype=np.int64),
    )


def _blocks(site: Site) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield the grid's neurons: weights (inputs, k) and thresholds (k,)."""
    columns: list[IntArray] = []
    levels: list[int] = []
    for vector in _vectors(site):
        highest = _steps(site) * weighted_range(vector, site.reach).high
        for threshold in range(1, highest + 1):
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


def _steps(site: Site) -> int:
    """Steps over which a membrane of the site integrates."""
    return 1 if site.memoryless else int(site.signal.shape[1])
