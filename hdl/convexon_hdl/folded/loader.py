"""Loading weights at run time: the gate between inferences and loads, and the loader of images."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import crc, stream, wiring
from amaranth.lib.wiring import In, Out

from convexon.plan.fold import FoldPlan
from convexon.plan.image import MAGIC, WORD_BITS, row_words, rows_of_bank, words_per_row
from convexon_hdl.folded.weights import RowWrite

UNDER_WAY_BITS = 16
"""Bits of the count of inferences under way: more than any pipeline has registers for."""


class LoadGate(wiring.Component):
    """Keeps inferences and loads of weights apart.

    From the clock after ``hold`` rises, no inference begins, except one whose first step is already
    on offer: it stays on offer, as streams demand. The inference whose steps are being sent
    continues to its last step, and all that began continue to their results. From the clock after
    ``hold`` falls, inferences begin again.

    ``idle`` is high in clocks in which none may begin, all steps of the last one were sent, and all
    that began have ended. It rises some clocks after ``hold``, and stays high until one clock after
    ``hold`` falls; it is also high in the first clock after a reset. While it is high, no result of
    an inference depends on weights. Where inferences are decided early, steps that one left behind
    may still be inside and may read weights that are being replaced: their results are dropped.

    Latency: none for a step. Resources: a counter of steps and one of inferences.
    """

    def __init__(self, *, width: int, n_steps: int) -> None:
        self.n_steps = n_steps
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(width))),
                "o": Out(stream.Signature(unsigned(width))),
                "ended": In(1),  # the last result of an inference is accepted
                "hold": In(1),  # no inference may begin
                "idle": Out(1),  # none is under way, and none begins in this clock
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the counters and the gate."""
        m = Module()
        step = Signal(range(max(2, self.n_steps)))
        under_way = Signal(UNDER_WAY_BITS)
        closed = Signal(init=1)
        first, passes, taken = Signal(), Signal(), Signal()
        m.d.comb += [
            first.eq(~step.any()),
            passes.eq(~(closed & first)),
            self.o.payload.eq(self.i.payload),
            self.o.valid.eq(self.i.valid & passes),
            self.i.ready.eq(self.o.ready & passes),
            taken.eq(self.o.valid & self.o.ready),
            self.idle.eq(closed & first & ~under_way.any()),
        ]
        stalled = self.o.valid & ~self.o.ready
        m.d.sync += [
            closed.eq(self.hold & (closed | ~stalled)),
            under_way.eq(under_way + (taken & first) - self.ended),
        ]
        with m.If(taken):
            m.d.sync += step.eq(step + 1)
            with m.If(step == self.n_steps - 1):
                m.d.sync += step.eq(0)
        return m


