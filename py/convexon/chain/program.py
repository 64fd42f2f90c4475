"""The convex programs of stage ``solve``: to select columns, to choose rho, and to certify."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from convexon.chain.progress import Progress
from convexon.chain.settings import SolveSettings
from convexon.convex import (
    L1,
    ConvexProgram,
    GroupL2,
    LossKind,
    Penalty,
    certify,
    loss_for,
    solve,
    universal_bound,
)
from convexon.convex.bits import BitColumns
from convexon.convex.dictionary import SpikeDictionary
from convexon.convex.record import GapRecord
from convexon.convex.solved import SolvedProgram, history_of
from convexon.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.quantize import quantization_bound
from convexon.simulate import decisions

VALIDATION_SHARE = 0.2
"""Share of the training samples on which rho is chosen."""

SELECTION_TOLERANCE, VALIDATION_TOLERANCE = 1e-2, 1e-3
"""Gaps of the programs that select columns and choose rho; they certify nothing."""

Labels = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp]
Watch = Callable[[GapRecord], None]


def solve_program(
    settings: SolveSettings, train: SpikeDataset, dictionary: SpikeDictionary, progress: Progress
) -> SolvedProgram:
    """Select columns, choose rho, and solve the l1 program to its certificate.

    Rho is chosen by its accuracy on a validation share of the training samples, that the selection
    and the fits have not seen; the witnesses were drawn with all of them in view. The selection's
    row-group norm prunes whole neurons, which the entrywise l1 norm does not, and its loss is
    softmax, whatever the certified loss. Selection and the certified program are then over all
    training samples. Two certificates follow: over the selected columns, to the tolerance, and over
    every column drawn, which says what the selection gave away.

    Raises
    ------
    InputError
        If no column survives the selection.
    SolverError
        If a gap is not reached.
    """

    def watch(record: GapRecord) -> None:
        progress.advance(f"gap {record.gap:.1e}, {record.n_working} columns at work")

    everything = dictionary.with_intercept()
    validation = _validate(settings, train, everything, progress, watch)
    rho = max(validation, key=lambda r: (validation[r], r))  # of equals, the sparser network

    progress.begin("selecting columns (row-group program)")
    all_rows = np.arange(everything.n_rows)
    columns = _select(settings, train, everything, all_rows, watch)
    chosen = dictionary.restricted(columns).with_intercept()
    progress.begin("solving the l1 program")
    kind, classes = settings.loss, train.n_classes
    program = _program(chosen, train.labels, classes, loss=kind, penalty=L1(), rho=rho)
    solution = solve(program, tolerance=settings.tolerance, progress=watch)
    full = np.zeros((everything.n_columns, program.n_outputs))
    full[np.append(columns, len(full) - 1)] = solution.W
    over_all = _program(everything, train.labels, classes, loss=kind, penalty=L1(), rho=rho)
    drawn, _ = certify(over_all, full, dual=solution.dual)
    return SolvedProgram(
        columns=columns.astype(np.int64),
        W=solution.W,
        dual=solution.dual,
        certificate=solution.certificate,
        drawn=drawn,
        universal_lower_bound=universal_bound(
            loss=program.loss,
            targets=program.targets,
            rho=rho,
            penalty=L1(),
            max_feature=dictionary.max_feature,
            n_classes=program.n_classes,
        ).lower_bound,
        quantization=quantization_bound(program, solution.W, bits=settings.readout_bits),
        history=history_of(solution.history),
        validation={f"{r:g}": accuracy for r, accuracy in validation.items()},
    )


def _validate(
    settings: SolveSettings,
    train: SpikeDataset,
    everything: BitColumns,
    progress: Progress,
    watch: Watch,
) -> dict[float, float]:
    """Validation accuracy of each rho, columns selected and weights fitted without that share."""
    fit, held = validation_split(train.labels, train.n_classes, seed=settings.seed)
    progress.begin("choosing rho on validation")
    columns = _select(settings, train, everything, fit, watch)
    chosen = everything.take(np.append(columns, everything.n_columns - 1))
    held_columns = chosen.rows(held).dense().astype(np.float64)
    accuracy: dict[float, float] = {}
    start = None
    for rho in sorted(settings.rhos, reverse=True):  # a warm-started path, sparse to dense
        program = _program(
            chosen.rows(fit),
            train.labels[fit],
            train.n_classes,
            loss=settings.loss,
            penalty=L1(),
            rho=rho,
        )
        start = solve(program, tolerance=VALIDATION_TOLERANCE, start=start, progress=watch).W
        decided = decisions(held_columns @ start)
        accuracy[rho] = float((decided == train.labels[held]).mean())
    return accuracy


def _select(
    settings: SolveSettings, train: SpikeDataset, everything: BitColumns, rows: Rows, watch: Watch
) -> Rows:
    """Strongest columns of the row-group program over ``rows``, as many as neurons are allowed."""
    program = _program(
        everything.rows(rows),
        train.labels[rows],
        train.n_classes,
        loss=LossKind.SOFTMAX,
        penalty=GroupL2(),
        rho=settings.selection_rho,
    )
    selection = solve(program, tolerance=SELECTION_TOLERANCE, progress=watch)
    strength = np.linalg.norm(selection.W[:-1], axis=1)
    order = np.argsort(-strength, kind="stable")[: settings.max_neurons]
    columns = np.sort(order[strength[order] > 0])
    if not len(columns):
        raise InputError(
            f"selection_rho must leave a column active, which {settings.selection_rho!r} does not: "
            "lower it"
        )
    return columns


def validation_split(labels: Labels, n_classes: int, *, seed: int) -> tuple[Rows, Rows]:
    """Return rows to fit on and rows held out for validation, a share of every class."""
    generator = np.random.default_rng([seed, 1])
    held = []
    for c in range(n_classes):
        members = generator.permutation(np.flatnonzero(labels == c))
        if len(members) < 2:
            raise InputError(
                f"class {c} must have 2 or more training samples, one of them for validation, not 1"
            )
        held.append(members[: max(1, round(VALIDATION_SHARE * len(members)))])
    mask = np.zeros(len(labels), dtype=bool)
    mask[np.concatenate(held)] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def targets_for(kind: LossKind, labels: Labels, n_classes: int) -> npt.NDArray[np.float64] | Labels:
    """Return what a loss takes for classes: one-hot rows, +-1 for one against the rest, or labels.

    Raises
    ------
    InputError
        If the logistic loss, which has one score, is asked to tell more than two classes apart.
    """
    if kind is LossKind.SOFTMAX:
        return labels
    if kind is LossKind.LOGISTIC:
        if n_classes != 2:
            raise InputError(f"loss logistic must have 2 classes, not {n_classes}: take softmax")
        return np.asarray(2 * labels - 1, dtype=np.float64)
    one_hot = np.eye(n_classes, dtype=np.float64)[labels]
    targets: npt.NDArray[np.float64] = one_hot if kind is LossKind.SQUARED else 2 * one_hot - 1
    return targets


def _program(
    columns: BitColumns,
    labels: Labels,
    n_classes: int,
    *,
    loss: LossKind,
    penalty: Penalty,
    rho: float,
) -> ConvexProgram:
    """Program over ``columns``, the last of them the always-firing one."""
    return ConvexProgram(
        features=columns,
        targets=targets_for(loss, labels, n_classes),
        loss=loss_for(loss),
        penalty=penalty,
        rho=rho,
        n_classes=1 if loss is LossKind.LOGISTIC else n_classes,
    )
