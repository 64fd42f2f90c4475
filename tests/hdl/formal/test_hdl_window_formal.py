# amaranth: UnusedElaboratable=no
"""Proof by parts of a convolution that is streamed, and faults in its text that it must find."""

from __future__ import annotations

from functools import cache

import pytest
from proof_bench import Subject, replaced

from convexon.plan.mapping import Folded, Mapping
from convexon_hdl.formal.network import left_to_simulation
from convexon_hdl.formal.obligation import report_on
from convolutions import convolutional
from tiers import leading

MAPPINGS = {
    "pooled": Mapping(layers=((Folded(lanes=2), Folded(lanes=3)),)),
    "strided, in groups": Mapping(layers=((Folded(lanes=1), Folded(lanes=3)),)),
}


@cache
def subject(name: str) -> Subject:
    """A convolution of two bit planes, then a dense layer."""
    return Subject(convolutional(name, input_bits=2, n_steps=2), MAPPINGS[name])


@pytest.mark.parametrize("name", leading(MAPPINGS))
def test_every_part_of_a_convolution_is_proved(name: str) -> None:
    one = subject(name)
    report = report_on(one.proofs, left_to_simulation(one.network, one.mapping))
    assert report.failures == ()
    counts = {kind.kind: kind.total for kind in report.kinds}
    assert (counts["walk"], counts["synapses"]) == (2, 1)
    assert counts["accumulator"] == MAPPINGS[name].layers[0][0].lanes + 3


ENGINE = "module \\accelerator.stage0.engine0"
MUTANTS = {
    "a bit of the kernel": (
        r"memory\[0\] = (\d+)'h(\w*)[0-9a-e];",
        r"memory[0] = \1'h\g<2>f;",
        f"{ENGINE}.accumulator.bank0 ",
        "memory of stage0.engine0.accumulator.bank0 (refuted)",
    ),
    "a border that is not zero": (
        r"pixels\[0\] = 2'h0;",
        r"pixels[0] = 2'h1;",
        f"{ENGINE}.accumulator ",
        "connections of stage0.engine0.accumulator (refuted): pixels of",
    ),
    "a loop that ends too early": (
        r"assign \\\$(\d+)  = count3 == 2'h2;",
        r"assign \\$\1  = count3 == 2'h1;",
        f"{ENGINE}.accumulator.reading ",
        "walk of stage0.engine0.accumulator.reading",
    ),
    "pixels in a row, without a border": (
        r"rst \? 6'h00 : address1;",
        r"rst ? 6'h00 : address0;",
        f"{ENGINE}.accumulator.loader ",
        "walk of stage0.engine0.accumulator.loader",
    ),
    "two features swapped": (
        r"spikes\[5\], spikes\[3\]",
        r"spikes[3], spikes[5]",
        f"{ENGINE} ",
        "connections of stage0.engine0 (refuted)",
    ),
}


@pytest.mark.parametrize("name", leading(MUTANTS, 2))
def test_fault_in_the_text_is_found(name: str) -> None:
    pattern, replacement, after, where = MUTANTS[name]
    one = subject("pooled")
    text = replaced(one.verilog, pattern, replacement, after=after)
    found = report_on(one.failures(text)).failures
    assert any(where in failure for failure in found), found
