"""One register in a stream: the handshake that every pipeline stage has."""

from __future__ import annotations

from abc import ABC, abstractmethod

from amaranth.hdl import Const, Module, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out


class ElasticRegister(wiring.Component, ABC):
    """A stream stage that holds one result.

    A transfer on ``i`` is taken when the register is empty or is being emptied in the same clock,
    so a full pipeline moves a result per clock and a stalled one loses none. ``o.valid`` comes
    from a flip-flop and never depends on ``o.ready``; ``o.payload`` is held while ``o.valid`` is
    high and ``o.ready`` low.

    Latency: 1 clock. Resources: one flip-flop and two gates, and the data path's.

    Subclasses drive ``o.payload`` from registers in `datapath`, and update those registers only
    where ``accept`` is high.

    Members
    -------
    i : In(stream)
    o : Out(stream)
    """

    def __init__(self, *, i_layout: data.StructLayout, o_layout: data.StructLayout) -> None:
        super().__init__(
            {"i": In(stream.Signature(i_layout)), "o": Out(stream.Signature(o_layout))}
        )

    def can_accept(self) -> Value:
        """Whether the register is empty or is being emptied."""
        return ~self.o.valid | self.o.ready

    def produces(self) -> Value:
        """Whether the transfer on ``i`` leads to a result; where not, it is absorbed."""
        return Const(1)

    @abstractmethod
    def datapath(self, m: Module, accept: Value) -> None:
        """Add the registers that take ``i.payload`` on ``accept``, and drive ``o.payload``."""

    def elaborate(self, platform: object) -> Module:
        """Build the handshake around the data path."""
        m = Module()
        m.d.comb += self.i.ready.eq(self.can_accept())
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(self.i.valid & self.produces())
        self.datapath(m, self.i.valid & self.i.ready)
        return m
