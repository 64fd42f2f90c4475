"""Adder graphs as hardware, cut by registers into clocks of about equal delay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from amaranth.hdl import Cat, ClockSignal, Elaboratable, Instance, Module, Signal, Value

from convexon.errors import InputError
from convexon.plan.adders.cut import cut
from convexon.plan.adders.graph import AdderGraph
from convexon.snn.fixed import Interval
from convexon_hdl.arith.arithmetic import Operand, node, shape_of, table
from convexon_hdl.arith.rtlil import Net, RtlilPlatform, SumsWriter
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
    """Hardware of ``graph`` as submodule ``name``; the outputs, as they are in the last clock.

    ``bits`` come in clock 0, outputs in clock ``n_clocks - 1``, and ``chain`` carries values from
    clock to clock. Raises `InputError` if there are not as many bits as the graph reads.
    """
    if len(bits) != graph.n_bits:
        raise InputError(f"bits must be {graph.n_bits}, not {len(bits)}")
    outputs = {
        term.node: Signal(shape_of(each.interval), name=f"{name}_{term.node}")
        for term in graph.outputs
        if (each := graph.nodes[term.node]).factors and (n_clocks > 1 or not each.is_wire)
    }
    if outputs:
        m.submodules[name] = _Sums(graph, bits, chain, n_clocks, outputs)

    def given(index: int) -> Operand:
        each = graph.nodes[index]
        if index in outputs:
            return Operand(outputs[index], each.interval)
        if each.factors:
            return Operand.bit(bits[each.factors[0][0]])
        return Operand.constant(each.constant)

    return [given(term.node).shifted(term.shift) for term in graph.outputs]


class _Sums(Elaboratable):
    """A graph as a submodule: Amaranth's objects, or an instance of a module that is text.

    ``outputs`` are the signals of its output nodes, but for constants and bits as they come.
    """

    def __init__(
        self,
        graph: AdderGraph,
        bits: Sequence[Value],
        chain: Chain,
        n_clocks: int,
        outputs: Mapping[int, Signal],
    ) -> None:
        self._graph = graph
        self._bits = bits
        self._chain = chain
        self._n_clocks = n_clocks
        self._outputs = outputs

    def elaborate(self, platform: object) -> Module | Instance:
        """Build the sums, for the platform that takes text or for any other."""
        if not isinstance(platform, RtlilPlatform):
            m = Module()
            maker = _Amaranth(m, self._bits, self._chain)
            own: _Lowering[Operand] = _Lowering(maker, self._graph, self._n_clocks)
            for index, signal in self._outputs.items():
                m.d.comb += signal.eq(own.last(index).value)
            return m
        writer = SumsWriter(len(self._bits), self._n_clocks - 1)
        text: _Lowering[Net] = _Lowering(writer, self._graph, self._n_clocks)
        for index, signal in self._outputs.items():
            writer.output(text.last(index), name=signal.name)
        clocked = {}
        if self._n_clocks > 1:
            advance = self._chain.advance[: self._n_clocks - 1]
            clocked = {"i_advance": Cat(advance), "i_clk": ClockSignal()}
        outputs = {f"o_{signal.name}": signal for signal in self._outputs.values()}
        return Instance(platform.added(writer), i_bits=Cat(self._bits), **clocked, **outputs)


V = TypeVar("V", Operand, Net)


class _Maker(Protocol[V]):
    """What nodes are made of: `_Amaranth`'s objects, or a `SumsWriter`'s text."""

    def bit(self, index: int) -> V: ...
    def constant(self, number: int) -> V: ...
    def table(self, address: Sequence[V], entries: Sequence[int], *, name: str) -> V: ...
    def sum(self, first: V, second: V, sign: int, interval: Interval, *, name: str) -> V: ...
    def register(self, value: V, clock: int, *, name: str) -> V: ...


class _Amaranth:
    """Nodes as statements of a module."""

    def __init__(self, m: Module, bits: Sequence[Value], chain: Chain) -> None:
        self._m = m
        self._bits = bits
        self._chain = chain

    def bit(self, index: int) -> Operand:
        return Operand.bit(self._bits[index])

    def constant(self, number: int) -> Operand:
        return Operand.constant(number)

    def table(self, address: Sequence[Operand], entries: Sequence[int], *, name: str) -> Operand:
        return table(self._m, [each.value for each in address], entries, name=name)

    def sum(
        self, first: Operand, second: Operand, sign: int, interval: Interval, *, name: str
    ) -> Operand:
        a, b = first.value, second.value
        return node(self._m, a + b if sign > 0 else a - b, interval, name=name)

    def register(self, value: Operand, clock: int, *, name: str) -> Operand:
        carried = self._chain.carry(self._m, value.value, clock, clock + 1, name=name)
        return Operand(carried, value.interval)


class _Lowering(Generic[V]):
    """The nodes of a graph that are made so far, by clock."""

    def __init__(self, maker: _Maker[V], graph: AdderGraph, n_clocks: int) -> None:
        self._maker: _Maker[V] = maker
        self._graph = graph
        self._n_clocks = n_clocks
        self._clocks = cut(graph, n_clocks)
        self._known: dict[tuple[str, int, int], V] = {}
        for index, clock in enumerate(self._clocks):
            self._at(index, clock)

    def last(self, index: int) -> V:
        """Node ``index`` as it is in the last clock."""
        return self._at(index, self._n_clocks - 1)

    def _at(self, index: int, clock: int) -> V:
        """Node ``index`` as it is in ``clock``."""
        key = ("node", index, clock)
        if key not in self._known:
            each = self._graph.nodes[index]
            if each.is_wire and each.factors:
                made = self._bit(each.factors[0][0], clock)
            elif not each.factors:
                made = self._maker.constant(each.constant)
            elif clock > self._clocks[index]:
                before = self._at(index, clock - 1)
                made = self._maker.register(before, clock - 1, name=f"node{index}_clock{clock}")
            else:
                made = self._computed(index, clock)
            self._known[key] = made
        return self._known[key]

    def _bit(self, bit: int, clock: int) -> V:
        key = ("bit", bit, clock)
        if key not in self._known:
            self._known[key] = (
                self._maker.register(
                    self._bit(bit, clock - 1), clock - 1, name=f"bit{bit}_clock{clock}"
                )
                if clock
                else self._maker.bit(bit)
            )
        return self._known[key]

    def _computed(self, index: int, clock: int) -> V:
        each, name = self._graph.nodes[index], f"node{index}"
        if not each.operands:
            address = [self._bit(bit, clock) for bit, _ in each.factors]
            return self._maker.table(address, _entries(each.factors, each.constant), name=name)
        first, second = (self._at(term.node, clock).shifted(term.shift) for term in each.operands)
        return self._maker.sum(first, second, each.operands[1].sign, each.interval, name=name)


def _entries(factors: Sequence[tuple[int, int]], constant: int) -> list[int]:
    """Values of a lookup over the bits set in 0, 1, 2, ..."""
    entries = [constant]
    for _, factor in factors:
        entries += [factor + entry for entry in entries]
    return entries
