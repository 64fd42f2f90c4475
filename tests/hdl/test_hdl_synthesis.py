"""Synthesis for both families: what is counted, and that the netlist still computes the same."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hdl_bench import random_layer, random_network
from netlist_bench import faults

from convexon.bundle import RtlBundle
from convexon.cells import Family
from convexon.errors import ToolError
from convexon.mapping import Mapping
from convexon.neuron import Leak, ReadoutMode
from convexon.schedule import Schedule
from convexon_boards.netlist_model import simulation_model
from convexon_boards.synthesis import Netlist, parse_stat, synthesize
from convexon_hdl.emit import emit

RNG = np.random.default_rng(8)
NETWORK = random_network(
    RNG,
    ((random_layer(RNG, 6, 5, leak=Leak(3, 3)), random_layer(RNG, 5, 4, recurrent=True)),),
    mode=ReadoutMode.COUNT,
    n_steps=4,
)
MAPPING = Mapping.spatial(NETWORK)
LUT_INIT = {
    Family.ECP5: r"\.INIT\(16'h([0-9a-f]+)\)",
    Family.ICE40: r"\.LUT_INIT\(16'h([0-9a-f]+)\)",
}

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
    assert cells.lut4 + cells.carry + cells.ff == sum(cells.raw.values())
    assert min(cells.lut4, cells.carry, cells.ff) > 0
    assert cells.mult18 == cells.block_ram == cells.wide_mux == cells.lutram == 0
    assert cells.tool.startswith("yosys 0.")
    assert json.loads(netlist.json)["modules"][netlist.top]["cells"]


def test_chains_take_luts_on_ecp5_alone(netlist: Netlist) -> None:
    cells = netlist.cells
    in_chains = 2 * cells.carry if cells.family is Family.ECP5 else 0
    assert cells.lut4_sites == cells.lut4 + in_chains


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
    inputs = RNG.integers(0, 2, (20, NETWORK.n_steps, NETWORK.n_inputs))
    model, schedule = simulation_model(netlist), Schedule.of(NETWORK, MAPPING)
    assert not faults(bundle, model, NETWORK, schedule, inputs, tmp_path, stalls=stalls)


@needs_icarus
def test_an_inverted_table_is_caught(bundle: RtlBundle, netlist: Netlist, tmp_path: Path) -> None:
    inputs = RNG.integers(0, 2, (40, NETWORK.n_steps, NETWORK.n_inputs))
    found = list(re.finditer(LUT_INIT[netlist.cells.family], netlist.verilog))
    digits = found[len(found) // 2]
    table = int(digits[1], 16) ^ 0xFFFF  # one entry alone may be of inputs that never come
    text = f"{netlist.verilog[: digits.start(1)]}{table:04x}{netlist.verilog[digits.end(1) :]}"
    model = simulation_model(dataclasses.replace(netlist, verilog=text))
    schedule = Schedule.of(NETWORK, MAPPING)
    assert faults(bundle, model, NETWORK, schedule, inputs, tmp_path)


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
