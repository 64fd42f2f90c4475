"""Estimates of resources against synthesis: within the error that is stated, family by family."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from convexon.data.encoder import Encoder, EncoderKind
from convexon.errors import InputError
from convexon.plan.cost.amounts import Logic
from convexon.plan.cost.mapping_cost import estimated_resources
from convexon.plan.cost.resource_model import resource_model
from convexon.plan.cost.resources import CellReport, ResourceEstimate
from convexon.plan.family import Family
from convexon.plan.mapping import Folded, Mapping, Spatial
from convexon.report.figure import read_figures
from convexon.snn.fixed import QFormat
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import Leak, ReadoutMode, Reset
from convexon_boards.catalogue import board_of
from convexon_boards.design.shell import TOP, in_shell
from convexon_boards.families import part_of
from convexon_boards.tools.nextpnr import place
from convexon_boards.tools.synthesis import synthesize, synthesize_verilog
from convexon_hdl.emit.emitter import emit
from strategies import layer_of, network_of
from tiers import leading

ICE40UP5K = part_of("iCE40UP5K-SG48")

Design = tuple[FixedPointNetwork, Mapping]


def dense() -> Design:
    """LIF neurons with dense weights of five bits, all in logic."""
    rng = np.random.default_rng(11)
    layer = layer_of(
        rng.integers(-15, 16, (32, 12)), rng.integers(8, 20, 12), leak=Leak(1, 3),
        reset=Reset.SUBTRACT, weight_format=QFormat(5), threshold_format=QFormat(6),
    )  # fmt: skip
    network = network_of((layer,), n_steps=6, readout_mode=ReadoutMode.COUNT)
    return network, Mapping.spatial(network, Spatial(registers=1))


def folded(lanes: int = 6) -> Design:
    """The same, folded."""
    network, _ = dense()
    choice = Folded(lanes=lanes, banks=2, updates=2)
    return network, replace(Mapping.spatial(network), layers=((choice,),))


def ternary() -> Design:
    """Ternary neurons of eight synapses behind a threshold encoder, as `solve` makes them."""
    rng = np.random.default_rng(12)
    weights = np.zeros((64, 40), dtype=np.int64)
    for column in weights.T:
        column[rng.permutation(64)[:8]] = rng.choice([-1, 1], 8)
    layer = layer_of(weights, rng.integers(1, 4, 40), leak=Leak(1, 2), reset=Reset.ZERO)
    network = network_of(
        (layer,), n_steps=8, readout_mode=ReadoutMode.COUNT,
        readout_weights=rng.integers(-127, 128, (40, 4)), readout_biases=[0] * 4,
        readout_format=QFormat(8),
    )  # fmt: skip
    encoder = Encoder(kind=EncoderKind.THRESHOLD, bits=4)
    return network, replace(Mapping.spatial(network), encoder=encoder)


DESIGNS = {make.__name__: make for make in (dense, folded, ternary)}


@cache
def counted(name: str, family: Family) -> CellReport:
    return synthesize(emit(*DESIGNS[name]()), family).cells


@pytest.mark.parametrize("family", leading(Family))
@pytest.mark.parametrize("name", leading(DESIGNS))
def test_an_estimate_is_within_the_error_that_is_stated(name: str, family: Family) -> None:
    estimate = estimated_resources(*DESIGNS[name](), family)
    cells = counted(name, family)
    assert abs(estimate.error(cells)) <= estimate.usual_error
    assert estimate.block_rams == cells.block_ram


@pytest.mark.parametrize("family", Family)
def test_the_model_was_fitted_and_tried_on_other_designs(family: Family) -> None:
    model = resource_model(family)
    assert set(model.sites) == set(Logic)
    assert all(sites >= 0 for sites in model.sites.values())
    assert min(model.fitted, model.unseen) >= 30
    assert 0 < model.median_error < 0.10
    assert model.median_error < model.usual_error < 0.25
    assert model.usual_error < model.max_error


def test_estimates_of_what_was_built_are_within_their_error() -> None:
    """The results of benchmarks/boards.py, of solved networks on boards."""
    path = Path(__file__).parents[2] / "benchmarks" / "results" / "boards.json"
    figures = {name: figure.value for name, figure in read_figures(path).items()}
    starts = {".".join(name.split(".")[:3]) for name in figures}
    assert {
        "boards.icebreaker.xor",
        "boards.icebreaker.digits",
        "boards.ulx3s-85f.digits",
    } <= starts
    for start in starts:
        family = board_of(start.split(".")[1]).open_part.family
        own = f"{start}.accelerator"
        error = figures[f"{own}.lut4_sites_estimated"] / figures[f"{own}.lut4_sites"] - 1
        assert abs(error) <= resource_model(family).max_error, start
        assert figures[f"{own}.bram_estimated"] == figures[f"{own}.bram"], start
        assert figures.get(f"{start}.simulated.mismatches", 0) == 0, start


def cells_of(family: Family) -> CellReport:
    """What a synthesis of some hundred LUTs counts."""
    counts = dict.fromkeys(("carry", "wide_mux", "lutram", "mult18", "block_ram"), 0)
    return CellReport(family=family, lut4=700, ff=400, raw={}, tool="yosys", **counts)


def test_an_estimate_that_is_off_is_told() -> None:
    cells = cells_of(Family.ECP5)
    estimate = estimated_resources(*folded(), Family.ECP5)
    for factor in (0.5, 2.0):
        wrong = replace(estimate, lut_sites=round(factor * cells.lut4_sites))
        assert wrong.error(cells) == pytest.approx(factor - 1, abs=0.01)
        assert abs(wrong.error(cells)) > wrong.usual_error


def test_an_estimate_says_nothing_of_another_family() -> None:
    estimate = estimated_resources(*folded(), Family.ECP5)
    with pytest.raises(InputError, match=r"^cells must be LUT4s of ecp5, not \d+ of ice40$"):
        estimate.error(cells_of(Family.ICE40))


NUMBERS = ("lut_sites", "block_rams", "median_error", "usual_error", "max_error")


@pytest.mark.parametrize("name", NUMBERS)
def test_a_negative_estimate_is_refused(name: str) -> None:
    members = dict.fromkeys(NUMBERS, 0)
    with pytest.raises(InputError, match=f"^{name} must be 0 or more, not -1$"):
        ResourceEstimate(family=Family.ECP5, **{**members, name: -1})  # type: ignore[arg-type]


def test_carries_without_a_lut_are_those_that_placement_finds() -> None:
    netlist = synthesize_verilog(in_shell(emit(*folded(lanes=2))), TOP, Family.ICE40)
    log = place(netlist, ICE40UP5K, target_mhz=12.0, seed=1).log
    (found,) = (line for line in log.splitlines() if "LCs used as CARRY only" in line)
    assert f" {netlist.cells.lone_carry} LCs used as CARRY only" in found
    assert netlist.cells.lone_carry > 0
