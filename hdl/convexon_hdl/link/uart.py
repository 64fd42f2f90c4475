"""Asynchronous serial line: 8 data bits, lowest first, no parity, one stop bit."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal, unsigned
from amaranth.lib import cdc, stream, wiring
from amaranth.lib.wiring import In, Out

from convexon.errors import InputError

MINIMUM_DIVISOR = 4
"""Fewest clocks of a bit: its middle must be found to a quarter of it."""

_DATA_BITS = 8


def require_divisor(divisor: int) -> int:
    """Return ``divisor`` if a bit can be that many clocks long; `InputError` otherwise."""
    if divisor < MINIMUM_DIVISOR:
        raise InputError(f"divisor must be {MINIMUM_DIVISOR} or more clocks a bit, not {divisor!r}")
    return divisor


class UartReceiver(wiring.Component):
    """Reads bytes from a line.

    A start bit is looked at again in its middle, so that a spike on an idle line begins no byte. A
    byte whose stop bit is low is dropped, and the line must be high again before the next begins.

    Latency: 2 clocks and 9.5 bits from the falling edge of the start bit. Resources: two counters
    and ten flip-flops.

    Parameters
    ----------
    divisor : int
        Clocks of a bit.

    Members
    -------
    rx : In(1, init=1)
    o : Out(stream.Signature(8, always_ready=True))

    Raises
    ------
    InputError
        If a bit is too short.
    """

    def __init__(self, *, divisor: int) -> None:
        self.divisor = require_divisor(divisor)
        super().__init__(
            {
                "rx": In(1, init=1),
                "o": Out(stream.Signature(unsigned(_DATA_BITS), always_ready=True)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the sampler."""
        m = Module()
        line = Signal(init=1)
        m.submodules.synchronizer = cdc.FFSynchronizer(self.rx, line, init=1)
        timer = Signal(range(self.divisor))
        left = Signal(range(_DATA_BITS + 1))
        shifted = Signal(_DATA_BITS)
        m.d.comb += self.o.payload.eq(shifted)
        m.d.sync += timer.eq(timer - 1)
        with m.If(~timer.any()):
            m.d.sync += timer.eq(self.divisor - 1)
        with m.FSM(name="receiver"):
            with m.State("Idle"):
                m.d.sync += timer.eq(self.divisor // 2 - 1)
                with m.If(~line):
                    m.next = "Start"
            with m.State("Start"), m.If(~timer.any()):
                m.d.sync += left.eq(_DATA_BITS - 1)
                m.next = "Data"
                with m.If(line):
                    m.next = "Idle"
            with m.State("Data"), m.If(~timer.any()):
                m.d.sync += [shifted.eq(Cat(shifted[1:], line)), left.eq(left - 1)]
                with m.If(~left.any()):
                    m.next = "Stop"
            with m.State("Stop"), m.If(~timer.any()):
                m.d.comb += self.o.valid.eq(line)
                m.next = "Idle"
                with m.If(~line):
                    m.next = "Low"
            with m.State("Low"), m.If(line):
                m.next = "Idle"
        return m


class UartTransmitter(wiring.Component):
    """Writes bytes to a line.

    Latency: 1 clock to the start bit; a byte takes 10 bits, and bytes follow each other without a
    gap. Resources: two counters and ten flip-flops.

    Parameters
    ----------
    divisor : int
        Clocks of a bit.

    Members
    -------
    i : In(stream.Signature(8))
    tx : Out(1, init=1)

    Raises
    ------
    InputError
        If a bit is too short.
    """

    def __init__(self, *, divisor: int) -> None:
        self.divisor = require_divisor(divisor)
        super().__init__({"i": In(stream.Signature(unsigned(_DATA_BITS))), "tx": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        """Build the shift register."""
        m = Module()
        timer = Signal(range(self.divisor))
        left = Signal(range(_DATA_BITS + 3))
        line = Signal(_DATA_BITS + 1, init=(1 << (_DATA_BITS + 1)) - 1)
        ends = Signal()
        m.d.comb += [
            ends.eq(~timer.any()),
            self.tx.eq(line[0]),
            self.i.ready.eq(~left.any() | ((left == 1) & ends)),
        ]
        m.d.sync += timer.eq(timer - 1)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                line.eq(Cat(Const(0, 1), self.i.payload)),
                left.eq(_DATA_BITS + 2),
                timer.eq(self.divisor - 1),
            ]
        with m.Elif(ends & left.any()):
            m.d.sync += [
                line.eq(Cat(line[1:], Const(1, 1))),
                left.eq(left - 1),
                timer.eq(self.divisor - 1),
            ]
        return m
