# amaranth: UnusedElaboratable=no
"""Proofs, and mutants that they must refute."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from amaranth.hdl import Const, Module, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from component_proofs import (
    STEPS,
    component_obligations,
    neuron_parameters,
    small_network,
)
from specifications import SumSpecification

from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.plan.adders.graph import Addend, AdderGraph
from convexon.plan.adders.sums import weighted_sums
from convexon.plan.mapping import Mapping, Spatial, Sums
from convexon.snn.fixed import Interval, QFormat, width_of
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import INTEGRATE, Leak, LeakRounding, ReadoutMode, Reset
from convexon.snn.ranges import neuron_ranges, reset_range
from convexon.train.witnesses.alphabet import Alphabet
from convexon.train.witnesses.witness import WitnessFamily, draw_branch
from convexon_hdl.accelerator import Accelerator
from convexon_hdl.arith.arithmetic import shape_of
from convexon_hdl.core.lif import LIF, LIFUpdate, NeuronParameters, SplitUpdate
from convexon_hdl.core.readout import Argmax, Readout
from convexon_hdl.core.stage import Stage
from convexon_hdl.formal.obligation import Obligation
from convexon_hdl.formal.prover import Verdict, prove
from convexon_hdl.formal.specs.contract import NeuronSpecification
from convexon_hdl.formal.specs.handshake import StreamSpecification
from faulty_parts import (
    KeepsCurrent,
    LeakDown,
    SeesOldCurrent,
    SplitKeepsThreshold,
    SplitStrictThreshold,
    StrictThreshold,
)
from tiers import leading


def verdict_on(choice: NeuronParameters, neuron: wiring.Component | None = None) -> Verdict:
    """How the proof of a neuron ends, of `LIF` by default."""
    spec = NeuronSpecification(neuron or LIF(choice), parameters=choice, n_steps=STEPS)
    return prove(spec)


@pytest.mark.parametrize(
    "obligation", leading(component_obligations(), 30), ids=lambda each: f"{each.kind} {each.where}"
)
def test_component_is_proved(obligation: Obligation) -> None:
    assert obligation.check() is Verdict.PROVED


@pytest.mark.parametrize("mutant", [SplitStrictThreshold, SplitKeepsThreshold])
def test_split_neuron_mutant_is_refuted(
    mutant: type[SplitUpdate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convexon_hdl.core.lif.SplitUpdate", mutant)
    choice = dataclasses.replace(
        neuron_parameters(Leak(1, 2), Reset.SUBTRACT), lateral=Interval(-3, 2)
    )
    neuron = LIF(choice, split=True)
    assert verdict_on(choice, neuron) is Verdict.REFUTED


def drawn_card() -> FixedPointNetwork:
    """A small card with witnesses of three families, drawn as the chain draws them."""
    rng = np.random.default_rng(8)
    inputs = rng.integers(0, 2, (24, STEPS, 6), dtype=np.uint8)
    dataset = SpikeDataset(
        inputs=inputs, labels=np.arange(24) % 3, n_classes=3, input_bits=1, name="random"
    )
    families = (
        WitnessFamily(
            fan_in=3, alphabet=Alphabet.integers(3), leak=Leak(1, 3), reset=Reset.SUBTRACT
        ),
        WitnessFamily(fan_in=2, alphabet=Alphabet.integers(2), leak=INTEGRATE, reset=Reset.ZERO),
        WitnessFamily(fan_in=4, alphabet=Alphabet.integers(3), leak=Leak(1, 1), reset=Reset.NONE),
    )
    branches = tuple(
        draw_branch([family], dataset, widths=[2], generator=rng) for family in families
    )
    return FixedPointNetwork(
        branches=branches,
        n_steps=STEPS,
        input_bits=1,
        readout_mode=ReadoutMode.COUNT,
        readout_weights=rng.integers(-3, 4, (6, 3)),
        readout_biases=np.zeros(3, dtype=np.int64),
        readout_format=QFormat(4),
        bias_format=QFormat(4),
    )


def neurons_of(card: FixedPointNetwork) -> list[NeuronParameters]:
    """Every neuron of a card, alike ones once."""
    return list(
        dict.fromkeys(
            NeuronParameters.of(layer, ranges, j)
            for branch, of_branch in zip(card.branches, card.ranges, strict=True)
            for layer, ranges in zip(branch.layers, of_branch, strict=True)
            for j in range(layer.n_neurons)
        )
    )


def test_neurons_of_a_drawn_card_never_overflow() -> None:
    neurons = neurons_of(drawn_card())
    assert {neuron.reset for neuron in neurons} == set(Reset) - {Reset.LATE}  # no witness has it
    assert len(neurons) >= 4
    for neuron in neurons:
        assert verdict_on(neuron) is Verdict.PROVED, neuron


def test_neuron_of_a_drawn_card_with_a_range_of_another_is_refuted() -> None:
    widest = max(neurons_of(drawn_card()), key=lambda n: n.current.high - n.current.low)
    calm = dataclasses.replace(widest, current=Interval(0, 1))
    assert verdict_on(calm) is Verdict.PROVED
    integrated, membrane, _ = neuron_ranges(
        calm.current,
        threshold=calm.threshold,
        leak=calm.leak,
        reset=calm.reset,
        saturation=None,
        n_steps=STEPS,
    )
    cramped = dataclasses.replace(widest, integrated=integrated, membrane=membrane)
    assert verdict_on(cramped) is Verdict.REFUTED


def one_too_narrow(integrated: Interval, threshold: int, reset: Reset, to: int) -> Interval:
    """Range of the membrane after the reset, without its highest value."""
    right = reset_range(integrated, threshold, reset, to)
    return Interval(right.low, right.high - 1)


@pytest.mark.parametrize("hardware_too", [False, True])
def test_range_that_is_too_narrow_by_one_is_refuted(
    hardware_too: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = neuron_parameters(Leak(1, 3), Reset.SUBTRACT)
    monkeypatch.setattr("convexon_hdl.formal.specs.contract.reset_range", one_too_narrow)
    if hardware_too:  # the analysis itself is at fault, and sizes the hardware by it
        monkeypatch.setattr("convexon.snn.ranges.reset_range", one_too_narrow)
        right, choice = choice, neuron_parameters(Leak(1, 3), Reset.SUBTRACT)
        assert choice != right
    assert verdict_on(choice) is Verdict.REFUTED


class NarrowLIF(LIF):
    """Keeps the membrane in one bit less than its range needs."""

    def __init__(self, choice: NeuronParameters) -> None:
        self.parameters, self._update = choice, LIFUpdate
        wiring.Component.__init__(
            self,
            {
                "enable": In(1),
                "first": In(1),
                "current": In(shape_of(choice.current)),
                "spike": Out(1),
                "membrane": Out(signed(width_of(choice.membrane) - 1)),
            },
        )


class ForgetfulLIF(LIF):
    """Starts an inference from what the last one left."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += m.submodules.update.membrane.eq(self.membrane)
        return m


