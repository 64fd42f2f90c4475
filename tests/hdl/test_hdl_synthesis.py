"""Synthesis for both families: what is counted, and that the netlist still computes the same."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hdl_bench import random_layer, random_network
from netlist_bench import Run, faults, with_inverted_table

from convexon.errors import ToolError
from convexon.plan.family import Family
from convexon.plan.mapping import Mapping
from convexon.snn.neuron import Leak, ReadoutMode
from convexon_boards.tools.netlist_model import simulation_model
from convexon_boards.tools.synthesis import Netlist, parse_stat, synthesize
from convexon_hdl.emit.bundle import RtlBundle
from convexon_hdl.emit.emitter import emit

RNG = np.random.default_rng(8)
NETWORK = random_network(
    RNG,
    ((random_layer(RNG, 6, 5, leak=Leak(3, 3)), random_layer(RNG, 5, 4, recurrent=True)),),
    mode=ReadoutMode.COUNT,
    n_steps=4,
)
MAPPING = Mapping.spatial(NETWORK)
NO_LOGIC = ("IBUF", "OBUF", "GND", "VCC")
"""Cells of a netlist for Gowin that are pads or constants."""

needs_icarus = pytest.mark.skipif(shutil.which("iverilog") is None, reason="needs Icarus Verilog")


@pytest.fixture(scope="module")
def bundle() -> RtlBundle:
    return emit(NETWORK, MAPPING)


@pytest.fixture(scope="module", params=list(Family), ids=lambda family: family.value)
def netlist(bundle: RtlBundle, request: pytest.FixtureRequest) -> Netlist:
    return synthesize(bundle, request.param)


def test_counts_are_those_of_the_netlist(netlist: Netlist) -> None:
    cells = netlist.cells
    for cell, count in cells.raw.items():
        assert len(re.findall(rf"^  {cell} ", netlist.verilog, re.MULTILINE)) == count
    logic = sum(count for cell, count in cells.raw.items() if cell not in NO_LOGIC)
    assert cells.lut4 + cells.carry + cells.ff == logic
    assert min(cells.lut4, cells.carry, cells.ff) > 0
    assert cells.mult18 == cells.block_ram == cells.wide_mux == cells.lutram == 0
    assert cells.tool.startswith("yosys 0.")
    assert json.loads(netlist.json)["modules"][netlist.top]["cells"]


def test_chains_take_luts_where_they_have_none_of_their_own(netlist: Netlist) -> None:
    cells = netlist.cells
    per_carry = {Family.ECP5: 2, Family.ICE40: 0, Family.GOWIN: 1}[cells.family]
    assert cells.lut4_sites == cells.lut4 + per_carry * cells.carry + cells.lone_carry
    assert (cells.lone_carry > 0) == (cells.family is Family.ICE40)
    assert cells.lone_carry < cells.carry


def test_flip_flops_are_no_more_than_the_registers(netlist: Netlist) -> None:
    widths = [width for layers in NETWORK.ranges for ranges in layers for width in _widths(ranges)]
    spikes = NETWORK.n_neurons
    tags, valid, counter = 2 * 2, 4, 2
    score = max(1, *(len(bin(r.high - r.low)) for r in NETWORK.score_ranges))
    results = 2 * (3 * score + 1) + 2
    assert sum(widths) / 2 < netlist.cells.ff
    assert netlist.cells.ff <= sum(widths) + spikes + tags + valid + counter + results


def _widths(ranges) -> list[int]:  # type: ignore[no-untyped-def]
    return [max(abs(r.low), abs(r.high)).bit_length() + 1 for r in ranges.membrane]


@needs_icarus
@pytest.mark.parametrize("stalls", [False, True])
def test_netlist_computes_what_the_golden_model_does(
    bundle: RtlBundle, netlist: Netlist, stalls: bool, tmp_path: Path
) -> None:
    run = Run.of(NETWORK, MAPPING, samples=20)
    assert not faults(bundle, simulation_model(netlist), run, tmp_path, stalls=stalls)


@needs_icarus
def test_an_inverted_table_is_caught(bundle: RtlBundle, netlist: Netlist, tmp_path: Path) -> None:
    run = Run.of(NETWORK, MAPPING, samples=40)
    model = simulation_model(with_inverted_table(netlist, place=0.5))
    assert faults(bundle, model, run, tmp_path)


def test_saved_report_is_parsed() -> None:
    counts = {"$scopeinfo": 9, "LUT4": 70, "CCU2C": 4, "PFUMX": 3, "L6MUX21": 1, "TRELLIS_FF": 8}
    counts |= {"DP16KD": 2, "TRELLIS_DPR16X4": 5}
    text = json.dumps({"creator": "Yosys", "design": {"num_cells_by_type": counts}})
    report = parse_stat(text, family=Family.ECP5, tool="yosys 0.70")
    assert (report.lut4, report.carry, report.wide_mux, report.ff) == (70, 4, 4, 8)
    assert (report.block_ram, report.lutram) == (2, 20)
    assert report.lut4_sites == 98
    assert "$scopeinfo" not in report.raw


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"design": {}}', '{"design": null}'])
def test_damaged_report_is_refused(text: str) -> None:
    message = "Yosys must state the cells of the design in its JSON, and did not"
    with pytest.raises(ToolError, match=f"^{re.escape(message)}"):
        parse_stat(text, family=Family.ICE40, tool="yosys")


def test_bad_verilog_is_one_clear_line() -> None:
    broken = RtlBundle(top="other", verilog="module other(; endmodule", ports={}, tools={})
    with pytest.raises(ToolError, match=r"^Yosys failed: .*syntax error"):
        synthesize(broken, Family.ECP5)
