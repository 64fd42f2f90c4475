"""Block RAMs by the model, against those that synthesis counts."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import Module, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from convexon.plan.cost.memory import MemoryShape
from convexon.plan.family import Family
from convexon_boards.tools.synthesis import synthesize_verilog
from convexon_hdl.emit.emitter import to_verilog
from tiers import exhaustive


class OneMemory(wiring.Component):
    """A memory with one read port, and random constants or a write port."""

    def __init__(self, width: int, depth: int, *, is_written: bool) -> None:
        self.width = width
        self.depth = depth
        self.is_written = is_written
        address = range(max(2, depth))
        members = {"address": In(address), "data": Out(width)}
        if is_written:
            members |= {"enable": In(1), "place": In(address), "word": In(width)}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """Build the memory."""
        m = Module()
        rng = np.random.default_rng(self.depth)
        words = [
            int.from_bytes(rng.bytes(-(-self.width // 8)), "little") for _ in range(self.depth)
        ]
        init = [] if self.is_written else [word & ((1 << self.width) - 1) for word in words]
        m.submodules.memory = memory = Memory(
            shape=unsigned(self.width), depth=self.depth, init=init
        )
        read = memory.read_port()
        m.d.comb += [read.addr.eq(self.address), self.data.eq(read.data)]
        if self.is_written:
            write = memory.write_port()
            m.d.comb += [
                write.en.eq(self.enable),
                write.addr.eq(self.place),
                write.data.eq(self.word),
            ]
        return m


SHAPES = (
    (22, 6, True),  # written, two blocks are worth 144 of iCE40's LUTs
    (29, 5, True),
    (18, 65, True),  # and one of ECP5's is worth more than its LUT RAM
    (8, 66, False),  # on iCE40 a block is worth a little more than 64 LUTs
    (8, 68, False),
    (21, 552, True),  # blocks are filled across words
    (6, 2137, True),  # on ECP5 each part of a word has its enables
    (8, 128, False),  # at 1 Kibit a constant memory on ECP5 is still logic
    (8, 140, False),
    (37, 300, False),
    (96, 21, False),
    (18, 83, True),
    (91, 38, True),  # LUT RAM on ECP5, block RAM on iCE40
    (20, 632, True),
)


@pytest.mark.parametrize("family", [Family.ECP5, Family.ICE40], ids=lambda family: family.value)
@pytest.mark.parametrize(
    ("width", "depth", "is_written"),
    [*SHAPES[:3], *(pytest.param(*shape, marks=exhaustive) for shape in SHAPES[3:])],
)
def test_blocks_are_those_that_synthesis_counts(
    width: int, depth: int, is_written: bool, family: Family
) -> None:
    memory = OneMemory(width, depth, is_written=is_written)
    cells = synthesize_verilog(to_verilog(memory, "top"), "top", family).cells
    assert (
        MemoryShape(width=width, depth=depth, is_written=is_written).blocks(family)
        == cells.block_ram
    )


def test_shapes_cover_both_answers() -> None:
    for family in (Family.ECP5, Family.ICE40):
        answers = [
            MemoryShape(width=w, depth=d, is_written=written).blocks(family)
            for w, d, written in SHAPES
        ]
        assert 0 in answers
        assert max(answers) > 1


@pytest.mark.parametrize("family", Family, ids=lambda family: family.value)
def test_a_whole_block_holds_its_bits_once(family: Family) -> None:
    for width, depth in family.block_ram.shapes:
        assert MemoryShape(width=width, depth=depth).blocks(family) == 1
        assert MemoryShape(width=2 * width, depth=depth).blocks(family) == 2
