"""Common subexpressions of weighted sums: terms that several sums need are added once."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from convexon.plan.adders.differences import IntArray, Step, derivation
from convexon.plan.adders.digits import signed_digits
from convexon.plan.adders.graph import Addend, AdderGraph, GraphBuilder, Term

MAX_WORK = 400_000
"""Pairs of terms that are looked at in the beginning: larger layers are divided into blocks."""

MAX_TRIED_DIGITS = 5_000
"""Digits of a layer that is built both with and without differences, for the better of the two."""

WORTHWHILE = 0.7
"""Share of their digits that differences of a larger layer may have at most."""

Sum = dict[int, int]
"""Signs of terms by their key, ``node * PLACES + shift``."""

PLACES = 1 << 7
"""More than twice the highest shift of a term."""


def shared_sums(
    builder: GraphBuilder, rows: Sequence[Sequence[Addend]], offsets: Sequence[int]
) -> list[Term]:
    """``offsets[j] + sum of rows[j]`` for each j, with common terms shared.

    A sum is another sum plus a difference where that is cheaper
    (`convexon.plan.adders.differences`); then pairs of signed digits that several sums hold are
    added once (`share_pairs`); what is left of each sum is added as a tree of the least depth.
    Deterministic.
    """
    weights = _matrix(builder, rows)
    derived, direct = derivation(weights), derivation(weights, 0)
    n_digits = _n_digits(weights)
    if n_digits <= MAX_TRIED_DIGITS:
        tried = [direct, derived]
    elif _n_digits(_differences(weights, derived)) < WORTHWHILE * n_digits:
        tried = [derived]
    else:
        tried = [direct]
    graphs = []
    for steps in tried:
        scratch = GraphBuilder(builder.n_bits)
        graphs.append(scratch.graph(_derived_sums(scratch, weights, offsets, steps)))
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


def _differences(weights: IntArray, steps: Sequence[Step]) -> IntArray:
    differences = weights.copy()
    for step in steps:
        if step.source is not None:
            differences[:, step.column] -= step.factor * weights[:, step.source]
    return differences


def _derived_sums(
    builder: GraphBuilder, weights: IntArray, offsets: Sequence[int], steps: Sequence[Step]
) -> list[Term]:
    """``offsets + bits @ weights``, column by column as ``steps`` say."""
    left = share_pairs(builder, _digits(builder, _differences(weights, steps)))
    made: dict[int, Term] = {}
    for step in steps:
        if step.source is None:
            made[step.column] = builder.total(left[step.column], offsets[step.column])
            continue
        offset = offsets[step.column] - step.factor * offsets[step.source]
        source = made[step.source]
        shift, sign = abs(step.factor).bit_length() - 1, 1 if step.factor > 0 else -1
        moved = Term(source.node, source.shift + shift, sign * source.sign)
        # the widest operand comes last: earlier in the tree it would make more adders wide
        made[step.column] = builder.add(moved, builder.total(left[step.column], offset))
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


Pair = tuple[int, int]
"""Two terms up to a common shift and sign: the lower's node, and the other's key, its shift counted
from the lower's and its sign told by complement."""


def _pair(first: int, first_sign: int, second: int, second_sign: int) -> Pair:
    if second < first:
        first, second = second, first
    node, shift = divmod(first, PLACES)
    other = second - shift
    return node, other if first_sign == second_sign else ~other


