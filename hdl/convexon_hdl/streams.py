"""Streams: registers with the handshake that every pipeline stage has, buffers, fork and join."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, ShapeLike, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from convexon.errors import InputError


@dataclass(frozen=True, eq=False)
class Chain:
    """Registers inside a stage, which values pass one after another."""

    advance: Sequence[Value]
    """For each inner register, whether it takes what stands before it at the next clock edge."""

    def carry(self, m: Module, value: Value, start: int, stop: int, *, name: str) -> Value:
        """Carry ``value`` from behind ``start`` registers to behind ``stop``.

        It is read only with a valid transfer, so its registers have no reset. A constant needs
        none.
        """
        if isinstance(value, Const):
            return value
        for k in range(start, stop):
            register = Signal(value.shape(), name=f"{name}_clock{k + 1}", reset_less=True)
            with m.If(self.advance[k]):
                m.d.sync += register.eq(value)
            value = register
        return value


class ElasticRegister(wiring.Component, ABC):
    """A stream stage that holds one result, and one more in each inner register.

    The registers form a chain, each with its own valid bit. One takes what stands before it when it
    is empty or is being emptied in the same clock, so that bubbles close, a full pipeline moves a
    result per clock, and a stalled one loses none. ``o.valid`` comes from a flip-flop and never
    depends on ``o.ready``; ``o.payload`` is held while ``o.valid`` is high and ``o.ready`` low.

    Latency: 1 + registers clocks. Resources: for each register one flip-flop and two gates, and the
    data path's.

    Subclasses build the data path: the inner ``registers`` with ``chain``, and the last one, which
    takes what arrives in clocks with ``accept`` alone. The tags ``first`` and ``last`` are carried
    here, to ``arriving`` before the last register, and handed on where ``o`` has them too (`tags`).

    Raises `InputError` if ``registers`` is negative.
    """

    def __init__(
        self, *, i_layout: data.StructLayout, o_layout: data.StructLayout, registers: int = 0
    ) -> None:
        if registers < 0:
            raise InputError(f"registers must be 0 or more, not {registers!r}")
        self.registers = registers
        self._valid = [Signal(name=f"valid{k}") for k in range(registers)]
        self.chain = Chain([Signal(name=f"advance{k}") for k in range(registers)])
        tags = {name: 1 for name in ("first", "last") if name in i_layout.members}
        self.arriving = Signal(data.StructLayout(tags), name="arriving")
        super().__init__(
            {"i": In(stream.Signature(i_layout)), "o": Out(stream.Signature(o_layout))}
        )

    @property
    def occupied(self) -> tuple[Value, ...]:
        """Whether each register holds a transfer, the last one last."""
        return (*self._valid, self.o.valid)

    def can_accept(self) -> Value:
        """Whether the last register is empty or is being emptied."""
        return ~self.o.valid | self.o.ready

    def produces(self) -> Value:
        """Whether what arrives at the last register gives a result; else it is absorbed."""
        return Const(1)

    def tags(self) -> dict[str, Value]:
        """Tags of the result: those of the transfer that leads to it, as far as ``o`` has them."""
        has = self.o.payload.shape().members
        return {name: self.arriving[name] for name in self.arriving.shape().members if name in has}

    @abstractmethod
    def datapath(self, m: Module, accept: Value) -> None:
        """Carry ``i.payload`` along ``chain`` to ``o.payload``, which takes it on ``accept``."""

    def elaborate(self, platform: object) -> Module:
        """Build the handshake around the data path."""
        m = Module()
        takes = Signal()  # whether the last register does, if there is something to take
        m.d.comb += takes.eq(self.can_accept())
        arriving: Value = self.i.valid
        for k, (advance, valid) in enumerate(zip(self.chain.advance, self._valid, strict=True)):
            after = self.chain.advance[k + 1] if k + 1 < self.registers else takes
            m.d.comb += advance.eq(~valid | after)
            with m.If(advance):
                m.d.sync += valid.eq(arriving)
            arriving = valid
        m.d.comb += self.i.ready.eq(self.chain.advance[0] if self.registers else takes)
        for name in self.arriving.shape().members:
            tag = self.chain.carry(m, self.i.payload[name], 0, self.registers, name=name)
            m.d.comb += self.arriving[name].eq(tag)
        with m.If(takes):
            m.d.sync += self.o.valid.eq(arriving & self.produces())
        accept = Signal()
        m.d.comb += accept.eq(arriving & takes)
        with m.If(accept):
            m.d.sync += [self.o.payload[name].eq(tag) for name, tag in self.tags().items()]
        self.datapath(m, accept)
        return m


class SkidBuffer(wiring.Component):
    """Two transfers between two streams, with nothing but flip-flops on either side.

    ``i.ready`` and ``o`` come from flip-flops alone, so no path runs through the buffer, and a
    transfer still moves in every clock.

    Latency: 1 clock. Resources: twice the payload's flip-flops, one multiplexer a bit. Proofs read
    ``spare``, the second register, and ``full``, whether it holds a transfer.
    """

    def __init__(self, layout: ShapeLike) -> None:
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


def fork(m: Module, source: Value, sinks: Sequence[Value]) -> None:
    """Offer every transfer of ``source`` to all ``sinks``.

    A sink that has accepted a transfer is not offered it again; once all have, so has the source's
    been. The caller connects the payloads.
    """
    if len(sinks) == 1:
        m.d.comb += [sinks[0].valid.eq(source.valid), source.ready.eq(sinks[0].ready)]
        return
    done = []
    for k, sink in enumerate(sinks):
        taken = Signal(name=f"fork_taken{k}")
        m.d.comb += sink.valid.eq(source.valid & ~taken)
        done.append(taken | sink.ready)
        with m.If(source.valid & sink.ready):
            m.d.sync += taken.eq(1)
        with m.If(source.valid & source.ready):
            m.d.sync += taken.eq(0)
    m.d.comb += source.ready.eq(Cat(done).all())


def join(m: Module, sources: Sequence[Value], sink: Value) -> None:
    """Combine a transfer of each source into one of ``sink``; the caller connects the payloads."""
    m.d.comb += sink.valid.eq(Cat(source.valid for source in sources).all())
    for source in sources:
        m.d.comb += source.ready.eq(sink.valid & sink.ready)
