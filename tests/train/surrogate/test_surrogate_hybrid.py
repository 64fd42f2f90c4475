"""Surrogate gradient with the convex program: witnesses, fine-tuning, baseline, ascent."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from surrogate_tasks import family, first_and_last, majority, parity, right

from convexon.errors import InputError
from convexon.snn.fixed import Interval, QFormat
from convexon.snn.models.simulate import layer_features
from convexon.snn.network import Branch, Network
from convexon.snn.neuron import MEMORYLESS, Leak, ReadoutMode, Reset
from convexon.train.witnesses.alphabet import TERNARY
from strategies import WEIGHED, layer_of

torch = pytest.importorskip("torch")

from convexon.train.surrogate.ascent import Stimulus, ascend  # noqa: E402
from convexon.train.surrogate.grid import WeightGrid  # noqa: E402
from convexon.train.surrogate.hybrid import fine_tune, train_end_to_end  # noqa: E402
from convexon.train.surrogate.model import LayerPlan  # noqa: E402
from convexon.train.surrogate.train import Lesson, TrainingPlan  # noqa: E402

PLAN = TrainingPlan(epochs=120, batch_size=16, learning_rate=0.1)
BIT = Interval(0, 1)


def on(data, validation=None):
    return Lesson(train=data, validation=validation or data)


def stack(n_inputs, n_neurons=12, **changes):
    return [[LayerPlan(n_neurons=n_neurons, family=family(n_inputs, **changes))]]


def delay_line(length):
    """A layer in which neuron k repeats the input of k steps before."""
    weights = np.zeros((1, length), dtype=np.int64)
    weights[0, 0] = 1
    return layer_of(
        weights,
        np.ones(length, dtype=np.int64),
        recurrent=np.eye(length, k=1, dtype=np.int64),
        leak=MEMORYLESS,
        reset=Reset.NONE,
    )


def random_network(data, *, n_neurons=8, seed=0, n_classes=2, fan_in=3):
    """Sparse random neurons with a random readout: a start that leaves much to learn."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(-7, 8, (data.n_inputs, n_neurons))
    for column in weights.T:
        column[rng.permutation(data.n_inputs)[fan_in:]] = 0
    layer = layer_of(
        weights,
        rng.integers(1, 5, n_neurons),
        leak=Leak(1, 1),
        weight_format=QFormat(4),
        threshold_format=QFormat(4),
    )
    return Network(
        branches=(Branch((layer,)),),
        n_steps=data.n_steps,
        input_bits=data.input_bits,
        readout_mode=ReadoutMode.LAST,
        readout_weights=rng.normal(size=(n_neurons, n_classes)),
        readout_biases=rng.normal(size=n_classes),
    )


@pytest.mark.parametrize("n_classes", [1, 2], ids=["one score", "two scores"])
def test_fine_tuning_improves_a_network_within_its_formats_and_fan_in(n_classes):
    data = majority()
    start = random_network(data, n_classes=n_classes)
    result = fine_tune(start, on(data), PLAN, learning_rates=(0.03, 0.1))
    assert right(start, data) + 0.1 < right(result.network, data)
    assert right(result.network, data) == result.best.validation_accuracy
    assert result.network.readout_weights.shape == start.readout_weights.shape
    (before,), (after,) = start.branches[0].layers, result.network.branches[0].layers
    assert after.weight_format == before.weight_format
    assert after.threshold_format == before.threshold_format
    assert (after.weights != 0).sum(axis=0).max() <= 3
    assert after.thresholds.max() <= before.threshold_format.interval.high
    assert not np.array_equal(before.weights, after.weights)


@given(st.integers(0, 50), st.sampled_from([1e-6, 0.1, 30.0]))
@settings(max_examples=15)
def test_fine_tuning_never_ends_worse_than_it_started(seed, rate):
    """On labels that training does not see, at any rate."""
    data = parity()
    flipped = replace(data, labels=1 - data.labels)
    start = random_network(data, seed=seed)
    plan = replace(PLAN, epochs=4)
    result = fine_tune(start, on(flipped, data), plan, learning_rates=(rate,))
    assert right(result.network, data) >= right(start, data)
    if result.best.epoch == 0:
        assert result.network is start


def delayed_network(data, last_layers):
    """Parallel branches of a delay line and a random layer, with a random readout."""
    rng = np.random.default_rng(0)
    lower = delay_line(data.n_steps)
    n_features = sum(layer.n_neurons for layer in last_layers)
    return Network(
        branches=tuple(Branch((lower, layer)) for layer in last_layers),
        n_steps=data.n_steps,
        input_bits=1,
        readout_mode=ReadoutMode.LAST,
        readout_weights=rng.normal(size=(n_features, 2)),
        readout_biases=rng.normal(size=2),
    )


