"""Recurrent threshold branches: their equation, delay lines, and LIF layers unrolled into them."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lif_as_threshold import refined, relay, unrolled

from convexon.errors import InputError
from convexon.snn.fixed import Interval, QFormat
from convexon.snn.models import golden
from convexon.snn.models.simulate import layer_spikes
from convexon.snn.neuron import Leak, Reset
from convexon.train.witnesses.threshold import delay_line, threshold_layer
from strategies import layer_of

SPIKE = Interval(0, 1)


def spikes_of_random_inputs(n_samples: int, n_steps: int, n_inputs: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 2, (n_samples, n_steps, n_inputs), dtype=np.uint8)


@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 4), st.integers(1, 5))
def test_threshold_layer_is_the_papers_recurrence(
    seed: int, n_in: int, n_units: int, n_steps: int
) -> None:
    generator = np.random.default_rng(seed)
    p_in = generator.integers(-3, 4, (n_in, n_units))
    p_rec = generator.integers(-3, 4, (n_units, n_units))
    theta = generator.integers(-2, 4, n_units)
    x = spikes_of_random_inputs(5, n_steps, n_in, seed)
    expected = np.zeros((5, n_steps, n_units), dtype=np.int64)
    for i in range(5):
        h = np.zeros(n_units, dtype=np.int64)
        for t in range(n_steps):
            h = (p_in.T @ x[i, t].astype(np.int64) + p_rec.T @ h >= theta).astype(np.int64)
            expected[i, t] = h
    assert np.array_equal(layer_spikes(threshold_layer(p_in, theta, p_rec), x, SPIKE), expected)


@pytest.mark.parametrize("n_taps", [1, 2, 4])
def test_delay_line_holds_every_input_of_its_taps(n_taps: int) -> None:
    x = spikes_of_random_inputs(6, 5, 3, 0)
    taps = layer_spikes(delay_line(3, n_taps), x, SPIKE)
    for k in range(n_taps):
        held = np.zeros_like(x)
        held[:, k:] = x[:, : 5 - k]
        assert np.array_equal(taps[:, :, 3 * k : 3 * k + 3], held)


def test_relay_repeats_its_input() -> None:
    x = spikes_of_random_inputs(6, 5, 3, 0)
    assert np.array_equal(layer_spikes(relay(3), x, SPIKE), x)


@st.composite
def lif_layers(draw: st.DrawFn) -> tuple[object, int, int]:
    n_in, n, n_steps = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 5))
    f = draw(st.integers(0, 3))
    seed = draw(st.integers(0, 2**32 - 1))
    generator = np.random.default_rng(seed)
    layer = layer_of(
        generator.integers(-4, 5, (n_in, n)),
        generator.integers(1, 5, n),
        leak=Leak(draw(st.integers(0, 1 << f)), f),
        reset=draw(st.sampled_from([Reset.SUBTRACT, Reset.NONE])),
    )
    if draw(st.booleans()):
        lateral = generator.integers(-4, 5, (n, n))
        layer = replace(layer, recurrent=lateral, weight_format=QFormat(5))
    return layer, n_steps, seed


@given(lif_layers())
def test_unrolled_lif_layer_fires_as_the_layer_does(case: tuple[object, int, int]) -> None:
    layer, n_steps, seed = case
    fine = refined(layer, n_steps)
    x = spikes_of_random_inputs(8, n_steps, layer.n_inputs, seed)
    unrolling = unrolled(fine, n_steps)
    fired = layer_spikes(unrolling, x, SPIKE)
    for i, sample in enumerate(x.tolist()):
        spikes = [step[: layer.n_neurons] for step in fired[i].tolist()]
        assert spikes == golden.layer_run(fine, sample)[0]


def test_where_no_leak_rounds_the_grid_need_not_be_refined() -> None:
    layer = layer_of([[3], [-1]], [4], leak=Leak(0, 0))
    assert np.array_equal(refined(layer, 6).weights, layer.weights)
    x = spikes_of_random_inputs(30, 6, 2, 1)
    assert np.array_equal(
        layer_spikes(unrolled(layer, 6), x, SPIKE)[:, :, :1], layer_spikes(layer, x, SPIKE)
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reset": Reset.ZERO}, "reset must be by subtraction or none"),
        ({"saturation": QFormat(6)}, "saturation must be none"),
        ({"biases": np.array([1])}, "biases must be zero"),
        ({"leak": Leak(1, 2)}, "weights and thresholds must be multiples of 2**2 for the leak"),
    ],
)
def test_layers_that_no_unrolling_fits_are_refused(
    changes: dict[str, object], message: str
) -> None:
    layer = replace(layer_of([[3], [-1]], [4], leak=Leak(0, 0)), **changes)
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        unrolled(layer, 3)


def test_a_grid_beyond_64_bits_is_refused() -> None:
    with pytest.raises(InputError, match=r"^weights must fit 62 bits on the finer grid, not 80"):
        refined(layer_of([[3]], [4], leak=Leak(5, 9)), 9)


def test_delay_line_without_a_tap_is_refused() -> None:
    with pytest.raises(InputError, match=r"^n_taps must be at least 1, not 0$"):
        delay_line(2, 0)
