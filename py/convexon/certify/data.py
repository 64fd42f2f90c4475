"""Whether a certificate's rows are the samples of a data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from convexon.certify.dyadic import FloatArray
from convexon.certify.finding import Finding
from convexon.certify.losses import EXACT_LOSSES
from convexon.certify.statement import Statement
from convexon.data.dataset import DATASET
from convexon.errors import ClaimError
from convexon.store.artefact import load

Labels = npt.NDArray[np.int64]


def check_data(statement: Statement, path: Path, parents: Mapping[str, str]) -> Finding:
    """Check that targets, counts and equal inputs are those of the data set at ``path``.

    The universal bound depends on the samples only through the labels that each distinct input has,
    and how often: these are compared as a whole, in whatever order the rows are.

    Raises
    ------
    ClaimError
        If the rows are of other samples.
    ArtefactError
        If the data set's file is damaged or was changed.
    """
    claim = "data"
    if not path.exists() or "train" not in parents:
        return Finding.open(claim, f"{path.name} is not beside it")
    data, record = load(DATASET, path)
    if record.digest != parents["train"]:
        return Finding.open(claim, f"{path.name} holds other samples than it was made from")
    if data.labels.ndim != 1:
        return Finding.open(claim, "its rows are steps of samples")
    if statement.unchecked is not None:
        return Finding.open(claim, statement.unchecked)
    labels = _labels(statement, data.n_classes)
    if labels is None or statement.n_samples != data.n_samples:
        raise ClaimError(f"claim data does not hold: the rows are not the samples of {path.name}")
    groups, ones = statement.groups, np.ones(data.n_samples, dtype=np.int64)
    _, inputs = np.unique(data.inputs.reshape(data.n_samples, -1), axis=0, return_inverse=True)
    inputs = inputs.reshape(-1).astype(np.int64)
    if len(np.unique(groups)) == len(groups):
        # No row is said to share its input, which is weaker than the truth or equal to it: then
        # only the labels count, as if all inputs of a label were one.
        groups, inputs = labels, data.labels
    stated = _label_counts(groups, labels, statement.counts)
    if stated != _label_counts(inputs, data.labels, ones):
        raise ClaimError(
            f"claim data does not hold: the labels of equal inputs are not those of {path.name}"
        )
    n_inputs = len(np.unique(statement.groups))
    return Finding.held(claim, f"{statement.n_samples} samples, {n_inputs} distinct inputs")


def _labels(statement: Statement, n_classes: int) -> Labels | None:
    """Class of each row; None where the targets do not say one."""
    values: FloatArray = statement.targets
    if values.shape[1] == 1:
        return (values[:, 0] > 0.0).astype(np.int64) if n_classes == 2 else None
    labels = values.argmax(axis=1).astype(np.int64)
    off = EXACT_LOSSES[statement.loss].off_class
    expected = np.where(np.eye(values.shape[1], dtype=bool)[labels], 1.0, off)
    return labels if values.shape[1] == n_classes and (values == expected).all() else None


def _label_counts(groups: Labels, labels: Labels, counts: Labels) -> Counter[tuple[object, ...]]:
    """How many inputs have each combination of labels with their counts."""
    of_input: dict[int, Counter[int]] = {}
    for group, label, count in zip(groups.tolist(), labels.tolist(), counts.tolist(), strict=True):
        of_input.setdefault(group, Counter())[label] += count
    return Counter(tuple(sorted(found.items())) for found in of_input.values())
