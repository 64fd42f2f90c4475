"""Adder graphs as hardware, cut by registers into clocks of about equal delay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

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

    ``bits`` come in clock 0, and ``chain`` carries values from clock to clock. Signals' names begin
    with ``name``. Raises `InputError` if there are not as many bits as the graph reads.
    """
    if len(bits) != graph.n_bits:
        raise InputError(f"bits must be {graph.n_bits}, not {len(bits)}")
    lowering = _Lowering(m, graph, bits, chain, cut(graph, n_clocks), name)
    for index, clock in enumerate(lowering.clocks):
        lowering.at(index, clock)
    return [lowering.at(t.node, n_clocks - 1).shifted(t.shift) for t in graph.outputs]


@dataclass(eq=False)
class _Lowering:
    """The nodes of a graph that are hardware so far, by clock."""

    m: Module
    graph: AdderGraph
    bits: Sequence[Value]
    chain: Chain
    clocks: Clocks
    name: str
    _known: dict[tuple[str, int, int], Operand] = field(default_factory=dict)

    def at(self, index: int, clock: int) -> Operand:
        """Node ``index`` as it is in ``clock``."""
        key = ("node", index, clock)
        if key not in self._known:
            each = self.graph.nodes[index]
            if each.is_wire and each.factors:
                self._known[key] = self._bit(each.factors[0][0], clock)
            elif clock > self.clocks[index]:
                before = self.at(index, clock - 1)
                self._known[key] = self._carried(before, clock, f"{self.name}_{index}")
            else:
                self._known[key] = self._computed(index, clock)
        return self._known[key]

    def _bit(self, bit: int, clock: int) -> Operand:
        key = ("bit", bit, clock)
        if key not in self._known:
            self._known[key] = (
                self._carried(self._bit(bit, clock - 1), clock, f"{self.name}_bit{bit}")
                if clock
                else Operand.bit(self.bits[bit])
            )
        return self._known[key]

    def _carried(self, operand: Operand, clock: int, name: str) -> Operand:
        value = self.chain.carry(self.m, operand.value, clock - 1, clock, name=name)
        return Operand(value, operand.interval)

    def _computed(self, index: int, clock: int) -> Operand:
        each, name = self.graph.nodes[index], f"{self.name}_{index}"
        if not each.operands:
            if not each.factors:
                return Operand.constant(each.constant)
            address = [self._bit(bit, clock).value for bit, _ in each.factors]
            return table(self.m, address, _entries(each.factors, each.constant), name=name)
        first, second = (
            self.at(term.node, clock).shifted(term.shift).value for term in each.operands
        )
        value = first + second if each.operands[1].sign > 0 else first - second
        return node(self.m, value, each.interval, name=name)


def _entries(factors: Sequence[tuple[int, int]], constant: int) -> list[int]:
    """Values of a lookup over the bits set in 0, 1, 2, ..."""
    entries = [constant]
    for _, factor in factors:
        entries += [factor + entry for entry in entries]
    return entries
