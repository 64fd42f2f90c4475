"""Pricing oracles: exact ones against brute force, heuristic ones by what they promise."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest

from convexon.convex.model.penalty import L1, GroupL2
from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.plan.adders.graph import signed_digits
from convexon.snn.models import golden
from convexon.snn.models.simulate import layer_features
from convexon.snn.neuron import INTEGRATE, MEMORYLESS, Leak, ReadoutMode, Reset
from convexon.train.columns.rows import distinct_rows
from convexon.train.cost import CostKind, SiliconCost, costs_of
from convexon.train.pricing.ascent import SurrogateAscent
from convexon.train.pricing.enumeration import Enumeration
from convexon.train.pricing.local import LocalSearch, _Candidates, _SteepestAscent
from convexon.train.pricing.milp import MixedIntegerProgram
from convexon.train.pricing.oracle import Oracle
from convexon.train.pricing.oracles import GivenNeurons, RandomDraws
from convexon.train.pricing.site import PricingProblem, Site, site_on
from convexon.train.witnesses.alphabet import TERNARY, Alphabet
from convexon.train.witnesses.threshold import self_exciting
from convexon.train.witnesses.witness import WitnessFamily

UNITS = WitnessFamily(fan_in=2, alphabet=TERNARY, leak=MEMORYLESS, reset=Reset.NONE, at_last=True)


def site(
    *,
    family: WitnessFamily = UNITS,
    mode: ReadoutMode = ReadoutMode.LAST,
    n_samples: int = 24,
    n_steps: int = 3,
    n_inputs: int = 4,
    bits: int = 1,
    seed: int = 0,
) -> Site:
    generator = np.random.default_rng(seed)
    data = SpikeDataset(
        inputs=generator.integers(0, 1 << bits, (n_samples, n_steps, n_inputs), dtype=np.uint8),
        labels=np.arange(n_samples) % 2,
        n_classes=2,
        input_bits=bits,
        name="pricing",
    )
    return site_on(data, distinct_rows(data, mode), family)


def problem(place: Site, *, outputs: int = 2, penalty: object = None, **members: object) -> object:
    dual = np.random.default_rng(9).normal(size=(place.rows.n_rows, outputs))
    return PricingProblem(dual=dual, penalty=penalty or L1(), rho=0.5, n_wanted=8, **members)  # type: ignore[arg-type]


def golden_column(place: Site, weights: np.ndarray, threshold: int) -> np.ndarray:
    """Column of one neuron by the golden model, last step or counts."""
    layer = place.family.layer(weights[:, None], np.array([threshold]))
    spikes = [golden.layer_run(layer, sample)[0] for sample in place.signal.tolist()]
    if place.mode is ReadoutMode.COUNT:
        return np.array([sum(s[0] for s in sample) for sample in spikes])
    if place.mode is ReadoutMode.STEP:
        return np.array([s[0] for sample in spikes for s in sample])[place.rows.index]
    return np.array([sample[-1][0] for sample in spikes])


def brute_force(place: Site, asked: PricingProblem) -> float:
    """Largest ratio of any neuron of the grid, neuron by neuron in the golden model."""
    largest = 0.0
    values = place.family.alphabet.values.tolist()
    reach = place.signal.shape[1] * int(place.family.alphabet.largest) * place.family.fan_in
    reach *= place.reach.high
    for vector in itertools.product(values, repeat=place.n_inputs):
        weights = np.array(vector)
        if not 1 <= np.count_nonzero(weights) <= place.family.fan_in:
            continue
        for threshold in range(1, reach + 1):
            column = golden_column(place, weights, threshold)
            norm = float(np.abs(asked.dual.T @ column).max())
            largest = max(largest, norm / asked.rho)
    return largest


LIF = WitnessFamily(fan_in=2, alphabet=TERNARY, leak=Leak(1, 1), reset=Reset.SUBTRACT)
CASES = [
    (LIF, ReadoutMode.LAST, 1),
    (replace(LIF, reset=Reset.ZERO), ReadoutMode.COUNT, 1),
    (replace(LIF, leak=INTEGRATE, reset=Reset.NONE), ReadoutMode.STEP, 1),
    (replace(LIF, leak=Leak(1, 2)), ReadoutMode.LAST, 2),
]


@pytest.mark.parametrize(("family", "mode", "bits"), CASES)
def test_enumeration_is_exact(family: WitnessFamily, mode: ReadoutMode, bits: int) -> None:
    place = site(family=family, mode=mode, n_samples=6, n_steps=2, n_inputs=3, bits=bits)
    asked = problem(place)
    found = Enumeration().propose(asked, place, np.random.default_rng(0))
    assert found.largest_ratio == pytest.approx(brute_force(place, asked), rel=1e-12)
    ratios = asked.ratios(place, found.layer, place.features(found.layer))
    assert ratios[0] == pytest.approx(found.largest_ratio, rel=1e-12)
    assert (np.diff(ratios) <= 1e-12).all()


@pytest.mark.parametrize("kind", CostKind)
def test_enumeration_takes_the_cheapest_neuron_of_a_pattern(kind: CostKind) -> None:
    family = replace(UNITS, alphabet=Alphabet.integers(3))
    place = site(family=family, n_samples=8, n_steps=1, n_inputs=3)
    cost = SiliconCost(kind=kind, unit=3.0)
    asked, place = problem(place), replace(place, cost=cost)
    vectors = [
        np.array(v)
        for v in itertools.product(range(-3, 4), repeat=3)
        if 1 <= np.count_nonzero(v) <= 2
    ]
    pairs = [(v, t) for v in vectors for t in range(1, 7)]
    layer = family.layer(np.stack([v for v, _ in pairs], axis=1), np.array([t for _, t in pairs]))
    largest = asked.ratios(place, layer, place.features(layer)).max()
    found = Enumeration().propose(asked, place, np.random.default_rng(0))
    assert found.largest_ratio == pytest.approx(largest, rel=1e-12)


@pytest.mark.parametrize(("family", "mode", "bits"), [*CASES, (UNITS, ReadoutMode.LAST, 1)])
def test_mixed_integer_program_agrees_with_enumeration(
    family: WitnessFamily, mode: ReadoutMode, bits: int
) -> None:
    place = site(family=family, mode=mode, n_samples=5, n_steps=2, n_inputs=2, bits=bits)
    asked = problem(place, outputs=1)
    exact = Enumeration().propose(asked, place, np.random.default_rng(0)).largest_ratio
    found = MixedIntegerProgram().propose(asked, place, np.random.default_rng(0))
    assert found.largest_ratio == pytest.approx(exact, rel=1e-5)
    ratios = asked.ratios(place, found.layer, place.features(found.layer))
    assert ratios.max() == pytest.approx(exact, rel=1e-5)


def test_mixed_integer_program_keeps_the_fan_in_and_refuses_what_is_not_linear() -> None:
    one = replace(LIF, fan_in=1, alphabet=Alphabet.integers(3))
    place = site(family=one, n_samples=5, n_steps=2, n_inputs=3)
    found = MixedIntegerProgram().propose(
        problem(place, outputs=1), place, np.random.default_rng(0)
    )
    assert ((found.layer.weights != 0).sum(axis=0) <= 1).all()
    refused = [
        (place, problem(place, penalty=GroupL2()), "penalty must be l1"),
        (site(family=replace(one, alphabet=Alphabet.powers_of_two(3))), None, "alphabet must be"),
        (site(family=one, mode=ReadoutMode.SIGN), None, "readout_mode must be last, step or count"),
    ]
    for where, asked, message in refused:
        with pytest.raises(InputError, match=f"^{message}"):
            MixedIntegerProgram().propose(asked or problem(where), where, np.random.default_rng(0))


HEURISTICS: list[Oracle] = [
    RandomDraws(n_drawn=300),
    LocalSearch(n_candidates=40, n_moves=25),
    SurrogateAscent(n_candidates=40, n_steps=20),
]


@pytest.mark.parametrize("oracle", HEURISTICS, ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("mode", [ReadoutMode.LAST, ReadoutMode.STEP, ReadoutMode.COUNT])
@pytest.mark.parametrize("family", [UNITS, replace(LIF, alphabet=Alphabet.powers_of_two(3))])
def test_proposals_keep_to_the_grid_come_best_first_and_repeat(
    oracle: Oracle, mode: ReadoutMode, family: WitnessFamily
) -> None:
    place = site(family=family, mode=mode, n_inputs=6, bits=2)
    asked = problem(place, penalty=GroupL2())
    found = oracle.propose(asked, place, np.random.default_rng(4))
    layer = found.layer
    assert found.largest_ratio is None
    assert set(np.unique(layer.weights)) <= set(family.alphabet.values.tolist())
    fan_in = (layer.weights != 0).sum(axis=0)
    assert fan_in.min() >= 1
    assert fan_in.max() <= family.fan_in
    ratios = asked.ratios(place, layer, place.features(layer))
    assert (np.diff(ratios) <= 1e-12).all()
    keys = {column.tobytes() for column in place.features(layer).T}
    assert len(keys) == layer.n_neurons <= asked.n_wanted
    again = oracle.propose(asked, place, np.random.default_rng(4)).layer
    assert np.array_equal(again.weights, layer.weights)
    assert np.array_equal(again.thresholds, layer.thresholds)


@pytest.mark.parametrize("family", [UNITS, replace(LIF, fan_in=3)])
def test_local_search_finds_what_enumeration_proves_best(family: WitnessFamily) -> None:
    place = site(family=replace(family, alphabet=TERNARY), n_samples=60, n_inputs=6)
    asked = problem(place)
    exact = Enumeration().propose(asked, place, np.random.default_rng(0)).largest_ratio
    search = LocalSearch(n_candidates=96, n_moves=60).propose(
        asked, place, np.random.default_rng(1)
    )
    drawn = RandomDraws(n_drawn=96).propose(asked, place, np.random.default_rng(1))
    best, blind = (
        asked.ratios(place, found.layer, place.features(found.layer)).max()
        for found in (search, drawn)
    )
    assert best >= 0.9 * exact
    assert best >= blind


def steepest(place: Site, weights: np.ndarray, directions: np.ndarray) -> _SteepestAscent:
    """A search whose candidates may read every input, up to the family's fan-in."""
    k = weights.shape[1]
    start = _Candidates(
        weights,
        np.ones(k, dtype=np.int64),
        directions,
        np.full(k, place.family.fan_in),
    )
    return _SteepestAscent(place, start, np.random.default_rng(0))


