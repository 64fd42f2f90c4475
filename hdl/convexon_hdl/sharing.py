"""Common subexpressions of weighted sums: terms that several sums need are added once."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from convexon_hdl.adder_graph import Addend, GraphBuilder, Term
from convexon_hdl.arithmetic import signed_digits

BLOCK = 8
"""Bits among which pairs are sought: it bounds the pairs of a sum by a multiple of its terms."""

Pair = tuple[int, int, int, int]
"""Two terms up to a common shift and sign: both nodes, relative shift, relative sign."""


def shared_sums(
    builder: GraphBuilder, rows: Sequence[Sequence[Addend]], offsets: Sequence[int]
) -> list[Term]:
    """``offsets[j] + sum of rows[j]`` for each j, with common pairs of signed digits shared.

    Greedy and deterministic: the pair of digits that most sums hold, up to a common shift and sign,
    becomes a node of its own and takes their place; and so on until no pair is held twice. What is
    left of each sum is added as a balanced tree.
    """
    left: list[list[Term]] = [[] for _ in rows]
    blocks: dict[int, list[list[Term]]] = defaultdict(lambda: [[] for _ in rows])
    for j, row in enumerate(rows):
        for addend in row:
            node = builder.bit(addend.bit).node
            blocks[addend.bit // BLOCK][j] += [
                Term(node, addend.place + place, sign)
                for place, sign in signed_digits(addend.weight)
            ]
    for index in sorted(blocks):
        for j, terms in enumerate(_Sharing(builder, blocks[index]).run()):
            left[j] += terms
    return [builder.total(terms, offset) for terms, offset in zip(left, offsets, strict=True)]


class _Sharing:
    """Greedy sharing among sums, each a multiset of terms."""

    def __init__(self, builder: GraphBuilder, sums: Sequence[Iterable[Term]]) -> None:
        self._builder = builder
        self._sums = [dict.fromkeys(terms) for terms in sums]  # ordered sets
        self._counts: Counter[Pair] = Counter()
        self._holders: dict[Pair, set[int]] = defaultdict(set)
        for j, terms in enumerate(self._sums):
            ordered = list(terms)
            for k, term in enumerate(ordered):
                self._count(j, term, ordered[:k], 1)
        self._heap = [(-count, pair) for pair, count in self._counts.items() if count > 1]
        heapq.heapify(self._heap)

    def run(self) -> list[list[Term]]:
        """Share until no pair is held twice; return what is left of each sum."""
        while self._heap:
            count, pair = heapq.heappop(self._heap)
            if self._counts[pair] != -count:  # an old entry: its count has changed since
                if self._counts[pair] > 1:
                    heapq.heappush(self._heap, (-self._counts[pair], pair))
                continue
            self._share(pair)
        return [list(terms) for terms in self._sums]

    def _share(self, pair: Pair) -> None:
        found = {j: self._places(j, pair) for j in sorted(self._holders[pair])}
        if sum(map(len, found.values())) < 2:  # its occurrences overlap: x and 4x, 4x and 16x
            self._counts[pair] = 0
            return
        first, second, shift, sign = pair
        made = self._builder.add(Term(first, max(0, -shift)), Term(second, max(0, shift), sign))
        touched: set[Pair] = set()
        for j, places in found.items():
            for a, b in places:
                for term in (a, b):
                    del self._sums[j][term]
                    self._count(j, term, self._sums[j], -1)
                base = min(a.shift, b.shift) if shift else a.shift
                new = Term(made.node, base + made.shift, a.sign * made.sign)
                touched |= self._count(j, new, self._sums[j], 1)
                self._sums[j][new] = None
        for each in sorted(touched):
            if self._counts[each] > 1:
                heapq.heappush(self._heap, (-self._counts[each], each))

    def _places(self, j: int, pair: Pair) -> list[tuple[Term, Term]]:
        """Occurrences of ``pair`` in sum ``j`` that share no term."""
        first, second, shift, sign = pair
        terms = self._sums[j]
        used: set[Term] = set()
        places = []
        for a in terms:
            if a.node != first or a in used:
                continue
            b = Term(second, a.shift + shift, a.sign * sign)
            if b in terms and b not in used and b != a:
                used |= {a, b}
                places.append((a, b))
        return places

    def _count(self, j: int, term: Term, others: Iterable[Term], by: int) -> set[Pair]:
        """Note ``by`` more occurrences of the pairs of ``term`` with ``others`` in sum ``j``."""
        pairs = set()
        for other in others:
            a, b = sorted((term, other), key=lambda t: (t.node, t.shift))
            pair = (a.node, b.node, b.shift - a.shift, a.sign * b.sign)
            self._counts[pair] += by
            if by > 0:
                self._holders[pair].add(j)
            pairs.add(pair)
        return pairs
