"""The whole link as one component: a line's pins on one side, the accelerator's on the other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from amaranth.hdl import Module, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from convexon.plan.image import WORD_BITS
from convexon_hdl.emit.emitter import to_verilog
from convexon_hdl.link.endpoint import Endpoint
from convexon_hdl.link.frame import FrameDecoder, FrameEncoder
from convexon_hdl.link.shape import LinkShape
from convexon_hdl.link.spi import SpiPeripheral
from convexon_hdl.link.uart import UartReceiver, UartTransmitter

TOP = "convexon_link"
"""Name of the emitted module."""


@dataclass(frozen=True, kw_only=True)
class Uart:
    """A serial line of ``divisor`` clocks a bit."""

    divisor: int


@dataclass(frozen=True, kw_only=True)
class Spi:
    """An SPI peripheral."""


Line = Uart | Spi


class Link(wiring.Component):
    """Lines, frames and protocol, from the pins to the accelerator's streams.

    ::

        pins -> receiver -> decoder -> endpoint -> i, load
        pins <- transmitter <- encoder <- endpoint <- o

    Parameters
    ----------
    shape : LinkShape
        Of the accelerator.
    line : Uart or Spi
    timeout : int
        Clocks of silence after which a frame is lost.

    Members
    -------
    rx : In(1), tx : Out(1)
        Of a `Uart`.
    cs_n, sck, copi : In(1), cipo : Out(1)
        Of `Spi`.
    i, o, load, loaded, refused
        To the accelerator's members of these names.
    restart, answered : Out(1)
        As of `Endpoint`.
    """

    def __init__(self, shape: LinkShape, line: Line, *, timeout: int) -> None:
        self.shape, self.line, self.timeout = shape, line, timeout
        members = {
            "i": Out(stream.Signature(unsigned(shape.i_bits))),
            "o": In(stream.Signature(unsigned(shape.o_bits))),
            "restart": Out(1),
            "answered": Out(1),
        }
        if isinstance(line, Uart):
            members |= {"rx": In(1, init=1), "tx": Out(1, init=1)}
        else:
            members |= {"cs_n": In(1, init=1), "sck": In(1), "copi": In(1), "cipo": Out(1)}
        if shape.is_loadable:
            members["load"] = Out(stream.Signature(unsigned(WORD_BITS)))
            members |= {"loaded": In(1), "refused": In(1)}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """Connect the parts."""
        m = Module()
        m.submodules.decoder = decoder = FrameDecoder(timeout=self.timeout)
        m.submodules.encoder = encoder = FrameEncoder()
        m.submodules.endpoint = endpoint = Endpoint(self.shape)
        if isinstance(self.line, Uart):
            m.submodules.receiver = receiver = UartReceiver(divisor=self.line.divisor)
            m.submodules.transmitter = transmitter = UartTransmitter(divisor=self.line.divisor)
            m.d.comb += [receiver.rx.eq(self.rx), self.tx.eq(transmitter.tx)]
            wiring.connect(m, receiver.o, decoder.i)
            wiring.connect(m, encoder.o, transmitter.i)
        else:
            m.submodules.peripheral = spi = SpiPeripheral()
            m.d.comb += [spi.cs_n.eq(self.cs_n), spi.sck.eq(self.sck), spi.copi.eq(self.copi)]
            m.d.comb += self.cipo.eq(spi.cipo)
            wiring.connect(m, spi.o, decoder.i)
            wiring.connect(m, encoder.o, spi.i)
        wiring.connect(m, decoder.o, endpoint.events)
        wiring.connect(m, endpoint.reply, encoder.i)
        wiring.connect(m, endpoint.i, wiring.flipped(self.i))
        wiring.connect(m, wiring.flipped(self.o), endpoint.o)
        m.d.comb += [decoder.nonce.eq(endpoint.nonce), encoder.nonce.eq(endpoint.nonce)]
        m.d.comb += [self.restart.eq(endpoint.restart), self.answered.eq(endpoint.answered)]
        if self.shape.is_loadable:
            wiring.connect(m, endpoint.load, wiring.flipped(self.load))
            m.d.comb += [endpoint.loaded.eq(self.loaded), endpoint.refused.eq(self.refused)]
        return m


@lru_cache(maxsize=16)
def link_verilog(shape: LinkShape, line: Line, *, timeout: int) -> str:
    """Verilog of a `Link` as module `TOP`; `ToolError` if Yosys is missing or fails."""
    return to_verilog(Link(shape, line, timeout=timeout), TOP)
