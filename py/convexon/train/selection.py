"""The convex programs of stage ``solve``: to select columns, to choose rho, and to certify."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convexon.convex.bounds.gap import GapCertificate, certify
from convexon.convex.model.loss import LOSSES, FloatArray
from convexon.convex.model.penalty import L1, GroupL2, Penalty
from convexon.convex.model.program import ConvexProgram
from convexon.convex.solvers.record import GapRecord
from convexon.convex.solvers.solver import gap_target, path, solve
from convexon.data.split import apart, stratified
from convexon.errors import InputError, SolverError
from convexon.progress import Progress
from convexon.snn.models.simulate import decisions
from convexon.train.columns.dictionary import SpikeDictionary
from convexon.train.columns.rows import Rows
from convexon.train.master import program_over
from convexon.train.pricing.site import LEAST_WEIGHT
from convexon.train.pursuit import Pursuit, pursue
from convexon.train.settings import ProgramSolver, Selection, SolveSettings
from convexon.train.solved import SolvedProgram

VALIDATION_SHARE = 0.2
"""Share of the training samples on which rho is chosen."""

SELECTION_TOLERANCE, VALIDATION_TOLERANCE = 1e-2, 1e-3
"""Gaps of the programs that select columns and choose rho; they certify nothing."""

Labels = npt.NDArray[np.int64]
Indices = npt.NDArray[np.intp]
Watch = Callable[[GapRecord], None]


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool:
    """A dictionary with its rows and the penalty weights of its columns."""

    rows: Rows
    n_classes: int
    dictionary: SpikeDictionary  # over the rows
    weights: npt.NDArray[np.float64]  # (P,)

    def restricted(self, columns: Indices) -> Pool:
        """Return the pool of the given columns."""
        return Pool(
            rows=self.rows,
            n_classes=self.n_classes,
            dictionary=self.dictionary.restricted(columns),
            weights=self.weights[columns],
        )

    def program(
        self, loss: str, penalty: Penalty, rho: float, *, rows: Indices | None = None
    ) -> ConvexProgram:
        """Return the program over all columns and, last, the always-firing one.

        ``rows`` are those to fit on, all where None.
        """
        fitted, columns, stated = self.rows, self.dictionary.bits, LOSSES[loss]()
        if rows is not None:
            fitted, columns = fitted.take(rows), columns.rows(rows)
        n_outputs = stated.outputs_for(self.n_classes)
        problem = fitted.problem(stated, penalty, rho, n_outputs=n_outputs)
        return program_over(problem, columns, self.weights)


def solve_program(settings: SolveSettings, pool: Pool, progress: Progress) -> SolvedProgram:
    """Select columns, choose rho, and solve the l1 program to its certificate.

    Rho is chosen by its accuracy on a validation share of the training samples, that the selection
    and the fits have not seen; the witnesses were drawn with all of them in view. The selection's
    row-group norm prunes whole neurons, which the entrywise l1 norm does not, and its loss is
    softmax, whatever the certified loss. Selection and the certified program are then over all
    training samples.

    Raises `InputError` if no column survives the selection; and `SolverError` if a gap is not
    reached.
    """

    def watch(record: GapRecord) -> None:
        progress.advance(f"gap {record.gap:.1e}, {record.n_working} columns at work")

    validation = _validate(settings, pool, progress, watch)
    rho = max(validation, key=lambda r: (validation[r], r))  # of equals, the sparser network

    progress.begin("selecting columns (row-group program)")
    columns = select(settings, pool, None, watch)
    progress.begin("solving the l1 program")
    program = pool.restricted(columns).program(settings.loss, L1(), rho)
    W, dual, gap, history = _solved(settings, program, watch)
    account = [(r.iteration, r.primal, r.dual, r.gap) for r in history]
    return SolvedProgram(
        columns=columns.astype(np.int64),
        weights=pool.weights,
        W=W,
        dual=dual,
        gap=gap,
        history=np.array(account, dtype=np.float64).reshape(-1, 4),
        validation={f"{r:g}": accuracy for r, accuracy in validation.items()},
    )


def _solved(
    settings: SolveSettings, program: ConvexProgram, watch: Watch
) -> tuple[FloatArray, FloatArray, GapCertificate, Sequence[GapRecord]]:
    """Weights, dual point, certificate and history, by the solver that is asked for.

    A cone solver's word is not taken either: its weights are certified as ours are.
    """
    if settings.solver is ProgramSolver.CONVEXON:
        found = solve(program, tolerance=settings.tolerance, progress=watch)
        return found.W, found.dual, found.certificate, found.history
    from convexon.convex.solvers.crosscheck import ConeSolver, solve_with_cvxpy  # slow to load

    W, _ = solve_with_cvxpy(program, solver=ConeSolver[settings.solver.name])
    certificate, dual = certify(program, W)
    if certificate.gap > gap_target(program, certificate.primal, tolerance=settings.tolerance):
        raise SolverError(
            f"{settings.solver.value} ended at a duality gap of {certificate.gap:.1e}, which the "
            f"tolerance {settings.tolerance:g} does not allow: raise it, or take another solver"
        )
    return W, dual, certificate, ()


def least_weight(settings: SolveSettings) -> float:
    """Return the smallest penalty weight that a column of any network has."""
    return 1.0 if settings.cost is None else LEAST_WEIGHT


def _validate(
    settings: SolveSettings, pool: Pool, progress: Progress, watch: Watch
) -> dict[float, float]:
    """Validation accuracy of each rho, columns selected and weights fitted without that share."""
    rows = pool.rows
    fit, held = rows_apart(settings, rows)
    progress.begin("choosing rho on validation")
    chosen = pool.restricted(select(settings, pool, fit, watch))
    held_columns = chosen.dictionary.with_intercept().rows(held).dense().astype(np.float64)
    rhos = sorted(settings.rho, reverse=True)
    program = chosen.program(settings.loss, L1(), rhos[0], rows=fit)
    solutions = path(program, rhos, tolerance=VALIDATION_TOLERANCE, progress=watch)
    accuracy: dict[float, float] = {}
    for rho, solution in zip(rhos, solutions, strict=True):
        right = decisions(held_columns @ solution.W) == rows.labels[held]
        accuracy[rho] = float(np.average(right, weights=rows.counts[held]))
    return accuracy


def rows_apart(settings: SolveSettings, rows: Rows) -> tuple[Indices, Indices]:
    """Return rows to fit on, and those on which rho is chosen: see `validation_split`."""
    return validation_split(rows.labels, rows.subjects, seed=settings.seed, inputs=rows.groups)


def select(settings: SolveSettings, pool: Pool, rows: Indices | None, watch: Watch) -> Indices:
    """Return the strongest columns of the row-group program, as many as neurons are allowed.

    Or, where that is asked for, those that say most of what the ones before left open. It is over
    ``rows``, all of them where None.

    Raises `InputError` if no column is left.
    """
    if settings.selection is Selection.RESIDUAL:
        fitted = pool.rows if rows is None else pool.rows.take(rows)
        bits = pool.dictionary.bits if rows is None else pool.dictionary.bits.rows(rows)
        plan = Pursuit(keep=settings.max_neurons)
        kept = pursue(bits, fitted.labels, pool.n_classes, plan, counts=fitted.counts)
        return np.sort(kept)
    program = pool.program("softmax", GroupL2(), settings.selection_rho, rows=rows)
    selection = solve(program, tolerance=SELECTION_TOLERANCE, progress=watch)
    strength = np.linalg.norm(selection.W[:-1], axis=1)
    order = np.argsort(-strength, kind="stable")[: settings.max_neurons]
    columns = np.sort(order[strength[order] > 0])
    if not len(columns):
        raise InputError(
            f"selection_rho must leave a column active, which {settings.selection_rho:g} does not: "
            "lower it"
        )
    return columns


def validation_split(
    labels: Labels, groups: Labels | None, *, seed: int, inputs: Labels | None = None
) -> tuple[Indices, Indices]:
    """Return training samples to fit on, and those on which the regularisation is chosen.

    No group is on both sides, nor an input where their numbers are given; unless there are too few
    to leave any on each side: then all samples are on both.
    """
    if groups is not None:
        fit, held = apart(labels, groups, VALIDATION_SHARE, seed=(seed, 1))
    else:
        fit, held = stratified(labels, VALIDATION_SHARE, seed=(seed, 1))
    if inputs is not None:
        fit = fit[~np.isin(inputs[fit], inputs[held])]
    every = np.arange(len(labels))
    return (fit, held) if len(fit) and len(held) else (every, every)
