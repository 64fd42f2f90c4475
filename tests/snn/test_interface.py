"""What a network takes and gives: scaling by feature, shapes, and names of classes."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from convexon.errors import InputError
from convexon.snn.coding import DIRECT, INTENSITY, SERIES, THRESHOLD, quantized
from convexon.snn.interface import Interface
from convexon.store.codec import from_json, to_json

CLASSES = ("no", "yes")


def fitted(values: Any, coding: str = THRESHOLD) -> Interface:
    return Interface.fitted(values, coding=coding, classes=CLASSES)


def test_each_feature_of_a_table_has_its_own_range() -> None:
    """In units as different as an alcohol content and an amount of proline."""
    table = [[11.0, 1000.0], [13.0, 500.0], [15.0, 1500.0]]
    interface = fitted(table)
    assert (interface.low.tolist(), interface.high.tolist()) == ([11.0, 500.0], [15.0, 1500.0])
    assert interface.scaled(table).tolist() == [[0.0, 0.5], [0.5, 0.0], [1.0, 1.0]]


def test_new_samples_have_no_say_in_the_range_and_are_clipped() -> None:
    interface = fitted([[0.0, 0.0], [8.0, 2.0]])
    assert interface.scaled([[-1.0, 1.0], [9.0, 3.0]]).tolist() == [[0.0, 0.5], [1.0, 1.0]]


def test_pixels_of_an_image_share_a_range() -> None:
    images = np.array([[[0, 1], [2, 4]], [[1, 1], [1, 1]]])
    interface = fitted(images)
    assert (set(interface.low), set(interface.high)) == ({0.0}, {4.0})
    assert (interface.shape, interface.n_inputs) == ((2, 2), 4)
    assert interface.scaled(images)[0].tolist() == [0.0, 0.25, 0.5, 1.0]
    assert interface.scaled(images.reshape(2, 4))[0].tolist() == [0.0, 0.25, 0.5, 1.0]
    assert interface.constant_features == []  # though the first pixel alone says little


def test_columns_without_a_background_are_channels_with_a_range_of_their_own() -> None:
    series = np.array([[[0.0, 10.0], [5.0, 30.0]], [[10.0, 20.0], [0.0, 10.0]]])
    interface = fitted(series)
    assert (interface.low.tolist(), interface.high.tolist()) == ([0, 10, 0, 10], [10, 30, 10, 30])
    assert (interface.shape, interface.n_inputs) == ((2, 2), 4)
    assert interface.scaled(series)[0].tolist() == [0.0, 0.0, 0.5, 1.0]
    dark = fitted(np.maximum(series - [0.0, 10.0], 0.0))  # the same, with one
    assert (set(dark.low), set(dark.high)) == ({0.0}, {20.0})


def test_channels_of_a_series_have_a_range_over_all_steps() -> None:
    series = np.array([[[0.0, 10.0], [5.0, 30.0]], [[10.0, 20.0], [0.0, 10.0]]])
    interface = fitted(series, SERIES)
    assert (interface.low.tolist(), interface.high.tolist()) == ([0.0, 10.0], [10.0, 30.0])
    assert (interface.shape, interface.n_inputs) == ((2, 2), 2)
    steps = interface.encode(series, n_steps=2, bits=2)
    assert steps.tolist() == [[[0, 0], [2, 3]], [[3, 2], [0, 0]]]


def test_spikes_come_in_as_they_are() -> None:
    spikes = np.random.default_rng(0).integers(0, 2, (4, 3, 5))
    interface = fitted(spikes, DIRECT)
    assert (interface.low, interface.high, interface.n_inputs) == (None, None, 5)
    assert interface.constant_features == []
    steps = interface.encode(spikes, n_steps=3, bits=1)
    assert steps.dtype == np.uint8
    assert np.array_equal(steps, spikes)
    flat = interface.encode(spikes.reshape(4, 15), n_steps=3, bits=1)
    assert np.array_equal(flat, spikes)


def test_a_constant_feature_never_spikes_whatever_comes_later() -> None:
    interface = fitted([[7.0, 0.0], [7.0, 1.0]])
    assert interface.constant_features == [0]
    steps = interface.encode([[7.0, 1.0], [100.0, 1.0]], n_steps=4, bits=1)
    assert not steps[:, :, 0].any()
    assert steps[:, :, 1].all()


def test_the_largest_numbers_do_not_overflow() -> None:
    values = [[-1.7e308], [0.0], [1.7e308]]
    assert fitted(values).scaled(values).ravel().tolist() == [0.0, 0.5, 1.0]
    narrow = fitted([[0.0], [5e-324], [1e-300]])
    assert narrow.scaled([[1.7e308], [-1.7e308]]).ravel().tolist() == [1.0, 0.0]


@given(npst.arrays(np.float64, (5, 3), elements=st.floats(-1e300, 1e300)))
def test_training_samples_reach_from_zero_to_one(values: np.ndarray) -> None:
    interface = fitted(values)
    scaled = interface.scaled(values)
    assert ((scaled >= 0) & (scaled <= 1)).all()
    for k in set(range(3)) - set(interface.constant_features):
        assert scaled[values[:, k] == values[:, k].min(), k].max() == 0.0
        # The span of a feature of the smallest numbers there are is one number that is halved.
        assert (
            scaled[values[:, k] == values[:, k].max(), k].min() == 1.0
            or np.ptp(values[:, k]) <= 1e-322
        )


@given(npst.arrays(np.float64, (4, 3), elements=st.floats(-5, 5)), st.integers(1, 8))
def test_levels_for_the_chip_are_those_of_the_scaled_samples(x: np.ndarray, bits: int) -> None:
    interface = fitted(x)
    assert np.array_equal(interface.levels(x, bits=bits), quantized(interface.scaled(x), bits=bits))


def test_names_of_classes_keep_their_type() -> None:
    labels = np.array([[0, 1], [1, 1]])
    assert fitted([[0.0], [1.0]]).named(labels).tolist() == [["no", "yes"], ["yes", "yes"]]
    for classes in ((False, True), (3, 7), (0.5, 2.0)):
        interface = Interface.fitted([[0.0], [1.0]], coding=THRESHOLD, classes=classes)
        named = interface.named(labels).tolist()
        assert named == [[classes[0], classes[1]], [classes[1], classes[1]]]
        assert {type(name) for row in named for name in row} == {type(classes[0])}


@pytest.mark.parametrize("coding", [THRESHOLD, DIRECT])
def test_a_file_gives_the_interface_back(coding: str) -> None:
    values = np.random.default_rng(1).integers(0, 2, (4, 3, 5))
    interface = fitted(values, coding)
    again = from_json(Interface, to_json(interface))
    for name in ("coding", "shape", "classes"):
        assert getattr(again, name) == getattr(interface, name)
    assert np.array_equal(
        again.encode(values, n_steps=3, bits=1), interface.encode(values, n_steps=3, bits=1)
    )


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([[1.0, 2.0, 3.0]], "samples must have shape (samples, 2), not (1, 3)"),
        ([1.0, 2.0], "samples must have shape (samples, 2), not (2,)"),
        (np.zeros((0, 2)), "samples must have shape (samples, 2), not (0, 2)"),
        ([[1.0, np.nan]], "samples[0, 1] must be finite, not nan"),
        ([["a", "b"]], "samples must be numbers, not <U1"),
    ],
)
def test_samples_that_do_not_fit_are_refused(samples: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        fitted([[0.0, 0.0], [1.0, 1.0]]).encode(samples, n_steps=3, bits=1)


@pytest.mark.parametrize(
    ("coding", "values", "arguments", "message"),
    [
        (THRESHOLD, [[0.0], [1.0]], (0, 1), "n_steps must be at least 1, not 0"),
        (THRESHOLD, [[0.0], [1.0]], (3, 2), "bits must be 1 to 1 for threshold coding, not 2"),
        (INTENSITY, [[0.0], [1.0]], (3, 9), "bits must be 1 to 8 for intensity coding, not 9"),
        (DIRECT, [[[0, 1]]], (2, 1), "n_steps must be the 1 of a sample, not 2"),
        (DIRECT, [[[0, 2]]], (1, 1), "samples must be integers in 0..1 (1 bits)"),
        (DIRECT, [[[0, 0.5]]], (1, 1), "samples must be integers in 0..1 (1 bits)"),
        (DIRECT, [[[0, -1]]], (1, 4), "samples must be integers in 0..15 (4 bits)"),
    ],
)
def test_steps_and_bits_that_do_not_fit_are_refused(
    coding: str, values: Any, arguments: tuple[int, int], message: str
) -> None:
    n_steps, bits = arguments
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        fitted(values, coding).encode(values, n_steps=n_steps, bits=bits)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"coding": "morse"}, "coding must be one of threshold, latency, "),
        ({"shape": ()}, "shape must have lengths of at least 1, not ()"),
        ({"shape": (0,)}, "shape must have lengths of at least 1, not (0,)"),
        ({"coding": SERIES}, "shape must be (steps, inputs) for series, not (2,)"),
        ({"classes": ("a",)}, "classes must be two or more different names, not ('a',)"),
        ({"classes": ("a", "a")}, "classes must be two or more different names, not ('a', 'a')"),
        ({"low": None}, "low and high must be given for codings that scale (threshold)"),
        ({"high": None}, "low and high must be given for codings that scale (threshold)"),
        ({"coding": DIRECT, "shape": (1, 2)}, "low and high must be given for codings that scale"),
        ({"high": np.ones(3)}, "high must have shape (2,), not (3,)"),
        ({"low": np.array([0.0, np.nan])}, "low[1] must be finite, not nan"),
        ({"low": np.array([0.0, 2.0])}, "low must be no larger than high, feature by feature"),
    ],
    ids=str,
)
def test_an_interface_that_contradicts_itself_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    members = {
        "coding": THRESHOLD,
        "shape": (2,),
        "classes": CLASSES,
        "low": np.zeros(2),
        "high": np.ones(2),
    }
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        Interface(**{**members, **changes})
