# amaranth: UnusedElaboratable=no
"""Proof by parts of folded layers, and faults in their text that it must find."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hdl_bench import random_layer, random_network
from proof_bench import Subject, replaced

from convexon.plan.mapping import Folded, Mapping, Spatial
from convexon.snn.fixed import QFormat
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import Leak, LeakRounding, ReadoutMode, Reset
from convexon_hdl.emit.emitter import emit
from convexon_hdl.formal.network import left_to_simulation, obligations
from convexon_hdl.formal.obligation import prove_all, report_on
from convexon_hdl.formal.prover import Verdict
from tiers import leading

CONTROL = "order and timing of the passes in folded layers"

MAPPING = Mapping(
    layers=(
        (Folded(lanes=2, banks=2), Folded(lanes=3, updates=3)),
        (Folded(lanes=2, updates=2),),
    ),
    readout=Folded(lanes=3, banks=2),
)


@cache
def network(mode: ReadoutMode = ReadoutMode.COUNT) -> FixedPointNetwork:
    """Two folds, a recurrent layer, intensities, saturation, and synaptic currents."""
    rng = np.random.default_rng(11)
    synapse = Leak(1, 2)
    deep = (
        random_layer(rng, 5, 4, saturation=QFormat(5), synapse=synapse, leaks=[0, 3, 1, 3]),
        random_layer(rng, 4, 3),
    )
    zero = Leak(3, 3, LeakRounding.ZERO)
    kinds = {"leak": zero, "synapse": zero, "reset": Reset.ZERO, "resets": [3, -2]}
    wide = (random_layer(rng, 5, 2, recurrent=True, **kinds),)
    return random_network(rng, (deep, wide), mode=mode, n_steps=3, input_bits=2)


@cache
def subject() -> Subject:
    return Subject(network(), MAPPING)


def test_every_part_of_a_folded_network_is_proved() -> None:
    report = report_on(subject().proofs, left_to_simulation(network(), MAPPING))
    assert report.failures == ()
    counts = {kind.kind: kind.total for kind in report.kinds}
    assert counts["ranges"] == network().n_neurons
    assert counts["lane"] == 1 + 3 + 2
    assert counts["accumulator"] == 2 + 3 + 2 + 3
    assert counts["memory"] == 2 + 1 + 1 + 2 + 3  # banks, and one of constants for each engine
    assert CONTROL in report.left_to_simulation


def test_signs_and_mixed_stages_are_proved() -> None:
    net = network(ReadoutMode.SIGN)
    mapping = Mapping(
        layers=((Spatial(registers=1), Folded(lanes=3)), (Folded(lanes=2),)), readout=Spatial()
    )
    due = obligations(net, mapping, emit(net, mapping).verilog)
    proofs = prove_all(each for each in due if each.kind not in ("neuron", "ranges", "lane"))
    assert [proof for proof in proofs if proof.verdict is not Verdict.PROVED] == []


ENGINE = "module \\accelerator.stage1.engine0"
MUTANTS = {
    "a bit of a weight": (
        r"memory\[0\] = (\d+)'h(\w*)0;",
        r"memory[0] = \1'h\g<2>1;",
        f"{ENGINE}.accumulator.bank0 ",
        "memory of stage1.engine0.accumulator.bank0 (refuted): "
        "stage1.engine0.accumulator.bank0 address 0 place 0 must hold",
    ),
    "a threshold": (
        r"thresholds\[0\] = (\d+)'h([0-9a-f]*)[0-7];",
        r"thresholds[0] = \1'h\g<2>f;",
        "module \\accelerator.stage0.engine0.updater ",
        "memory of stage0.engine0.updater",
    ),
    "the leak of another neuron": (
        r"leaks\[0\] = (\d+)'h([0-9a-f]*)[0-9a-f];",
        r"leaks[0] = \1'h\g<2>f;",
        "module \\accelerator.stage0.engine0.updater ",
        "memory of stage0.engine0.updater",
    ),
    "membranes of two lanes swapped": (
        r"\.next_membrane\((\S+?) ?\)((?:.|\n)*?)\.next_membrane\((\S+?) ?\)",
        r".next_membrane(\3 )\2.next_membrane(\1 )",
        f"{ENGINE}.updater ",
        "connections of stage1.engine0.updater",
    ),
    "a lane that begins with what the last inference left": (
        r"assign start = first \? \d+'h0+ : ",
        r"assign start = ",
        f"{ENGINE}.updater.lane0 ",
        "lane of stage1.engine0.updater.lane0",
    ),
    "a synaptic current that is not kept": (
        r"\.synaptic\((\S+?)\)",
        r".synaptic(4'h0)",
        "\\accelerator.stage0.engine0.updater.lane0  lane0",
        "connections of stage0.engine0.updater",
    ),
    "a lane's register without reset": (
        r"\.rst\(rst\)",
        r".rst(1'h0)",
        f"{ENGINE}.updater ",
        "clock and reset of accelerator",
    ),
    "an output that is dropped while it is stalled": (
        r"(assign \S+ +=) o__ready \? 1'h0 : o__valid ?;",
        r"\1 1'h0;",
        f"{ENGINE} ",
        "stream of stage1.engine0",
    ),
    "a sum that takes a word without a spike": (
        r"(assign \S+ +=) data_any \? (.+?) : sum0 ?;",
        r"\1 \2 ;",
        f"{ENGINE}.accumulator ",
        "accumulator of stage1.engine0.accumulator lane",
    ),
    "two sources swapped": (
        r"\.sources\(held\[3:0\]\)",
        r".sources({held[3:2], held[0], held[1]})",
        "\\accelerator.stage1.engine0.accumulator.scanner0  scanner0",
        "connections of stage1.engine0.accumulator",
    ),
}


@pytest.mark.parametrize("name", leading(MUTANTS, 5))
def test_fault_in_the_text_is_found(name: str) -> None:
    pattern, replacement, after, where = MUTANTS[name]
    text = replaced(subject().verilog, pattern, replacement, after=after)
    found = report_on(subject().failures(text)).failures
    assert any(where in failure for failure in found), found
