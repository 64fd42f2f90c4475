"""Certificates: a primal value, a dual value, and nothing taken on trust.

Weak duality says that any feasible dual point bounds every objective from below. A certificate
builds such a point from the iterate itself, evaluates both sides anew, and reports their
difference. However the iterate came about, the gap bounds its distance from the optimum *over this
dictionary*; it says nothing about columns that the dictionary lacks.

All of this holds in exact arithmetic. The dual point is feasible as the float64 numbers it consists
of: it lies in the conjugate's domain by construction (`Loss.dual_in_domain`), and it is scaled
until bounds on ``D^T lambda`` that cover their own rounding (`ConvexProgram.correlate_bounded`)
meet every constraint. The primal value is rounded up and the dual value down by what rounding could
have done to them: the error of ``D W`` is carried through the loss (`Loss.upper_terms`), the dual
terms are lowered one by one (`Loss.lower_dual_terms`), and both are summed with a single rounding.
What this adds to the gap over plain float64 is the certificate's `rounding_allowance`; no optimum
is certified more closely than by about as much.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from convexon.convex.model.loss import UNIT, FloatArray, Loss, Targets, exact_sum
from convexon.convex.model.program import ConvexProgram
from convexon.errors import InputError

_FIRST_MARGIN, _LEAST_MARGIN, _MOST_MARGIN = 64.0 * UNIT, 4.0 * UNIT, 0.5
"""Shares by which a dual point is scaled further than its bounds ask, from one try to the next."""


@dataclass(frozen=True, kw_only=True)
class GapCertificate:
    """A duality gap over the dictionary at hand."""

    primal: float  # objective of the weights, rounded up
    dual: float  # objective of the feasible dual point, rounded down
    gap: float  # `primal - dual`, never negative: the weights are within it of the optimum
    relative_gap: float  # the gap over the primal value; zero where both are zero
    rho: float  # regularisation strength of the program
    n_rows: int
    n_columns: int
    n_outputs: int
    n_active: int  # columns with a non-zero row of weights
    n_nonzero: int  # non-zero weights
    rounding_allowance: float  # what covering rounding has added to the gap


def certify(
    program: ConvexProgram, W: ArrayLike, *, dual: ArrayLike | None = None
) -> tuple[GapCertificate, FloatArray]:
    """Certify ``W`` by a dual-feasible point, made from ``W`` itself where none is given.

    Such a point is minus a subgradient of the mean loss at ``D W``, scaled until every constraint
    holds. Scaling keeps it in the conjugate's domain, since that domain is convex and contains
    zero; its rounding is then mended in the domain, before the constraints are checked.

    Raises `InputError` if ``W`` or ``dual`` is not finite or has another shape.

    Parameters
    ----------
    program, W : the program, and weights (P, C) that claim to solve it
    dual : Lambda to take in place of that point, shape (n, C), in any state: it is moved into the
        conjugate's domain and scaled. For hinge this is needed for a small gap, as a subgradient on
        a kink is not unique.

    Returns
    -------
    tuple[GapCertificate, FloatArray]
        The certificate and the feasible lambda that attains its dual value, shape (n, C).
    """
    values, Y, loss = program.checked(W), program.encoded, program.loss
    Z, error = program.predict_bounded(values)
    given = -loss.subgradient(Z, Y) if dual is None else _checked_dual(dual, Y.values.shape)
    point, guess = loss.dual_in_domain(given, Y), 0.0
    if dual is None:
        guess = program.penalty.dual_ratio(program.correlate(point), program.weights)

    def bounded_ratio(candidate: FloatArray) -> float:
        bounds = program.correlate_bounded(candidate)
        rounding = 1.0 + (8.0 + program.n_outputs) * UNIT
        return program.penalty.dual_ratio(bounds, program.weights) * rounding

    point = feasible_multiple(loss, Y, point, bounded_ratio, limit=program.rho, guess=guess)
    plain_dual = loss.dual_value(point, Y)
    dual_value = rounded_dual(loss, Y, point)
    dual_value -= 4.0 * UNIT * abs(dual_value)
    plain_primal = loss.value(Z, Y) + program.rho * program.penalty.value(values, program.weights)
    primal = _rounded_primal(program, values, Z, error)
    gap = primal - dual_value
    certificate = GapCertificate(
        primal=primal,
        dual=dual_value,
        gap=gap,
        relative_gap=gap / primal if primal > 0.0 else gap,
        rho=program.rho,
        n_rows=program.n_rows,
        n_columns=program.n_columns,
        n_outputs=program.n_outputs,
        n_active=int(values.any(axis=1).sum()),
        n_nonzero=int(np.count_nonzero(values)),
        rounding_allowance=max(0.0, primal - plain_primal) + max(0.0, plain_dual - dual_value),
    )
    return certificate, point


def _checked_dual(dual: ArrayLike, shape: tuple[int, ...]) -> FloatArray:
    given = np.asarray(dual, dtype=np.float64)
    if given.shape != shape or not np.isfinite(given).all():
        raise InputError(f"dual must be finite and of shape {shape!r}, not {given.shape!r}")
    return given


def feasible_multiple(
    loss: Loss,
    Y: Targets,
    point: FloatArray,
    ratio: Callable[[FloatArray], float],
    *,
    limit: float,
    guess: float = 0.0,
) -> FloatArray:
    """A multiple of ``point`` in the conjugate's domain whose ratio is at most ``limit``.

    The factor is at most one; the multiple is rounded within the domain and checked after that.

    Parameters
    ----------
    loss, Y : the loss and its encoded targets
    point : any lambda, (n, C)
    ratio : a bound in exact arithmetic on what must be at most ``limit``, a norm but for rounding
    limit : positive
    guess : about the ratio of ``point``, where it is known
    """
    # The bound is a little above the guess; to leave it room at once saves a pass over all columns.
    scale = 1.0 if guess < limit else (limit / guess) * (1.0 - _FIRST_MARGIN)
    margin = _LEAST_MARGIN
    scaled = loss.dual_in_domain(scale * point, Y)
    while (reached := ratio(scaled)) > limit:
        scale *= (limit / reached) * (1.0 - margin)
        margin = min(4.0 * margin, _MOST_MARGIN)
        scaled = loss.dual_in_domain(scale * point, Y)
    return scaled


def rounded_dual(loss: Loss, Y: Targets, point: FloatArray) -> float:
    """Lower bound on the dual value of a ``point`` that `feasible_multiple` returned."""
    total = exact_sum(loss.lower_dual_terms(point, Y))
    return total - 4.0 * UNIT * abs(total)


def _rounded_primal(
    program: ConvexProgram, W: FloatArray, Z: FloatArray, error: FloatArray
) -> float:
    """Upper bound on the objective; every term is non-negative, so their rounding is relative."""
    Y = program.encoded
    fit = exact_sum(Y.counts[:, None] * program.loss.upper_terms(Z, error, Y)) / Y.total
    norms = exact_sum(program.weights * program.penalty.row_norms(W))
    return (fit + program.rho * norms) * (1.0 + (16.0 + program.n_outputs) * UNIT)