def _members(pair: Pair) -> tuple[int, int, int, int]:
    """Both nodes of a pair, the relative shift, and the relative sign."""
    first, other = pair
    sign = 1 if other >= 0 else -1
    second, shift = divmod((other if sign > 0 else ~other) + PLACES // 2, PLACES)
    return first, second, shift - PLACES // 2, sign


class _Sharing:
    """Greedy sharing among sums, each a set of terms."""

    def __init__(self, builder: GraphBuilder, sums: Sequence[Sequence[Term]]) -> None:
        self._builder = builder
        self._sums = [{t.node * PLACES + t.shift: t.sign for t in terms} for terms in sums]
        self._counts: dict[Pair, int] = defaultdict(int)
        self._worth: dict[Pair, float] = {}
        self._holders: dict[int, set[int]] = defaultdict(set)
        """Sums that hold, or held, a node."""
        for j, terms in enumerate(self._sums):
            known: Sum = {}
            for key, sign in terms.items():
                for other, other_sign in known.items():
                    self._counts[_pair(key, sign, other, other_sign)] += 1
                known[key] = sign
                self._holders[key // PLACES].add(j)
        self._heap = [
            (-(count - 1) * self._worth_of(pair), pair)
            for pair, count in self._counts.items()
            if count > 1
        ]
        heapq.heapify(self._heap)

    def run(self) -> list[list[Term]]:
        """Share until no pair is held twice; return what is left of each sum."""
        while self._heap:
            gain, pair = heapq.heappop(self._heap)
            count = self._counts[pair]
            now = -(count - 1) * self._worth_of(pair)
            if count > 1 and now == gain:
                self._share(pair)
            elif count > 1 and now > gain:  # its count has fallen since
                heapq.heappush(self._heap, (now, pair))
        return [
            [Term(key // PLACES, key % PLACES, sign) for key, sign in terms.items()]
            for terms in self._sums
        ]

    def _worth_of(self, pair: Pair) -> float:
        """Share of the bits of the pair's adder that both operands have, by the adder's depth."""
        if pair not in self._worth:
            first, second, shift, _ = _members(pair)
            nodes = self._builder.node(Term(first)), self._builder.node(Term(second))
            ends = nodes[0].width, nodes[1].width + shift
            overlap = min(ends) - max(0, shift)
            whole = max(ends) - min(0, shift) + 1
            depth = 1 + max(node.depth for node in nodes)
            self._worth[pair] = max(0.01, overlap / whole) / depth
        return self._worth[pair]

    def _share(self, pair: Pair) -> None:
        first, second, shift, sign = _members(pair)
        found = {j: self._places(j, pair) for j in sorted(self._held_by(first, second))}
        if sum(map(len, found.values())) < 2:  # its occurrences overlap: x and 4x, 4x and 16x
            self._counts[pair] = 0
            return
        made = self._builder.add(Term(first, max(0, -shift)), Term(second, max(0, shift), sign))
        risen: set[Pair] = set()
        for j, places in found.items():
            terms = self._sums[j]
            for key, other in places:
                key_sign = terms[key]
                self._remove(terms, key)
                self._remove(terms, other)
                place = min(key % PLACES, other % PLACES) + made.shift
                risen |= self._insert(j, made.node * PLACES + place, key_sign * made.sign)
        for each in sorted(risen):
            count = self._counts[each]
            if count > 1:
                heapq.heappush(self._heap, (-(count - 1) * self._worth_of(each), each))

    def _held_by(self, first: int, second: int) -> set[int]:
        return self._holders[first] & self._holders[second]

    def _places(self, j: int, pair: Pair) -> list[tuple[int, int]]:
        """Occurrences of ``pair`` in sum ``j`` that share no term, each as two keys."""
        first, second, shift, sign = _members(pair)
        terms = self._sums[j]
        used: set[int] = set()
        places = []
        for key in range(first * PLACES, (first + 1) * PLACES):
            if key not in terms or key in used:
                continue
            other = key - first * PLACES + shift + second * PLACES
            if other not in used and terms.get(other) == terms[key] * sign:
                used |= {key, other}
                places.append((key, other))
        return places

    def _remove(self, terms: Sum, key: int) -> None:
        sign = terms.pop(key)
        for other, other_sign in terms.items():
            self._counts[_pair(key, sign, other, other_sign)] -= 1

    def _insert(self, j: int, key: int, sign: int) -> set[Pair]:
        """Add a term to sum ``j``; return the pairs that it makes there."""
        terms = self._sums[j]
        pairs = {_pair(key, sign, other, other_sign) for other, other_sign in terms.items()}
        for pair in pairs:
            self._counts[pair] += 1
        terms[key] = sign
        self._holders[key // PLACES].add(j)
        return pairs
