"""Runs an accelerator's netlist in Icarus, at its ports alone: names inside do not survive."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hdl_bench import words_of

from convexon import golden
from convexon.bundle import RtlBundle
from convexon.network import FixedPointNetwork
from convexon.schedule import Schedule

_BENCH = """
`timescale 1ns/1ns
module bench;
  reg clk = 0, rst = 1, valid = 0, accept = 0;
  reg [{inputs}:0] payload = 0;
  reg [{inputs}:0] words [0:{top}];
  wire ready, given;
  wire [{results}:0] result;
  integer k = 0, clock = 0, quiet = 0;
  {module} dut(.clk(clk), .rst(rst), .i__valid(valid), .i__payload(payload), .i__ready(ready),
    .o__valid(given), .o__payload(result), .o__ready(accept));
  always #5 clk = ~clk;
  always @(posedge clk) begin
    clock <= clock + 1; quiet <= quiet + 1;
    if (!rst && valid && ready) begin $display("taken %0d", clock); k = k + 1; quiet <= 0; end
    if (!rst && given && accept) begin $display("%0d %h", clock, result); quiet <= 0; end
    if (quiet > {patience}) $finish;
  end
  always @(negedge clk) begin
    rst <= clock < 3; accept <= {accept};
    valid <= !rst && k <= {top}; payload <= words[k <= {top} ? k : 0];
  end
  initial $readmemh("words.hex", words);
endmodule
"""


@dataclass(frozen=True)
class Observed:
    """What came out: the edge of each transfer, and results by field."""

    taken: list[int]
    given: list[int]
    fields: dict[str, np.ndarray]


def observe(
    bundle: RtlBundle,
    verilog: str,
    network: FixedPointNetwork,
    inputs: np.ndarray,
    folder: Path,
    *,
    stalls: bool = False,
) -> Observed:
    """Send ``inputs`` to the module of ``verilog`` that has the ports of ``bundle``."""
    streams = bundle.ports["streams"]
    words = words_of(inputs, network.input_bits)
    (folder / "words.hex").write_text("".join(f"{word:x}\n" for word in words))
    text = _BENCH.format(
        inputs=streams["i"]["width"] - 1,
        results=streams["o"]["width"] - 1,
        top=len(words) - 1,
        module=bundle.top,
        patience=2000,
        accept="$random" if stalls else "1",
    )
    (folder / "bench.v").write_text(text)
    (folder / "model.v").write_text(verilog)
    compile_command = ["iverilog", "-g2012", "-s", "bench", "-o", "bench.vvp", "bench.v", "model.v"]
    subprocess.run(compile_command, cwd=folder, check=True)
    done = subprocess.run(
        ["vvp", "bench.vvp"], cwd=folder, capture_output=True, text=True, check=True, timeout=120
    )
    lines = [line.split() for line in done.stdout.splitlines() if line[:1] in "t0123456789"]
    lines = [row for row in lines if len(row) == 2]
    taken = [int(row[1]) for row in lines if row[0] == "taken"]
    results = [row for row in lines if row[0] != "taken"]
    fields = {f["name"]: _field(f, [row[1] for row in results]) for f in streams["o"]["fields"]}
    return Observed(taken, [int(row[0]) for row in results], fields)


def _field(field: dict, results: list[str]) -> np.ndarray:
    """Values of a field in results of hexadecimal digits; an unknown bit is no digit."""
    width, modulus = field["width"], 1 << field["width"]
    rows = []
    for text in results:
        value = int(text, 16) >> field["offset"]
        row = [(value >> (c * width)) % modulus for c in range(field["count"])]
        if field["signed"]:
            row = [v - modulus if v >= modulus >> 1 else v for v in row]
        rows.append(row)
    return np.array(rows, dtype=np.int64).reshape(len(results), field["count"])


def faults(
    bundle: RtlBundle,
    verilog: str,
    network: FixedPointNetwork,
    schedule: Schedule,
    inputs: np.ndarray,
    folder: Path,
    *,
    stalls: bool = False,
) -> list[str]:
    """What differs from the golden model, and, unless something stalls, from the schedule."""
    expected = golden.run(network, inputs)
    seen = observe(bundle, verilog, network, inputs, folder, stalls=stalls)
    if len(seen.given) != expected.labels.size:
        return [f"{len(seen.given)} results instead of {expected.labels.size}"]
    found = []
    for name, want in (("label", expected.labels), ("scores", expected.scores)):
        have = seen.fields[name].reshape(want.shape)
        if not np.array_equal(have, want):
            found.append(f"{name}: {np.argwhere(have != want)[0].tolist()}")
    per_sample = expected.labels.shape[1]
    last = np.arange(1, len(seen.given) + 1) % per_sample == 0
    if not np.array_equal(seen.fields["last"][:, 0], last):
        found.append("last")
    if not stalls:
        cycles = schedule.cycles(inputs, expected)
        start = seen.taken[0]
        given = np.array(seen.given[per_sample - 1 :: per_sample]) - start
        taken = np.array(seen.taken[:: network.n_steps]) - start
        if not np.array_equal(given, cycles.given) or not np.array_equal(taken, cycles.taken):
            found.append(f"clocks: {given.tolist()} instead of {cycles.given.tolist()}")
    return found
