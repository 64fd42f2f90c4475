"""Proof that weights from a seed are those of the generator, at every address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amaranth.hdl import Assert, Elaboratable, Module

from convexon_hdl.folded.seeded import SeededBank
from convexon_hdl.formal.netlist.emitted import Emitted
from convexon_hdl.formal.netlist.part import StandIn
from convexon_hdl.formal.obligation import Obligation, by_induction
from convexon_hdl.formal.parts.memory import rows_of
from convexon_hdl.formal.specs.blocks import delayed, filled, free

LATENCY = 2
"""Clocks from an address to its row."""


class SeededSpecification(Elaboratable):
    """A bank gives, two clocks after an address, the row that a table holds for it.

    The address is free in every clock. Nothing is asserted of addresses that no source has.

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
        free(m, bank.address)
        address = delayed(m, bank.address, LATENCY)
        with m.If(filled(m, LATENCY)), m.Switch(address):
            for place, row in self.rows.items():
                with m.Case(place):
                    m.d.comb += Assert(bank.data == row)
        return m


def words_of(bank: SeededBank, weights: Sequence[Sequence[int]]) -> dict[int, int]:
    """Word that a bank must give at each address, of the weights by source and by neuron."""
    plan = bank.plan
    mask = (1 << plan.weight_width) - 1
    words: dict[int, int] = {}
    for (address, lane), weight in rows_of(plan, bank.bank, weights).items():
        words[address] = words.get(address, 0) | (weight & mask) << (lane * plan.weight_width)
    if plan.choice.banks > 1:
        words[plan.depth_of_bank - 1] = 0
    return words


def seeded_obligation(
    emitted: Emitted, bank: SeededBank, weights: Sequence[Sequence[int]]
) -> Obligation:
    """A bank of an emitted network gives the network's weights."""
    return by_induction(
        "seeded weights",
        emitted.path(bank),
        emitted.cut(bank),
        SeededSpecification,
        rows=words_of(bank, weights),
    )
