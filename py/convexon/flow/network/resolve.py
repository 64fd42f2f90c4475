"""A second opinion on a certificate: the same program, solved once more by a cone solver."""

from __future__ import annotations

from convexon.certify.certificate import CERTIFICATE
from convexon.convex.model.loss import LOSSES
from convexon.convex.model.penalty import PENALTIES
from convexon.convex.model.program import ConvexProgram
from convexon.convex.solvers.crosscheck import ConeSolver, solve_with_cvxpy
from convexon.errors import ClaimError, InputError
from convexon.flow.run import Run
from convexon.train.columns.dictionary import DICTIONARY

ACCURACY = 1e-4
"""Relative accuracy that a cone solver's objective is trusted to."""


def resolve(run: Run, solver: ConeSolver) -> str:
    """Solve the program of a run's certificate anew, and compare the optimum with what it claims.

    Returns
    -------
    str
        The line with both.

    Raises
    ------
    ClaimError
        If the optimum lies outside what the certificate claims, by more than `ACCURACY`.
    ArtefactError
        If there is no sound certificate or dictionary.
    SolverError
        If the cone solver fails.
    """
    certificate = run.read("certificate", CERTIFICATE).value
    stated = certificate.statement
    if not stated.intercept:
        raise InputError("resolve needs a certificate with an intercept, and this one has none")
    dictionary = run.read("dictionary", DICTIONARY).value
    program = ConvexProgram(
        features=dictionary.restricted(stated.columns).with_intercept(),
        targets=stated.targets,
        loss=LOSSES[stated.loss](),
        penalty=PENALTIES[stated.penalty](),
        rho=stated.rho,
        weights=stated.weights[stated.with_intercept(stated.columns)],
        n_classes=stated.n_outputs,
        counts=stated.counts,
    )
    _, optimum = solve_with_cvxpy(program, solver=solver)
    slack = ACCURACY * max(certificate.primal, ACCURACY)
    told = (
        f"resolve: {solver.name} finds the optimum {optimum:.8f} over the same columns, and the "
        f"certificate claims {certificate.lower:.8f} to {certificate.primal:.8f}"
    )
    if not certificate.lower - slack <= optimum <= certificate.primal + slack:
        raise ClaimError(f"{told}: they differ")
    return told
