# amaranth: UnusedElaboratable=no
"""Proof by parts of what controls a network: scanners, forks, loads, seeds, encoders, exits.

Every obligation of small networks is proved, and each kind of them refutes faults in the text.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from functools import cache

import numpy as np
import pytest
from hdl_bench import random_layer, random_network
from proof_bench import Subject, replaced

from convexon.data.encoder import LEVEL_KINDS, SERIES_KINDS, Encoder, EncoderKind
from convexon.plan.mapping import Folded, Mapping, Spatial, Weights
from convexon.snn.decision import Decision, Rule
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import ReadoutMode
from convexon.snn.seeded import seeded_weights
from convexon_hdl.formal.network import left_to_simulation
from convexon_hdl.formal.obligation import report_on
from convexon_hdl.formal.prover import Verdict
from tiers import leading

PASSES = "order and timing of the passes in folded layers"
SEED = 2024
LOADED, SEEDED = Weights.LOADED, Weights.SEEDED
CERTAIN = Decision(rule=Rule.CERTAIN)


def wide_network() -> FixedPointNetwork:
    """Two branches of 18 inputs, so that scanners have two groups; one of them is recurrent."""
    rng = np.random.default_rng(3)
    deep = (random_layer(rng, 18, 4), random_layer(rng, 4, 3))
    return random_network(
        rng,
        (deep, (random_layer(rng, 18, 2, recurrent=True),)),
        mode=ReadoutMode.COUNT,
        n_steps=3,
    )


def seeded_network() -> FixedPointNetwork:
    """A layer with weights of a seed, three folds of two lanes."""
    rng = np.random.default_rng(4)
    weights = seeded_weights(SEED, 7, [3, 0, 90, 11, 5], bits=4)
    layer = dataclasses.replace(random_layer(rng, 7, 5), weights=weights)
    return random_network(rng, ((layer,),), mode=ReadoutMode.COUNT, n_steps=3)


def small_network(
    *, input_bits: int = 1, n_classes: int = 3, n_inputs: int = 5
) -> FixedPointNetwork:
    """Three neurons."""
    rng = np.random.default_rng(6)
    return random_network(
        rng,
        ((random_layer(rng, n_inputs, 3),),),
        mode=ReadoutMode.COUNT,
        n_steps=4,
        n_classes=n_classes,
        input_bits=input_bits,
    )


def single_network() -> FixedPointNetwork:
    """One neuron with two inputs, whose weights are an image of few words."""
    rng = np.random.default_rng(8)
    return random_network(rng, ((random_layer(rng, 2, 1),),), n_steps=2, n_classes=2)


def encoded(kind: EncoderKind, decision: Decision | None = None) -> Subject:
    """The small network with an encoder, in logic."""
    network = small_network(input_bits=3 if kind is EncoderKind.HOLD else 1)
    changes = kind in (EncoderKind.DELTA, EncoderKind.CROSSING)
    if changes:
        network = small_network(n_inputs=6)
    encoder = Encoder(
        kind=kind,
        bits=3,
        seed=5 if kind is EncoderKind.RATE else None,
        resolution=2 if changes else None,
    )
    mapping = dataclasses.replace(Mapping.spatial(network), encoder=encoder)
    if decision is not None:
        mapping = dataclasses.replace(mapping, decision=decision)
    return Subject(network, mapping)


def early(decision: Decision, *, registers: int = 0, n_classes: int = 3) -> Subject:
    """The small network with an early rule, in logic."""
    network = small_network(n_classes=n_classes)
    mapping = dataclasses.replace(
        Mapping.spatial(network, Spatial(registers=registers)),
        decision=decision,
        decision_registers=registers,
    )
    return Subject(network, mapping)


@cache
def subject(name: str) -> Subject:
    """Small networks with all kinds of control, by name."""
    kind, _, rest = name.partition(" ")
    if name == "loaded single":
        layers = ((Folded(lanes=1, weights=LOADED),),)
        return Subject(single_network(), Mapping(layers=layers))
    if kind == "encoder":
        return encoded(EncoderKind(rest))
    if kind == "threshold":
        return early(Decision(rule=Rule.THRESHOLD, threshold=6))
    if kind == "certain":
        return {
            "": lambda: early(CERTAIN),
            "registers": lambda: early(CERTAIN, registers=1),
            "one class": lambda: early(CERTAIN, n_classes=1),
            "encoder": lambda: encoded(EncoderKind.LATENCY, CERTAIN),
            "series": lambda: encoded(EncoderKind.DELTA, CERTAIN),
        }[rest]()
    seeded = Folded(lanes=2, banks=2, weights=SEEDED, seed=SEED)
    layers = {
        "fixed": ((Folded(lanes=2), Spatial()), (Spatial(registers=1),)),
        "loaded": (
            (Folded(lanes=2, banks=2, weights=LOADED), Folded(lanes=3)),
            (Folded(lanes=2, weights=LOADED),),
        ),
        "seeded": ((seeded,),),
        "folded": ((Folded(lanes=3),),),
    }[kind]
    mapping = Mapping(layers=layers, readout=Folded(lanes=3))
    if kind == "folded":
        encoder = Encoder(kind=EncoderKind.RATE, bits=3, seed=5)
        mapping = dataclasses.replace(mapping, encoder=encoder, decision=CERTAIN)
        return Subject(small_network(), mapping)
    return Subject(seeded_network() if kind == "seeded" else wide_network(), mapping)


KINDS = {
    "fixed": {"scanner": 2, "fork and join": 1, "memory": 3},
    "loaded": {"gate": 1, "loader": 1, "checksum": 1, "fork and join": 2, "memory": 8},
    "loaded single": {"gate": 1, "loader": 1, "checksum": 1, "scanner": 1},
    "seeded": {"seeded weights": 2, "scanner": 3},
    "folded early": {"encoder": 1, "exit": 1, "rule": 3, "word of a decision": 1, "accumulator": 6},
    "threshold": {"step counter": 1, "exit": 1, "rule": 1, "word of a decision": 1},
    "certain": {"step counter": 1, "exit": 1, "rule": 3, "tournament": 1},
    "certain registers": {"step counter": 1, "exit": 1, "rule": 3, "buffer": 1},
    "certain one class": {"rule": 2, "tournament": 1},
    "certain encoder": {"encoder": 1, "exit": 1, "rule": 3},
    "certain series": {"step counter": 1, "code": 1, "connections": 2, "exit": 1},
    **{f"encoder {kind.value}": {"encoder": 1, "code": 1} for kind in LEVEL_KINDS},
    **{
        f"encoder {kind.value}": {"step counter": 1, "code": 1, "connections": 1}
        for kind in SERIES_KINDS
    },
}
"""Subjects, and how many obligations of some kinds they have."""


@pytest.mark.parametrize("name", leading(KINDS, 3))
def test_every_obligation_is_proved(name: str) -> None:
    own = subject(name)
    left = left_to_simulation(own.network, own.mapping)
    report = report_on(own.proofs, left)
    assert report.failures == ()
    counts = {kind.kind: kind.total for kind in report.kinds}
    assert {kind: counts.get(kind) for kind in KINDS[name]} == KINDS[name]
    assert left == ((PASSES,) if name.split()[0] in ("fixed", "loaded", "seeded", "folded") else ())


MUTANTS = {
    "a group that is not looked at": (
        "fixed", "engine0.accumulator.scanner0 ",
        r"\| sources\[15:0\]", r"| sources[14:0]", "scanner",
    ),
    "a spike that is listed again": (
        "fixed", "engine0.accumulator.scanner0 ",
        r"(assign \{ \S+ \[\d+\], rest \} = \{ 1'h0, word \}) & (\S+) ;", r"\1 | \2 ;", "scanner",
    ),
    "a scanner that ends with a group to come": (
        "fixed", "engine0.accumulator.scanner0 ",
        r"(assign \S+  =) \| pending;", r"\1 | pending[0];", "scanner",
    ),
    "a unit that is offered a step again": (
        "fixed", "stage0 ",
        r"(assign \S+  =) ~ fork_taken0;", r"\1 1'h1;", "fork and join",
    ),
    "a step that is over when one unit has it": (
        "fixed", "stage0 ",
        r"(assign i__ready =) & (\{ \S+ , \S+  \})", r"\1 | \2", "fork and join",
    ),
    "a result of the stage without that of a unit": (
        "fixed", "stage0 ",
        r"(assign o__valid =) & (\{ \S+ , \S+  \})", r"\1 | \2", "fork and join",
    ),
    "idle while inferences are inside": (
        "loaded", "gate ",
        r"(assign idle = \S+ ) & \S+ ;", r"\1;", "gate",
    ),
    "a gate that closes in mid-inference": (
        "loaded", "gate ",
        r"(assign \S+  =) closed & \S+ ;", r"\1 closed;", "gate",
    ),
    "an image of another length": (
        "loaded", "loader ",
        r"== 6'h(\w)(\w);", r"== 6'h\g<1>9;", "loader",
    ),
    "a row for the wrong bank": (
        "loaded", "loader ",
        r"\? 1'h0 : write0__bank;", r"? 1'h1 : write0__bank;", "loader",
    ),
    "loaded whatever the checksum says": (
        "loaded single", "loader ",
        r"data == crc;", r"data == data;", "loader",
    ),
    "a checksum with a wrong tap": (
        "loaded", "loader.checksum ",
        r"\^ data\[7\];", r"^ data[8];", "checksum",
    ),
    "a checksum that does not begin anew": (
        "loaded", "loader.checksum ",
        r"start \? 32'd4294967295 : crc_reg;", r"crc_reg;", "checksum",
    ),
    "rows of another bank": (
        "loaded", "engine0.accumulator.bank0 ",
        r"write__bank == 1'h0", r"write__bank == 1'h1", "memory",
    ),
    "a bank that is not read": (
        "loaded", "engine0.accumulator.bank0 ",
        r"assign read__en = ~ write__en;", r"assign read__en = write__en;", "memory",
    ),
    "weights while results are on their way": (
        "loaded", "accelerator(",
        r"(assign ended = .*) & \S+;", r"\1;", "connections",
    ),
    "a round of the generator": (
        "seeded", "engine0.accumulator.bank0 ",
        r"(round1_left .*= .*) \+ ", r"\1 - ", "seeded weights",
    ),
    "a bit of a seeded weight": (
        "seeded", "engine0.accumulator.bank1 ",
        r"(assign weight4\[0\] = \S+  )\^ ", r"\1& ", "seeded weights",
    ),
    "a threshold of a step": (
        "encoder threshold", "encoder ",
        r"(threshold\[0\] \} = 3'h)\w ", r"\g<1>5 ", "code",
    ),
    "a spike above the threshold alone": (
        "encoder threshold", "encoder ",
        r"level0 >= threshold", r"level0 > threshold", "code",
    ),
    "a rise by more than a part alone": (
        "encoder delta", "encoder ",
        r"i__payload\[2:0\] >= (\S+) ", r"i__payload[2:0] > \1 ", "code",
    ),
    "a reference of the inference before": (
        "encoder delta", "encoder ",
        r"o__payload\[6\] \? \{ 2'h0, i__payload\[2:0\] \} : (\S+) ;", r"\1 ;", "code",
    ),
    "a fall at the first step": (
        "encoder crossing", "encoder ",
        r"(\[1\] = \S+ ) & \S+ ;", r"\1;", "code",
    ),
    "a channel in place of another": (
        "encoder midpoint", "encoder ",
        r"(\.\S+ \(\S+ )\[5\]\)", r"\1[4])", "code",
    ),
    "a latency that spikes again": (
        "encoder latency", "encoder ",
        r"(assign \\o__payload.inputs  = reached) & \S+ ;", r"\1;", "code",
    ),
    "planes that go on from the last inference": (
        "encoder bit-plane", "encoder ",
        r"(assign \S+  =) ends \| (\S+) ;", r"\1 \2 ;", "encoder",
    ),
    "a tap of the generator": (
        "encoder rate", "encoder ",
        r"\^ register\[24\];", r"^ register[25];", "encoder",
    ),
    "a rate that spikes at its number": (
        "encoder rate", "encoder ",
        r"< level1;", r"<= level1;", "code",
    ),
    "a level of the neighbour": (
        "encoder hold", "encoder ",
        r"i__payload\[5:3\]", r"i__payload[4:2]", "code",
    ),
    "levels that change in mid-inference": (
        "encoder hold", "encoder ",
        r"(assign i__ready = \S+ ) \| ends", r"\1 | 1'h1", "encoder",
    ),
    "a decision that ends any inference": (
        "certain", "sequencer ",
        r"(assign \S+  = decided) & single;", r"\1;", "step counter",
    ),
    "a rest of an inference that is sent": (
        "certain", "sequencer ",
        r"(assign \S+  =) ~ drains;", r"\1 1'h1;", "step counter",
    ),
    "an encoder that ends another inference": (
        "certain encoder", "encoder ",
        r"(assign \S+  = decided) & single;", r"\1;", "encoder",
    ),
    "an encoder that goes on after the decision": (
        "certain encoder", "encoder ",
        r"(assign \S+  =) last \| cuts;", r"\1 last;", "encoder",
    ),
    "a score at the threshold": (
        "threshold", "decision.early_exit ",
        r"(\[15:9\]\)) >= \$signed\(4'h6\)", r"\1 > $signed(4'h6)", "rule",
    ),
    "a leader that is safe with a tie": (
        "certain", "decision.early_exit ",
        r"i__payload\[1:0\] > 1'h0", r"i__payload[1:0] > 1'h1", "rule",
    ),
    "a class that is not looked at": (
        "certain registers", "decision.early_exit ",
        r"(\$signed\(lead1_clock1\)) >= .*;", r"\1 >= \1;", "rule",
    ),
    "steps that are left, one too few": (
        "certain", "decision.early_exit ",
        r"(i__payload\[\d+\] \? 3'h)3 : ", r"\g<1>2 : ", "exit",
    ),
    "no result of the last step": (
        "certain", "decision.early_exit ",
        r"(assign \S+  = met) \| i__payload\[\d+\];", r"\1;", "exit",
    ),
    "a result of each step that meets the rule": (
        "threshold", "decision.early_exit ",
        r"(assign \S+  = \S+) \| met;", r"\1 | 1'h0;", "exit",
    ),
    "the scores of the step before": (
        "certain registers", "decision.early_exit ",
        r"advance0 \? i__payload\[8:2\] : score0_clock1", r"1'h0 ? i__payload[8:2] : score0_clock1",
        "exit",
    ),
    "word of a result again and again": (
        "certain", "decision ",
        r"(assign decided = \S+ ) & \S+ ;", r"\1;", "word of a decision",
    ),
    "a decision that the source is not told": (
        "certain", "accelerator(",
        r"( sequencer \((?:.|\n)*?\.decided)\(decided\)", r"\1(1'h0)", "connections",
    ),
    "sums that go on into the next inference": (
        "folded early", "readout.accumulator ",
        r"data_anew \? (\S+) : (\S+ ;)", r"\2", "accumulator",
    ),
}  # fmt: skip
"""What is wrong: subject, module, pattern, replacement, and the kind that must be refuted."""


@pytest.mark.parametrize("name", leading(MUTANTS, 5))
def test_fault_in_the_text_is_refuted(name: str) -> None:
    of, module, pattern, replacement, kind = MUTANTS[name]
    own = subject(of)
    place = "module accelerator(" if module == "accelerator(" else f"module \\accelerator.{module}"
    if place not in own.verilog:
        place = f"module \\accelerator.stage0.{module}"
    text = replaced(own.verilog, pattern, replacement, after=place)
    found = own.failures(text)
    refuted = Counter(proof.kind for proof in found if proof.verdict is Verdict.REFUTED)
    assert refuted[kind], found
