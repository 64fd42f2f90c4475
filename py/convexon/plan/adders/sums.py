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
    builder: GraphBuilder, rows: Sequence[Sequence[Addend]], offsets: Sequence[int], sums: Sums
) -> list[Term]:
    """``offsets[j] + sum of rows[j]`` for each j, in the way that ``sums`` names."""
    if sums is Sums.AUTO:
        return builder.include(cheapest_graph(builder.n_bits, rows, offsets))
    if sums is Sums.SHARED:
        return shared_sums(builder, rows, offsets)
    one = table_sum if sums is Sums.TABLES else tree_sum
    return [one(builder, row, offset) for row, offset in zip(rows, offsets, strict=True)]


def cheapest_graph(
    n_bits: int, rows: Sequence[Sequence[Addend]], offsets: Sequence[int]
) -> AdderGraph:
    """Graph of the least cost of those that all ways make."""
    graphs = []
    for sums in (way for way in Sums if way is not Sums.AUTO):
        builder = GraphBuilder(n_bits)
        graphs.append(builder.graph(weighted_sums(builder, rows, offsets, sums)))
    return cheapest(graphs)


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
