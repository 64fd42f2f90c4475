"""Families of parts: one object each, with the numbers that mappings are planned by.

What the tools do for a family is in `convexon_boards.families`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any


@dataclass(frozen=True, kw_only=True)
class BlockRam:
    """Block RAM of a family."""

    shapes: tuple[tuple[int, int], ...]  # width and depth, the widest first
    cost: float  # LUT4s that Yosys takes one block to be worth
    enabled: int  # bits that an enable of the write port is for
    lut_ram: int | None  # LUT4s of 16 words of 4 bits in LUT RAM; None where there is none


@dataclass(frozen=True, kw_only=True)
class DelayModel:
    """Delays of a family in seconds, each with the wire that leads to it.

    Fitted on nextpnr's critical paths, so that a clock that is promised is usually met: ECP5 of
    speed grade 6 and Gowin GW1N-9C C6/I5, a 40-16-10 network of 6-bit weights with 0, 1 and 2
    registers; iCE40 UP5K, a 10-6-4 network of 4-bit weights with 0 and 2. GW2A is faster.
    """

    register: float  # clock edge to a flip-flop's output, set-up time, wires of high fan-out
    lookup: float  # a LUT4, and a multiplexer of two
    adder: float  # a carry chain of no bits
    carry: float  # each bit of it
    memory: float  # from a clock edge to a block RAM's output, and a flip-flop's set-up time

    def sum_of(self, width: int) -> float:
        """Delay of an adder or comparator of ``width`` bits."""
        return self.adder + self.carry * width


_KIBIT_18 = BlockRam(
    shapes=((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384)),
    cost=128.0,
    enabled=9,
    lut_ram=4,
)
_KIBIT_4 = BlockRam(
    shapes=((16, 256), (8, 512), (4, 1024), (2, 2048), (1, 4096)),
    cost=64.0,
    enabled=1,
    lut_ram=None,
)


class Family(Enum):
    """A family of parts that open tools place and route.

    ``ECP5``: Lattice ECP5, LUT4s with carry chains of two bits a cell. ``ICE40``: Lattice iCE40,
    whose logic cell has a LUT4, a carry and a flip-flop. ``GOWIN``: Gowin GW1N and GW2A, LUT4s of
    which each may be a bit of a carry chain instead.
    """

    title: str  # its maker's name for it
    carry_sites: int  # LUT4 sites that a carry cell takes the place of
    # Share of a part's LUT sites that a design's LUTs may be. The rest goes to carries that enter
    # and leave their chains, on iCE40 to flip-flops without a LUT, and is left to the router.
    usable: float
    block_ram: BlockRam
    delays: DelayModel

    def __new__(cls, value: str, *_: object) -> Family:
        """Make the member that files and options know as ``value``."""
        member = object.__new__(cls)
        member._value_ = value
        return member

    def __init__(self, _: str, *numbers: Any) -> None:
        self.title, self.carry_sites, self.usable, self.block_ram, self.delays = numbers

    ECP5 = (
        *("ecp5", "ECP5", 2, 0.68, _KIBIT_18),
        DelayModel(register=2.0e-9, lookup=1.0e-9, adder=1.75e-9, carry=0.035e-9, memory=6.5e-9),
    )
    ICE40 = (
        *("ice40", "iCE40", 0, 0.55, _KIBIT_4),
        DelayModel(register=4.0e-9, lookup=2.9e-9, adder=4.0e-9, carry=0.28e-9, memory=9.0e-9),
    )
    GOWIN = (
        *("gowin", "Gowin", 1, 0.72, _KIBIT_18),
        DelayModel(register=3.4e-9, lookup=1.7e-9, adder=3.0e-9, carry=0.06e-9, memory=11.0e-9),
    )
