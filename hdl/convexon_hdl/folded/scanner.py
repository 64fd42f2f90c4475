"""Finding the spikes of a step, one per clock."""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from convexon.errors import InputError
from convexon.plan.fold import WORD


class EventScanner(wiring.Component):
    """Lists the sources that are 1, lowest first, one per clock and without a gap.

    Three registers form a pipeline, each handing over when the next one is free: ``pending`` has a
    bit for each group of 16 sources with a spike that is still to come; ``chosen`` is the lowest of
    them, one-hot; ``word`` holds the group's spikes that are to come.

    After the clock with ``start``, n spikes take n + 3 clocks, and none takes 1; in the last of
    them ``finishing`` is high. It follows from registers alone, and so comes a clock after the last
    spike. ``sources`` must hold still from ``start`` until then.

    Resources, for n sources: about 1.5 LUT4 for each source, and 3 flip-flops for each group.
    """

    def __init__(self, n_sources: int) -> None:
        if n_sources < 1:
            raise InputError(f"n_sources must be at least 1, not {n_sources!r}")
        self.n_sources = n_sources
        super().__init__(
            {
                "sources": In(n_sources),
                "start": In(1),  # begin a pass; only while none is under way
                "valid": Out(1),  # there is a spike in this clock
                "row": Out(range(max(2, n_sources))),  # its source
                "finishing": Out(1),  # no spike is left, in this clock or later
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the three steps."""
        m = Module()
        groups = [self.sources[k : k + WORD] for k in range(0, self.n_sources, WORD)]
        n = len(groups)
        pending = Signal(n)
        chosen = Signal(n)
        chosen_valid = Signal()
        word = Signal(min(WORD, self.n_sources))
        word_valid = Signal()
        group = Signal(range(max(2, n)))
        lowest, rest = Signal(n), Signal(len(word))
        word_leaves, chosen_leaves = Signal(), Signal()
        m.d.comb += [
            lowest.eq(pending & ~(pending - 1)),
            rest.eq(word & (word - 1)),
            word_leaves.eq(~word_valid | ~rest.any()),
            chosen_leaves.eq(~chosen_valid | word_leaves),
            self.valid.eq(word_valid),
            self.row.eq(Cat(_position(word & ~rest, ceil_log2(WORD)), group)),
            self.finishing.eq(~(pending.any() | chosen_valid | word_valid)),
        ]
        m.d.sync += word.eq(rest)
        with m.If(word_leaves):
            m.d.sync += [
                word.eq(_selected(groups, chosen)),
                group.eq(_position(chosen, len(group))),
                word_valid.eq(chosen_valid),
            ]
        with m.If(chosen_leaves):
            m.d.sync += [
                chosen.eq(lowest),
                chosen_valid.eq(pending.any()),
                pending.eq(pending & ~lowest),
            ]
        with m.If(self.start):
            m.d.sync += pending.eq(Cat(group_sources.any() for group_sources in groups))
        return m


def _selected(words: list[Value], one_hot: Value) -> Value:
    """The word whose bit of ``one_hot`` is 1; 0 if none is."""
    return reduce(or_, [Mux(one_hot[k], word, 0) for k, word in enumerate(words)])


def _position(one_hot: Value, width: int) -> Value:
    """Number of the bit that is 1, in ``width`` bits."""
    return Cat(
        Cat(one_hot[k] for k in range(len(one_hot)) if k >> place & 1).any()
        if len(one_hot) > 1 << place
        else Const(0, 1)
        for place in range(width)
    )
