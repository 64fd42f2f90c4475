"""Weight alphabets: their values, and rounding to them."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convexon.errors import InputError
from convexon.train.witnesses.alphabet import TERNARY, Alphabet

alphabets = st.builds(Alphabet.integers, st.integers(2, 8)) | st.builds(
    Alphabet.powers_of_two, st.integers(2, 5)
)


@given(alphabets, st.floats(-(2.0**15), 2.0**15))
def test_nearest_value_is_nearest(alphabet: Alphabet, weight: float) -> None:
    found = int(alphabet.nearest(np.array([weight]))[0])
    distance = np.abs(alphabet.values - weight)
    assert found in alphabet.values
    assert abs(found - weight) == distance.min()
    assert abs(found) == min(abs(v) for v in alphabet.values[distance == distance.min()])


@given(alphabets)
def test_values_are_symmetric_sorted_and_fit_the_format(alphabet: Alphabet) -> None:
    values = alphabet.values
    assert np.array_equal(values, np.unique(values))
    assert np.array_equal(values, -values[::-1])
    assert 0 in values
    assert 0 not in alphabet.nonzero
    limits = alphabet.format.interval
    assert limits.low <= values[0]
    assert values[-1] <= limits.high
    assert Alphabet.parse(alphabet.name).magnitudes == alphabet.magnitudes


def test_alphabets_by_hand() -> None:
    assert TERNARY.values.tolist() == [-1, 0, 1]
    assert Alphabet.integers(3).magnitudes == (1, 2, 3)
    assert Alphabet.powers_of_two(3).magnitudes == (1, 2, 4)
    assert len(Alphabet.powers_of_two(4).values) == 15


@pytest.mark.parametrize("text", ["", "int", "int99", "pow2", "pow3-2", "ternary2", "int1"])
def test_unknown_names_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        Alphabet.parse(text)


def test_messages_say_what_fits() -> None:
    with pytest.raises(InputError, match=re.escape("alphabet must be ternary, intB or pow2-B")):
        Alphabet.parse("binary")
    with pytest.raises(InputError, match=r"^weight_bits must be 2 to 16, not 17$"):
        Alphabet.integers(17)
    with pytest.raises(InputError, match=r"^weight_bits must be 2 to 5 for powers of two, not 6$"):
        Alphabet.powers_of_two(6)
