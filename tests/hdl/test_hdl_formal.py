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
from hdl_bench import random_layer, random_network

from convexon.convex.alphabet import Alphabet
from convexon.convex.witness import WitnessFamily, draw_branch
from convexon.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.fixed import Interval, QFormat, width_of
from convexon.mapping import Mapping, Spatial, Sums
from convexon.network import FixedPointNetwork
from convexon.neuron import INTEGRATE, Leak, ReadoutMode, Reset
from convexon.ranges import neuron_ranges, reset_range
from convexon_hdl.accelerator import Accelerator
from convexon_hdl.adder_graph import Addend, AdderGraph, GraphBuilder
from convexon_hdl.arithmetic import shape_of
from convexon_hdl.formal import (
    NeuronSpecification,
    StreamSpecification,
    SumSpecification,
    Verdict,
    prove,
)
from convexon_hdl.lif import LIF, LIFUpdate, NeuronParameters, SplitLIF
from convexon_hdl.readout import Argmax, Readout
from convexon_hdl.stage import Stage
from convexon_hdl.weighted_sum import weighted_sums
from mutants import SplitKeepsThreshold, SplitStrictThreshold

STEPS = 6


def parameters(
    leak: Leak, reset: Reset, saturation: QFormat | None = None, threshold: int = 5
) -> NeuronParameters:
    current = Interval(-7, 9)
    integrated, membrane = neuron_ranges(
        current, threshold=threshold, leak=leak, reset=reset, saturation=saturation, n_steps=STEPS
    )
    return NeuronParameters(
        threshold=threshold,
        leak=leak,
        reset=reset,
        saturation=None if saturation is None else saturation.interval,
        current=current,
        integrated=integrated,
        membrane=membrane,
    )


def network(mode: ReadoutMode = ReadoutMode.LAST) -> FixedPointNetwork:
    rng = np.random.default_rng(5)
    deep = (random_layer(rng, 3, 3), random_layer(rng, 3, 2))
    shallow = (random_layer(rng, 3, 2, recurrent=True),)
    return random_network(rng, (deep, shallow), mode=mode, n_steps=3)


@pytest.mark.parametrize("neuron", [LIF, SplitLIF])
@pytest.mark.parametrize(
    "choice",
    [
        parameters(INTEGRATE, Reset.SUBTRACT),
        parameters(Leak(1, 3), Reset.SUBTRACT),
        parameters(Leak(5, 3), Reset.ZERO),
        parameters(Leak(3, 2), Reset.NONE),
        parameters(INTEGRATE, Reset.SUBTRACT, QFormat(5)),
        parameters(Leak(1, 2), Reset.SUBTRACT, QFormat(4), threshold=-2),
    ],
    ids=["integrate", "subtract", "zero", "none", "saturating", "negative-threshold"],
)
def test_neuron_never_overflows(choice: NeuronParameters, neuron: type[LIF]) -> None:
    result = prove(NeuronSpecification(choice, n_steps=STEPS, neuron=neuron(choice)))
    assert result.verdict is Verdict.PROVED
    assert result.name == "NeuronSpecification"
    assert result.seconds > 0


@pytest.mark.parametrize("reset", Reset)
def test_split_neuron_with_a_lateral_current_never_overflows(reset: Reset) -> None:
    choice = dataclasses.replace(parameters(Leak(1, 2), reset), lateral=Interval(-3, 2))
    result = prove(NeuronSpecification(choice, n_steps=STEPS, neuron=SplitLIF(choice)))
    assert result.verdict is Verdict.PROVED


class StrictSplitLIF(SplitLIF):
    update_class = SplitStrictThreshold


class SpilledSplitLIF(SplitLIF):
    update_class = SplitKeepsThreshold


@pytest.mark.parametrize("mutant", [StrictSplitLIF, SpilledSplitLIF])
def test_split_neuron_mutant_is_refuted(mutant: type[SplitLIF]) -> None:
    choice = dataclasses.replace(parameters(Leak(1, 2), Reset.SUBTRACT), lateral=Interval(-3, 2))
    result = prove(NeuronSpecification(choice, n_steps=STEPS, neuron=mutant(choice)))
    assert result.verdict is Verdict.REFUTED


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
        draw_branch(family, dataset, n_witnesses=2, generator=rng) for family in families
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
    assert {neuron.reset for neuron in neurons} == set(Reset)
    assert len(neurons) >= 4
    for neuron in neurons:
        result = prove(NeuronSpecification(neuron, n_steps=STEPS))
        assert result.verdict is Verdict.PROVED, neuron