def test_neuron_that_fires_too_late_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convexon_hdl.core.lif.LIFUpdate", StrictThreshold)
    choice = neuron_parameters(Leak(1, 3), Reset.SUBTRACT)
    assert verdict_on(choice) is Verdict.REFUTED


@pytest.mark.parametrize("split", [False, True])
def test_reset_to_another_value_is_refuted(split: bool) -> None:
    choice = neuron_parameters(Leak(1, 2), Reset.ZERO, reset_to=2)
    neuron = LIF(dataclasses.replace(choice, reset_to=1), split=split)
    assert verdict_on(choice, neuron) is Verdict.REFUTED


def test_leak_that_rounds_otherwise_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    choice = neuron_parameters(Leak(3, 3, LeakRounding.ZERO), Reset.NONE)
    monkeypatch.setattr("convexon_hdl.core.lif.LIFUpdate", LeakDown)
    assert verdict_on(choice) is Verdict.REFUTED


@pytest.mark.parametrize("mutant", [NarrowLIF, ForgetfulLIF])
def test_neuron_mutant_is_refuted(mutant: type[LIF]) -> None:
    choice = neuron_parameters(Leak(1, 3), Reset.SUBTRACT)
    assert verdict_on(choice, mutant(choice)) is Verdict.REFUTED


@pytest.mark.parametrize("mutant", [SeesOldCurrent, KeepsCurrent])
def test_mutant_of_the_synaptic_current_is_refuted(mutant: type[LIF]) -> None:
    choice = neuron_parameters(Leak(1, 2), Reset.SUBTRACT, threshold=20, synapse=Leak(3, 3))
    assert verdict_on(choice, mutant(choice)) is Verdict.REFUTED


