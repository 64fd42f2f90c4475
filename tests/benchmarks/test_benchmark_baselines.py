"""What the method is compared with, on problems small enough to know what must come out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.snn.neuron import MEMORYLESS, ReadoutMode
from convexon.train.fit import fit
from scripts import example

from baselines import (  # isort: skip
    PAPER_LEAK,
    logistic_on_raw,
    paper_method,
    ridge_reservoir,
    right_on,
    surrogate_gradient,
)

addition, strings = example("addition"), example("strings")


def bits_of(length: int, label: object, *, copies: int = 1) -> SpikeDataset:
    """All bit vectors at one step, each with a label that a function of it gives."""
    rows = np.array(list(itertools.product((0, 1), repeat=length)), dtype=np.uint8)
    rows = np.repeat(rows, copies, axis=0)
    return SpikeDataset(
        inputs=rows[:, None],
        labels=np.array([label(row) for row in rows], dtype=np.int64),
        n_classes=2,
        input_bits=1,
        name="bits",
    )


def test_feedback_in_passes_equals_feedback_step_by_step() -> None:
    task = addition.Addition(base=3)
    train, validation = addition.data_of(task, seed=1)
    decide = addition.decider(ridge_reservoir(train, validation, n_neurons=24, seed=0))
    token, sequence = task.accuracy(decide, 9, n_samples=50, generator=np.random.default_rng(2))
    pairs, carry = task.digits(50, 9, np.random.default_rng(2))
    right, _ = task.sums(pairs, carry)
    inputs = np.zeros((50, 0, 3), dtype=np.uint8)
    named = np.empty_like(right)
    for t in range(9):
        step = np.concatenate([pairs[:, t], carry[:, None].astype(np.uint8)], axis=1)
        inputs = np.concatenate([inputs, step[:, None]], axis=1)
        named[:, t] = decide(inputs)[:, -1]
        carry = named[:, t] // 3
    assert 0.0 < token < 1.0  # else the feedback would not matter
    assert (token, sequence) == ((named == right).mean(), (named == right).all(axis=1).mean())


def test_baselines_do_no_better_than_chance_where_the_method_is_exact() -> None:
    train, test = strings.first_last_xor(8).split(1000, 64, seed=1)
    rest, validation = strings.held_out(train, seed=1)
    plan = example("xor").plan(n_layers=2)
    assert right_on(fit(plan, rest, validation, seed=1).card, test) == 1.0
    paper = paper_method(rest, validation, widths=(64, 64), seed=1)
    named = logistic_on_raw(rest, validation)(test.inputs)
    assert right_on(paper, test) < 1.0
    # No linear function of the bits is right about more than three of four values of two bits.
    assert (named[:, 0] == test.labels).mean() < 0.8


def test_every_baseline_learns_one_threshold_unit() -> None:
    data = bits_of(5, lambda row: int(row.sum() > 2))
    exact = logistic_on_raw(data, data)
    assert np.array_equal(exact(data.inputs)[:, 0], data.labels)
    assert right_on(paper_method(data, data, widths=(200,), seed=0), data) == 1.0
    assert right_on(ridge_reservoir(data, data, n_neurons=200, seed=0), data) == 1.0


def test_the_papers_branches_have_its_shape_on_digits_of_any_base() -> None:
    train, validation = addition.data_of(addition.Addition(base=5), seed=0)
    few = train.take(np.arange(100))
    network = paper_method(few, validation, widths=(60, 60), seed=0, rhos=(1e-4,))
    assert network.readout_mode is ReadoutMode.STEP
    for branch in network.branches:
        lower, upper = branch.layers
        assert lower.n_inputs == 3
        assert upper.n_inputs == lower.n_neurons <= 30
        assert upper.n_neurons <= 30
        # Thresholds are one on a grid whose inputs are at most one: four steps of a digit below.
        assert (lower.weights.max(axis=0) < lower.thresholds).any()
        assert lower.leak.factor == pytest.approx(0.99, abs=1e-3)


def test_surrogate_gradient_learns_one_threshold_unit() -> None:
    pytest.importorskip("torch")
    data = bits_of(5, lambda row: int(row.sum() > 2))
    network = surrogate_gradient(
        data,
        data,
        widths=(16,),
        seconds=60.0,
        seed=0,
        leaks=(PAPER_LEAK, MEMORYLESS),
        learning_rates=(0.1,),
        max_epochs=40,
    )
    assert [branch.depth for branch in network.branches] == [1, 1]
    assert len({branch.layers[-1].leak for branch in network.branches}) == 1
    assert right_on(network, data) == 1.0


def test_surrogate_gradient_wants_a_leak() -> None:
    pytest.importorskip("torch")
    data = bits_of(2, lambda row: int(row[0] ^ row[1]))
    with pytest.raises(InputError, match="leaks must hold"):
        surrogate_gradient(data, data, widths=(4,), seconds=1.0, seed=0, leaks=())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": (8, 1)}, "widths must hold at least 2 neurons"),
        ({"widths": (50,), "rhos": (100.0,)}, "rhos must leave a neuron active"),
    ],
)
def test_what_the_paper_cannot_fit_is_refused(options: dict[str, object], message: str) -> None:
    data = bits_of(3, lambda row: int(row[0] ^ row[1]))
    with pytest.raises(InputError, match=f"^{message}"):
        paper_method(data, data, seed=0, **options)
