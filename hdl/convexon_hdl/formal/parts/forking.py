"""Proof that the units of a stage get every step once, and give each result together."""

from __future__ import annotations

from typing import Any

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Cat, Elaboratable, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from convexon_hdl.core.stage import Stage
from convexon_hdl.folded.engine import FoldedEngine
from convexon_hdl.folded.stage import MixedStage
from convexon_hdl.formal.netlist.netlist import Bits
from convexon_hdl.formal.netlist.part import Part, StandIn
from convexon_hdl.formal.obligation import Emitted, Obligation, by_induction

COUNT_BITS = 2
"""Bits of the counts of transfers, which wrap: they never lie more than one apart."""


class ForkJoinSignature(wiring.Signature):
    """Handshakes between a stage and its units.

    Parameters
    ----------
    n_units : int

    Members
    -------
    source_valid, sink_ready : In(1)
    source_ready, sink_valid : Out(1)
        Of the stage's own streams.
    offers0, ... : Out(1)
    takes0, ... : In(1)
        ``valid`` and ``ready`` of what goes into each unit.
    has0, ... : In(1)
    drains0, ... : Out(1)
        ``valid`` and ``ready`` of what comes out of it.
    """

    def __init__(self, n_units: int) -> None:
        self.n_units = n_units
        members = {"source_valid": In(1), "sink_ready": In(1)}
        members |= {"source_ready": Out(1), "sink_valid": Out(1)}
        for k in range(n_units):
            members |= {f"offers{k}": Out(1), f"takes{k}": In(1)}
            members |= {f"has{k}": In(1), f"drains{k}": Out(1)}
        super().__init__(members)


class ForkJoinSpecification(Elaboratable):
    """Every unit takes each step once; a result of each unit makes one of the stage.

    Source and units obey the rules of streams, and besides offer and take at will. Transfers are
    counted: a unit has taken as many steps as the source has given, or one more, which is the step
    that the source still offers; it is offered a step if and only if it has not taken it, and the
    step is over when all have. What units give and the stage gives are as many at any time.

    Parameters
    ----------
    stage : StandIn
        With `ForkJoinSignature`; watched: ``taken{k}``, whether unit k took the step on offer,
        where there are several units.
    n_units : int
    """

    def __init__(self, stage: StandIn, *, n_units: int) -> None:
        self.stage = stage
        self.n_units = n_units

    def elaborate(self, platform: object) -> Module:
        """Build counters and the property."""
        m = Module()
        m.submodules.stage = stage = self.stage
        units = range(self.n_units)
        waits = Signal()
        m.d.comb += [stage.source_valid.eq(AnySeq(1) | waits), stage.sink_ready.eq(AnySeq(1))]
        m.d.sync += waits.eq(stage.source_valid & ~stage.source_ready)
        steps = self._count(m, stage.source_valid & stage.source_ready, "steps")
        results = self._count(m, stage.sink_valid & stage.sink_ready, "results")
        done, have = [], []
        for k in units:
            offers, drains = getattr(stage, f"offers{k}"), getattr(stage, f"drains{k}")
            takes, has = getattr(stage, f"takes{k}"), getattr(stage, f"has{k}")
            holds = Signal(name=f"holds{k}")
            m.d.comb += [takes.eq(AnySeq(1)), has.eq(AnySeq(1) | holds)]
            m.d.sync += holds.eq(has & ~drains)
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
            if f"taken{k}" in stage.watched:
                m.d.comb += Assert(stage.watched[f"taken{k}"] == ahead)
            done.append(ahead | takes)
            have.append(has)
        m.d.comb += [
            Assert(stage.source_ready == Cat(done).all()),
            Assert(stage.sink_valid == Cat(have).all()),
        ]
        return m

    def _count(self, m: Module, transfer: object, name: str) -> Signal:
        """Number of transfers so far."""
        count = Signal(COUNT_BITS, name=f"{name}_count")
        m.d.sync += count.eq(count + transfer)
        return count


def fork_obligation(emitted: Emitted, stage: MixedStage) -> Obligation:
    """A stage of several units hands each step to all of them, and loses and doubles none."""
    names = emitted.names
    units: list[Any] = [*names.of_type(FoldedEngine, stage), *names.of_type(Stage, stage)]
    inputs: dict[str, Bits] = {
        "source_valid": names.bits(stage.i.valid),
        "sink_ready": names.bits(stage.o.ready),
    }
    outputs: dict[str, Bits] = {
        "source_ready": names.bits(stage.i.ready),
        "sink_valid": names.bits(stage.o.valid),
    }
    for k, unit in enumerate(units):
        inputs |= {f"takes{k}": names.bits(unit.i.ready), f"has{k}": names.bits(unit.o.valid)}
        outputs |= {f"offers{k}": names.bits(unit.i.valid), f"drains{k}": names.bits(unit.o.ready)}
        if len(units) > 1:
            outputs[f"taken{k}"] = names.local(stage, f"fork_taken{k}")
    part = Part(emitted.netlist, inputs=inputs, outputs=outputs)
    n_units = len(units)

    def specification() -> ForkJoinSpecification:
        return ForkJoinSpecification(StandIn(ForkJoinSignature(n_units), part), n_units=n_units)

    return by_induction("fork and join", names.path(stage), part, specification, given=n_units)
