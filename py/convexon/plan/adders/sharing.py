"""Common subexpressions of weighted sums: terms that several sums need are added once."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from convexon.plan.adders.differences import (
    IntArray,
    Step,
    derivation,
    least_digits,
    n_digits,
)
from convexon.plan.adders.graph import Addend, AdderGraph, GraphBuilder, Term, signed_digits

MAX_WORK = 400_000
"""Pairs of terms that are looked at in the beginning: larger layers are divided into blocks."""

MAX_TRIED_DIGITS = 5_000
"""Digits of a layer that is built both with and without differences, for the better of the two."""

WORTHWHILE = 0.7
"""Share of their digits that differences of a larger layer may have at most."""

PLACES = 1 << 7
"""More than twice the highest shift of a term."""


def shared_sums(
    n_bits: int, rows: Sequence[Sequence[Addend]], offsets: Sequence[int]
) -> AdderGraph:
    """``offsets[j] + sum of rows[j]`` for each j, with common terms shared.

    A sum is another sum plus a difference where that is cheaper
    (`convexon.plan.adders.differences`); then pairs of signed digits that several sums hold are
    added once (`share_pairs`); what is left of each sum is added as a tree of the least depth.
    Deterministic.
    """
    weights = _matrix(n_bits, rows)
    digits = int(n_digits(weights).sum())
    tried = [derivation(weights, 0)]
    if digits <= MAX_TRIED_DIGITS:
        tried.append(derivation(weights))
    elif least_digits(weights) < WORTHWHILE * digits:
        derived = derivation(weights)
        if n_digits(_differences(weights, derived)).sum() < WORTHWHILE * digits:
            tried = [derived]
    graphs = []
    for steps in tried:
        builder = GraphBuilder(n_bits)
        graphs.append(builder.graph(_derived_sums(builder, weights, offsets, steps)))
    return cheapest(graphs)


def cheapest(graphs: Sequence[AdderGraph]) -> AdderGraph:
    """First graph of the least cost; of equals, one of the least depth."""
    return min(graphs, key=lambda graph: (graph.cost, graph.depth))


def _matrix(n_bits: int, rows: Sequence[Sequence[Addend]]) -> IntArray:
    weights = np.zeros((n_bits, len(rows)), dtype=np.int64)
    for j, row in enumerate(rows):
        for addend in row:
            weights[addend.bit, j] += addend.weight << addend.place
    return weights


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


Pair = int
"""Two terms up to a common shift and sign, as one number: ``PAIRS`` times the lower's node, plus
``PAIRS // 2``, plus the other's key, its shift counted from the lower's, its sign by complement."""

PAIRS = 1 << 40
"""More than twice the highest key of a term."""


def _pairs_of(keys: IntArray, signs: IntArray, others: IntArray, other_signs: IntArray) -> IntArray:
    """Return the pairs of terms, element by element."""
    first = np.minimum(keys, others)
    other = np.maximum(keys, others) - first % PLACES
    told = np.where(signs == other_signs, other, ~other)
    pairs: IntArray = first // PLACES * PAIRS + PAIRS // 2 + told
    return pairs


def _pair(key: int, sign: int, other: int, other_sign: int) -> Pair:
    """Return `_pairs_of` two terms, without arrays."""
    first, second = (key, other) if key < other else (other, key)
    told = second - first % PLACES
    return first // PLACES * PAIRS + PAIRS // 2 + (told if sign == other_sign else ~told)


