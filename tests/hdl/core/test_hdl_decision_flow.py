# amaranth: UnusedElaboratable=no
"""Proof that early decisions lose and double no inference, whatever the rule and the load.

The rule is free: any step may decide, and idle clocks, stalls and resets come at will. Inferences
carry a number in their input, which the hardware knows nothing of.
"""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Elaboratable, Module, Mux, Signal, Value
from hdl_bench import random_layer, random_network

from convexon.data.encoder import Encoder, EncoderKind
from convexon.snn.decision import Decision, Rule
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import ReadoutMode
from convexon_hdl.core.decision import EarlyDecision, EarlyExit
from convexon_hdl.core.encoder import LevelEncoder
from convexon_hdl.core.sequencer import Sequencer
from convexon_hdl.formal.prover import Verdict, prove

NUMBER_BITS = 3
CAPACITY = 2


def network() -> FixedPointNetwork:
    rng = np.random.default_rng(1)
    layer = random_layer(rng, 1, 1)
    return random_network(
        rng, ((layer,),), mode=ReadoutMode.COUNT, n_steps=3, n_classes=1, input_bits=NUMBER_BITS
    )


class FreeExit(EarlyExit):
    """Decides whenever it likes."""

    def is_met(self, m: Module) -> Value:
        return AnySeq(1)


class FreeDecision(EarlyDecision):
    """Shows the one register between the source and the exit, which is ``exit_``."""

    exit_: type[EarlyExit] = FreeExit

    def elaborate(self, platform: object) -> Module:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("convexon_hdl.core.decision.EarlyExit", self.exit_)
            m = super().elaborate(platform)
        self.between, self.early_exit = m.submodules.argmax.o, m.submodules.early_exit
        return m


class WatchedEncoder(LevelEncoder):
    """Shows what it knows of the inferences under way."""

    def _exits(self, m, first, sent, ends):  # type: ignore[no-untyped-def]
        may_begin, self.cuts = super()._exits(m, first, sent, ends)
        self.undecided = m.submodules.undecided
        return may_begin, self.cuts


class WatchedSequencer(Sequencer):
    """Shows what it knows of the inferences under way."""

    def _gates(self, m, first, last):  # type: ignore[no-untyped-def]
        forwards, self.drains = super()._gates(m, first, last)
        self.undecided = m.submodules.undecided
        return forwards, self.drains


def number(name: str, init: int = 0) -> Signal:
    """Number of an inference, which wraps."""
    return Signal(NUMBER_BITS, name=name, init=init)


def same(left: Value, right: Value) -> Value:
    """Whether two numbers are equal, as they wrap."""
    return (left - right)[:NUMBER_BITS] == 0


class FlowSpecification(Elaboratable):
    """Results come in the order of the inferences, one for each: source, one register, exit.

    The property is that a result carries the number after that of the result before. What else is
    asserted makes it inductive: an account of where every inference stands, kept here.
    """

    def __init__(self, source: WatchedEncoder | WatchedSequencer, decision: FreeDecision) -> None:
        self.source, self.decision = source, decision

    def elaborate(self, platform: object) -> Module:
        m = Module()
        source, decision = self.source, self.decision
        # Elaborated here, as what is watched inside exists from then on.
        m.submodules.source = source.elaborate(platform)
        m.submodules.decision = decision.elaborate(platform)
        self.sent = source.o.valid & source.o.ready
        self.offered, self.expected = number("offered"), number("expected")
        waits = Signal()  # the host keeps to the rules of streams too
        m.d.sync += waits.eq(source.i.valid & ~source.i.ready)
        m.d.comb += [
            source.i.valid.eq(AnySeq(1) | waits),
            source.i.payload.eq(self.offered),
            source.decided.eq(decision.decided),
            decision.i.valid.eq(source.o.valid),
            decision.i.payload.scores[0].eq(source.o.payload.inputs),
            decision.i.payload.first.eq(source.o.payload.first),
            decision.i.payload.last.eq(source.o.payload.last),
            source.o.ready.eq(decision.i.ready),
            decision.o.ready.eq(AnySeq(1)),
        ]
        with m.If(decision.o.valid):
            m.d.comb += Assert(same(decision.o.payload.scores[0], self.expected))
        m.d.sync += self.expected.eq(self.expected + (decision.o.valid & decision.o.ready))
        self._account_for_exit(m)
        self._account_for_register(m)
        if isinstance(source, WatchedEncoder):
            self._account_for_encoder(m)
        else:
            self._account_for_sequencer(m)
        return m

    def _account_for_exit(self, m: Module) -> None:
        """``passed``: inference of the latest step at the exit; ``closed``: that was decided."""
        exit_, step = self.decision.early_exit, self.decision.between.payload
        self.passed, self.closed, self.over = number("passed", -1), Signal(init=1), Signal()
        was_over = self.over & ~step.first
        with m.If(exit_.i.valid & exit_.i.ready):
            m.d.sync += [
                self.passed.eq(step.scores[0]),
                self.closed.eq(was_over | exit_._met | step.last),
                self.over.eq(was_over | exit_._met),
            ]
        self.undecided = number("undecided")  # the oldest inference that is not decided
        m.d.comb += [
            self.undecided.eq(self.expected + self.decision.o.valid),
            Assert(exit_._was_over == was_over),
            Assert(same(self.undecided, self.passed + self.closed)),
            Assert(self.closed | ~self.over),
        ]

    def _account_for_register(self, m: Module) -> None:
        """``newest``: inference of the latest step that was sent, ``newest_is_last``: its tag."""
        valid, step = self.decision.between.valid, self.decision.between.payload
        source = self.source
        self.newest, self.newest_is_last = number("newest", -1), Signal(init=1)
        with m.If(self.sent):
            m.d.sync += [
                self.newest.eq(source.o.payload.inputs),
                self.newest_is_last.eq(source.o.payload.last),
            ]
        m.d.comb += Assert(same(self.newest, Mux(valid, step.scores[0], self.passed)))
        with m.If(valid):
            m.d.comb += [
                Assert(same(step.scores[0], self.passed + step.first)),
                Assert(step.first | self.over | ~self.closed),
                Assert(self.newest_is_last == step.last),
            ]
        with m.Elif(~self.over):
            m.d.comb += Assert(self.newest_is_last == self.closed)
        with m.If(source.o.payload.first & ~self.newest_is_last):  # cut short, so decided
            m.d.comb += Assert(self.over & (self.newest == self.passed))
        count, watched = Signal(range(CAPACITY + 1)), source.undecided
        m.d.sync += count.eq(count + watched.begun - watched.decided)
        m.d.comb += [
            Assert(watched.full == (count == CAPACITY)),
            Assert(watched.single == (count == 1)),
            Assert(count <= CAPACITY),
            Assert(same(count, self.newest + 1 - self.undecided + self.decision.decided)),
        ]

    def _account_for_encoder(self, m: Module) -> None:
        """An encoder holds the levels of one inference, begun or not."""
        encoder, step, busy = self.source, self.source.o.payload, Signal()
        taken = encoder.i.valid & encoder.i.ready
        ends = self.sent & (step.last | encoder.cuts)
        m.d.sync += [busy.eq(taken | (busy & ~ends)), self.offered.eq(self.offered + taken)]
        m.d.comb += [
            Assert(encoder.i.ready == (~busy | ends)),
            Assert(encoder.o.valid == (busy & (~step.first | ~encoder.undecided.full))),
            Assert(busy | step.first),
            Assert(same(self.offered, self.newest + 1 + (busy & step.first))),
        ]
        with m.If(busy):
            m.d.comb += Assert(same(step.inputs + 1, self.offered))
        with m.If(~step.first):
            m.d.comb += Assert(~self.newest_is_last)
        with m.If(encoder.cuts):
            m.d.comb += Assert(~step.first & self.over & (step.inputs == self.passed))

    def _account_for_sequencer(self, m: Module) -> None:
        """A sequencer passes on the steps of an inference, or drops those that are left."""
        sequencer, step = self.source, self.source.o.payload
        taken = sequencer.i.valid & sequencer.i.ready
        m.d.sync += self.offered.eq(self.offered + (taken & step.last))
        m.d.comb += Assert(same(self.offered, self.newest + step.first))
        with m.If(sequencer.drains):
            m.d.comb += Assert(~step.first & self.over & (self.newest == self.passed))
        with m.Elif(~step.first):
            m.d.comb += Assert(~self.newest_is_last)


