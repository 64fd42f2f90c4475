"""Formal specifications of components alone: adder graphs, and the AXI side.

Each holds a plain model beside the component and leaves every input free in every clock, resets
included. Registers of the component are tied to the model's, so one step of induction is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Assert, Assume, Const, Elaboratable, Module, Mux, Signal, Value, signed

from convexon.errors import InputError
from convexon.plan.adders.graph import Addend, AdderGraph
from convexon.snn.fixed import Interval, width_of
from convexon_hdl.arith.lowering import lower
from convexon_hdl.axi.framing import FLIGHT_BITS
from convexon_hdl.formal.specs.blocks import Specification, filled, free
from convexon_hdl.streams import Chain


class CollectorSpecification(Specification):
    """A collector hands on a whole packet's transfers once each, and nothing after a first fault.

    The model counts the words of a packet, and keeps those of a transfer.
    """

    def state(self, m: Module) -> None:
        """Build the model and the comparison."""
        collector = self.component
        i, o, packet = collector.i, collector.o, collector.packet
        n_words = packet.n_words
        n_packet = n_words * packet.n_transfers
        free(m, i.valid, i.payload, o.ready, collector.hold, collector.abandon)
        position = Signal(range(n_packet + 1))
        dropping = Signal()
        words = Signal(packet.width * n_words)  # the newest on top
        taken = i.valid & i.ready
        wrong = i.payload.last != (position == n_packet - 1)
        with m.If(taken):
            m.d.sync += [
                position.eq(Mux(dropping | wrong | i.payload.last, 0, position + 1)),
                dropping.eq((dropping | wrong) & ~i.payload.last),
            ]
            with m.If(~dropping & ~wrong):
                m.d.sync += words.eq(self._with(words, i.payload.data))
        with m.If(collector.hold & collector.abandon):
            m.d.sync += [position.eq(0), dropping.eq(dropping | (position != 0))]
        completes = (position % n_words) == n_words - 1
        offers = i.valid & ~collector.hold & ~dropping & ~wrong & completes
        m.d.comb += [
            Assert(o.valid == offers),
            Assert(~i.valid | (i.ready == (~collector.hold & (~offers | o.ready)))),
            Assert(collector.broken == (i.valid & ~collector.hold & ~dropping & wrong)),
            Assert(collector.under_way == (dropping | (position != 0))),
            Assert(position < n_packet),
            Assert(position == collector.transfer * n_words + collector.word),
            Assert(collector.word < n_words),
            Assert(dropping == collector.skipping),
            Assert(~dropping | (position == 0)),
        ]
        with m.If(o.valid):
            m.d.comb += Assert(o.payload == self._with(words, i.payload.data)[: len(o.payload)])
            m.d.comb += Assert(collector.final == (position == n_packet - 1))
        for k, kept in enumerate(collector.kept):
            for word in range(k + 1, n_words):  # kept k lies that deep after ``word`` words
                with m.If(collector.word == word):
                    place = n_words - word + k
                    m.d.comb += Assert(kept == words.word_select(place, packet.width))

    def _with(self, words: Value, word: Value) -> Value:
        """Words after one more, which pushes the oldest out."""
        width = self.component.packet.width
        return (words >> width) | (word << (len(words) - width))


@dataclass(eq=False, kw_only=True)
class GuardSpecification(Specification):
    """A guard resets the accelerator only when no whole inference is inside, and only when it must.

    The accelerator may take and give at will, but never more last results than it took last
    transfers; with ``early``, one more, of the inference of which it took a part. What it takes
    between two resets is whole inferences, and the beginning of one more. After a fault or a
    restart it gives whole inferences alone. A packet of which it took nothing breaks without a
    reset.
    """

    early: bool = False
    """Whether an inference may be decided before its last transfer."""

    def state(self, m: Module) -> None:
        """Build the monitor and the property."""
        guard = self.component
        collector = guard.collector
        n_transfers = collector.packet.n_transfers
        free(m, guard.i.valid, guard.i.payload, guard.o.ready)
        free(m, guard.restart, guard.given, guard.given_last, guard.aborted_ready)
        part = Signal(range(n_transfers + 1))  # transfers taken of an inference that is not whole
        inside = Signal(signed(FLIGHT_BITS))
        due = Signal()  # a reset, and nothing else
        enters = guard.o.valid & guard.o.ready
        ends = part == n_transfers - 1
        leaves = guard.given & guard.given_last
        with m.If(enters):
            m.d.sync += part.eq(Mux(ends, 0, part + 1))
        m.d.sync += inside.eq(inside + (enters & ends) - leaves)
        may_leave = (inside > 0) | ((inside == 0) & (part != 0) & int(self.early))
        # An accelerator gives what it took, and holds no more than it can.
        m.d.comb += [
            Assume(~leaves | may_leave),
            Assume(~(enters & ends) | (inside < 100)),
            Assume(~guard.shut | ~guard.given),
        ]
        with m.If((guard.restart & ~guard.aborted) | (guard.broken & (part != 0))):
            m.d.sync += due.eq(1)
        with m.If(guard.reset):
            m.d.sync += [part.eq(0), inside.eq(0), due.eq(0)]
            m.d.comb += [Assert(inside <= 0), Assert(~guard.o.valid), Assert(due)]
        m.d.comb += [
            Assert((inside >= 0) | ((part != 0) & int(self.early))),
            Assert(inside >= -1),
            Assert(inside <= 100),
            Assert(guard.flight == inside),
            Assert(~enters | (collector.final == ends)),
            Assert(guard.running | ~leaves | (inside > 0)),
            Assert(~guard.reset | guard.shut),
            Assert(guard.shut <= ~guard.running),
            # Between a fault and the reset nothing enters; else the packet is where the part is.
            Assert(~guard.running | (collector.transfer == part)),
            Assert(guard.running | guard.restart | (due != guard.aborted)),
            Assert(~guard.running | ~due),
            Assert(collector.transfer < n_transfers),
            Assert(~collector.skipping | ((collector.word == 0) & (collector.transfer == 0))),
            Assert(guard.running | collector.abandon | (collector.transfer == 0)),
            Assert(~guard.aborted | ((part == 0) & (inside == 0))),
        ]


class PackerSpecification(Specification):
    """A packer gives the words of each record once and in order, and ``last`` where it is due."""

    def state(self, m: Module) -> None:
        """Build the model: the whole record, and the number of the word that is due."""
        packer = self.component
        i, o, record = packer.i, packer.o, packer.format
        free(m, i.valid, i.payload, packer.abort, o.ready)
        whole = Signal(record.bits)
        ends, aborted = Signal(), Signal()
        due = Signal(range(record.n_words + 1))
        with m.If(o.valid & o.ready):
            m.d.sync += due.eq(due + 1)
        with m.If((i.valid & i.ready) | packer.abort_ready):
            m.d.sync += due.eq(0)
            m.d.sync += [ends.eq(packer.abort | i.payload.last), aborted.eq(packer.abort)]
            m.d.sync += whole.eq(Mux(packer.abort, self._aborted(), self._record(i.payload)))
        final = due == record.n_words - 1
        busy = Signal()
        gives_last = o.valid & o.ready & final
        takes = (i.valid & i.ready) | (packer.abort & packer.abort_ready)
        m.d.sync += busy.eq(takes | (busy & ~gives_last))
        m.d.comb += [
            Assert(o.valid == busy),
            Assert(~takes | ~busy | gives_last),
            Assert((i.ready | packer.abort_ready) == (~busy | (o.ready & final))),
            Assert(packer.abort_ready <= packer.abort),
            Assert(~(i.ready & packer.abort)),
        ]
        with m.If(busy):
            m.d.comb += [
                Assert(due < record.n_words),
                Assert(packer.left == record.n_words - 1 - due),
                Assert(o.payload.data == whole.word_select(due, record.width)),
                Assert(o.payload.last == (ends & final)),
                Assert(o.payload.aborted == aborted),
                Assert(packer.record == whole >> (due * record.width)),
            ]

    def _aborted(self) -> int:
        """Record of an aborted inference: a first slot of ones."""
        return (1 << self.component.format.slot_bits) - 1

    def _record(self, payload: Value) -> Value:
        """Record of a result as arithmetic: every slot modulo its width, in its place."""
        record = self.component.format
        slots = [payload.label, *(payload.scores[c] for c in range(record.n_slots - 1))]
        total: Value = Signal(record.bits)
        for k, slot in enumerate(slots):
            modulo = (slot + (1 << record.slot_bits))[: record.slot_bits]
            total = total | (modulo << (k * record.slot_bits))
        return total


class CounterSpecification(Specification):
    """A counter in two halves counts as one of full width does."""

    def state(self, m: Module) -> None:
        """Build the plain counter."""
        counter = self.component
        free(m, counter.amount, counter.clear)
        plain = Signal(len(counter.count))
        m.d.sync += plain.eq(Mux(counter.clear, 0, plain + counter.amount))
        m.d.comb += Assert(counter.count == plain)


class SumSpecification(Elaboratable):
    """An adder graph, cut by registers or not, computes the plain weighted sums.

    ``offsets[j] + sum of rows[j]`` is written down beside it, one addition after another, over the
    input bits of as many clocks ago as there are registers. The bits take any values in every
    clock. Asserted for each sum, once the registers are filled: both are equal. That a register
    holds its value where a stage stalls is the business of `StreamSpecification`.

    Parameters
    ----------
    graph : AdderGraph
    rows : sequence of sequences of Addend
    offsets : sequence of int
    registers : int
    """

    def __init__(
        self,
        graph: AdderGraph,
        rows: Sequence[Sequence[Addend]],
        offsets: Sequence[int],
        *,
        registers: int = 0,
    ) -> None:
        if not len(rows) == len(offsets) == len(graph.outputs):
            raise InputError(
                f"rows and offsets must be {len(graph.outputs)}, as the graph's outputs, "
                f"not {len(rows)} and {len(offsets)}"
            )
        self.graph = graph
        self.rows = rows
        self.offsets = offsets
        self.registers = registers

    def elaborate(self, platform: object) -> Module:
        """Build the graph, the plain sums and the property."""
        m = Module()
        bits = Signal(max(1, self.graph.n_bits))
        chain = Chain([Const(1)] * self.registers)
        free(m, bits)
        outputs = lower(
            m,
            self.graph,
            list(bits)[: self.graph.n_bits],
            chain=chain,
            n_clocks=self.registers + 1,
            name="graph",
        )
        ready = filled(m, self.registers)
        then = chain.carry(m, bits, 0, self.registers, name="bits")
        for output, row, offset in zip(outputs, self.rows, self.offsets, strict=True):
            reach = abs(offset) + sum(abs(a.weight) << a.place for a in row)
            plain: Value = Const(offset, signed(width_of(Interval(-reach, reach))))
            for addend in row:
                part = Mux(then[addend.bit], addend.weight << addend.place, 0)
                plain = (plain + part)[: len(plain)].as_signed()
            m.d.comb += Assert((output.value == plain) | ~ready)
        return m
