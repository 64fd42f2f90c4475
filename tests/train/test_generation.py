"""Column generation: what it closes is optimal, and what it records is so."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest

from convexon.convex.model.loss import LOSSES
from convexon.convex.model.penalty import L1, GroupL2, Penalty
from convexon.convex.model.problem import Problem
from convexon.convex.solvers.solver import solve
from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.snn.models.simulate import layer_spikes, scores
from convexon.snn.network import Layer
from convexon.snn.neuron import MEMORYLESS, Leak, ReadoutMode, Reset
from convexon.train.columns.bits import BitColumns
from convexon.train.columns.dictionary import simulate_columns
from convexon.train.columns.rows import Rows, distinct_rows
from convexon.train.cost import CostKind, SiliconCost
from convexon.train.generation import (
    Generated,
    GenerationBudget,
    Round,
    deepened,
    generate,
)
from convexon.train.master import program_over
from convexon.train.pricing.enumeration import Enumeration
from convexon.train.pricing.local import LocalSearch
from convexon.train.pricing.oracles import RandomDraws
from convexon.train.pricing.site import Site, site_on
from convexon.train.witnesses.alphabet import TERNARY, Alphabet
from convexon.train.witnesses.reconstruct import reconstruct
from convexon.train.witnesses.threshold import delay_line, self_exciting
from convexon.train.witnesses.witness import WitnessFamily

UNITS = WitnessFamily(fan_in=2, alphabet=TERNARY, leak=MEMORYLESS, reset=Reset.NONE, at_last=True)
LIF = WitnessFamily(
    fan_in=2, alphabet=Alphabet.integers(3), leak=Leak(10, 10), reset=Reset.SUBTRACT, at_last=True
)
SEED = 0


def xor_strings(length: int) -> SpikeDataset:
    bits = np.array(list(itertools.product([0, 1], repeat=length)), dtype=np.uint8)
    return SpikeDataset(
        inputs=np.stack([1 - bits, bits], axis=2),
        labels=(bits[:, 0] ^ bits[:, -1]).astype(np.int64),
        n_classes=2,
        input_bits=1,
        name="xor",
    )


def task_on(
    data: SpikeDataset,
    *,
    mode: ReadoutMode = ReadoutMode.LAST,
    loss: str = "squared",
    penalty: Penalty | None = None,
    rho: float | None = None,
    outputs: int = 1,
) -> Problem:
    rows = distinct_rows(data, mode)
    rho = rho or 1.0 / rows.counts.sum()
    return rows.problem(LOSSES[loss](), penalty or L1(), rho, n_outputs=outputs)


def rows_of(data: SpikeDataset) -> Rows:
    return distinct_rows(data, ReadoutMode.LAST)


def taps(data: SpikeDataset, family: WitnessFamily = UNITS) -> Site:
    rows = distinct_rows(data, ReadoutMode.LAST)
    trunk = [delay_line(data.n_inputs, data.n_steps)]
    return site_on(data, rows, family, trunk=trunk, name="taps")


def run(task: Problem, sites: list[Site], oracles: list[object], **budget: object) -> Generated:
    return generate(
        task,
        sites,
        oracles,
        budget=GenerationBudget(**budget),
        generator=np.random.default_rng(SEED),
    )


def test_two_layers_and_then_three_close_on_xor() -> None:
    """64 strings, beta 1: four ANDs give 3.875, the XOR itself the least of all."""
    data = xor_strings(6)
    task, site = task_on(data), taps(data)
    two = run(task, [site], [Enumeration()])
    assert two.closed
    assert 64 * two.solution.certificate.primal == pytest.approx(3.875, abs=1e-4)
    above = deepened(two, site, UNITS, name="second")
    three = run(task, [site, above], [Enumeration()])
    assert three.closed
    # No network whatever does better: two groups of 32 equal labels, 1 - 1/64 each.
    assert 64 * three.solution.certificate.primal == pytest.approx(2 - 1 / 32, abs=1e-4)
    assert max(branch.depth for branch in three.branches) == 3


@pytest.mark.parametrize("family", [LIF, replace(LIF, leak=Leak(1, 2), reset=Reset.ZERO)])
@pytest.mark.parametrize("penalty", [L1(), GroupL2()])
def test_closed_solution_is_that_of_the_program_over_the_whole_grid(
    family: WitnessFamily, penalty: Penalty
) -> None:
    data = xor_strings(4)
    task = task_on(data, penalty=penalty, outputs=2, loss="softmax", rho=0.02)
    site = site_on(data, rows_of(data), family)
    oracle = Enumeration()
    found = run(task, [site], [oracle], columns_per_round=4, max_rounds=60)
    assert found.closed
    grid = oracle.columns(site)
    whole = solve(program_over(task, grid, np.ones(grid.n_columns)), tolerance=1e-7)
    assert found.solution.certificate.primal == pytest.approx(
        whole.certificate.primal, rel=1e-5, abs=1e-7
    )
    for record in found.rounds:
        assert record.exact_bound <= whole.certificate.primal * (1 + 1e-9)
        assert record.objective >= whole.certificate.primal * (1 - 1e-6)
    objectives = [record.objective for record in found.rounds]
    assert all(b <= a * (1 + 2e-6) for a, b in itertools.pairwise(objectives))


def test_each_site_is_deepened_on_its_own_neurons() -> None:
    data = xor_strings(5)
    task = task_on(data, rho=1e-4)
    sites = [
        site_on(data, rows_of(data), replace(LIF, leak=leak), name=name)
        for leak, name in ((Leak(1, 2), "fast"), (Leak(10, 10), "slow"))
    ]
    found = run(task, sites, [Enumeration()])
    for site in sites:
        above = deepened(found, site, UNITS, name="above")
        assert above.trunk[-1].leak == site.family.leak
        assert np.array_equal(above.signal, site_signal(above.trunk[-1], site))


def site_signal(layer: Layer, site: Site) -> np.ndarray:
    return layer_spikes(layer, site.signal, site.reach)


def test_sites_with_neurons_beside_are_not_deepened() -> None:
    data = xor_strings(4)
    task = task_on(data)
    hubs = self_exciting(data.inputs, data.input_range, alphabet=TERNARY)
    site = site_on(data, rows_of(data), UNITS, beside=hubs, name="beside")
    found = run(task, [site], [LocalSearch(n_candidates=32, n_moves=5)], max_rounds=2)
    with pytest.raises(InputError, match=r"^site beside must have no neurons beside it to be"):
        deepened(found, site, UNITS, name="above")


@pytest.mark.parametrize("kind", CostKind)
def test_bounds_with_costs_hold_for_every_neuron_of_the_grid(kind: CostKind) -> None:
    data = xor_strings(3)
    family = replace(UNITS, alphabet=Alphabet.integers(3))
    rows = distinct_rows(data, ReadoutMode.LAST)
    site = site_on(data, rows, family)
    pairs = [
        (np.array(v), t)
        for v in itertools.product(range(-3, 4), repeat=2)
        if any(v)
        for t in range(1, 7)
    ]
    layer = family.layer(np.stack([v for v, _ in pairs], axis=1), np.array([t for _, t in pairs]))
    cost = SiliconCost(kind=kind, unit=5.0)
    task, site = task_on(data, rho=0.02), replace(site, cost=cost)
    features = site.features(layer)
    whole = solve(program_over(task, BitColumns.pack(features), cost(site, layer)), tolerance=1e-8)
    found = run(task, [site], [Enumeration(), RandomDraws(n_drawn=50)], max_rounds=30)
    optimum = whole.certificate.primal
    assert found.rounds[-1].largest_ratio <= 1.0 + 1e-6
    assert found.solution.certificate.primal == pytest.approx(optimum, rel=1e-5)
    exact = run(task, [site], [Enumeration()], max_rounds=30, columns_per_round=2)
    assert exact.closed
    for record in exact.rounds:
        assert record.exact_bound <= optimum


def test_reconstructed_network_scores_as_the_program_predicts() -> None:
    data = xor_strings(5)
    task = task_on(data)
    found = run(
        task,
        [taps(data), site_on(data, rows_of(data), LIF)],
        [LocalSearch(n_candidates=32, n_moves=20), RandomDraws(n_drawn=100)],
        max_rounds=4,
        tolerance=1e-5,
    )
    network = reconstruct(
        found.branches,
        found.dictionary,
        found.solution.W,
        n_steps=5,
        input_bits=1,
        readout_mode=ReadoutMode.LAST,
    )
    W = found.solution.W
    predicted = found.dictionary.columns @ W[:-1] + W[-1]
    assert np.allclose(scores(network, data.inputs)[:, 0], predicted, atol=1e-12)
    columns = simulate_columns(found.branches, data, ReadoutMode.LAST).dense()
    first = np.cumsum([0, *(branch.n_outputs for branch in found.branches)])
    b, j = found.dictionary.witnesses.T
    assert np.array_equal(columns[:, first[b] + j], found.dictionary.columns)


def test_neurons_beside_self_exciting_units_survive_reconstruction() -> None:
    """A parity: the unit that remembers stays, although the readout does not weigh it."""
    generator = np.random.default_rng(1)
    bits = generator.integers(0, 2, (40, 5, 1), dtype=np.uint8)
    data = SpikeDataset(
        inputs=bits,
        labels=(np.cumsum(bits[:, :, 0], axis=1) >= 1).astype(np.int64),
        n_classes=2,
        input_bits=1,
        name="seen a one",
    )
    task = task_on(data, mode=ReadoutMode.STEP, loss="logistic", rho=0.01)
    hubs = self_exciting(data.inputs, data.input_range, alphabet=TERNARY)
    rows = distinct_rows(data, ReadoutMode.STEP)
    site = site_on(data, rows, UNITS, beside=hubs)
    found = run(task, [site], [LocalSearch(n_candidates=32, n_moves=10)], max_rounds=5)
    network = reconstruct(
        found.branches,
        found.dictionary,
        found.solution.W,
        n_steps=5,
        input_bits=1,
        readout_mode=ReadoutMode.STEP,
    )
    assert ((scores(network, data.inputs)[:, :, 0] > 0) == data.labels).all()
    W = found.solution.W
    predicted = found.dictionary.columns @ W[:-1] + W[-1]
    flat = scores(network, data.inputs).reshape(-1, 1)[rows.index]
    assert np.allclose(flat, predicted, atol=1e-12)


def test_idle_columns_leave_and_none_is_there_twice() -> None:
    data = xor_strings(6)
    found = run(
        task_on(data),
        [site_on(data, distinct_rows(data, ReadoutMode.LAST), LIF)],
        [Enumeration()],
        columns_per_round=8,
        max_rounds=40,
        patience=1,
    )
    assert sum(record.n_dropped for record in found.rounds) > 0
    keys = found.dictionary.bits.keys()
    assert len(set(keys)) == len(keys)
    W = found.solution.W
    assert W.shape[0] == found.dictionary.n_columns + 1
    assert found.closed


def test_dear_neurons_make_way_for_cheap_ones() -> None:
    data = xor_strings(5)
    site = taps(data, replace(UNITS, alphabet=Alphabet.integers(4)))
    sample = site.family.layer(np.eye(site.n_inputs, dtype=np.int64) * 5, np.ones(10, np.int64))
    cost = SiliconCost.relative_to(CostKind.LUTS, site, sample)
    plain = run(task_on(data), [site], [Enumeration()], columns_per_round=400)
    weighed = run(task_on(data), [replace(site, cost=cost)], [Enumeration()], columns_per_round=400)

    def luts(found: Generated) -> float:
        used = found.solution.W[:-1].any(axis=1)
        neurons = found.dictionary.witnesses[used, 1].astype(np.intp)
        layer = found.branches[0].layers[-1].restricted(neurons, np.arange(site.n_inputs))
        return float(cost(site, layer).sum())

    assert weighed.closed
    assert luts(weighed) < luts(plain)


def test_rounding_leaves_no_neuron_active() -> None:
    bits = np.array(list(itertools.product([0, 1], repeat=3)), dtype=np.uint8)
    data = SpikeDataset(
        inputs=bits[:, None], labels=bits[:, 0].astype(np.int64), n_classes=2, input_bits=1,
        name="first bit",
    )  # fmt: skip
    task = task_on(data, rho=0.1)
    found = run(task, [site_on(data, rows_of(data), UNITS)], [Enumeration()])
    W = found.solution.W[:-1]
    assert np.count_nonzero(W) == np.count_nonzero(np.abs(W) > 1e-6)


def test_budget_ends_it_and_progress_sees_every_round() -> None:
    data = xor_strings(6)
    site = site_on(data, distinct_rows(data, ReadoutMode.LAST), LIF)
    seen: list[Round] = []
    found = generate(
        task_on(data),
        [site],
        [Enumeration()],
        budget=GenerationBudget(max_rounds=2, columns_per_round=3),
        generator=np.random.default_rng(0),
        progress=seen.append,
    )
    assert tuple(seen) == found.rounds
    assert len(seen) == 2
    assert not found.closed
    assert found.dictionary.n_columns <= 3
    late = run(task_on(data), [site], [Enumeration()], max_seconds=1e-9)
    assert len(late.rounds) == 1


def test_conflicting_labels_share_one_prediction() -> None:
    bits = np.array([[0], [0], [0], [1]], dtype=np.uint8)
    data = SpikeDataset(
        inputs=bits[:, None], labels=np.array([0, 0, 1, 1]), n_classes=2, input_bits=1, name="c"
    )
    task = task_on(data, rho=1e-4)
    assert rows_of(data).counts.tolist() == [2, 1, 1]
    family = replace(UNITS, fan_in=1)
    found = run(task, [site_on(data, rows_of(data), family)], [Enumeration()])
    predicted = found.dictionary.columns @ found.solution.W[:-1] + found.solution.W[-1]
    assert predicted[0] == predicted[1] == pytest.approx(-1 / 3, abs=1e-2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_rounds": 0}, "max_rounds must be positive, not 0"),
        ({"patience": 0}, "patience must be positive, not 0"),
        ({"tolerance": 0.0}, "tolerance must lie within 0..1, not 0.0"),
    ],
)
def test_budgets_that_are_none_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        GenerationBudget(**changes)


def test_without_site_or_oracle_there_is_nothing_to_do() -> None:
    data = xor_strings(3)
    with pytest.raises(InputError, match=r"^sites and oracles must hold at least one each"):
        run(task_on(data), [taps(data)], [])
    empty = run(task_on(data, rho=10.0), [taps(data)], [Enumeration()])
    assert empty.closed
    assert empty.dictionary.n_columns == 0
    with pytest.raises(InputError, match=r"^site taps must have 2 active neurons or more to be"):
        deepened(empty, taps(data), UNITS, name="above")
