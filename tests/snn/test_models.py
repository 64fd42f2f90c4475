"""The contract of `convexon.snn.neuron`: values by hand, and the two models equal."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convexon.errors import FormatError, InputError
from convexon.snn.fixed import QFormat
from convexon.snn.models import golden, simulate
from convexon.snn.models.trace import SpikeTrace
from convexon.snn.network import Branch, FixedPointNetwork, Layer, Network
from convexon.snn.neuron import MEMORYLESS, Leak, LeakRounding, ReadoutMode, Reset
from strategies import equal, layer_of, network_of, networks_with_inputs

QUARTER = Leak(1, 2)


def run(network: FixedPointNetwork, inputs: Any) -> SpikeTrace:
    """Trace of one sample, given as rows of inputs, on which both models agree."""
    array = np.array([inputs], dtype=np.uint8)
    slow, fast = golden.run(network, array), simulate.run(network, array)
    assert equal(slow, fast)
    return slow


def history(layer: Layer, inputs: Any, **changes: Any) -> tuple[list[Any], list[Any]]:
    """Spikes and membranes of one layer, by step and neuron; flat lists for a single neuron."""
    network = network_of((layer,), n_steps=len(inputs), **changes)
    trace = run(network, inputs).layers[0][0]
    spikes, membranes = trace.spikes[0], trace.membranes[0]
    if layer.n_neurons == 1:
        return spikes[:, 0].tolist(), membranes[:, 0].tolist()
    return spikes.tolist(), membranes.tolist()


@settings(max_examples=250)
@given(networks_with_inputs())
def test_vectorised_model_equals_golden_model(case: tuple[FixedPointNetwork, np.ndarray]) -> None:
    assert equal(simulate.run(*case), golden.run(*case))


@settings(max_examples=60)
@given(st.integers(10, 55), st.integers(0, 2), st.sampled_from(Reset), st.integers(0, 2**32))
def test_models_agree_on_numbers_beyond_float64(bits: int, f: int, reset: Reset, seed: int) -> None:
    rng = np.random.default_rng(seed)
    limit = 1 << (bits - 1)
    layer = layer_of(
        rng.integers(-limit, limit, (3, 2)),
        rng.integers(-limit, limit, 2),
        recurrent=rng.integers(-limit, limit, (2, 2)),
        leak=Leak((1 << f) // 2, f),
        synapse=(None, Leak(f, f))[seed % 2],
        reset=reset,
        weight_format=QFormat(bits),
        threshold_format=QFormat(bits),
    )
    network = network_of((layer,), n_steps=3)
    inputs = rng.integers(0, 2, (4, 3, 3), dtype=np.uint8)
    assert equal(simulate.run(network, inputs), golden.run(network, inputs))


@pytest.mark.parametrize(
    ("reset", "spikes", "membranes"),
    [
        # 5; then 5 - 5 // 4 + 5 = 9, which fires; and so on.
        (Reset.SUBTRACT, [0, 1, 1, 0, 0], [5, 2, 0, 0, 0]),
        (Reset.ZERO, [0, 1, 0, 0, 0], [5, 0, 5, 4, 3]),
        (Reset.NONE, [0, 1, 1, 1, 1], [5, 9, 12, 9, 7]),
        # 9 - 9 // 4 + 5 - 7 = 5 in the third step: 7 is taken off, and has not leaked.
        (Reset.LATE, [0, 1, 0, 0, 0], [5, 9, 5, 4, 3]),
    ],
)
def test_each_reset_by_hand(reset: Reset, spikes: list[int], membranes: list[int]) -> None:
    layer = layer_of([[5]], [7], leak=QUARTER, reset=reset)
    assert history(layer, [[1], [1], [1], [0], [0]]) == (spikes, membranes)


def test_synaptic_current_leaks_and_the_membrane_sees_the_new_one() -> None:
    # i: 8, 8 - 2 + 0 = 6, 6 - 1 = 5, 5 - 1 - 9 = -5, -5 + 2 = -3; v sums it up, and fires at 14.
    layer = layer_of([[8], [-9]], [14], synapse=QUARTER)
    steps = [[1, 0], [0, 0], [0, 0], [0, 1], [0, 0]]
    assert history(layer, steps) == ([0, 1, 0, 0, 0], [8, 0, 5, 0, -3])


def test_neurons_may_have_leaks_of_their_own() -> None:
    layer = layer_of([[8, 8]], [99, 99], leak=Leak(0, 2), leaks=[1, 3])
    assert history(layer, [[1], [0], [0]])[1] == [[8, 8], [6, 2], [5, 1]]


def test_lateral_spikes_and_biases_go_into_the_synaptic_current() -> None:
    layer = layer_of([[4]], [4], biases=[1], recurrent=[[-3]], synapse=MEMORYLESS)
    plain = layer_of([[4]], [4], biases=[1], recurrent=[[-3]])
    steps = [[1], [0], [1], [0]]
    assert history(layer, steps) == history(plain, steps)


def test_leak_of_a_negative_membrane_rounds_to_minus_infinity() -> None:
    # -5 - floor(-5 / 4) = -5 + 2; rounding toward zero would leave -4.
    layer = layer_of([[-5]], [7], leak=QUARTER)
    assert history(layer, [[1], [0], [0], [0], [0]])[1] == [-5, -3, -2, -1, 0]


def test_leak_acts_on_the_membrane_before_the_current_is_added() -> None:
    # 8 - 2 + 8 = 14; a leak of the sum would leave 12, and not fire.
    layer = layer_of([[8]], [13], leak=QUARTER)
    assert history(layer, [[1], [1]]) == ([0, 1], [8, 1])


def test_neuron_fires_at_its_threshold() -> None:
    assert history(layer_of([[7]], [7]), [[1], [0]]) == ([1, 0], [0, 0])
    assert history(layer_of([[6]], [7]), [[1], [0]]) == ([0, 0], [6, 6])


def test_memoryless_neuron_forgets_the_step_before() -> None:
    layer = layer_of([[6]], [7], leak=MEMORYLESS, reset=Reset.NONE)
    assert history(layer, [[1], [1], [0]]) == ([0, 0, 0], [6, 6, 0])


@pytest.mark.parametrize(
    ("reset", "membranes"),
    [(Reset.SUBTRACT, [3, 6, 9]), (Reset.ZERO, [0, 0, 0]), (Reset.NONE, [0, 0, 0])],
)
def test_neuron_with_a_negative_threshold_fires_by_itself(
    reset: Reset, membranes: list[int]
) -> None:
    layer = layer_of([[0]], [-3], reset=reset)
    assert history(layer, [[0], [0], [0]]) == ([1, 1, 1], membranes)


def test_bias_is_added_at_every_step() -> None:
    layer = layer_of([[1]], [100], biases=[-2])
    assert history(layer, [[0], [1], [0]])[1] == [-2, -3, -5]


def test_recurrent_spikes_are_those_of_the_step_before() -> None:
    # Neuron 0 fires at step 0; neuron 1 feels it at step 1, and neuron 0, in turn, at step 2.
    layer = layer_of([[9, 0]], [9, 4], recurrent=[[0, 4], [2, 0]])
    spikes, membranes = history(layer, [[1], [0], [0]])
    assert spikes == [[1, 0], [0, 1], [0, 0]]
    assert membranes == [[0, 0], [0, 0], [2, 0]]


def test_second_layer_reads_the_spikes_of_the_same_step() -> None:
    network = network_of((layer_of([[1]], [1]), layer_of([[3]], [3])), n_steps=2)
    first, second = run(network, [[0], [1]]).layers[0]
    assert first.spikes.ravel().tolist() == [0, 1]
    assert second.spikes.ravel().tolist() == [0, 1]


def test_intensity_weighs_as_the_number_that_it_is() -> None:
    layer = layer_of([[3], [-2]], [100])
    assert history(layer, [[5, 1], [7, 7]], input_bits=3)[1] == [13, 20]


def test_saturation_clamps_before_the_comparison_and_after_the_reset() -> None:
    four_bits = QFormat(4)
    high = layer_of([[6]], [10], saturation=four_bits)
    assert history(high, [[1], [1], [1]]) == ([0, 0, 0], [6, 7, 7])
    low = layer_of([[-6]], [10], saturation=four_bits)
    assert history(low, [[1], [1]]) == ([0, 0], [-6, -8])
    gains_by_reset = layer_of([[5]], [-4], saturation=four_bits)
    assert history(gains_by_reset, [[1]]) == ([1], [7])


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [(LeakRounding.DOWN, [5, 4, -4, -3, -2]), (LeakRounding.ZERO, [5, 3, -5, -3, -2])],
)
def test_a_leak_rounds_as_it_says(rounding: LeakRounding, expected: list[int]) -> None:
    """A quarter is lost, of membrane and synaptic current alike."""
    layer = layer_of(
        [[5], [-7]], [99], leak=Leak(1, 2, rounding), synapse=MEMORYLESS, reset=Reset.NONE
    )
    inputs = [[1, 0], [0, 0], [0, 1], [0, 0], [0, 0]]
    assert history(layer, inputs)[1] == expected
    current = dataclasses.replace(layer, leak=MEMORYLESS, synapse=Leak(1, 2, rounding))
    assert history(current, inputs)[1] == expected


def test_a_reset_to_zero_may_leave_another_value() -> None:
    layer = layer_of([[4, 4]], [6, 6], reset=Reset.ZERO, resets=[3, -2])
    assert history(layer, [[1], [1], [1], [1]])[1] == [[4, 4], [3, -2], [3, 2], [3, -2]]
    for changes in ({"reset": Reset.NONE}, {"saturation": QFormat(2)}, {"resets": [0]}):
        with pytest.raises((InputError, FormatError), match=r"^resets"):
            dataclasses.replace(layer, **changes)


def test_every_inference_starts_from_nothing() -> None:
    network = network_of((layer_of([[5]], [7], recurrent=[[3]]),), n_steps=2)
    inputs = np.array([[[1], [1]], [[0], [0]]], dtype=np.uint8)
    for model in (golden.run, simulate.run):
        assert model(network, inputs).layers[0][0].membranes[1].ravel().tolist() == [0, 0]


@pytest.mark.parametrize(
    ("mode", "scores"),
    [
        # Neuron 0 spikes at steps 0 and 2; neuron 1 never, and its membrane ends at -1.
        (ReadoutMode.LAST, [[5 + 10, 7]]),
        (ReadoutMode.SIGN, [[5 + 10, 7]]),
        (ReadoutMode.COUNT, [[5 + 20, 7]]),
        (ReadoutMode.STEP, [[15, 7], [5, 7], [15, 7]]),
    ],
)
def test_each_readout_by_hand(mode: ReadoutMode, scores: list[list[int]]) -> None:
    layer = layer_of([[2, 0], [0, -1]], [2, 9])
    network = network_of(
        (layer,),
        n_steps=3,
        readout_mode=mode,
        readout_weights=[[10, 0], [0, 20]],
        readout_biases=[5, 7],
    )
    trace = run(network, [[1, 0], [0, 1], [1, 0]])
    assert trace.scores[0].tolist() == scores
    assert trace.labels[0].tolist() == [int(second > first) for first, second in scores]


@pytest.mark.parametrize(
    ("mode", "scores"), [(ReadoutMode.MEMBRANE, [1, 0]), (ReadoutMode.PEAK, [2, 0])]
)
def test_membranes_are_scores_by_hand(mode: ReadoutMode, scores: list[int]) -> None:
    """Leaky integrators: v is halved, rounded up, before each step's current."""
    layer = layer_of([[2, 0], [0, -1]], [99, 99], leak=Leak(1, 1), reset=Reset.NONE)
    network = network_of((layer,), n_steps=3, readout_mode=mode)
    trace = run(network, [[1, 0], [0, 1], [0, 0]])
    assert trace.layers[0][0].membranes[0].tolist() == [[2, 0], [1, -1], [1, 0]]
    assert trace.scores[0].tolist() == [scores]


