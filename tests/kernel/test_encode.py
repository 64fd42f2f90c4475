"""Encoders: values by hand, properties, and what they refuse."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from convexon.data.coding import Coding, encode, scaled_to_unit
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from convexon.errors import InputError

FEATURES = npst.arrays(np.float64, (3, 4), elements=st.floats(0, 1))


def steps_of(x: float, coding: Coding, n_steps: int, bits: int = 1) -> list[int]:
    return encode([[x]], coding=coding, n_steps=n_steps, bits=bits)[0, :, 0].tolist()


@pytest.mark.parametrize(
    ("x", "threshold", "latency"),
    [
        # Thresholds of four steps are 0.8, 0.6, 0.4 and 0.2.
        (1.0, [1, 1, 1, 1], [1, 0, 0, 0]),
        (0.5, [0, 0, 1, 1], [0, 0, 1, 0]),
        (0.2, [0, 0, 0, 1], [0, 0, 0, 1]),
        (0.0, [0, 0, 0, 0], [0, 0, 0, 0]),
    ],
)
def test_spike_codings_by_hand(x: float, threshold: list[int], latency: list[int]) -> None:
    assert steps_of(x, Coding.THRESHOLD, 4) == threshold
    assert steps_of(x, Coding.LATENCY, 4) == latency


@pytest.mark.parametrize(("x", "level"), [(0.0, 0), (1.0, 7), (0.5, 4), (0.2, 1)])
def test_intensity_by_hand(x: float, level: int) -> None:
    assert steps_of(x, Coding.INTENSITY, 3, bits=3) == [level] * 3


def test_eight_bits_reach_the_whole_byte() -> None:
    assert steps_of(1.0, Coding.INTENSITY, 1, bits=8) == [255]


@given(FEATURES, st.integers(1, 6))
def test_brighter_features_fire_no_later_and_no_less(x: np.ndarray, n_steps: int) -> None:
    spikes = encode(x, coding=Coding.THRESHOLD, n_steps=n_steps)
    brighter = encode(np.minimum(x + 0.1, 1.0), coding=Coding.THRESHOLD, n_steps=n_steps)
    assert spikes.shape == (3, n_steps, 4)
    assert (brighter >= spikes).all()
    assert (np.diff(spikes.astype(int), axis=1) >= 0).all()  # once started, it keeps firing


@given(FEATURES, st.integers(1, 6))
def test_latency_is_the_first_spike_of_threshold_coding(x: np.ndarray, n_steps: int) -> None:
    all_spikes = encode(x, coding=Coding.THRESHOLD, n_steps=n_steps)
    first = encode(x, coding=Coding.LATENCY, n_steps=n_steps)
    assert np.array_equal(first.sum(axis=1), all_spikes.any(axis=1))
    fired = all_spikes.any(axis=1)
    assert np.array_equal(first.argmax(axis=1)[fired], all_spikes.argmax(axis=1)[fired])


@given(FEATURES, st.integers(1, 8))
def test_intensity_is_the_nearest_level(x: np.ndarray, bits: int) -> None:
    levels = (1 << bits) - 1
    encoded = encode(x, coding=Coding.INTENSITY, n_steps=2, bits=bits)
    assert np.array_equal(encoded[:, 0], encoded[:, 1])
    assert (np.abs(encoded[:, 0] - x * levels) <= 0.5).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_steps": 0}, "n_steps must be at least 1, not 0"),
        ({"features": [0.5]}, "features must have shape (samples, inputs), not (1,)"),
        ({"features": np.zeros((0, 2))}, "features must have shape (samples, inputs), not (0, 2)"),
        ({"features": [[0.1, np.nan]]}, "features[0, 1] must be finite, not nan"),
        ({"features": [[0.1], [np.inf]]}, "features[1, 0] must be finite, not inf"),
        ({"features": [[0.1], [1.5]]}, "features[1, 0] must lie in 0..1, not 1.5: scale them"),
        ({"features": [[-0.5]]}, "features[0, 0] must lie in 0..1, not -0.5: scale them"),
        ({"bits": 2}, "bits must be 1 to 1 for threshold coding, not 2"),
        ({"bits": 0}, "bits must be 1 to 1 for threshold coding, not 0"),
        (
            {"bits": 9, "coding": Coding.INTENSITY},
            "bits must be 1 to 8 for intensity coding, not 9",
        ),
    ],
)
def test_encoder_refuses_what_does_not_fit(changes: dict[str, Any], message: str) -> None:
    arguments = {"features": [[0.5]], "coding": Coding.THRESHOLD, "n_steps": 2, **changes}
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        encode(arguments.pop("features"), **arguments)


def test_scaling_by_hand() -> None:
    assert scaled_to_unit([[-2, 0], [2, 6]]).tolist() == [[0.0, 0.25], [0.5, 1.0]]
    assert scaled_to_unit([[3, 3]]).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.0, np.nan]], "values[0, 1] must be finite, not nan"),
        ([[-np.inf]], "values[0, 0] must be finite, not -inf"),
        ([["a"]], "values must be numbers, not <U1"),
        ([[1j]], "values must be numbers, not complex128"),
    ],
)
def test_scaling_refuses_what_is_no_number(values: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        scaled_to_unit(values)


def test_test_samples_have_no_say_in_the_scale_and_are_clipped() -> None:
    scaled = scaled_to_unit([[-1.0, 4.0, 9.0]], reference=[[0.0, 8.0]])
    assert scaled.tolist() == [[0.0, 0.5, 1.0]]


def test_scale_of_the_largest_numbers_does_not_overflow() -> None:
    assert scaled_to_unit([[-1.7e308, 0.0, 1.7e308]]).tolist() == [[0.0, 0.5, 1.0]]
