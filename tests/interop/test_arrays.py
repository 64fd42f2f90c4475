"""Arrays of integers as a network: formats from the values, and refusals that name the layer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convexon as cx
from convexon.errors import FormatError, InputError
from convexon.snn.fixed import QFormat
from convexon.snn.models import golden
from convexon.snn.neuron import INTEGRATE, Leak, ReadoutMode, Reset


def hidden() -> dict[str, Any]:
    """Two layers: 3 inputs, 2 neurons, 2 classes."""
    return {
        "weights": [np.array([[1, -2], [3, 0], [0, 5]]), np.array([[4, -1], [-7, 8]])],
        "thresholds": [np.array([2, 3]), 100],
        "n_steps": 4,
    }


def test_formats_follow_from_the_values_and_the_scores_are_spike_counts() -> None:
    network = cx.Network.from_arrays(**hidden()).card
    first, second = network.branches[0].layers
    assert (first.weight_format, first.threshold_format) == (QFormat(4), QFormat(3))
    assert (second.weight_format, second.threshold_format) == (QFormat(5), QFormat(8))
    assert second.thresholds.tolist() == [100, 100]
    assert (first.leak, first.reset, network.readout_mode) == (
        INTEGRATE,
        Reset.SUBTRACT,
        ReadoutMode.COUNT,
    )
    assert network.readout_weights.tolist() == [[1, 0], [0, 1]]


def test_network_of_arrays_computes_what_the_contract_says(tmp_path: Path) -> None:
    leak, synapse = cx.Leak.nearest(0.9, bits=4), cx.Leak(1, 1)
    net = cx.Network.from_arrays(
        weights=[[2, 1], [1, 3]],
        thresholds=[3, 4],
        biases=[0, -1],
        recurrent=[[0, -1], [1, 0]],
        leak=leak,
        reset="zero",
        saturation=6,
        synapse=synapse,
        leaks=[leak.d, 5],
        n_steps=5,
        readout="last",
        readout_weights=[[1], [-2]],
        readout_biases=[1],
        classes=("still", "moving"),
    )
    spikes = np.random.default_rng(0).integers(0, 2, (20, 5, 2))
    v, s, i = np.zeros((3, 20, 2), np.int64)
    for t in range(5):
        current = spikes[:, t] @ [[2, 1], [1, 3]] + s @ [[0, -1], [1, 0]] + [0, -1]
        i = i - (i >> 1) + current
        v = np.clip(v - (np.array([leak.d, 5]) * v >> leak.f) + i, -32, 31)
        s = (v >= [3, 4]).astype(np.int64)
        v = np.where(s, 0, v)
    expected = s @ [1, -2] + 1
    assert net.scores(spikes)[:, 1].tolist() == expected.tolist()
    assert net.predict(spikes).tolist() == np.where(expected > 0, "moving", "still").tolist()
    labels = golden.run(net.card, spikes.astype(np.uint8)).labels[:, -1]
    assert labels.tolist() == (expected > 0).tolist()
    net.save(tmp_path / "net.card.json")
    assert (cx.load(tmp_path / "net.card.json").scores(spikes) == net.scores(spikes)).all()


def test_raw_samples_come_in_by_a_coding_where_one_is_named() -> None:
    net = cx.Network.from_arrays(
        weights=np.eye(4, dtype=int), thresholds=1, n_steps=3, coding="threshold",
        shape=(2, 2), high=16.0,
    )  # fmt: skip
    image = np.array([[[16, 0], [0, 0]], [[0, 0], [0, 16]]])
    assert net.predict(image).tolist() == [0, 3]


def test_two_inputs_a_channel_are_one_value() -> None:
    net = cx.Network.from_arrays(
        weights=np.eye(4, dtype=int), thresholds=1, n_steps=3, coding="delta-3", high=[8.0, 16.0]
    )
    assert net.interface.shape == (3, 2)
    series = np.array([[[0, 16], [0, 16], [8, 16]], [[0, 16], [0, 0], [0, 0]]])
    assert net.predict(series).tolist() == [0, 3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": [[[0.5]]], "thresholds": 1}, "weights must hold 64-bit integers only: round"),
        ({"weights": [1, 2], "thresholds": 1}, "weights must have shape (inputs, neurons), not (2"),
        ({"thresholds": 3}, "thresholds must be a list with one for each of the 2 layers"),
        ({"thresholds": [3, [1, 2, 3]]}, "layer 1: thresholds must have shape (2,), not (3,)"),
        ({"leaks": [[0], None]}, "layer 0: leaks must have shape (2,), not (1,)"),
        (
            {"leaks": [[0, 2], None]},
            "layer 0: leaks[1] must be 0 to 2**f = 1, not 2: they are d of",
        ),
        ({"leak": 0.9}, "layer 0: leak must be Leak, not 0.9"),
        ({"leak": [Leak(1, 2)]}, "leak must be a list with one for each of the 2 layers"),
        (
            {"reset": "never"},
            "layer 0: reset must be one of subtract, zero, none, late, not",
        ),
        ({"reset": 1}, "layer 0: reset must be Reset or str, not 1"),
        ({"saturation": 4.0}, "layer 0: saturation must be an integer, not 4.0"),
        (
            {"readout": "mean"},
            "readout must be one of last, sign, count, step, membrane, peak, not 'mean'",
        ),
        ({"n_steps": 2.5}, "n_steps must be an integer, not 2.5"),
        ({"readout_weights": [[1]]}, "readout_weights must have shape (2, classes), not (1, 1)"),
        ({"classes": ("a", "b", "c")}, "interface must have 2 classes and 3 inputs, not 3 and 3"),
        ({"coding": "morse"}, "coding must be one of threshold"),
        ({"weights": [[1, 2], [3]], "thresholds": 1}, "weights must have rows of equal length"),
        ({"weights": [[[1], [2, 3]]], "thresholds": 1}, "weights must have rows of equal length"),
        ({"biases": [None, [[1], [2, 3]]]}, "layer 1: biases must have rows of equal length"),
        ({"recurrent": [None, [[1], [2, 3]]]}, "layer 1: recurrent must have rows of equal length"),
        ({"readout_weights": 5}, "readout_weights must have shape (2, classes), not ()"),
        ({"readout_weights": [[1, 2], [3]]}, "readout_weights must have rows of equal length"),
        ({"readout_biases": 5}, "readout_biases must have shape (2,), not ()"),
        ({"coding": "intensity", "low": [0, 0]}, "low must be one number, or one of each of the 3"),
        ({"coding": "intensity", "high": "all"}, "high must be one number, or one of each of the"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        cx.Network.from_arrays(**{**hidden(), **changes})


def test_layers_that_do_not_follow_each_other_are_refused() -> None:
    with pytest.raises(InputError, match="layer 1 must have 2 inputs, the neurons of layer 0"):
        cx.Network.from_arrays(weights=[np.ones((3, 2), int), np.ones((3, 2), int)],
                               thresholds=[1, 1], n_steps=2)  # fmt: skip


# Leaks


@pytest.mark.parametrize("factor", [0.0, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0])
@pytest.mark.parametrize("bits", [0, 4, 12, 16])
def test_nearest_leak_is_the_nearest_and_tells_its_error(factor: float, bits: int) -> None:
    leak = Leak.nearest(factor, bits=bits, tolerance=0)
    assert leak.error == leak.factor - factor
    all_of_them = 1 - np.arange((1 << bits) + 1) / (1 << bits)
    assert abs(leak.error) == pytest.approx(np.abs(all_of_them - factor).min(), abs=1e-15)
    assert leak.f == 0 or leak.d % 2 == 1
    assert leak == Leak(leak.d, leak.f)


def test_nearest_leak_is_the_shortest_that_is_near_enough() -> None:
    for factor in (0.3, 0.9, 0.99, 0.995):
        leak = Leak.nearest(factor)
        assert abs(leak.error) <= 1e-3 * (1 - factor)
        shorter = (1 - round((1 - factor) * (1 << f)) / (1 << f) for f in range(leak.f))
        assert all(abs(each - factor) > 1e-3 * (1 - factor) for each in shorter)


@pytest.mark.parametrize(
    ("d", "f", "message"),
    [
        (0.9, 2, "leak d must be an integer, not 0.9: Leak.nearest takes a real factor"),
        (True, 2, "leak d must be an integer, not True: Leak.nearest takes a real factor"),
        (1, 2.0, "leak f must be an integer, not 2.0: Leak.nearest takes a real factor"),
    ],
)
def test_leak_of_another_type_is_refused(d: Any, f: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        Leak(d, f)


@pytest.mark.parametrize("factor", [-0.1, 1.5, float("nan"), "0.9", None])
def test_factor_that_is_none_is_refused(factor: Any) -> None:
    with pytest.raises(InputError, match=r"^leak factor must be a number in 0\.\.1, not "):
        Leak.nearest(factor)


def test_leak_of_too_many_bits_is_refused() -> None:
    with pytest.raises(FormatError, match=r"^bits must be 0 to 16, not 17$"):
        Leak.nearest(0.5, bits=17)


def test_numpys_integers_are_integers() -> None:
    leak = Leak(np.int64(3), np.uint8(4))
    assert (leak, type(leak.d)) == (Leak(3, 4), int)
