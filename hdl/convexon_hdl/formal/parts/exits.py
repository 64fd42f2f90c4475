"""Proof that inferences end at the step that the rule states, and in no other way.

Steps of an inference come to the exit in order, the first one tagged. Of an accelerator that
decides early the obligations say, together, that each inference has exactly one result, that of the
first step which meets the rule of `convexon.snn.decision`, or of the last step:

- *tournament*: the label beside the scores of a step is their leader (module `tournament`);
- *rule*: a step meets the rule if and only if its scores, its label and the steps that are left
  are as the rule states (induction). ``THRESHOLD`` is one comparison of all scores. ``CERTAIN``
  compares the leader with every class, in one net for each, which stand side by side before an
  *and*: each is proved by itself;
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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Cat, Const, Module, Mux, Signal, Value

from convexon.snn.fixed import Interval
from convexon_hdl.core.decision import EarlyDecision, EarlyExit
from convexon_hdl.formal.netlist.emitted import Emitted
from convexon_hdl.formal.netlist.netlist import Bits, require
from convexon_hdl.formal.netlist.part import Part
from convexon_hdl.formal.obligation import Obligation, by_induction, by_reading
from convexon_hdl.formal.parts.tournament import argmax_obligations
from convexon_hdl.formal.specs.blocks import Specification, free, offer, within


def counts_steps(exit_: EarlyExit) -> bool:
    """Whether an exit counts the steps that are left: ``CERTAIN`` does, if there can be any."""
    return exit_.decision.threshold is None and exit_.network.n_steps > 1


@dataclass(eq=False, kw_only=True)
class RuleSpecification(Specification):
    """``says`` is what the rule states of a step; of ``CERTAIN``, of one class.

    ::

        score[l] - score[c] >= g * M[c, l] + (1 if c < l else 0)

    with c the class, l the label, g the steps that are left, and
    M[c, l] = sum_j max(0, w[j, c] - w[j, l]); for l itself it is 1. Scores are any that the network
    can have, and the label is any class.

    Inputs are ``label`` and ``scores``, of the step as it comes to the exit; ``left``, the steps
    that are left, where the rule counts them; and ``takes``, where a register stands before the
    comparison: it takes the step. The output is ``says``.
    """

    weights: Sequence[Sequence[int]]
    """Shape (features, classes)."""
    biases: Sequence[int]
    n_steps: int
    threshold: int | None
    """Of ``THRESHOLD``; None for ``CERTAIN``."""
    number: int
    """Class c."""

    def state(self, m: Module) -> None:
        """Build the scores, the rule and the comparison."""
        rule, ports = self.component, self.component.signature.members
        free(m, rule.label, rule.scores)
        left: Value = Const(0)
        if "left" in ports:
            left = rule.left
            free(m, left)
            m.d.comb += Assume(left < self.n_steps)
        scores = self._scores(m)
        m.d.comb += Assume(rule.label < len(scores))
        expected = Signal()
        m.d.comb += expected.eq(self._expected(scores, left))
        if "takes" not in ports:
            m.d.comb += Assert(rule.says == expected)
            return
        filled, before = Signal(), Signal()
        m.d.comb += [rule.takes.eq(AnySeq(1)), Assert(~filled | (rule.says == before))]
        with m.If(rule.takes):
            m.d.sync += [filled.eq(1), before.eq(expected)]

    def _scores(self, m: Module) -> list[Value]:
        """Scores that the rule compares, within what weights and biases allow in 1 to T steps.

        Beside a single class stands that of no class, which is 0.
        """
        n_classes = len(self.biases)
        scores: list[Value] = [Const(0)] if n_classes == 1 else []
        for c, bias in enumerate(self.biases):
            column = [row[c] for row in self.weights]
            low, high = sum(min(0, w) for w in column), sum(max(0, w) for w in column)
            span = Interval(bias + self.n_steps * low, bias + self.n_steps * high)
            score = self.component.scores.word_select(c, len(self.component.scores) // n_classes)
            m.d.comb += Assume(within(score.as_signed(), span))
            scores.append(score.as_signed())
        return scores

    def _expected(self, scores: list[Value], left: Value) -> Value:
        """What the rule states."""
        if self.threshold is not None:
            return Cat(score >= self.threshold for score in scores).any()
        rows = [[0, *row] if len(row) == 1 else list(row) for row in self.weights]
        cases, c = [], self.number
        for leader, score in enumerate(scores):
            gain = sum(max(0, row[c] - row[leader]) for row in rows)
            ahead = score - scores[c] >= left * gain + int(c < leader)
            cases.append((self.component.label != leader) | (c == leader) | ahead)
        return Cat(cases).all()


def rule_obligations(emitted: Emitted, exit_: EarlyExit) -> Iterator[Obligation]:
    """What is proved of the rule of an emitted network."""
    network, path, fields = emitted.network, emitted.path(exit_), emitted.fields(exit_.i)
    inputs = {name: fields[name] for name in ("label", "scores")}
    if counts_steps(exit_):
        inputs["left"] = emitted.local(exit_, "left")
    if exit_.registers:
        inputs["takes"] = emitted.bits(exit_.chain.advance[0])
    nets = emitted.local(exit_, "met")
    if exit_.decision.threshold is None:
        cell, _ = emitted.netlist.driver(nets[0])
        nets = cell.ports["A"]
        compared = max(2, network.n_classes)
        whole = cell.kind == "$reduce_and" and len(nets) == compared
        require(whole, f"{path} met must say that the leader is ahead of every class")
    for c, net in enumerate(nets):
        where = path if len(nets) == 1 else f"{path} class {c}"
        yield by_induction(
            "rule",
            where,
            Part(emitted.netlist, inputs=inputs, outputs={"says": (net,)}),
            RuleSpecification,
            weights=network.readout_weights.tolist(),
            biases=network.readout_biases.tolist(),
            n_steps=network.n_steps,
            threshold=exit_.decision.threshold,
            number=c,
        )


@dataclass(eq=False, kw_only=True)
class ExitSpecification(Specification):
    """Of an inference's steps, the first one that meets the rule, or the last, is given.

    Steps arrive freely, in the order that the pipeline keeps: step 0 is tagged ``first``, step T -
    1 ``last``, and only a first step follows a last one. An inference may break off after any step,
    as it does once it is decided. Whether the arriving step meets the rule (``met``, which is cut
    out) is left free: `RuleSpecification` says that. A plain model runs beside the exit: the step
    in the register before the comparison, if there is one, whether the inference was decided, and
    the result on offer.

    Watched are ``over``; where the rule ``counts`` steps, ``left``, the steps of the inference
    after the one on offer, and ``before``, after the one before it; and where a step ``waits`` in a
    register before the comparison, ``waiting_label``, ``waiting_score{c}``, ``waiting_first`` and
    ``waiting_last``.
    """

    n_steps: int
    n_classes: int
    counts: bool
    waits: bool

    def state(self, m: Module) -> None:
        """Build the account and the comparison."""
        exit_, i, o = self.component, self.component.i, self.component.o
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

    def _number(self, m: Module) -> None:
        """Tags are such as there can be; steps that are left are as many as the tags say."""
        i = self.component.i
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
                Assert(~i.valid | (self.component.left == self.n_steps - 1 - step)),
                Assert(~begun | (self.component.before == self.n_steps - follows)),
            ]

    def _tie(self, m: Module, waits: Signal, waiting: Signal) -> None:
        """The step before the comparison is held as it came."""
        pairs = [(f"score{c}", waiting.scores[c]) for c in range(self.n_classes)]
        pairs += [(name, waiting[name]) for name in ("label", "first", "last")]
        for name, held in pairs:
            own = getattr(self.component, f"waiting_{name}")
            m.d.comb += Assert(~waits | (own == Value.cast(held)[: len(own)]))


class WordSpecification(Specification):
    """The source is told of each result once, in the first clock in which it is on offer.

    Of the nets between an exit, what takes its results, and the source, ``valid`` and ``ready`` are
    inputs, ``decided`` and ``waiting`` outputs.
    """

    def state(self, m: Module) -> None:
        """Build the results, and whether they were told."""
        word = self.component
        told, waits = Signal(), offer(m, word.valid, word.ready)
        free(m, word.ready)
        m.d.sync += told.eq((told | word.decided) & ~(word.valid & word.ready))
        m.d.comb += [
            Assert(word.decided == (word.valid & ~told)),
            Assert(word.waiting == told),
            Assert(told == waits),
        ]


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
