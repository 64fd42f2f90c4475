"""Pricing of logic cells: its largest ratio against every truth table, simulated one by one."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest

from convexon.certify.exact.dyadic import Dyadic
from convexon.certify.exact.penalties import EXACT_PENALTIES
from convexon.certify.network.cells import violating_cell
from convexon.certify.network.windows import WindowCheck
from convexon.convex.model.losses import Softmax
from convexon.convex.model.penalty import L1, GroupL2, GroupLInf, Penalty
from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.snn.cells import cell_layer, tables_of_integers
from convexon.snn.network import Layer
from convexon.snn.neuron import MEMORYLESS, ReadoutMode, Reset
from convexon.train.columns.rows import distinct_rows
from convexon.train.cost import CostKind
from convexon.train.generation import GenerationBudget, generate
from convexon.train.pricing.cells import CellPricing
from convexon.train.pricing.site import PricingProblem, Site, site_on
from convexon.train.pursuit import Pursuit, pursue_priced
from convexon.train.settings import SolveSettings
from convexon.train.witnesses.alphabet import TERNARY
from convexon.train.witnesses.witness import Field, WitnessFamily

FAMILY = WitnessFamily(
    fan_in=2, alphabet=TERNARY, leak=MEMORYLESS, reset=Reset.NONE, at_last=True,
    field=Field.of((3, 3)),
)  # fmt: skip
GENERATOR = np.random.default_rng(0)


def site(
    n_inputs: int = 9, *, mode: ReadoutMode = ReadoutMode.LAST, n_steps: int = 1, n: int = 40
) -> Site:
    generator = np.random.default_rng(4)
    data = SpikeDataset(
        inputs=generator.integers(0, 2, (n, n_steps, n_inputs), dtype=np.uint8),
        labels=generator.permutation(np.arange(n) % 3),
        n_classes=3,
        input_bits=1,
        name="cells",
    )
    family = FAMILY if n_inputs == 9 else replace(FAMILY, field=None)
    return site_on(data, distinct_rows(data, mode), family)


def asked(place: Site, penalty: Penalty, rho: float = 0.5) -> PricingProblem:
    dual = np.random.default_rng(9).normal(size=(place.rows.n_rows, 3))
    return PricingProblem(dual=dual, penalty=penalty, rho=rho, n_wanted=12)


def norms_of_all(place: Site, problem: PricingProblem, k: int) -> np.ndarray:
    """Dual norms of every truth table of every k inputs, by matrix products."""
    picks = (np.arange(1 << (1 << k))[:, None] >> np.arange(1 << k) & 1).astype(np.float64)
    found = []
    for inputs in itertools.combinations(range(place.n_inputs), k):
        cells = cell_layer(np.tile(inputs, (1 << k, 1)), np.eye(1 << k, dtype=int),
                           n_inputs=place.n_inputs)  # fmt: skip
        each = place.features(cells).T.astype(np.float64) @ problem.dual
        found.append(problem.penalty.dual_row_norms(picks @ each))
    return np.array(found)


@pytest.mark.parametrize("penalty", [GroupL2(), L1()])
@pytest.mark.parametrize(
    ("mode", "n_steps"), [(ReadoutMode.LAST, 2), (ReadoutMode.COUNT, 3), (ReadoutMode.STEP, 2)]
)
def test_the_largest_ratio_is_that_of_every_table(
    penalty: Penalty, mode: ReadoutMode, n_steps: int
) -> None:
    place, oracle = site(4, mode=mode, n_steps=n_steps), CellPricing()
    problem = asked(place, penalty)
    found = oracle.propose(problem, place, GENERATOR)
    truth = norms_of_all(place, problem, 4).max() / problem.rho
    assert truth <= found.largest_ratio <= truth * (1 + 1e-6)
    stated = oracle.set_of(place, 0)
    assert found.n_seen == stated.n_neurons == 1 << 16
    assert found.layer is not None
    proposals = problem.ratios(place, found.layer, place.features(found.layer))
    assert (proposals > 1.0).all()
    assert proposals.max() == pytest.approx(truth, rel=1e-9)


def test_a_bound_holds_where_outputs_count_otherwise() -> None:
    place, problem = site(4), asked(site(4), GroupLInf())
    truth = norms_of_all(place, problem, 4).max() / problem.rho
    assert truth <= CellPricing().propose(problem, place, GENERATOR).largest_ratio


def test_cells_read_four_of_a_window() -> None:
    place, oracle = site(), CellPricing()
    stated = oracle.set_of(place, 0)
    assert len(stated.inputs) == 126
    assert len({tuple(sorted(row)) for row in stated.inputs.tolist()}) == 126
    found = oracle.propose(asked(place, GroupL2()), place, GENERATOR)
    assert found.layer is not None
    assert (found.layer.fan_ins == 4).all()


def test_the_checker_finds_the_cell_that_violates_and_no_other() -> None:
    place, oracle = site(4, n=30), CellPricing()
    problem = asked(place, GroupL2())
    largest = norms_of_all(place, problem, 4).max()

    def found(limit: float) -> str | None:
        check = WindowCheck(
            signal=place.signal,
            mode=place.mode,
            readouts=np.zeros(len(place.signal), dtype=np.int64),
            dual=problem.dual,
            penalty=EXACT_PENALTIES["group_l2"](),
            limit=Dyadic.of(np.array([limit])),
        )
        return violating_cell(check, oracle.set_of(place, 0))

    assert found(largest * (1 + 1e-9)) is None
    told = found(largest * (1 - 1e-9))
    assert told is not None
    match = re.fullmatch(r"truth table (0x\w+) on inputs \[(.*)\]", told)
    assert match is not None
    table = tables_of_integers([int(match[1], 16)], 4)
    layer = cell_layer([[int(i) for i in match[2].split(",")]], table, n_inputs=4)
    column = place.features(layer).T.astype(np.float64) @ problem.dual
    assert problem.penalty.dual_row_norms(column)[0] == pytest.approx(largest, rel=1e-9)


def test_the_gap_over_all_cells_closes() -> None:
    place = site(4, n=16)
    problem = place.rows.problem(Softmax(), GroupL2(), 0.03, n_outputs=3)
    found = generate(
        problem,
        [place],
        [CellPricing()],
        budget=GenerationBudget(max_rounds=30, columns_per_round=6, tolerance=1e-6, gap=1e-3),
        generator=np.random.default_rng(1),
    )
    assert found.bound is not None
    assert 0 <= 1 - found.bound.value / found.rounds[-1].objective <= 1e-3
    (branch,) = found.branches
    assert branch.layers[-1].tables is not None


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (site(mode=ReadoutMode.SIGN), "oracle cells prices cells that read spikes"),
        (site(60), "oracle cells must price any 4 of 60 inputs, which are too many"),
    ],
)
def test_what_cannot_be_priced_is_said(place: Site, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        CellPricing().propose(asked(place, GroupL2()), place, GENERATOR)


def test_cells_that_weigh_otherwise_are_refused() -> None:
    with pytest.raises(InputError, match=r"^cost must be left out with oracle cells"):
        SolveSettings(oracle="cells", cost=CostKind.LUTS)


def test_blocks_of_cells_explain_what_the_ones_before_leave() -> None:
    place = site(n=200)
    taken: list[int] = []
    layer = pursue_priced(
        place,
        CellPricing(exact=False),
        3,
        Pursuit(keep=12, block=4, ridge=1e-3),
        generator=GENERATOR,
        progress=taken.append,
    )
    assert taken == [4, 8, 12]
    assert layer.tables is not None
    reads = np.array([GENERATOR.permutation(9)[:4] for _ in range(12)])
    blind = cell_layer(reads, GENERATOR.integers(0, 2, (12, 16)), n_inputs=9)
    targets = np.eye(3)[place.rows.labels]

    def left(cells: Layer) -> float:
        own = np.hstack([np.ones((len(targets), 1)), place.features(cells)])
        fitted = own @ np.linalg.lstsq(own, targets, rcond=None)[0]
        return float(np.square(targets - fitted).sum())

    assert left(layer) < 0.9 * left(blind)
