"""Proof that inferences end at the step that the rule states, and in no other way.

Steps of an inference come to the exit in order, the first one tagged. Of an accelerator that
decides early the obligations say, together, that each inference has exactly one result, that of the
first step which meets the rule of `convexon.snn.decision`, or of the last step:

- *tournament*: the label beside the scores of a step is their leader (`proof.tournament`);
- *rule*: a step meets the rule if and only if its scores, its label and the steps that are left
  are as the rule states (`proof.rules`);
- *exit*: of the steps of an inference the first one that meets the rule is given, with its label
  and its scores, and no other (induction);
- *word of a decision*: ``decided`` is high once for each result, when it is new (induction);
- *step counter* or *encoder*: the source ends the inference that was decided, if it is the one on
  its way, and no other; every step of the others is sent (induction);
- *connections*: tournament, exit and source are connected, net for net (reading).

The source is told of results alone. That the oldest inference which it has begun, and of which it
was not told yet, is the one that the exit decided follows from the order: stages, readout and
tournament keep the order of steps, as their obligations say, and the exit gives one result for
each inference, in that order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from convexon_hdl.core.decision import EarlyDecision, EarlyExit
from convexon_hdl.core.encoder import LevelEncoder
from convexon_hdl.core.readout import Argmax
from convexon_hdl.core.sequencer import Sequencer
from convexon_hdl.formal.netlist.netlist import Bits, require
from convexon_hdl.formal.netlist.part import Part, StandIn
from convexon_hdl.formal.netlist.wiring import require_same, stream_bits
from convexon_hdl.formal.obligation import Emitted, Obligation, by_induction, by_reading
from convexon_hdl.formal.parts.rules import counts_steps, rule_obligations
from convexon_hdl.formal.parts.tournament import argmax_obligations


@dataclass(frozen=True, eq=False)
class Account:
    """Inferences that a source has begun, in plain registers.

    Members
    -------
    met : Signal
        The one on its way was decided before this clock.
    over : Value
        It was, or is in this clock.
    undecided : Value
        How many that have begun were not decided before this clock.
    """

    met: Signal
    over: Value
    undecided: Value


def account(m: Module, decided: Signal, *, first: Value, ends: Value, capacity: int) -> Account:
    """Keep the account of a source that begins and ends inferences.

    ``first`` is high while the next step is the first one of its inference, and ``ends`` in the
    clock after which it is so again. ``decided`` comes at any time, but only while an inference has
    begun and is not decided: it means the oldest of these.
    """
    earlier, met = Signal(range(capacity + 2)), Signal()
    undecided, over = Signal(range(capacity + 3)), Signal()
    m.d.comb += [
        undecided.eq(earlier + (~first & ~met)),
        over.eq(met | (decided & (earlier == 0))),
        decided.eq(AnySeq(1)),
        Assume(~decided | (undecided != 0)),
        Assert(undecided <= capacity),
        Assert(~first | ~met),
    ]
    m.d.sync += [
        earlier.eq(earlier - (decided & (earlier != 0)) + (ends & ~over)),
        met.eq(over & ~ends),
    ]
    return Account(met, over, undecided)


class CutSequencerSpecification(Elaboratable):
    """A sequencer passes steps on until their inference is decided, and drops the other ones.

    Steps come, are taken and decided at will. In every clock: a step is offered if it is there,
    unless its inference was decided before and no step of it still waits to be taken, or it would
    be the first of too many inferences. A step that is not offered, of an inference that was
    decided, is taken at once. Tags are those of a plain counter of the steps that were taken.

    Parameters
    ----------
    sequencer : StandIn
        Watched: ``step``, ``count``, ``cut`` and ``drains``.
    n_steps, capacity : int
    """

    def __init__(self, sequencer: StandIn, *, n_steps: int, capacity: int) -> None:
        self.sequencer = sequencer
        self.n_steps = n_steps
        self.capacity = capacity

    def elaborate(self, platform: object) -> Module:
        """Build the counter, the account and the comparison."""
        m = Module()
        m.submodules.sequencer = sequencer = self.sequencer
        i, o, watched = sequencer.i, sequencer.o, sequencer.watched
        waits = Signal()
        m.d.comb += [
            i.valid.eq(AnySeq(1) | waits),
            i.payload.eq(AnySeq(len(i.payload))),
            o.ready.eq(AnySeq(1)),
        ]
        step, stuck = Signal(range(self.n_steps + 1)), Signal()
        taken, first, last = Signal(), Signal(), Signal()
        m.d.comb += [
            taken.eq(i.valid & i.ready),
            first.eq(step == 0),
            last.eq(step == self.n_steps - 1),
        ]
        m.d.sync += [stuck.eq(o.valid & ~o.ready), waits.eq(i.valid & ~i.ready)]
        with m.If(taken):
            m.d.sync += step.eq(Mux(last, 0, step + 1))
        ends = taken & last
        of = account(m, sequencer.decided, first=first, ends=ends, capacity=self.capacity)
        drops = of.met & ~stuck
        offers = ~drops & ~(first & (of.undecided == self.capacity))
        m.d.comb += [
            Assert(step < self.n_steps),
            Assert(watched["step"] == step),
            Assert(watched["count"] == of.undecided),
            Assert(watched["drains"] == drops),
            Assert(watched["cut"] == (of.met & stuck)),
            Assert(~stuck | waits),
            Assert(o.valid == (i.valid & offers)),
            Assert(i.ready == ((o.ready & offers) | drops)),
            Assert(o.payload.first == first),
            Assert(o.payload.last == last),
            Assert(o.payload.inputs == i.payload),
        ]
        return m


class ExitSpecification(Elaboratable):
    """Of an inference's steps, the first one that meets the rule, or the last, is given.

    Steps come at will, as the pipeline brings them: step 0 is tagged ``first``, step T - 1
    ``last``, and none follows upon the last but a first one. An inference may break off after any
    step, as the source lets it once it is decided. Whether the step that arrives meets the rule is
    anything: `convexon_hdl.formal.parts.rules` speaks of that. Beside the exit stands a plain
    account: the step that waits in the register before the comparison, if there is one, whether the
    inference was decided, and the result that is on offer.

    Parameters
    ----------
    exit_ : StandIn
        With the signature `ExitSpecification.signature`; watched: ``over``; ``left``, the steps of
        the inference after the one on offer, and ``before``, after the one before it, where the
        rule reads them; and the registers ``waiting_label``, ``waiting_score{c}``,
        ``waiting_first`` and ``waiting_last``, where one stands before the comparison.
    n_steps, n_classes : int
    """

    def __init__(self, exit_: StandIn, *, n_steps: int, n_classes: int) -> None:
        self.exit = exit_
        self.n_steps = n_steps
        self.n_classes = n_classes

    @staticmethod
    def signature(exit_: EarlyExit) -> wiring.Signature:
        """Ports of an exit whose rule is cut out: ``met`` is what it says."""
        return wiring.Signature({**dict(exit_.signature.members), "met": In(1)})

    def elaborate(self, platform: object) -> Module:
        """Build the account and the comparison."""
        m = Module()
        m.submodules.exit = exit_ = self.exit
        i, o, watched = exit_.i, exit_.o, exit_.watched
        payload = Value.cast(i.payload)
        m.d.comb += [
            i.valid.eq(AnySeq(1)),
            payload.eq(AnySeq(len(payload))),
            o.ready.eq(AnySeq(1)),
            exit_.met.eq(AnySeq(1)),
        ]
        self._number(m)
        valid, arriving = i.valid, i.payload
        given, result = Signal(), Signal.like(i.payload, name="result")
        moves: Value = ~given | o.ready
        takes = moves
        if "waiting_label" in watched:
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
            Assert(watched["over"] == over),
            Assert(o.valid == given),
        ]
        with m.If(given):
            m.d.comb += [Assert(o.payload.label == result.label), Assert(o.payload.last)]
            for c in range(self.n_classes):
                m.d.comb += Assert(o.payload.scores[c] == result.scores[c])
        return m

    def _number(self, m: Module) -> None:
        """Tags are such as there can be; steps that are left are as many as the tags say."""
        i, watched = self.exit.i, self.exit.watched
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
        if "left" in watched:
            m.d.comb += [
                Assert(~i.valid | (watched["left"] == self.n_steps - 1 - step)),
                Assert(~begun | (watched["before"] == self.n_steps - follows)),
            ]

    def _tie(self, m: Module, waits: Signal, waiting: Signal) -> None:
        """The step before the comparison is held as it came."""
        watched = self.exit.watched
        pairs = [(f"score{c}", waiting.scores[c]) for c in range(self.n_classes)]
        pairs += [(name, waiting[name]) for name in ("label", "first", "last")]
        for name, held in pairs:
            own = watched[f"waiting_{name}"]
            m.d.comb += Assert(~waits | (own == Value.cast(held)[: len(own)]))


class WordSignature(wiring.Signature):
    """Nets between an exit, what takes its results, and the source."""

    def __init__(self) -> None:
        super().__init__({"valid": In(1), "ready": In(1), "decided": Out(1)})


class WordSpecification(Elaboratable):
    """The source is told of each result once, in the first clock in which it is on offer.

    Parameters
    ----------
    word : StandIn
        With `WordSignature`; watched: ``waiting``.
    """

    def __init__(self, word: StandIn) -> None:
        self.word = word

    def elaborate(self, platform: object) -> Module:
        """Build the results, and whether they were told."""
        m = Module()
        m.submodules.word = word = self.word
        told, waits = Signal(), Signal()
        m.d.comb += [word.valid.eq(AnySeq(1) | waits), word.ready.eq(AnySeq(1))]
        m.d.sync += [
            waits.eq(word.valid & ~word.ready),
            told.eq((told | word.decided) & ~(word.valid & word.ready)),
        ]
        m.d.comb += [
            Assert(word.decided == (word.valid & ~told)),
            Assert(word.watched["waiting"] == told),
            Assert(told == waits),
        ]
        return m


def decision_obligations(
    emitted: Emitted, decision: EarlyDecision, source: Sequencer | LevelEncoder
) -> Iterator[Obligation]:
    """Tournament, exit, and the word to the source."""
    names, path = emitted.names, emitted.names.path(decision)
    argmax, exit_ = names.child(decision, "argmax"), names.child(decision, "early_exit")
    yield by_reading(
        "connections", path, lambda: _check_decision(emitted, decision, argmax, exit_, source)
    )
    yield from argmax_obligations(emitted, argmax)
    yield from rule_obligations(emitted, exit_)
    yield exit_obligation(emitted, exit_)
    word = Part(
        emitted.netlist,
        inputs={"valid": names.bits(exit_.o.valid), "ready": names.bits(exit_.o.ready)},
        outputs={
            "decided": names.bits(decision.decided),
            "waiting": names.local(decision, "waiting"),
        },
    )

    def specification() -> WordSpecification:
        return WordSpecification(StandIn(WordSignature(), word))

    yield by_induction("word of a decision", path, word, specification)


def _check_decision(
    emitted: Emitted,
    decision: EarlyDecision,
    argmax: Argmax,
    exit_: EarlyExit,
    source: Sequencer | LevelEncoder,
) -> None:
    """Streams from part to part, and the net that tells the source."""
    path = emitted.names.path(decision)
    for left, right in ((decision.i, argmax.i), (argmax.o, exit_.i), (exit_.o, decision.o)):
        given, taken = stream_bits(emitted, left), stream_bits(emitted, right)
        for name, bits in given.items():
            require_same(emitted, taken[name], bits, f"{path} {name}")
    own, told = emitted.names.bits(source.decided), emitted.names.bits(decision.decided)
    require_same(emitted, own, told, f"{emitted.names.path(source)} decided")


def exit_obligation(emitted: Emitted, exit_: EarlyExit) -> Obligation:
    """The exit gives the result of the step that decides."""
    names, network, path = emitted.names, emitted.network, emitted.names.path(exit_)
    require(exit_.registers <= 1, f"{path} must have at most 1 register before the comparison")
    watched: dict[str, Bits] = {"over": names.local(exit_, "over")}
    if counts_steps(exit_):
        watched |= {name: names.local(exit_, name) for name in ("left", "before")}
    if exit_.registers:
        held = ["label", "first", "last", *(f"score{c}" for c in range(network.n_classes))]
        watched |= {f"waiting_{name}": names.local(exit_, f"{name}_clock1") for name in held}
    part = emitted.cut(exit_, watched=watched, held={"met": names.local(exit_, "met")})
    n_steps, n_classes = network.n_steps, network.n_classes

    def specification() -> ExitSpecification:
        stand_in = StandIn(ExitSpecification.signature(exit_), part)
        return ExitSpecification(stand_in, n_steps=n_steps, n_classes=n_classes)

    given = (n_steps, n_classes)
    return by_induction("exit", path, part, specification, given=given)


def cut_sequencer_obligation(emitted: Emitted, sequencer: Sequencer) -> Obligation:
    """A sequencer that ends the inferences which were decided."""
    names, steps, capacity = emitted.names, sequencer.n_steps, int(sequencer.capacity or 0)
    watched = {name: names.local(sequencer, name) for name in ("step", "cut", "drains")}
    watched["count"] = names.local(names.child(sequencer, "undecided"), "count")
    part = emitted.cut(sequencer, watched=watched)

    def specification() -> CutSequencerSpecification:
        stand_in = StandIn(sequencer.signature, part)
        return CutSequencerSpecification(stand_in, n_steps=steps, capacity=capacity)

    where = names.path(sequencer)
    return by_induction("step counter", where, part, specification, given=(steps, capacity))
