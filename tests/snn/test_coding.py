"""Codings: values by hand, properties, and what they refuse."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from convexon.errors import InputError
from convexon.snn.coding import (
    CODINGS,
    DIRECT,
    INTENSITY,
    LATENCY,
    SERIES,
    THRESHOLD,
    Coding,
    finite,
    quantized,
    require_bits,
)

FEATURES = npst.arrays(np.float64, (3, 4), elements=st.floats(0, 1))


def encode(values: Any, coding: str, *, n_steps: int, bits: int = 1) -> np.ndarray:
    return CODINGS[coding].encode(np.asarray(values, np.float64), n_steps=n_steps, bits=bits)


def steps_of(x: float, coding: str, n_steps: int, bits: int = 1) -> list[int]:
    return encode([[x]], coding, n_steps=n_steps, bits=bits)[0, :, 0].tolist()


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
    assert steps_of(x, THRESHOLD, 4) == threshold
    assert steps_of(x, LATENCY, 4) == latency


@pytest.mark.parametrize(
    ("coding", "on", "off"),
    [
        # Levels of the series are 0, 96, 96, 40, 255, 255: parts of 64, or of 32, of 256.
        ("midpoint", [0, 0, 0, 0, 1, 1], None),
        ("delta-2", [0, 1, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0]),
        ("delta-3", [0, 1, 1, 0, 1, 1], [0, 0, 0, 0, 0, 0]),
        ("crossing-2", [0, 1, 0, 0, 1, 0], [0, 0, 0, 1, 0, 0]),
        ("crossing-3", [0, 1, 0, 0, 1, 0], [0, 0, 0, 1, 0, 0]),
    ],
)
def test_codings_of_series_by_hand(coding: str, on: list[int], off: list[int] | None) -> None:
    series = np.array([0, 96, 96, 40, 255, 255])[None, :, None] / 255
    both = np.concatenate([series, series[:, ::-1]], axis=2)
    steps = encode(both, coding, n_steps=6)
    assert steps[0, :, 0].tolist() == on
    if off is not None:
        assert steps[0, :, 1].tolist() == off
        assert steps.shape == (1, 6, 4)


@given(npst.arrays(np.float64, (2, 9, 3), elements=st.floats(0, 1)), st.integers(2, 4))
def test_delta_coding_follows_a_slow_series(values: np.ndarray, resolution: int) -> None:
    """What its spikes sum up to stays within a part of a series that moves by less a step."""
    part = 2.0**-resolution
    slow = np.clip(values[:, :1] + 0.9 * part * (values - values[:, :1]).clip(-1, 1), 0, 1)
    walk = (slow[:, :1] + np.diff(slow, axis=1, prepend=slow[:, :1]).cumsum(axis=1)).clip(0, 1)
    spikes = encode(walk, f"delta-{resolution}", n_steps=9).reshape(2, 9, 3, 2).astype(int)
    assert not (spikes[..., 0] & spikes[..., 1]).any()
    followed = walk[:, :1] + part * (spikes[..., 0] - spikes[..., 1]).cumsum(axis=1)
    assert np.abs(followed - walk).max() <= part + 2 / 255


@pytest.mark.parametrize("coding", ["midpoint", "delta-3", "crossing-4"])
def test_series_that_stays_makes_no_event(coding: str) -> None:
    steps = encode(np.full((1, 5, 2), 0.4), coding, n_steps=5)
    assert not steps.any()


@pytest.mark.parametrize(("x", "level"), [(0.0, 0), (1.0, 7), (0.5, 4), (0.2, 1)])
def test_levels_by_hand(x: float, level: int) -> None:
    assert steps_of(x, INTENSITY, 3, bits=3) == [level] * 3
    assert encode([[[x], [1.0]]], SERIES, n_steps=2, bits=3).tolist() == [[[level], [7]]]
    assert quantized([[x]], bits=3).tolist() == [[level]]


def test_what_comes_in_directly_stays_as_it_is() -> None:
    assert encode([[[0, 5], [7, 1]]], DIRECT, n_steps=2, bits=3).tolist() == [[[0, 5], [7, 1]]]


def test_eight_bits_reach_the_whole_byte() -> None:
    assert steps_of(1.0, INTENSITY, 1, bits=8) == [255]


@given(FEATURES, st.integers(1, 6))
def test_brighter_features_fire_no_later_and_no_less(x: np.ndarray, n_steps: int) -> None:
    spikes = encode(x, THRESHOLD, n_steps=n_steps)
    brighter = encode(np.minimum(x + 0.1, 1.0), THRESHOLD, n_steps=n_steps)
    assert spikes.shape == (3, n_steps, 4)
    assert (brighter >= spikes).all()
    assert (np.diff(spikes.astype(int), axis=1) >= 0).all()  # once started, it keeps firing


@given(FEATURES, st.integers(1, 6))
def test_latency_is_the_first_spike_of_threshold_coding(x: np.ndarray, n_steps: int) -> None:
    all_spikes = encode(x, THRESHOLD, n_steps=n_steps)
    first = encode(x, LATENCY, n_steps=n_steps)
    assert np.array_equal(first.sum(axis=1), all_spikes.any(axis=1))
    fired = all_spikes.any(axis=1)
    assert np.array_equal(first.argmax(axis=1)[fired], all_spikes.argmax(axis=1)[fired])


@given(FEATURES, st.integers(1, 8))
def test_intensity_is_the_nearest_level(x: np.ndarray, bits: int) -> None:
    levels = (1 << bits) - 1
    encoded = encode(x, INTENSITY, n_steps=2, bits=bits)
    assert np.array_equal(encoded[:, 0], encoded[:, 1])
    assert (np.abs(encoded[:, 0] - x * levels) <= 0.5).all()


@pytest.mark.parametrize(
    ("coding", "bits", "message"),
    [
        (THRESHOLD, 2, "bits must be 1 to 1 for threshold coding, not 2"),
        (THRESHOLD, 0, "bits must be 1 to 1 for threshold coding, not 0"),
        (LATENCY, 2, "bits must be 1 to 1 for latency coding, not 2"),
        (INTENSITY, 9, "bits must be 1 to 8 for intensity coding, not 9"),
        (SERIES, 9, "bits must be 1 to 8 for series coding, not 9"),
        (DIRECT, 0, "bits must be 1 to 8 for direct coding, not 0"),
        ("morse", 1, "coding must be one of threshold, latency, intensity, series, direct"),
    ],
)
def test_bits_that_do_not_suit_the_coding_are_refused(coding: str, bits: int, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        require_bits(coding, bits)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[0.1, np.nan]], "values[0, 1] must be finite, not nan"),
        ([[0.1], [np.inf]], "values[1, 0] must be finite, not inf"),
        ([[-np.inf]], "values[0, 0] must be finite, not -inf"),
        ([["a"]], "values must be numbers, not <U1"),
        ([[1j]], "values must be numbers, not complex128"),
    ],
)
def test_what_is_no_finite_number_is_refused(values: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        finite(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[0.1], [1.5]], "values[1, 0] must lie in 0..1, not 1.5: scale them"),
        ([[-0.5]], "values[0, 0] must lie in 0..1, not -0.5: scale them"),
    ],
)
def test_values_without_a_level_are_refused(values: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        quantized(values, bits=3)


class Greedy(Coding):
    """More bits than an input can have."""

    max_bits = 9

    def encode(self, values: np.ndarray, *, n_steps: int, bits: int) -> np.ndarray:
        raise AssertionError("it is never asked")


@pytest.mark.parametrize("thing", [Greedy(), object(), Greedy])
def test_what_is_no_coding_cannot_be_added(thing: Any) -> None:
    with pytest.raises(InputError, match=r"^a coding must be an instance of .* max_bits of 1 to 8"):
        CODINGS.add("greedy", thing)
    assert "greedy" not in CODINGS
