"""Counters of 64 bits, and of the spikes of a layer."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from convexon.errors import InputError
from convexon_hdl.arith.arithmetic import Operand, add_all, registered

COUNTER_BITS = 64
"""Bits of a counter."""

FAN_IN = 8
"""Counts that one level of a `Popcount` adds: three adders deep, four on single bits."""


class WideCounter(wiring.Component):
    """A counter in two halves, the carry between them kept in a flip-flop.

    ``count`` is exact in every clock: the upper half is shown with the carry that is on its way.

    ::

        count <- 0 if clear else (count + amount) mod 2**bits

    ``amount`` has at most half of the bits; ``InputError`` if it has more.

    Latency: 1 clock. Resources: bits + 1 flip-flops; the carry chain that limits the clock is half
    as long as the counter, that of ``count`` included.
    """

    def __init__(self, *, amount_bits: int, bits: int = COUNTER_BITS) -> None:
        if not 1 <= amount_bits <= bits // 2:
            raise InputError(f"amount_bits must be within 1..{bits // 2}, not {amount_bits!r}")
        super().__init__({"amount": In(amount_bits), "clear": In(1), "count": Out(bits)})

    def elaborate(self, platform: object) -> Module:
        """Build both halves."""
        m, half = Module(), len(self.count) // 2
        low = Signal(half)
        carry = Signal()
        high = Signal(len(self.count) - half)
        m.d.comb += self.count.eq(Cat(low, (high + carry)[: len(high)]))
        m.d.sync += [Cat(low, carry).eq(low + self.amount), high.eq(high + carry)]
        with m.If(self.clear):
            m.d.sync += [low.eq(0), carry.eq(0), high.eq(0)]
        return m


class Popcount(wiring.Component):
    """How many of ``bits`` are 1, as a tree with a register behind every level.

    Latency: ``latency`` clocks, ceil(log8 n) and at least 1; a new vector in every clock.
    Resources: about one full adder a bit, and the registers of the levels.
    """

    def __init__(self, *, n_bits: int) -> None:
        if n_bits < 1:
            raise InputError(f"n_bits must be at least 1, not {n_bits!r}")
        self.latency, terms = 1, -(-n_bits // FAN_IN)
        while terms > 1:
            self.latency, terms = self.latency + 1, -(-terms // FAN_IN)
        super().__init__({"bits": In(n_bits), "count": Out(unsigned(n_bits.bit_length()))})

    def elaborate(self, platform: object) -> Module:
        """Build the tree."""
        m = Module()
        terms = [Operand.bit(bit) for bit in self.bits]
        for level in range(self.latency):
            groups = [terms[k : k + FAN_IN] for k in range(0, len(terms), FAN_IN)]
            terms = [
                registered(m, add_all(m, group, name=f"sum{level}_{k}"), name=f"count{level}_{k}")
                for k, group in enumerate(groups)
            ]
        m.d.comb += self.count.eq(terms[0].value)
        return m
