"""What a network may take on a board."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convexon.errors import InputError
from convexon.plan.cost.budget import Budget, fastest_within
from convexon.plan.cost.mapping_cost import Activity, mapping_cost
from convexon.plan.family import Family
from convexon.plan.mapping import Style
from convexon.snn.models import simulate
from convexon_boards.capacity import LINK_BLOCKS, LINK_LUTS, budget_of
from convexon_boards.catalogue import BOARDS, board_of
from strategies import layer_of, network_of

OPEN = [board for board in map(board_of, BOARDS) if board.vendor is None]


@pytest.mark.parametrize("board", OPEN, ids=lambda board: board.name)
def test_a_board_leaves_room_for_its_link(board) -> None:  # type: ignore[no-untyped-def]
    part, budget = board.open_part, budget_of(board)
    assert budget == budget_of(board.name)
    assert budget.family is part.family
    assert budget.block_rams == part.block_rams - LINK_BLOCKS
    assert 0 < budget.luts < part.lut_sites - LINK_LUTS
    assert budget.clock_hz == board.oscillator_mhz * 1e6


def test_the_document_states_what_a_design_may_take() -> None:
    text = (Path(__file__).parents[2] / "docs" / "boards.md").read_text(encoding="utf-8")
    assert f"leaves {LINK_LUTS} LUT sites and two block RAMs for the link" in text
    assert LINK_BLOCKS == 2
    for family, name in ((Family.ECP5, "an ECP5"), (Family.GOWIN, "a\nGowin part's")):
        assert f"{100 * family.usable:.0f} % of " in text
        assert name in text
    assert f"and {100 * Family.ICE40.usable:.0f} % of an iCE40's" in text


def test_what_is_given_takes_the_place_of_the_boards() -> None:
    limits = Budget(
        luts=100, block_rams=0, clock_hz=1e6, latency_cycles=9, style=Style.FOLDED, lanes=3
    )
    budget = budget_of("icebreaker", limits)
    assert (budget.luts, budget.block_rams, budget.clock_hz) == (100, 0, 1e6)
    assert (budget.latency_cycles, budget.style, budget.lanes) == (9, Style.FOLDED, 3)
    assert budget.family is Family.ICE40


@pytest.mark.parametrize("name", ["z80", "arty-a7-35"])
def test_a_board_without_open_tools_has_no_budget(name: str) -> None:
    with pytest.raises(InputError, match="board"):
        budget_of(name)


def test_a_small_board_folds_what_a_large_one_spreads() -> None:
    rng = np.random.default_rng(4)
    network = network_of((layer_of(rng.integers(-7, 8, (64, 48)), [9] * 48),), n_steps=4)
    inputs = rng.integers(0, 2, (3, 4, 64), dtype=np.uint8)
    activity = Activity.of(inputs, simulate.run(network, inputs))
    large, small = (
        fastest_within(network, budget_of(name), activity) for name in ("ulx3s-85f", "icebreaker")
    )
    assert large.is_spatial
    assert not small.is_spatial
    cost = mapping_cost(network, small, activity, Family.ICE40)
    budget = budget_of("icebreaker")
    assert cost.luts <= budget.luts
    assert cost.block_rams <= budget.block_rams
