# amaranth: UnusedElaboratable=no
"""Early decisions in whole pipelines: labels, scores and clock edges against the twins."""

from __future__ import annotations

import dataclasses
import itertools
import re
from dataclasses import dataclass, field

import numpy as np
import pytest
from amaranth.hdl import Const, Module, ResetInserter, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from hdl_bench import random_layer, random_network, words_of

from convexon import golden
from convexon.decision import Decided, Decision, Rule, decide, spatial_edges, step_scores
from convexon.encoder import Encoder, EncoderKind, encode_levels
from convexon.errors import InputError
from convexon.mapping import Mapping, Spatial
from convexon.network import FixedPointNetwork
from convexon.neuron import INTEGRATE, ReadoutMode
from convexon_hdl.decision import EarlyDecision, EarlyExit, StepArgmax, StepReadout
from convexon_hdl.encoder import LevelEncoder
from convexon_hdl.formal import StreamSpecification, Verdict, prove
from convexon_hdl.readout import Argmax, Readout, ResultLayout
from convexon_hdl.sequencer import Sequencer, Undecided
from convexon_hdl.stage import Stage

CERTAIN = Decision(rule=Rule.CERTAIN)
THRESHOLD = Decision(rule=Rule.THRESHOLD, threshold=9)
HOLD = Encoder(kind=EncoderKind.HOLD, bits=2)
LATENCY = Encoder(kind=EncoderKind.LATENCY, bits=3)
RATE = Encoder(kind=EncoderKind.RATE, bits=3, seed=11)


class Pipeline(wiring.Component):
    """A spatial network between a sequencer or an encoder and a decision."""

    sequencer_class: type[Sequencer] = Sequencer
    encoder_class: type[LevelEncoder] = LevelEncoder
    decision_class: type[EarlyDecision] = EarlyDecision

    def __init__(
        self,
        network: FixedPointNetwork,
        *,
        decision: Decision,
        encoder: Encoder | None = None,
        registers: int = 0,
        capacity: int | None = None,
    ) -> None:
        self.network, self.decision, self.encoder = network, decision, encoder
        self.inner = registers
        self.capacity = capacity if capacity is not None else self.registers + 1
        bits = network.input_bits if encoder is None else encoder.bits
        super().__init__(
            {
                "i": In(stream.Signature(network.n_inputs * bits)),
                "o": Out(stream.Signature(ResultLayout(network))),
            }
        )

    @property
    def registers(self) -> int:
        """Registers from the sequencer or encoder to the result."""
        per_stage = 1 + self.inner
        return (self.network.depth + 1) * per_stage + self.decision.registers(self.inner)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        network, early = self.network, self.decision.is_early
        capacity = self.capacity if early else None
        choice = Spatial(registers=self.inner)
        if self.encoder is None:
            feed = self.sequencer_class(network, capacity=capacity)
        else:
            feed = self.encoder_class(network, self.encoder, capacity=capacity)
        m.submodules.feed = feed
        if early:
            readout = StepReadout(network, choice=choice)
            last = self.decision_class(network, self.decision, registers=self.inner)
            m.d.comb += feed.decided.eq(last.decided)
        else:
            readout = Readout(network, choice=choice)
            last = Argmax(network, registers=self.inner)
        mapping = Mapping.spatial(network, choice)
        stages = [Stage(network, depth=d, mapping=mapping) for d in range(network.depth)]
        parts = [feed, *stages, readout, last]
        for k, part in enumerate(parts[1:]):
            m.submodules[f"part{k}"] = part
        wiring.connect(m, wiring.flipped(self.i), feed.i)
        for above, below in itertools.pairwise(parts):
            wiring.connect(m, above.o, below.i)
        wiring.connect(m, last.o, wiring.flipped(self.o))
        return m


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


@dataclass
class Observed:
    labels: list[int] = field(default_factory=list)
    scores: list[list[int]] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    given: list[int] = field(default_factory=list)


