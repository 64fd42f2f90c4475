"""Certificates: a primal value, a dual value, and nothing taken on trust.

Weak duality says that any feasible dual point bounds every objective from below. A certificate
builds such a point from the iterate itself, evaluates both sides anew in float64, and reports their
difference. However the iterate came about, the gap bounds its distance from the optimum *over this
dictionary*; it says nothing about columns that the dictionary lacks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from convexon.convex.loss import FloatArray
from convexon.convex.program import ConvexProgram
from convexon.errors import InputError

_SHRINK = 1.0 - 2.0**-48
"""Factor on a scaled dual point, so that rounding leaves it inside the constraints."""


@dataclass(frozen=True, kw_only=True)
class GapCertificate:
    """A duality gap over the dictionary at hand.

    Members
    -------
    primal, dual
        Objective of the weights and of the feasible dual point.
    gap
        ``primal - dual``; never negative but for rounding. The weights are within it of the
        optimum.
    relative_gap
        The gap over the primal value; zero where both are zero.
    rho
        Regularization strength of the program.
    dual_scale
        Factor that brought the dual point into feasibility, in [0, 1]; one near an optimum.
    max_dual_violation_before_scaling
        How far the unscaled point exceeded a constraint: ``max_j ||D_j^T lambda|| / w_j - rho``, or
        zero.
    n_rows, n_columns, n_outputs
        Shape of the program.
    n_active, n_nonzero
        Columns with a non-zero row of weights; non-zero weights.
    """

    primal: float
    dual: float
    gap: float
    relative_gap: float
    rho: float
    dual_scale: float
    max_dual_violation_before_scaling: float
    n_rows: int
    n_columns: int
    n_outputs: int
    n_active: int
    n_nonzero: int


def certify(
    program: ConvexProgram, W: ArrayLike, *, dual: ArrayLike | None = None
) -> tuple[GapCertificate, FloatArray]:
    """Certify ``W`` by a dual-feasible point made from ``W`` itself.

    The point is minus a subgradient of the mean loss at ``D W``, scaled until every constraint
    holds. Scaling keeps it in the conjugate's domain, since that domain is convex and contains
    zero.

    Parameters
    ----------
    program
        The program that ``W`` claims to solve.
    W
        Weights, shape (P, C).
    dual
        A candidate for lambda, shape (n, C), in any state: it is moved into the conjugate's domain
        and scaled. For hinge this is needed for a small gap, as a subgradient on a kink is not
        unique.

    Returns
    -------
    tuple[GapCertificate, FloatArray]
        The certificate and the feasible lambda that attains its dual value, shape (n, C).

    Raises
    ------
    InputError
        If ``W`` or ``dual`` is not finite or has another shape.
    """
    values = program.checked(W)
    Y, n_rows = program.encoded, program.n_rows
    Z = program.predict(values)
    primal = program.loss.value(Z, Y) + program.rho * program.penalty.value(values, program.weights)

    candidates = [-program.loss.subgradient(Z, Y)]
    if dual is not None:
        given = np.asarray(dual, dtype=np.float64)
        if given.shape != Y.shape or not np.isfinite(given).all():
            raise InputError(f"dual must be finite and of shape {Y.shape!r}, not {given.shape!r}")
        candidates.append(given)
    feasible = [
        _made_feasible(program, -program.loss.project_dual(-n_rows * point, Y) / n_rows)
        for point in candidates
    ]
    value, scale, violation, point = max(feasible, key=lambda entry: entry[0])

    gap = primal - value
    certificate = GapCertificate(
        primal=primal,
        dual=value,
        gap=gap,
        relative_gap=gap / primal if primal > 0.0 else gap,
        rho=program.rho,
        dual_scale=scale,
        max_dual_violation_before_scaling=violation,
        n_rows=n_rows,
        n_columns=program.n_columns,
        n_outputs=program.n_outputs,
        n_active=int(values.any(axis=1).sum()),
        n_nonzero=int(np.count_nonzero(values)),
    )
    return certificate, point


def _made_feasible(
    program: ConvexProgram, point: FloatArray
) -> tuple[float, float, float, FloatArray]:
    """Dual value, scale, violation before scaling, and the scaled point."""
    ratio = program.penalty.dual_ratio(program.correlate(point), program.weights)
    scale = 1.0 if ratio <= program.rho else _SHRINK * program.rho / ratio
    scaled = scale * point
    value = -program.loss.conjugate(-program.n_rows * scaled, program.encoded)
    return value, scale, max(0.0, ratio - program.rho), scaled