def test_steepest_ascent_gains_are_exact() -> None:
    """Each move of the memoryless search changes the score by just what it said."""
    family = replace(UNITS, fan_in=4, alphabet=Alphabet.powers_of_two(3))
    place = site(family=family, n_samples=80, n_inputs=7, bits=3)
    generator = np.random.default_rng(2)
    directions = generator.normal(size=(place.rows.n_rows, 9))
    weights = generator.choice(family.alphabet.values, (7, 9)) * (generator.random((7, 9)) < 0.5)
    search = steepest(place, weights, directions)

    def score() -> np.ndarray:
        u = place.last_step().astype(np.int64) @ search.weights
        return ((u >= search.thresholds) * directions).sum(axis=0)

    for _ in range(12):
        search.time += 1
        membranes = place.last_step().astype(np.int64) @ search.weights
        search._best_thresholds(membranes)
        before = score()
        gains, inputs, targets = search._best_changes(membranes)
        can = np.isfinite(gains)
        search.weights[inputs[can], np.flatnonzero(can)] = targets[can]
        assert np.allclose((score() - before)[can], gains[can], atol=1e-4)


def test_candidates_have_fan_ins_of_their_own() -> None:
    place = site(family=replace(UNITS, fan_in=12), n_inputs=16, n_samples=120)
    found = LocalSearch(n_candidates=64, n_moves=20).propose(
        replace(problem(place), n_wanted=64), place, np.random.default_rng(3)
    )
    fan_in = (found.layer.weights != 0).sum(axis=0)
    assert fan_in.min() <= 4
    assert fan_in.max() >= 9


