"""Runs an accelerator's netlist in Icarus, at its ports alone: names inside do not survive."""

from __future__ import annotations

import dataclasses
import re
import string
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hdl_bench import words_of

from convexon.data.encoder import encode_levels
from convexon.plan.family import Family
from convexon.plan.image import loaded_plans, weight_image
from convexon.plan.mapping import Mapping
from convexon.plan.pipeline import Cycles
from convexon.plan.schedule import Schedule
from convexon.snn.decision import decided_trace
from convexon.snn.models import golden
from convexon.snn.models.trace import SpikeTrace
from convexon.snn.network import FixedPointNetwork
from convexon_boards.tools.synthesis import Netlist
from convexon_hdl.emit.bundle import RtlBundle
from strategies import image_words

_BENCH = """
`timescale 1ns/1ns
module bench;
  reg clk = 0, rst = 1, valid = 0, accept = 0, loading = 0;
  reg [{inputs}:0] payload = 0;
  reg [{inputs}:0] words [0:{top}];
  reg [31:0] word = 0;
  reg [31:0] image [0:{last_of_image}];
  wire ready, given, takes, loaded;
  wire [{results}:0] result;
  integer k = 0, n = 0, clock = 0, quiet = 0;
  {module} dut(.clk(clk), .rst(rst), .i__valid(valid), .i__payload(payload), .i__ready(ready),
    .o__valid(given), .o__payload(result), .o__ready(accept){load_ports});
  {no_load}
  always #5 clk = ~clk;
  always @(posedge clk) begin
    clock <= clock + 1; quiet <= quiet + 1;
    if (!rst && loading && takes) begin n = n + 1; quiet <= 0; end
    if (!rst && valid && ready) begin $display("taken %0d", clock); k = k + 1; quiet <= 0; end
    if (!rst && given && accept) begin $display("%0d %h", clock, result); quiet <= 0; end
    if (quiet > {patience}) $finish;
  end
  always @(negedge clk) begin
    rst <= clock < 3; accept <= {accept};
    loading <= !rst && n < {n_image}; word <= image[n < {n_image} ? n : 0];
    valid <= !rst && loaded && k <= {top}; payload <= words[k <= {top} ? k : 0];
  end
  initial begin $readmemh("words.hex", words); $readmemh("image.hex", image); end
endmodule
"""

_LOAD_PORTS = ", .load__valid(loading), .load__payload(word), .load__ready(takes), .loaded(loaded)"

_LUT_INIT = {
    Family.ECP5: r"\.INIT\(16'h([0-9a-f]+)\)",
    Family.ICE40: r"\.LUT_INIT\(16'h([0-9a-f]+)\)",
    Family.GOWIN: r"\.INIT\(16'h([0-9a-f]+)\)",
}


def with_inverted_table(netlist: Netlist, *, place: float) -> Netlist:
    """The netlist with one table of four inputs inverted, ``place`` of the way through its text."""
    found = list(re.finditer(_LUT_INIT[netlist.cells.family], netlist.verilog))
    digits = found[int(place * len(found))]
    table = int(digits[1], 16) ^ 0xFFFF  # one entry alone may be of inputs that never come
    text = f"{netlist.verilog[: digits.start(1)]}{table:04x}{netlist.verilog[digits.end(1) :]}"
    return dataclasses.replace(netlist, verilog=text)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What is sent to an accelerator, and what is to come of it."""

    words: list[int]
    per_sample: int
    expected: SpikeTrace
    cycles: Cycles
    image: list[int]

    @classmethod
    def of(
        cls, network: FixedPointNetwork, mapping: Mapping, *, samples: int, seed: int = 8
    ) -> Run:
        """Random samples: levels where an encoder reads them, steps elsewhere; and the weights."""
        rng, encoder = np.random.default_rng(seed), mapping.encoder
        bits = network.input_bits if encoder is None else encoder.bits
        transfers = network.n_steps if encoder is None else 1
        sent = rng.integers(0, 1 << bits, (samples, transfers, network.n_inputs))
        steps = sent.astype(np.uint8)
        if encoder is not None:
            steps = encode_levels(encoder, sent[:, 0], n_steps=network.n_steps)
        expected = decided_trace(mapping.decision, network, golden.run(network, steps))
        loads = bool(loaded_plans(network, mapping))
        return cls(
            words=words_of(sent, bits),
            per_sample=transfers,
            expected=expected,
            cycles=Schedule.of(network, mapping).cycles(steps, expected),
            image=image_words(weight_image(network, mapping)) if loads else [],
        )


@dataclass(frozen=True)
class Observed:
    """What came out: edges of transfers, and results by field; none if bits are unknown."""

    taken: list[int]
    given: list[int]
    fields: dict[str, np.ndarray]


def observe(
    bundle: RtlBundle, verilog: str, run: Run, folder: Path, *, stalls: bool = False
) -> Observed:
    """Send the words of ``run`` to the module of ``verilog`` that has the ports of ``bundle``."""
    streams = bundle.ports["streams"]
    for name, words in (("words", run.words), ("image", run.image or [0])):
        (folder / f"{name}.hex").write_text("".join(f"{word:x}\n" for word in words))
    text = _BENCH.format(
        inputs=streams["i"]["width"] - 1,
        results=streams["o"]["width"] - 1,
        top=len(run.words) - 1,
        module=bundle.top,
        n_image=len(run.image),
        last_of_image=max(0, len(run.image) - 1),
        load_ports=_LOAD_PORTS if run.image else "",
        no_load="" if run.image else "assign takes = 1, loaded = 1;",
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
    texts = [row[1] for row in results]
    known = not any(set(text) - set(string.hexdigits) for text in texts)
    fields = {f["name"]: _field(f, texts) for f in streams["o"]["fields"] if known}
    return Observed(taken, [int(row[0]) for row in results], fields)


def _field(field: dict, results: list[str]) -> np.ndarray:
    """Values of a field in results of hexadecimal digits."""
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
    bundle: RtlBundle, verilog: str, run: Run, folder: Path, *, stalls: bool = False
) -> list[str]:
    """What differs from the golden model, and, unless something stalls, from the schedule."""
    expected = run.expected
    seen = observe(bundle, verilog, run, folder, stalls=stalls)
    if len(seen.given) != expected.labels.size:
        return [f"{len(seen.given)} results instead of {expected.labels.size}"]
    if not seen.fields:
        return ["unknown bits"]
    found = []
    for name, want in (("label", expected.labels), ("scores", expected.scores)):
        have = seen.fields[name].reshape(want.shape)
        if not np.array_equal(have, want):
            found.append(f"{name}: {np.argwhere(have != want)[0].tolist()}")
    results = expected.labels.shape[1]
    last = np.arange(1, len(seen.given) + 1) % results == 0
    if not np.array_equal(seen.fields["last"][:, 0], last):
        found.append("last")
    if not stalls:
        start = seen.taken[0]
        given = np.array(seen.given[results - 1 :: results]) - start
        taken = np.array(seen.taken[:: run.per_sample]) - start
        if not np.array_equal(given, run.cycles.given):
            found.append(f"clocks: {given.tolist()} instead of {run.cycles.given.tolist()}")
        if not np.array_equal(taken, run.cycles.taken):
            found.append(f"taken: {taken.tolist()} instead of {run.cycles.taken.tolist()}")
    return found
