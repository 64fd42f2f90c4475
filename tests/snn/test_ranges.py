"""Proved ranges: sound for every network, and attained where the analysis is exact."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convexon.snn.fixed import Interval, QFormat, width_of
from convexon.snn.models import golden, simulate
from convexon.snn.network import FixedPointNetwork, Layer
from convexon.snn.neuron import INTEGRATE, MEMORYLESS, Leak, Reset
from convexon.snn.ranges import layer_ranges, leaked, reset_range, weighted_range
from strategies import WEIGHED, layer_of, leaks, network_of, networks, networks_with_inputs


def hull(values: np.ndarray) -> Interval:
    return Interval(int(values.min()), int(values.max()))


@given(networks_with_inputs())
def test_every_simulated_value_lies_in_its_proved_range(
    case: tuple[FixedPointNetwork, np.ndarray],
) -> None:
    network, inputs = case
    trace = golden.run(network, inputs)
    for branch, depth, layer in trace.flat_layers():
        ranges = network.ranges[branch][depth]
        for j, proved in enumerate(ranges.membrane):
            seen = hull(layer.membranes[:, :, j])
            assert proved == proved | seen, (branch, depth, j)
        assert ranges.membrane_width >= width_of(hull(layer.membranes))
    for c, proved in enumerate(network.score_ranges):
        assert proved == proved | hull(trace.scores[:, :, c])


def reachable(layer: Layer, input_bits: int, n_steps: int) -> tuple[set[int], set[int]]:
    """All u before saturation, and all v, of a lone neuron over all inputs, by enumeration."""
    levels = [range(1 << input_bits)] * layer.n_inputs
    weights = layer.weights[:, 0].tolist()
    currents = {
        sum(w * x for w, x in zip(weights, row, strict=True)) + int(layer.biases[0])
        for row in itertools.product(*levels)
    }
    threshold = int(layer.thresholds[0])
    late = threshold if layer.reset is Reset.LATE else 0
    now, all_u, all_v = {0}, set(), {0}
    for t in range(n_steps):
        after = set()
        for v, current in itertools.product(now, currents):
            u = golden.leaked(v, layer.leak) + current
            u -= late * (t > 0 and v >= threshold)
            all_u.add(u)
            u = golden.saturate(u, layer)
            if u >= threshold and layer.reset in (Reset.SUBTRACT, Reset.ZERO):
                u = golden.saturate(u - threshold, layer) if layer.reset is Reset.SUBTRACT else 0
            after.add(u)
        now = after
        all_v |= now
    return all_u, all_v


@st.composite
def lone_neurons(draw: st.DrawFn) -> Layer:
    width = draw(st.none() | st.integers(2, 5))
    weights = draw(st.lists(st.integers(-5, 5), min_size=1, max_size=2))
    return layer_of(
        [[w] for w in weights],
        [draw(st.integers(-6, 9))],
        biases=[draw(st.integers(-2, 2))],
        leak=draw(leaks()),
        reset=draw(st.sampled_from(Reset)),
        saturation=None if width is None else QFormat(width),
    )


@given(lone_neurons(), st.integers(1, 2), st.integers(1, 4))
def test_ranges_hold_everything_that_a_neuron_can_reach(
    layer: Layer, input_bits: int, n_steps: int
) -> None:
    ranges = layer_ranges(layer, Interval(0, (1 << input_bits) - 1), n_steps)
    all_u, all_v = reachable(layer, input_bits, n_steps)
    integrated, membrane = ranges.integrated[0], ranges.membrane[0]
    assert min(all_u) >= integrated.low
    assert max(all_u) <= integrated.high
    assert min(all_v) >= membrane.low
    assert max(all_v) <= membrane.high
    if layer.reset is Reset.NONE:  # a monotone map: the ends are attained
        assert integrated == Interval.hull(all_u)
        assert membrane == Interval.hull(all_v)


@pytest.mark.parametrize("leak", [INTEGRATE, MEMORYLESS, Leak(1, 2), Leak(3, 2), Leak(10, 10)])
@pytest.mark.parametrize("reset", Reset)
@pytest.mark.parametrize("threshold", [1, 3, 5])
@pytest.mark.parametrize("saturation", [None, QFormat(3)])
def test_ends_of_a_range_are_attained(
    leak: Leak, reset: Reset, threshold: int, saturation: QFormat | None
) -> None:
    # Weights of one leave no gap between the reachable values, so the analysis loses nothing.
    layer = layer_of([[1], [-1]], [threshold], leak=leak, reset=reset, saturation=saturation)
    ranges = layer_ranges(layer, Interval(0, 3), 4)
    all_u, all_v = reachable(layer, 2, 4)
    assert ranges.integrated == (Interval.hull(all_u),)
    assert ranges.membrane == (Interval.hull(all_v),)


def test_range_grows_by_hand() -> None:
    layer = layer_of([[3], [-2]], [100], biases=[1])
    ranges = layer_ranges(layer, Interval(0, 1), 4)
    assert ranges.current == (Interval(-1, 4),)
    assert ranges.integrated == ranges.membrane == (Interval(-4, 16),)
    assert ranges.membrane_width == 6


def test_current_holds_recurrent_spikes_of_one_bit_even_under_intensities() -> None:
    layer = layer_of([[2]], [9], recurrent=[[-3]])
    assert layer_ranges(layer, Interval(0, 7), 1).current == (Interval(-3, 14),)


def test_saturation_bounds_the_membrane_and_not_what_is_added_to_it() -> None:
    layer = layer_of([[5]], [100], saturation=QFormat(4))
    ranges = layer_ranges(layer, Interval(0, 1), 10)
    assert ranges.integrated == (Interval(0, 12),)
    assert ranges.membrane == (Interval(0, 7),)


def test_membrane_range_holds_the_start_value() -> None:
    layer = layer_of([[0]], [100], biases=[5])
    assert layer_ranges(layer, Interval(0, 1), 1).membrane == (Interval(0, 5),)


def test_ranges_of_long_inferences_stop_at_their_fixed_point() -> None:
    layer = layer_of([[3]], [5], leak=Leak(1, 1))
    assert layer_ranges(layer, Interval(0, 1), 1_000_000_000) == layer_ranges(
        layer, Interval(0, 1), 50
    )


@given(leaks(), st.integers(-200, 200))
def test_leak_is_monotone(leak: Leak, v: int) -> None:
    assert leaked(v, leak) <= leaked(v + 1, leak)


@given(st.integers(-9, 9), st.integers(0, 9), st.integers(-9, 9), st.sampled_from(Reset))
def test_range_after_a_reset_is_the_hull_of_all_values(
    low: int, size: int, threshold: int, reset: Reset
) -> None:
    after = {Reset.SUBTRACT: lambda u: u - threshold, Reset.ZERO: lambda u: 0}
    fire = after.get(reset, lambda u: u)
    values = [fire(u) if u >= threshold else u for u in range(low, low + size + 1)]
    assert reset_range(Interval(low, low + size), threshold, reset) == Interval.hull(values)


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=3), st.integers(-2, 2), st.integers(0, 3))
def test_weighted_range_is_attained(weights: list[int], low: int, size: int) -> None:
    values = {0, *range(low, low + size + 1)}  # an input may always be absent
    sums = [
        sum(w * x for w, x in zip(weights, row, strict=True))
        for row in itertools.product(values, repeat=len(weights))
    ]
    assert weighted_range(np.array(weights), Interval(low, low + size)) == Interval.hull(sums)


@given(networks(WEIGHED))
def test_scores_reach_their_range_where_features_are_free(network: FixedPointNetwork) -> None:
    for c, proved in enumerate(network.score_ranges):
        weights, bias = network.readout_weights[:, c], int(network.readout_biases[c])
        full = network.max_feature
        assert proved.high == bias + full * int(weights[weights > 0].sum())
        assert proved.low == bias + full * int(weights[weights < 0].sum())


def test_saturating_network_stays_in_its_format_on_the_worst_input() -> None:
    layer = layer_of([[100], [-100]], [127], saturation=QFormat(6))
    network = network_of((layer,), n_steps=5)
    inputs = np.zeros((2, 5, 2), np.uint8)
    inputs[0, :, 0] = inputs[1, :, 1] = 1
    membranes = simulate.run(network, inputs).layers[0][0].membranes
    assert membranes[..., 0].tolist() == [[31] * 5, [-32] * 5]