def specification(
    source: type[WatchedEncoder] | type[WatchedSequencer],
    decision: type[FreeDecision] = FreeDecision,
) -> FlowSpecification:
    net = network()
    if issubclass(source, LevelEncoder):
        hold = Encoder(kind=EncoderKind.HOLD, bits=NUMBER_BITS)
        unit = source(net, hold, capacity=CAPACITY)
    else:
        unit = source(net, capacity=CAPACITY)
    return FlowSpecification(unit, decision(net, Decision(rule=Rule.CERTAIN)))


SOURCES = [WatchedEncoder, WatchedSequencer]


@pytest.mark.parametrize("source", SOURCES)
def test_every_inference_has_one_result_in_order(
    source: type[WatchedEncoder] | type[WatchedSequencer],
) -> None:
    assert prove(specification(source)) is Verdict.PROVED


class DecidesAgain(FreeDecision):
    """Gives a result for each step that meets the rule."""

    class exit_(FreeExit):  # noqa: N801
        def produces(self) -> Value:
            return self._met | self.arriving.last


class ForgetsLast(FreeDecision):
    """Gives no result unless the rule is met."""

    class exit_(FreeExit):  # noqa: N801
        def produces(self) -> Value:
            return ~self._was_over & self._met


class TellsTwice(FreeDecision):
    """Says again and again that a result is new while it waits."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.decided.eq(self.o.valid)
        return m


class CutsAnyInference(WatchedEncoder):
    """Ends what it sends, whichever inference was decided."""

    def _exits(self, m, first, sent, ends):  # type: ignore[no-untyped-def]
        may_begin, cuts = super()._exits(m, first, sent, ends)
        m.d.comb += cuts.eq(self.decided & ~first)
        return may_begin, cuts


class DrainsAnyInference(WatchedSequencer):
    """Drops the rest of what it sends, whichever inference was decided."""

    def _gates(self, m, first, last):  # type: ignore[no-untyped-def]
        forwards, drains = super()._gates(m, first, last)
        with m.If(self.decided & ~first & ~(self.i.valid & self.i.ready & last)):
            m.d.sync += drains.eq(1)
        return forwards, drains


@pytest.mark.parametrize(
    ("source", "decision"),
    [
        *((source, mutant) for source in SOURCES for mutant in (DecidesAgain, ForgetsLast)),
        *((source, TellsTwice) for source in SOURCES),
        (CutsAnyInference, FreeDecision),
        (DrainsAnyInference, FreeDecision),
    ],
)
def test_mutant_is_refuted(
    source: type[WatchedEncoder] | type[WatchedSequencer], decision: type[FreeDecision]
) -> None:
    assert prove(specification(source, decision)) is Verdict.REFUTED
