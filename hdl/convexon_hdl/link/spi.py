"""SPI peripheral: mode 0, highest bit first, both directions at once."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import cdc, stream, wiring
from amaranth.lib.wiring import In, Out

from convexon.link.protocol import FLAG

_BITS = 8


class SpiPeripheral(wiring.Component):
    """Bytes to and from a controller that gives the clock.

    The lines are sampled by the design's clock, which must be at least 8 times as fast as ``sck``.
    A byte goes out with each that comes in: the next of ``i``, or `FLAG`, which is idle, where
    there is none. Releasing ``cs_n`` drops a byte that is not whole.

    Latency: 3 clocks from the last rising edge of a byte to ``o``. Resources: two shift registers,
    three synchronizers and a counter.

    Members
    -------
    cs_n, sck, copi : In(1)
    cipo : Out(1)
    i : In(stream.Signature(8))
    o : Out(stream.Signature(8, always_ready=True))
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "cs_n": In(1, init=1),
                "sck": In(1),
                "copi": In(1),
                "cipo": Out(1),
                "i": In(stream.Signature(unsigned(_BITS))),
                "o": Out(stream.Signature(unsigned(_BITS), always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the edge detector and the shift registers."""
        m = Module()
        idle, clock, bit = Signal(init=1), Signal(), Signal()
        for name, source, sampled in (
            ("cs_n", self.cs_n, idle),
            ("sck", self.sck, clock),
            ("copi", self.copi, bit),
        ):
            init = 1 if name == "cs_n" else 0
            m.submodules[f"sync_{name}"] = cdc.FFSynchronizer(source, sampled, init=init)
        before = Signal()
        rises, falls = Signal(), Signal()
        count = Signal(range(_BITS))
        taken = Signal(_BITS)
        given = Signal(_BITS, init=FLAG)
        fresh = Signal(init=1)  # the byte on its way out has not been chosen
        m.d.sync += before.eq(clock)
        m.d.comb += [
            rises.eq(~idle & clock & ~before),
            falls.eq(~idle & ~clock & before),
            self.o.payload.eq(Cat(bit, taken[:-1])),
            self.o.valid.eq(rises & (count == _BITS - 1)),
            self.cipo.eq(given[-1]),
        ]
        with m.If(idle):
            m.d.sync += [count.eq(0), fresh.eq(1)]
        with m.Elif(rises):
            m.d.sync += [taken.eq(self.o.payload), count.eq(count + 1)]
        with m.If(fresh & ~idle):
            # At the latest a clock before the first rising edge: the byte is chosen once.
            m.d.comb += self.i.ready.eq(1)
            m.d.sync += [given.eq(Mux(self.i.valid, self.i.payload, FLAG)), fresh.eq(0)]
        with m.Elif(falls):
            m.d.sync += given.eq(Cat(Const(0, 1), given[:-1]))
            with m.If(~count.any()):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += given.eq(Mux(self.i.valid, self.i.payload, FLAG))
        return m
