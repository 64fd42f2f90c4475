"""Proof that a step meets a rule of decision exactly where `convexon.snn.decision` says so.

``THRESHOLD`` is one comparison of all scores. ``CERTAIN`` compares the leader with every class; the
text does so in one net for each, which stand side by side before an *and*: each is proved by
itself, for any scores in their ranges and any label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Cat, Const, Elaboratable, Module, Signal, Value

from convexon.snn.fixed import Interval
from convexon_hdl.core.decision import EarlyExit
from convexon_hdl.formal.netlist.emitted import Emitted
from convexon_hdl.formal.netlist.netlist import Bit, Bits, require
from convexon_hdl.formal.netlist.part import Part, StandIn
from convexon_hdl.formal.obligation import Obligation, by_induction
from convexon_hdl.formal.specs.blocks import free, within


def counts_steps(exit_: EarlyExit) -> bool:
    """Whether an exit counts the steps that are left: ``CERTAIN`` does, if there can be any."""
    return exit_.decision.threshold is None and exit_.network.n_steps > 1


class RuleSpecification(Elaboratable):
    """``says`` is what the rule states of a step; of ``CERTAIN``, of one class.

    ::

        score[l] - score[c] >= g * M[c, l] + (1 if c < l else 0)

    with c the class, l the label, g the steps that are left, and
    M[c, l] = sum_j max(0, w[j, c] - w[j, l]); for l itself it is 1. Scores are any that the network
    can have, and the label is any class.

    Parameters
    ----------
    rule : StandIn
        Inputs ``label`` and ``scores``, of the step as it comes to the exit; ``left``, the steps
        that are left, where the rule counts them; and ``takes``, where a register stands before the
        comparison: it takes the step. Output ``says``.
    weights : sequence of sequences of int, shape (features, classes)
    biases : sequence of int
    n_steps : int
    threshold : int or None
        Of ``THRESHOLD``; None for ``CERTAIN``.
    number : int
        Class c.
    """

    def __init__(
        self,
        rule: StandIn,
        *,
        weights: Sequence[Sequence[int]],
        biases: Sequence[int],
        n_steps: int,
        threshold: int | None,
        number: int,
    ) -> None:
        self.rule = rule
        self.weights = weights
        self.biases = biases
        self.n_steps = n_steps
        self.threshold = threshold
        self.number = number

    def elaborate(self, platform: object) -> Module:
        """Build the scores, the rule and the comparison."""
        m = Module()
        m.submodules.rule = rule = self.rule
        ports = rule.signature.members
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
            return m
        filled, before = Signal(), Signal()
        m.d.comb += [rule.takes.eq(AnySeq(1)), Assert(~filled | (rule.says == before))]
        with m.If(rule.takes):
            m.d.sync += [filled.eq(1), before.eq(expected)]
        return m

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
            score = self.rule.scores.word_select(c, len(self.rule.scores) // n_classes)
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
            cases.append((self.rule.label != leader) | (c == leader) | ahead)
        return Cat(cases).all()


def rule_obligations(emitted: Emitted, exit_: EarlyExit) -> Iterator[Obligation]:
    """What is proved of the rule of an emitted network."""
    path, met = emitted.path(exit_), emitted.local(exit_, "met")[0]
    nets: list[Bit] = [met]
    if exit_.decision.threshold is None:
        cell, _ = emitted.netlist.driver(met)
        nets = list(cell.ports["A"])
        compared = max(2, emitted.network.n_classes)
        whole = cell.kind == "$reduce_and" and len(nets) == compared
        require(whole, f"{path} met must say that the leader is ahead of every class")
    for c, net in enumerate(nets):
        where = path if len(nets) == 1 else f"{path} class {c}"
        yield _rule_obligation(emitted, exit_, net, c, where)


def _rule_obligation(
    emitted: Emitted, exit_: EarlyExit, net: Bit, number: int, where: str
) -> Obligation:
    """One net of the rule."""
    network, fields = emitted.network, emitted.fields(exit_.i)
    inputs: dict[str, Bits] = {name: fields[name] for name in ("label", "scores")}
    if counts_steps(exit_):
        inputs["left"] = emitted.local(exit_, "left")
    if exit_.registers:
        inputs["takes"] = emitted.bits(exit_.chain.advance[0])
    return by_induction(
        "rule",
        where,
        Part(emitted.netlist, inputs=inputs, outputs={"says": (net,)}),
        RuleSpecification,
        weights=network.readout_weights.tolist(),
        biases=network.readout_biases.tolist(),
        n_steps=network.n_steps,
        threshold=exit_.decision.threshold,
        number=number,
    )
