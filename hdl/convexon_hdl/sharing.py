"""Common subexpressions of weighted sums: terms that several sums need are added once."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from convexon_hdl.adder_graph import Addend, AdderGraph, GraphBuilder, Term
from convexon_hdl.arithmetic import signed_digits
from convexon_hdl.differences import MAX_CHAIN, IntArray, derivation

MAX_WORK = 600_000
"""Pairs of terms that are looked at in the beginning: larger layers are divided into blocks."""

MAX_TRIED_DIGITS = 5_000
"""Digits of a layer that is built both with and without differences, for the better of the two."""

Sum = dict[int, int]
"""Signs of terms by their key: node and shift, as `_key` makes it."""

PLACES = 1 << 7


def shared_sums(
    builder: GraphBuilder, rows: Sequence[Sequence[Addend]], offsets: Sequence[int]
) -> list[Term]:
    """``offsets[j] + sum of rows[j]`` for each j, with common terms shared.

    A sum is another sum plus a difference where that is cheaper (`convexon_hdl.differences`); then
    pairs of signed digits that several sums hold are added once (`share_pairs`); what is left of
    each sum is added as a tree of the least depth. Deterministic.
    """
    weights = _matrix(builder, rows)
    chains = (MAX_CHAIN, 0) if _n_digits(weights) <= MAX_TRIED_DIGITS else (MAX_CHAIN,)
    graphs = []
    for max_chain in chains:
        scratch = GraphBuilder(builder.n_bits)
        graphs.append(scratch.graph(_derived_sums(scratch, weights, offsets, max_chain)))
    return builder.include(cheapest(graphs))


def cheapest(graphs: Sequence[AdderGraph]) -> AdderGraph:
    """First graph of the least cost; of equals, one of the least depth."""
    return min(graphs, key=lambda graph: (graph.cost, graph.depth))


def _matrix(builder: GraphBuilder, rows: Sequence[Sequence[Addend]]) -> IntArray:
    weights = np.zeros((builder.n_bits, len(rows)), dtype=np.int64)
    for j, row in enumerate(rows):
        for addend in row:
            weights[addend.bit, j] += addend.weight << addend.place
    return weights


def _n_digits(weights: IntArray) -> int:
    return sum(len(signed_digits(weight)) for weight in weights.ravel().tolist())


def _derived_sums(
    builder: GraphBuilder, weights: IntArray, offsets: Sequence[int], max_chain: int
) -> list[Term]:
    steps = derivation(weights, max_chain)
    differences = weights.copy()
    for step in steps:
        if step.source is not None:
            differences[:, step.column] -= step.factor * weights[:, step.source]
    left = share_pairs(builder, _digits(builder, differences))
    made: dict[int, Term] = {}
    for step in steps:
        terms, offset = left[step.column], offsets[step.column]
        if step.source is not None:
            source = made[step.source]
            shift, sign = abs(step.factor).bit_length() - 1, 1 if step.factor > 0 else -1
            terms = [*terms, Term(source.node, source.shift + shift, sign * source.sign)]
            offset -= step.factor * offsets[step.source]
        made[step.column] = builder.total(terms, offset)
    return [made[j] for j in range(weights.shape[1])]


def _digits(builder: GraphBuilder, weights: IntArray) -> list[list[Term]]:
    nodes = [builder.bit(index).node for index in range(len(weights))]
    return [
        [
            Term(nodes[i], place, sign)
            for i, weight in enumerate(column)
            if weight
            for place, sign in signed_digits(weight)
        ]
        for column in weights.T.tolist()
    ]


def share_pairs(builder: GraphBuilder, sums: Sequence[Sequence[Term]]) -> list[list[Term]]:
    """Make nodes of common pairs of terms, and return what is left of each sum.

    Greedy: the pair that saves most becomes a node of its own and takes the place of its terms in
    all sums, up to a common shift and sign, and so on until no pair is held twice. A pair saves its
    adder for each sum but one; adders whose operands overlap count for more than those that pass
    on most bits as they are, for these cost the less where they stay.

    No sum may hold two terms of the same node and shift.
    """
    work = sum(len(terms) ** 2 for terms in sums) // 2
    n_blocks = -(-work // MAX_WORK)
    if n_blocks <= 1:
        return _Sharing(builder, sums).run()
    nodes = sorted({term.node for terms in sums for term in terms})
    block = {node: k * n_blocks // len(nodes) for k, node in enumerate(nodes)}
    left: list[list[Term]] = [[] for _ in sums]
    for index in range(n_blocks):
        parts = [[term for term in terms if block[term.node] == index] for terms in sums]
        for terms, part in zip(left, _Sharing(builder, parts).run(), strict=True):
            terms += part
    return left


def _key(node: int, shift: int) -> int:
    return node * PLACES + shift


def _pair(first: int, first_sign: int, second: int, second_sign: int) -> tuple[int, int]:
    """Two terms up to a common shift and sign: the lower's node, and the other's key from there.

    The second number is the key of the higher term, less the lower one's shift; negative (its
    complement) where their signs differ.
    """
    if second < first:
        first, second = second, first
    node, shift = divmod(first, PLACES)
    return node, second - shift if first_sign == second_sign else ~(second - shift)


class _Sharing:
    """Greedy sharing among sums, each a set of terms."""

    def __init__(self, builder: GraphBuilder, sums: Sequence[Sequence[Term]]) -> None:
        self._builder = builder
        self._sums: list[Sum] = [{} for _ in sums]
        self._counts: dict[tuple[int, int], int] = defaultdict(int)
        self._gains: dict[tuple[int, int], float] = {}
        self._holders: dict[int, set[int]] = defaultdict(set)
        self._heap: list[tuple[float, tuple[int, int]]] = []
