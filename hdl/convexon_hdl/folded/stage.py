"""A pipeline stage with folded layers, and whatever else stands at its depth."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from convexon.plan.fold import plans_at
from convexon.plan.mapping import Mapping
from convexon.snn.network import FixedPointNetwork
from convexon_hdl.core.stage import Stage, StepLayout
from convexon_hdl.folded.engine import FoldedEngine
from convexon_hdl.folded.weights import RowWrite
from convexon_hdl.streams import fork, join


class MixedStage(wiring.Component):
    """Layer ``depth`` (from 0) of every branch, at least one of them folded.

    Every engine, and one `Stage` for all branches that are spatial here or ended earlier, accepts
    each step when it can; a step is on offer until all have accepted it. The results of a step
    leave together. Engines whose weights are loaded at run time have ``write0``, ``write1``, ... by
    their numbers.
    """

    def __init__(self, network: FixedPointNetwork, *, depth: int, mapping: Mapping) -> None:
        self.network = network
        self.depth = depth
        self.mapping = mapping
        self.plans = plans_at(network, mapping.at_depth(depth), depth)
        writes = {
            f"write{k}": In(RowWrite(plan)) for k, plan in enumerate(self.plans) if plan.is_loaded
        }
        super().__init__(
            {
                "i": In(stream.Signature(StepLayout(network, depth))),
                "o": Out(stream.Signature(StepLayout(network, depth + 1))),
                **writes,
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the units between a fork and a join."""
        m = Module()
        units: list[wiring.Component] = []
        for k, plan in enumerate(self.plans):
            feature = self.network.feature(plan.branches[0], self.depth)
            engine = FoldedEngine(plan, feature=feature, width=self.network.score_width)
            m.submodules[f"engine{k}"] = engine
            self._connect_engine(m, engine)
            if plan.is_loaded:
                wiring.connect(m, wiring.flipped(getattr(self, f"write{k}")), engine.write)
            units.append(engine)
        folded = self.mapping.folded_at(self.depth)
        rest = [b for b in range(len(self.network.branches)) if b not in folded]
        if rest:  # layers that are spatial here, and branches that ended earlier
            stage = Stage(self.network, depth=self.depth, mapping=self.mapping, branches=rest)
            m.submodules.spatial = stage
            self._connect_stage(m, stage, rest)
            units.append(stage)
        first = units[0]
        m.d.comb += [
            self.o.payload.first.eq(first.o.payload.first),
            self.o.payload.last.eq(first.o.payload.last),
        ]
        fork(m, self.i, [unit.i for unit in units])
        join(m, [unit.o for unit in units], self.o)
        return m

    def _connect_engine(self, m: Module, engine: FoldedEngine) -> None:
        """Payloads of an engine; its branches' features lie side by side."""
        branches = engine.plan.branches
        source = self.i.payload["inputs" if self.depth == 0 else f"branch{branches[0]}"]
        m.d.comb += [
            engine.i.payload.inputs.eq(source),
            engine.i.payload.first.eq(self.i.payload.first),
            engine.i.payload.last.eq(self.i.payload.last),
        ]
        targets = [self.o.payload[f"branch{b}"] for b in branches]
        m.d.comb += Cat(targets).eq(engine.o.payload.features)

    def _connect_stage(self, m: Module, stage: Stage, branches: Sequence[int]) -> None:
        """Payloads of the unit for all other branches."""
        for name, _ in stage.i.payload.shape():
            m.d.comb += stage.i.payload[name].eq(self.i.payload[name])
        for b in branches:
            m.d.comb += self.o.payload[f"branch{b}"].eq(stage.o.payload[f"branch{b}"])