class Loader(wiring.Component):
    """Writes the rows of weight images (`convexon.plan.image`) to the engines' banks.

    The first word of an image, which is accepted when no inference is under way, makes ``loaded``
    low. It is high again when all rows are written and the CRC-32 over all words agrees. An image
    that does not begin with `MAGIC`, is for another accelerator, states a wrong length, or has a
    wrong CRC-32 is ``refused``; words are then dropped until one is `MAGIC`. So after a transfer
    that broke off, the image is sent again, and once more if it was refused.

    A reset abandons the image under way and touches no weights: what was loaded stays loaded.

    ``granted`` says that no inference is under way, so no result depends on weights. It must stay
    high while ``loaded`` is low; ``load.valid`` asks for it. ``write0``, ``write1``, ... are those
    of the engines whose weights are loaded (`convexon.plan.image.loaded_plans`).

    Latency: a word a clock; ``loaded`` rises 1 clock after the last word. Resources: flip-flops for
    the longest row, and the CRC-32 of a word, about 32 lookup tables of 16 inputs.
    """

    def __init__(self, plans: Sequence[FoldPlan], *, fingerprint: int) -> None:
        self.plans = tuple(plans)
        self.fingerprint = fingerprint
        members = {
            "load": In(stream.Signature(unsigned(WORD_BITS))),
            "granted": In(1),
            "loaded": Out(1),  # a whole image is in the banks
            "refused": Out(1),  # the last image was refused; low from the next MAGIC on
        }
        writes = {f"write{k}": Out(RowWrite(plan)) for k, plan in enumerate(self.plans)}
        super().__init__({**members, **writes})

    def elaborate(self, platform: object) -> Module:
        """Build the states of an image, the CRC-32 and the rows."""
        m = Module()
        m.submodules.checksum = checksum = crc.catalog.CRC32_ISO_HDLC(data_width=WORD_BITS).create()
        loaded, refused = Signal(reset_less=True), Signal(reset_less=True)
        taken, writes, ends = Signal(), Signal(), Signal()
        word = self.load.payload
        m.d.comb += [
            self.load.ready.eq(self.granted),
            taken.eq(self.load.valid & self.load.ready),
            checksum.data.eq(word),
            checksum.valid.eq(taken),
            self.loaded.eq(loaded),
            self.refused.eq(refused),
        ]
        with m.If(taken), m.FSM(name="image"):
            with m.State("begin"):
                m.d.comb += checksum.start.eq(1)
                m.d.sync += [loaded.eq(0), refused.eq(word != MAGIC)]
                with m.If(word == MAGIC):
                    m.next = "fingerprint"
            for state, value, following in (
                ("fingerprint", self.fingerprint, "length"),
                ("length", sum(row_words(plan) for plan in self.plans), "rows"),
            ):
                with m.State(state):
                    m.d.sync += refused.eq(word != value)
                    m.next = "begin"
                    with m.If(word == value):
                        m.next = following
            with m.State("rows"):
                m.d.comb += writes.eq(1)
                with m.If(ends):
                    m.next = "digest"
            with m.State("digest"):
                agrees = word == checksum.crc
                m.d.sync += [loaded.eq(agrees), refused.eq(~agrees)]
                m.next = "begin"
        self._rows(m, writes, ends)
        return m

    def _rows(self, m: Module, writes: Signal, ends: Signal) -> None:
        """Collect the words of rows, and write each row in the clock after its last word."""
        banks = [(k, own) for k, plan in enumerate(self.plans) for own in range(plan.choice.banks)]
        most = max(words_per_row(plan) for plan in self.plans)
        buffer = Signal(most * WORD_BITS)
        part = Signal(range(max(2, most)))
        bank = Signal(range(max(2, len(banks))))
        address = Signal(range(max(2, *(rows_of_bank(plan) for plan in self.plans))))
        last_part, last_row, completes = Signal(), Signal(), Signal()
        with m.Switch(bank):
            for number, (k, _) in enumerate(banks):
                plan = self.plans[k]
                with m.Case(number):
                    m.d.comb += [
                        last_part.eq(part == words_per_row(plan) - 1),
                        last_row.eq(address == rows_of_bank(plan) - 1),
                    ]
        m.d.comb += [
            completes.eq(writes & last_part),
            ends.eq(completes & last_row & (bank == len(banks) - 1)),
        ]
        with m.If(writes):
            m.d.sync += [
                buffer.eq(Cat(buffer[WORD_BITS:], self.load.payload)),
                part.eq(part + 1),
            ]
        with m.If(completes):
            m.d.sync += [part.eq(0), address.eq(address + 1)]
            with m.If(last_row):
                m.d.sync += [address.eq(0), bank.eq(bank + 1)]
        with m.If(ends):
            m.d.sync += bank.eq(0)
        place = Signal(len(address), name="write_address")
        m.d.sync += place.eq(address)
        for k, plan in enumerate(self.plans):  # a row of few words is in the buffer's last ones
            write = getattr(self, f"write{k}")
            begin = len(buffer) - words_per_row(plan) * WORD_BITS
            m.d.comb += [
                write.address.eq(place),
                write.data.eq(buffer[begin : begin + len(write.data)]),
            ]
            m.d.sync += write.enable.eq(0)
            for number, (engine, own) in enumerate(banks):
                if engine == k:
                    with m.If(completes & (bank == number)):
                        m.d.sync += [write.enable.eq(1), write.bank.eq(own)]