@pytest.mark.parametrize("leak", [MEMORYLESS, Leak(1, 1)], ids=["memoryless", "leaky"])
def test_fine_tuning_leaves_fixed_layers_alone(leak):
    data, rng = first_and_last(), np.random.default_rng(1)
    last = [candidates(rng, n_inputs=3, n_neurons=k, leak=leak) for k in (8, 4)]
    start = delayed_network(data, last)
    result = fine_tune(start, on(data), PLAN, learning_rates=(0.1,), fixed_layers=1)
    assert right(result.network, data) == result.best.validation_accuracy
    assert right(result.network, data) > right(start, data) + 0.1
    assert result.network.n_steps == 3
    for before, after in zip(start.branches, result.network.branches, strict=True):
        assert after.layers[0] is start.branches[0].layers[0]
        assert not np.array_equal(before.layers[1].weights, after.layers[1].weights)


def test_layers_that_are_not_shared_cannot_be_fixed():
    data, rng = first_and_last(), np.random.default_rng(1)
    start = delayed_network(data, [candidates(rng, n_inputs=3)])
    with pytest.raises(InputError, match="fixed_layers must be 0 to 1"):
        fine_tune(start, on(data), PLAN, fixed_layers=2)
    other = Branch((replace(delay_line(3), thresholds=[1, 1, 2]), start.branches[0].layers[1]))
    weights = np.concatenate([start.readout_weights] * 2)
    two = replace(start, branches=(*start.branches, other), readout_weights=weights)
    with pytest.raises(InputError, match="share their first 1 layers"):
        fine_tune(two, on(data), PLAN, fixed_layers=1)


def test_the_baseline_is_tuned_and_learns():
    data = parity()
    lesson = on(data)
    rates = (1e-6, 0.1)
    result = train_end_to_end(stack(4), lesson, ReadoutMode.LAST, PLAN, learning_rates=rates)
    assert result.plan.learning_rate == 0.1
    assert right(result.network, data) == 1.0


@pytest.mark.parametrize("memory", [{}, {"leak": Leak(1, 1)}], ids=["memoryless", "leaky"])
def test_fixed_layers_below_are_simulated_once_and_put_back(memory):
    data = first_and_last()
    lower = Branch((delay_line(3),))
    result = train_end_to_end(
        stack(3, **memory),
        on(data),
        ReadoutMode.LAST,
        PLAN,
        learning_rates=(0.1,),
        lower=lower,
    )
    network = result.network
    assert (network.n_steps, network.n_inputs, network.depth) == (3, 1, 2)
    assert network.branches[0].layers[0] is lower.layers[0]
    assert right(network, data) == result.best.validation_accuracy == 1.0


def test_trained_branches_are_on_the_grid_and_differ_by_seed():
    data = parity()
    lesson = on(data)
    stacks = [*stack(4, alphabet=TERNARY), *stack(4, n_neurons=5)]
    first, second = (
        train_end_to_end(
            stacks,
            lesson,
            ReadoutMode.LAST,
            replace(PLAN, epochs=20, seed=seed),
            learning_rates=(0.05, 0.1),
        ).network.branches
        for seed in (0, 1)
    )
    assert [b.n_outputs for b in (*first, *second)] == [12, 5, 12, 5]
    assert np.isin(second[0].layers[0].weights, TERNARY.values).all()
    assert not np.array_equal(first[0].layers[0].weights, second[0].layers[0].weights)


def test_lower_layers_of_other_inputs_are_refused():
    data = parity()
    lower = Branch((delay_line(3),))
    with pytest.raises(InputError, match="lower must have the 4 inputs"):
        train_end_to_end(stack(3), on(data), ReadoutMode.LAST, PLAN, lower=lower)


def candidates(rng, *, n_inputs=6, n_neurons=20, reset=Reset.SUBTRACT, leak=MEMORYLESS):
    return layer_of(
        rng.integers(-7, 8, (n_inputs, n_neurons)),
        rng.integers(1, 8, n_neurons),
        weight_format=QFormat(4),
        reset=reset,
        leak=leak,
    )


def seen(signal):
    return Stimulus(signal=signal, reach=BIT, mode=ReadoutMode.LAST)


def values(layer, stimulus, directions):
    columns = layer_features(stimulus.mode, layer, stimulus.signal, stimulus.reach)
    return (directions * columns.reshape(-1, layer.n_neurons)).sum(axis=0)


def climbed(layer, stimulus, directions, *, steps, grid=None):
    grid = grid or WeightGrid.holding(layer)
    return ascend(layer, stimulus, directions, grid=grid, steps=steps, seed=0)


