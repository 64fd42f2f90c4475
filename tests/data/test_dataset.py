"""Spike data sets: what they refuse, and their file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convexon.data.dataset import DATASET, SpikeDataset, check_labels
from convexon.errors import InputError
from convexon.store.artefact import load, save


def dataset(**changes: Any) -> SpikeDataset:
    members = {
        "inputs": np.ones((3, 2, 4), np.uint8),
        "labels": [0, 1, 1],
        "n_classes": 2,
        "input_bits": 1,
        "name": "three",
    }
    return SpikeDataset(**{**members, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": np.ones((3, 4), np.uint8)}, "inputs must have shape (samples, steps, inputs),"),
        ({"inputs": np.ones((3, 0, 4), np.uint8)}, "inputs must have shape (samples, steps, input"),
        ({"inputs": np.ones((0, 2, 4), np.uint8)}, "inputs must have shape (samples, steps, input"),
        ({"inputs": np.ones((3, 2, 0), np.uint8)}, "inputs must have shape (samples, steps, input"),
        ({"inputs": np.full((3, 2, 4), 2)}, "inputs must be integers in 0..1 (1 bits)"),
        ({"inputs": np.full((3, 2, 4), -1)}, "inputs must be integers in 0..1 (1 bits)"),
        ({"inputs": np.full((3, 2, 4), np.nan)}, "inputs must be integers in 0..1 (1 bits)"),
        ({"inputs": np.full((3, 2, 4), np.inf)}, "inputs must be integers in 0..1 (1 bits)"),
        (
            {"inputs": np.full((3, 2, 4), 8), "input_bits": 3},
            "inputs must be integers in 0..7 (3 ",
        ),
        ({"input_bits": 0}, "input_bits must be 1 to 8, not 0"),
        ({"input_bits": 9}, "input_bits must be 1 to 8, not 9"),
        ({"labels": [0, 1]}, "labels must have shape (3,), not (2,)"),
        ({"labels": [[0], [1], [1]]}, "labels must have shape (3, 2), not (3, 1)"),
        ({"labels": [0.0, 1.0, 1.0]}, "labels must be integers, not float64: number the classes"),
        ({"labels": ["a", "b", "b"]}, "labels must be integers, not <U1: number the classes from"),
        ({"labels": [0, 1, 2]}, "labels must lie in 0..1, not 2"),
        ({"labels": [0, -1, 1]}, "labels must lie in 0..1, not -1"),
    ],
)
def test_data_that_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        dataset(**changes)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int64, np.uint64])
def test_labels_of_every_integer_type_are_accepted(kind: type) -> None:
    labels = check_labels(np.array([0, 1, 1], dtype=kind), shape=(3,), n_classes=2)
    assert labels.dtype == np.int64
    assert labels.tolist() == [0, 1, 1]


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 2, 2]])
def test_a_class_may_have_no_sample(labels: list[int]) -> None:
    assert dataset(labels=labels, n_classes=3).labels.tolist() == labels


def test_a_huge_class_costs_no_memory() -> None:
    labels = check_labels(np.array([0, 10**15]), shape=(2,), n_classes=10**15 + 1)
    assert labels.tolist() == [0, 10**15]


def test_data_cannot_be_changed_afterwards() -> None:
    source = np.ones((3, 2, 4), np.uint8)
    data = dataset(inputs=source)
    source[:] = 0
    assert data.inputs.all()
    with pytest.raises(ValueError, match=r"^assignment destination is read-only$"):
        data.labels[0] = 1


def test_file_holds_the_data_unchanged(tmp_path: Path) -> None:
    data = dataset(inputs=np.arange(24, dtype=np.uint8).reshape(3, 2, 4), input_bits=5)
    save(DATASET, data, tmp_path / "data.json")
    again, _ = load(DATASET, tmp_path / "data.json")
    assert np.array_equal(again.inputs, data.inputs)
    assert np.array_equal(again.labels, data.labels)
    assert (again.n_classes, again.input_bits, again.name) == (2, 5, "three")
    assert (again.n_samples, again.n_steps, again.n_inputs) == (3, 2, 4)
