"""Inferences as packets: words become transfers, and a broken packet loses one inference alone."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from convexon.errors import InputError
from convexon_hdl.accelerator import Accelerator, transfers_per_inference

WIDTHS = (32, 64, 128)
"""Widths of tdata, in bits."""

FLIGHT_BITS = 16
"""Bits of the signed count of inferences inside the accelerator."""


def require_width(width: int) -> int:
    """Return ``width`` if it is one of `WIDTHS`; `InputError` otherwise."""
    if width not in WIDTHS:
        raise InputError(f"width must be one of {', '.join(map(str, WIDTHS))} bits, not {width!r}")
    return width


class WordLayout(data.StructLayout):
    """One transfer of an AXI4-Stream: ``tdata`` and ``tlast``."""

    def __init__(self, width: int) -> None:
        super().__init__({"data": width, "last": 1})


class ResultWordLayout(data.StructLayout):
    """`WordLayout` of results, with a mark for those of an inference that was given up."""

    def __init__(self, width: int) -> None:
        super().__init__({**WordLayout(width).members, "aborted": 1})


@dataclass(frozen=True, kw_only=True)
class PacketFormat:
    """How an inference lies in the words of a packet.

    An inference is one transfer after another into the accelerator: its time steps, or with an
    encoder on chip its levels, in one transfer. A transfer is ``n_words`` words, its lowest bits
    first; bits of the last word above it are ignored.
    """

    width: int  # bits of a word
    bits: int  # bits of a transfer
    n_transfers: int  # transfers of an inference

    @classmethod
    def of(cls, accelerator: Accelerator, width: int) -> PacketFormat:
        """Format of what ``accelerator`` takes."""
        return cls(
            width=width,
            bits=len(accelerator.i.payload),
            n_transfers=transfers_per_inference(accelerator.mapping, accelerator.network),
        )

    @property
    def n_words(self) -> int:
        """Words of a transfer."""
        return -(-self.bits // self.width)

    @property
    def streams(self) -> dict[str, wiring.Member]:
        """Words in, and transfers out."""
        return {
            "i": In(stream.Signature(WordLayout(self.width))),
            "o": Out(stream.Signature(unsigned(self.bits))),
        }


class TransferCollector(wiring.Component):
    """Collects the words of a packet into the transfers of an inference, and checks its length.

    A packet is as `PacketFormat` says, ``last`` on its last word alone. The last word of a transfer
    passes through to ``o`` together with the words kept from before, so the words of a transfer
    cost a clock each and nothing more.

    A word whose ``last`` is not as due breaks its packet: ``broken`` is high in the clock that
    takes the word, which is not handed on, and the rest of the packet is dropped up to its
    ``last``. ``abandon`` gives up the packet under way in the same manner. Either way the next
    packet starts anew, so the receiver must forget what it was given of the broken one.

    Latency: none, combinational. Resources: ``width * (n_words - 1)`` flip-flops for words kept,
    and counters of words and transfers.
    """

    def __init__(self, packet: PacketFormat) -> None:
        self.packet = packet
        # Position in the packet: the word of the transfer, and the transfer.
        self.word = Signal(range(max(2, packet.n_words)))
        self.transfer = Signal(range(max(2, packet.n_transfers)))
        self.skipping = Signal()  # the rest of a packet is being dropped
        # The words of the transfer so far.
        self.kept = [Signal(packet.width, name=f"kept{k}") for k in range(packet.n_words - 1)]
        super().__init__(
            {
                **packet.streams,
                "hold": In(1),  # neither takes nor offers anything
                "abandon": In(1),  # with hold: gives up the packet under way, if there is one
                "broken": Out(1),  # a word is taken whose last is wrong
                "final": Out(1),  # the transfer on o is the last of its inference
                "under_way": Out(1),  # a packet has begun and not ended, or is being dropped
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the counters, the kept words and the check."""
        m = Module()
        word, transfer, skipping = self.word, self.transfer, self.skipping
        completes = Signal()  # the word on i ends a transfer
        wrong = Signal()
        m.d.comb += [
            completes.eq(word == self.packet.n_words - 1),
            self.final.eq(transfer == self.packet.n_transfers - 1),
            wrong.eq(self.i.payload.last != (completes & self.final)),
            self.under_way.eq(skipping | word.any() | transfer.any()),
            self.o.payload.eq(Cat(*self.kept, self.i.payload.data)[: self.packet.bits]),
        ]
        taken = self.i.valid & self.i.ready
        for k, register in enumerate(self.kept):
            with m.If(taken & (word == k)):
                m.d.sync += register.eq(self.i.payload.data)
        with m.If(self.hold), m.If(self.abandon):
            m.d.sync += [word.eq(0), transfer.eq(0), skipping.eq(self.under_way)]
        with m.Elif(skipping):
            m.d.comb += self.i.ready.eq(1)
            with m.If(taken):
                m.d.sync += skipping.eq(~self.i.payload.last)
        with m.Elif(self.i.valid & wrong):
            m.d.comb += [self.i.ready.eq(1), self.broken.eq(1)]
            m.d.sync += [word.eq(0), transfer.eq(0), skipping.eq(~self.i.payload.last)]
        with m.Elif(~completes):
            m.d.comb += self.i.ready.eq(1)
            with m.If(taken):
                m.d.sync += word.eq(word + 1)
        with m.Else():
            m.d.comb += [self.o.valid.eq(self.i.valid), self.i.ready.eq(self.o.ready)]
            with m.If(taken):
                m.d.sync += [word.eq(0), transfer.eq(Mux(self.final, 0, transfer + 1))]
        return m


