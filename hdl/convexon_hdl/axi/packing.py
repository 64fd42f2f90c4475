"""Results as words: label and scores in slots of 32 or 64 bits."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from convexon.snn.network import FixedPointNetwork
from convexon_hdl.axi.framing import ResultWordLayout
from convexon_hdl.core.readout import ResultLayout


@dataclass(frozen=True, kw_only=True)
class RecordFormat:
    """How a result lies in the words of a stream.

    Slot 0 holds the label, slot 1 + c the score of class c, sign-extended. Slot k is at bits
    ``k * slot_bits`` and up of the record, which goes out in words of ``width`` bits, the lowest
    first; bits above the last slot are 0. All ones in slot 0 mark the record of an aborted
    inference, whose other slots are 0.
    """

    width: int  # bits of a word
    slot_bits: int  # 32, or 64 where a score needs more than 32 bits
    n_slots: int  # 1 + n_classes

    @classmethod
    def of(cls, network: FixedPointNetwork, width: int) -> RecordFormat:
        """Format of the results of ``network``."""
        slot_bits = 32 if network.score_width <= 32 else 64
        return cls(width=width, slot_bits=slot_bits, n_slots=1 + network.n_classes)

    @property
    def n_words(self) -> int:
        """Words of a record."""
        return -(-self.n_slots * self.slot_bits // self.width)

    @property
    def bits(self) -> int:
        """Bits of a record, filled up to whole words."""
        return self.n_words * self.width


class ResultPacker(wiring.Component):
    """Gives each result as the words of a record, ``last`` on an inference's last word.

    Latency: 1 clock to the first word; a record takes ``n_words`` clocks and records follow each
    other without a gap. Resources: a shift register of the record, in which synthesis merges the
    copies of a sign, and a counter of words.
    """

    def __init__(self, network: FixedPointNetwork, *, width: int) -> None:
        self.format = RecordFormat.of(network, width)
        self.record = Signal(unsigned(self.format.bits))  # what is left, the word on offer lowest
        self.left = Signal(range(max(2, self.format.n_words)))  # words behind the one on offer
        super().__init__(
            {
                "i": In(stream.Signature(ResultLayout(network))),
                "o": Out(stream.Signature(ResultWordLayout(width))),
                "abort": In(1),  # send the record of an aborted inference, and take no result
                "abort_ready": Out(1),  # that record is being taken
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the shift register."""
        m = Module()
        n_words = self.format.n_words
        record, left = self.record, self.left
        ends, aborted = Signal(), Signal()
        free = ~self.o.valid | (self.o.ready & (left == 0))
        m.d.comb += [
            self.i.ready.eq(free & ~self.abort),
            self.abort_ready.eq(free & self.abort),
            self.o.payload.data.eq(record),
            self.o.payload.last.eq(ends & (left == 0)),
            self.o.payload.aborted.eq(aborted),
        ]
        given_up = Const((1 << self.format.slot_bits) - 1, self.format.bits)
        with m.If(free):
            m.d.sync += [
                self.o.valid.eq(self.i.valid | self.abort),
                left.eq(n_words - 1),
                ends.eq(self.i.payload.last | self.abort),
                aborted.eq(self.abort),
                record.eq(Mux(self.abort, given_up, self._packed())),
            ]
        with m.Elif(self.o.ready):
            m.d.sync += [left.eq(left - 1), record.eq(record >> self.format.width)]
        return m

    def _packed(self) -> Value:
        """Record of the result on ``i``."""
        slot_bits = self.format.slot_bits
        label, scores = self.i.payload.label, self.i.payload.scores
        slots = [_slot(label, slot_bits)]
        slots += [_slot(scores[c], slot_bits) for c in range(self.format.n_slots - 1)]
        return Cat(slots)


def _slot(value: Value, width: int) -> Value:
    """Extend ``value`` to ``width`` bits, by its sign if it has one."""
    high = value[-1] if value.shape().signed else Const(0, 1)
    return Cat(value, high.replicate(width - len(value)))
