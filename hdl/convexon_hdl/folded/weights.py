"""Weights in memory: the banks of an engine, and the port through which they are filled."""

from __future__ import annotations

from amaranth.hdl import Module, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from convexon.plan.fold import FoldPlan


class RowWrite(wiring.Signature):
    """Writes of rows to the banks of an engine whose weights are loaded: one in a clock.

    Lane k is at bits ``k * weight_width`` and up of ``data``.
    """

    def __init__(self, plan: FoldPlan) -> None:
        super().__init__(
            {
                "enable": Out(1),
                "bank": Out(range(max(2, plan.choice.banks))),
                "address": Out(range(max(2, plan.depth_of_bank))),
                "data": Out(plan.choice.lanes * plan.weight_width),
            }
        )


def write_port(plan: FoldPlan) -> dict[str, wiring.Member]:
    """Port ``write`` of an engine and of its parts; none where weights are fixed."""
    return {"write": In(RowWrite(plan))} if plan.is_loaded else {}


class Bank(wiring.Component):
    """Rows of weights, one a clock: ``data`` is the row that ``address`` named two clocks ago.

    ``bank`` is its number in the engine. Where weights are loaded at run time, ``write`` has rows
    of any bank of the engine.
    """

    def __init__(self, plan: FoldPlan, *, bank: int) -> None:
        self.plan = plan
        self.bank = bank
        super().__init__(
            {
                "address": In(range(max(2, plan.depth_of_bank))),
                "data": Out(plan.choice.lanes * plan.weight_width),
                **write_port(plan),
            }
        )


class WeightBank(Bank):
    """A `Bank` in memory.

    Behind the memory's own register stands one more, since block RAM answers late in its clock. In
    a clock in which a row of this bank is written, none is read.

    Latency: 2 clocks. Resources: ``depth_of_bank * lanes * weight_width`` bits of memory, and
    ``lanes * weight_width`` flip-flops.
    """

    def elaborate(self, platform: object) -> Module:
        """Build the memory and its register."""
        m, plan = Module(), self.plan
        rows = [] if plan.is_loaded else plan.packed_bank(self.bank)  # zeros where the host loads
        m.submodules.memory = memory = Memory(
            shape=unsigned(len(self.data)), depth=plan.depth_of_bank, init=rows
        )
        read = memory.read_port()
        m.d.comb += read.addr.eq(self.address)
        m.d.sync += self.data.eq(read.data)
        if plan.is_loaded:
            write = memory.write_port()
            m.d.comb += [
                write.en.eq(self.write.enable & (self.write.bank == self.bank)),
                write.addr.eq(self.write.address),
                write.data.eq(self.write.data),
                # Never both, which spares the logic for a row that is read while it is written.
                read.en.eq(~write.en),
            ]
        return m