class InferenceGuard(wiring.Component):
    """Protects whole inferences from broken packets and restarts.

    When a packet breaks, or a restart is requested, its first transfers are already inside the
    accelerator, perhaps behind whole inferences that have not left it. The guard closes the input,
    waits until the results of those have been handed over, and resets the accelerator for one
    clock. So the inference under way is lost, and no other. The rest of its packet is dropped. A
    packet that breaks before any transfer of it was handed on needs no reset, and causes none.

    With a result per step, results of the lost inference may have gone out before. The guard then
    requests the record of an aborted inference (``aborted``), which ends the packet of results. An
    inference that was decided early, and whose result was handed over before its packet broke or
    the restart came, is not lost: its result stands.

    Latency: none, combinational; a restart takes two clocks and the time that whole inferences need
    to leave. Resources: those of `TransferCollector`, and a counter of `FLIGHT_BITS` bits.
    """

    def __init__(self, packet: PacketFormat, *, per_step: bool) -> None:
        self.per_step = per_step
        self.collector = TransferCollector(packet)
        # Whole inferences inside the accelerator that have no result yet; -1 while the packet of
        # one that was decided early goes on.
        self.flight = Signal(signed(FLIGHT_BITS))
        self.running = Signal()  # no restart is under way, nor asked for
        super().__init__(
            {
                **packet.streams,
                "restart": In(1),  # requests a restart, for one clock
                "given": In(1),  # the accelerator hands over a result; not while shut
                "given_last": In(1),  # it is the last one of an inference
                "aborted_ready": In(1),  # the record that aborted requests is being accepted
                "aborted": Out(1),  # send the record of an aborted inference; until aborted_ready
                "shut": Out(1),  # take no result: any on offer is of what is given up
                "reset": Out(1),  # resets the accelerator
                "broken": Out(1),  # a packet breaks in this clock
                "busy": Out(1),  # a packet is under way, whole inferences are inside, or a restart
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the collector and the order of a restart."""
        m = Module()
        m.submodules.collector = collector = self.collector
        wiring.connect(m, wiring.flipped(self.i), collector.i)
        wiring.connect(m, collector.o, wiring.flipped(self.o))
        flight, running = self.flight, self.running
        drained = flight <= 0  # no whole inference is inside
        entered = self.o.valid & self.o.ready & collector.final
        left = self.given & self.given_last
        m.d.sync += flight.eq(flight + entered - left)
        part_given = Signal()  # the results given end in the middle of an inference
        if self.per_step:
            with m.If(self.given):
                m.d.sync += part_given.eq(~self.given_last)
        m.d.comb += [
            self.broken.eq(collector.broken),
            self.shut.eq(~running & drained),
            collector.hold.eq(~running),
            self.busy.eq(~running | collector.under_way | flight.any()),
        ]
        with m.FSM(name="order"):
            with m.State("Run"):
                # A restart holds the collector in its own clock already. A word on offer then is
                # taken later: into the next packet, or dropped with the rest of the one under way.
                m.d.comb += [running.eq(~self.restart), collector.abandon.eq(self.restart)]
                # The accelerator holds a part of what breaks behind its first transfer alone.
                with m.If(self.restart | (collector.broken & collector.transfer.any())):
                    m.next = "Drain"
            with m.State("Drain"), m.If(drained):
                m.next = "Reset"
            with m.State("Reset"):
                m.d.comb += self.reset.eq(1)
                m.d.sync += flight.eq(0)
                m.next = "Run"
                if self.per_step:
                    with m.If(part_given):
                        m.next = "Abort"
            if self.per_step:
                with m.State("Abort"):
                    m.d.comb += self.aborted.eq(1)
                    with m.If(self.aborted_ready):
                        m.d.sync += part_given.eq(0)
                        m.next = "Run"
        return m