@pytest.mark.parametrize("mode", [ReadoutMode.MEMBRANE, ReadoutMode.PEAK])
def test_nothing_weighs_membranes(mode: ReadoutMode) -> None:
    layer, told = layer_of([[2, 0], [0, -1]], [99, 99]), mode.value
    for changes in ({"readout_weights": [[1, 0], [1, 1]]}, {"readout_biases": [0, 1]}):
        with pytest.raises(InputError, match=f"^readout_weights must be the identity.*{told}"):
            network_of((layer,), n_steps=3, readout_mode=mode, **changes)
    with pytest.raises(InputError, match="for a readout of real numbers"):
        Network(
            branches=(Branch((layer,)),),
            n_steps=3,
            input_bits=1,
            readout_mode=mode,
            readout_weights=np.eye(2),
            readout_biases=np.zeros(2),
        )


def test_sign_of_a_zero_membrane_counts_as_positive() -> None:
    network = network_of((layer_of([[0, -1]], [9, 9]),), n_steps=1, readout_mode=ReadoutMode.SIGN)
    assert run(network, [[1]]).scores[0].tolist() == [[1, 0]]


def test_sign_is_taken_after_the_reset() -> None:
    # u = -2 fires at -3, and the reset leaves -2 + 3 = 1.
    network = network_of((layer_of([[-2]], [-3]),), n_steps=1, readout_mode=ReadoutMode.SIGN)
    trace = run(network, [[1]])
    assert trace.layers[0][0].membranes.ravel().tolist() == [1]
    assert trace.scores.ravel().tolist() == [1]