def test_best_threshold_is_the_best_of_all() -> None:
    place = site(n_samples=50, n_inputs=5, family=replace(UNITS, fan_in=5))
    generator = np.random.default_rng(2)
    directions = generator.normal(size=(place.rows.n_rows, 6))
    weights = generator.integers(-1, 2, (5, 6))
    search = steepest(place, weights, directions)
    u = place.last_step().astype(np.int64) @ weights
    search._best_thresholds(u)
    for k in range(6):
        levels = [t for t in np.unique(u[:, k]) if t >= 1]
        best = max(((u[:, k] >= t) * directions[:, k]).sum() for t in levels)
        assert search.best[k] == pytest.approx(best)
    assert (search.thresholds >= 1).all()


def test_given_neurons_are_priced_all_of_them() -> None:
    place = site()
    layer = UNITS.layer(np.eye(4, dtype=np.int64), np.ones(4, dtype=np.int64))
    asked = problem(place)
    found = GivenNeurons(layer=layer).propose(asked, place, np.random.default_rng(0))
    ratios = asked.ratios(place, layer, place.features(layer))
    assert found.largest_ratio == pytest.approx(ratios.max())
    for wrong in (
        replace(layer, leak=Leak(1, 2)),
        replace(layer, reset=Reset.ZERO),
        replace(layer, recurrent=np.eye(4, dtype=np.int64)),
    ):
        with pytest.raises(InputError, match=r"^layer must have leak and reset of site input"):
            GivenNeurons(layer=wrong).propose(asked, place, np.random.default_rng(0))
    with pytest.raises(InputError, match=r"^layer must read the 3 inputs of site input, not 4$"):
        GivenNeurons(layer=layer).propose(asked, site(n_inputs=3), np.random.default_rng(0))