def simulate(
    pipeline: Pipeline, words: list[int], n_results: int, *, idle: float = 0.0, stall: float = 0.0,
    seed: int = 9, reset_at: int | None = None,
) -> Observed:  # fmt: skip
    """Results of ``words``, and every edge; after a reset, all words are sent once more.

    Runs on for a while after the last result, so that one too many is seen.
    """
    rng = np.random.default_rng(seed)
    seen = Observed()
    reset = Signal()

    async def bench(ctx) -> None:  # type: ignore[no-untyped-def]
        position, offered, held, spare = 0, False, None, 30
        for edge in range(6000):
            ctx.set(reset, int(edge == reset_at))
            offered = position < len(words) and (offered or rng.random() >= idle)
            ctx.set(pipeline.i.valid, int(offered))
            ctx.set(pipeline.i.payload, words[position] if offered else 0)
            ready = bool(rng.random() >= stall)
            ctx.set(pipeline.o.ready, int(ready))
            valid, payload = ctx.get(pipeline.o.valid), ctx.get(pipeline.o.payload)
            assert held is None or (valid and payload == held), "a stalled result was not held"
            held = payload if valid and not ready else None
            if offered and ctx.get(pipeline.i.ready):
                seen.taken.append(edge)
                position, offered = position + 1, False
            if valid and ready:
                seen.given.append(edge)
                seen.labels.append(payload.label)
                seen.scores.append(list(payload.scores))
                assert payload.last
            if edge == reset_at:
                position, offered, held = 0, False, None
                for entries in vars(seen).values():
                    entries.clear()
            await ctx.tick()
            done = len(seen.labels) >= n_results and position == len(words)
            spare -= done and (reset_at is None or edge > reset_at)
            if not spare:
                return
        raise AssertionError(f"only {len(seen.labels)} of {n_results} results came")

    simulator = Simulator(ResetInserter(reset)(pipeline))
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return seen


def stimulus(pipeline: Pipeline, samples: int) -> tuple[list[int], Decided]:
    """Words for the input of ``pipeline``, and what its twins make of them."""
    rng = np.random.default_rng(4)
    network, encoder = pipeline.network, pipeline.encoder
    if encoder is None:
        shape = (samples, network.n_steps, network.n_inputs)
        inputs = rng.integers(0, 1 << network.input_bits, shape)
        words = words_of(inputs, network.input_bits)
    else:
        levels = rng.integers(0, encoder.max_level + 1, (samples, network.n_inputs))
        inputs = encode_levels(encoder, levels, n_steps=network.n_steps)
        words = words_of(levels[:, None], encoder.bits)
    scores = step_scores(network, golden.run(network, inputs))
    return words, decide(pipeline.decision, network, scores)


def agrees(seen: Observed, expected: Decided) -> bool:
    return seen.labels == expected.labels.tolist() and seen.scores == expected.scores.tolist()


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
    words, expected = stimulus(pipeline, 8)
    seen = simulate(pipeline, words, 8)
    assert agrees(seen, expected)
    edges = spatial_edges(
        expected.steps,
        n_steps=network.n_steps,
        registers=pipeline.registers,
        encodes=encoder is not None,
        is_early=decision.is_early,
    )
    per_sample = network.n_steps if encoder is None else 1
    assert seen.taken[::per_sample] == edges.taken.tolist()
    assert seen.given == edges.given.tolist()


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
    words, expected = stimulus(pipeline, 10)
    assert agrees(simulate(pipeline, words, 10, idle=idle, stall=stall), expected)


@pytest.mark.parametrize("edge", range(2, 26, 4))
@pytest.mark.parametrize("encoder", [None, LATENCY], ids=["sequencer", "encoder"])
def test_reset_in_mid_inference_loses_that_inference_alone(
    edge: int, encoder: Encoder | None
) -> None:
    pipeline = Pipeline(NETWORKS["two"], decision=CERTAIN, encoder=encoder)
    words, expected = stimulus(pipeline, 3)
    assert agrees(simulate(pipeline, words, 3, stall=0.3, reset_at=edge), expected)


def test_early_decisions_save_clocks() -> None:
    network = NETWORKS["two"]
    last_edge = {}
    for decision in (Decision(), CERTAIN, decision_for(THRESHOLD, network)):
        pipeline = Pipeline(network, decision=decision, encoder=RATE)
        words, expected = stimulus(pipeline, 12)
        last_edge[decision.rule] = simulate(pipeline, words, 12).given[-1]
        assert (expected.saved > 0).any() == decision.is_early
    assert last_edge[Rule.CERTAIN] < last_edge[Rule.END]
    assert last_edge[Rule.THRESHOLD] < last_edge[Rule.END]


class ReachesAbove(EarlyExit):
    """Needs more than the threshold."""

    def reaches(self, score: Value, threshold: int) -> Value:
        return score > threshold