def test_features_follow_the_branches_in_their_order() -> None:
    first, second = layer_of([[1], [0]], [1]), layer_of([[0], [1]], [1])
    network = network_of(
        (first,), (second,), n_steps=1, readout_weights=[[3], [40]], readout_biases=[0]
    )
    assert run(network, [[1, 0]]).scores.ravel().tolist() == [3]
    assert run(network, [[0, 1]]).scores.ravel().tolist() == [40]


@pytest.mark.parametrize(
    ("scores", "label"),
    [
        ([1, 3, 3], 1),
        ([0, 0, 0, 0], 0),
        ([-5, -2, -9], 1),
        ([-1, 4], 1),
        ([0], 0),
        ([1], 1),
        ([-1], 0),
    ],
)
def test_ties_go_to_the_lowest_class_and_one_score_is_compared_with_zero(
    scores: list[int], label: int
) -> None:
    assert golden.decide(scores) == label
    assert simulate.decisions(np.array(scores)) == label


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=5))
def test_decisions_of_both_models_are_equal(scores: list[int]) -> None:
    assert golden.decide(scores) == simulate.decisions(np.array(scores))


@pytest.mark.parametrize("model", [golden.run, simulate.run])
@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((0, 2, 1), np.uint8), "inputs must have shape (samples, 2, 1), not (0, 2, 1)"),
        (np.zeros((1, 3, 1), np.uint8), "inputs must have shape (samples, 2, 1), not (1, 3, 1)"),
        (np.zeros((1, 2, 2), np.uint8), "inputs must have shape (samples, 2, 1), not (1, 2, 2)"),
        (np.zeros((2, 1), np.uint8), "inputs must have shape (samples, 2, 1), not (2, 1)"),
        (np.full((1, 2, 1), 2), "inputs must be integers in 0..1 (1 bits)"),
        (np.full((1, 2, 1), -1), "inputs must be integers in 0..1 (1 bits)"),
        (np.full((1, 2, 1), np.nan), "inputs must be integers in 0..1 (1 bits)"),
    ],
)
def test_models_refuse_inputs_that_do_not_fit(model: Any, inputs: np.ndarray, message: str) -> None:
    network = network_of((layer_of([[1]], [1]),), n_steps=2)
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        model(network, inputs)


