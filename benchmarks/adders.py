"""LUTs of constant weighted sums, after synthesis: tables, trees, and shared terms.

A layer's sums alone, without neurons, for ECP5 out of context: each way of
`convexon.plan.mapping.Sums` on the same random weights, and the package da4ml's where it is
installed (an optional comparison). Weights of one bit are -1 or 1; wider ones are uniform over
their format. Beside the LUT4 sites stand the estimate by which `Sums.AUTO` chooses, and the depth
in lookups and adders.

Of 40 inputs and 16 neurons, against the balanced tree: shared terms take 45 % fewer LUTs for dense
weights of -1 and 1, 18 % fewer for -1, 0 and 1, and 11 % fewer for dense ones of two bits; tables
take 4 % fewer for sparse ones of one bit, 14 to 17 % fewer at three bits, and 31 % fewer for dense
ones of eight. `Sums.AUTO` takes the best of these each time; against da4ml, it takes 5 % fewer for
dense weights of -1 and 1, 1 % more for those of two bits, and 34 % fewer for those of eight.

Run ``python benchmarks/adders.py``; a run that is broken off goes on where it stopped.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cells import Cells, arguments

from convexon.plan.adders.graph import Addend, AdderGraph, GraphBuilder, Term
from convexon.plan.adders.sums import weighted_sums
from convexon.plan.family import Family
from convexon.plan.mapping import Sums
from convexon_boards.tools.synthesis import synthesize_verilog
from convexon_hdl.arith.lowering import lower
from convexon_hdl.arith.rtlil import convert
from convexon_hdl.emit import yosys
from convexon_hdl.streams import Chain

SHAPES = ((40, 16), (64, 32))
BITS = (1, 2, 3, 4, 6, 8)
DENSITIES = (0.2, 1.0)
TERNARY = 2 / 3
"""Density at which -1, 0 and 1 are equally likely."""

REVISION = 1
"""Raised whenever the graphs below change, so that kept figures are not taken for new ones."""

IntArray = npt.NDArray[np.int64]


class SumsAlone(wiring.Component):
    """Outputs of an adder graph, side by side, without a clock."""

    def __init__(self, graph: AdderGraph) -> None:
        self.graph = graph
        self.widths = [graph.nodes[t.node].width + t.shift + 1 for t in graph.outputs]
        super().__init__({"bits": In(graph.n_bits), "sums": Out(sum(self.widths))})

    def elaborate(self, platform: object) -> Module:
        """Build the graph."""
        m = Module()
        bits = list(self.bits)
        outputs = lower(m, self.graph, bits, chain=Chain(()), n_clocks=1, name="sum")
        start = 0
        for k, (operand, width) in enumerate(zip(outputs, self.widths, strict=True)):
            wide = Signal(signed(width), name=f"output{k}")
            m.d.comb += [wide.eq(operand.value), self.sums[start : start + width].eq(wide)]
            start += width
        return m


def weights_of(shape: tuple[int, int], bits: int, density: float, seed: int = 0) -> IntArray:
    """Random weights of a layer, shape (inputs, neurons)."""
    rng = np.random.default_rng(seed)
    if bits == 1:
        weights = rng.choice(np.array([-1, 1], dtype=np.int64), shape)
    else:
        weights = rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), shape)
    return np.where(rng.random(shape) < density, weights, 0)


def graph_of(weights: IntArray, sums: Sums) -> AdderGraph:
    """Adder graph of the sums of a layer."""
    rows = [
        [Addend(i, weight) for i, weight in enumerate(column) if weight]
        for column in weights.T.tolist()
    ]
    return weighted_sums(len(weights), rows, [0] * len(rows), sums)


def da4ml_graph(weights: IntArray) -> AdderGraph:
    """Adder graph that da4ml finds for the sums of a layer."""
    solve = importlib.import_module("da4ml.cmvm").solve  # optional, and without types
    builder = GraphBuilder(len(weights))
    up = 32  # its shifts may be negative: count them from far above 0
    values = [Term(builder.bit(i).node, up) for i in range(len(weights))]
    for stage in solve(weights.astype(np.float32)).solutions:
        values = _da4ml_stage(builder, stage, values)
    outputs = [Term(term.node, max(0, term.shift - up), term.sign) for term in values]
    return builder.graph(outputs)


def _da4ml_stage(builder: GraphBuilder, stage: Any, inputs: Sequence[Term]) -> list[Term]:
    """One of da4ml's straight-line programs: copies, and sums of shifted values."""

    def moved(term: Term, shift: int, sign: int = 1) -> Term:
        return Term(term.node, term.shift + shift, term.sign * sign)

    values: list[Term] = []
    for op in stage.ops:
        if op.id1 < 0:
            values.append(moved(inputs[op.id0], int(stage.inp_shifts[op.id0])))
        else:
            sign = -1 if op.opcode else 1
            values.append(builder.add(values[op.id0], moved(values[op.id1], int(op.data), sign)))
    zero = builder.constant(0)
    return [
        moved(values[index], int(shift), -1 if negative else 1) if index >= 0 else zero
        for index, shift, negative in zip(
            stage.out_idxs, stage.out_shifts, stage.out_negs, strict=True
        )
    ]


