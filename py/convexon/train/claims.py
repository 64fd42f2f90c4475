"""From a solution to its certificate: every claim, with the dual vector that proves it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from convexon.certify.certificate import (
    Certificate,
    PricedSet,
    SampleMargins,
    UniversalBound,
    WindowBound,
    gap_above,
)
from convexon.certify.statement import Statement
from convexon.convex.bounds.gap import certify
from convexon.convex.bounds.universal import universal_bound
from convexon.convex.model.loss import UNIT, FloatArray
from convexon.convex.model.program import ConvexProgram
from convexon.quantizer.readout import QuantizedReadout, quantize_readout, rounded_readout
from convexon.train.columns.bits import BitColumns
from convexon.train.columns.dictionary import SpikeDictionary, distinct_columns
from convexon.train.fit import Fitted
from convexon.train.master import program_over
from convexon.train.pricing.oracle import Exhaustive, Windowed
from convexon.train.pricing.site import Site

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Weighed:
    """A solution over some columns of a dictionary."""

    columns: IntArray  # (k,), columns of the dictionary that the weights are over, ascending
    W: FloatArray  # (k + 1, C), their weights and, last, the always-firing column's
    dual: FloatArray  # (n, C), a dual point over those columns, as a solver leaves it


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What the dictionary is, and what columns any network could have besides."""

    max_feature: int  # largest entry that a column of any network would have
    min_weight: float | None = None  # least weight of such a column; the dictionary's where None
    # What the dictionary is, in words that follow "over".
    about: str = "every column of the dictionary"
    # Whether it holds every column that any network of the form `about` can have.
    every_network_of_form: bool = False


def certificate_of(
    drawn: ConvexProgram,
    solution: Weighed,
    scope: Scope,
    *,
    tolerance: float,
    readout: QuantizedReadout | None = None,
    others: tuple[SampleMargins, ...] = (),
) -> Certificate:
    """Certificate of weights over some columns of a dictionary.

    Raises `InputError` if shapes do not fit.

    Parameters
    ----------
    drawn : The program over the whole dictionary and, last, the always-firing column. Its groups
        say which rows share an input, which the universal bound rests on.
    tolerance : tolerance to which bounds are to close
    readout : what W is rounded to; nothing is claimed of rounding where None
    others : margins on samples that the program does not have
    """
    statement = _statement(drawn, solution.columns, scope)
    places = statement.with_intercept(statement.columns).astype(np.intp)
    program, W = drawn.restricted(places), solution.W
    own, point = certify(program, W, dual=solution.dual)
    rounded = None
    if readout is not None:
        rounded = replace(rounded_readout(program, W, readout), others=others)
    everywhere = np.zeros((drawn.n_columns, drawn.n_outputs))
    everywhere[places] = W
    bound = universal_bound(
        drawn, min_weight=statement.min_weight, max_feature=statement.max_feature
    )
    return Certificate(
        statement=statement,
        W=W,
        dual=point,
        primal=float(own.primal),
        lower=float(own.dual),
        gap=gap_above(own.primal, own.dual),
        tolerance=float(tolerance),
        priced=(_priced(drawn, everywhere, point, scope),),
        universal=UniversalBound(lower_bound=bound.value, dual=bound.dual),
        rounded=rounded,
    )


def _statement(drawn: ConvexProgram, columns: IntArray, scope: Scope) -> Statement:
    """What the certificate speaks of."""
    least = scope.min_weight
    return Statement(
        loss=drawn.loss.name,
        penalty=drawn.penalty.name,
        rho=float(drawn.rho),
        targets=drawn.encoded.values,
        counts=drawn.encoded.counts,
        groups=np.asarray(drawn.inputs if drawn.groups is None else drawn.groups, dtype=np.int64),
        columns=columns.astype(np.int64),
        intercept=True,
        weights=drawn.weights,
        min_weight=float(drawn.weights.min() if least is None else least),
        max_feature=int(scope.max_feature),
    )


def _priced(drawn: ConvexProgram, W: FloatArray, point: FloatArray, scope: Scope) -> PricedSet:
    """The whole dictionary, priced at a dual point."""
    bound, feasible = certify(drawn, W, dual=point)
    return PricedSet(
        name="dictionary",
        about=scope.about,
        is_dictionary=True,
        n_columns=drawn.n_columns,
        violation=violation_of(drawn, point),
        exact=True,
        every_network_of_form=scope.every_network_of_form,
        lower_bound=float(bound.dual),
        dual=feasible,
    )


