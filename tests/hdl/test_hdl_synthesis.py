"""Synthesis for ECP5: what is counted, and that the netlist still computes the same."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hdl_bench import random_layer, random_network, words_of

from convexon import golden
from convexon.bundle import RtlBundle
from convexon.errors import ToolError
from convexon.mapping import Mapping
from convexon.neuron import Leak, ReadoutMode
from convexon_boards.synthesis import Netlist, netlist_ecp5, parse_stat, synthesize_ecp5
from convexon_hdl import yosys
from convexon_hdl.emit import emit

RNG = np.random.default_rng(8)
NETWORK = random_network(
    RNG,
    ((random_layer(RNG, 6, 5, leak=Leak(3, 3)), random_layer(RNG, 5, 4, recurrent=True)),),
    mode=ReadoutMode.COUNT,
    n_steps=4,
)


@pytest.fixture(scope="module")
def bundle() -> RtlBundle:
    return emit(NETWORK, Mapping.spatial(NETWORK))


@pytest.fixture(scope="module")
def netlist(bundle: RtlBundle) -> Netlist:
    return netlist_ecp5(bundle)


def test_counts_are_those_of_the_netlist(netlist: Netlist) -> None:
    cells = netlist.cells
    for cell, count in cells.raw.items():
        assert len(re.findall(rf"^  {cell} ", netlist.verilog, re.MULTILINE)) == count
    assert (cells.lut4, cells.carry) == (cells.raw["LUT4"], cells.raw["CCU2C"])
    assert cells.ff == cells.raw["TRELLIS_FF"]
    assert cells.lut4_sites == cells.lut4 + 2 * cells.carry
    assert cells.mult18 == cells.dp16kd == cells.wide_mux == 0
    assert cells.tool.startswith("yosys 0.")


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


_BENCH = """
`timescale 1ns/1ns
module bench;
  reg clk = 0, rst = 1, valid = 0;
  reg [5:0] inputs = 0;
  reg [5:0] words [0:{top}];
  wire ready, given;
  wire [{width}:0] result;
  integer k = 0;
  accelerator dut(.clk(clk), .rst(rst), .i__valid(valid), .i__payload(inputs), .i__ready(ready),
                  .o__valid(given), .o__payload(result), .o__ready(1'b1));
  always #5 clk = ~clk;
  always @(posedge clk) if (!rst && given) $display("%h", result);
  always @(negedge clk) begin
    rst <= 0; valid <= k <= {top}; inputs <= words[k <= {top} ? k : 0]; k <= k + 1;
    if (k > {top} + 20) $finish;
  end
  initial $readmemh("words.hex", words);
endmodule
"""


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")
def test_netlist_computes_what_the_golden_model_does(
    bundle: RtlBundle, netlist: Netlist, tmp_path: Path
) -> None:
    inputs = RNG.integers(0, 2, (20, NETWORK.n_steps, NETWORK.n_inputs))
    expected = golden.run(NETWORK, inputs)
    words = words_of(inputs, 1)
    output = bundle.ports["streams"]["o"]
    (tmp_path / "words.hex").write_text("".join(f"{word:x}\n" for word in words))
    bench = _BENCH.format(top=len(words) - 1, width=output["width"] - 1)
    (tmp_path / "bench.v").write_text(bench)
    # Icarus 11 cannot parse the vendor's cell models: Yosys puts them in the place of the cells.
    script = [
        "read_verilog netlist.v",
        "read_verilog -DNO_INCLUDES +/lattice/cells_sim_ecp5.v",
        f"hierarchy -check -top {bundle.top}",
        "proc",
        "flatten",
        "opt_clean",
        "write_verilog -noattr modelled.v",
    ]
    result = yosys.run(script, inputs={"netlist.v": netlist.verilog}, outputs=["modelled.v"])
    (tmp_path / "modelled.v").write_text(result.files["modelled.v"])
    command = ["iverilog", "-g2012", "-s", "bench", "-o", "bench.vvp", "bench.v", "modelled.v"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run(
        ["vvp", "bench.vvp"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    label, scores, _ = output["fields"]
    results = [int(line, 16) for line in done.stdout.split()]
    labels = [word & ((1 << label["width"]) - 1) for word in results]
    assert labels == expected.labels[:, 0].tolist()
    modulus = 1 << scores["width"]
    for word, row in zip(results, expected.scores[:, 0].tolist(), strict=True):
        for c, score in enumerate(row):
            assert (word >> (scores["offset"] + c * scores["width"])) % modulus == score % modulus


def test_saved_report_is_parsed() -> None:
    counts = {"$scopeinfo": 9, "LUT4": 70, "CCU2C": 4, "PFUMX": 3, "L6MUX21": 1, "TRELLIS_FF": 8}
    text = json.dumps({"creator": "Yosys", "design": {"num_cells_by_type": counts}})
    report = parse_stat(text, tool="yosys 0.70")
    assert (report.lut4, report.carry, report.wide_mux, report.ff) == (70, 4, 4, 8)
    assert report.lut4_sites == 78
    assert "$scopeinfo" not in report.raw


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"design": {}}', '{"design": null}'])
def test_damaged_report_is_refused(text: str) -> None:
    message = "Yosys must state the cells of the design in its JSON, and did not"
    with pytest.raises(ToolError, match=f"^{re.escape(message)}"):
        parse_stat(text, tool="yosys")


def test_bad_verilog_is_one_clear_line(bundle: RtlBundle) -> None:
    broken = RtlBundle(top="other", verilog="module other(; endmodule", ports={}, tools={})
    with pytest.raises(ToolError, match=r"^Yosys failed: .*syntax error"):
        synthesize_ecp5(broken)