def test_neuron_of_a_drawn_card_with_a_range_of_another_is_refuted() -> None:
    widest = max(neurons_of(drawn_card()), key=lambda n: n.current.high - n.current.low)
    calm = dataclasses.replace(widest, current=Interval(0, 1))
    assert prove(NeuronSpecification(calm, n_steps=STEPS)).verdict is Verdict.PROVED
    integrated, membrane = neuron_ranges(
        calm.current,
        threshold=calm.threshold,
        leak=calm.leak,
        reset=calm.reset,
        saturation=None,
        n_steps=STEPS,
    )
    cramped = dataclasses.replace(widest, integrated=integrated, membrane=membrane)
    assert prove(NeuronSpecification(cramped, n_steps=STEPS)).verdict is Verdict.REFUTED


def one_too_narrow(integrated: Interval, threshold: int, reset: Reset) -> Interval:
    """Range of the membrane after the reset, without its highest value."""
    right = reset_range(integrated, threshold, reset)
    return Interval(right.low, right.high - 1)


@pytest.mark.parametrize("hardware_too", [False, True])
def test_range_that_is_too_narrow_by_one_is_refuted(
    hardware_too: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = parameters(Leak(1, 3), Reset.SUBTRACT)
    monkeypatch.setattr("convexon_hdl.formal.reset_range", one_too_narrow)
    if hardware_too:  # the analysis itself is at fault, and sizes the hardware by it
        monkeypatch.setattr("convexon.ranges.reset_range", one_too_narrow)
        right, choice = choice, parameters(Leak(1, 3), Reset.SUBTRACT)
        assert choice != right
    assert prove(NeuronSpecification(choice, n_steps=STEPS)).verdict is Verdict.REFUTED


class NarrowLIF(LIF):
    """Keeps the membrane in one bit less than its range needs."""

    def __init__(self, choice: NeuronParameters) -> None:
        self._parameters = choice
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


class StrictUpdate(LIFUpdate):
    """Fires one step of the membrane too late."""

    def fired(self, integrated) -> Value:  # type: ignore[no-untyped-def]
        return integrated.value > self.parameters.threshold


class StrictLIF(LIF):
    update_class = StrictUpdate


class ForgetfulLIF(LIF):
    """Starts an inference from what the last one left."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += m.submodules.update.membrane.eq(self.membrane)
        return m


@pytest.mark.parametrize("mutant", [NarrowLIF, StrictLIF, ForgetfulLIF])
def test_neuron_mutant_is_refuted(mutant: type[LIF]) -> None:
    choice = parameters(Leak(1, 3), Reset.SUBTRACT)
    result = prove(NeuronSpecification(choice, n_steps=STEPS, neuron=mutant(choice)))
    assert result.verdict is Verdict.REFUTED


def test_stage_and_decision_hold_and_lose_nothing() -> None:
    for component in (Stage(network(), depth=0), Stage(network(), depth=1), Argmax(network())):
        assert prove(StreamSpecification(component, capacity=1)).verdict is Verdict.PROVED


@pytest.mark.parametrize("registers", [1, 3])
def test_pipelined_stage_and_decision_hold_and_lose_nothing(registers: int) -> None:
    mapping = Mapping.spatial(network(), Spatial(registers=registers))
    components = [Stage(network(), depth=depth, mapping=mapping) for depth in (0, 1)]
    for component in (*components, Argmax(network(), registers=registers)):
        assert component.registers == registers
        spec = StreamSpecification(component, capacity=1 + registers)
        assert prove(spec).verdict is Verdict.PROVED


@pytest.mark.parametrize("mode", ReadoutMode)
def test_pipelined_readout_holds_its_output(mode: ReadoutMode) -> None:
    readout = Readout(network(mode), choice=Spatial(registers=2))
    assert prove(StreamSpecification(readout)).verdict is Verdict.PROVED


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
    mapping = Mapping.spatial(network(), Spatial(registers=2))
    spec = StreamSpecification(mutant(network(), depth=0, mapping=mapping), capacity=3)
    assert prove(spec).verdict is Verdict.REFUTED


ROWS = [
    [Addend(i, int(w)) for i, w in enumerate(row)]
    for row in np.random.default_rng(4).integers(-7, 8, (3, 9))
]
OFFSETS = [3, 0, -9]


def graph_of(sums: Sums) -> AdderGraph:
    builder = GraphBuilder(9)
    return builder.graph(weighted_sums(builder, ROWS, OFFSETS, sums))


@pytest.mark.parametrize("registers", [0, 3])
@pytest.mark.parametrize("sums", Sums)
def test_adder_graph_equals_the_plain_sum(sums: Sums, registers: int) -> None:
    spec = SumSpecification(graph_of(sums), ROWS, OFFSETS, registers=registers)
    assert prove(spec).verdict is Verdict.PROVED


def with_operand(graph: AdderGraph, **change: int) -> AdderGraph:
    """The graph with the second operand of its last sum changed."""
    index = max(k for k, node in enumerate(graph.nodes) if node.operands)
    first, second = graph.nodes[index].operands
    broken = dataclasses.replace(second, **change)
    node = dataclasses.replace(graph.nodes[index], operands=(first, broken))
    nodes = (*graph.nodes[:index], node, *graph.nodes[index + 1 :])
    return dataclasses.replace(graph, nodes=nodes)


@pytest.mark.parametrize("registers", [0, 2])
@pytest.mark.parametrize("sums", Sums)
def test_wrong_shift_or_sign_in_a_graph_is_refuted(sums: Sums, registers: int) -> None:
    graph = graph_of(sums)
    last = [node.operands[1] for node in graph.nodes if node.operands][-1]
    for change in ({"shift": last.shift + 1}, {"sign": -last.sign}):
        spec = SumSpecification(with_operand(graph, **change), ROWS, OFFSETS, registers=registers)
        assert prove(spec).verdict is Verdict.REFUTED


@pytest.mark.parametrize("mode", ReadoutMode)
def test_readout_and_accelerator_hold_their_output(mode: ReadoutMode) -> None:
    net = network(mode)
    assert prove(StreamSpecification(Readout(net))).verdict is Verdict.PROVED
    accelerator = Accelerator(net, mapping=Mapping.spatial(net))
    assert prove(StreamSpecification(accelerator)).verdict is Verdict.PROVED


class OverwritingStage(Stage):
    """Takes a step even while its own is not taken."""

    def can_accept(self) -> Value:
        return Const(1)


class OverwritingReadout(Readout):
    """Adds a step to scores that are waiting."""

    def can_accept(self) -> Value:
        return Const(1)


class OverwritingAccelerator(Accelerator):
    """Its decision is overwritten while it waits."""

    class argmax_class(Argmax):  # noqa: N801
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
        OverwritingStage(network(), depth=0),
        OverwritingReadout(network(ReadoutMode.STEP)),
        OverwritingAccelerator(network(), mapping=Mapping.spatial(network())),
        DroppingStage(network(), depth=1),
    ],
    ids=lambda mutant: type(mutant).__name__,
)
def test_stream_mutant_is_refuted(mutant: wiring.Component) -> None:
    assert prove(StreamSpecification(mutant)).verdict is Verdict.REFUTED


class LeakyStage(Stage):
    """Offers only every other step that it takes: holds its output, but loses steps."""

    def produces(self) -> Value:
        return ~self.arriving.first


def test_lost_step_is_refuted() -> None:
    spec = StreamSpecification(LeakyStage(network(), depth=0), capacity=1)
    assert prove(spec).verdict is Verdict.REFUTED


def test_bad_arguments_are_refused() -> None:
    message = re.escape("n_steps must be at least 1, not 0")
    with pytest.raises(InputError, match=f"^{message}$"):
        NeuronSpecification(parameters(INTEGRATE, Reset.ZERO), n_steps=0)
    with pytest.raises(InputError, match=r"^capacity must be at least 1, not 0$"):
        StreamSpecification(Argmax(network()), capacity=0)
