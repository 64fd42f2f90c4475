"""Fits by column generation, on problems small enough to know what must come out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from convexon.convex.model.losses import Squared
from convexon.convex.model.penalty import L1
from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.snn.models.simulate import accuracy
from convexon.snn.network import FixedPointNetwork, Network
from convexon.snn.neuron import MEMORYLESS, ReadoutMode, Reset
from convexon.train.columns.dictionary import build_dictionary
from convexon.train.columns.rows import distinct_rows, input_numbers
from convexon.train.fit import Plan, best_on_path, fit, rebuilding
from convexon.train.generation import GenerationBudget
from convexon.train.master import program_over
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


def right(network: Network | FixedPointNetwork, data: SpikeDataset) -> float:
    return accuracy(network, data.inputs, data.labels)


def xor_of(row: np.ndarray) -> int:
    return int(row[0] ^ row[1])


def small_plan(**changes: object) -> Plan:
    family = WitnessFamily(
        fan_in=2, alphabet=TERNARY, leak=MEMORYLESS, reset=Reset.NONE, at_last=True
    )
    members: dict[str, object] = {
        "mode": ReadoutMode.LAST,
        "sites": lambda data, rows: [site_on(data, rows, family)],
        "oracles": [Enumeration()],
        "loss": Squared(),
        "penalty": L1(),
        "rhos": (0.01,),
        "budget": GenerationBudget(max_rounds=10),
    }
    return Plan(**{**members, **changes})  # type: ignore[arg-type]


def test_a_fit_closes_and_computes_xor_on_its_card() -> None:
    data = bits_of(3, xor_of)
    fitted = fit(small_plan(), data, data, seed=0)
    assert fitted.generated.closed
    assert right(fitted.card, data) == right(fitted.network, data) == 1.0
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
        assert on_other.validation[rho] == right(network.card, other)


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


def test_inputs_have_one_number_each() -> None:
    data = bits_of(2, xor_of, copies=2)
    assert input_numbers(data).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def refused_no_rho() -> None:
    data = bits_of(2, xor_of)
    fit(small_plan(rhos=()), data, data, seed=0)


def refused_heavy_rho() -> None:
    data = bits_of(2, xor_of)
    fit(small_plan(rhos=(100.0,)), data, data, seed=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (refused_no_rho, "rhos must hold at least one"),
        (refused_heavy_rho, "rhos must leave a neuron active"),
    ],
)
def test_what_cannot_be_fitted_is_refused(call: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()  # type: ignore[operator]


def test_rows_of_a_fit_are_the_distinct_training_rows() -> None:
    data = bits_of(3, xor_of, copies=3)
    fitted = fit(small_plan(), data, data, seed=0)
    assert fitted.problem.n_rows == distinct_rows(data, ReadoutMode.LAST).n_rows == 8


def test_the_path_keeps_the_sparser_of_equally_good_networks() -> None:
    data = bits_of(3, xor_of)
    grown = fit(small_plan(), data, data, seed=0).generated
    rows = distinct_rows(data, ReadoutMode.LAST)
    dictionary = build_dictionary(grown.branches, data, ReadoutMode.LAST, rows=rows)
    problem = rows.problem(Squared(), L1(), 1.0, n_outputs=1)
    program = program_over(problem, dictionary.bits, np.ones(dictionary.n_columns))
    rebuild = rebuilding(grown.branches, dictionary, data, ReadoutMode.LAST)

    def best(*rhos: float) -> Network:
        return best_on_path(program, rebuild, data, rhos=rhos, tolerance=1e-6)

    sparse, dense = best(0.02), best(1e-4)
    assert right(sparse, data) == right(dense, data) == 1.0
    both = best(1e-4, 0.02)  # in whatever order they come
    assert np.array_equal(both.readout_weights, sparse.readout_weights)
    assert not np.array_equal(both.readout_weights, dense.readout_weights)
    with pytest.raises(InputError, match="rhos must leave a neuron active"):
        best(100.0)


@pytest.mark.parametrize("steps", [False, True])
def test_accuracy_counts_samples_and_steps(steps: bool) -> None:
    data = bits_of(2, xor_of)
    card = fit(small_plan(), data, data, seed=0).card
    labels = np.array([1, 1, 1, 0])  # of 0 1 1 0 the first is wrong
    assert accuracy(card, data.inputs, labels[:, None] if steps else labels) == 0.75