def test_neurons_beside_self_exciting_units_see_their_last_spikes() -> None:
    plain = site(mode=ReadoutMode.STEP, n_inputs=2)
    data = SpikeDataset(
        inputs=plain.signal,
        labels=np.arange(len(plain.signal)) % 2,
        n_classes=2,
        input_bits=1,
        name="beside",
    )
    hubs = self_exciting(data.inputs, data.input_range, alphabet=TERNARY)
    place = site_on(data, plain.rows, UNITS, beside=hubs)
    assert place.n_inputs == 2 + hubs.n_neurons
    generator = np.random.default_rng(3)
    weights = generator.integers(-1, 2, (place.n_inputs, 5))
    layer = UNITS.layer(weights, np.ones(5, dtype=np.int64))
    whole = layer_features(
        ReadoutMode.STEP, place.branch(layer).layers[0], data.inputs, data.input_range
    )
    flat = whole.reshape(-1, whole.shape[2])[:, place.first_neuron :]
    assert np.array_equal(flat[place.rows.index], place.features(layer))
    with pytest.raises(InputError, match=r"^family and beside must be threshold units"):
        site_on(data, plain.rows, LIF, beside=hubs)


@pytest.mark.parametrize("kind", CostKind)
def test_costs_weigh_the_ratio_and_a_dear_neuron_costs_more(kind: CostKind) -> None:
    place = site(family=replace(UNITS, fan_in=3, alphabet=Alphabet.integers(4)))
    cheap, dear = np.array([1, 0, 0, 0]), np.array([5, 3, 7, 0])
    layer = place.family.layer(np.stack([cheap, dear], axis=1), np.array([1, 1]))
    cost = SiliconCost.relative_to(kind, place, layer)
    costs = costs_of(kind, place, layer)
    assert costs[0] < costs[1]
    assert cost.unit == pytest.approx(costs.mean())
    features = place.features(layer)
    plain = problem(place).ratios(place, layer, features)
    dear_place = replace(place, cost=cost)
    weighed = problem(place).ratios(dear_place, layer, features)
    assert np.allclose(weighed * costs / cost.unit, plain)


def test_events_are_spikes_that_reach_a_synapse() -> None:
    place = site()
    layer = UNITS.layer(np.array([[1], [0], [-1], [0]]), np.array([1]))
    expected = place.signal[:, :, [0, 2]].sum() / len(place.signal)
    assert costs_of(CostKind.EVENTS, place, layer).tolist() == pytest.approx([expected])


def test_signed_digits_are_the_fewest() -> None:
    def fewest(value: int) -> int:
        if value == 0:
            return 0
        if value % 2 == 0:
            return fewest(value // 2)
        return 1 + min(fewest((value - 1) // 2), fewest((value + 1) // 2)) if value > 1 else 1

    for value in range(-300, 301):
        digits = signed_digits(value)
        assert sum(sign << place for place, sign in digits) == value
        assert len(digits) == fewest(abs(value))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomDraws(n_drawn=0), "n_drawn must be positive, not 0"),
        (lambda: LocalSearch(n_moves=0), "n_moves must be positive, not 0"),
        (lambda: SurrogateAscent(n_steps=0), "n_steps must be positive, not 0"),
        (lambda: SiliconCost(kind=CostKind.LUTS, unit=0.0), "unit must be positive and finite"),
        (lambda: Enumeration(max_neurons=3).columns(site()), "fan_in must leave at most 3 neuron"),
        (lambda: site(family=replace(UNITS, lateral=1)), "lateral must be 0 on a site"),
        (lambda: site(family=replace(UNITS, fan_in=5)), "fan_in must be at most the 4 inputs"),
    ],
)
def test_what_makes_no_sense_is_refused(make: object, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        make()