class GappyStage(Stage):
    """Moves all registers at once or none: a bubble inside stays open."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        for advance in self.chain.advance:
            m.d.comb += advance.eq(self.can_accept())
        return m


class SkippingStage(Stage):
    """Its first register is written even where the second one is stalled."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.chain.advance[0].eq(1)
        return m


@pytest.mark.parametrize("mutant", [GappyStage, SkippingStage])
def test_mutant_of_the_pipeline_is_refuted(mutant: type[Stage]) -> None:
    mapping = Mapping.spatial(small_network(), Spatial(registers=2))
    spec = StreamSpecification(mutant(small_network(), depth=0, mapping=mapping), capacity=3)
    assert prove(spec) is Verdict.REFUTED


ROWS = [
    [Addend(i, int(w)) for i, w in enumerate(row)]
    for row in np.random.default_rng(4).integers(-7, 8, (3, 9))
]
OFFSETS = [3, 0, -9]


def graph_of(sums: Sums) -> AdderGraph:
    return weighted_sums(9, ROWS, OFFSETS, sums)


def with_operand(graph: AdderGraph, **change: int) -> AdderGraph:
    """The graph with the second operand of its last sum changed."""
    index = max(k for k, node in enumerate(graph.nodes) if node.operands)
    first, second = graph.nodes[index].operands
    broken = second._replace(**change)
    node = graph.nodes[index]._replace(operands=(first, broken))
    nodes = (*graph.nodes[:index], node, *graph.nodes[index + 1 :])
    return dataclasses.replace(graph, nodes=nodes)


@pytest.mark.parametrize("registers", [0, 2])
@pytest.mark.parametrize("sums", Sums)
def test_wrong_shift_or_sign_in_a_graph_is_refuted(sums: Sums, registers: int) -> None:
    graph = graph_of(sums)
    last = [node.operands[1] for node in graph.nodes if node.operands][-1]
    for change in ({"shift": last.shift + 1}, {"sign": -last.sign}):
        spec = SumSpecification(with_operand(graph, **change), ROWS, OFFSETS, registers=registers)
        assert prove(spec) is Verdict.REFUTED


class OverwritingStage(Stage):
    """Takes a step even while its own is not taken."""

    def can_accept(self) -> Value:
        return Const(1)


class OverwritingReadout(Readout):
    """Adds a step to scores that are waiting."""

    def can_accept(self) -> Value:
        return Const(1)


class OverwritingArgmax(Argmax):
    """Takes scores even while its result is not taken."""

    def can_accept(self) -> Value:
        return Const(1)


class DroppingStage(Stage):
    """Drops its step when it is stalled."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        with m.If(self.o.valid & ~self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m


@pytest.mark.parametrize(
    "mutant",
    [
        OverwritingStage(small_network(), depth=0),
        OverwritingReadout(small_network(ReadoutMode.STEP)),
        DroppingStage(small_network(), depth=1),
    ],
    ids=lambda mutant: type(mutant).__name__,
)
def test_stream_mutant_is_refuted(mutant: wiring.Component) -> None:
    assert prove(StreamSpecification(mutant)) is Verdict.REFUTED


def test_accelerator_whose_decision_is_overwritten_is_refuted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("convexon_hdl.accelerator.Argmax", OverwritingArgmax)
    mutant = Accelerator(small_network(), mapping=Mapping.spatial(small_network()))
    assert prove(StreamSpecification(mutant)) is Verdict.REFUTED


class LeakyStage(Stage):
    """Offers only every other step that it takes: holds its output, but loses steps."""

    def produces(self) -> Value:
        return ~self.arriving.first


def test_lost_step_is_refuted() -> None:
    spec = StreamSpecification(LeakyStage(small_network(), depth=0), capacity=1)
    assert prove(spec) is Verdict.REFUTED


def test_bad_arguments_are_refused() -> None:
    message = re.escape("n_steps must be at least 1, not 0")
    with pytest.raises(InputError, match=f"^{message}$"):
        NeuronSpecification(parameters=neuron_parameters(INTEGRATE, Reset.ZERO), n_steps=0)
    with pytest.raises(InputError, match=r"^capacity must be at least 1, not 0$"):
        StreamSpecification(Argmax(small_network()), capacity=0)
