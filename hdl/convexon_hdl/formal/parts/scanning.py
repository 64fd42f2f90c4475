"""Proof that a scanner lists the spikes of a step: each one once, no other, and without a gap."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Const, Module, Mux, Signal, Value

from convexon.plan.fold import WORD
from convexon_hdl.folded.scanner import EventScanner
from convexon_hdl.formal.netlist.emitted import Emitted
from convexon_hdl.formal.obligation import Obligation, by_induction
from convexon_hdl.formal.specs.blocks import Specification

REGISTERS = ("pending", "chosen", "chosen_valid", "word", "word_valid")
"""Registers of a scanner that the induction speaks of; and ``group``, where there is more than one
group."""


@dataclass(eq=False, kw_only=True)
class ScannerSpecification(Specification):
    """A pass lists every source that is 1 exactly once, in n + 3 clocks, or 1 if there is none.

    Passes begin freely while none is under way, and the sources are free but hold still during a
    pass. ``left`` is the plain set of sources still to come: a pass begins with all that are 1; a
    source that is listed must be in the set, and leaves it; at the end of the pass the set is
    empty. From the third clock on there is a spike in every clock but the last.

    The other assertions make that inductive: each group with sources to come is in one of three
    places, waiting, chosen, or in the word.
    """

    n_sources: int

    def state(self, m: Module) -> None:
        """Build the environment, the set and the property."""
        scanner = self.component
        under_way, clock = Signal(), Signal(range(4))
        held, left = Signal(self.n_sources), Signal(self.n_sources)
        m.d.comb += [
            scanner.start.eq(AnySeq(1) & ~under_way),
            scanner.sources.eq(Mux(under_way, held, AnySeq(self.n_sources))),
        ]
        one = Signal(self.n_sources)
        m.d.comb += one.eq(Mux(scanner.valid, 1 << scanner.row, 0))
        with m.If(scanner.start):
            m.d.sync += [under_way.eq(1), clock.eq(1)]
            m.d.sync += [held.eq(scanner.sources), left.eq(scanner.sources)]
        with m.Else():
            m.d.sync += [left.eq(left & ~one), clock.eq(Mux(clock == 3, 3, clock + 1))]
        with m.If(under_way & scanner.finishing):
            m.d.sync += under_way.eq(0)
        m.d.comb += [
            Assert(~scanner.valid | (scanner.row < self.n_sources)),
            Assert((one & ~left) == 0),
        ]
        with m.If(~under_way):
            m.d.comb += Assert(scanner.finishing & ~scanner.valid & (left == 0))
        with m.Elif(clock == 3):
            m.d.comb += Assert(scanner.valid != scanner.finishing)
            m.d.comb += Assert(~scanner.finishing | (left == 0))
        with m.Else():
            m.d.comb += Assert(~scanner.valid & (clock != 0))
            m.d.comb += Assert(scanner.finishing == ((clock == 1) & ~held.any()))
        self._account(m, under_way, clock, held, left)

    def _account(
        self, m: Module, under_way: Signal, clock: Signal, held: Signal, left: Signal
    ) -> None:
        """Where the sources stand that are still to come."""
        pending, chosen, chosen_valid, word, word_valid = (
            getattr(self.component, name) for name in REGISTERS
        )
        number = self.component.group if self.n_sources > WORD else Const(0)
        m.d.comb += [
            Assert(chosen_valid == chosen.any()),
            Assert((chosen & (chosen - 1)) == 0),
            Assert(word_valid == word.any()),
            Assert(under_way | ~(pending.any() | chosen_valid | word_valid)),
            Assert((clock != 1) | ~under_way | ~(chosen_valid | word_valid)),
            Assert((clock != 2) | ~under_way | (chosen_valid & ~word_valid)),
            Assert((clock == 1) | ~pending.any() | chosen_valid),
            Assert((clock != 3) | ~chosen_valid | word_valid),
        ]
        for g in range(len(pending)):
            own = held[g * WORD : (g + 1) * WORD]
            in_word = word_valid & (number == g)
            waits: Value = pending[g] | chosen[g]
            rest = Mux(waits, own, Mux(in_word, word, 0))
            m.d.comb += [
                Assert(~(pending[g] & chosen[g]) & ~(waits & in_word)),
                Assert(~waits | own.any()),
                Assert(left[g * WORD : (g + 1) * WORD] == rest),
            ]
        m.d.comb += Assert(~word_valid | (number < len(pending)))


def scanner_obligation(emitted: Emitted, scanner: EventScanner) -> Obligation:
    """A scanner of an emitted network lists each spike once."""
    names = (*REGISTERS, "group") if scanner.n_sources > WORD else REGISTERS
    part = emitted.cut(scanner, watched={name: emitted.local(scanner, name) for name in names})
    return by_induction(
        "scanner", emitted.path(scanner), part, ScannerSpecification, n_sources=scanner.n_sources
    )
