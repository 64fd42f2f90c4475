"""The linear readout: integer scores of the last layers' features, and the decision."""

from __future__ import annotations

from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data
from amaranth.utils import ceil_log2

from convexon.plan.adders.graph import Addend
from convexon.plan.adders.sums import weighted_sums
from convexon.plan.mapping import PLAIN, Spatial
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import ReadoutMode
from convexon_hdl.arith.arithmetic import Operand, add_all, resize
from convexon_hdl.arith.lowering import lower
from convexon_hdl.core.stage import StepLayout
from convexon_hdl.streams import ElasticRegister


class ScoresLayout(data.StructLayout):
    """Scores of one result, and whether it is the last of an inference.

    With ``every_step``, ``first`` says that they are those after an inference's first step.
    """

    def __init__(self, network: FixedPointNetwork, *, every_step: bool = False) -> None:
        scores = data.ArrayLayout(signed(network.score_width), network.n_classes)
        super().__init__({"scores": scores, "last": 1, **({"first": 1} if every_step else {})})


class ResultLayout(data.StructLayout):
    """What the accelerator hands over: a label beside the members of `ScoresLayout`.

    It is the class of the largest score, the lowest class among equals; with a single class,
    whether its score is above 0.
    """

    def __init__(self, network: FixedPointNetwork, *, every_step: bool = False) -> None:
        label = unsigned(max(1, ceil_log2(network.n_classes)))
        scores = ScoresLayout(network, every_step=every_step)
        super().__init__({"label": label, **dict(scores.members)})


class Readout(ElasticRegister):
    """Scores of the features.

    ::

        score[c] = b[c] + sum_j w[j,c] * feature[j]

    ``LAST`` and ``SIGN`` give one result for the last step of an inference, ``STEP`` one for each
    step, ``COUNT`` one for all steps together: its scores accumulate, which equals weighing the
    counts of spikes. With ``every_step`` they come out after every step, for early decisions.
    ``MEMBRANE`` and ``PEAK`` give the membranes that arrive themselves, those of the last step or
    the largest of all steps.

    The sums are cut by ``choice.registers``; for ``COUNT``, what accumulates stands behind them.

    Latency: 1 + registers clocks, as `ElasticRegister`. Resources: those of the adder graph
    (`convexon.plan.adders.sums`) and of its registers, for ``COUNT`` one adder more for each class;
    n_classes * score_width + 2 flip-flops. For
    ``PEAK`` a comparator and a multiplexer for each class in place of sums, for ``MEMBRANE`` none.
    """

    def __init__(
        self, network: FixedPointNetwork, *, choice: Spatial = PLAIN, every_step: bool = False
    ) -> None:
        self.network = network
        self.choice = choice
        self.every_step = every_step
        self.accumulates = network.readout_mode is ReadoutMode.COUNT
        super().__init__(
            i_layout=StepLayout(network, network.depth),
            o_layout=ScoresLayout(network, every_step=every_step),
            registers=choice.registers,
        )

    def produces(self) -> Value:
        """Every step for ``STEP`` and with ``every_step``, else the last step."""
        if self.every_step or self.network.readout_mode is ReadoutMode.STEP:
            return Const(1)
        return self.arriving.last

    def datapath(self, m: Module, accept: Value) -> None:
        """Build the sums of all classes, or take the membranes that are their scores."""
        network = self.network
        if network.reads_membranes:
            self._take_membranes(m, accept)
            return
        for c, step in enumerate(self._sums(m)):
            held = self.o.payload.scores[c]
            score = self._accumulated(m, c, step, held) if self.accumulates else step
            sized = resize(m, score, network.score_ranges[c], name=f"score{c}_resized")
            with m.If(accept):
                m.d.sync += held.eq(sized.value)

    def _features(self) -> Value:
        """Features of all branches, one behind the other."""
        return Cat(self.i.payload[f"branch{b}"] for b in range(len(self.network.branches)))

    def _take_membranes(self, m: Module, accept: Value) -> None:
        """Scores are the membranes of the step; for ``PEAK``, where they exceed all before."""
        width, features = self.network.score_width, self._features()
        for c in range(self.network.n_classes):
            given = features[c * width : (c + 1) * width]
            own = self.chain.carry(m, given, 0, self.registers, name=f"membrane{c}").as_signed()
            held = self.o.payload.scores[c]
            taken: Value = own
            if self.network.readout_mode is ReadoutMode.PEAK:
                larger = Signal(name=f"larger{c}")
                m.d.comb += larger.eq(own > held)
                taken = Mux(self.arriving.first | larger, own, held)
            with m.If(accept):
                m.d.sync += held.eq(taken)

    def _sums(self, m: Module) -> list[Operand]:
        """Weighted features of the step before the last register; with the bias, if final."""
        network = self.network
        features = list(self._features())
        weights = network.readout_weights.tolist()
        rows = [
            [Addend(j, weights[j][c]) for j in range(len(features)) if weights[j][c]]
            for c in range(network.n_classes)
        ]
        biases = [0 if self.accumulates else int(bias) for bias in network.readout_biases]
        graph = weighted_sums(len(features), rows, biases, self.choice.sums)
        # An accumulator takes the last clock for itself, where there is one to spare.
        n_clocks = max(1, self.registers + (not self.accumulates))
        sums = lower(m, graph, features, chain=self.chain, n_clocks=n_clocks, name="score")
        return [
            Operand(
                self.chain.carry(m, each.value, n_clocks - 1, self.registers, name=f"sum{c}"),
                each.interval,
            )
            for c, each in enumerate(sums)
        ]

    def _accumulated(self, m: Module, c: int, step: Operand, held: Value) -> Operand:
        """Score of class ``c`` once ``step`` is added."""
        bias = int(self.network.readout_biases[c])
        start = Operand(Mux(self.arriving.first, bias, held), self.network.score_ranges[c])
        return add_all(m, [step, start], name=f"score{c}_total")


