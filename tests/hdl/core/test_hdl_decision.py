# amaranth: UnusedElaboratable=no
"""Early decisions in whole pipelines: labels, scores and clock edges against the twins."""

from __future__ import annotations

import dataclasses
import itertools
import re

import numpy as np
import pytest
from amaranth.hdl import Module
from hdl_bench import random_layer, random_network
from rules_bench import Pipeline, agrees, keeps_time, simulate, stimulus

from convexon.data.encoder import Encoder, EncoderKind
from convexon.errors import InputError
from convexon.snn.decision import Decision, Rule
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import INTEGRATE, ReadoutMode
from convexon_hdl.core.decision import EarlyDecision, EarlyExit
from convexon_hdl.core.readout import Argmax
from convexon_hdl.core.sequencer import Sequencer, Undecided
from convexon_hdl.formal.prover import Verdict, prove
from convexon_hdl.formal.specs.handshake import StreamSpecification
from faulty_parts import mutated

CERTAIN = Decision(rule=Rule.CERTAIN)
THRESHOLD = Decision(rule=Rule.THRESHOLD, threshold=9)
HOLD = Encoder(kind=EncoderKind.HOLD, bits=2)
LATENCY = Encoder(kind=EncoderKind.LATENCY, bits=3)
RATE = Encoder(kind=EncoderKind.RATE, bits=3, seed=11)


def _networks() -> dict[str, FixedPointNetwork]:
    rng = np.random.default_rng(6)
    networks = {}
    for name, classes, n_steps, bits in (
        ("three", 3, 8, 1), ("one", 1, 6, 1), ("two", 2, 16, 1), ("five", 5, 7, 1),
        ("single-step", 3, 1, 1), ("two-steps", 3, 2, 1), ("intense", 4, 9, 2),
    ):  # fmt: skip
        layer = random_layer(rng, 4, 3, leak=INTEGRATE)
        networks[name] = random_network(
            rng, ((layer,),), mode=ReadoutMode.COUNT, n_steps=n_steps, n_classes=classes,
            input_bits=bits,
        )  # fmt: skip
    deep = (random_layer(rng, 4, 3), random_layer(rng, 3, 2))
    shallow = (random_layer(rng, 4, 2, recurrent=True),)
    networks["uneven"] = random_network(
        rng, (deep, shallow), mode=ReadoutMode.COUNT, n_steps=11, n_classes=3
    )
    return networks


NETWORKS = _networks()
TIED = dataclasses.replace(
    NETWORKS["three"],
    readout_weights=np.array([[1, 1, 0], [0, 2, 2], [1, 0, 1]]),
    readout_biases=np.zeros(3, dtype=np.int64),
)
"""A network whose classes often have equal scores."""


CASES = [
    (name, decision, encoder, k % 3)
    for k, (name, decision, encodes) in enumerate(
        itertools.product(NETWORKS, (Decision(), CERTAIN, THRESHOLD), (False, True))
    )
    for encoder in [None if not encodes else HOLD if name == "intense" else RATE]
]
"""Every network, rule and source of steps, with 0 to 2 registers in every stage."""


