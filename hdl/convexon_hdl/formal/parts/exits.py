"""Proof that inferences end at the step that the rule states, and in no other way.

Steps of an inference come to the exit in order, the first one tagged. Of an accelerator that
decides early the obligations say, together, that each inference has exactly one result, that of the
first step which meets the rule of `convexon.snn.decision`, or of the last step:

- *tournament*: the label beside the scores of a step is their leader (module `tournament`);
- *rule*: a step meets the rule if and only if its scores, its label and the steps that are left
  are as the rule states (module `rules`);
- *exit*: of the steps of an inference the first one that meets the rule is given, with its label
  and its scores, and no other (induction);
- *word of a decision*: ``decided`` is high once for each result, when it is new (induction);
- *step counter* or *encoder*: the source ends the inference that was decided, if it is the one on
  its way, and no other; every step of the others is sent (induction);
- *connections*: tournament, exit and source are connected, net for net (reading).

The source learns of results alone. That the exit has decided the oldest inference that the source
has begun and has not yet heard of follows from the order: stages, readout and tournament keep the
order of steps, as their obligations say, and the exit gives one result for each inference, in that
order.
"""

from __future__ import annotations

from collections.abc import Iterator

from amaranth.hdl import Assert, Assume, Elaboratable, Module, Mux, Signal, Value

from convexon_hdl.core.decision import EarlyDecision, EarlyExit
from convexon_hdl.formal.netlist.emitted import Emitted
from convexon_hdl.formal.netlist.netlist import Bits, require
from convexon_hdl.formal.netlist.part import Part, StandIn
from convexon_hdl.formal.obligation import Obligation, by_induction, by_reading
from convexon_hdl.formal.parts.rules import counts_steps, rule_obligations
from convexon_hdl.formal.parts.tournament import argmax_obligations
from convexon_hdl.formal.specs.blocks import free, offer


class ExitSpecification(Elaboratable):
    """Of an inference's steps, the first one that meets the rule, or the last, is given.

    Steps arrive freely, in the order that the pipeline keeps: step 0 is tagged ``first``, step T -
    1 ``last``, and only a first step follows a last one. An inference may break off after any step,
    as it does once it is decided. Whether the arriving step meets the rule is left free:
    `convexon_hdl.formal.parts.rules` proves that. A plain model runs beside the exit: the step in
    the register before the comparison, if there is one, whether the inference was decided, and the
    result on offer.

    Parameters
    ----------
    exit_ : StandIn
        Of an `EarlyExit` whose rule is cut out: ``met`` is what it says. Watched: ``over``; where
        the rule counts, ``left``, the steps of the inference after the one on offer, and
        ``before``, after the one before it; and the registers ``waiting_label``,
        ``waiting_score{c}``, ``waiting_first`` and ``waiting_last``, where one stands before the
        comparison.
    n_steps, n_classes : int
    counts, waits : bool
        Whether the rule counts steps, and whether a register stands before the comparison.
    """

    def __init__(
        self, exit_: StandIn, *, n_steps: int, n_classes: int, counts: bool, waits: bool
    ) -> None:
        self.exit = exit_
        self.n_steps = n_steps
        self.n_classes = n_classes
        self.counts = counts
        self.waits = waits

    def elaborate(self, platform: object) -> Module:
        """Build the account and the comparison."""
        m = Module()
        m.submodules.exit = exit_ = self.exit
        i, o = exit_.i, exit_.o
        free(m, i.valid, i.payload, o.ready, exit_.met)
        self._number(m)
        valid, arriving = i.valid, i.payload
        given, result = Signal(), Signal.like(i.payload, name="result")
        moves: Value = ~given | o.ready
        takes = moves
        if self.waits:
            waiting, waits = Signal.like(i.payload, name="waiting"), Signal()
            takes = ~waits | moves
            with m.If(takes):
                m.d.sync += waits.eq(i.valid)
            with m.If(takes & i.valid):
                m.d.sync += waiting.eq(i.payload)
            self._tie(m, waits, waiting)
            valid, arriving = waits, waiting
        over = Signal()
        was_over = over & ~arriving.first
        with m.If(moves):
            m.d.sync += given.eq(valid & ~was_over & (exit_.met | arriving.last))
        with m.If(moves & valid):
            m.d.sync += [over.eq(was_over | exit_.met), result.eq(arriving)]
        m.d.comb += [
            Assert(i.ready == takes),
            Assert(exit_.over == over),
            Assert(o.valid == given),
        ]
        with m.If(given):
            m.d.comb += [Assert(o.payload.label == result.label), Assert(o.payload.last)]
            for c in range(self.n_classes):
                m.d.comb += Assert(o.payload.scores[c] == result.scores[c])
        return m

    def _number(self, m: Module) -> None:
        """Tags are such as there can be; steps that are left are as many as the tags say."""
        i = self.exit.i
        follows, step = Signal(range(self.n_steps + 1)), Signal(range(self.n_steps + 1))
        begun, sound = Signal(), Signal()
        with m.If(i.valid & i.ready):
            m.d.sync += [follows.eq(step + 1), begun.eq(1)]
        m.d.comb += [
            step.eq(Mux(i.payload.first, 0, follows)),
            sound.eq((begun | i.payload.first) & (step < self.n_steps)),
            Assume(~i.valid | (sound & (i.payload.last == (step == self.n_steps - 1)))),
            Assert(follows <= self.n_steps),
        ]
        if self.counts:
            m.d.comb += [
                Assert(~i.valid | (self.exit.left == self.n_steps - 1 - step)),
                Assert(~begun | (self.exit.before == self.n_steps - follows)),
            ]

    def _tie(self, m: Module, waits: Signal, waiting: Signal) -> None:
        """The step before the comparison is held as it came."""
        pairs = [(f"score{c}", waiting.scores[c]) for c in range(self.n_classes)]
        pairs += [(name, waiting[name]) for name in ("label", "first", "last")]
        for name, held in pairs:
            own = getattr(self.exit, f"waiting_{name}")
            m.d.comb += Assert(~waits | (own == Value.cast(held)[: len(own)]))


