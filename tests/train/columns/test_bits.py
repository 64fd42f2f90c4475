"""Bit-packed columns: what is packed is what is unpacked."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from convexon.errors import InputError
from convexon.train.columns.bits import BitColumns

matrices = st.tuples(
    st.integers(1, 40), st.integers(0, 6), st.sampled_from([1, 2, 5, 8, 255])
).flatmap(
    lambda s: st.tuples(npst.arrays(np.uint8, s[:2], elements=st.integers(0, s[2])), st.just(s[2]))
)


@given(matrices, st.data())
def test_packed_columns_are_the_matrix(case: tuple[np.ndarray, int], data: st.DataObject) -> None:
    matrix, top = case
    bits = BitColumns.pack(matrix, max_value=top)
    assert bits.shape == matrix.shape
    assert np.array_equal(bits.dense(), matrix)
    rows = data.draw(npst.arrays(np.intp, 5, elements=st.integers(0, len(matrix) - 1)))
    assert np.array_equal(bits.rows(rows).dense(), matrix[rows])
    if matrix.shape[1]:
        columns = data.draw(npst.arrays(np.intp, 3, elements=st.integers(0, matrix.shape[1] - 1)))
        assert np.array_equal(bits.dense(columns), matrix[:, columns])
        assert np.array_equal(bits.take(columns).dense(), matrix[:, columns])
    ones = np.ones((len(matrix), 1), dtype=np.uint8)
    assert np.array_equal(bits.with_intercept().dense(), np.hstack([matrix, ones]))


@given(matrices)
def test_keys_are_equal_exactly_where_columns_are(case: tuple[np.ndarray, int]) -> None:
    matrix, top = case
    keys = BitColumns.pack(matrix, max_value=top).keys()
    for a in range(matrix.shape[1]):
        for b in range(matrix.shape[1]):
            assert (keys[a] == keys[b]) == np.array_equal(matrix[:, a], matrix[:, b])


@given(npst.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 4)),
                   elements=st.integers(0, 1)))  # fmt: skip
def test_complement_keys_are_those_of_the_complements(matrix: np.ndarray) -> None:
    bits = BitColumns.pack(matrix)
    assert bits.complement_keys() == BitColumns.pack(1 - matrix).keys()


def test_a_bit_an_entry() -> None:
    assert BitColumns.pack(np.zeros((8000, 30), dtype=np.uint8)).planes.nbytes == 1000 * 30


def test_columns_of_different_depth_are_joined() -> None:
    spikes, counts = np.array([[1], [0], [1]]), np.array([[5], [0], [3]])
    parts = [BitColumns.pack(spikes), BitColumns.pack(counts, max_value=5)]
    assert np.array_equal(BitColumns.joined(parts).dense(), np.hstack([spikes, counts]))


@pytest.mark.parametrize(
    ("planes", "n_rows", "message"),
    [
        (np.zeros((1, 2, 1), np.int64), 3, "planes must be bytes of shape"),
        (np.zeros((1, 2), np.uint8), 3, "planes must be bytes of shape"),
        (np.zeros((9, 2, 1), np.uint8), 3, "planes must be bytes of shape"),
        (np.zeros((1, 2, 2), np.uint8), 3, "planes must have 1 bytes a column for 3 rows, not 2"),
        (np.zeros((1, 2, 0), np.uint8), 0, "planes must have 0 bytes a column"),
        (np.ones((1, 2, 1), np.uint8), 3, "planes must be zero after row 3: they are damaged"),
    ],
)
def test_damaged_planes_are_refused(planes: np.ndarray, n_rows: int, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        BitColumns(planes=planes, n_rows=n_rows)


@pytest.mark.parametrize(
    ("matrix", "top", "message"),
    [
        (np.zeros(3, np.uint8), 1, "columns must be an integer matrix"),
        (np.zeros((3, 1)), 1, "columns must be an integer matrix"),
        (np.zeros((3, 1), np.uint8), 256, "columns must be an integer matrix"),
        (np.full((3, 1), 2), 1, "columns must hold integers in 0..1 only"),
        (np.full((3, 1), -1), 1, "columns must hold integers in 0..1 only"),
    ],
)
def test_what_does_not_fit_is_refused(matrix: np.ndarray, top: int, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        BitColumns.pack(matrix, max_value=top)


def test_parts_must_have_the_same_rows_and_counts_no_complements() -> None:
    one, other = BitColumns.pack([[1], [0]]), BitColumns.pack([[1]])
    with pytest.raises(InputError, match=r"^parts must have the same number of rows, not \[1, 2\]"):
        BitColumns.joined([one, other])
    with pytest.raises(InputError, match=r"^planes must be one for complements"):
        BitColumns.pack([[2]], max_value=2).complement_keys()
