"""Obligations of the decision: the tournament, match by match.

A contender is a score and a class. Read from the text: the contenders of round 0 are the scores of
the payload, each with its own class; in a match, the right one wins where its score is larger; the
winner's score and class go on. By induction over the rounds a contender that stands for the classes
a to b holds the largest of their scores, and the lowest class that has it. The last one stands for
all classes, and its class is the label.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from amaranth.hdl import Assert, Cat, Module

from convexon_hdl.core.readout import Argmax
from convexon_hdl.formal.netlist.emitted import Emitted
from convexon_hdl.formal.netlist.linear import Reading, single_bits
from convexon_hdl.formal.netlist.netlist import Bits, require
from convexon_hdl.formal.obligation import Obligation, by_induction, by_reading
from convexon_hdl.formal.parts.spatial import Pipeline, check_tags
from convexon_hdl.formal.specs.blocks import Specification, filled, free

WINNER = (0, 1, 0, 1, 0, 0, 1, 1)
"""Table of a bit that is the left one, or the right one where the last variable is 1."""


@dataclass(eq=False, kw_only=True)
class TournamentSpecification(Specification):
    """The label is the lowest class among those of the largest score.

    It is compared with the scores beside it in ``o.payload``, for transfers that come in every
    clock without a stall: that registers stall together is proved by `ElasticSpecification`. With a
    single class, the label says whether its score is above 0.
    """

    registers: int

    def state(self, m: Module) -> None:
        """Build the comparison of every score with the winner's."""
        argmax = self.component
        free(m, argmax.i.payload)
        m.d.comb += [argmax.i.valid.eq(1), argmax.o.ready.eq(1)]
        scores, label = argmax.o.payload.scores, argmax.o.payload.label
        n_classes = argmax.o.payload.shape()["scores"].shape.length
        with m.If(filled(m, self.registers + 1)):
            if n_classes == 1:
                m.d.comb += Assert(label == (scores[0] > 0))
                return
            m.d.comb += Assert(label < n_classes)
            for winner in range(n_classes):
                beaten = [
                    scores[c] < scores[winner] if c < winner else scores[c] <= scores[winner]
                    for c in range(n_classes)
                    if c != winner
                ]
                m.d.comb += Assert((label != winner) | Cat(beaten).all())


@dataclass(frozen=True)
class Contender:
    """Nets of a score and of its class, and how many registers they have passed."""

    score: Bits
    label: Bits
    place: int


def argmax_obligations(emitted: Emitted, argmax: Argmax) -> Iterator[Obligation]:
    """Handshake, scores and label of the decision."""
    pipeline = Pipeline(emitted, argmax)
    yield pipeline.handshake(held=emitted.bits(argmax.o.payload))
    yield by_reading("inputs", pipeline.path, _check_scores, pipeline)
    if emitted.network.n_classes == 1:
        yield whole_tournament(emitted, argmax)
    else:
        yield by_reading("tournament", pipeline.path, _check_rounds, pipeline)


def whole_tournament(emitted: Emitted, argmax: Argmax) -> Obligation:
    """The label by induction, without a look at the rounds: for few classes and narrow scores."""
    part, registers = emitted.cut(argmax), argmax.registers
    where = emitted.path(argmax)
    return by_induction("tournament", where, part, TournamentSpecification, registers=registers)


def _check_scores(pipeline: Pipeline) -> None:
    """Tags and scores are the step's own."""
    check_tags(pipeline)
    taken = pipeline.last_registers(pipeline.given["scores"])
    pipeline.require_passed(pipeline.reading(), taken, "scores")


def _check_rounds(pipeline: Pipeline) -> None:
    """Every match of every round, and the label that is left."""
    n_classes = pipeline.emitted.network.n_classes
    scores = pipeline.fields["scores"]
    width, label_bits = len(scores) // n_classes, len(pipeline.given["label"])
    contenders = [
        Contender(scores[c * width : (c + 1) * width], _number(c, label_bits), 0)
        for c in range(n_classes)
    ]
    level = 0
    while len(contenders) > 1:
        carried = [_carried(pipeline, c, level, k) for k, c in enumerate(contenders)]
        pairs = zip(carried[0::2], carried[1::2], strict=False)
        above = [_match(pipeline, a, b, f"round{level}_{k}") for k, (a, b) in enumerate(pairs)]
        contenders = above + carried[len(carried) - len(carried) % 2 :]
        level += 1
    winner, registers = contenders[0], pipeline.registers
    taken = pipeline.last_registers(pipeline.given["label"])
    taken = pipeline.before(taken, registers, registers - winner.place)
    pipeline.emitted.require_same(taken, winner.label, f"{pipeline.path} label")


