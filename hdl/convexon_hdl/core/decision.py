"""Early decisions: a result as soon as a rule allows it, and a signal to the source of the steps.

::

    sequencer or encoder -> stages -> readout -> argmax -> early exit -> o
              ^                                                |
              +------------------- decided -------------------+

The readout gives its accumulated scores at every step, argmax names their leader, and `EarlyExit`
forwards the one result of each inference that decides. No number of the inference travels through
the pipeline. Steps keep their order, so all that follow the deciding one, up to the next step
tagged ``first``, belong to the same inference and are dropped. The source counts the inferences
that have begun and are undecided (`convexon_hdl.core.sequencer.Undecided`), and so knows whether
the one that it is sending is the one that was decided. Each inference begins with exactly one
``first`` step and ends in exactly one result: at the deciding step, and at the latest at ``last``,
which always decides and which the source omits only after a decision.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from convexon.errors import InputError
from convexon.snn.decision import Decision
from convexon.snn.fixed import Interval
from convexon.snn.network import FixedPointNetwork
from convexon_hdl.arith.arithmetic import Operand, add_all, node, subtract, table
from convexon_hdl.core.readout import Argmax, ResultLayout, ScoresLayout
from convexon_hdl.streams import ElasticRegister


class EarlyExit(ElasticRegister):
    """Forwards the result of the deciding step, and drops the inference's other ones.

    ``CERTAIN``, with l the leader and g the steps left, decides where for every other class c ::

        score[l] - score[c] >= g * M[c, l] + (1 if c < l else 0)

    and M[c, l] = sum_j max(0, w[j, c] - w[j, l]), that is, where no spikes of g steps can change
    the leader. ``THRESHOLD`` decides where a score reaches the threshold. The last step always
    decides.

    Latency: 1 + registers clocks, as `ElasticRegister`; an inner register stands before the
    comparison. Resources: flip-flops for the payload and one more; ``THRESHOLD`` a comparator per
    class; ``CERTAIN`` a counter of steps, one multiplexer of all scores, and for each class a
    subtractor, a comparator, a table of M over l, and ceil(log2 T) adders.

    Raises `InputError` if the rule does not suit the network.
    """

    def __init__(
        self, network: FixedPointNetwork, decision: Decision, *, registers: int = 0
    ) -> None:
        decision.check(network)
        self.network = network
        self.decision = decision
        self._met = Signal(name="met")
        self._was_over = Signal(name="was_over")
        super().__init__(
            i_layout=ResultLayout(network, every_step=True),
            o_layout=ResultLayout(network),
            registers=registers,
        )

    def produces(self) -> Value:
        """The deciding step alone."""
        return ~self._was_over & (self._met | self.arriving.last)

    def tags(self) -> dict[str, Value]:
        """The one result of an inference is its last."""
        return {"last": Const(1)}

    def datapath(self, m: Module, accept: Value) -> None:
        """Build the rule, and a register that remembers that it was met."""
        over = Signal()  # the rule was met in the inference of the step before
        m.d.comb += [
            self._was_over.eq(over & ~self.arriving.first),
            self._met.eq(self.is_met(m)),
        ]
        label = self._arrived(m, self.i.payload.label, name="label")
        with m.If(accept):
            m.d.sync += [
                over.eq(self._was_over | self._met),
                self.o.payload.label.eq(label),
            ]
        for c in range(self.network.n_classes):
            score = self._arrived(m, self.i.payload.scores[c], name=f"score{c}")
            with m.If(accept):
                m.d.sync += self.o.payload.scores[c].eq(score)

    def _arrived(self, m: Module, value: Value, *, name: str) -> Value:
        """``value`` of the payload as it arrives at the last register."""
        return self.chain.carry(m, value, 0, self.registers, name=name)

    def is_met(self, m: Module) -> Value:
        """Whether the step before the last register meets the rule."""
        scores = [
            Operand(self.i.payload.scores[c], interval)
            for c, interval in enumerate(self.network.score_ranges)
        ]
        if len(scores) == 1:
            scores.insert(0, Operand.constant(0))
        # An inner register, if there is one, cuts the arithmetic from the comparison.
        cut = min(1, self.registers)
        if self.decision.threshold is None:
            ahead = self._is_ahead(m, scores, cut)
        else:
            reached = Cat(score.value >= self.decision.threshold for score in scores)
            ahead = self.chain.carry(m, reached.any(), 0, cut, name="reached")
        return self.chain.carry(m, ahead, cut, self.registers, name="rule")

    def _steps_left(self, m: Module) -> Signal:
        """Steps of the inference after the one on ``i``."""
        highest = self.network.n_steps - 1
        left = Signal(range(highest + 1))
        before = Signal(range(highest + 1))
        m.d.comb += left.eq(Mux(self.i.payload.first, highest, before - 1))
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += before.eq(left)
        return left

    def _is_ahead(self, m: Module, scores: list[Operand], cut: int) -> Value:
        """Whether no class can overtake the leader in the steps that are left."""
        label, left = self.i.payload.label, self._steps_left(m)
        hull = Interval.hull(
            end for score in scores for end in (score.interval.low, score.interval.high)
        )
        leader = node(m, _choose(label, [score.value for score in scores]), hull, name="leader")
        ahead = []
        for c, score in enumerate(scores):
            lead = subtract(m, leader, score, name=f"lead{c}").value
            need = self._need(m, c, label, left, n_classes=len(scores)).value
            lead = self.chain.carry(m, lead, 0, cut, name=f"lead{c}")
            need = self.chain.carry(m, need, 0, cut, name=f"need{c}")
            ahead.append(lead >= need)
        return Cat(ahead).all()

    def _need(self, m: Module, c: int, label: Value, left: Signal, *, n_classes: int) -> Operand:
        """Lead over class ``c`` that makes the leader certain: g * M[c, l], 1 more if c < l."""
        gains = [self._gain(c, leader) for leader in range(n_classes)]
        padding = [0] * ((1 << len(label)) - n_classes)
        gain = table(m, list(label), gains + padding, name=f"gain{c}")
        parts = []
        for place in range(len(left)):
            part = Mux(left[place], gain.value, 0)
            interval = Interval(0, gain.interval.high)
            parts.append(node(m, part, interval, name=f"need{c}_part{place}").shifted(place))
        if c < n_classes - 1:  # no leader is above the highest class
            parts.append(Operand.bit(label > c))
        return add_all(m, parts, name=f"need{c}")

    def _gain(self, c: int, leader: int) -> int:
        """M[c, leader], the most that one step can add to score[c] - score[leader]."""
        rows = self.network.readout_weights.tolist()
        if self.network.n_classes == 1:
            rows = [[0, *row] for row in rows]
        return sum(max(0, row[c] - row[leader]) for row in rows)


def _choose(label: Value, values: list[Value]) -> Value:
    """``values[label]``, as a balanced tree of multiplexers."""
    for place in range(ceil_log2(len(values))):
        pairs = zip(values[0::2], values[1::2], strict=False)
        above = [Mux(label[place], high, low) for low, high in pairs]
        values = above + values[len(values) - len(values) % 2 :]
    return values[0]


class EarlyDecision(wiring.Component):
    """Tournament and early exit: scores of every step in, one result per inference out.

    ``registers`` stand between the rounds of the tournament. Where there are any, the exit has one
    too, if it computes the rule ``CERTAIN``. ``decided`` says that the oldest inference under way
    is decided: it is high in the first clock in which its result is offered, whether it is accepted
    or waits.

    Latency: ``Decision.registers`` clocks. Resources: those of `Argmax` and `EarlyExit`, and two
    flip-flops.

    Raises `InputError` if the rule is not an early one, or does not suit the network.
    """

    def __init__(
        self, network: FixedPointNetwork, decision: Decision, *, registers: int = 0
    ) -> None:
        if not decision.is_early:
            raise InputError(f"decision must be of an early rule, not {decision.rule.value}")
        decision.check(network)
        self.network = network
        self.decision = decision
        self.registers = registers
        super().__init__(
            {
                "i": In(stream.Signature(ScoresLayout(network, every_step=True))),
                "o": Out(stream.Signature(ResultLayout(network))),
                "decided": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Connect both, and tell when a result is new."""
        m = Module()
        m.submodules.argmax = argmax = Argmax(
            self.network, registers=self.registers, every_step=True
        )
        inner = self.decision.registers(self.registers) - 1 - argmax.registers - 1
        m.submodules.early_exit = early_exit = EarlyExit(
            self.network, self.decision, registers=inner
        )
        wiring.connect(m, wiring.flipped(self.i), argmax.i)
        wiring.connect(m, argmax.o, early_exit.i)
        wiring.connect(m, early_exit.o, wiring.flipped(self.o))
        waiting = Signal()
        m.d.sync += waiting.eq(self.o.valid & ~self.o.ready)
        m.d.comb += self.decided.eq(self.o.valid & ~waiting)
        return m
