"""The linear readout: integer scores of the last layers' features, and the decision."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data
from amaranth.utils import ceil_log2

from convexon.fixed import width_of
from convexon.network import FixedPointNetwork
from convexon.neuron import ReadoutMode
from convexon_hdl.arithmetic import Operand, add_all, resize, weighted_sum
from convexon_hdl.elastic import ElasticRegister
from convexon_hdl.stage import StepLayout


def score_width(network: FixedPointNetwork) -> int:
    """Bits of one score: the narrowest signed format that holds those of all classes."""
    return max(width_of(interval) for interval in network.score_ranges)


class ScoresLayout(data.StructLayout):
    """Scores of one result.

    Members
    -------
    scores : array of n_classes signed(score_width)
    last : unsigned(1)
        This is the last result of an inference.
    """

    def __init__(self, network: FixedPointNetwork) -> None:
        scores = data.ArrayLayout(signed(score_width(network)), network.n_classes)
        super().__init__({"scores": scores, "last": 1})


class ResultLayout(data.StructLayout):
    """What the accelerator hands over.

    Members
    -------
    label : unsigned
        Class of the largest score, the lowest class among equals. With a single class: score > 0.
    scores : array of n_classes signed(score_width)
    last : unsigned(1)
        This is the last result of an inference.
    """

    def __init__(self, network: FixedPointNetwork) -> None:
        label = unsigned(max(1, ceil_log2(network.n_classes)))
        super().__init__({"label": label, **dict(ScoresLayout(network).members)})


class Readout(ElasticRegister):
    """Scores of the features.

    ::

        score[c] = b[c] + sum_j w[j,c] * feature[j]

    ``LAST`` and ``SIGN`` give one result for the last step of an inference, ``STEP`` one for each
    step, ``COUNT`` one for all steps together: its scores accumulate, which equals weighing the
    counts of spikes.

    Latency: 1 clock, as `ElasticRegister`. Resources: for each class one table for every four
    weights that are not zero and one adder less than tables (`weighted_sum`), for ``COUNT`` one
    adder more; n_classes * score_width + 2 flip-flops.

    Parameters
    ----------
    network : FixedPointNetwork

    Members
    -------
    i : In(stream.Signature(StepLayout(network, network.depth)))
    o : Out(stream.Signature(ScoresLayout(network)))
    """

    def __init__(self, network: FixedPointNetwork) -> None:
        self._network = network
        super().__init__(
            i_layout=StepLayout(network, network.depth), o_layout=ScoresLayout(network)
        )

    @property
    def network(self) -> FixedPointNetwork:
        """Network that the readout belongs to."""
        return self._network

    def produces(self) -> Value:
        """Every step for ``STEP``, the last step for all other modes."""
        if self.network.readout_mode is ReadoutMode.STEP:
            return Const(1)
        return self.i.payload.last

    def datapath(self, m: Module, accept: Value) -> None:
        """Build the sums of all classes."""
        network = self.network
        branches = range(len(network.branches))
        features = list(Cat(self.i.payload[f"branch{index}"] for index in branches))
        for c in range(network.n_classes):
            held = self.o.payload.scores[c]
            score = self._score(m, c, features, held)
            with m.If(accept):
                m.d.sync += held.eq(score.value)
        with m.If(accept):
            m.d.sync += self.o.payload.last.eq(self.i.payload.last)

    def _score(self, m: Module, c: int, features: list[Value], held: Value) -> Operand:
        """Score of class ``c`` once the step on ``i`` is weighed."""
        network = self.network
        name = f"score{c}"
        bias = int(network.readout_biases[c])
        weights = [int(w) for w in network.readout_weights[:, c]]
        if network.readout_mode is ReadoutMode.COUNT:
            step = weighted_sum(m, features, weights, name=name)
            start = Operand(Mux(self.i.payload.first, bias, held), network.score_ranges[c])
            total = add_all(m, [step, start], name=f"{name}_total")
        else:
            total = weighted_sum(m, features, weights, offset=bias, name=name)
        return resize(m, total, network.score_ranges[c], name=f"{name}_resized")


@dataclass(frozen=True, eq=False)
class _Contender:
    """A score of the tournament and the class that it belongs to."""

    score: Value
    label: Value


class Argmax(ElasticRegister):
    """Class of the largest score, the lowest class among equals, as a balanced tournament.

    With a single class the label says whether its score is above 0.

    Latency: 1 clock, as `ElasticRegister`. Resources: n_classes - 1 comparators and twice as many
    multiplexers, ceil(log2 n_classes) deep; flip-flops for the payload.

    Parameters
    ----------
    network : FixedPointNetwork

    Members
    -------
    i : In(stream.Signature(ScoresLayout(network)))
    o : Out(stream.Signature(ResultLayout(network)))
    """

    def __init__(self, network: FixedPointNetwork) -> None:
        self._network = network
        super().__init__(i_layout=ScoresLayout(network), o_layout=ResultLayout(network))

    @property
    def network(self) -> FixedPointNetwork:
        """Network that the decision belongs to."""
        return self._network

    def beats(self, right: Value, left: Value) -> Value:
        """Whether the score of the higher class wins against that of the lower one."""
        return right > left

    def datapath(self, m: Module, accept: Value) -> None:
        """Build the tournament."""
        scores = [self.i.payload.scores[c] for c in range(self.network.n_classes)]
        label = scores[0] > 0 if len(scores) == 1 else self._winner(m, scores)
        with m.If(accept):
            m.d.sync += [
                self.o.payload.label.eq(label),
                self.o.payload.scores.eq(self.i.payload.scores),
                self.o.payload.last.eq(self.i.payload.last),
            ]

    def _winner(self, m: Module, scores: list[Value]) -> Value:
        """Class of the largest of ``scores``, in their order."""
        contenders = [_Contender(score, Const(c)) for c, score in enumerate(scores)]
        level = 0
        while len(contenders) > 1:
            pairs = zip(contenders[0::2], contenders[1::2], strict=False)
            above = [
                self._match(m, left, right, name=f"round{level}_{k}")
                for k, (left, right) in enumerate(pairs)
            ]
            if len(contenders) % 2:
                above.append(contenders[-1])
            contenders = above
            level += 1
        return contenders[0].label

    def _match(self, m: Module, left: _Contender, right: _Contender, *, name: str) -> _Contender:
        """Winner of one match; ``left`` holds the lower classes and wins a tie."""
        wins = Signal(name=f"{name}_wins")
        score = Signal.like(left.score, name=f"{name}_score")
        label = Signal(max(len(left.label), len(right.label)), name=f"{name}_label")
        m.d.comb += [
            wins.eq(self.beats(right.score, left.score)),
            score.eq(Mux(wins, right.score, left.score)),
            label.eq(Mux(wins, right.label, left.label)),
        ]
        return _Contender(score, label)
