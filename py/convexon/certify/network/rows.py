"""The rows of a program, counted anew from the data set that they are of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convexon.certify.exact.dyadic import FloatArray
from convexon.certify.exact.losses import EXACT_LOSSES
from convexon.certify.statement import IntArray, Statement
from convexon.data.dataset import SpikeDataset
from convexon.errors import ClaimError
from convexon.snn.neuron import ReadoutMode


@dataclass(frozen=True, eq=False)
class DataRows:
    """Distinct inputs with a label, and a group of samples, in the order in which they come first.

    Members
    -------
    samples, readouts : int64 array, shape (n,)
        Sample that a row comes first in; its step for `ReadoutMode.STEP`, else 0.
    labels, counts, groups : int64 array, shape (n,)
        As for `Statement`, labels for its targets.
    """

    samples: IntArray
    readouts: IntArray
    labels: IntArray
    counts: IntArray
    groups: IntArray


def rows_of(data: SpikeDataset, mode: ReadoutMode) -> DataRows:
    """Count the rows of a data set; for STEP an input is all steps up to the row's own."""
    stepwise = mode is ReadoutMode.STEP
    ends = range(1, data.n_steps + 1) if stepwise else [data.n_steps]
    groups: dict[bytes, int] = {}
    rows: dict[tuple[int, int, int], list[int]] = {}
    subjects = np.zeros(data.n_samples, dtype=np.int64) if data.groups is None else data.groups
    samples = zip(data.inputs, data.labels, subjects.tolist(), strict=True)
    for sample, (steps, label, subject) in enumerate(samples):
        labels = np.broadcast_to(label, len(ends)).tolist()
        for readout, (end, own) in enumerate(zip(ends, labels, strict=True)):
            group = groups.setdefault(steps[:end].tobytes(), len(groups))
            row = rows.setdefault((group, own, subject), [sample, readout, own, 0, group])
            row[3] += 1
    return DataRows(*np.array(list(rows.values()), dtype=np.int64).T)


def require_rows(statement: Statement, rows: DataRows, n_classes: int, name: str) -> None:
    """Raise `ClaimError` unless the statement is of these rows, targets and all."""
    same_counts = np.array_equal(statement.counts, rows.counts)
    if not same_counts or not _same_parts(statement.groups, rows.groups):
        raise ClaimError(f"claim data does not hold: the rows are not the samples of {name}")
    expected = _targets(statement, rows.labels, n_classes)
    if expected is None or not np.array_equal(statement.targets, expected):
        raise ClaimError(f"claim data does not hold: the targets are not the labels of {name}")


def _same_parts(a: IntArray, b: IntArray) -> bool:
    """Whether two numberings put the same rows into one group."""
    pairs = np.stack([a, b])
    n_pairs = np.unique(pairs, axis=1).shape[1]
    return bool(n_pairs == len(np.unique(a)) == len(np.unique(b)))


def _targets(statement: Statement, labels: IntArray, n_classes: int) -> FloatArray | None:
    """Targets that the loss has for labels; None where so many outputs cannot tell them apart."""
    if statement.n_outputs == 1:
        return np.where(labels > 0, 1.0, -1.0)[:, None] if n_classes == 2 else None
    off_class = EXACT_LOSSES[statement.loss].off_class
    own: npt.NDArray[np.bool_] = np.arange(statement.n_outputs) == labels[:, None]
    return np.where(own, 1.0, off_class) if n_classes == statement.n_outputs else None
