# amaranth: UnusedElaboratable=no
"""Adder graphs: what they compute, how they share, and where they are cut."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from amaranth.hdl import Cat, Module, Signal
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st
from specifications import SumSpecification

from convexon.errors import InputError
from convexon.plan.adders import sharing
from convexon.plan.adders.cut import cut, n_register_bits
from convexon.plan.adders.differences import derivation
from convexon.plan.adders.graph import Addend, AdderGraph, GraphBuilder, Term
from convexon.plan.adders.sums import weighted_sums
from convexon.plan.mapping import Sums
from convexon.snn.fixed import Interval
from convexon_hdl.arith.lowering import lower
from convexon_hdl.formal.prover import Verdict, prove
from convexon_hdl.streams import Chain

N_BITS = 7

Rows = list[list[Addend]]


def built(rows: Rows, offsets: list[int], sums: Sums, n_bits: int = N_BITS) -> AdderGraph:
    return weighted_sums(n_bits, rows, offsets, sums)


def plain(rows: Rows, offsets: list[int], bits: tuple[int, ...]) -> list[int]:
    return [
        offset + sum((a.weight << a.place) * bits[a.bit] for a in row)
        for row, offset in zip(rows, offsets, strict=True)
    ]


def rows_of(weights: np.ndarray) -> Rows:
    """One row for each column of a weight matrix."""
    return [[Addend(i, int(w)) for i, w in enumerate(column)] for column in weights.T]


@st.composite
def problems(draw: st.DrawFn) -> tuple[Rows, list[int]]:
    """Rows over distinct bits, zero weights and higher places among them, and offsets."""
    addend = st.tuples(st.integers(-9, 9), st.integers(0, 2))
    rows = [
        [Addend(bit, *draw(addend)) for bit in range(N_BITS) if draw(st.booleans())]
        for _ in range(draw(st.integers(1, 4)))
    ]
    return rows, [draw(st.integers(-20, 20)) for _ in rows]


@pytest.mark.parametrize("sums", Sums)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(problem=problems())
def test_graph_computes_the_sums_and_knows_its_intervals(
    sums: Sums, problem: tuple[Rows, list[int]]
) -> None:
    rows, offsets = problem
    graph = built(rows, offsets, sums)
    results = [
        (graph.evaluate(bits), plain(rows, offsets, bits))
        for bits in itertools.product((0, 1), repeat=N_BITS)
    ]
    assert all(actual == expected for actual, expected in results)
    for k, term in enumerate(graph.outputs):
        assert term.sign == 1
        hull = Interval.hull(expected[k] for _, expected in results)
        assert graph.nodes[term.node].interval.scaled(1 << term.shift) == hull


@pytest.mark.parametrize("sums", Sums)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(problem=problems(), n_clocks=st.integers(1, 4))
def test_hardware_of_a_cut_graph_computes_the_sums(
    sums: Sums, problem: tuple[Rows, list[int]], n_clocks: int
) -> None:
    rows, offsets = problem
    graph = built(rows, offsets, sums)
    m = Module()
    bits = Signal(N_BITS)
    chain = Chain([1] * (n_clocks - 1))
    outputs = lower(m, graph, list(bits), chain=chain, n_clocks=n_clocks, name="sum")
    m.d.sync += Signal(name="keeps_the_clock").eq(Cat(bits).any())
    rng = np.random.default_rng(3)
    vectors = [tuple(int(x) for x in rng.integers(0, 2, N_BITS)) for _ in range(8)]

    async def bench(ctx) -> None:  # type: ignore[no-untyped-def]
        for edge in range(len(vectors) + n_clocks - 1):
            vector = vectors[min(edge, len(vectors) - 1)]
            ctx.set(bits, sum(x << i for i, x in enumerate(vector)))
            if edge >= n_clocks - 1:
                seen = [ctx.get(output.value) for output in outputs]
                assert seen == plain(rows, offsets, vectors[edge - n_clocks + 1])
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_sums_share_what_they_have_in_common() -> None:
    column = np.array([3, -1, 2, 5, -7, 1])
    rows = rows_of(np.stack([column, -column, 2 * column, column], axis=1))
    graph = built(rows, [0] * 4, Sums.SHARED, 6)
    alone = built(rows[:1], [0], Sums.SHARED, 6)
    # The negative is subtracted from 0, the rest is wires.
    assert n_sums(graph) <= n_sums(alone) + 1
    assert len({term.node for term in (graph.outputs[0], *graph.outputs[2:])}) == 1


def n_sums(graph: AdderGraph) -> int:
    """Adders and subtractors."""
    return sum(1 for node in graph.nodes if node.operands)


def dense(n_bits: int, n_outputs: int, seed: int = 5) -> np.ndarray:
    """Weights -1 and 1, whose columns are cheap to derive from each other."""
    return np.random.default_rng(seed).choice([-1, 1], (n_bits, n_outputs))


def test_shared_dense_binary_sums_cost_two_thirds_of_the_others() -> None:
    rows = rows_of(dense(32, 24))
    costs = {sums: built(rows, [0] * 24, sums, 32).cost for sums in Sums}
    assert costs[Sums.SHARED] < 0.67 * min(costs[Sums.TREE], costs[Sums.TABLES])
    assert costs[Sums.AUTO] == costs[Sums.SHARED]


def test_auto_takes_the_cheapest_way_of_a_layer() -> None:
    rows = rows_of(np.random.default_rng(5).integers(-64, 64, (16, 6)))
    graphs = {sums: built(rows, list(range(6)), sums, 16) for sums in Sums}
    auto = graphs.pop(Sums.AUTO)
    assert auto.cost == graphs[Sums.TABLES].cost == min(graph.cost for graph in graphs.values())
    assert (auto.nodes, auto.outputs) == (graphs[Sums.TABLES].nodes, graphs[Sums.TABLES].outputs)


@pytest.mark.parametrize("limits", [{}, {"MAX_TRIED_DIGITS": 0}, {"MAX_WORK": 40}])
@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1), levels=st.sampled_from([(-1, 1), (-1, 0, 1), (-6, -3, 0, 3, 4)])
)
def test_shared_sums_are_right_at_any_size(
    limits: dict[str, int], seed: int, levels: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.choice(levels, (12, 9)) << rng.integers(0, 3, 9)
    offsets = rng.integers(-9, 9, 9)
    with pytest.MonkeyPatch.context() as patch:
        for name, limit in limits.items():
            patch.setattr(sharing, name, limit)
        graphs = [built(rows_of(weights), offsets.tolist(), Sums.SHARED, 12) for _ in range(2)]
    assert graphs[0].nodes == graphs[1].nodes
    for bits in rng.integers(0, 2, (20, 12)):
        assert graphs[0].evaluate(bits.tolist()) == (offsets + bits @ weights).tolist()


@pytest.mark.parametrize("registers", [0, 2])
def test_sums_derived_from_sums_are_proved(registers: int) -> None:
    weights, offsets = dense(9, 6), [3, 0, -9, 1, 0, 2]
    assert any(step.source is not None for step in derivation(weights))
    graph = built(rows_of(weights), offsets, Sums.SHARED, 9)
    trees = built(rows_of(weights), offsets, Sums.TREE, 9)
    assert n_sums(graph) < n_sums(trees)
    spec = SumSpecification(graph, rows_of(weights), offsets, registers=registers)
    assert prove(spec) is Verdict.PROVED


@pytest.mark.parametrize("max_chain", [0, 1, 3])
def test_derivation_reaches_every_column_within_its_chain(max_chain: int) -> None:
    weights = dense(24, 15)
    chain: dict[int | None, int] = {None: -1}
    for step in derivation(weights, max_chain):
        assert step.source in chain
        chain[step.column] = chain[step.source] + 1
        if step.source is not None:
            difference = weights[:, step.column] - step.factor * weights[:, step.source]
            # up to sign, two columns never differ in more than half of their weights
            assert np.count_nonzero(difference) <= 12
    assert sorted(column for column in chain if column is not None) == list(range(15))
    assert max(chain.values()) == max_chain


def test_derivation_finds_multiples_from_the_lowest_place_on() -> None:
    column = np.array([3, -1, 2, 5, -7])
    steps = derivation(np.stack([4 * column, -column, 8 * column], axis=1), 1)
    assert [(step.column, step.source, step.factor) for step in steps] == [
        (1, None, 1),
        (0, 1, -4),
        (2, 1, -8),
    ]


def test_cost_counts_what_lookups_have_in_common_once() -> None:
    builder = GraphBuilder(5)
    odd = builder.lookup({0: 1, 1: 1, 2: 1, 3: 1})  # 3 bits, the lowest is the parity
    assert builder.graph([odd]).cost == 3
    other = builder.lookup({0: 1, 1: -1, 2: 1, 3: -1}, 2)
    assert builder.graph([odd, other]).cost == 3 + 2
    inverted = builder.lookup({0: -1, 1: -1, 2: -1, 3: -1}, 7)  # 7 - odd: all bits inverted
    assert builder.graph([odd, inverted]).cost == 3
    assert builder.graph([builder.bit(4)]).cost == 0
    widened = builder.add(odd, Term(builder.bit(4).node, 1))  # the lowest bit is passed on
    assert builder.graph([widened]).cost == 3 + 2


def test_a_balanced_tree_has_the_least_depth() -> None:
    rows = [[Addend(i, 1) for i in range(33)]]
    tables = built(rows, [5], Sums.TABLES, 33)
    assert tables.depth == 1 + 4  # nine lookups
    assert (n_sums(tables), built([[]], [5], Sums.TREE).depth) == (8, 0)


@pytest.mark.parametrize("n_clocks", range(1, 6))
def test_cut_is_balanced(n_clocks: int) -> None:
    rng = np.random.default_rng(6)
    graph = built(rows_of(rng.integers(-7, 8, (60, 4))), [0] * 4, Sums.TABLES, 60)
    clocks = cut(graph, n_clocks)
    longest: list[int] = []
    for node, clock in zip(graph.nodes, clocks, strict=True):
        before = [t.node for t in node.operands]
        assert all(clocks[k] <= clock for k in before)
        inside = [longest[k] for k in before if clocks[k] == clock]
        longest.append(node.delay + max(inside, default=0))
    total = max(longest) if n_clocks == 1 else 2 + 3 * (graph.depth - 1)
    assert min(clocks) >= 0
    assert max(clocks) < n_clocks
    assert max(longest) <= -(-total // n_clocks) + 2  # a sum is not divided
    assert (n_register_bits(graph, clocks, n_clocks) > 0) == (n_clocks > 1)


def test_bad_arguments_are_refused() -> None:
    builder = GraphBuilder(3)
    with pytest.raises(InputError, match=r"^index must be 0 to 2, not 3$"):
        builder.bit(3)
    with pytest.raises(InputError, match=r"^n_bits must be 0 or more, not -1$"):
        GraphBuilder(-1)
    message = re.escape("factors must be at most 4, not 5")
    with pytest.raises(InputError, match=f"^{message}$"):
        GraphBuilder(5).lookup(dict.fromkeys(range(5), 1))
    graph = builder.graph([Term(builder.bit(0).node)])
    with pytest.raises(InputError, match=r"^n_clocks must be at least 1, not 0$"):
        cut(graph, 0)
    with pytest.raises(InputError, match=r"^bits must be 3, not 1$"):
        lower(Module(), graph, [Signal()], chain=Chain([]), n_clocks=1, name="sum")
