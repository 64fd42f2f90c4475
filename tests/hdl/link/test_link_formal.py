# amaranth: UnusedElaboratable=no
"""Proofs of the link's streams, and a mutant that they must refute."""

from __future__ import annotations

import pytest
from amaranth.hdl import Module, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from convexon_hdl.formal.prover import Verdict, prove
from convexon_hdl.formal.specs.handshake import StreamSpecification
from convexon_hdl.link.frame import ByteLayout, FrameEncoder
from convexon_hdl.link.vector import VectorCollector, VectorSplitter
from convexon_hdl.streams import SkidBuffer


class Encoder(wiring.Component):
    """A frame encoder behind a buffer, which holds what it offers as streams demand."""

    def __init__(self) -> None:
        super().__init__(
            {"i": In(stream.Signature(ByteLayout())), "o": Out(stream.Signature(unsigned(8)))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.buffer = buffer = SkidBuffer(ByteLayout())
        m.submodules.encoder = encoder = FrameEncoder()
        wiring.connect(m, wiring.flipped(self.i), buffer.i)
        wiring.connect(m, buffer.o, encoder.i)
        wiring.connect(m, encoder.o, wiring.flipped(self.o))
        return m


@pytest.mark.parametrize(
    "component",
    [Encoder(), VectorCollector(width=13), VectorCollector(width=8), VectorSplitter(width=13)],
    ids=["encoder", "collector", "collector-byte", "splitter"],
)
def test_what_is_offered_is_held_until_it_is_taken(component: wiring.Component) -> None:
    assert prove(StreamSpecification(component)) is Verdict.PROVED


class Hasty(VectorCollector):
    """Takes a byte while a vector waits."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.i.ready.eq(1)
        return m


def test_a_collector_that_does_not_wait_is_refuted() -> None:
    assert prove(StreamSpecification(Hasty(width=8))) is Verdict.REFUTED
