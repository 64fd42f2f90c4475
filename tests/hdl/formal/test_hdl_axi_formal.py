# amaranth: UnusedElaboratable=no
"""Proofs of the AXI side, and mutants that they must refute."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import Const, Elaboratable, Module
from amaranth.lib import wiring
from hdl_bench import random_layer, random_network
from specifications import (
    CollectorSpecification,
    CounterSpecification,
    GuardSpecification,
    PackerSpecification,
)

from convexon.snn.network import FixedPointNetwork
from convexon_hdl.axi.counters import WideCounter
from convexon_hdl.axi.framing import InferenceGuard, PacketFormat, TransferCollector, WordLayout
from convexon_hdl.axi.packing import ResultPacker
from convexon_hdl.formal.prover import Verdict, prove
from convexon_hdl.formal.specs.handshake import SkidSpecification, StreamSpecification
from convexon_hdl.streams import SkidBuffer
from faulty_parts import mutated

PACKET = PacketFormat(width=2, bits=5, n_transfers=3)


def network() -> FixedPointNetwork:
    rng = np.random.default_rng(5)
    layers = (random_layer(rng, 5, 2),)
    return random_network(rng, (layers,), n_steps=3, n_classes=2)


def proves(specification: Elaboratable) -> None:
    assert prove(specification) is Verdict.PROVED


def refutes(specification: Elaboratable) -> None:
    assert prove(specification) is Verdict.REFUTED


def test_skid_buffer_is_a_queue_of_two_words() -> None:
    proves(SkidSpecification(SkidBuffer(WordLayout(3))))


@pytest.mark.parametrize(
    "component", [SkidBuffer(WordLayout(3)), ResultPacker(network(), width=32)]
)
def test_words_are_held_until_they_are_taken(component: wiring.Component) -> None:
    proves(StreamSpecification(component))


@pytest.mark.parametrize(
    ("bits", "n_transfers", "width"),
    [(5, 3, 2), (4, 2, 4), (3, 1, 4), (5, 1, 2), (7, 1, 3), (2, 4, 2)],
)
def test_collector_hands_on_whole_transfers_and_notices_wrong_lengths(
    bits: int, n_transfers: int, width: int
) -> None:
    packet = PacketFormat(width=width, bits=bits, n_transfers=n_transfers)
    proves(CollectorSpecification(TransferCollector(packet)))


@pytest.mark.parametrize(
    ("per_step", "early"), [(False, False), (True, False), (False, True)], ids=str
)
@pytest.mark.parametrize(("bits", "n_transfers"), [(5, 3), (2, 1), (5, 1)])
def test_guard_never_resets_whole_inferences(
    bits: int, n_transfers: int, per_step: bool, early: bool
) -> None:
    packet = PacketFormat(width=2, bits=bits, n_transfers=n_transfers)
    proves(GuardSpecification(InferenceGuard(packet, per_step=per_step), early=early))


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


class TrustingCollector(TransferCollector):
    """Forgets that the rest of a packet without end must be dropped."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.sync += self.skipping.eq(0)
        return m


class DoublingCollector(TransferCollector):
    """Does not take the word whose transfer was taken."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        with m.If(self.o.valid & (self.transfer == 1)):
            m.d.comb += self.i.ready.eq(0)
        return m


class ForgetfulCollector(TransferCollector):
    """Keeps the newest word in every place."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += self.kept[0].eq(self.i.payload.data)
        return m


@pytest.mark.parametrize("mutant", [TrustingCollector, DoublingCollector, ForgetfulCollector])
def test_collector_mutant_is_refuted(mutant: type[TransferCollector]) -> None:
    refutes(CollectorSpecification(mutant(PACKET)))


HastyGuard = mutated(InferenceGuard, "drained = flight <= 0", "drained = Const(1)", Const=Const)
"""Resets at once."""


class DeafGuard(InferenceGuard):
    """Lets transfers through while it waits."""

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


class OpenGuard(InferenceGuard):
    """Lets the result of the inference that is given up out, until it resets."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.shut.eq(self.reset)
        return m


ZealousGuard = mutated(
    InferenceGuard, "collector.broken & collector.transfer.any()", "collector.broken"
)
"""Resets the accelerator for a packet of which nothing is inside."""


MUTANTS = (HastyGuard, DeafGuard, NegligentGuard, ZealousGuard)


@pytest.mark.parametrize(
    ("mutant", "early"),
    # Without an early decision no result of what is given up can come, so OpenGuard is no fault.
    [*((mutant, early) for mutant in MUTANTS for early in (False, True)), (OpenGuard, True)],
)
def test_guard_mutant_is_refuted(mutant: type[InferenceGuard], early: bool) -> None:
    refutes(GuardSpecification(mutant(PACKET, per_step=False), early=early))


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


class UnmarkedPacker(ResultPacker):
    """Does not mark the record of an aborted inference."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.o.payload.aborted.eq(0)
        return m


@pytest.mark.parametrize("mutant", [SkippingPacker, EarlyPacker, UnmarkedPacker])
def test_packer_mutant_is_refuted(mutant: type[ResultPacker]) -> None:
    refutes(PackerSpecification(mutant(network(), width=32)))


LossyCounter = mutated(WideCounter, "(high + carry)[: len(high)]", "high")
"""Shows the upper half without the carry that is on its way."""


def test_counter_mutant_is_refuted() -> None:
    refutes(CounterSpecification(LossyCounter(amount_bits=3, bits=6)))
