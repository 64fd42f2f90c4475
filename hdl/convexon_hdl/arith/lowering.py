"""Adder graphs as hardware, cut by registers into clocks of about equal delay."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Module, Value

from convexon.errors import InputError
from convexon.plan.adders.cut import Clocks, cut
from convexon.plan.adders.graph import AdderGraph
from convexon_hdl.arith.arithmetic import Operand, node, table
from convexon_hdl.streams import Chain


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
