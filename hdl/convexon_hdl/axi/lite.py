"""AXI4-Lite: a slave that turns its channels into reads and writes of registers."""

from __future__ import annotations

from enum import IntEnum

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

WORD_BYTES = 4
"""Bytes of a register; an address has two bits below a register's number."""


class Response(IntEnum):
    """Answers on ``bresp`` and ``rresp``."""

    OKAY = 0b00
    SLVERR = 0b10


def lite_members(address_bits: int) -> dict[str, wiring.Member]:
    """Ports of an AXI4-Lite slave with 32 bits of data, named as AXI names them."""
    return {
        "awaddr": In(address_bits),
        "awprot": In(3),
        "awvalid": In(1),
        "awready": Out(1),
        "wdata": In(32),
        "wstrb": In(4),
        "wvalid": In(1),
        "wready": Out(1),
        "bresp": Out(2),
        "bvalid": Out(1),
        "bready": In(1),
        "araddr": In(address_bits),
        "arprot": In(3),
        "arvalid": In(1),
        "arready": Out(1),
        "rdata": Out(32),
        "rresp": Out(2),
        "rvalid": Out(1),
        "rready": In(1),
    }


class AccessSignature(wiring.Signature):
    """One register at a time: writes and reads as a slave shows them to what answers.

    Both are answered in the clock in which they are shown, so that no register can hold up the bus.
    A word is an address without the two lowest bits; the strobe says which bytes of the data a
    write means; one that is answered with an error has no effect.
    """

    def __init__(self, address_bits: int) -> None:
        word = address_bits - (WORD_BYTES - 1).bit_length()
        super().__init__(
            {
                "write_valid": Out(1),
                "write_word": Out(word),
                "write_data": Out(8 * WORD_BYTES),
                "write_strobe": Out(WORD_BYTES),
                "write_error": In(1),
                "read_valid": Out(1),
                "read_word": Out(word),
                "read_data": In(8 * WORD_BYTES),
                "read_error": In(1),
            }
        )


class LiteSlave(wiring.Component):
    """AXI4-Lite on one side, one register at a time on the other.

    Address and data of a write come in either order and are kept until both are there. A write and
    a read are shown for one clock each, and answered by the next. Reads and writes do not wait for
    each other. Every output comes from a flip-flop. The two lowest bits of an address are ignored;
    a read may have any bytes of its word, and a write says which in ``write_strobe``.

    Latency: 2 clocks from the request to the answer, whatever the register; 3 clocks to the next
    one. Resources: flip-flops for two addresses and two words.
    """

    def __init__(self, *, address_bits: int) -> None:
        access = Out(AccessSignature(address_bits))
        super().__init__({**lite_members(address_bits), "access": access})

    def elaborate(self, platform: object) -> Module:
        """Build the channels."""
        m = Module()
        self._write(m)
        self._read(m)
        return m

    def _write(self, m: Module) -> None:
        """Address and data in, answer out."""
        access = self.access
        address_kept, data_kept = Signal(), Signal()
        m.d.comb += [
            self.awready.eq(~address_kept),
            self.wready.eq(~data_kept),
            access.write_valid.eq(address_kept & data_kept & ~self.bvalid),
        ]
        with m.If(self.awvalid & self.awready):
            m.d.sync += [address_kept.eq(1), access.write_word.eq(self.awaddr >> 2)]
        with m.If(self.wvalid & self.wready):
            m.d.sync += [
                data_kept.eq(1),
                access.write_data.eq(self.wdata),
                access.write_strobe.eq(self.wstrb),
            ]
        with m.If(self.bvalid & self.bready):
            m.d.sync += self.bvalid.eq(0)
        with m.If(access.write_valid):
            m.d.sync += [
                address_kept.eq(0),
                data_kept.eq(0),
                self.bvalid.eq(1),
                self.bresp.eq(Mux(access.write_error, Response.SLVERR, Response.OKAY)),
            ]

    def _read(self, m: Module) -> None:
        """Address in, data out."""
        access = self.access
        address_kept = Signal()
        m.d.comb += [
            self.arready.eq(~address_kept),
            access.read_valid.eq(address_kept & ~self.rvalid),
        ]
        with m.If(self.arvalid & self.arready):
            m.d.sync += [address_kept.eq(1), access.read_word.eq(self.araddr >> 2)]
        with m.If(self.rvalid & self.rready):
            m.d.sync += self.rvalid.eq(0)
        with m.If(access.read_valid):
            m.d.sync += [
                address_kept.eq(0),
                self.rvalid.eq(1),
                self.rdata.eq(access.read_data),
                self.rresp.eq(Mux(access.read_error, Response.SLVERR, Response.OKAY)),
            ]