def violation_of(program: ConvexProgram, dual: FloatArray) -> float:
    """Largest ``||D_j^T lambda|| / w_j - rho`` over the program's columns, rounded up; or zero."""
    bounds = program.correlate_bounded(dual)
    rounding = 1.0 + (8.0 + program.n_outputs) * UNIT
    ratio = program.penalty.dual_ratio(bounds, program.weights) * rounding
    excess = Fraction(ratio) - Fraction(program.rho)
    return max(0.0, math.nextafter(float(excess), math.inf))


def certified(
    fitted: Fitted,
    *,
    tolerance: float,
    readout_bits: int,
    others: tuple[SampleMargins, ...] = (),
) -> tuple[Certificate, SpikeDictionary]:
    """Certify what column generation has left; ``others`` are margins of samples not fitted.

    Raises `InputError` if shapes do not fit.

    Returns
    -------
    tuple of Certificate and SpikeDictionary
        The certificate, and the dictionary that it is over. Where the bound over any network
        closes, that is the master's columns, and nothing weaker is claimed beside. Else it is every
        column of every network of the sites' form, where an oracle listed them and pricing closed;
        else the master's columns, with what pricing found. The best bound over neurons on windows
        stands beside it, where an oracle priced them.
    """
    generated, sites = fitted.generated, fitted.sites

    def over(
        dictionary: SpikeDictionary, weights: FloatArray, about: str, *, whole: bool
    ) -> Certificate:
        numbers = {key: j for j, key in enumerate(dictionary.bits.keys())}
        own = generated.dictionary.bits.keys()
        places = np.array([numbers[key] for key in own], dtype=np.int64)
        order = np.argsort(places, kind="stable")
        W = generated.solution.W
        W = np.concatenate([W[:-1][order], W[-1:]])
        return certificate_of(
            program_over(fitted.problem, dictionary.bits, weights),
            Weighed(
                columns=places[order],
                W=W,
                dual=generated.solution.dual,
            ),
            Scope(
                max_feature=dictionary.max_feature,
                min_weight=min(site.least_weight for site in sites),
                about=about,
                every_network_of_form=whole,
            ),
            tolerance=tolerance,
            readout=quantize_readout(W[:-1], W[-1], bits=readout_bits),
            others=others,
        )

    about = "the columns that pricing has grown"
    grown = over(generated.dictionary, generated.weights, about, whole=False)
    grown = replace(grown, windows=_windows(fitted))
    if grown.optimal_over is not None:
        return grown, generated.dictionary
    listing = next((o for o in fitted.oracles if isinstance(o, Exhaustive)), None)
    if listing is not None and generated.closed and all(site.cost is None for site in sites):
        dictionary = _grid(listing, sites)
        about = "every network of " + ", or ".join(site.form for site in sites)
        return over(dictionary, np.ones(dictionary.n_columns), about, whole=True), dictionary
    if grown.windows is not None:
        return grown, generated.dictionary
    priced = (*grown.priced, *_searched(fitted))
    return replace(grown, priced=priced), generated.dictionary


def _windows(fitted: Fitted) -> WindowBound | None:
    """The best bound over neurons on windows, where they were priced on every site."""
    generated, sites = fitted.generated, fitted.sites
    oracle = next((o for o in fitted.oracles if isinstance(o, Windowed)), None)
    if oracle is None or generated.bound is None or len(generated.sites) != len(sites):
        return None
    return WindowBound(
        sets=tuple(oracle.set_of(site, b) for b, site in enumerate(generated.sites)),
        lower_bound=generated.bound.value,
        dual=generated.bound.dual,
    )


def _searched(fitted: Fitted) -> Iterator[PricedSet]:
    """Yield what the last round of pricing found: without having seen all, it proves no bound."""
    for k, (label, found) in enumerate(fitted.generated.rounds[-1].oracles.items()):
        yield PricedSet(
            name=f"search{k}",
            about=f"what {label} found in its last round",
            is_dictionary=False,
            n_columns=found.n_seen,
            violation=max(0.0, fitted.rho * (found.largest_ratio - 1.0) * (1.0 + 1e-9)),
            exact=False,
        )


def _grid(listing: Exhaustive, sites: Sequence[Site]) -> SpikeDictionary:
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
