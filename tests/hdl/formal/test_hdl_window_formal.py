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

MAPPING = Mapping(layers=((Folded(lanes=1), Folded(lanes=3)),))


@cache
def subject() -> Subject:
    """Groups, strides, dilation and two bit planes; then a dense layer."""
    return Subject(convolutional("strided, in groups", input_bits=2, n_steps=2), MAPPING)


def test_every_part_of_a_convolution_is_proved() -> None:
    network = subject().network
    report = report_on(subject().proofs, left_to_simulation(network, MAPPING))
    assert report.failures == ()
    counts = {kind.kind: kind.total for kind in report.kinds}
    assert (counts["walk"], counts["synapses"]) == (2, 1)
    assert counts["accumulator"] == 1 + 3


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
        r"assign \\\$(\d+)  = count8 == 2'h2;",
        r"assign \\$\1  = count8 == 2'h1;",
        f"{ENGINE}.accumulator.reading ",
        "walk of stage0.engine0.accumulator.reading",
    ),
    "pixels beside their places": (
        r"rst \? 7'h00 : address1;",
        r"rst ? 7'h00 : address1 + 1'h1;",
        f"{ENGINE}.accumulator.loader ",
        "walk of stage0.engine0.accumulator.loader",
    ),
    "two features swapped": (
        r"moves \? spikes :",
        r"moves ? {spikes[34], spikes[35], spikes[33:0]} :",
        f"{ENGINE} ",
        "connections of stage0.engine0 (refuted)",
    ),
}


@pytest.mark.parametrize("name", leading(MUTANTS, 3))
def test_fault_in_the_text_is_found(name: str) -> None:
    pattern, replacement, after, where = MUTANTS[name]
    text = replaced(subject().verilog, pattern, replacement, after=after)
    found = report_on(subject().failures(text)).failures
    assert any(where in failure for failure in found), found
