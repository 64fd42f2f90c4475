"""The studies' fits and their baselines, on problems small enough to know what must come out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from convexon.convex.model.loss import LossKind
from convexon.convex.model.penalty import L1
from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.snn.neuron import MEMORYLESS, ReadoutMode, Reset
from convexon.snn.simulate import decisions, scores
from convexon.study import xor
from convexon.study.addition import data_of, decider, fit_addition
from convexon.study.automata import fit_automaton
from convexon.study.baselines import (
    PAPER_LEAK,
    logistic_on_raw,
    paper_method,
    ridge_reservoir,
    surrogate_gradient,
)
from convexon.study.fit import Plan, accuracy, fit, held_out
from convexon.study.xor import fit_xor
from convexon.tasks.addition import Addition
from convexon.tasks.strings import first_last_xor, random_automaton
from convexon.train.columns.rows import distinct_rows, input_numbers
from convexon.train.generation import GenerationBudget
from convexon.train.pricing.enumeration import Enumeration
from convexon.train.pricing.site import site_on
from convexon.train.witnesses.alphabet import TERNARY
from convexon.train.witnesses.witness import WitnessFamily


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


def xor_of(row: np.ndarray) -> int:
    return int(row[0] ^ row[1])


def small_plan(**changes: object) -> Plan:
    family = WitnessFamily(
        fan_in=2, alphabet=TERNARY, leak=MEMORYLESS, reset=Reset.NONE, at_last=True
    )
    members: dict[str, object] = {
        "mode": ReadoutMode.LAST,
        "sites": lambda data, rows: [site_on(data, ReadoutMode.LAST, rows, family)],
        "oracles": [Enumeration()],
        "loss": LossKind.SQUARED,
        "penalty": L1(),
        "rhos": (0.01,),
        "budget": GenerationBudget(max_rounds=10),
    }
    return Plan(**{**members, **changes})  # type: ignore[arg-type]


def test_a_fit_closes_and_computes_xor_on_its_card() -> None:
    data = bits_of(3, xor_of)
    fitted = fit(small_plan(), data, data, seed=0)
    assert fitted.generated.closed
    assert accuracy(fitted.card, data) == accuracy(fitted.network, data) == 1.0
    assert fitted.validation == {0.01: 1.0}


def test_rho_is_the_largest_of_those_that_do_best_on_validation() -> None:
    train = bits_of(3, xor_of)
    rhos = (0.01, 0.02, 0.05, 10.0)
    fitted = fit(small_plan(rhos=rhos), train, train, seed=0)
    assert 10.0 not in fitted.validation  # it leaves no neuron
    best = max(fitted.validation.values())
    assert fitted.rho == max(r for r, share in fitted.validation.items() if share == best)
    assert fitted.rho > 0.01


def test_validation_labels_alone_change_which_rho_is_taken() -> None:
    # With a copy of 000 called 1, a weak penalty learns what most of the samples say.
    train = bits_of(2, lambda row: int(row.any()))
    other = bits_of(2, lambda row: int(row.all()))
    plan = small_plan(rhos=(0.3, 0.01))
    on_truth = fit(plan, train, train, seed=0)
    on_other = fit(plan, train, other, seed=0)
    assert set(on_truth.validation) == set(on_other.validation)
    assert on_truth.validation[0.01] == 1.0
    assert on_other.validation[0.01] == 0.5
    for rho in on_truth.validation:
        network = fit(small_plan(rhos=(rho,)), train, train, seed=0)
        assert on_other.validation[rho] == accuracy(network.card, other)


def deeper_plan(rhos: tuple[float, ...]) -> Plan:
    family = WitnessFamily(
        fan_in=2, alphabet=TERNARY, leak=MEMORYLESS, reset=Reset.NONE, at_last=True
    )
    return small_plan(rhos=rhos, deeper=(family,))


def test_a_rho_with_too_few_neurons_to_read_is_passed_over() -> None:
    train = bits_of(2, lambda row: int(row.all()))
    alone = fit(small_plan(rhos=(0.2,)), train, train, seed=0)
    assert np.count_nonzero(alone.generated.solution.W[:-1]) == 1  # of the two that a layer reads
    with pytest.raises(InputError, match=r"^rhos must leave a neuron active"):
        fit(deeper_plan((10.0, 0.2)), train, train, seed=0)
    data = bits_of(3, xor_of)
    fitted = fit(deeper_plan((10.0, 0.01)), data, data, seed=0)
    assert fitted.validation == {0.01: 1.0}
    assert fitted.card.branches[0].depth == 2


@given(st.integers(1, 4), st.integers(0, 50), st.floats(0.1, 0.6))
def test_held_out_never_splits_the_copies_of_an_input(copies: int, seed: int, share: float) -> None:
    data = bits_of(4, xor_of, copies=copies)
    try:
        rest, held = held_out(data, share, seed=seed)
    except InputError:  # a side lacks a class
        reject()
    sides = [{x.tobytes() for x in part.inputs} for part in (rest, held)]
    assert not sides[0] & sides[1]
    assert len(sides[0] | sides[1]) == 16
    assert len(sides[1]) == max(1, round(share * 16))
    assert rest.n_samples + held.n_samples == data.n_samples


def test_inputs_have_one_number_each() -> None:
    data = bits_of(2, xor_of, copies=2)
    assert input_numbers(data).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("kept", [(0, 3), (0, 1)])  # of one class; too few of both
def test_validation_without_a_class_is_refused(kept: tuple[int, int]) -> None:
    data = bits_of(2, xor_of)
    few = SpikeDataset(
        inputs=data.inputs[list(kept)],
        labels=np.array([0, 1]),
        n_classes=2,
        input_bits=1,
        name="few",
    )
    message = (
        "^training samples must have all 2 classes when validation is held out, not 1: "
        "take longer strings or more training strings$"
    )
    with pytest.raises(InputError, match=message):
        held_out(few, 0.5, seed=0)


def test_accuracy_counts_samples_and_steps() -> None:
    data = bits_of(2, xor_of)
    card = fit(small_plan(), data, data, seed=0).card
    flipped = SpikeDataset(
        inputs=data.inputs,
        labels=np.array([1, 1, 1, 0]),  # of 0 1 1 0 the first is wrong
        n_classes=2,
        input_bits=1,
        name="flipped",
    )
    assert accuracy(card, flipped) == 0.75
    steps, _ = data_of(Addition(base=2), seed=0)
    network = ridge_reservoir(steps, steps, n_neurons=8, seed=0)
    named = decisions(scores(network, steps.inputs))
    right = sum(int(a == b) for a, b in zip(named.ravel(), steps.labels.ravel(), strict=True))
    assert accuracy(network, steps) == right / steps.labels.size


@pytest.mark.parametrize("carry_input", [True, False])
def test_addition_is_exact_at_five_times_the_length(carry_input: bool) -> None:
    task = Addition(base=2, carry_input=carry_input)
    fitted, leak = fit_addition(task, seed=0)
    assert leak == MEMORYLESS
    for n_steps in (6, 30):
        decide = decider(fitted.card)
        generator = np.random.default_rng(3)
        assert task.accuracy(decide, n_steps, n_samples=200, generator=generator) == (1.0, 1.0)


def test_feedback_in_passes_equals_feedback_step_by_step() -> None:
    task = Addition(base=3)
    train, validation = data_of(task, seed=1)
    decide = decider(ridge_reservoir(train, validation, n_neurons=24, seed=0))
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


@pytest.mark.parametrize("n_layers", [2, 4])
def test_xor_generalises_to_strings_that_were_not_trained_on(n_layers: int) -> None:
    train, test = first_last_xor(8).split(1000, 64, seed=0)
    card = fit_xor(train, n_layers=n_layers, seed=0).card
    assert card.branches[0].depth == n_layers
    assert accuracy(card, test) == 1.0


def test_baselines_do_no_better_than_chance_where_the_method_is_exact() -> None:
    train, test = first_last_xor(8).split(1000, 64, seed=1)
    rest, validation = held_out(train, 0.2, seed=1)
    assert accuracy(fit_xor(train, n_layers=2, seed=1).card, test) == 1.0
    paper = paper_method(rest, validation, widths=(64, 64), seed=1)
    named = logistic_on_raw(rest, validation)(test.inputs)
    assert accuracy(paper, test) < 1.0
    # No linear function of the bits is right about more than three of four values of two bits.
    assert (named[:, 0] == test.labels).mean() < 0.8


def test_every_baseline_learns_one_threshold_unit() -> None:
    data = bits_of(5, lambda row: int(row.sum() > 2))
    exact = logistic_on_raw(data, data)
    assert np.array_equal(exact(data.inputs)[:, 0], data.labels)
    assert accuracy(paper_method(data, data, widths=(200,), seed=0), data) == 1.0
    assert accuracy(ridge_reservoir(data, data, n_neurons=200, seed=0), data) == 1.0


def test_the_papers_branches_have_its_shape_on_digits_of_any_base() -> None:
    train, validation = data_of(Addition(base=5), seed=0)
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
    assert accuracy(network, data) == 1.0


def test_automata_choose_their_fan_in_on_validation() -> None:
    task = random_automaton(n_states=3, n_symbols=2, length=5, seed=0)
    train, test = task.split(300, 200, seed=0)
    fitted = fit_automaton(train, seed=0)
    assert accuracy(fitted.card, train) > 0.85
    assert not {x.tobytes() for x in train.inputs} & {x.tobytes() for x in test.inputs}


def refused_no_rho() -> None:
    data = bits_of(2, xor_of)
    fit(small_plan(rhos=()), data, data, seed=0)


def refused_heavy_rho() -> None:
    data = bits_of(2, xor_of)
    fit(small_plan(rhos=(100.0,)), data, data, seed=0)


def refused_widths() -> None:
    data = bits_of(2, xor_of)
    paper_method(data, data, widths=(8, 1), seed=0)


def refused_paper_rho() -> None:
    data = bits_of(3, xor_of)
    paper_method(data, data, widths=(50,), seed=0, rhos=(100.0,))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (refused_no_rho, "rhos must hold at least one"),
        (refused_heavy_rho, "rhos must leave a neuron active"),
        (refused_widths, "widths must hold at least 2 neurons"),
        (refused_paper_rho, "rhos must leave a neuron active"),
        (lambda: xor.plan(6, n_layers=1), "n_layers must be at least 2"),
    ],
)
def test_what_cannot_be_fitted_is_refused(call: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()  # type: ignore[operator]


def test_surrogate_gradient_wants_a_leak() -> None:
    pytest.importorskip("torch")
    data = bits_of(2, xor_of)
    with pytest.raises(InputError, match="leaks must hold"):
        surrogate_gradient(data, data, widths=(4,), seconds=1.0, seed=0, leaks=())


def test_rows_of_a_fit_are_the_distinct_training_rows() -> None:
    data = bits_of(3, xor_of, copies=3)
    fitted = fit(small_plan(), data, data, seed=0)
    assert fitted.rows.n_rows == distinct_rows(data, ReadoutMode.LAST).n_rows == 8