@pytest.mark.parametrize("batch", [2048, 50])
def test_ascent_finds_columns_that_correlate_with_a_realisable_target(batch, monkeypatch):
    """A dual that asks for the column of some witness, and sums to zero, as with an intercept."""
    monkeypatch.setattr("convexon.train.surrogate.ascent._BATCH", batch)
    rng = np.random.default_rng(0)
    signal = rng.integers(0, 2, (200, 1, 6)).astype(np.uint8)
    teacher = layer_features(ReadoutMode.LAST, candidates(rng), signal, BIT)[:, 0]
    fires = teacher.mean(axis=0)
    teacher = teacher[:, (fires > 0.05) & (fires < 0.95)]
    dual = np.where(teacher, 1.0 / teacher.sum(axis=0), -1.0 / (teacher == 0).sum(axis=0))
    layer = candidates(rng, n_neurons=teacher.shape[1])
    result = climbed(layer, seen(signal), dual, steps=150)
    assert values(layer, seen(signal), dual).mean() < 0.2
    assert values(result, seen(signal), dual).mean() > 0.9  # 1 is the bound


@given(
    seed=st.integers(0, 1000),
    mode=st.sampled_from(WEIGHED),
    reset=st.sampled_from(Reset),
    leak=st.sampled_from([MEMORYLESS, Leak(1, 2), Leak(0, 0)]),
)
@settings(max_examples=40)
def test_ascent_never_falls(seed, mode, reset, leak):
    rng = np.random.default_rng(seed)
    signal = rng.integers(0, 4, (12, 3, 4)).astype(np.uint8)
    layer = candidates(rng, n_inputs=4, n_neurons=5, reset=reset, leak=leak)
    readouts = 3 if mode is ReadoutMode.STEP else 1
    directions = rng.normal(size=(12 * readouts, 5))
    stimulus = Stimulus(signal=signal, reach=Interval(0, 3), mode=mode)
    result = climbed(layer, stimulus, directions, steps=6)
    before, after = (values(each, stimulus, directions) for each in (layer, result))
    assert (after >= before - 1e-9).all()
    assert np.abs(result.weights).max() <= 7
    assert result.thresholds.min() >= 1


def test_ascent_keeps_the_fan_in():
    rng = np.random.default_rng(3)
    layer = layer_of(np.eye(6, dtype=np.int64), np.ones(6, dtype=np.int64), reset=Reset.NONE)
    signal = rng.integers(0, 2, (40, 1, 6)).astype(np.uint8)
    grid = WeightGrid(alphabet=TERNARY, fan_in=2)
    dual = rng.normal(size=(40, 6))
    result = climbed(layer, seen(signal), dual, steps=25, grid=grid)
    assert (result.weights != 0).sum(axis=0).max() <= 2
    assert result.weight_format == TERNARY.format
    assert (values(result, seen(signal), dual) > values(layer, seen(signal), dual)).any()


def test_the_last_iterate_is_evaluated_between_evaluations_too(monkeypatch):
    """Five steps and an evaluation each ten: what the fifth has come to is still seen."""
    rng = np.random.default_rng(3)
    layer = layer_of(np.eye(6, dtype=np.int64), np.ones(6, dtype=np.int64), reset=Reset.NONE)
    signal, dual = rng.integers(0, 2, (40, 1, 6)).astype(np.uint8), rng.normal(size=(40, 6))
    found = []
    for every in (10, 5):
        monkeypatch.setattr("convexon.train.surrogate.ascent._EVALUATE_EVERY", every)
        found.append(values(climbed(layer, seen(signal), dual, steps=5), seen(signal), dual))
    rare, often = found
    assert np.array_equal(rare, often)
    assert (rare > values(layer, seen(signal), dual)).any()


def test_ascent_refuses_what_does_not_fit():
    rng = np.random.default_rng(0)
    layer, signal = candidates(rng, n_neurons=2), np.ones((5, 1, 6), dtype=np.uint8)
    lateral = replace(layer, recurrent=np.zeros((2, 2), dtype=np.int64))
    for case, words in [
        ((lateral, signal, np.ones((5, 2))), "no lateral weights"),
        ((layer, signal[:, :, :3], np.ones((5, 2))), "signal must have shape"),
        ((layer, signal, np.ones((4, 2))), "directions must be finite and of shape"),
        ((layer, signal, np.ones((5, 3))), "directions must be finite and of shape"),
        ((layer, signal, np.full((5, 2), np.nan)), "finite"),
    ]:
        of, read, dual = case
        with pytest.raises(InputError, match=words):
            climbed(of, seen(read), dual, steps=1)
