"""The certificate of a study's solution, over all that was priced exactly where that is so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from convexon.certify.certificate import Certificate, PricedSet, SampleMargins
from convexon.train.claims import certificate_of
from convexon.train.columns.bits import BitColumns
from convexon.train.columns.dictionary import SpikeDictionary, distinct_columns
from convexon.train.cost import LEAST_WEIGHT
from convexon.train.generation import Generated
from convexon.train.master import Task
from convexon.train.pricing.enumeration import Enumeration
from convexon.train.pricing.oracle import Oracle
from convexon.train.pricing.site import Site


@dataclass(frozen=True, eq=False, kw_only=True)
class Proved:
    """A certificate and the dictionary that it is over.

    Members
    -------
    dictionary : SpikeDictionary
        Every column of every network of the sites' form where they were enumerated and pricing
        closed; the master's columns otherwise.
    certificate : Certificate
    """

    dictionary: SpikeDictionary
    certificate: Certificate


def proved(
    task: Task,
    generated: Generated,
    sites: Sequence[Site],
    oracles: Sequence[Oracle],
    *,
    tolerance: float,
    readout_bits: int,
    others: tuple[SampleMargins, ...] = (),
) -> Proved:
    """Certify what column generation has left; ``others`` are margins of samples not fitted.

    Raises
    ------
    InputError
        If shapes do not fit.
    """
    listing = next((oracle for oracle in oracles if isinstance(oracle, Enumeration)), None)
    whole = generated.closed and listing is not None and task.cost is None
    dictionary = generated.dictionary
    places = np.arange(dictionary.n_columns)
    about = "the columns that pricing has grown"
    if whole and listing is not None:
        dictionary = _grid(listing, sites)
        numbers = {key: j for j, key in enumerate(dictionary.bits.keys())}
        own = generated.dictionary.bits.keys()
        places = np.array([numbers[key] for key in own], dtype=np.intp)
        about = "every network of " + ", or ".join(site.form for site in sites)
    searched = () if whole else tuple(_searched(task, generated))
    order = np.argsort(places, kind="stable")
    solution = generated.solution
    weights = np.ones(dictionary.n_columns) if whole else generated.weights
    certificate = certificate_of(
        task.program(dictionary.bits, weights),
        places[order].astype(np.int64),
        np.concatenate([solution.W[:-1][order], solution.W[-1:]]),
        dual=solution.dual,
        tolerance=tolerance,
        max_feature=dictionary.max_feature,
        groups=task.rows.groups,
        min_weight=None if task.cost is None else LEAST_WEIGHT,
        about=about,
        every_network_of_form=whole,
        readout_bits=readout_bits,
        others=others,
    )
    return Proved(
        dictionary=dictionary,
        certificate=replace(certificate, priced=(*certificate.priced, *searched)),
    )


def _searched(task: Task, generated: Generated) -> Iterator[PricedSet]:
    """Yield what the last round of pricing found: without having seen all, it proves no bound."""
    for k, (label, found) in enumerate(generated.rounds[-1].oracles.items()):
        yield PricedSet(
            name=f"search{k}",
            about=f"what {label} found in its last round",
            n_columns=found.n_seen,
            violation=max(0.0, task.rho * (found.largest_ratio - 1.0) * (1.0 + 1e-9)),
            exact=False,
        )


def _grid(listing: Enumeration, sites: Sequence[Site]) -> SpikeDictionary:
    """Return the distinct columns of all sites, each witnessed by (site, number in its list)."""
    parts = [listing.columns(site) for site in sites]
    bits = BitColumns.joined(parts)
    names = np.array(
        [(b, j) for b, part in enumerate(parts) for j in range(part.n_columns)], dtype=np.int64
    )
    kept, counts = distinct_columns(bits)
    return SpikeDictionary(
        bits=bits.take(kept),
        witnesses=names[kept],
        n_drawn=len(names),
        max_feature=sites[0].max_feature,
        **counts,
    )
