"""Proof that the units of a stage get every step once, and give each result together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Assert, Cat, Module, Signal

from convexon_hdl.core.stage import Stage
from convexon_hdl.folded.engine import FoldedEngine
from convexon_hdl.folded.stage import MixedStage
from convexon_hdl.formal.netlist.emitted import Emitted
from convexon_hdl.formal.netlist.netlist import Bits
from convexon_hdl.formal.netlist.part import Part
from convexon_hdl.formal.obligation import Obligation, by_induction
from convexon_hdl.formal.specs.blocks import Specification, free, offer

COUNT_BITS = 2
"""Bits of the counts of transfers, which wrap: they never lie more than one apart."""


@dataclass(eq=False, kw_only=True)
class ForkJoinSpecification(Specification):
    """Every unit takes each step once; a result of each unit makes one of the stage.

    Source and units obey the rules of streams, and otherwise offer and accept freely. Transfers are
    counted: a unit has accepted as many steps as the source has given, or one more, which is the
    step that the source still offers. A unit is offered a step if and only if it has not accepted
    it, and the step is over when all have. Units and stage have given equally many results at any
    time.

    The stage's own streams are ``source_valid``, ``source_ready``, ``sink_valid`` and
    ``sink_ready``; of unit k, ``offers{k}`` and ``takes{k}`` are valid and ready of what goes in,
    ``has{k}`` and ``drains{k}`` of what comes out, and ``taken{k}`` says whether it took the step
    on offer, where there are several units.
    """

    n_units: int

    def state(self, m: Module) -> None:
        """Build counters and the property."""
        stage = self.component
        waits = offer(m, stage.source_valid, stage.source_ready)
        free(m, stage.sink_ready)
        steps = self._count(m, stage.source_valid & stage.source_ready, "steps")
        results = self._count(m, stage.sink_valid & stage.sink_ready, "results")
        done, have = [], []
        for k in range(self.n_units):
            offers, drains = getattr(stage, f"offers{k}"), getattr(stage, f"drains{k}")
            takes, has = getattr(stage, f"takes{k}"), getattr(stage, f"has{k}")
            free(m, takes)
            offer(m, has, drains)
            taken = self._count(m, offers & takes, f"taken{k}")
            given = self._count(m, has & drains, f"given{k}")
            ahead = Signal(name=f"ahead{k}")
            m.d.comb += [
                ahead.eq(taken != steps),
                Assert((taken == steps) | ((taken - steps)[:COUNT_BITS] == 1)),
                Assert(offers == (stage.source_valid & ~ahead)),
                Assert(given == results),
                Assert(~ahead | waits),
            ]
            if self.n_units > 1:
                m.d.comb += Assert(getattr(stage, f"taken{k}") == ahead)
            done.append(ahead | takes)
            have.append(has)
        m.d.comb += [
            Assert(stage.source_ready == Cat(done).all()),
            Assert(stage.sink_valid == Cat(have).all()),
        ]

    def _count(self, m: Module, transfer: object, name: str) -> Signal:
        """Number of transfers so far."""
        count = Signal(COUNT_BITS, name=f"{name}_count")
        m.d.sync += count.eq(count + transfer)
        return count


def fork_obligation(emitted: Emitted, stage: MixedStage) -> Obligation:
    """A stage of several units hands each step to all of them, and loses and doubles none."""
    units: list[Any] = [*emitted.of_type(FoldedEngine, stage), *emitted.of_type(Stage, stage)]
    inputs: dict[str, Bits] = {
        "source_valid": emitted.bits(stage.i.valid),
        "sink_ready": emitted.bits(stage.o.ready),
    }
    outputs: dict[str, Bits] = {
        "source_ready": emitted.bits(stage.i.ready),
        "sink_valid": emitted.bits(stage.o.valid),
    }
    for k, unit in enumerate(units):
        inputs |= {f"takes{k}": emitted.bits(unit.i.ready), f"has{k}": emitted.bits(unit.o.valid)}
        outputs |= {
            f"offers{k}": emitted.bits(unit.i.valid),
            f"drains{k}": emitted.bits(unit.o.ready),
        }
        if len(units) > 1:
            outputs[f"taken{k}"] = emitted.local(stage, f"fork_taken{k}")
    part = Part(emitted.netlist, inputs=inputs, outputs=outputs)
    return by_induction(
        "fork and join", emitted.path(stage), part, ForkJoinSpecification, n_units=len(units)
    )