def _number(number: int, width: int) -> Bits:
    return tuple(str((number >> place) & 1) for place in range(width))


def _extended(bits: Bits, width: int) -> Bits:
    return (*bits, *("0",) * (width - len(bits)))


def _carried(pipeline: Pipeline, contender: Contender, level: int, k: int) -> Contender:
    """A contender behind the registers before round ``level``, if there are any."""
    emitted, component = pipeline.emitted, pipeline.component
    prefix = f"{pipeline.path}.round{level}_{k}"
    places = [
        place
        for place in range(contender.place + 1, pipeline.registers + 1)
        if f"{prefix}_score_clock{place}" in emitted.netlist.names
    ]
    if not places:
        return contender
    place, own = places[-1], f"round{level}_{k}"
    count = place - contender.place
    score = emitted.local(component, f"{own}_score_clock{place}")
    before = pipeline.before(score, place, count)
    emitted.require_same(before, contender.score, f"{prefix} score before its registers")
    label, varying = contender.label, _varying(contender.label)
    if varying:
        label = emitted.local(component, f"{own}_label_clock{place}")
        before = pipeline.before(label, place, count)
        emitted.require_same(before, varying, f"{prefix} label before its registers")
        label = _extended(label, len(contender.label))
    return Contender(score, label, place)


def _varying(label: Bits) -> Bits:
    """A class without the zeros that fill it up; none if it is a constant."""
    if all(isinstance(bit, str) for bit in label):
        return ()
    return label[: max(k for k, bit in enumerate(label) if isinstance(bit, int)) + 1]


def _match(pipeline: Pipeline, left: Contender, right: Contender, name: str) -> Contender:
    """Winner of one match, once the text is found to compute it."""
    emitted, component = pipeline.emitted, pipeline.component
    where = f"{pipeline.path}.{name}"
    require(left.place == right.place, f"{where} must compare scores of the same step")
    wins = emitted.local(component, f"{name}_wins")
    cell, _ = emitted.netlist.driver(wins[0])
    require(cell.kind == "$gt" and cell.is_signed, f"{where} must compare signed scores")
    emitted.require_same(cell.ports["A"], right.score, f"{where} right score")
    emitted.require_same(cell.ports["B"], left.score, f"{where} left score")
    score: Bits = ()  # the last winner's is read by nothing, and may be gone
    if f"{where}_score" in emitted.netlist.names:
        score = emitted.local(component, f"{name}_score")
        _require_chosen(pipeline, wins, score, left.score, right.score, f"{where} score")
    label = emitted.local(component, f"{name}_label")
    label = _extended(label, len(left.label))
    _require_chosen(pipeline, wins, label, left.label, right.label, f"{where} label")
    return Contender(score, label, left.place)


def _require_chosen(
    pipeline: Pipeline, wins: Bits, own: Bits, left: Bits, right: Bits, where: str
) -> None:
    """Each net of ``own`` is that of the left contender, or of the right one where it wins."""
    require(len(own) == len(left) == len(right), f"{where} must be as wide as what it is chosen of")
    for place, (bit, a, b) in enumerate(zip(own, left, right, strict=True)):
        nets = {"a": a, "b": b, "wins": wins[0]}
        words = single_bits({name: net for name, net in nets.items() if isinstance(net, int)})
        function = Reading(pipeline.emitted.netlist, words).function((bit,))
        values = {
            index: {"a": index & 1, "b": (index >> 1) & 1, "wins": index >> 2} for index in range(8)
        }
        for index, expected in enumerate(WINNER):
            case = values[index]
            if any(net in ("0", "1") and case[n] != int(net) for n, net in (("a", a), ("b", b))):
                continue  # a constant is what it is
            if a == b and case["a"] != case["b"]:
                continue
            has = function.at({(name, 0): value for name, value in case.items()})
            require(has == expected, f"{where} bit {place} must be the winner's")
