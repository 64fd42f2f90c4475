"""Frames of `convexon.link.protocol`: bytes of a line to frames, and frames to bytes."""

from __future__ import annotations

from enum import IntEnum

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from convexon.errors import InputError
from convexon.link.protocol import (
    CHECK_BYTES,
    ESCAPE,
    ESCAPED,
    FLAG,
    NONCE_BYTES,
    PLAIN_KINDS,
)

_POLYNOMIAL = 0xEDB88320  # of CRC-32, the lowest bit first
_RESIDUE = 0xDEBB20E3  # in the register when a sound check has followed its bytes


class Event(IntEnum):
    """What a frame brings.

    ``BYTE``: the next of its bytes, the check's included. ``GOOD``, ``BAD``: its end, and whether
    the check agreed. ``LOST``: the line fell silent in the middle of it.
    """

    BYTE = 0
    GOOD = 1
    BAD = 2
    LOST = 3


class EventLayout(data.StructLayout):
    """One event of the decoder.

    Members
    -------
    event : unsigned(2)
        An `Event`.
    data : unsigned(8)
        With ``BYTE``.
    """

    def __init__(self) -> None:
        super().__init__({"event": 2, "data": 8})


class Check(wiring.Component):
    """The check of a frame, a byte each clock, begun from the nonce or, of a plain kind, without.

    Resources: 32 flip-flops, and the exclusive-ors of a byte's CRC-32.

    Members
    -------
    nonce : In(32)
    i : In(stream.Signature(8, always_ready=True))
    first : In(1)
        The byte is the frame's first, its kind.
    o : Out(32)
        The check of the bytes so far.
    agrees : Out(1)
        The last bytes were the check of those before them.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "nonce": In(8 * NONCE_BYTES),
                "i": In(stream.Signature(unsigned(8), always_ready=True)),
                "first": In(1),
                "o": Out(8 * CHECK_BYTES),
                "agrees": Out(1),
            }
        )

    def start(self, kind: Value, nonce: Value) -> Value:
        """Return what the check of a frame goes on from."""
        return Mux(kind.matches(*PLAIN_KINDS), 0, nonce)

    def elaborate(self, platform: object) -> Module:
        """Build the register and its next value."""
        m = Module()
        register = Signal(8 * CHECK_BYTES)
        byte = self.i.payload
        bits = list(Mux(self.first, ~self.start(byte, self.nonce)[: len(register)], register))
        for bit in byte:
            carried = bits[0] ^ bit
            bits = [
                shifted ^ carried if _POLYNOMIAL >> k & 1 else shifted
                for k, shifted in enumerate([*bits[1:], 0])
            ]
        with m.If(self.i.valid):
            m.d.sync += register.eq(Cat(*bits))
        m.d.comb += [self.o.eq(~register), self.agrees.eq(register == _RESIDUE)]
        return m


class FrameDecoder(wiring.Component):
    """Finds frames among bytes, takes the escapes out, and checks them.

    When no byte comes for ``timeout`` clocks inside a frame, it is lost: whatever comes before the
    next flag is no part of anything.

    Latency: none, combinational. Resources: the CRC-32 of a byte, and a counter for the time-out.

    Parameters
    ----------
    timeout : int
        Clocks.

    Members
    -------
    nonce : In(32)
        Of the session.
    i : In(stream.Signature(8, always_ready=True))
    o : Out(stream.Signature(EventLayout(), always_ready=True))

    Raises
    ------
    InputError
        If the time-out is no clock.
    """

    def __init__(self, *, timeout: int) -> None:
        if timeout < 1:
            raise InputError(f"timeout must be 1 clock or more, not {timeout!r}")
        self.timeout = timeout
        super().__init__(
            {
                "nonce": In(8 * NONCE_BYTES),
                "i": In(stream.Signature(unsigned(8), always_ready=True)),
                "o": Out(stream.Signature(EventLayout(), always_ready=True)),
            }
        )

    def agrees(self, match: Value) -> Value:
        """Whether a frame's check is that of its bytes."""
        return match

    def silent(self, quiet: Value) -> Value:
        """Whether the line has been silent for too long, ``quiet`` clocks."""
        return quiet == self.timeout - 1

    def elaborate(self, platform: object) -> Module:
        """Build the check and the states of a frame."""
        m = Module()
        m.submodules.check = check = Check()
        fresh = Signal(init=1)  # no byte of this frame has come
        escaped, lost = Signal(), Signal(init=1)
        quiet = Signal(range(max(2, self.timeout)))
        byte, content = self.i.payload, Signal(8)
        m.d.comb += [
            content.eq(Mux(escaped, byte ^ ESCAPED, byte)),
            check.nonce.eq(self.nonce),
            check.i.payload.eq(content),
            check.first.eq(fresh),
            self.o.payload.data.eq(content),
        ]
        with m.If(self.i.valid):
            m.d.sync += quiet.eq(0)
            with m.If(byte == FLAG):
                m.d.comb += self.o.valid.eq(~fresh)
                m.d.comb += self.o.payload.event.eq(
                    Mux(self.agrees(check.agrees) & ~escaped, Event.GOOD, Event.BAD)
                )
                m.d.sync += [fresh.eq(1), escaped.eq(0), lost.eq(0)]
            with m.Elif(lost):
                pass
            with m.Elif(byte == ESCAPE):
                m.d.sync += escaped.eq(1)
            with m.Else():
                m.d.comb += [check.i.valid.eq(1), self.o.valid.eq(1)]
                m.d.comb += self.o.payload.event.eq(Event.BYTE)
                m.d.sync += [fresh.eq(0), escaped.eq(0)]
        with m.Elif(~fresh | escaped):
            m.d.sync += quiet.eq(quiet + 1)
            with m.If(self.silent(quiet)):
                m.d.comb += [self.o.valid.eq(~fresh), self.o.payload.event.eq(Event.LOST)]
                m.d.sync += [fresh.eq(1), escaped.eq(0), lost.eq(1), quiet.eq(0)]
        return m