def _members(pair: Pair) -> tuple[int, int, int, int]:
    """Both nodes of a pair, the relative shift, and the relative sign."""
    first, other = divmod(pair, PAIRS)
    other -= PAIRS // 2
    sign = 1 if other >= 0 else -1
    second, shift = divmod((other if sign > 0 else ~other) + PLACES // 2, PLACES)
    return first, second, shift - PLACES // 2, sign


def _nodes_of(pairs: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Return what `_members` tells of many pairs, but for the sign."""
    first, other = np.divmod(pairs, PAIRS)
    other -= PAIRS // 2
    second, shift = np.divmod(np.where(other >= 0, other, ~other) + PLACES // 2, PLACES)
    return first, second, shift - PLACES // 2


TOGETHER = 16
"""Sums whose places stand in one number, so that a pair is counted in all of them at once."""

_SLOT = 2 * PLACES


def _bit(j: int, place: int, sign: int) -> int:
    """Return the bit of a place of sum ``j``: those of sign -1 begin ``PLACES`` above the others.

    No place is above half of ``PLACES``, so that all stay apart when all are moved.
    """
    return 1 << (j % TOGETHER * _SLOT + (place if sign > 0 else place + PLACES))


def _moved(places: int, shift: int) -> int:
    return places >> shift if shift >= 0 else places << -shift


def _begins(places: int, apart: int) -> list[tuple[int, int]]:
    """Return the sum, and the place in it, where each pair begins, of pairs that share no term.

    ``apart`` is the place of a pair's second term above the first, where both have the same node.
    """
    found = []
    while places:
        slot = ((places & -places).bit_length() - 1) // _SLOT
        own = places >> slot * _SLOT & ((1 << _SLOT) - 1)
        places ^= own << slot * _SLOT
        left = (own | own >> PLACES) & ((1 << PLACES) - 1)
        while left:
            lowest = left & -left
            found.append((slot, lowest.bit_length() - 1))
            left &= ~(lowest | lowest << apart)
    return found


@lru_cache(maxsize=1 << 16)
def _worth(first_width: int, second_width: int, shift: int, depth: int) -> float:
    """What an adder of two such nodes counts, the second one moved."""
    ends = first_width, second_width + shift
    overlap = min(ends) - max(0, shift)
    whole = max(ends) - min(0, shift) + 1
    return max(0.01, overlap / whole) / (1 + depth)


class _Sharing:
    """Greedy sharing among sums, each a set of terms.

    The heap holds pairs with what they once saved, and nothing is counted while terms come and go:
    how often a pair occurs is counted when it comes up, from the places of its nodes in each sum.
    """

    def __init__(self, builder: GraphBuilder, sums: Sequence[Sequence[Term]]) -> None:
        self._builder = builder
        self._sums = [{t.node * PLACES + t.shift: t.sign for t in terms} for terms in sums]
        self._places: dict[int, dict[int, int]] = defaultdict(dict)
        """Of each node that some sum holds, or held, by the groups that hold it: a `_bit` each."""
        self._flipped: dict[int, dict[int, int]] = defaultdict(dict)
        """The same with all signs changed."""
        self._forgone: dict[Pair, int] = defaultdict(int)
        """Occurrences that are not counted any more, as they overlap."""
        found = [np.zeros(0, dtype=np.int64)]
        for j, terms in enumerate(self._sums):
            for key, sign in terms.items():
                self._mark(j, key, sign)
            keys = np.fromiter(terms, dtype=np.int64, count=len(terms))
            signs = np.fromiter(terms.values(), dtype=np.int64, count=len(terms))
            one, other = np.triu_indices(len(keys), 1)
            found.append(_pairs_of(keys[one], signs[one], keys[other], signs[other]))
        pairs, counts = np.unique(np.concatenate(found), return_counts=True)
        self._heap = self._entries(pairs[counts > 1], counts[counts > 1])
        heapq.heapify(self._heap)

    def run(self) -> list[list[Term]]:
        """Share until no pair is held twice; return what is left of each sum."""
        while self._heap:
            gain, pair, worth = heapq.heappop(self._heap)
            count = self._count(pair)
            now = -(count - 1) * worth
            if count > 1 and now == gain:
                self._share(pair)
            elif count > 1 and now > gain:  # its count has fallen since
                heapq.heappush(self._heap, (now, pair, worth))
        return [
            [Term(key // PLACES, key % PLACES, sign) for key, sign in terms.items()]
            for terms in self._sums
        ]

    def _entries(self, pairs: IntArray, counts: IntArray) -> list[tuple[float, Pair, float]]:
        """Return `_entry` of each pair, all at once: pairs of a kind count alike."""
        first, second, shift = _nodes_of(pairs)
        nodes = np.unique(np.concatenate([first, second]))
        each = [self._builder.node(index) for index in nodes.tolist()]
        shapes = np.array([(node.width, node.depth) for node in each], dtype=np.int64)
        a, b = shapes.reshape(-1, 2)[np.searchsorted(nodes, np.stack([first, second]))]
        sizes = (1 << 12, 1 << 12, PLACES, 1 << 12)
        kind = (a[:, 0], b[:, 0], shift + PLACES // 2, np.maximum(a[:, 1], b[:, 1]))
        kinds, at = np.unique(np.ravel_multi_index(kind, sizes), return_inverse=True)
        told = np.transpose(np.unravel_index(kinds, sizes)).tolist()
        of_kind = [_worth(w, v, place - PLACES // 2, depth) for w, v, place, depth in told]
        worth = np.array(of_kind, dtype=np.float64)[at]
        gains = -(counts - 1) * worth
        return list(zip(gains.tolist(), pairs.tolist(), worth.tolist(), strict=True))

    def _entry(self, pair: Pair, count: int) -> tuple[float, Pair, float]:
        """Return an entry of the heap: what a pair saves, the pair, and what one adder counts.

        An adder counts for the share of its bits that both operands have, by its depth.
        """
        index, other, shift, _ = _members(pair)
        first, second = self._builder.node(index), self._builder.node(other)
        worth = _worth(first.width, second.width, shift, max(first.depth, second.depth))
        return -(count - 1) * worth, pair, worth

    def _beside(self, second: int, sign: int) -> dict[int, int]:
        """Return the places of a pair's second node that the first must have too."""
        return self._places[second] if sign > 0 else self._flipped[second]

    def _count(self, pair: Pair) -> int:
        """Return how often a pair occurs in all sums."""
        first, second, shift, sign = _members(pair)
        held, beside = self._places[first], self._beside(second, sign)
        count = -self._forgone.get(pair, 0)
        for group in held.keys() & beside.keys():
            count += (held[group] & _moved(beside[group], shift)).bit_count()
        return count

    def _share(self, pair: Pair) -> None:
        first, second, shift, sign = _members(pair)
        held, beside = self._places[first], self._beside(second, sign)
        apart = shift if first == second else 0
        found = [
            (group * TOGETHER + slot, place)
            for group in sorted(held.keys() & beside.keys())
            for slot, place in _begins(held[group] & _moved(beside[group], shift), apart)
        ]
        if len(found) < 2:  # its occurrences overlap: x and 4x, 4x and 16x
            self._forgone[pair] += self._count(pair)
            return
        made = self._builder.add(Term(first, max(0, -shift)), Term(second, max(0, shift), sign))
        is_new = made.node not in self._places
        risen: Counter[Pair] = Counter()
        for j, place in found:
            key_sign = self._remove(j, first * PLACES + place)
            self._remove(j, second * PLACES + place + shift)
            key = made.node * PLACES + min(place, place + shift) + made.shift
            risen.update(self._insert(j, key, key_sign * made.sign))
        for each, times in risen.items():
            if times > 1 or not is_new:  # what is new occurs nowhere else
                count = self._count(each)
                if count > 1:
                    heapq.heappush(self._heap, self._entry(each, count))

    def _mark(self, j: int, key: int, sign: int) -> None:
        """Add, or take away, the place of a term in sum ``j``."""
        node, place = divmod(key, PLACES)
        group = j // TOGETHER
        for places, own in ((self._places[node], sign), (self._flipped[node], -sign)):
            left = places.get(group, 0) ^ _bit(j, place, own)
            if left:
                places[group] = left
            else:
                del places[group]

    def _remove(self, j: int, key: int) -> int:
        """Remove a term of sum ``j``, and return its sign."""
        sign = self._sums[j].pop(key)
        self._mark(j, key, sign)
        return sign

    def _insert(self, j: int, key: int, sign: int) -> list[Pair]:
        """Add a term to sum ``j``; return the pairs that it makes there."""
        terms = self._sums[j]
        pairs = [_pair(key, sign, other, other_sign) for other, other_sign in terms.items()]
        terms[key] = sign
        self._mark(j, key, sign)
        return pairs
