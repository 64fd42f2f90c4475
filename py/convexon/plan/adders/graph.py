"""Adder graphs: weighted sums of bits as lookups, shifts and additions, before they are hardware.

A node is an affine function of the input bits, ``constant + sum_i factor[i] * bit[i]``, and knows
it, so that its interval is exact even where its operands share bits. A function of at most four
bits is a *lookup*: one LUT4 for each bit of its width, whatever its factors. Any other node is the
*sum* of two nodes, each shifted by wires and added or subtracted. Nodes are made by a
`GraphBuilder`, which makes none twice; `convexon_hdl.arith.lowering` turns a graph into hardware.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from convexon.errors import InputError
from convexon.snn.fixed import Interval, bits_of

LUT_INPUTS = 4
"""Inputs of the lookup table that ECP5, iCE40 and Gowin parts are made of."""

LOOKUP_DELAY = 2
"""Delay of a lookup, in thirds of a short adder's: both have a wire to cross first."""

SUM_DELAY = 3
"""Delay of a sum, in thirds of a short adder's."""

SHORT_SUMS = (0, 1, 2, 3, 5)
"""LUT4s of sums by their width, as Yosys maps them without a carry chain."""


def signed_digits(number: int) -> tuple[tuple[int, int], ...]:
    """Canonical signed digits of ``number``: (place, +1 or -1), lowest place first.

    No two are adjacent, and no other sum of signed powers of two has fewer terms: 7 is 8 - 1.
    """
    digits: list[tuple[int, int]] = []
    place = 0
    while number:
        if number & 1:
            digit = 2 - (number & 3)  # ...01 -> +1, ...11 -> -1
            digits.append((place, digit))
            number -= digit
        number >>= 1
        place += 1
    return tuple(digits)


Factors = tuple[tuple[int, int], ...]
"""Bits in their order, each with a factor that is not 0."""


class Addend(NamedTuple):
    """``weight * 2**place * bit``, one part of a weighted sum."""

    bit: int  # index of the input bit
    weight: int
    place: int = 0  # bit plane of an intensity; lookups keep to one, and are the narrower for it


class Term(NamedTuple):
    """``sign * 2**shift`` times a node."""

    node: int
    shift: int = 0
    sign: int = 1


class Node(NamedTuple):
    """One value of a graph."""

    factors: Factors
    constant: int
    operands: tuple[Term, ...]  # the two terms of a sum, the first one positive; none for a lookup
    interval: Interval  # exactly the hull of the values that the node takes
    width: int  # bits of the narrowest shape of the interval
    depth: int  # lookups and sums on the longest way from a bit

    @property
    def is_wire(self) -> bool:
        """Whether the node is a bit as it comes, or a constant."""
        plain = len(self.factors) == 1 and self.factors[0][1] == 1 and not self.constant
        return not self.operands and (plain or not self.factors)

    @property
    def delay(self) -> int:
        """Delay of the node alone, in thirds of a short adder's."""
        if self.is_wire:
            return 0
        return SUM_DELAY if self.operands else LOOKUP_DELAY


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphCount:
    """What a graph is made of."""

    lookups: int  # functions of at most four bits
    short_luts: int  # LUT4s of sums without a carry chain
    widths: tuple[int, ...]  # bits of each sum with one

    @property
    def chains(self) -> int:
        """Sums with a carry chain."""
        return len(self.widths)

    @property
    def chain_bits(self) -> int:
        """Bits of all sums with a carry chain."""
        return sum(self.widths)


@dataclass(frozen=True, eq=False)
class AdderGraph:
    """Weighted sums of ``n_bits`` bits."""

    n_bits: int
    nodes: tuple[Node, ...]  # operands before the sums that read them
    outputs: tuple[Term, ...]  # one for each sum asked for; all positive

    @property
    def depth(self) -> int:
        """Lookups and sums on the longest way from a bit to an output."""
        return max((self.nodes[term.node].depth for term in self.outputs), default=0)

    @property
    def count(self) -> GraphCount:
        """What the graph is made of.

        A lookup takes a function for each bit, but none for a bit that an input already is, and
        none again for one that another lookup has too, inverted or not: lookups of the same bits
        with odd factors share their lowest. A sum has its bits without the low ones that it only
        passes on: up to four bits in LUT4s, wider ones in carry chains.
        """
        functions: dict[tuple[int, ...], set[int]] = defaultdict(set)
        short = 0
        chains: list[int] = []
        for node in self.nodes:
            if node.operands:
                first, second = node.operands
                passed = second.shift if first.shift == 0 else first.shift * (second.sign > 0)
                width = max(1, node.width - passed)
                if width < len(SHORT_SUMS):
                    short += SHORT_SUMS[width]
                else:
                    chains.append(width)
            elif not node.is_wire:
                bits, factors = zip(*node.factors, strict=True)
                functions[bits] |= _truths(factors, node.constant, node.width)
        lookups = sum(map(len, functions.values()))
        return GraphCount(lookups=lookups, short_luts=short, widths=tuple(chains))

    @property
    def cost(self) -> int:
        """LUT4s that ECP5 is to take, carry chains of an even length included."""
        count = self.count
        odd = sum(width % 2 for width in count.widths)
        return count.lookups + count.short_luts + count.chain_bits + odd

    def evaluate(self, bits: Sequence[int]) -> list[int]:
        """Outputs for given input bits, computed along the operands."""
        values: list[int] = []
        for node in self.nodes:
            if node.operands:
                values.append(sum(t.sign * (values[t.node] << t.shift) for t in node.operands))
            else:
                looked_up = sum(factor * bits[bit] for bit, factor in node.factors)
                values.append(node.constant + looked_up)
        return [term.sign * (values[term.node] << term.shift) for term in self.outputs]


