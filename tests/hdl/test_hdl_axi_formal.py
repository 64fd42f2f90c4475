# amaranth: UnusedElaboratable=no
"""Proofs of the AXI side, and mutants that they must refute."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import Const, Elaboratable, Module, Value
from amaranth.lib import wiring
from hdl_bench import random_layer, random_network

from convexon.network import FixedPointNetwork
from convexon.neuron import ReadoutMode
from convexon_hdl.axi.counters import WideCounter
from convexon_hdl.axi.formal import (
    CollectorSpecification,
    CounterSpecification,
    GuardSpecification,
    PackerSpecification,
    SkidSpecification,
)
from convexon_hdl.axi.framing import InferenceGuard, StepCollector
from convexon_hdl.axi.packing import ResultPacker
from convexon_hdl.axi.stream import WordLayout
from convexon_hdl.elastic import SkidBuffer
from convexon_hdl.formal import StreamSpecification, Verdict, prove


def network(
    n_inputs: int = 5, n_steps: int = 3, mode: ReadoutMode = ReadoutMode.LAST
) -> FixedPointNetwork:
    rng = np.random.default_rng(5)
    layers = (random_layer(rng, n_inputs, 2),)
    return random_network(rng, (layers,), mode=mode, n_steps=n_steps, n_classes=2)


def proves(specification: Elaboratable) -> None:
    assert prove(specification).verdict is Verdict.PROVED


def refutes(specification: Elaboratable) -> None:
    assert prove(specification).verdict is Verdict.REFUTED


def test_skid_buffer_is_a_queue_of_two_words() -> None:
    proves(SkidSpecification(SkidBuffer(WordLayout(3))))


@pytest.mark.parametrize(
    "component", [SkidBuffer(WordLayout(3)), ResultPacker(network(), width=32)]
)
def test_words_are_held_until_they_are_taken(component: wiring.Component) -> None:
    proves(StreamSpecification(component))


@pytest.mark.parametrize(
    ("n_inputs", "n_steps", "width"), [(5, 3, 2), (4, 2, 4), (3, 1, 4), (7, 1, 3), (2, 4, 2)]
)
def test_collector_hands_on_whole_steps_and_notices_wrong_lengths(
    n_inputs: int, n_steps: int, width: int
) -> None:
    net = network(n_inputs, n_steps)
    proves(CollectorSpecification(StepCollector(net, width=width)))


@pytest.mark.parametrize("mode", [ReadoutMode.LAST, ReadoutMode.STEP])
@pytest.mark.parametrize(("n_inputs", "n_steps"), [(5, 3), (2, 1)])
def test_guard_never_resets_whole_inferences(
    n_inputs: int, n_steps: int, mode: ReadoutMode
) -> None:
    proves(GuardSpecification(InferenceGuard(network(n_inputs, n_steps, mode), width=2)))


@pytest.mark.parametrize("width", [32, 64, 128])
def test_packer_gives_every_word_once(width: int) -> None:
    packer = ResultPacker(network(), width=width)
    proves(PackerSpecification(packer))


def test_counter_in_halves_counts_as_a_whole_one() -> None:
    proves(CounterSpecification(WideCounter(amount_bits=3, bits=8)))
    proves(CounterSpecification(WideCounter(amount_bits=1)))


class OverwritingSkid(SkidBuffer):
    """Takes a word even while both registers are full."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.i.ready.eq(1)
        return m


class SwappingSkid(SkidBuffer):
    """Gives what has just come before what it keeps."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        with m.If(self.o.ready):
            m.d.sync += self.o.payload.eq(self.i.payload)
        return m


@pytest.mark.parametrize("mutant", [OverwritingSkid, SwappingSkid])
def test_skid_mutant_is_refuted(mutant: type[SkidBuffer]) -> None:
    refutes(SkidSpecification(mutant(WordLayout(3))))


class TrustingCollector(StepCollector):
    """Forgets that the rest of a packet without end must be dropped."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.sync += self.skipping.eq(0)
        return m


class DoublingCollector(StepCollector):
    """Does not take the word whose step was taken."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        with m.If(self.o.valid & (self.step == 1)):
            m.d.comb += self.i.ready.eq(0)
        return m


class ForgetfulCollector(StepCollector):
    """Keeps the newest word in every place."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += self.kept[0].eq(self.i.payload.data)
        return m


@pytest.mark.parametrize("mutant", [TrustingCollector, DoublingCollector, ForgetfulCollector])
def test_collector_mutant_is_refuted(mutant: type[StepCollector]) -> None:
    refutes(CollectorSpecification(mutant(network(), width=2)))


class HastyGuard(InferenceGuard):
    """Resets at once."""

    def drained(self) -> Value:
        return Const(1)


class DeafGuard(InferenceGuard):
    """Lets steps through while it waits."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.collector.hold.eq(0)
        return m


class NegligentGuard(InferenceGuard):
    """Never resets after a fault: the next inference follows half of the broken one."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += [self.running.eq(1), self.collector.hold.eq(0)]
        return m


@pytest.mark.parametrize("mutant", [HastyGuard, DeafGuard, NegligentGuard])
def test_guard_mutant_is_refuted(mutant: type[InferenceGuard]) -> None:
    refutes(GuardSpecification(mutant(network(), width=2)))


class SkippingPacker(ResultPacker):
    """Counts a word that was not taken."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        with m.If(self.o.valid & (self.left != 0)):
            m.d.sync += self.left.eq(self.left - 1)
        return m


class EarlyPacker(ResultPacker):
    """Ends the packet at every result's first word."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.o.payload.last.eq(self.left == self.format.n_words - 1)
        return m


@pytest.mark.parametrize("mutant", [SkippingPacker, EarlyPacker])
def test_packer_mutant_is_refuted(mutant: type[ResultPacker]) -> None:
    refutes(PackerSpecification(mutant(network(), width=32)))


class LossyCounter(WideCounter):
    """Shows the upper half without the carry that is on its way."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.count[self.half :].eq(self.high)
        return m


def test_counter_mutant_is_refuted() -> None:
    refutes(CounterSpecification(LossyCounter(amount_bits=3, bits=6)))
