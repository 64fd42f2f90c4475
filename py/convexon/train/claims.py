"""From a solution to its certificate: every claim, with the dual vector that proves it."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from convexon.certify.certificate import (
    Certificate,
    PricedSet,
    SampleMargins,
    UniversalBound,
    gap_above,
)
from convexon.certify.statement import Statement
from convexon.convex.bounds.gap import certify
from convexon.convex.bounds.universal import universal_bound
from convexon.convex.model.loss import UNIT, FloatArray
from convexon.convex.model.program import ConvexProgram
from convexon.quantize.readout import rounded_readout

IntArray = NDArray[np.int64]


def certificate_of(
    drawn: ConvexProgram,
    columns: IntArray,
    W: FloatArray,
    *,
    dual: FloatArray,
    tolerance: float,
    max_feature: int,
    groups: IntArray | None = None,
    min_weight: float | None = None,
    about: str = "every column of the dictionary",
    every_network_of_form: bool = False,
    readout_bits: int | None = None,
    others: tuple[SampleMargins, ...] = (),
) -> Certificate:
    """Certificate of weights over some columns of a dictionary.

    Parameters
    ----------
    drawn : ConvexProgram
        The program over the whole dictionary and, last, the always-firing column.
    columns : int64 array, shape (k,)
        Columns of the dictionary that the weights are over, ascending.
    W : float64 array, shape (k + 1, C)
        Their weights and, last, the always-firing column's.
    dual : float64 array, shape (n, C)
        A dual point of the program over those columns, as a solver leaves it.
    tolerance : float
        Tolerance to which bounds are to close.
    max_feature : int
        Largest entry that a column of any network would have.
    groups : int64 array, shape (n,), optional
        Number of each row's input; see `convexon.convex.bounds.universal.universal_bound`.
    min_weight : float, optional
        Smallest weight that a column of any network would have; the smallest of `drawn` where None.
    about, every_network_of_form
        What the dictionary is, for its `PricedSet`.
    readout_bits : int, optional
        Bits to which the readout is rounded; nothing is claimed of rounding where None.
    others : tuple of SampleMargins
        Margins on samples that the program does not have.

    Raises
    ------
    InputError
        If shapes do not fit.
    """
    statement = _statement(drawn, columns, groups, min_weight, max_feature)
    places = statement.with_intercept(statement.columns).astype(np.intp)
    program = _restricted(drawn, places)
    own, point = certify(program, W, dual=dual)
    rounded = None
    if readout_bits is not None:
        rounded = replace(rounded_readout(program, W, bits=readout_bits), others=others)
    spread = _spread(W, places, drawn)
    dictionary = _priced(drawn, spread, point, about, every_network_of_form)
    return Certificate(
        statement=statement,
        W=W,
        dual=point,
        primal=float(own.primal),
        lower=float(own.dual),
        gap=gap_above(own.primal, own.dual),
        tolerance=float(tolerance),
        priced=(dictionary,),
        universal=_universal(drawn, statement),
        rounded=rounded,
    )


def _statement(
    drawn: ConvexProgram,
    columns: IntArray,
    groups: IntArray | None,
    min_weight: float | None,
    max_feature: int,
) -> Statement:
    """What the certificate speaks of."""
    return Statement(
        loss=drawn.loss.kind.value,
        penalty=drawn.penalty.kind.value,
        rho=float(drawn.rho),
        targets=drawn.encoded.values,
        counts=drawn.encoded.counts,
        groups=_own_groups(drawn) if groups is None else groups.astype(np.int64),
        columns=columns.astype(np.int64),
        intercept=True,
        weights=drawn.weights,
        min_weight=float(drawn.weights.min() if min_weight is None else min_weight),
        max_feature=int(max_feature),
    )


def _priced(
    drawn: ConvexProgram, W: FloatArray, point: FloatArray, about: str, every_network_of_form: bool
) -> PricedSet:
    """The whole dictionary, priced at a dual point."""
    bound, feasible = certify(drawn, W, dual=point)
    return PricedSet(
        name="dictionary",
        about=about,
        n_columns=drawn.n_columns,
        violation=violation_of(drawn, point),
        exact=True,
        every_network_of_form=every_network_of_form,
        lower_bound=float(bound.dual),
        dual=feasible,
        columns=np.arange(drawn.n_columns - 1, dtype=np.int64),
    )


def _own_groups(program: ConvexProgram) -> IntArray:
    """Groups that say of no two rows that their inputs are the same."""
    return np.arange(program.n_rows, dtype=np.int64)


def _universal(program: ConvexProgram, statement: Statement) -> UniversalBound:
    """The bound over any network for the statement's rows."""
    return universal_bound(
        loss=program.loss,
        targets=program.targets,
        rho=program.rho,
        penalty=program.penalty,
        min_weight=statement.min_weight,
        max_feature=statement.max_feature,
        n_classes=program.n_classes,
        counts=statement.counts,
        groups=statement.groups,
    )


def _spread(W: FloatArray, places: NDArray[np.intp], program: ConvexProgram) -> FloatArray:
    """Weights of all of a program's columns, those at ``places`` given and the others zero."""
    full = np.zeros((program.n_columns, program.n_outputs))
    full[places] = W
    return full


def violation_of(program: ConvexProgram, dual: FloatArray) -> float:
    """Largest ``||D_j^T lambda|| / w_j - rho`` over the program's columns, rounded up; or zero."""
    bounds = program.correlate_bounded(dual)
    rounding = 1.0 + (8.0 + program.n_outputs) * UNIT
    ratio = program.penalty.dual_ratio(bounds, program.weights) * rounding
    excess = Fraction(ratio) - Fraction(program.rho)
    return max(0.0, math.nextafter(float(excess), math.inf))


def _restricted(program: ConvexProgram, columns: NDArray[np.intp]) -> ConvexProgram:
    """The program over some of its columns."""
    features = program.features
    chosen = features[:, columns] if isinstance(features, np.ndarray) else features.dense(columns)
    return ConvexProgram(
        features=chosen,
        targets=program.targets,
        loss=program.loss,
        penalty=program.penalty,
        rho=program.rho,
        weights=program.weights[columns],
        n_classes=program.n_classes,
        counts=program.counts,
    )
