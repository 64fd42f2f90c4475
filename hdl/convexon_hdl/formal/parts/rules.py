"""Proof that a step meets a rule of decision exactly where `convexon.snn.decision` says so.

``THRESHOLD`` is one comparison of all scores. ``CERTAIN`` compares the leader with every class; the
text does so in one net for each, which stand side by side before an *and*: each is proved by
itself, for any scores in their ranges and any label.
"""

from __future__ import annotations

from collections.abc import Iterator

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Cat, Const, Elaboratable, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from convexon.snn.fixed import Interval
from convexon.snn.network import FixedPointNetwork
from convexon_hdl.core.decision import EarlyExit
from convexon_hdl.formal.netlist.netlist import Bit, Bits, require
from convexon_hdl.formal.netlist.part import Part, StandIn
from convexon_hdl.formal.obligation import Emitted, Obligation, by_induction


def counts_steps(exit_: EarlyExit) -> bool:
    """Whether an exit counts the steps that are left: ``CERTAIN`` does, if there can be any."""
    return exit_.decision.threshold is None and exit_.network.n_steps > 1


def compared(network: FixedPointNetwork) -> int:
    """Scores that a rule compares: of a single class, also that of no class, which is 0."""
    return max(2, network.n_classes)


class RuleSignature(wiring.Signature):
    """What a rule reads, and what it says of it.

    Parameters
    ----------
    exit_ : EarlyExit

    Members
    -------
    payload : In
        Of the step, as it comes to the exit.
    left : In
        Steps of the inference that are left, where the rule counts them.
    takes : In(1)
        Where a register stands before the comparison: it takes the step.
    says : Out(1)
    """

    def __init__(self, exit_: EarlyExit) -> None:
        members = {"payload": In(exit_.i.payload.shape()), "says": Out(1)}
        if counts_steps(exit_):
            members["left"] = In(range(exit_.network.n_steps))
        if exit_.registers:
            members["takes"] = In(1)
        super().__init__(members)


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
        With `RuleSignature`.
    exit_ : EarlyExit
        Component that it was emitted from: its network and its rule.
    number : int
        Class c.
    """

    def __init__(self, rule: StandIn, *, exit_: EarlyExit, number: int = 0) -> None:
        self.rule = rule
        self.network = exit_.network
        self.threshold = exit_.decision.threshold
        self.registers = exit_.registers
        self.number = number

    def elaborate(self, platform: object) -> Module:
        """Build the scores, the rule and the comparison."""
        m = Module()
        m.submodules.rule = rule = self.rule
        payload = Value.cast(rule.payload)
        m.d.comb += payload.eq(AnySeq(len(payload)))
        m.d.comb += Assume(rule.payload.label < compared(self.network))
        left: Value = Const(0)
        if "left" in rule.signature.members:
            left = rule.left
            m.d.comb += [left.eq(AnySeq(len(left))), Assume(left < self.network.n_steps)]
        scores = self._scores(m)
        expected = Signal()
        m.d.comb += expected.eq(self._expected(scores, left))
        if not self.registers:
            m.d.comb += Assert(rule.says == expected)
            return m
        filled, before = Signal(), Signal()
        m.d.comb += [rule.takes.eq(AnySeq(1)), Assert(~filled | (rule.says == before))]
        with m.If(rule.takes):
            m.d.sync += [filled.eq(1), before.eq(expected)]
        return m

    def _scores(self, m: Module) -> list[Value]:
        """Scores that the rule compares, within what weights and biases allow in 1 to T steps."""
        network, n_steps = self.network, self.network.n_steps
        scores: list[Value] = [Const(0)] if network.n_classes == 1 else []
        for c in range(network.n_classes):
            column, bias = network.readout_weights[:, c].tolist(), int(network.readout_biases[c])
            low, high = sum(min(0, w) for w in column), sum(max(0, w) for w in column)
            span = Interval(bias + n_steps * low, bias + n_steps * high)
            score = self.rule.payload.scores[c]
            m.d.comb += Assume((score >= span.low) & (score <= span.high))
            scores.append(score)
        return scores

    def _expected(self, scores: list[Value], left: Value) -> Value:
        """What the rule states."""
        if self.threshold is not None:
            return Cat(score >= self.threshold for score in scores).any()
        rows = self.network.readout_weights.tolist()
        if self.network.n_classes == 1:
            rows = [[0, *row] for row in rows]
        cases, c = [], self.number
        for leader, score in enumerate(scores):
            gain = sum(max(0, row[c] - row[leader]) for row in rows)
            ahead = score - scores[c] >= left * gain + int(c < leader)
            cases.append((self.rule.payload.label != leader) | (c == leader) | ahead)
        return Cat(cases).all()


def rule_obligations(emitted: Emitted, exit_: EarlyExit) -> Iterator[Obligation]:
    """What is proved of the rule of an emitted network."""
    names, path = emitted.names, emitted.names.path(exit_)
    met = names.local(exit_, "met")[0]
    nets: list[Bit] = [met]
    if exit_.decision.threshold is None:
        require(met in emitted.netlist.drivers, f"{path} met must be driven")
        cell = emitted.netlist.drivers[met][0]
        nets = list(cell.ports["A"])
        whole = cell.kind == "$reduce_and" and len(nets) == compared(emitted.network)
        require(whole, f"{path} met must say that the leader is ahead of every class")
    for c, net in enumerate(nets):
        where = path if len(nets) == 1 else f"{path} class {c}"
        yield _rule_obligation(emitted, exit_, net, c, where)


def _rule_obligation(
    emitted: Emitted, exit_: EarlyExit, net: Bit, number: int, where: str
) -> Obligation:
    """One net of the rule."""
    names, network = emitted.names, emitted.network
    inputs: dict[str, Bits] = {"payload": names.bits(exit_.i.payload)}
    if counts_steps(exit_):
        inputs["left"] = names.local(exit_, "left")
    if exit_.registers:
        inputs["takes"] = names.bits(exit_.chain.advance[0])
    part = Part(emitted.netlist, inputs=inputs, outputs={"says": (net,)})

    def specification() -> RuleSpecification:
        stand_in = StandIn(RuleSignature(exit_), part)
        return RuleSpecification(stand_in, exit_=exit_, number=number)

    weights, biases = network.readout_weights.tolist(), network.readout_biases.tolist()
    given = (exit_.decision, network.n_steps, weights, biases, number)
    return by_induction("rule", where, part, specification, given=given)
