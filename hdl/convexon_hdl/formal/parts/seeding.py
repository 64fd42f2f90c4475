"""Proof that weights from a seed are those of the generator, at every address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Cat, Const, Elaboratable, Module, Signal

from convexon_hdl.folded.seeded import SeededBank
from convexon_hdl.formal.netlist.part import StandIn
from convexon_hdl.formal.obligation import Emitted, Obligation, by_induction

LATENCY = 2
"""Clocks from an address to its row."""


class SeededSpecification(Elaboratable):
    """A bank gives, two clocks after an address, the row that a table holds for it.

    Any address comes in any clock. Of addresses that no source has nothing is said.

    Parameters
    ----------
    bank : StandIn
    rows : mapping of int to int
        Address to row, as the bank's ``data`` is laid out.
    """

    def __init__(self, bank: StandIn, *, rows: Mapping[int, int]) -> None:
        self.bank = bank
        self.rows = rows

    def elaborate(self, platform: object) -> Module:
        """Build the table."""
        m = Module()
        m.submodules.bank = bank = self.bank
        filled = Signal(LATENCY)
        m.d.comb += bank.address.eq(AnySeq(len(bank.address)))
        m.d.sync += filled.eq(Cat(Const(1, 1), filled))
        address = bank.address
        for k in range(LATENCY):
            later = Signal(len(address), name=f"address{k}")
            m.d.sync += later.eq(address)
            address = later
        with m.If(filled[-1]), m.Switch(address):
            for place, row in self.rows.items():
                with m.Case(place):
                    m.d.comb += Assert(bank.data == row)
        return m


def rows_of(bank: SeededBank, weights: Sequence[Sequence[int]]) -> dict[int, int]:
    """Rows that a bank must give, of the weights by source and by neuron."""
    plan, choice = bank.plan, bank.plan.choice
    mask = (1 << plan.weight_width) - 1
    rows: dict[int, int] = {}
    for source in range(bank.bank, len(weights), choice.banks):
        for fold in range(plan.folds):
            own = weights[source][fold * choice.lanes : (fold + 1) * choice.lanes]
            rows[fold * plan.stride + source // choice.banks] = sum(
                (weight & mask) << (lane * plan.weight_width) for lane, weight in enumerate(own)
            )
    if choice.banks > 1:
        rows[plan.depth_of_bank - 1] = 0
    return rows


def seeded_obligation(
    emitted: Emitted, bank: SeededBank, weights: Sequence[Sequence[int]]
) -> Obligation:
    """A bank of an emitted network gives the network's weights."""
    part, rows = emitted.cut(bank), rows_of(bank, weights)

    def specification() -> SeededSpecification:
        return SeededSpecification(StandIn(bank.signature, part), rows=rows)

    where = emitted.names.path(bank)
    return by_induction("seeded weights", where, part, specification, given=sorted(rows.items()))