class WordSpecification(Elaboratable):
    """The source is told of each result once, in the first clock in which it is on offer.

    Parameters
    ----------
    word : StandIn
        Nets between an exit, what takes its results, and the source: inputs ``valid`` and
        ``ready``, outputs ``decided`` and ``waiting``.
    """

    def __init__(self, word: StandIn) -> None:
        self.word = word

    def elaborate(self, platform: object) -> Module:
        """Build the results, and whether they were told."""
        m = Module()
        m.submodules.word = word = self.word
        told, waits = Signal(), offer(m, word.valid, word.ready)
        free(m, word.ready)
        m.d.sync += told.eq((told | word.decided) & ~(word.valid & word.ready))
        m.d.comb += [
            Assert(word.decided == (word.valid & ~told)),
            Assert(word.waiting == told),
            Assert(told == waits),
        ]
        return m


def decision_obligations(emitted: Emitted, decision: EarlyDecision) -> Iterator[Obligation]:
    """Tournament, exit, and the word to the source."""
    path = emitted.path(decision)
    argmax, exit_ = (emitted.child(decision, name) for name in ("argmax", "early_exit"))
    yield by_reading("connections", path, _check_decision, emitted, decision)
    yield from argmax_obligations(emitted, argmax)
    yield from rule_obligations(emitted, exit_)
    yield exit_obligation(emitted, exit_)
    inputs = {"valid": emitted.bits(exit_.o.valid), "ready": emitted.bits(exit_.o.ready)}
    decided, waiting = emitted.bits(decision.decided), emitted.local(decision, "waiting")
    word = Part(emitted.netlist, inputs=inputs, outputs={"decided": decided, "waiting": waiting})
    yield by_induction("word of a decision", path, word, WordSpecification)


def _check_decision(emitted: Emitted, decision: EarlyDecision) -> None:
    """Streams from part to part, and the net that tells the source."""
    path = emitted.path(decision)
    argmax, exit_ = (emitted.child(decision, name) for name in ("argmax", "early_exit"))
    for given, taken in ((decision.i, argmax.i), (argmax.o, exit_.i), (exit_.o, decision.o)):
        emitted.require_connected(given, taken, f"inside {path}")
    source = emitted.pipeline()[0]
    emitted.require_same(source.decided, decision.decided, f"{emitted.path(source)} decided")


def exit_obligation(emitted: Emitted, exit_: EarlyExit) -> Obligation:
    """The exit gives the result of the step that decides."""
    network, path = emitted.network, emitted.path(exit_)
    require(exit_.registers <= 1, f"{path} must have at most 1 register before the comparison")
    counts = counts_steps(exit_)
    watched: dict[str, Bits] = {"over": emitted.local(exit_, "over")}
    if counts:
        watched |= {name: emitted.local(exit_, name) for name in ("left", "before")}
    if exit_.registers:
        held = ["label", "first", "last", *(f"score{c}" for c in range(network.n_classes))]
        watched |= {f"waiting_{name}": emitted.local(exit_, f"{name}_clock1") for name in held}
    part = emitted.cut(exit_, watched=watched, inputs={"met": emitted.local(exit_, "met")})
    return by_induction(
        "exit",
        path,
        part,
        ExitSpecification,
        n_steps=network.n_steps,
        n_classes=network.n_classes,
        counts=counts,
        waits=bool(exit_.registers),
    )
