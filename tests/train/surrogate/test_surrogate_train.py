"""Surrogate training: it learns, it is the same twice, and what it returns is what it measured."""

import time
from dataclasses import replace

import numpy as np
import pytest
from surrogate_tasks import dataset, family, parity, right, running_and, strings

from convexon.errors import InputError
from convexon.snn.models.simulate import branch_trace, decisions, features
from convexon.snn.neuron import INTEGRATE, Leak, ReadoutMode, Reset
from convexon.train.witnesses.alphabet import TERNARY, Alphabet

torch = pytest.importorskip("torch")

from convexon.train.surrogate.model import LayerPlan, drawn_network  # noqa: E402
from convexon.train.surrogate.optimizer import cosine  # noqa: E402
from convexon.train.surrogate.train import Lesson, TrainingPlan, train, tuned  # noqa: E402

PLAN = TrainingPlan(epochs=150, batch_size=16, learning_rate=0.1)


def on(data, validation=None):
    return Lesson(train=data, validation=validation or data)


def model_of(data, *families, n_neurons=12, mode=ReadoutMode.LAST, seed=0):
    stack = [LayerPlan(n_neurons=n_neurons, family=f) for f in families]
    return drawn_network([stack], data, mode=mode, generator=np.random.default_rng(seed))


def accuracy_by_definition(network, data):
    traces = [branch_trace(b, data.inputs, data.input_range)[-1] for b in network.branches]
    weighed = np.concatenate([features(network.readout_mode, t) for t in traces], axis=2)
    decided = decisions(weighed @ network.readout_weights + network.readout_biases)
    return float((decided == data.labels.reshape(len(decided), -1)).mean())


@pytest.mark.parametrize(
    "alphabet", [TERNARY, Alphabet.integers(4), Alphabet.powers_of_two(3)], ids=lambda a: a.name
)
def test_parity_is_learned_on_every_alphabet(alphabet):
    data = parity()
    model = model_of(data, family(4, alphabet=alphabet), n_neurons=32)
    result = train(model, on(data), PLAN)
    assert result.best.validation_accuracy == 1.0
    assert accuracy_by_definition(result.network, data) == 1.0
    (layer,) = result.network.branches[0].layers
    assert np.isin(layer.weights, alphabet.values).all()
    assert layer.thresholds.min() >= 1


@pytest.mark.parametrize(
    "memory",
    [
        {"leak": Leak(1, 1), "reset": Reset.SUBTRACT},
        {"leak": Leak(1, 2), "reset": Reset.ZERO},
        {"lateral": 12},
    ],
    ids=["subtract", "zero", "lateral"],
)
def test_a_task_with_a_label_a_step_is_learned(memory):
    data = running_and()
    model = model_of(data, family(1, **memory), mode=ReadoutMode.STEP)
    start = right(model.to_network(n_steps=5, input_bits=1), data)
    result = train(model, on(data), PLAN)
    assert start < 0.9 < result.best.validation_accuracy
    assert accuracy_by_definition(result.network, data) == result.best.validation_accuracy


@pytest.mark.parametrize("mode", [ReadoutMode.LAST, ReadoutMode.SIGN, ReadoutMode.COUNT])
def test_two_layers_learn_through_each_other(mode):
    """Whether at least two of three bits came over the steps."""
    bits = strings(6).reshape(-1, 2, 3)
    data = dataset(bits, (bits.max(axis=1).sum(axis=1) >= 2).astype(np.int64))
    lif = {"leak": INTEGRATE, "reset": Reset.SUBTRACT}
    model = model_of(data, family(3, **lif), family(12, **lif), mode=mode)
    lower = model.branches[0].layers[0]
    before = lower.to_layer().weights
    result = train(model, on(data), replace(PLAN, epochs=40))
    assert result.best.validation_accuracy > 0.95
    assert not np.array_equal(before, lower.to_layer().weights)
    assert accuracy_by_definition(result.network, data) == result.best.validation_accuracy


def test_the_same_seed_gives_the_same_network_and_another_seed_another():
    data = parity()
    plan = replace(PLAN, epochs=5, input_dropout=0.1)

    def weights(seed):
        result = train(model_of(data, family(4)), on(data), replace(plan, seed=seed))
        return result.network.readout_weights

    assert np.array_equal(weights(0), weights(0))
    assert not np.array_equal(weights(0), weights(1))


