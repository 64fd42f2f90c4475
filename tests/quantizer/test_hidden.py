"""Hidden layers of real numbers become integers whose spikes follow theirs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from convexon.errors import InputError
from convexon.quantizer.hidden import (
    Calibration,
    card_spikes,
    disagreement,
    quantize_network,
)
from convexon.quantizer.settings import Grid, HiddenSettings, Rounding
from convexon.snn.convolution import Convolution, IntegerConvolution, Windows
from convexon.snn.models.real import RealLayer, RealNetwork, outputs, stack_spikes
from convexon.snn.models.real import scores as real_scores
from convexon.snn.models.simulate import decisions, run, scores
from convexon.snn.neuron import Leak, ReadoutMode, Reset

SAMPLES, STEPS, INPUTS = 40, 12, 16


def layer(n_inputs: int, n: int, *, seed: int = 0, gain: float = 1.0, **members: Any) -> RealLayer:
    rng = np.random.default_rng(seed)
    stated = {
        "name": f"layer {n}",
        "weights": rng.normal(0, gain / math.sqrt(n_inputs), (n_inputs, n)),
        "biases": rng.normal(0, 0.1, n),
        "leak": np.full(n, 0.9),
        "thresholds": np.ones(n),
    }
    return RealLayer(**{**stated, **members})


def network(*layers: RealLayer) -> RealNetwork:
    n = layers[-1].n_neurons
    return RealNetwork(
        layers=layers, readout_weights=np.eye(n), readout_biases=np.zeros(n), origin="a test"
    )


def spikes(seed: int = 1, *, bits: int = 1, n_inputs: int = INPUTS) -> Calibration:
    rng = np.random.default_rng(seed)
    return Calibration(
        inputs=rng.integers(0, 1 << bits, (SAMPLES, STEPS, n_inputs)).astype(np.uint8),
        bits=bits,
        scale=np.full(n_inputs, 1.0 / ((1 << bits) - 1)),
        offset=np.zeros(n_inputs),
    )


TWO = network(layer(INPUTS, 12, gain=2.0), layer(12, 5, seed=1, gain=2.0))


@pytest.mark.parametrize("reset", [Reset.SUBTRACT, Reset.ZERO, Reset.NONE])
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("late", [True, False])
def test_integers_stay_what_they_are(reset: Reset, strict: bool, late: bool) -> None:
    """Weights on the grid already, times a number a neuron: not a spike differs.

    But one: a strict comparison is a threshold that is one higher, and a reset subtracts that,
    which is the last bit of the membrane too much.
    """
    if late and reset is not Reset.SUBTRACT:
        return
    rng = np.random.default_rng(7)
    scale = np.exp2(rng.integers(-3, 4, 9))
    weights = rng.integers(-7, 8, (INPUTS, 9)).astype(float)
    weights[0] = 7  # so that the finest scale is the one that they were made with
    own = RealLayer(
        name="n",
        weights=weights * scale,
        biases=rng.integers(-2, 3, 9) * scale,
        leak=np.full(9, 1.0),
        thresholds=rng.integers(4, 20, 9) * scale,
        reset=reset,
        strict=strict,
        late=late,
    )
    data = spikes()
    chosen = HiddenSettings(bits=4, rounding=Rounding.NEAREST)
    found = quantize_network(network(own), data, chosen)
    assert 0.05 < found.layers[0].real_rate < 0.95
    differ = run(found.card, data.inputs).layers[0][0].spikes != stack_spikes((own,), data.real)[0]
    assert found.layers[0].after.mean() == pytest.approx(differ.mean())
    nearly = strict and reset is Reset.SUBTRACT
    assert differ.mean() <= (0.01 if nearly else 0.0)


@pytest.mark.parametrize("mode", [ReadoutMode.MEMBRANE, ReadoutMode.PEAK])
@pytest.mark.parametrize("rounding", list(Rounding))
def test_leaky_integrators_keep_their_scores(mode: ReadoutMode, rounding: Rounding) -> None:
    """One scale for all classes: decisions stay, and more bits bring scores nearer."""
    hidden = layer(INPUTS, 12, gain=2.0)
    head = layer(
        12,
        4,
        seed=1,
        thresholds=np.full(4, np.inf),
        reset=Reset.NONE,
        leak=np.array([0.9, 0.8, 0.95, 0.9]),
        synapse=np.full(4, 0.75),
    )
    real = replace(network(hidden, head), readout_mode=mode)
    data = spikes()
    wanted = real_scores(real, outputs(real, data.real)[1])
    errors = []
    for bits in (3, 8):
        found = quantize_network(real, data, HiddenSettings(bits=(8, bits), rounding=rounding))
        card = found.card
        last = card.branches[0].layers[1]
        assert (card.readout_mode, last.reset) == (mode, Reset.NONE)
        own = run(card, data.inputs).scores[:, 0]
        scale = (own * wanted).sum() / (wanted * wanted).sum()
        errors.append(np.abs(own / scale - wanted).max() / np.abs(wanted).max())
        assert not run(card, data.inputs).layers[0][1].spikes.any()
    assert errors[1] < 0.5 * errors[0]
    assert errors[1] < 0.1
    assert (own.argmax(axis=1) == wanted.argmax(axis=1)).mean() >= 0.9


def test_a_strict_comparison_is_a_threshold_one_higher() -> None:
    """A membrane that meets its threshold exactly tells the two apart."""
    own = layer(1, 1, weights=np.ones((1, 1)), biases=np.zeros(1), leak=np.zeros(1))
    ones = Calibration(
        inputs=np.ones((1, 1, 1), dtype=np.uint8), bits=1, scale=np.ones(1), offset=np.zeros(1)
    )
    for strict in (True, False):
        real = network(replace(own, strict=strict))
        quiet = HiddenSettings(rounding=Rounding.NEAREST, guard_bits=0)
        card = quantize_network(real, ones, quiet).card
        fired = run(card, ones.inputs).layers[0][0].spikes
        assert bool(fired.any()) is not strict


@pytest.mark.parametrize("rounding", list(Rounding))
def test_more_bits_lose_fewer_spikes(rounding: Rounding) -> None:
    lost = []
    for bits in (2, 4, 8, 12):
        found = quantize_network(TWO, spikes(), HiddenSettings(bits=bits, rounding=rounding))
        lost.append(float(np.mean([change.after.mean() for change in found.layers])))
        limit = max(1, (1 << (bits - 1)) - 1) << 4
        for each in found.card.branches[0].layers:
            assert np.abs(each.weights).max() <= limit
            assert not (each.weights % 16).any()
    assert lost == sorted(lost, reverse=True)
    assert lost[0] > 0.02
    assert lost[-1] < 0.01


@pytest.mark.parametrize("bits", [1, 2, 3, 5])
def test_the_search_is_never_behind_rounding_where_it_looks(bits: int) -> None:
    """On calibration samples, for the first layer; and it moves what restores spikes."""
    found = quantize_network(TWO, spikes(), HiddenSettings(bits=bits))
    first = found.layers[0]
    assert first.after.mean() < first.before.mean()
    assert first.moved > 0
    other = spikes(seed=9)
    targets = stack_spikes(TWO.layers, other.real)
    nearest = HiddenSettings(bits=bits, rounding=Rounding.NEAREST)
    plain = quantize_network(TWO, spikes(), nearest).card
    assert (
        disagreement(targets, card_spikes(found.card, other))[0].mean()
        < disagreement(targets, card_spikes(plain, other))[0].mean()
    )


def test_error_feedback_keeps_currents_where_inputs_go_together() -> None:
    """Inputs that always spike together carry one current: feedback rounds their sum."""
    rng = np.random.default_rng(2)
    inputs = np.repeat(rng.integers(0, 2, (SAMPLES, STEPS, 4)), 4, axis=2).astype(np.uint8)
    data = Calibration(inputs=inputs, bits=1, scale=np.ones(16), offset=np.zeros(16))
    real = network(layer(16, 20, gain=1.5, seed=3))
    lost = {
        rounding: quantize_network(real, data, HiddenSettings(bits=3, rounding=rounding))
        .layers[0]
        .after.mean()
        for rounding in (Rounding.NEAREST, Rounding.FEEDBACK)
    }
    assert lost[Rounding.FEEDBACK] < 0.6 * lost[Rounding.NEAREST]


def test_powers_of_two_and_single_bits_stay_on_their_grids() -> None:
    power = quantize_network(TWO, spikes(), HiddenSettings(bits=5, grid=Grid.POWER))
    sizes = {abs(int(w)) >> 4 for each in power.card.branches[0].layers for w in each.weights.flat}
    assert sizes <= {0, 1, 2, 4, 8}
    assert len(sizes) > 3
    signs = quantize_network(TWO, spikes(), HiddenSettings(bits=1, guard_bits=0))
    for each in signs.card.branches[0].layers:
        assert set(np.unique(each.weights)) == {-1, 1}


@pytest.mark.parametrize("rounding", [Rounding.FEEDBACK, Rounding.SEARCH])
def test_more_powers_of_two_lose_fewer_spikes(rounding: Rounding) -> None:
    """The largest weight is the largest power: none is clipped to half of itself."""
    real = network(layer(INPUTS, 12, gain=2.0))
    lost = []
    for bits in (4, 8):
        chosen = HiddenSettings(bits=bits, grid=Grid.POWER, rounding=rounding)
        lost.append(float(quantize_network(real, spikes(), chosen).layers[0].after.mean()))
    assert lost[0] > lost[1]


def test_the_search_looks_at_samples_from_everywhere() -> None:
    """The first samples are empty, and tell nothing of how to round."""
    busy = spikes()
    few = replace(busy, inputs=np.concatenate([np.zeros((600, STEPS, INPUTS), "u1"), busy.inputs]))
    real = network(layer(INPUTS, 12, gain=2.0, biases=np.zeros(12)))
    found = quantize_network(real, few, HiddenSettings(bits=3)).layers[0]
    assert found.after.mean() < found.before.mean()


def test_a_large_readout_is_scaled_down() -> None:
    """By a power of two, with its biases: decisions are those of the small one."""
    small = replace(TWO, readout_weights=100.0 * np.eye(5), readout_biases=np.arange(5.0))
    large = replace(small, readout_weights=1600.0 * np.eye(5), readout_biases=16 * np.arange(5.0))
    cards = [quantize_network(real, spikes()).card for real in (small, large)]
    found = [decisions(scores(card, spikes(3).inputs)) for card in cards]
    np.testing.assert_array_equal(found[0], found[1])


def test_a_weight_of_zero_stays_out() -> None:
    weights = np.random.default_rng(0).normal(size=(INPUTS, 6))
    weights[::2] = 0
    real = network(layer(INPUTS, 6, weights=weights))
    for rounding in (Rounding.NEAREST, Rounding.FEEDBACK):
        card = quantize_network(real, spikes(), HiddenSettings(rounding=rounding)).card
        assert not card.branches[0].layers[0].weights[::2].any()


def test_intensities_stand_for_the_values_that_were_trained_on() -> None:
    """Offset and scale of each input go into bias and weights."""
    rng = np.random.default_rng(4)
    data = replace(
        spikes(bits=6), scale=rng.uniform(0.01, 0.1, INPUTS), offset=rng.normal(size=INPUTS)
    )
    real = network(layer(INPUTS, 12, gain=1.0))
    found = quantize_network(real, data, HiddenSettings(bits=12, guard_bits=8))
    assert 0.05 < found.layers[0].real_rate < 0.95
    assert found.layers[0].after.mean() < 0.005
    assert found.card.input_bits == 6


@pytest.mark.parametrize("factor", [0.0, 0.3, 0.5, 0.9, 0.99, 0.9995, 1.0])
def test_the_shortest_leak_keeps_the_time_constant(factor: float) -> None:
    leak = Leak.nearest(factor, tolerance=1e-3)
    assert abs(leak.factor - factor) <= 1e-3 * (1 - factor) + 2.0**-17
    if leak.f:
        shorter = round((1 - factor) * 2 ** (leak.f - 1)) / 2 ** (leak.f - 1)
        assert abs(1 - shorter - factor) > 1e-3 * (1 - factor)


def test_time_constants_are_told_before_and_after() -> None:
    (change,) = quantize_network(network(layer(INPUTS, 6)), spikes()).layers
    before, after = change.time_constant
    assert before == pytest.approx(-1 / math.log(0.9))
    assert after == pytest.approx(before, rel=2e-3)
    (pure,) = quantize_network(network(layer(INPUTS, 6, leak=np.ones(6))), spikes()).layers
    assert pure.time_constant == (math.inf, math.inf)


def test_lateral_weights_and_late_resets_are_kept() -> None:
    rng = np.random.default_rng(5)
    lateral = rng.normal(0, 0.2, (8, 8))
    for late in (True, False):
        real = network(layer(INPUTS, 8, gain=2.0, lateral=lateral, late=late))
        found = quantize_network(real, spikes(), HiddenSettings(bits=12, guard_bits=8))
        assert 0.02 < found.layers[0].real_rate < 0.9
        assert found.layers[0].after.mean() < 0.01
        assert found.card.branches[0].layers[0].recurrent is not None


def test_what_one_lateral_weight_loses_another_makes_up_for() -> None:
    """Two neurons fire at every step, and 0.4 of each fires a third one: to nearest both are 0."""
    weights, lateral = np.eye(3)[[0, 2]], np.zeros((3, 3))
    weights[0, 1] = 1.0
    lateral[:2, 2] = 0.4
    own = layer(
        2,
        3,
        weights=weights,
        biases=np.zeros(3),
        leak=np.zeros(3),
        thresholds=np.full(3, 0.7),
        lateral=lateral,
    )
    data = spikes(n_inputs=2)
    data.inputs[..., 0], data.inputs[..., 1] = 1, 0
    for rounding, wanted in ((Rounding.NEAREST, [0, 0, 0]), (Rounding.FEEDBACK, [0, 1, 0])):
        chosen = HiddenSettings(bits=2, guard_bits=0, rounding=rounding, least_rate=0.0)
        found = quantize_network(network(own), data, chosen)
        recurrent = found.card.branches[0].layers[0].recurrent
        assert recurrent is not None
        assert recurrent[:, 2].tolist() == wanted
        assert found.layers[0].silent == (rounding is Rounding.NEAREST)
    assert found.layers[0].after.max() == 0


def test_neurons_that_read_each_other_are_searched_too() -> None:
    """Weights and thresholds move, and spikes of samples that had no say are kept better."""
    lateral = np.random.default_rng(5).normal(0, 0.3, (24, 24))
    real = network(layer(INPUTS, 24, gain=2.0, lateral=lateral, late=True))
    other = spikes(seed=9)
    targets = stack_spikes(real.layers, other.real)
    wrong = []
    for rounding in (Rounding.NEAREST, Rounding.SEARCH):
        found = quantize_network(real, spikes(), HiddenSettings(bits=3, rounding=rounding))
        assert bool(found.layers[0].moved) is (rounding is Rounding.SEARCH)
        wrong.append(disagreement(targets, card_spikes(found.card, other)).mean())
    assert wrong[1] < 0.7 * wrong[0]


def test_a_convolution_with_a_late_reset_keeps_its_kernel() -> None:
    kernel = np.random.default_rng(3).normal(0, 0.5, (2, 1, 2, 2))
    own = layer(INPUTS, 18, weights=Convolution(kernel, Windows(shape=(1, 4, 4))), late=True)
    found = quantize_network(network(own), spikes(), HiddenSettings(bits=12, guard_bits=8))
    assert isinstance(found.card.branches[0].layers[0].weights, IntegerConvolution)
    assert found.layers[0].real_rate > 0.02
    assert found.layers[0].after.mean() < 0.01


def test_the_thresholds_of_channels_are_moved_where_that_restores_spikes() -> None:
    kernel = np.random.default_rng(3).normal(0, 0.5, (4, 1, 3, 3))
    own = layer(INPUTS, 16, weights=Convolution(kernel, Windows(shape=(1, 4, 4))))
    coarse = HiddenSettings(bits=3)
    found = quantize_network(network(own), spikes(), coarse).layers[0]
    (shared,) = quantize_network(network(own), spikes(), coarse).card.branches[0].layers
    assert found.moved > 0
    assert all(len(set(channel)) == 1 for channel in shared.thresholds.reshape(4, -1).tolist())
    fed = replace(coarse, rounding=Rounding.FEEDBACK)
    assert found.after.mean() < quantize_network(network(own), spikes(), fed).layers[0].after.mean()


def test_a_convolution_may_reset_to_a_value() -> None:
    kernel = np.random.default_rng(3).normal(0, 0.5, (4, 1, 3, 3))
    shared = Convolution(kernel, Windows(shape=(1, 4, 4)))
    own = layer(INPUTS, 16, weights=shared, reset=Reset.ZERO, resets=np.full(16, -3.0))
    (found,) = (
        quantize_network(network(own), spikes(), HiddenSettings(bits=3)).card.branches[0].layers
    )
    assert found.resets is not None
    assert (found.resets < 0).all()


def test_each_neuron_may_have_a_leak_of_its_own() -> None:
    real = network(layer(INPUTS, 8, leak=np.linspace(0.5, 0.95, 8)))
    found = quantize_network(real, spikes(), HiddenSettings(bits=12, guard_bits=8))
    (own,) = found.card.branches[0].layers
    assert own.leaks is not None
    assert 1 - own.leaks / (1 << own.leak.f) == pytest.approx(np.linspace(0.5, 0.95, 8), abs=1e-3)
    assert found.layers[0].after.mean() < 0.01


@pytest.mark.parametrize("late", [True, False])
def test_synaptic_currents_are_integers_too(late: bool) -> None:
    real = network(layer(INPUTS, 8, synapse=np.full(8, 0.55), late=late))
    found = quantize_network(real, spikes(), HiddenSettings(bits=12, guard_bits=8))
    assert 0.02 < found.layers[0].real_rate < 0.9
    assert found.layers[0].after.mean() < 0.01
    assert found.card.branches[0].layers[0].synapse == Leak.nearest(0.55)


@pytest.mark.parametrize("reset", [Reset.SUBTRACT, Reset.ZERO, Reset.NONE])
def test_a_lateral_bias_is_silent_at_the_first_step(reset: Reset) -> None:
    members = {"lateral_biases": np.linspace(-1.5, 1.5, 8), "synapse": np.full(8, 0.5)}
    first = layer(INPUTS, 8, gain=2.0, reset=reset, **members)
    real = network(first, layer(8, 4, gain=2.0, lateral_biases=np.full(4, 0.3)))
    found = quantize_network(real, spikes(), HiddenSettings(bits=12, guard_bits=8))
    assert [each.neurons for each in found.layers] == [8, 4]
    assert max(each.after.max() for each in found.layers) < 0.02
    assert [each.n_neurons for each in found.card.branches[0].layers] == [9, 5]
    assert found.card.n_features == 5
    targets = stack_spikes(real.layers, spikes().real)
    pairs = zip(card_spikes(found.card, spikes()), targets, strict=True)
    own = [mine[..., : theirs.shape[2]] for mine, theirs in pairs]
    assert disagreement(targets, own).max() < 0.02


def test_each_layer_may_have_bits_of_its_own() -> None:
    card = quantize_network(TWO, spikes(), HiddenSettings(bits=(3, 6), guard_bits=0)).card
    first, second = card.branches[0].layers
    assert np.abs(first.weights).max() <= 3
    assert 3 < np.abs(second.weights).max() <= 31
    with pytest.raises(InputError, match=r"^bits must be one number, or one of each of the 2"):
        quantize_network(TWO, spikes(), HiddenSettings(bits=(3, 4, 5)))


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"synapse": np.linspace(0.5, 0.9, 6)}, "synapse of layer 6 must be the same for all"),
        ({"several": True, "strict": False, "biases": np.full(6, 5.0)}, "layer 6 spikes up to "),
    ],
)
def test_what_the_contract_cannot_do_is_refused_by_name(members: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=f"^{told}"):
        quantize_network(network(layer(INPUTS, 6, **members)), spikes())


def test_a_layer_that_falls_silent_is_refused() -> None:
    """A few strong weights leave no bit to the many that make the neuron spike."""
    weights = np.full((INPUTS, 4), 0.1)
    real = network(layer(INPUTS, 4, weights=weights, biases=np.zeros(4), lateral=-30 * np.eye(4)))
    coarse = HiddenSettings(bits=3, rounding=Rounding.NEAREST)
    with pytest.raises(InputError, match=r"^layer 4 spikes 0 times a neuron and step after"):
        quantize_network(real, spikes(), coarse)


def test_what_is_only_nearly_done_is_told() -> None:
    lateral = {"lateral": np.zeros((6, 6)), "lateral_biases": np.full(6, 0.1)}
    floor = {"floor": np.full(6, -1.0), "several": True, "strict": False}
    for members, told in ((lateral, "carries the lateral bias"), (floor, "no least value")):
        notes = quantize_network(network(layer(INPUTS, 6, gain=0.5, **members)), spikes()).notes
        assert any(told in note for note in notes)


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"weights": np.ones((3, 0))}, "weights of layer 6 must be real numbers of shape"),
        ({"weights": np.ones((3, 6), dtype=int)}, "weights of layer 6 must be real numbers"),
        ({"biases": np.zeros(5)}, r"biases of layer 6 must have shape \(6,\), not \(5,\)"),
        ({"thresholds": np.full(6, np.nan)}, "thresholds of layer 6 must be finite"),
        ({"thresholds": np.zeros(6)}, "thresholds of layer 6 must be positive"),
        ({"leak": np.full(6, 1.5)}, r"leak of layer 6 must lie in 0\.\.1"),
        ({"late": True, "reset": Reset.ZERO}, "the late reset of layer 6 must subtract, not zero"),
    ],
)
def test_a_layer_of_wrong_values_is_refused(members: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=f"^{told}"):
        layer(INPUTS, 6, **members)