class GraphBuilder:
    """Makes the nodes of a graph, each once; ``nodes`` are of a graph that it goes on with."""

    def __init__(self, n_bits: int, nodes: Sequence[Node] = ()) -> None:
        if n_bits < 0:
            raise InputError(f"n_bits must be 0 or more, not {n_bits!r}")
        self._n_bits = n_bits
        self._nodes = list(nodes)
        self._lookups: dict[tuple[Factors, int], int] = {}
        self._sums: dict[tuple[Term, ...], Term] = {}
        for index, node in enumerate(nodes):
            if node.operands:
                self._sums[node.operands] = Term(index)
            else:
                self._lookups[node.factors, node.constant] = index

    def graph(self, outputs: Sequence[Term]) -> AdderGraph:
        """Graph of ``outputs``, without the nodes that none of them needs."""
        positive = [self._positive(term) for term in outputs]
        needed = {term.node for term in positive}
        for index in range(len(self._nodes) - 1, -1, -1):
            if index in needed:
                needed.update(term.node for term in self._nodes[index].operands)
        kept = sorted(needed)
        moved = {old: new for new, old in enumerate(kept)}

        def renamed(term: Term) -> Term:
            return Term(moved[term.node], term.shift, term.sign)

        nodes = [
            node._replace(operands=(renamed(node.operands[0]), renamed(node.operands[1])))
            if node.operands
            else node
            for node in (self._nodes[index] for index in kept)
        ]
        return AdderGraph(self._n_bits, tuple(nodes), tuple(renamed(term) for term in positive))

    @property
    def n_bits(self) -> int:
        """Input bits."""
        return self._n_bits

    def node(self, index: int) -> Node:
        """Node of this number."""
        return self._nodes[index]

    def bit(self, index: int) -> Term:
        """Input bit ``index``."""
        if not 0 <= index < self._n_bits:
            raise InputError(f"index must be 0 to {self._n_bits - 1}, not {index!r}")
        return Term(self._lookup_node(((index, 1),), 0))

    def constant(self, number: int) -> Term:
        """Constant ``number``."""
        return self.lookup({}, number)

    def lookup(self, factors: Mapping[int, int], constant: int = 0) -> Term:
        """``constant + sum factors[bit] * bit`` of at most four bits, as a table."""
        kept = tuple(sorted((bit, factor) for bit, factor in factors.items() if factor))
        if len(kept) > LUT_INPUTS:
            raise InputError(f"factors must be at most {LUT_INPUTS}, not {len(kept)}")
        common = constant
        for _, factor in kept:
            common |= factor
        shift = (common & -common).bit_length() - 1 if common else 0
        if shift:
            kept = tuple((bit, factor >> shift) for bit, factor in kept)
        return Term(self._lookup_node(kept, constant >> shift), shift)

    def _lookup_node(self, factors: Factors, constant: int) -> int:
        index = self._lookups.get((factors, constant))
        if index is None:
            plain = not factors or (len(factors) == 1 and factors[0][1] == 1 and not constant)
            interval = _interval(factors, constant)
            index = len(self._nodes)
            node = Node(factors, constant, (), interval, bits_of(interval), int(not plain))
            self._nodes.append(node)
            self._lookups[factors, constant] = index
        return index

    def add(self, left: Term, right: Term) -> Term:
        """Sum of two terms: a lookup if it reads at most four bits, else an adder."""
        if left.sign < 0 and right.sign < 0:
            return _negated(self.add(_negated(left), _negated(right)))
        positive = left.sign > 0 and right.sign > 0
        if left.sign < 0 or (positive and (right.node, right.shift) < (left.node, left.shift)):
            left, right = right, left  # one order for both, so that equal sums are found
        for term, other in ((left, right), (right, left)):
            if self._is_zero(term):
                return other
        shift = min(left.shift, right.shift)
        operands = (
            Term(left.node, left.shift - shift),
            Term(right.node, right.shift - shift, right.sign),
        )
        made = self._sums.get(operands)
        if made is None:
            made = self._sums[operands] = self._sum(*operands)
        return Term(made.node, made.shift + shift)

    def _sum(self, left: Term, right: Term) -> Term:
        """Sum of two terms that was not made before; the first one is positive."""
        first, second = self._nodes[left.node], self._nodes[right.node]
        scales = 1 << left.shift, right.sign << right.shift
        constant = scales[0] * first.constant + scales[1] * second.constant
        factors = sorted(_scaled(first.factors, scales[0]) + _scaled(second.factors, scales[1]))
        totals = dict(factors)
        apart = len(totals) == len(factors)
        if not apart:  # they share bits
            totals = dict.fromkeys(totals, 0)
            for bit, factor in factors:
                totals[bit] += factor
            factors = [(bit, factor) for bit, factor in totals.items() if factor]
        if len(factors) <= LUT_INPUTS:
            return self.lookup(dict(factors), constant)
        kept = tuple(factors)
        if apart:
            interval = first.interval.scaled(scales[0]) + second.interval.scaled(scales[1])
        else:
            interval = _interval(kept, constant)
        depth = 1 + max(first.depth, second.depth)
        node = Node(kept, constant, (left, right), interval, bits_of(interval), depth)
        self._nodes.append(node)
        return Term(len(self._nodes) - 1)

    def _is_zero(self, term: Term) -> bool:
        node = self._nodes[term.node]
        return not node.factors and not node.constant

    def _positive(self, term: Term) -> Term:
        """The same value as a positive term: at worst, subtracted from 0."""
        if term.sign > 0:
            return term
        node = self._nodes[term.node]
        if not node.operands:
            return self.lookup(
                {bit: -factor << term.shift for bit, factor in node.factors},
                -node.constant << term.shift,
            )
        operands = (Term(self._lookup_node((), 0)), Term(term.node, 0, -1))
        made = self._sums.get(operands)
        if made is None:
            made = self._sums[operands] = self._sum(*operands)
        return Term(made.node, term.shift)

    def total(self, terms: Sequence[Term], constant: int = 0) -> Term:
        """Sum of ``terms`` and a constant, as a tree of the least depth.

        The shallowest two are added first; among equally deep ones, those of similar place and
        width, so that a narrow one is not carried along a wide adder. The constant goes into the
        widest lookup, for nothing, if there is one.
        """
        terms = self._with_constant(list(terms), constant)
        if not terms:
            return self.constant(0)
        heap = [self._entry(term, order) for order, term in enumerate(terms)]
        heapq.heapify(heap)
        order = len(heap)
        while len(heap) > 1:
            first, second = heapq.heappop(heap)[-1], heapq.heappop(heap)[-1]
            heapq.heappush(heap, self._entry(self.add(first, second), order))
            order += 1
        return heap[0][-1]

    def _entry(self, term: Term, order: int) -> tuple[int, int, int, int, Term]:
        node = self._nodes[term.node]
        return node.depth, term.shift, node.width, order, term

    def _with_constant(self, terms: list[Term], constant: int) -> list[Term]:
        if not constant:
            return terms
        lookups = [k for k, term in enumerate(terms) if not self._nodes[term.node].operands]
        if not lookups:
            return [*terms, self.constant(constant)]
        widest = max(lookups, key=lambda k: (self._reach(terms[k]), k))
        terms[widest] = self.add_constant(terms[widest], constant)
        return terms

    def _reach(self, term: Term) -> int:
        return self._nodes[term.node].width + term.shift

    def add_constant(self, term: Term, constant: int) -> Term:
        """``term + constant``: free for a lookup."""
        return self.add(term, self.constant(constant)) if constant else term


