"""Weighted sums of bits as adder graphs: the ways that `convexon.plan.mapping.Sums` names."""

from __future__ import annotations

from collections.abc import Sequence

from convexon.plan.adders.graph import (
    LUT_INPUTS,
    Addend,
    AdderGraph,
    GraphBuilder,
    Term,
    signed_digits,
)
from convexon.plan.adders.sharing import cheapest, shared_sums
from convexon.plan.mapping import Sums


def weighted_sums(
    n_bits: int, rows: Sequence[Sequence[Addend]], offsets: Sequence[int], sums: Sums
) -> AdderGraph:
    """``offsets[j] + sum of rows[j]`` of ``n_bits`` bits for each j, in the way of ``sums``."""
    if sums is Sums.AUTO:
        ways = [way for way in Sums if way is not Sums.AUTO]
        return cheapest([weighted_sums(n_bits, rows, offsets, way) for way in ways])
    if sums is Sums.SHARED:
        return shared_sums(n_bits, rows, offsets)
    one = table_sum if sums is Sums.TABLES else tree_sum
    builder = GraphBuilder(n_bits)
    terms = [one(builder, row, offset) for row, offset in zip(rows, offsets, strict=True)]
    return builder.graph(terms)


def table_sum(builder: GraphBuilder, row: Sequence[Addend], offset: int) -> Term:
    """Distributed arithmetic: four bits at a time address a table of their weighted sums.

    Weights of similar size share a table, which keeps most of them narrow. Tables start at 0 and
    their sums are unsigned, but for the widest table: it makes good for the lowest values of all,
    and adds ``offset`` for nothing. Zero weights cost nothing.
    """
    active = sorted((a for a in row if a.weight), key=lambda a: (a.place, abs(a.weight)))
    terms = []
    for place in dict.fromkeys(addend.place for addend in active):
        plane = [addend for addend in active if addend.place == place]
        for k in range(0, len(plane), LUT_INPUTS):
            factors = {a.bit: a.weight << place for a in plane[k : k + LUT_INPUTS]}
            low = sum(min(0, factor) for factor in factors.values())
            terms.append(builder.lookup(factors, -low))
            offset += low
    return builder.total(terms, offset)


def tree_sum(builder: GraphBuilder, row: Sequence[Addend], offset: int) -> Term:
    """Balanced tree of the signed digits of all weights, each a shifted bit."""
    return builder.total(
        [
            Term(builder.bit(addend.bit).node, addend.place + place, sign)
            for addend in row
            for place, sign in signed_digits(addend.weight)
        ],
        offset,
    )
