"""Pricing over windows: its largest ratio against every neuron of the set, simulated one by one."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest

from convexon.convex.model.losses import Softmax
from convexon.convex.model.penalty import L1, GroupL2, GroupLInf, Penalty
from convexon.convex.solvers.solver import solve
from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.snn.neuron import MEMORYLESS, Leak, ReadoutMode, Reset
from convexon.train.columns.bits import BitColumns
from convexon.train.columns.dictionary import distinct_columns
from convexon.train.columns.rows import distinct_rows
from convexon.train.cost import CostKind, SiliconCost
from convexon.train.generation import Generated, GenerationBudget, generate
from convexon.train.master import Master, columns_on, program_over
from convexon.train.pricing.site import PricingProblem, Site, site_on
from convexon.train.pricing.windows import WindowPricing, rectangles
from convexon.train.settings import SolveSettings
from convexon.train.witnesses.alphabet import TERNARY, Alphabet
from convexon.train.witnesses.witness import Field, WitnessFamily

UNITS = WitnessFamily(
    fan_in=4, alphabet=TERNARY, leak=MEMORYLESS, reset=Reset.NONE, at_last=True,
    field=Field.of((3, 3)),
)  # fmt: skip
LIF = replace(UNITS, fan_in=2, leak=Leak(1, 2), reset=Reset.SUBTRACT, at_last=False)
PAIRS = [[k, k + 1] for k in (0, 1, 3, 4, 6, 7)]
"""Windows of two inputs side by side."""

GENERATOR = np.random.default_rng(0)


def site(
    family: WitnessFamily = UNITS,
    *,
    mode: ReadoutMode = ReadoutMode.LAST,
    n_steps: int = 1,
    bits: int = 1,
    n_samples: int = 30,
) -> Site:
    generator = np.random.default_rng(4)
    data = SpikeDataset(
        inputs=generator.integers(0, 1 << bits, (n_samples, n_steps, 9), dtype=np.uint8),
        labels=generator.permutation(np.arange(n_samples) % 3),
        n_classes=3,
        input_bits=bits,
        name="windows",
    )
    return site_on(data, distinct_rows(data, mode), family)


def asked(place: Site, penalty: Penalty | None = None) -> PricingProblem:
    dual = np.random.default_rng(9).normal(size=(place.rows.n_rows, 3))
    return PricingProblem(dual=dual, penalty=penalty or GroupL2(), rho=0.5, n_wanted=12)


def everything(place: Site, windows: list[list[int]], highest: int) -> np.ndarray:
    """Every column of the set, and once each neuron that is counted in it."""
    lowest = 1 if not place.memoryless else -highest + 1
    columns = []
    for window in windows:
        for vector in itertools.product(place.family.alphabet.values.tolist(), repeat=len(window)):
            levels = np.arange(lowest, highest + 1)
            weights = np.zeros((place.n_inputs, len(levels)), dtype=np.int64)
            weights[window] = np.array(vector)[:, None]
            columns.append(place.features(place.family.layer(weights, levels)))
    return np.concatenate(columns, axis=1)


@pytest.mark.parametrize(
    ("family", "members", "windows", "highest", "count"),
    [
        (UNITS, {}, [[0, 1, 3, 4], [1, 2, 4, 5], [3, 4, 6, 7], [4, 5, 7, 8]], 4, 4 * 216),
        (replace(UNITS, fan_in=2, alphabet=Alphabet.parse("pow2-3")), {}, PAIRS, 8, 6 * 2 * 14 * 7),
        (replace(UNITS, fan_in=1, field=None), {}, [[k] for k in range(9)], 1, 9 * 2),
        (replace(UNITS, fan_in=2), {"bits": 2}, PAIRS, 6, 6 * 2 * 6 * 3),
        (replace(UNITS, fan_in=1), {"mode": ReadoutMode.STEP, "n_steps": 2},
         [[k] for k in range(9)], 1, 9 * 2),
        (LIF, {"mode": ReadoutMode.COUNT, "n_steps": 3},
         PAIRS, 6, 6 * 2 * 3 * 3),
        (LIF, {"mode": ReadoutMode.SIGN, "n_steps": 2},
         PAIRS, 4, 6 * 2 * 3 * 2),
    ],
)  # fmt: skip
@pytest.mark.parametrize("penalty", [GroupL2(), L1(), GroupLInf()])
def test_the_largest_ratio_is_that_of_every_neuron(
    family: WitnessFamily,
    members: dict[str, object],
    windows: list[list[int]],
    highest: int,
    count: int,
    penalty: Penalty,
) -> None:
    place, oracle = site(family, **members), WindowPricing()  # type: ignore[arg-type]
    problem = asked(place, penalty)
    found = oracle.propose(problem, place, GENERATOR)
    columns = everything(place, windows, highest).astype(np.float64)
    norms = penalty.dual_row_norms(columns.T @ problem.dual)
    # The intercept's column, which the master has, is among them for the lowest thresholds.
    truth = norms.max() / problem.rho
    assert truth <= found.largest_ratio <= truth * (1 + 1e-4)
    stated = oracle.set_of(place, 0)
    assert sorted(sorted(w) for w in stated.inputs.tolist()) == sorted(windows)
    assert found.n_seen == stated.n_neurons == count
    assert found.layer is not None
    proposals = problem.ratios(place, found.layer, place.features(found.layer))
    assert proposals.max() == pytest.approx(truth, rel=1e-9)
    assert (proposals > 1.0).all()
    assert 1 < len(proposals) <= problem.n_wanted


def test_windows_where_no_boolean_function_violates_are_passed_over() -> None:
    place, problem = site(), asked(site())
    quiet = replace(problem, rho=1e3)
    found = WindowPricing().propose(quiet, place, GENERATOR)
    assert found.layer is None
    truth = problem.penalty.dual_row_norms(
        everything(place, rectangles(UNITS.field, 4).tolist(), 4).T.astype(float) @ problem.dual
    )
    assert truth.max() / 1e3 <= found.largest_ratio < 1.0


def test_rectangles_are_as_near_to_a_square_as_can_be() -> None:
    grid = Field.of((4, 5))
    assert grid is not None
    assert rectangles(grid, 9).shape == (2 * 3, 9)
    assert rectangles(grid, 8).tolist()[0] in (
        [0, 1, 5, 6, 10, 11, 15, 16],
        [0, 1, 2, 3, 5, 6, 7, 8],
    )
    assert rectangles(grid, 1).shape == (20, 1)
    deep = Field.of((2, 2, 3))
    assert deep is not None
    assert rectangles(deep, 6).shape == (2, 6)
    assert rectangles(deep, 2) is None


def grown(**budget: object) -> tuple[Generated, Site]:
    place = site(replace(UNITS, fan_in=2))
    problem = place.rows.problem(Softmax(), GroupL2(), 0.03, n_outputs=3)
    members = {"max_rounds": 30, "columns_per_round": 6, **budget}
    return generate(
        problem,
        [place],
        [WindowPricing()],
        budget=GenerationBudget(**members),
        generator=np.random.default_rng(1),
    ), place


@pytest.mark.parametrize("smoothing", [0.0, 0.5])
def test_the_gap_over_all_neurons_closes_to_the_optimum_of_the_whole_set(smoothing: float) -> None:
    found, place = grown(gap=1e-4, tolerance=1e-6, smoothing=smoothing)
    assert found.bound is not None
    primal = found.rounds[-1].objective
    assert 0 <= 1 - found.bound.value / primal <= 1e-4
    every = everything(place, rectangles(place.family.field, 2).tolist(), 2)
    bits = BitColumns.pack(every)
    whole = bits.take(distinct_columns(bits)[0])
    problem = place.rows.problem(Softmax(), GroupL2(), 0.03, n_outputs=3)
    least = solve(program_over(problem, whole, np.ones(whole.n_columns))).certificate
    assert found.bound.value <= least.primal
    assert primal >= least.dual
    bounds = [record.exact_bound for record in found.rounds]
    assert max(bound for bound in bounds if bound is not None) == found.bound.value


def test_an_interrupted_run_goes_on_from_its_columns() -> None:
    first, place = grown(max_rounds=2)
    problem = place.rows.problem(Softmax(), GroupL2(), 0.03, n_outputs=3)
    master = Master.empty(problem, place.max_feature)
    master.add(columns_on(place, first.branches[0].layers[-1]))
    master.start = first.solution.W
    budget = GenerationBudget(max_rounds=1, columns_per_round=6)
    second = generate(
        problem, [place], [WindowPricing()], budget=budget, generator=GENERATOR, master=master
    )
    assert second.rounds[0].n_columns == first.dictionary.n_columns
    assert second.rounds[0].objective == pytest.approx(first.solution.certificate.primal, rel=1e-5)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (
            site(LIF, mode=ReadoutMode.STEP, n_steps=2),
            "readout must be last, sign or count for windows over several steps",
        ),
        (
            site(replace(LIF, alphabet=Alphabet.integers(8)), n_steps=20, n_samples=400),
            "oracle windows must price",
        ),
        (site(LIF, n_steps=40, bits=2), "steps must be fewer than 40 for windows over all of them"),
    ],
)
def test_what_cannot_be_priced_is_said(place: Site, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        WindowPricing().propose(asked(place), place, GENERATOR)


def test_neurons_that_weigh_otherwise_are_refused() -> None:
    place = site()
    drawn = columns_on(place, place.family.layer(np.eye(9, dtype=np.int64), np.ones(9, np.int64)))
    cost = SiliconCost.relative_to(CostKind.LUTS, place, drawn[0].layer)
    with pytest.raises(InputError, match=r"^cost must be left out with oracle windows"):
        SolveSettings(oracle="windows", cost=CostKind.LUTS)
    with pytest.raises(InputError, match=r"^oracle windows prices neurons of one weight"):
        WindowPricing().propose(asked(place), replace(place, cost=cost), GENERATOR)