class OneStepEarly(EarlyExit):
    """Takes one step too few to be left."""

    def steps_left(self, m: Module) -> Signal:
        left = super().steps_left(m)
        fewer = Signal.like(left)
        m.d.comb += fewer.eq(left - left.any())
        return fewer


class ForgetsTies(EarlyExit):
    """Lets the leader win a tie against a lower class."""

    def need(self, m, c, label, left, *, n_classes):  # type: ignore[no-untyped-def]
        return (
            super().need(m, c, Const(0, len(label)) | label, left, n_classes=n_classes)
            if (c == n_classes - 1)
            else super().need(m, c, Const(0, len(label)), left, n_classes=n_classes)
        )


class DecidesAgain(EarlyExit):
    """Does not drop the steps that follow the decision."""

    def produces(self) -> Value:
        return self._met | self.arriving.last


class WrongTies(StepArgmax):
    """Gives a tie to the highest class."""

    def beats(self, right: Value, left: Value) -> Value:
        return right >= left


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


def with_exit(mutant: type[EarlyExit]) -> type[Pipeline]:
    decision = type("MutantDecision", (EarlyDecision,), {"exit_class": mutant})
    return type("MutantPipeline", (Pipeline,), {"decision_class": decision})


def with_argmax(mutant: type[StepArgmax]) -> type[Pipeline]:
    decision = type("MutantDecision", (EarlyDecision,), {"argmax_class": mutant})
    return type("MutantPipeline", (Pipeline,), {"decision_class": decision})


def behaves(kind: type[Pipeline], network: FixedPointNetwork, decision: Decision) -> bool:
    """Whether results and edges of a pipeline are those of its twins, under encoder and host."""
    for encoder in (None, RATE):
        pipeline = kind(network, decision=decision, encoder=encoder)
        words, expected = stimulus(pipeline, 30)
        edges = spatial_edges(
            expected.steps,
            n_steps=network.n_steps,
            registers=pipeline.registers,
            encodes=encoder is not None,
            is_early=True,
        )
        try:
            seen = simulate(pipeline, words, 30)
        except AssertionError:
            return False
        if not agrees(seen, expected) or seen.given != edges.given.tolist():
            return False
    return True


TIED_THRESHOLD = Decision(rule=Rule.THRESHOLD, threshold=5)


@pytest.mark.parametrize(
    ("mutant", "decision"),
    [
        (with_exit(ReachesAbove), TIED_THRESHOLD),
        (with_exit(OneStepEarly), CERTAIN),
        (with_exit(ForgetsTies), CERTAIN),
        (with_exit(DecidesAgain), CERTAIN),
        (with_argmax(WrongTies), CERTAIN),
        (with_argmax(WrongTies), TIED_THRESHOLD),
    ],
    ids=lambda value: getattr(value, "rule", None),
)
def test_mutant_is_noticed(mutant: type[Pipeline], decision: Decision) -> None:
    assert behaves(Pipeline, TIED, decision)
    assert not behaves(mutant, TIED, decision)


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
        words, expected = stimulus(pipeline, 12)
        try:
            seen = simulate(pipeline, words, 12)
            stalled = simulate(pipeline, words, 12, stall=0.5)
        except AssertionError:
            return False
        return agrees(seen, expected) and agrees(stalled, expected)

    assert right()
    monkeypatch.setattr(f"convexon_hdl.{module}.Undecided", mutant)
    if mutant is NeverCuts:  # right, but no clock is saved: the edges tell
        pipeline = Pipeline(network, decision=decision, encoder=RATE)
        words, expected = stimulus(pipeline, 12)
        assert agrees(simulate(pipeline, words, 12), expected)
        edges = spatial_edges(
            expected.steps,
            n_steps=network.n_steps,
            registers=pipeline.registers,
            encodes=True,
            is_early=True,
        )
        same = simulate(pipeline, words, 12).given == edges.given.tolist()
        assert same == (module == "sequencer")
    else:
        assert not right()


@pytest.mark.parametrize("decision", [CERTAIN, THRESHOLD], ids=["certain", "threshold"])
def test_decision_holds_its_output(decision: Decision) -> None:
    network = NETWORKS["two-steps"]
    unit = EarlyDecision(network, decision_for(decision, network), registers=1)
    assert prove(StreamSpecification(unit)).verdict is Verdict.PROVED


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
