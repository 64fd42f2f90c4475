"""Regularization paths: one program for many rho, each certified."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

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
    device: str | None = None,
) -> tuple[Solution, ...]:
    """Solve a program for each of several rho, from the largest to the smallest.

    Each solution starts from the one before, which has fewer active columns.

    Parameters
    ----------
    program
        The program; its own rho does not matter.
    rhos
        Regularization strengths, positive, in any order.
    tolerance, progress, device
        As in `solve`, for each rho.
    max_seconds
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
        If a gap is not reached.
    """
    values = [float(rho) for rho in rhos]
    if not values or not all(0.0 < rho < np.inf for rho in values):
        raise InputError(f"rhos must be positive finite numbers, one or more, not {values!r}")
    solved: dict[float, Solution] = {}
    start = None
    for rho in sorted(set(values), reverse=True):
        solved[rho] = solve(
            replace(program, rho=rho, radius=None),
            tolerance=tolerance,
            start=start,
            max_seconds=max_seconds,
            progress=progress,
            device=device,
        )
        start = solved[rho].W
    return tuple(solved[rho] for rho in values)