class _Contender(NamedTuple):
    """A score of the tournament and the class that it belongs to."""

    score: Value
    label: Value


class Argmax(ElasticRegister):
    """Class of the largest score, the lowest class among equals, as a balanced tournament.

    With a single class the label says whether its score is above 0. Registers are spread over the
    rounds. With ``every_step`` it is that of the scores after every step.

    Latency: 1 + registers clocks, as `ElasticRegister`. Resources: n_classes - 1 comparators and
    twice as many multiplexers, ceil(log2 n_classes) deep; flip-flops for the payload, and for the
    contenders of a round that follows a register.
    """

    def __init__(
        self, network: FixedPointNetwork, *, registers: int = 0, every_step: bool = False
    ) -> None:
        self.network = network
        super().__init__(
            i_layout=ScoresLayout(network, every_step=every_step),
            o_layout=ResultLayout(network, every_step=every_step),
            registers=registers,
        )

    def datapath(self, m: Module, accept: Value) -> None:
        """Build the tournament."""
        given = self.i.payload.scores
        scores = [
            self.chain.carry(m, given[c], 0, self.registers, name=f"score{c}")
            for c in range(self.network.n_classes)
        ]
        label = scores[0] > 0 if len(scores) == 1 else self._winner(m)
        with m.If(accept):
            m.d.sync += self.o.payload.label.eq(label)
            m.d.sync += [self.o.payload.scores[c].eq(score) for c, score in enumerate(scores)]

    def _winner(self, m: Module) -> Value:
        """Class of the largest score."""
        contenders = [
            _Contender(self.i.payload.scores[c], Const(c)) for c in range(self.network.n_classes)
        ]
        rounds = ceil_log2(len(contenders))
        clock = 0
        for level in range(rounds):
            due = level * (self.registers + 1) // rounds
            contenders = [
                _Contender(
                    self.chain.carry(m, each.score, clock, due, name=f"round{level}_{k}_score"),
                    self.chain.carry(m, each.label, clock, due, name=f"round{level}_{k}_label"),
                )
                for k, each in enumerate(contenders)
            ]
            clock = due
            pairs = zip(contenders[0::2], contenders[1::2], strict=False)
            above = [
                self._match(m, left, right, name=f"round{level}_{k}")
                for k, (left, right) in enumerate(pairs)
            ]
            contenders = above + contenders[len(contenders) - len(contenders) % 2 :]
        return self.chain.carry(m, contenders[0].label, clock, self.registers, name="label")

    def _match(self, m: Module, left: _Contender, right: _Contender, *, name: str) -> _Contender:
        """Winner of one match; ``left`` holds the lower classes and wins a tie."""
        wins = Signal(name=f"{name}_wins")
        score = Signal.like(left.score, name=f"{name}_score")
        label = Signal(max(len(left.label), len(right.label)), name=f"{name}_label")
        m.d.comb += [
            wins.eq(right.score > left.score),
            score.eq(Mux(wins, right.score, left.score)),
            label.eq(Mux(wins, right.label, left.label)),
        ]
        return _Contender(score, label)
