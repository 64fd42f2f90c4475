"""Rows of a convex program: distinct inputs once, with how many samples each stands for.

Samples with identical inputs share every spike pattern, so they are one row of the dictionary. A
row of the program is a distinct pair of input and label, weighted by its count: samples whose
inputs agree and whose labels conflict stay apart as rows of one *group*, which any network must
give one and the same score.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from convexon.convex.model.loss import Loss
from convexon.convex.model.penalty import Penalty
from convexon.convex.model.problem import Problem
from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.snn.neuron import ReadoutMode

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Rows:
    """The m distinct rows of a data set under a readout mode."""

    # (m,), first occurrence of each row among all rows: samples, or for `ReadoutMode.STEP` (sample,
    # step) pairs, steps running fastest.
    index: IntArray
    labels: IntArray  # (m,)
    counts: IntArray  # (m,), how many of all rows each stands for
    # (m,), the same number exactly for rows with the same input, from 0 on. For STEP the input of a
    # row is all that a network has seen: the steps up to its own.
    groups: IntArray
    per_sample: int  # rows of one sample: T for STEP, else 1
    mode: ReadoutMode
    subjects: IntArray | None = None  # (m,), group of each row's samples, where they have groups

    @property
    def n_rows(self) -> int:
        """Return m."""
        return len(self.index)

    @property
    def samples(self) -> npt.NDArray[np.intp]:
        """Sample that each row comes from, shape (m,)."""
        return (self.index // self.per_sample).astype(np.intp)

    @property
    def steps(self) -> npt.NDArray[np.intp]:
        """Step of its sample that each row comes from; 0 unless the mode is STEP."""
        return (self.index % self.per_sample).astype(np.intp)

    def take(self, chosen: npt.NDArray[np.intp]) -> Rows:
        """Return some of the rows."""
        return replace(
            self,
            index=self.index[chosen],
            labels=self.labels[chosen],
            counts=self.counts[chosen],
            groups=np.unique(self.groups[chosen], return_inverse=True)[1],
            subjects=None if self.subjects is None else self.subjects[chosen],
        )

    def problem(self, loss: Loss, penalty: Penalty, rho: float, *, n_outputs: int) -> Problem:
        """Return the learning task of these rows, with ``n_outputs`` scores each."""
        return Problem(
            targets=loss.targets(self.labels, n_outputs),
            loss=loss,
            penalty=penalty,
            rho=rho,
            n_classes=n_outputs,
            counts=self.counts,
            groups=self.groups,
        )


def distinct_rows(dataset: SpikeDataset, mode: ReadoutMode) -> Rows:
    """Merge the rows of ``dataset`` that have input, label and group in common.

    Raises `InputError` if every step has a label but the readout gives one score a sample.
    """
    stepwise = mode is ReadoutMode.STEP
    if dataset.has_step_labels and not stepwise:
        raise InputError(f"readout_mode must be step for labels of every step, not {mode.value}")
    per_sample = dataset.n_steps if stepwise else 1
    inputs = _prefixes(dataset) if stepwise else input_numbers(dataset)
    labels = dataset.labels.ravel()
    if stepwise and not dataset.has_step_labels:
        labels = np.repeat(labels, per_sample)
    pairs = inputs * (int(labels.max()) + 1) + labels
    subjects = None if dataset.groups is None else np.repeat(dataset.groups, per_sample)
    if subjects is not None:
        _, known = np.unique(pairs, return_inverse=True)
        pairs = known.ravel() * (int(subjects.max()) + 1) + subjects
    _, first, counts = np.unique(pairs, return_index=True, return_counts=True)
    order = np.argsort(first)  # first come, first kept
    index = first[order]
    # Groups are numbered anew in the order of the rows that were kept.
    _, groups = np.unique(inputs[index], return_inverse=True)
    return Rows(
        index=index.astype(np.int64),
        labels=labels[index],
        counts=counts[order].astype(np.int64),
        groups=groups.astype(np.int64),
        per_sample=per_sample,
        mode=mode,
        subjects=None if subjects is None else subjects[index],
    )


def input_numbers(dataset: SpikeDataset) -> IntArray:
    """Return a number for each sample from 0 on, shape (samples,), equal where the inputs are."""
    seen: dict[bytes, int] = {}
    flat = np.ascontiguousarray(dataset.inputs.reshape(dataset.n_samples, -1))
    return np.array([seen.setdefault(row.tobytes(), len(seen)) for row in flat], dtype=np.int64)


def _prefixes(dataset: SpikeDataset) -> IntArray:
    """Number of what a network has seen at each (sample, step), equal where that is."""
    seen: dict[tuple[int, bytes], int] = {}
    numbers = np.empty((dataset.n_samples, dataset.n_steps), dtype=np.int64)
    for i, sample in enumerate(dataset.inputs):
        before = -1
        for t, step in enumerate(sample):
            before = seen.setdefault((before, step.tobytes()), len(seen))
            numbers[i, t] = before
    return numbers.ravel()
