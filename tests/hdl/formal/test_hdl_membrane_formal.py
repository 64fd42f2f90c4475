# amaranth: UnusedElaboratable=no
"""Proof by parts where membranes are the scores, and faults in the text that it must find."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hdl_bench import random_layer, random_network
from proof_bench import Subject, replaced

from convexon.plan.mapping import Folded, Mapping, Spatial
from convexon.snn.neuron import Leak, ReadoutMode, Reset
from convexon_hdl.formal.obligation import report_on
from tiers import leading

READOUT = "module \\accelerator.readout"
ENGINE = "module \\accelerator.stage1.engine0 "


@cache
def subject(mode: ReadoutMode, registers: int = 1) -> Subject:
    """Leaky integrators, in logic and in memory, beside a branch that ends earlier."""
    rng = np.random.default_rng(19)
    deep = (random_layer(rng, 4, 3), random_layer(rng, 3, 2, reset=Reset.NONE, leak=Leak(3, 3)))
    early = (random_layer(rng, 4, 1, reset=Reset.NONE, leak=Leak(1, 2), synapse=Leak(1, 1)),)
    net = random_network(rng, (deep, early), mode=mode, n_steps=3)
    spatial = Spatial(registers=registers)
    layers = ((spatial, Folded(lanes=2)), (spatial,))
    return Subject(net, replace(Mapping.spatial(net, spatial), layers=layers))


@pytest.mark.parametrize("mode", [ReadoutMode.PEAK, ReadoutMode.MEMBRANE])
def test_every_part_is_proved(mode: ReadoutMode) -> None:
    report = report_on(subject(mode).proofs)
    assert report.failures == ()
    counts = {kind.kind: kind.total for kind in report.kinds}
    assert counts["membrane"] == 3


MUTANTS = {
    "the smaller membrane": (r"(assign larger1 = .+?) > ", r"\1 < ", READOUT, "class 1"),
    "an unsigned comparison": (
        r"assign larger2 = \$signed\((.+?)\) > \$signed\((.+?)\)",
        r"assign larger2 = \1 > \2",
        READOUT,
        "class 2",
    ),
    "the largest of all inferences": (
        r"first_clock1 \| larger0",
        r"larger0",
        READOUT,
        "class 0",
    ),
    "the membrane of the last step": (
        r"\S+ +\? membrane1_clock1 : o__payload\[11:6\]",
        r"membrane1_clock1",
        READOUT,
        "class 1",
    ),
    "another neuron's membrane": (
        r"advance0 \? i__payload\[5:0\]",
        r"advance0 ? i__payload[11:6]",
        READOUT,
        "class 0",
    ),
    "membranes collected in another order": (
        r"\{ (\\membranes\$\d+ ), (membranes\[11:6\]) \}",
        r"{ \2, \1 }",
        ENGINE,
        "connections of stage1.engine0",
    ),
}


@pytest.mark.parametrize("name", leading(MUTANTS, 3))
def test_fault_in_the_text_is_found(name: str) -> None:
    pattern, replacement, after, where = MUTANTS[name]
    of = subject(ReadoutMode.PEAK)
    text = replaced(of.verilog, pattern, replacement, after=after)
    found = report_on(of.failures(text)).failures
    assert any(where in failure for failure in found), found
