# amaranth: UnusedElaboratable=no
"""Proofs of the link's streams and checks, and mutants that they must refute."""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Assume, Const, Elaboratable, Module, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from convexon.link.protocol import PLAIN_KINDS
from convexon_hdl.formal.prover import Verdict, prove
from convexon_hdl.formal.specs.blocks import free
from convexon_hdl.formal.specs.handshake import StreamSpecification
from convexon_hdl.link.frame import ByteLayout, Check, FrameEncoder
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
        free(m, encoder.nonce)
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


class Apart(Elaboratable):
    """No bytes are a sound frame in two sessions, unless their nonces are equal.

    Stronger, so that induction holds: the two checks differ from the first byte on.
    """

    def __init__(self, check: type[Check]) -> None:
        self.check = check

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.one = one = self.check()
        m.submodules.other = other = self.check()
        free(m, one.nonce, other.nonce, one.i.valid, one.i.payload, one.first)
        m.d.comb += [
            Assume(one.nonce != other.nonce),
            other.i.valid.eq(one.i.valid),
            other.i.payload.eq(one.i.payload),
            other.first.eq(one.first),
        ]
        in_session = Signal()
        with m.If(one.i.valid & one.first):
            m.d.sync += in_session.eq(~one.i.payload.matches(*PLAIN_KINDS))
        with m.If(in_session):
            m.d.comb += [Assert(one.o != other.o), Assert(~(one.agrees & other.agrees))]
        return m


class Deaf(Check):
    """Checks every frame as if there were no session."""

    def start(self, kind: Value, nonce: Value) -> Value:
        return Const(0, len(nonce))


@pytest.mark.parametrize(("check", "verdict"), [(Check, "PROVED"), (Deaf, "REFUTED")])
def test_a_frame_is_sound_in_one_session_alone(check: type[Check], verdict: str) -> None:
    assert prove(Apart(check)) is Verdict[verdict]
