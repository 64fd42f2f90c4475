"""How many block RAMs a memory takes: what synthesis does, from width and depth alone.

Yosys weighs block RAM against LUTs by costs, and picks one of the shapes that a block can have.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from convexon.plan.family import Family

CONSTANT_BIT = 1 / 8
"""LUT4s of a constant bit outside of block RAM, as the synthesis scripts say."""

MULTIPLEXED_BIT = 1 / 2
"""What Yosys takes a bit of a multiplexer of two for, behind memories that share their width."""

READ_PORT = 2.75
WRITE_PORT, WRITE_PORT_OF_BLOCK = 10.25, 1.55
"""What it takes the ports of block RAM for, one that is written and each of its blocks.

By trial: of constants, one block of iCE40 is worth 66.25 to 67 LUTs and two 130.5 to 131.25; of
memories that are written, one is worth 78 to 79, two 144 to 145, and three 204 to 210."""


@dataclass(frozen=True, kw_only=True)
class MemoryShape:
    """A memory with one read port."""

    width: int  # bits of a word
    depth: int  # words
    is_written: bool = False  # whether it has a write port too; constant otherwise

    def blocks(self, family: Family) -> int:
        """Block RAMs that it takes; 0 where it is cheaper outside of them."""
        cost, blocks = _tiled(self.width, self.depth, family, self.is_written)
        return blocks if cost < self._outside(family) else 0

    def _outside(self, family: Family) -> float:
        """LUT4s that it is worth outside of block RAM."""
        if not self.is_written:
            return self.width * self.depth * CONSTANT_BIT
        sites = self.sites(family)
        if family.block_ram.lut_ram is None:
            return sites
        return sites + MULTIPLEXED_BIT * self.width * (-(-self.depth // 16) - 1)

    def sites(self, family: Family) -> int:
        """LUT RAM of a written memory outside of block RAM; its bits where a family has none."""
        lut_ram = family.block_ram.lut_ram
        if lut_ram is None:
            return self.width * self.depth
        return lut_ram * -(-self.width // 4) * -(-self.depth // 16)


@cache
def _tiled(width: int, depth: int, family: Family, is_written: bool) -> tuple[float, int]:
    """Cost and number of the blocks that hold a memory most cheaply, all of one shape.

    Where a memory is deeper than a block, the parts of a word lie side by side, so that blocks are
    filled across words; but each part that is written has its enables.
    """
    ram = family.block_ram
    found = []
    for wide, deep in ram.shapes:
        rows = -(-depth // deep)
        unit = min(ram.enabled, wide) if is_written and rows > 1 else 1
        blocks = -(-unit * -(-width // unit) * rows // wide)
        cost = ram.cost * blocks + MULTIPLEXED_BIT * width * (rows - 1) + READ_PORT
        if is_written:
            cost += WRITE_PORT + WRITE_PORT_OF_BLOCK * blocks
        found.append((cost, blocks))
    return min(found)
