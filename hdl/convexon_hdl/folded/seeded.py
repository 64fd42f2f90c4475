"""Weights without memory: logic that makes them from a seed."""

from __future__ import annotations

from functools import reduce
from operator import xor

from amaranth.hdl import Cat, Module, Signal, Value, signed

from convexon.snn.seeded import MIXED_BITS, ROTATIONS, SPREAD, WORD_BITS, round_keys, taps
from convexon_hdl.arith.arithmetic import delayed
from convexon_hdl.folded.weights import Bank

EARLY_ROUNDS = 2
"""Rounds before the first register; the others are behind it, with the weights."""


class SeededBank(Bank):
    """A `Bank` whose rows are made as `convexon.snn.seeded` makes them.

    ::

        address -> row of the seed -> 2 rounds -> register -> 1 round -> bits of weights -> data

    An address beyond the rows gives some row, but the last one of a bank among several gives zeros.

    Latency: 2 clocks. Resources: six adders of 16 bits; for each neuron of the engine a LUT4 for
    each bit of its weight, and one that turns the most negative code into 0; for folds beyond the
    first a multiplexer; ``lanes * weight_width + 64`` flip-flops. No memory.
    """

    def elaborate(self, platform: object) -> Module:
        """Build the mixer and the bits of the weights."""
        m, plan = Module(), self.plan
        row_bits = (plan.stride - 1).bit_length()
        row, fold = self.address[:row_bits], self.address[row_bits:]
        source = Signal(WORD_BITS)
        m.d.comb += source.eq(row * plan.choice.banks + self.bank)
        first, *keys = round_keys(int(plan.choice.seed or 0))
        words = [source.rotate_left(place) ^ key for place, key in zip(SPREAD, first, strict=True)]
        rounds = list(zip(ROTATIONS, keys, strict=True))
        for k, (rotations, after) in enumerate(rounds[:EARLY_ROUNDS]):
            words = _round(m, words, rotations, after, name=f"round{k}")
        words = [delayed(m, word, name=f"early{k}") for k, word in enumerate(words)]
        for k, (rotations, after) in enumerate(rounds[EARLY_ROUNDS:], EARLY_ROUNDS):
            words = _round(m, words, rotations, after, name=f"round{k}")
        mixed = Signal(MIXED_BITS)
        m.d.comb += mixed.eq(Cat(words))
        self._rows(m, mixed, delayed(m, fold, name="fold"))
        if plan.choice.banks > 1:
            with m.If(delayed(m, row.all(), name="zero")):
                m.d.sync += self.data.eq(0)
        return m

    def _rows(self, m: Module, mixed: Signal, fold: Signal) -> None:
        """The row of the fold."""
        lanes = self.plan.choice.lanes
        weights = [self._weight(m, mixed, j) for j in range(len(self.plan.seeded))]
        for lane in range(lanes):
            target = self.data.word_select(lane, self.plan.weight_width)
            if self.plan.folds == 1:
                m.d.sync += target.eq(weights[lane])
                continue
            with m.Switch(fold):
                for k, weight in enumerate(weights[lane::lanes]):
                    with m.Case(k):
                        m.d.sync += target.eq(weight)
                with m.Default():  # lanes that the last fold leaves over
                    m.d.sync += target.eq(0)

    def _weight(self, m: Module, mixed: Signal, j: int) -> Value:
        """Weight of neuron j of the engine; the most negative code means 0."""
        neuron, seed = self.plan.seeded[j], int(self.plan.choice.seed or 0)
        chosen = [taps(seed, [neuron.number], bit)[0] for bit in range(neuron.bits)]
        bits = [reduce(xor, [mixed[int(tap)] for tap in each]) for each in chosen]
        weight = Signal(signed(neuron.bits), name=f"weight{j}")
        m.d.comb += weight.eq(Cat(*bits[:-1], bits[-1] & Cat(bits[:-1]).any()))
        return weight


def _round(
    m: Module, words: list[Value], rotations: tuple[int, int], keys: tuple[int, ...], *, name: str
) -> list[Value]:
    """One round of the mixer."""
    a, b, c, d = words
    left, right = (Signal(WORD_BITS, name=f"{name}_{side}") for side in ("left", "right"))
    m.d.comb += [left.eq(a + b), right.eq(c + d)]
    b = b.rotate_left(rotations[0]) ^ left
    d = d.rotate_left(rotations[1]) ^ right
    mixed = []
    for k, (word, key) in enumerate(zip((left, d, right, b), keys, strict=True)):
        keyed = Signal(WORD_BITS, name=f"{name}_word{k}")
        m.d.comb += keyed.eq(word ^ key)
        mixed.append(keyed)
    return mixed
