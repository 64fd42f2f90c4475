"""Where an engine has its weights from: one component a bank, all with the same timing."""

from __future__ import annotations

from amaranth.hdl import Module, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from convexon.fold import FoldPlan


def packed_rows(plan: FoldPlan, bank: int) -> list[int]:
    """Rows of a bank as unsigned integers: lane k at bits ``k * weight_width`` and up."""
    width = plan.weight_width
    mask = (1 << width) - 1
    rows = []
    for row in plan.bank(bank):
        packed = 0
        for lane, weight in enumerate(row):
            packed |= (int(weight) & mask) << (lane * width)
        rows.append(packed)
    return rows


class WeightBank(wiring.Component):
    """A memory of weight rows, read once a clock.

    ``data`` holds, two clocks later, the row that ``address`` named: the memory's own register, and
    one more, since block RAM answers late in its clock.

    Latency: 2 clocks. Resources: ``depth_of_bank * lanes * weight_width`` bits of memory, and
    ``lanes * weight_width`` flip-flops.

    Parameters
    ----------
    plan : FoldPlan
    bank : int

    Members
    -------
    address : In(range(depth_of_bank))
    data : Out(lanes * weight_width)
    write_enable, write_address, write_data : In
        Where weights are loaded at run time: one row in a clock.
    """

    def __init__(self, plan: FoldPlan, *, bank: int) -> None:
        self._plan = plan
        self._bank = bank
        address = range(max(2, plan.depth_of_bank))
        width = plan.choice.lanes * plan.weight_width
        members = {"address": In(address), "data": Out(width)}
        if plan.is_loaded:
            members |= {
                "write_enable": In(1),
                "write_address": In(address),
                "write_data": In(width),
            }
        super().__init__(members)

    @property
    def plan(self) -> FoldPlan:
        """Engine that reads the bank."""
        return self._plan

    @property
    def bank(self) -> int:
        """Number of the bank."""
        return self._bank

    def rows(self) -> list[int]:
        """Content when the part is configured; nothing but zeros where the host loads it."""
        if self.plan.is_loaded:
            return [0] * self.plan.depth_of_bank
        return packed_rows(self.plan, self.bank)

    def elaborate(self, platform: object) -> Module:
        """Build the memory and its register."""
        m = Module()
        m.submodules.memory = memory = Memory(
            shape=unsigned(len(self.data)), depth=self.plan.depth_of_bank, init=self.rows()
        )
        read = memory.read_port()
        m.d.comb += read.addr.eq(self.address)
        m.d.sync += self.data.eq(read.data)
        if self.plan.is_loaded:
            write = memory.write_port()
            m.d.comb += [
                write.en.eq(self.write_enable),
                write.addr.eq(self.write_address),
                write.data.eq(self.write_data),
            ]
        return m
