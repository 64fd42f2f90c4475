"""Packing into the vectors of ports.json, and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convexon_sim.bench.packing import field_of, pack, unpack, unpack_field


@given(st.integers(1, 8), st.data())
def test_packed_inputs_come_back(width: int, data: st.DataObject) -> None:
    elements = st.lists(st.integers(0, (1 << width) - 1), min_size=1, max_size=20)
    values = np.array(data.draw(elements), dtype=np.uint8)
    vector = pack(values, width)
    assert vector == sum(int(x) << (i * width) for i, x in enumerate(values))
    back = unpack([vector], width=width, count=len(values), signed=False)
    assert np.array_equal(back, values[None])


@given(st.integers(1, 62), st.booleans(), st.integers(0, 70), st.data())
def test_unpacked_fields_are_those_of_plain_arithmetic(
    width: int, signed: bool, offset: int, data: st.DataObject
) -> None:
    low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)
    count = data.draw(st.integers(1, 6))
    row = st.lists(st.integers(low, high), min_size=count, max_size=count)
    rows = data.draw(st.lists(row, max_size=4))
    noise = data.draw(st.integers(0, (1 << offset) - 1))  # what lies below the field
    above = data.draw(st.integers(0, 3))  # and above it
    mask = (1 << width) - 1
    vectors = [
        (sum((x & mask) << (i * width) for i, x in enumerate(values)) << offset)
        | noise
        | above << (offset + width * count)
        for values in rows
    ]
    found = unpack(vectors, width=width, count=count, signed=signed, offset=offset)
    assert found.shape == (len(rows), count)
    assert found.tolist() == rows


def test_fields_are_found_by_name() -> None:
    label = {"name": "label", "offset": 0, "width": 2, "count": 1, "signed": False}
    scores = {"name": "scores", "offset": 2, "width": 3, "count": 2, "signed": True}
    stream = {"fields": [label, scores]}
    assert field_of(stream, "scores") is scores
    vector = 0b101_011_10
    assert unpack_field([vector], field_of(stream, "label")).tolist() == [[2]]
    assert unpack_field([vector], field_of(stream, "scores")).tolist() == [[3, -3]]
    with pytest.raises(StopIteration):
        field_of(stream, "last")
