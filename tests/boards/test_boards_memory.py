"""Memories: where they go on each family, and that the netlist still holds the same numbers."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from convexon.plan.family import Family
from convexon_boards.tools.netlist_model import simulation_model
from convexon_boards.tools.synthesis import synthesize_verilog
from tiers import exhaustive, leading

needs_icarus = pytest.mark.skipif(shutil.which("iverilog") is None, reason="needs Icarus Verilog")


def memory(depth: int, width: int, *, writable: bool) -> str:
    """A memory of random content with a synchronous read port, and a write port if asked."""
    numbers = np.random.default_rng(3).integers(0, 1 << min(width, 60), depth)
    init = "".join(f"    m[{k}] = {width}'d{n};\n" for k, n in enumerate(numbers))
    address = (depth - 1).bit_length() - 1
    write = "    if (we) m[wa] <= d;\n" if writable else ""
    return (
        f"module top(input clk, input re, input we, input [{address}:0] ra, wa,\n"
        f"  input [{width - 1}:0] d, output reg [{width - 1}:0] q);\n"
        f"  reg [{width - 1}:0] m [0:{depth - 1}];\n  initial begin\n{init}  end\n"
        f"  always @(posedge clk) begin\n    if (re) q <= m[ra];\n{write}  end\nendmodule\n"
    )


@pytest.mark.parametrize("family", leading(Family))
@pytest.mark.parametrize(
    ("depth", "width", "blocks"), [(16, 8, False), (32, 8, False), (512, 8, True)]
)
def test_large_constants_go_to_block_ram_and_tiny_ones_to_luts(
    family: Family, depth: int, width: int, blocks: bool
) -> None:
    cells = synthesize_verilog(memory(depth, width, writable=False), "top", family).cells
    assert (cells.block_ram > 0) == blocks
    assert (cells.lut4 > 0) != blocks
    assert cells.lutram == 0


@pytest.mark.parametrize("family", [Family.ECP5, Family.GOWIN])
def test_small_memories_are_made_of_luts(family: Family) -> None:
    cells = synthesize_verilog(memory(32, 8, writable=True), "top", family).cells
    assert (cells.block_ram, cells.lutram) == (0, 16)
    assert cells.lut4_sites >= 16


BENCH = """
module bench;
  reg clk = 0, re = 1, we = 0;
  reg [{address}:0] ra = 0, wa = 0;
  reg [{data}:0] d = 0;
  wire [{data}:0] q;
  integer k;
  top dut(clk, re, we, ra, wa, d, q);
  initial begin
    for (k = 0; k < {clocks}; k = k + 1) begin
      re = $random; we = $random; ra = $random; wa = $random; d = {{$random, $random, $random}};
      if (k < {depth}) begin re = 1; we = 0; ra = k; end
      if (wa == ra) wa = ra ^ 1;
      #5 clk = 1; #5 clk = 0; $display("%h", q);
    end
    $finish;
  end
endmodule
"""


def outputs(verilog: str, depth: int, width: int, folder: Path) -> list[str]:
    """What the memory reads in a run over all addresses and then at random."""
    folder.mkdir()
    (folder / "model.v").write_text(verilog)
    text = BENCH.format(
        address=(depth - 1).bit_length() - 1, data=width - 1, depth=depth, clocks=depth + 300
    )
    (folder / "bench.v").write_text(f"`timescale 1ns/1ps\n{text}")
    command = ["iverilog", "-g2012", "-s", "bench", "-o", "bench.vvp", "bench.v", "model.v"]
    subprocess.run(command, cwd=folder, check=True)
    done = subprocess.run(
        ["vvp", "-n", "bench.vvp"], cwd=folder, capture_output=True, text=True, check=True
    )
    return [line for line in done.stdout.splitlines() if re.fullmatch("[0-9a-fx]+", line)]


@needs_icarus
@pytest.mark.parametrize("family", leading(Family))
@pytest.mark.parametrize(
    ("depth", "width", "writable"),
    [
        pytest.param(512, 36, False, marks=exhaustive),
        (512, 36, True),
        pytest.param(1024, 18, True, marks=exhaustive),
        pytest.param(1024, 8, True, marks=exhaustive),
        pytest.param(2048, 3, False, marks=exhaustive),
        (32, 8, True),
    ],
)
def test_netlist_of_a_memory_reads_what_the_rtl_does(
    family: Family, depth: int, width: int, writable: bool, tmp_path: Path
) -> None:
    text = memory(depth, width, writable=writable)
    netlist = synthesize_verilog(text, "top", family)
    assert netlist.cells.block_ram > 0 or depth * width <= 1024
    expected = outputs(text, depth, width, tmp_path / "rtl")
    assert len(expected) == depth + 300
    assert outputs(simulation_model(netlist), depth, width, tmp_path / "netlist") == expected


@needs_icarus
@pytest.mark.parametrize("family", list(Family))
def test_a_flipped_bit_of_a_block_is_caught(family: Family, tmp_path: Path) -> None:
    text = memory(512, 8, writable=False)
    netlist = synthesize_verilog(text, "top", family)
    model = simulation_model(netlist)
    pattern = {
        Family.ECP5: r"INITVAL_00\(320'h",
        Family.ICE40: r"INIT_0\(256'h",
        Family.GOWIN: r"INIT_RAM_00\((?:256|288)'h",
    }[family]
    found = re.search(rf"(\.{pattern}[0-9a-f]+)([0-9a-f])\)", model)
    assert found is not None
    digit = f"{int(found[2], 16) ^ 1:x}"
    mutant = f"{model[: found.start(2)]}{digit}{model[found.end(2) :]}"
    expected = outputs(text, 512, 8, tmp_path / "rtl")
    assert outputs(mutant, 512, 8, tmp_path / "netlist") != expected
