"""The examples' fits, on problems small enough to know what must come out."""

from __future__ import annotations

import numpy as np
import pytest

from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.snn.models.simulate import accuracy
from convexon.snn.neuron import MEMORYLESS
from convexon.train.fit import Fitted, fit
from scripts import example

addition, automata, strings, xor = (
    example(name) for name in ("addition", "automata", "strings", "xor")
)


def right(fitted: Fitted, data: SpikeDataset) -> float:
    return accuracy(fitted.card, data.inputs, data.labels)


@pytest.mark.parametrize("carry_input", [True, False])
def test_addition_is_exact_at_five_times_the_length(carry_input: bool) -> None:
    task = addition.Addition(base=2, carry_input=carry_input)
    fitted, leak = addition.fit_addition(task, seed=0)
    assert leak == MEMORYLESS
    for n_steps in (6, 30):
        decide = addition.decider(fitted.card)
        generator = np.random.default_rng(3)
        assert task.accuracy(decide, n_steps, n_samples=200, generator=generator) == (1.0, 1.0)


@pytest.mark.parametrize("n_layers", [2, 4])
def test_xor_generalises_to_strings_that_were_not_trained_on(n_layers: int) -> None:
    drawn, test = strings.first_last_xor(8).split(1000, 64, seed=0)
    plan = xor.plan(n_layers=n_layers)
    fitted = fit(plan, *strings.held_out(drawn, seed=0), seed=0)
    assert fitted.card.branches[0].depth == n_layers
    assert right(fitted, test) == 1.0


def test_automata_choose_their_fan_in_on_validation() -> None:
    task = strings.random_automaton(n_states=3, n_symbols=2, length=5, seed=0)
    train, test = task.split(300, 200, seed=0)
    fitted = automata.fit_automaton(*strings.held_out(train, seed=0), seed=0)
    assert right(fitted, train) > 0.85
    assert not {x.tobytes() for x in train.inputs} & {x.tobytes() for x in test.inputs}


def test_of_fan_ins_the_one_that_is_best_on_validation_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(automata, "FAN_INS", (1, 3))
    task = strings.random_automaton(n_states=3, n_symbols=2, length=5, seed=11)
    drawn, _ = task.split(100, 8, seed=11)
    fitted = automata.fit_automaton(*strings.held_out(drawn, seed=11), seed=11)
    used = np.count_nonzero(fitted.network.branches[0].layers[-1].weights, axis=0)
    assert 1 < used.max() <= 3


def test_one_hidden_layer_is_none_for_xor() -> None:
    with pytest.raises(InputError, match=r"^n_layers must be at least 2, taps and units, not 1$"):
        xor.plan(n_layers=1)


def test_addition_is_tested_on_sums_that_have_had_no_say() -> None:
    task = addition.Addition(base=5)
    seen = {sums.tobytes() for part in addition.data_of(task, seed=1) for sums in part.inputs}
    # Of 2 * 5 ** 12 sums hardly any is drawn twice.
    assert not any(x.tobytes() in seen for x in addition.fresh_sums(task, seed=1).inputs)
