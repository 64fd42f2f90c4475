"""Adder graphs cut by registers into clocks of about equal delay."""

from __future__ import annotations

from convexon.errors import InputError
from convexon.plan.adders.graph import AdderGraph

Clocks = tuple[int, ...]
"""For each node of a graph the clock that computes it, from 0."""


def cut(graph: AdderGraph, n_clocks: int) -> Clocks:
    """Spread ``graph`` over clocks, so that the slowest has the least possible delay.

    Of the earliest and the latest clocks that reach it, those are taken that need fewer flip-flops.
    Registers stand behind a node, as many as its last reader is clocks later; outputs are read in
    clock ``n_clocks - 1``.

    Raises `InputError` if ``n_clocks`` is below 1.
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