def test_vectorised_model_refuses_membranes_that_could_leave_int64() -> None:
    wide = layer_of([[1 << 60], [1 << 60]], [0], reset=Reset.NONE, weight_format=QFormat(62))
    message = "membranes must fit 62 bits, not 63: use smaller weights"
    with pytest.raises(FormatError, match=f"^{message}$"):
        simulate.run(network_of((wide,), n_steps=1), np.ones((1, 1, 2), np.uint8))


def test_vectorised_model_refuses_scores_that_could_leave_int64() -> None:
    network = network_of(
        (layer_of([[1, 1, 1, 1]], [1, 1, 1, 1]),),
        n_steps=1,
        readout_weights=np.full((4, 1), (1 << 61) - 1),
        readout_biases=[0],
        readout_format=QFormat(62),
    )
    message = "scores must fit 62 bits, not 64: use smaller weights"
    with pytest.raises(FormatError, match=f"^{message}$"):
        simulate.run(network, np.ones((1, 1, 1), np.uint8))


@pytest.mark.parametrize("n_steps", [1, 2, 40])
@pytest.mark.parametrize("model", [golden, simulate])
def test_the_widest_weights_run_or_are_refused_in_both_models(model: Any, n_steps: int) -> None:
    widest = QFormat(62)
    layer = layer_of(
        [[widest.interval.high]] * 8,
        [1],
        leak=Leak(0, 0),
        reset=Reset.NONE,
        weight_format=widest,
        threshold_format=QFormat(2),
    )
    network = network_of((layer,), n_steps=n_steps)
    assert network.ranges[0][0].current[0].high == 8 * widest.interval.high
    inputs = np.ones((1, n_steps, 8), dtype=np.uint8)
    with pytest.raises(FormatError, match=r"(64 bits|int64|62 bits)"):
        model.run(network, inputs)
    one = np.zeros_like(inputs)
    one[:, 0, 0] = 1
    if model is golden:  # which refuses what does not fit, and no more
        assert model.run(network, one).layers[0][0].membranes[0, -1, 0] == widest.interval.high