def test_training_leaves_the_global_generator_alone():
    data = parity()
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    train(model_of(data, family(4)), on(data), replace(PLAN, epochs=2, input_dropout=0.5))
    assert torch.equal(torch.rand(1), expected)


def test_the_best_epoch_is_kept_and_reported():
    """A rate so high that in some of the trainings late epochs are worse than early ones."""
    data = parity()
    ends = []
    for seed in range(4):
        plan = replace(PLAN, epochs=15, learning_rate=3.0, seed=seed)
        result = train(model_of(data, family(4)), on(data), plan)
        assert [e.epoch for e in result.history] == list(range(16))
        assert result.best.merit == max(e.merit for e in result.history)
        assert right(result.network, data) == result.best.validation_accuracy
        ends.append(result.best.epoch)
    assert min(ends) < 15


def test_validation_decides_not_training():
    """Trained on the wrong labels, the untrained start is the best on validation."""
    data = dataset(np.ones((4, 1, 1)), [0, 0, 0, 1])
    wrong = dataset(np.ones((4, 1, 1)), [1, 1, 1, 0])
    result = train(model_of(data, family(1)), on(wrong, data), replace(PLAN, epochs=5))
    assert result.best.epoch == 0
    assert result.history[-1].validation_accuracy == 0.25


def test_a_budget_in_seconds_ends_the_training():
    data = parity(8)
    plan = replace(PLAN, epochs=10**6, seconds=0.5)
    began = time.monotonic()
    result = train(model_of(data, family(8)), on(data), plan)
    assert 0.4 < time.monotonic() - began < 5.0
    assert len(result.history) < 10**5


def test_the_learning_rate_is_chosen_on_validation_within_the_budget():
    data = parity()
    trained = []

    def build():
        trained.append(model_of(data, family(4)))
        return trained[-1]

    rates = (1e-7, 0.1, 1e-6)
    result = tuned(build, on(data), replace(PLAN, epochs=180), learning_rates=rates)
    assert result.plan.learning_rate == 0.1
    assert result.best.validation_accuracy == 1.0
    assert len(trained) == 3
    assert len(result.history) == 61


def test_a_single_rate_gets_the_whole_budget():
    data = parity()
    result = tuned(
        lambda: model_of(data, family(4)),
        on(data),
        replace(PLAN, epochs=7),
        learning_rates=(0.1,),
    )
    assert len(result.history) == 8


def test_the_schedule_falls_from_the_whole_rate():
    factors = [cosine(p) for p in np.linspace(0, 1, 11)]
    assert factors[0] == 1.0
    assert factors == sorted(factors, reverse=True)
    assert factors[-1] < 0.011


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0}, "epochs must be positive, not 0"),
        ({"batch_size": 0}, "batch_size must be positive"),
        ({"seconds": 0.0}, "seconds must be positive"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive"),
        ({"input_dropout": -0.1}, "input_dropout must be"),
        ({"label_smoothing": 1.0}, "label_smoothing must be"),
    ],
)
def test_settings_out_of_range_are_refused(changes, words):
    with pytest.raises(InputError, match=words):
        TrainingPlan(**changes)


def test_data_that_do_not_fit_are_refused():
    data, steps = parity(), running_and()
    model = model_of(data, family(4))
    with pytest.raises(InputError, match=r"train must have labels of shape \(samples, steps\)"):
        train(model, on(steps), PLAN)
    with pytest.raises(InputError, match="validation must have steps, inputs"):
        train(model, on(data, parity(5)), PLAN)
    three = dataset(data.inputs, np.arange(16) % 3, n_classes=3)
    with pytest.raises(InputError, match="train must have 2 classes"):
        train(model, on(three), PLAN)
    with pytest.raises(InputError, match="learning_rates must hold"):
        tuned(lambda: model, on(data), PLAN, learning_rates=())
    with pytest.raises(InputError, match="stacks must hold"):
        drawn_network([[]], data, mode=ReadoutMode.LAST, generator=np.random.default_rng())
    with pytest.raises(InputError, match="n_neurons must be positive"):
        LayerPlan(n_neurons=0, family=family(4))