def decision_for(decision: Decision, network: FixedPointNetwork) -> Decision:
    """The decision, with a threshold that the network often reaches."""
    if decision.threshold is None:
        return decision
    highest = max(interval.high for interval in network.score_ranges)
    return dataclasses.replace(decision, threshold=highest // 4)


@pytest.mark.parametrize(
    ("name", "decision", "encoder", "registers"),
    CASES,
    ids=lambda value: getattr(value, "rule", value),
)
def test_edges_are_exact(
    name: str, decision: Decision, encoder: Encoder | None, registers: int
) -> None:
    network = NETWORKS[name]
    pipeline = Pipeline(
        network,
        decision=decision_for(decision, network),
        encoder=encoder,
        registers=registers,
    )
    sent = stimulus(pipeline, 8)
    seen = simulate(pipeline, sent.words, 8)
    assert agrees(seen, sent.expected)
    assert keeps_time(seen, sent)
    assert seen.last == [1] * 8


LOADS = ((0.0, 0.7, None, 0), (0.5, 0.0, 2, 1), (0.2, 0.4, 1, 0))
"""Idle clocks of the source, stalls of the sink, capacity and registers."""

LOADED = [
    (name, decision, encodes, LOADS[k % 3])
    for k, (name, decision, encodes) in enumerate(
        itertools.product(NETWORKS, (CERTAIN, THRESHOLD), (False, True))
    )
]


@pytest.mark.parametrize(
    ("name", "decision", "encodes", "load"), LOADED, ids=lambda value: getattr(value, "rule", None)
)
def test_nothing_is_lost_or_doubled(
    name: str, decision: Decision, encodes: bool, load: tuple[float, float, int | None, int]
) -> None:
    network = NETWORKS[name]
    idle, stall, capacity, registers = load
    pipeline = Pipeline(
        network,
        decision=decision_for(decision, network),
        encoder=None if not encodes else HOLD if name == "intense" else LATENCY,
        registers=registers,
        capacity=capacity,
    )
    sent = stimulus(pipeline, 10)
    assert agrees(simulate(pipeline, sent.words, 10, idle=idle, stall=stall), sent.expected)


@pytest.mark.parametrize("edge", range(2, 26, 4))
@pytest.mark.parametrize("encoder", [None, LATENCY], ids=["sequencer", "encoder"])
def test_reset_in_mid_inference_loses_that_inference_alone(
    edge: int, encoder: Encoder | None
) -> None:
    pipeline = Pipeline(NETWORKS["two"], decision=CERTAIN, encoder=encoder)
    sent = stimulus(pipeline, 3)
    seen = simulate(pipeline, sent.words, 3, stall=0.3, reset_at=edge)
    assert agrees(seen, sent.expected)


def test_early_decisions_save_clocks() -> None:
    network = NETWORKS["two"]
    last_edge = {}
    for decision in (Decision(), CERTAIN, decision_for(THRESHOLD, network)):
        pipeline = Pipeline(network, decision=decision, encoder=RATE)
        sent = stimulus(pipeline, 12)
        last_edge[decision.rule] = simulate(pipeline, sent.words, 12).given[-1]
        assert (sent.cycles.latency < sent.cycles.latency.max()).any() == decision.is_early
    assert last_edge[Rule.CERTAIN] < last_edge[Rule.END]
    assert last_edge[Rule.THRESHOLD] < last_edge[Rule.END]


ReachesAbove = mutated(EarlyExit, "value >= self.decision", "value > self.decision")
OneStepEarly = mutated(EarlyExit, "return left\n", "return left - left.any()\n")
ForgetsTies = mutated(EarlyExit, "Operand.bit(label > c)", "Operand.bit(Const(0, 1))")
DecidesAgain = mutated(EarlyExit, "return ~self._was_over & (", "return (")
WrongTies = mutated(Argmax, "right.score > left.score", "right.score >= left.score")


class NeverCuts(Undecided):
    """Always finds more than one inference under way."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.single.eq(0)
        return m


class CutsAny(Undecided):
    """Finds the inference on its way to be the decided one, whatever is under way."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.single.eq(1)
        return m


def behaves(network: FixedPointNetwork, decision: Decision) -> bool:
    """Whether results and edges of a pipeline are those of its twins, under encoder and host."""
    for encoder in (None, RATE):
        pipeline = Pipeline(network, decision=decision, encoder=encoder)
        sent = stimulus(pipeline, 30)
        try:
            seen = simulate(pipeline, sent.words, 30)
        except AssertionError:
            return False
        if not agrees(seen, sent.expected) or not keeps_time(seen, sent):
            return False
    return True


TIED_THRESHOLD = Decision(rule=Rule.THRESHOLD, threshold=5)


@pytest.mark.parametrize(
    ("part", "mutant", "decision"),
    [
        ("EarlyExit", ReachesAbove, TIED_THRESHOLD),
        ("EarlyExit", OneStepEarly, CERTAIN),
        ("EarlyExit", ForgetsTies, CERTAIN),
        ("EarlyExit", DecidesAgain, CERTAIN),
        ("Argmax", WrongTies, CERTAIN),
        ("Argmax", WrongTies, TIED_THRESHOLD),
    ],
    ids=lambda value: getattr(value, "rule", None),
)
def test_mutant_is_noticed(
    part: str, mutant: type, decision: Decision, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert behaves(TIED, decision)
    monkeypatch.setattr(f"convexon_hdl.core.decision.{part}", mutant)
    assert not behaves(TIED, decision)


@pytest.mark.parametrize("mutant", [NeverCuts, CutsAny])
@pytest.mark.parametrize("module", ["sequencer", "encoder"])
def test_mutant_of_the_count_is_noticed(
    mutant: type[Undecided], module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = NETWORKS["two" if mutant is NeverCuts else "three"]
    encoder = None if module == "sequencer" else RATE
    decision = decision_for(THRESHOLD, network)

    def right() -> bool:
        pipeline = Pipeline(network, decision=decision, encoder=encoder, registers=2)
        sent = stimulus(pipeline, 12)
        try:
            seen = simulate(pipeline, sent.words, 12)
            stalled = simulate(pipeline, sent.words, 12, stall=0.5)
        except AssertionError:
            return False
        return agrees(seen, sent.expected) and agrees(stalled, sent.expected)

    assert right()
    monkeypatch.setattr(f"convexon_hdl.core.{module}.Undecided", mutant)
    if mutant is NeverCuts:  # right, but no clock is saved: the edges tell
        pipeline = Pipeline(network, decision=decision, encoder=RATE)
        sent = stimulus(pipeline, 12)
        seen = simulate(pipeline, sent.words, 12)
        assert agrees(seen, sent.expected)
        assert keeps_time(seen, sent) == (module == "sequencer")
    else:
        assert not right()


@pytest.mark.parametrize("decision", [CERTAIN, THRESHOLD], ids=["certain", "threshold"])
def test_decision_holds_its_output(decision: Decision) -> None:
    network = NETWORKS["two-steps"]
    unit = EarlyDecision(network, decision_for(decision, network), registers=1)
    assert prove(StreamSpecification(unit)) is Verdict.PROVED


def test_arguments_are_mirrored_and_checked() -> None:
    network = NETWORKS["three"]
    unit = EarlyDecision(network, CERTAIN, registers=2)
    assert (unit.network, unit.decision, unit.registers) == (network, CERTAIN, 2)
    assert Sequencer(network, capacity=4).capacity == 4
    assert Undecided(capacity=2).capacity == 2
    with pytest.raises(InputError, match=r"^capacity must be at least 1, not 0$"):
        Undecided(capacity=0)
    message = "decision must be of an early rule, not end"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        EarlyDecision(network, Decision())