class ByteLayout(data.StructLayout):
    """A byte of a frame's content.

    Members
    -------
    data : unsigned(8)
    last : unsigned(1)
        The check follows.
    """

    def __init__(self) -> None:
        super().__init__({"data": 8, "last": 1})


class FrameEncoder(wiring.Component):
    """Puts content into frames: flags around it, its check behind it, and escapes where needed.

    Latency: none; a byte of ``i`` is on ``o`` in the same clock, behind the opening flag. A frame
    takes 6 bytes more than its content, and one for each escape. Resources: the CRC-32 of a byte.

    Members
    -------
    nonce : In(32)
        Of the session; a frame takes it with its first byte.
    i : In(stream.Signature(ByteLayout()))
    o : Out(stream.Signature(8))
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "nonce": In(8 * NONCE_BYTES),
                "i": In(stream.Signature(ByteLayout())),
                "o": Out(stream.Signature(unsigned(8))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the check and the order of a frame."""
        m = Module()
        m.submodules.check = check = Check()
        sums = Signal(range(CHECK_BYTES))
        first, escaped = Signal(), Signal()
        byte, stuffed, special, taken = Signal(8), Signal(8), Signal(), Signal()
        m.d.comb += [
            special.eq(~escaped & ((byte == FLAG) | (byte == ESCAPE))),
            stuffed.eq(Mux(special, ESCAPE, Mux(escaped, byte ^ ESCAPED, byte))),
            taken.eq(self.o.valid & self.o.ready & ~special),
            check.nonce.eq(self.nonce),
            check.i.payload.eq(byte),
            check.first.eq(first),
        ]
        with m.FSM(name="order"):
            with m.State("Open"):
                m.d.comb += [self.o.valid.eq(self.i.valid), self.o.payload.eq(FLAG)]
                with m.If(self.o.valid & self.o.ready):
                    m.d.sync += first.eq(1)
                    m.next = "Content"
            with m.State("Content"):
                m.d.comb += [
                    byte.eq(self.i.payload.data),
                    self.o.valid.eq(self.i.valid),
                    self.o.payload.eq(stuffed),
                    self.i.ready.eq(self.o.ready & ~special),
                    check.i.valid.eq(taken),
                ]
                with m.If(self.o.valid & self.o.ready):
                    m.d.sync += escaped.eq(special)
                with m.If(taken):
                    m.d.sync += [first.eq(0), sums.eq(0)]
                    with m.If(self.i.payload.last):
                        m.next = "Check"
            with m.State("Check"):
                m.d.comb += [
                    byte.eq(check.o.word_select(sums, 8)),
                    self.o.valid.eq(1),
                    self.o.payload.eq(stuffed),
                ]
                with m.If(self.o.ready):
                    m.d.sync += escaped.eq(special)
                with m.If(taken):
                    m.d.sync += sums.eq(sums + 1)
                    with m.If(sums == CHECK_BYTES - 1):
                        m.next = "Close"
            with m.State("Close"):
                m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(FLAG)]
                with m.If(self.o.ready):
                    m.next = "Open"
        return m
