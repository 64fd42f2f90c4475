"""Regularization paths: one program for many rho, each certified."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from convexon.convex.model.program import ConvexProgram
from convexon.convex.solvers.solver import Progress, Solution, solve
from convexon.errors import InputError


def path(
    program: ConvexProgram,
    rhos: Iterable[float],
    *,
    tolerance: float = 1e-6,
    max_seconds: float | None = None,
    progress: Progress | None = None,
    allow_unconverged: bool = False,
) -> tuple[Solution, ...]:
    """Solve a program for each of several rho, from the largest to the smallest.

    Each solution starts from the one before, which has fewer active columns.

    Parameters
    ----------
    program
        The program; its own rho does not matter.
    rhos
        Regularization strengths, positive, in any order.
    tolerance, max_seconds, progress, allow_unconverged
        As in `solve`, for each rho.

    Returns
    -------
    tuple[Solution, ...]
        In the order of ``rhos``.

    Raises
    ------
    InputError
        If a rho is not positive and finite, or there is none.
    SolverError
        If a gap is not reached, unless `allow_unconverged`.
    """
    values = [float(rho) for rho in rhos]
    if not values or not all(0.0 < rho < np.inf for rho in values):
        raise InputError(f"rhos must be positive finite numbers, one or more, not {values!r}")
    solved: dict[float, Solution] = {}
    start = None
    for rho in sorted(set(values), reverse=True):
        solved[rho] = solve(
            program.at(rho),
            tolerance=tolerance,
            start=start,
            max_seconds=max_seconds,
            progress=progress,
            allow_unconverged=allow_unconverged,
        )
        start = solved[rho].W
    return tuple(solved[rho] for rho in values)
