# amaranth: UnusedElaboratable=no
"""Logic cells in hardware: proofs, faults in the text that they find, and what cells cost."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from proof_bench import Subject, replaced

from convexon.plan.family import Family
from convexon.plan.mapping import Mapping, Spatial
from convexon.snn.cells import OWN, cell_layer, tables_of_integers
from convexon.snn.fixed import Interval
from convexon.snn.neuron import ReadoutMode
from convexon.snn.ranges import layer_ranges
from convexon_boards.tools.synthesis import synthesize_verilog
from convexon_hdl.core.layer import LIFLayer
from convexon_hdl.emit.emitter import to_verilog
from convexon_hdl.formal.obligation import report_on
from strategies import network_of
from tiers import leading

LAYER = "module \\accelerator.stage0.branch0 "


@cache
def subject(registers: int) -> Subject:
    layer = cell_layer(
        [[3, 0, 4, 1], [2, 1, OWN, 0], [4, 3, 2, 0]],
        tables_of_integers([0x6996, 0x1234, 0xCAFE], 4),
        n_inputs=5,
    )
    network = network_of((layer,), n_steps=3, readout_mode=ReadoutMode.COUNT)
    return Subject(network, Mapping.spatial(network, Spatial(registers=registers)))


@pytest.mark.parametrize("registers", leading([1, 0]))
def test_cells_are_proved(registers: int) -> None:
    report = report_on(subject(registers).proofs)
    assert report.failures == ()
    counts = {kind.kind: kind.total for kind in report.kinds}
    assert (counts["table"], counts["neuron"]) == (3, 3)


MUTANTS = {
    "a bit of a table": (r"16'h699", r"16'h698", LAYER, "table of stage0.branch0.neuron0"),
    "two inputs swapped": (
        r"\{ inputs\[0\], inputs\[2\]",
        r"{ inputs[2], inputs[0]",
        LAYER,
        "table of stage0.branch0.neuron2",
    ),
    "no spike of its own": (
        r"previous\[1\], ",
        r"1'h0, ",
        LAYER,
        "table of stage0.branch0.neuron1",
    ),
    "its own spike of before the inference": (
        r"first \? 3'h0",
        r"first ? 3'h7",
        LAYER,
        "lateral spikes of stage0.branch0",
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_fault_in_a_cell_is_found(name: str) -> None:
    pattern, replacement, after, where = MUTANTS[name]
    text = replaced(subject(0).verilog, pattern, replacement, after=after)
    failures = report_on(subject(0).failures(text)).failures
    assert any(where in failure for failure in failures), failures


@pytest.mark.parametrize("family", leading([Family.ICE40, Family.ECP5, Family.GOWIN]))
@pytest.mark.parametrize("own", [False, True])
def test_a_cell_is_one_lut_and_one_flip_flop(family: Family, own: bool) -> None:
    rng, n = np.random.default_rng(1), 32
    k = 3 if own else 4  # beside its own spike comes whether the inference begins
    reads = np.array([rng.permutation(12)[:k] for _ in range(n)])
    if own:
        reads[:, 0] = OWN
    parity = tables_of_integers([0x96 if own else 0x6996], k)[0]
    tables = parity ^ (rng.integers(0, 2, (n, 1)))
    layer = cell_layer(reads, tables, n_inputs=12)
    ranges = layer_ranges(layer, Interval(0, 1), 2)
    text = to_verilog(LIFLayer(layer, ranges=ranges, input_bits=1), "cells")
    cells = synthesize_verilog(text, "cells", family).cells
    shared = int(family is Family.ICE40)  # whether any flip-flop is enabled or reset
    assert (cells.lut4, cells.ff, cells.carry, cells.wide_mux) == (n + shared, n, 0, 0)
