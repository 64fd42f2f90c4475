"""Vectors as bytes: an accelerator's transfers and results on the link."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from convexon.link.protocol import bytes_of


class VectorCollector(wiring.Component):
    """Collects bytes, the lowest first, to vectors.

    Latency: 1 clock from the last byte of a vector. Resources: a flip-flop for each bit of the
    vector's bytes, and a counter.

    Parameters
    ----------
    width : int
        Bits of a vector.

    Members
    -------
    i : In(stream.Signature(8))
    o : Out(stream.Signature(width))
    clear : In(1)
        Forgets the bytes, and a vector that waits.
    """

    def __init__(self, *, width: int) -> None:
        self._width = width
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(8))),
                "o": Out(stream.Signature(unsigned(width))),
                "clear": In(1),
            }
        )

    @property
    def n_bytes(self) -> int:
        """Bytes of a vector."""
        return bytes_of(self._width)

    def elaborate(self, platform: object) -> Module:
        """Build the shift register."""
        m = Module()
        held = Signal(8 * self.n_bytes)
        count = Signal(range(max(2, self.n_bytes)))
        m.d.comb += [
            self.o.payload.eq(held[: self._width]),
            self.i.ready.eq(~self.o.valid | self.o.ready),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [held.eq(Cat(held, self.i.payload)[8:]), count.eq(count + 1)]
            with m.If(count == self.n_bytes - 1):
                m.d.sync += [count.eq(0), self.o.valid.eq(1)]
        with m.If(self.clear):
            m.d.sync += [count.eq(0), self.o.valid.eq(0)]
        return m


class VectorSplitter(wiring.Component):
    """Gives the bytes of vectors, the lowest first.

    Latency: 1 clock; a vector takes a clock for each byte, and one more. Resources: a flip-flop for
    each bit of the vector's bytes, and a counter.

    Parameters
    ----------
    width : int
        Bits of a vector.

    Members
    -------
    i : In(stream.Signature(width))
    o : Out(stream.Signature(8))
    clear : In(1)
        Forgets the vector.
    """

    def __init__(self, *, width: int) -> None:
        self.n_bytes = bytes_of(width)
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(width))),
                "o": Out(stream.Signature(unsigned(8))),
                "clear": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the shift register."""
        m = Module()
        held = Signal(8 * self.n_bytes)
        left = Signal(range(self.n_bytes + 1))
        m.d.comb += [
            self.i.ready.eq(~left.any()),
            self.o.valid.eq(left.any()),
            self.o.payload.eq(held),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [held.eq(self.i.payload), left.eq(self.n_bytes)]
        with m.Elif(self.o.valid & self.o.ready):
            m.d.sync += [held.eq(held >> 8), left.eq(left - 1)]
        with m.If(self.clear):
            m.d.sync += left.eq(0)
        return m