def _negated(term: Term) -> Term:
    return Term(term.node, term.shift, -term.sign)


def _moved(term: Term, shift: int, sign: int) -> Term:
    return Term(term.node, term.shift + shift, term.sign * sign)


def _scaled(factors: Factors, scale: int) -> Factors:
    return factors if scale == 1 else tuple((bit, factor * scale) for bit, factor in factors)


@lru_cache(maxsize=1 << 16)
def _truths(factors: tuple[int, ...], constant: int, width: int) -> frozenset[int]:
    """Truth tables, or their inverses, that the bits of a lookup with these factors need."""
    entries = [constant]
    for factor in factors:
        entries += [entry + factor for entry in entries]
    everywhere = (1 << len(entries)) - 1
    truths = set()
    for place in range(width):
        truth = sum((entry >> place & 1) << k for k, entry in enumerate(entries))
        truths.add(truth ^ everywhere if truth & 1 else truth)
    wires = {
        sum((k >> position & 1) << k for k in range(len(entries)))
        for position in range(len(factors))
    }
    return frozenset(truths - wires - {0})


def _interval(factors: Sequence[tuple[int, int]], constant: int) -> Interval:
    low = sum(factor for _, factor in factors if factor < 0)
    high = sum(factor for _, factor in factors if factor > 0)
    return Interval(constant + low, constant + high)
