"""The convex programs of stage ``solve``: one selects columns, one chooses rho, one is certified."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from convexon.convex import (
    L1,
    ConvexProgram,
    GroupL2,
    Penalty,
    Softmax,
    certify,
    solve,
    universal_lower_bound,
)
from convexon.convex.dictionary import SpikeDictionary
from convexon.convex.record import GapRecord
from convexon.convex.solved import SolvedProgram, history_of
from convexon.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.quantize import quantization_bound
from convexon.stage.progress import Progress
from convexon.stage.settings import SolveSettings

VALIDATION_SHARE = 0.2
"""Share of the training samples on which rho is chosen."""

LOOSE_TOLERANCE = 1e-3
"""Gap of the programs that select columns and choose rho; they certify nothing."""

Columns = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp]


def solve_program(
    settings: SolveSettings, train: SpikeDataset, dictionary: SpikeDictionary, progress: Progress
) -> SolvedProgram:
    """Select columns, choose rho, and solve the l1 program to its certificate.

    Columns and rho are chosen without the validation share of the training samples, and rho by its
    accuracy on that share; the certified program is then over all training samples. Two
    certificates follow: over the selected columns, to the tolerance, and over every column drawn,
    which says what the selection gave away.

    Raises
    ------
    InputError
        If no column survives the selection.
    SolverError
        If a gap is not reached.
    """

    def watch(record: GapRecord) -> None:
        progress.advance(f"gap {record.gap:.1e}, {record.n_working} columns at work")

    fit, held = validation_split(train.labels, train.n_classes, seed=settings.seed)
    everything = dictionary.with_intercept()

    progress.begin("selecting columns (row-group program)")
    selection = solve(
        _program(everything[fit], train.labels[fit], train, GroupL2(), settings.selection_rho),
        tolerance=LOOSE_TOLERANCE,
        progress=watch,
    )
    columns = _strongest(selection.W[:-1], settings)
    chosen = dictionary.restricted(columns).with_intercept()

    progress.begin("choosing rho on validation")
    validation: dict[float, float] = {}
    start = None
    for rho in sorted(settings.rhos, reverse=True):  # a warm-started path, sparse to dense
        program = _program(chosen[fit], train.labels[fit], train, L1(), rho)
        start = solve(program, tolerance=LOOSE_TOLERANCE, start=start, progress=watch).W
        decided = (chosen[held].astype(np.float64) @ start).argmax(axis=1)
        validation[rho] = float((decided == train.labels[held]).mean())
    rho = max(validation, key=lambda r: (validation[r], r))  # of equals, the sparser network

    progress.begin("solving the l1 program")
    program = _program(chosen, train.labels, train, L1(), rho)
    solution = solve(program, tolerance=settings.tolerance, progress=watch)
    full = np.zeros((everything.shape[1], train.n_classes))
    full[np.append(columns, len(full) - 1)] = solution.W
    drawn, _ = certify(
        _program(everything, train.labels, train, L1(), rho), full, dual=solution.dual
    )
    return SolvedProgram(
        columns=columns.astype(np.int64),
        W=solution.W,
        dual=solution.dual,
        certificate=solution.certificate,
        drawn=drawn,
        universal_lower_bound=universal_lower_bound(
            loss=Softmax(),
            targets=train.labels,
            rho=rho,
            penalty=L1(),
            max_feature=dictionary.max_feature,
            n_classes=train.n_classes,
        ),
        quantization=quantization_bound(program, solution.W, bits=settings.readout_bits),
        history=history_of(solution.history),
        validation={f"{r:g}": accuracy for r, accuracy in validation.items()},
    )


def validation_split(labels: Labels, n_classes: int, *, seed: int) -> tuple[Rows, Rows]:
    """Return rows to fit on and rows held out for validation, by class; every class stays in the fit."""
    generator = np.random.default_rng([seed, 1])
    held = []
    for c in range(n_classes):
        members = generator.permutation(np.flatnonzero(labels == c))
        held.append(members[: min(round(VALIDATION_SHARE * len(members)), len(members) - 1)])
    mask = np.zeros(len(labels), dtype=bool)
    mask[np.concatenate(held)] = True
    if not mask.any():
        raise InputError("data must have at least 3 samples in some class, to hold out one")
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def _program(
    columns: Columns, labels: Labels, dataset: SpikeDataset, penalty: Penalty, rho: float
) -> ConvexProgram:
    """Softmax program over ``columns``, the last of them the always-firing one."""
    return ConvexProgram(
        features=columns,
        targets=labels,
        loss=Softmax(),
        penalty=penalty,
        rho=rho,
        n_classes=dataset.n_classes,
    )


def _strongest(W: npt.NDArray[np.float64], settings: SolveSettings) -> Rows:
    """Columns with the largest rows, at most as many as neurons are allowed, in their order."""
    strength = np.linalg.norm(W, axis=1)
    order = np.argsort(-strength, kind="stable")[: settings.max_neurons]
    columns = np.sort(order[strength[order] > 0])
    if not len(columns):
        raise InputError(
            f"selection_rho must leave a column active, and {settings.selection_rho!r} leaves none: "
            "lower it"
        )
    return columns
