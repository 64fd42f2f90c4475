"""Rows: equal inputs are one pattern, conflicting labels one score."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.snn.neuron import ReadoutMode
from convexon.train.columns.dictionary import simulate_columns
from convexon.train.columns.rows import distinct_rows
from strategies import branches


def dataset(inputs: np.ndarray, labels: np.ndarray) -> SpikeDataset:
    return SpikeDataset(
        inputs=inputs.astype(np.uint8), labels=labels, n_classes=2, input_bits=1, name="rows"
    )


@st.composite
def datasets(draw: st.DrawFn, *, step_labels: bool) -> SpikeDataset:
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, t = draw(st.integers(3, 12)), draw(st.integers(1, 3))
    shape = (n, t) if step_labels else (n,)
    labels = generator.integers(0, 2, shape)
    labels.ravel()[:2] = [0, 1]
    if labels.size < 2:
        labels = np.array([[0], [1], [1]])[:n]
    return dataset(generator.integers(0, 2, (n, t, 2)), labels)


def seen(data: SpikeDataset, row: int, per_sample: int) -> bytes:
    """All that a network has seen when it answers for a row."""
    sample, step = divmod(row, per_sample)
    last = step + 1 if per_sample > 1 else data.n_steps
    return data.inputs[sample, :last].tobytes() + bytes([last])


@given(st.booleans().flatmap(lambda s: datasets(step_labels=s)))
def test_rows_are_the_distinct_pairs_of_input_and_label(data: SpikeDataset) -> None:
    mode = ReadoutMode.STEP if data.has_step_labels else ReadoutMode.LAST
    rows = distinct_rows(data, mode)
    labels = data.labels.ravel()
    pairs = [(seen(data, i, rows.per_sample), int(labels[i])) for i in range(len(labels))]
    assert rows.counts.sum() == len(pairs)
    for index, label, count in zip(rows.index, rows.labels, rows.counts, strict=True):
        assert label == labels[index]
        assert pairs.index(pairs[index]) == index
        assert pairs.count(pairs[index]) == count
    assert rows.n_rows == len(set(pairs))
    inputs = [seen(data, int(i), rows.per_sample) for i in rows.index]
    for a in range(rows.n_rows):
        for b in range(rows.n_rows):
            assert (rows.groups[a] == rows.groups[b]) == (inputs[a] == inputs[b])
    assert rows.groups.max() + 1 == len(set(inputs))


@given(branches(2), st.booleans().flatmap(lambda s: datasets(step_labels=s)))
def test_merged_rows_hold_the_columns_of_all_rows(branch: object, data: SpikeDataset) -> None:
    mode = ReadoutMode.STEP if data.has_step_labels else ReadoutMode.COUNT
    rows = distinct_rows(data, mode)
    merged = simulate_columns([branch], data, mode, rows=rows).dense()
    whole = simulate_columns([branch], data, mode).dense()
    assert np.array_equal(merged, whole[rows.index])
    # Rows of one group share every entry, whatever the network.
    for a in range(rows.n_rows):
        for b in range(rows.n_rows):
            if rows.groups[a] == rows.groups[b]:
                assert np.array_equal(merged[a], merged[b])


def test_labels_of_steps_ask_for_scores_of_steps() -> None:
    data = dataset(np.zeros((2, 3, 1)), np.array([[0, 1, 0], [1, 1, 0]]))
    with pytest.raises(InputError, match=r"^readout_mode must be step for labels of every step"):
        distinct_rows(data, ReadoutMode.LAST)


def test_one_label_a_sample_serves_all_its_steps() -> None:
    rows = distinct_rows(dataset(np.arange(4).reshape(2, 2, 1) % 2, np.array([0, 1])),
                         ReadoutMode.STEP)  # fmt: skip
    assert rows.labels.tolist() == [0, 0, 1, 1]
    assert rows.steps.tolist() == [0, 1, 0, 1]
    assert rows.samples.tolist() == [0, 0, 1, 1]
