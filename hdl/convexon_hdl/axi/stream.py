"""Words of an AXI4-Stream inside the design: their payload, and a buffer that cuts both ways."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from convexon.errors import InputError

WIDTHS = (32, 64, 128)
"""Widths of tdata, in bits."""


def require_width(width: int) -> int:
    """Return ``width`` if it is one of `WIDTHS`; `InputError` otherwise."""
    if width not in WIDTHS:
        raise InputError(f"width must be one of {', '.join(map(str, WIDTHS))} bits, not {width!r}")
    return width


class WordLayout(data.StructLayout):
    """One transfer of an AXI4-Stream.

    Members
    -------
    data : unsigned(width)
        ``tdata``.
    last : unsigned(1)
        ``tlast``.
    """

    def __init__(self, width: int) -> None:
        super().__init__({"data": width, "last": 1})


class SkidBuffer(wiring.Component):
    """Two words between two streams, with nothing but flip-flops on either side.

    ``i.ready`` and ``o`` come from flip-flops alone, so no path runs through the buffer, and a word
    still moves in every clock.

    Latency: 1 clock. Resources: twice the payload's flip-flops, one multiplexer a bit.

    Parameters
    ----------
    width : int
        Bits of a word.

    Members
    -------
    i : In(stream.Signature(WordLayout(width)))
    o : Out(stream.Signature(WordLayout(width)))

    Attributes
    ----------
    spare, full : Signal
        The second register, and whether it holds a word; `convexon_hdl.axi.formal` reads them.
    """

    def __init__(self, *, width: int) -> None:
        layout = WordLayout(width)
        self.spare = Signal(layout)
        self.full = Signal()
        super().__init__({"i": In(stream.Signature(layout)), "o": Out(stream.Signature(layout))})

    def elaborate(self, platform: object) -> Module:
        """Build both registers."""
        m = Module()
        m.d.comb += self.i.ready.eq(~self.full)
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [
                self.o.valid.eq(self.i.valid | self.full),
                self.o.payload.eq(self.i.payload),
                self.full.eq(0),
            ]
            with m.If(self.full):
                m.d.sync += self.o.payload.eq(self.spare)
        with m.Elif(self.i.valid & self.i.ready):
            m.d.sync += [self.spare.eq(self.i.payload), self.full.eq(1)]
        return m
