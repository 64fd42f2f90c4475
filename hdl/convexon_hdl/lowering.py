"""Adder graphs as hardware, cut by registers into clocks of about equal delay."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Module, Value

from convexon.errors import InputError
from convexon_hdl.adder_graph import AdderGraph
from convexon_hdl.arithmetic import Operand, node, table
from convexon_hdl.elastic import Chain

Clocks = tuple[int, ...]
"""For each node of a graph the clock that computes it, from 0."""


def cut(graph: AdderGraph, n_clocks: int) -> Clocks:
    """Spread ``graph`` over clocks, so that the slowest has the least possible delay.

    Of the earliest and the latest clocks that reach it, those are taken that need fewer flip-flops.
    Registers stand behind a node, as many as its last reader is clocks later; outputs are read in
    clock ``n_clocks - 1``.

    Raises
    ------
    InputError
        If ``n_clocks`` is below 1.
    """
    if n_clocks < 1:
        raise InputError(f"n_clocks must be at least 1, not {n_clocks!r}")
    period = max((node.delay for node in graph.nodes), default=0)
    while True:
        early = _earliest(graph, period)
        if max(early, default=0) < n_clocks:
            break
        period += 1
    late = _latest(graph, period, n_clocks)
    return min((late, early), key=lambda clocks: n_register_bits(graph, clocks, n_clocks))


def _earliest(graph: AdderGraph, period: int) -> Clocks:
    ends: list[tuple[int, int]] = []
    for each in graph.nodes:
        start = max((ends[term.node] for term in each.operands), default=(0, 0))
        clock, time = start[0], start[1] + each.delay
        ends.append((clock, time) if time <= period else (clock + 1, each.delay))
    return tuple(clock for clock, _ in ends)


def _latest(graph: AdderGraph, period: int, n_clocks: int) -> Clocks:
    """Latest clocks: (clock, time behind the node in that clock), readers first."""
    bounds = [(n_clocks - 1, 0)] * len(graph.nodes)
    for index in range(len(graph.nodes) - 1, -1, -1):
        each = graph.nodes[index]
        clock, behind = bounds[index]
        if behind + each.delay > period:
            clock, behind = clock - 1, 0
        bounds[index] = (clock, behind)
        for term in each.operands:
            own = bounds[term.node]
            reader = (clock, behind + each.delay)
            if reader[0] < own[0] or (reader[0] == own[0] and reader[1] > own[1]):
                bounds[term.node] = reader
    return tuple(clock for clock, _ in bounds)


def _readers(graph: AdderGraph, clocks: Clocks, n_clocks: int) -> list[int]:
    """Last clock in which each node, or else each bit of a lookup, is read."""
    last = list(clocks)
    for each, clock in zip(graph.nodes, clocks, strict=True):
        for term in each.operands:
            last[term.node] = max(last[term.node], clock)
    for term in graph.outputs:
        last[term.node] = n_clocks - 1
    return last


def n_register_bits(graph: AdderGraph, clocks: Clocks, n_clocks: int) -> int:
    """Flip-flops behind the nodes of a cut graph, and behind the input bits of late lookups."""
    total = 0
    read_bits: dict[int, int] = {}
    last = _readers(graph, clocks, n_clocks)
    for each, clock, read in zip(graph.nodes, clocks, last, strict=True):
        if each.is_wire:
            clock = read  # a wire is carried as the bit that it is
        for bit, _ in () if each.operands else each.factors:
            read_bits[bit] = max(read_bits.get(bit, 0), clock)
        total += each.width * (read - clock)
    return total + sum(read_bits.values())


def lower(
    m: Module,
    graph: AdderGraph,
    bits: Sequence[Value],
    *,
    chain: Chain,
    n_clocks: int,
    name: str,
) -> list[Operand]:
    """Hardware of ``graph``; the outputs, as they are in clock ``n_clocks - 1``.

    Parameters
    ----------
    m : Module
    graph : AdderGraph
    bits : sequence of Value
        Input bits in clock 0.
    chain : Chain
        Carries values from clock to clock.
    n_clocks : int
    name : str
        Prefix of the signals.

    Raises
    ------
    InputError
        If there are not as many bits as the graph reads.
    """
    if len(bits) != graph.n_bits:
        raise InputError(f"bits must be {graph.n_bits}, not {len(bits)}")
    return _Lowering(m, graph, bits, chain, cut(graph, n_clocks), name).outputs(n_clocks)


class _Lowering:
    """The nodes of a graph that are hardware so far, by clock."""

    def __init__(
        self,
        m: Module,
        graph: AdderGraph,
        bits: Sequence[Value],
        chain: Chain,
        clocks: Clocks,
        name: str,
    ) -> None:
        self._m, self._graph, self._bits, self._chain = m, graph, bits, chain
        self._clocks, self._name = clocks, name
        self._known: dict[tuple[str, int, int], Operand] = {}

    def outputs(self, n_clocks: int) -> list[Operand]:
        """Build all nodes, in their order, then read the outputs."""
        for index, clock in enumerate(self._clocks):
            self._at(index, clock)
        return [self._at(t.node, n_clocks - 1).shifted(t.shift) for t in self._graph.outputs]

    def _at(self, index: int, clock: int) -> Operand:
        """Node ``index`` as it is in ``clock``."""
        key = ("node", index, clock)
        if key not in self._known:
            each = self._graph.nodes[index]
            if each.is_wire and each.factors:
                self._known[key] = self._bit(each.factors[0][0], clock)
            elif clock > self._clocks[index]:
                before = self._at(index, clock - 1)
                self._known[key] = self._carried(before, clock, f"{self._name}_{index}")
            else:
                self._known[key] = self._computed(index, clock)
        return self._known[key]

    def _bit(self, bit: int, clock: int) -> Operand:
        key = ("bit", bit, clock)
        if key not in self._known:
            self._known[key] = (
                self._carried(self._bit(bit, clock - 1), clock, f"{self._name}_bit{bit}")
                if clock
                else Operand.bit(self._bits[bit])
            )
        return self._known[key]

    def _carried(self, operand: Operand, clock: int, name: str) -> Operand:
        value = self._chain.carry(self._m, operand.value, clock - 1, clock, name=name)
        return Operand(value, operand.interval)

    def _computed(self, index: int, clock: int) -> Operand:
        each, name = self._graph.nodes[index], f"{self._name}_{index}"
        if not each.operands:
            if not each.factors:
                return Operand.constant(each.constant)
            address = [self._bit(bit, clock).value for bit, _ in each.factors]
            return table(self._m, address, _entries(each.factors, each.constant), name=name)
        first, second = (
            self._at(term.node, clock).shifted(term.shift).value for term in each.operands
        )
        value = first + second if each.operands[1].sign > 0 else first - second
        return node(self._m, value, each.interval, name=name)


def _entries(factors: Sequence[tuple[int, int]], constant: int) -> list[int]:
    """Values of a lookup over the bits set in 0, 1, 2, ..."""
    entries = [constant]
    for _, factor in factors:
        entries += [factor + entry for entry in entries]
    return entries