def lut4_sites(graph: AdderGraph) -> int:
    """LUT4s of the part that the sums take: LUT4 cells, and two for each CCU2C."""
    return _synthesized(convert(SumsAlone(graph), "sums"))


@cache
def _synthesized(text: str) -> int:
    """LUT4 sites of RTLIL; known where `Sums.AUTO` took a graph that was measured before."""
    script = ["read_rtlil sums.il", "proc", "opt_clean", "write_verilog -norename -noattr sums.v"]
    verilog = yosys.run(script, inputs={"sums.il": text}, outputs=["sums.v"]).files["sums.v"]
    return synthesize_verilog(verilog, "sums", Family.ECP5).cells.lut4_sites


def require_right(graph: AdderGraph, weights: IntArray) -> None:
    """Raise `RuntimeError` unless the graph computes the sums of a few random inputs."""
    rng = np.random.default_rng(1)
    for _ in range(4):
        bits = rng.integers(0, 2, len(weights))
        if graph.evaluate(bits.tolist()) != (bits @ weights).tolist():
            raise RuntimeError("the graph does not compute its sums")


def da4ml_is_there() -> bool:
    """Whether the package da4ml is installed."""
    return importlib.util.find_spec("da4ml") is not None


def measure(graph: AdderGraph, weights: IntArray) -> Mapping[str, float]:
    """LUT4 sites after synthesis, what the graph estimated them to be, and its depth."""
    require_right(graph, weights)
    return {"lut4": lut4_sites(graph), "cost": graph.cost, "depth": graph.depth}


def measure_layer(cells: Cells, shape: tuple[int, int], bits: int, density: float) -> None:
    """Measure one layer in each way."""
    ternary = bits == 1 and density == TERNARY
    kind = "ternary" if ternary else f"bits{bits}.density{round(100 * density)}"
    layer = f"adders.{shape[0]}x{shape[1]}.{kind}"
    for way in [*(sums.value for sums in Sums), *(["da4ml"] if da4ml_is_there() else [])]:

        def one(seed: int, way: str = way) -> Mapping[str, float]:
            weights = weights_of(shape, bits, density, seed)
            graph = da4ml_graph(weights) if way == "da4ml" else graph_of(weights, Sums(way))
            return measure(graph, weights)

        cells.measure(f"{layer}.{way}", f"revision {REVISION}", one)


def main() -> None:
    """Measure all layers, or one small one with ``--quick``."""
    options = arguments(__doc__, sg_seconds=0.0, seeds=1)
    seeds = range(1 if options.quick else options.seeds)
    cells = Cells("adders", seeds, f"yosys {yosys.version()}, ECP5", options)
    if options.quick:
        measure_layer(cells, (16, 8), 1, 1.0)
        return
    for shape in SHAPES:
        for bits in BITS:
            for density in (*((TERNARY,) if bits == 1 else ()), *DENSITIES):
                measure_layer(cells, shape, bits, density)
    cells.write()


if __name__ == "__main__":
    main()
