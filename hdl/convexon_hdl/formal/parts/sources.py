"""Proof that the source of the steps counts them, and ends the inferences that were decided.

A sequencer passes the host's steps on (*step counter*). Of an encoder on chip, counters and
handshakes are one obligation (*encoder*); what the inputs become is proved for a few of them at a
time (*code*), given these counters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Cat, Const, Module, Mux, Signal, Value

from convexon.data.encoder import SEED_FACTOR, Encoder, EncoderKind, next_state, rate_numbers
from convexon_hdl.core.encoder import LevelEncoder
from convexon_hdl.core.sequencer import Sequencer
from convexon_hdl.formal.netlist.emitted import Emitted
from convexon_hdl.formal.netlist.netlist import Bits, bits_of
from convexon_hdl.formal.netlist.part import Part
from convexon_hdl.formal.obligation import Obligation, by_induction
from convexon_hdl.formal.specs.blocks import Specification, counted, free, offer

STATE = {EncoderKind.BIT_PLANE: "plane", EncoderKind.RATE: "register"}
"""What an encoder counts besides the steps, by kind."""

AT_ONCE = 16
"""Inputs that a proof speaks of."""


class Account:
    """Inferences that a source has begun, in plain registers.

    ``first`` is high while the next step is the first of its inference, ``ends`` in the clock
    before it becomes so. ``decided`` is driven freely while an inference has begun and is
    undecided, and means the oldest of these. The inference on its way was decided before this clock
    (``met``), or by this clock (``over``); ``undecided`` of those that have begun were not before.
    """

    def __init__(
        self, m: Module, decided: Signal, *, first: Value, ends: Value, capacity: int
    ) -> None:
        earlier, self.met = Signal(range(capacity + 2)), Signal()
        self.undecided, self.over = Signal(range(capacity + 3)), Signal()
        m.d.comb += [
            self.undecided.eq(earlier + (~first & ~self.met)),
            self.over.eq(self.met | (decided & (earlier == 0))),
            decided.eq(AnySeq(1)),
            Assume(~decided | (self.undecided != 0)),
            Assert(self.undecided <= capacity),
            Assert(~first | ~self.met),
        ]
        m.d.sync += [
            earlier.eq(earlier - (decided & (earlier != 0)) + (ends & ~self.over)),
            self.met.eq(self.over & ~ends),
        ]


@dataclass(eq=False, kw_only=True)
class SequencerSpecification(Specification):
    """A sequencer passes every step on in its clock, and tags step 0 and step T - 1 of T.

    Steps are offered and accepted freely. Its counter ``step`` equals a plain counter of transfers,
    modulo T, from reset on.

    With ``capacity``, decisions are free too. A step that is there is offered, unless its inference
    was decided before and no step of it still waits to be accepted, or it would be the first of too
    many inferences. A step of a decided inference that is not offered is accepted and dropped at
    once. Watched are then also ``count``, ``cut`` and ``drains``.
    """

    n_steps: int
    capacity: int | None
    """Most inferences under way, where they may end early."""

    def state(self, m: Module) -> None:
        """Build the counter, the account and the comparison."""
        sequencer, i, o = self.component, self.component.i, self.component.o
        free(m, i.payload, o.ready)
        taken, first, last = i.valid & i.ready, Signal(), Signal()
        step = counted(m, self.n_steps, taken)
        m.d.comb += [first.eq(step == 0), last.eq(step == self.n_steps - 1)]
        offers, drops = self._exits(m, first, taken & last)
        m.d.comb += [
            Assert(sequencer.step == step),
            Assert(o.valid == (i.valid & offers)),
            Assert(i.ready == ((o.ready & offers) | drops)),
            Assert(o.payload.first == first),
            Assert(o.payload.last == last),
            Assert(o.payload.inputs == i.payload),
        ]

    def _exits(self, m: Module, first: Signal, ends: Value) -> tuple[Value, Value]:
        """Whether steps are offered, and whether they are taken and dropped."""
        sequencer, i, o = self.component, self.component.i, self.component.o
        if self.capacity is None:
            free(m, i.valid)
            return Const(1), Const(0)
        waits, stuck = offer(m, i.valid, i.ready), Signal()
        m.d.sync += stuck.eq(o.valid & ~o.ready)
        of = Account(m, sequencer.decided, first=first, ends=ends, capacity=self.capacity)
        drops = of.met & ~stuck
        m.d.comb += [
            Assert(sequencer.count == of.undecided),
            Assert(sequencer.drains == drops),
            Assert(sequencer.cut == (of.met & stuck)),
            Assert(~stuck | waits),
        ]
        return ~drops & ~(first & (of.undecided == self.capacity)), drops


def sequencer_obligations(emitted: Emitted, sequencer: Sequencer) -> Iterator[Obligation]:
    """The counter of steps, and which of them are sent where inferences end early."""
    watched = {"step": emitted.local(sequencer, "step")}
    if sequencer.capacity is not None:
        watched |= {name: emitted.local(sequencer, name) for name in ("cut", "drains")}
        watched["count"] = emitted.local(emitted.child(sequencer, "undecided"), "count")
    yield by_induction(
        "step counter",
        emitted.path(sequencer),
        emitted.cut(sequencer, watched=watched),
        SequencerSpecification,
        n_steps=sequencer.n_steps,
        capacity=sequencer.capacity,
    )


def states(of: Encoder, n_steps: int) -> list[int]:
    """What an encoder's own counter holds at each step: a plane, or the generator's state."""
    if of.kind is EncoderKind.BIT_PLANE:
        return [of.bits - 1 - t % of.bits for t in range(n_steps)]
    found = [int(of.seed or 0) * SEED_FACTOR & 0xFFFFFFFF]
    while len(found) < n_steps:
        found.append(next_state(found[-1]))
    return found


def vectors(
    m: Module, n_steps: int, *, taken: Value, sent: Value, ends: Value
) -> tuple[Signal, Signal]:
    """The step that is due of the vector that is held, and whether one is."""
    step, busy = counted(m, n_steps, sent, ends), Signal()
    with m.If(taken):
        m.d.sync += busy.eq(1)
    with m.Elif(ends):
        m.d.sync += busy.eq(0)
    m.d.comb += Assert(busy | (step == 0))
    return step, busy


@dataclass(eq=False, kw_only=True)
class EncoderSpecification(Specification):
    """Each vector of levels becomes T steps, in order.

    Vectors are offered and steps accepted freely. A plain counter of steps runs beside the encoder;
    ``state``, the plane of bits, or the generator of ``RATE``, is that of the step in every clock.

    With ``capacity``, the oldest inference that has begun is decided at any time. A step is its
    inference's last one if the inference was decided by the clock in which it is accepted; and
    while ``capacity`` inferences are undecided, none begins.
    """

    of: Encoder
    n_steps: int
    capacity: int | None
    """Most inferences under way, where they may end early."""

    def state(self, m: Module) -> None:
        """Build the counter and the comparison."""
        encoder = self.component
        free(m, encoder.i_valid, encoder.o_ready)
        sent, ends = Signal(), Signal()
        step, busy = vectors(
            m, self.n_steps, taken=encoder.i_valid & encoder.i_ready, sent=sent, ends=ends
        )
        over, may_begin = self._exits(m, step == 0, ends)
        m.d.comb += [
            sent.eq(encoder.o_valid & encoder.o_ready),
            ends.eq(sent & ((step == self.n_steps - 1) | over)),
        ]
        m.d.comb += [
            Assert(encoder.step == step),
            Assert(encoder.busy == busy),
            Assert(encoder.sent == sent),
            Assert(encoder.ends == ends),
            Assert(encoder.first == (step == 0)),
            Assert(encoder.last == (step == self.n_steps - 1)),
            Assert(encoder.i_ready == (~busy | ends)),
            Assert(encoder.o_valid == (busy & ((step != 0) | may_begin))),
        ]
        if self.of.kind in STATE:
            with m.Switch(step):
                for t, state in enumerate(states(self.of, self.n_steps)):
                    with m.Case(t):
                        m.d.comb += Assert(encoder.state == state)

    def _exits(self, m: Module, first: Value, ends: Signal) -> tuple[Value, Value]:
        """Whether the inference on its way is decided, and whether another one may begin."""
        encoder = self.component
        if self.capacity is None:
            return Const(0), Const(1)
        of = Account(m, encoder.decided, first=first, ends=ends, capacity=self.capacity)
        m.d.comb += [Assert(encoder.cut == of.met), Assert(encoder.count == of.undecided)]
        return of.over & ~first, of.undecided != self.capacity


@dataclass(eq=False, kw_only=True)
class CodeSpecification(Specification):
    """What a level l of k bits becomes at step t of its inference.

    - ``THRESHOLD``: l * (T + 1) >= (T - t) * (2**k - 1), by multiplication;
    - ``LATENCY``: the same, unless it held at t - 1 too;
    - ``BIT_PLANE``: bit k - 1 - (t mod k);
    - ``RATE``: whether the generator's number of `convexon.data.encoder` is below l;
    - ``HOLD``: l.

    A vector is accepted while none is held or the one that is held ends; steps leave and inferences
    end freely. The counters are those that `EncoderSpecification` proves. Inputs are the ``levels``
    of a few inputs, ``valid`` and ``ready`` of their transfer, and those of ``step``, ``sent``,
    ``ends`` and ``state`` that the kind reads; outputs are ``code``, what the inputs are in the
    step on offer, ``held``, their levels, and ``spent``, of ``LATENCY``.
    """

    of: Encoder
    n_inputs: int
    n_steps: int
    numbers: Sequence[Sequence[int]]
    """Of ``RATE``: the generator's, shape (steps, inputs)."""

    def state(self, m: Module) -> None:
        """Build the environment, a copy of the levels, and the definition."""
        code = self.component
        levels, sent, ends = Signal(len(code.levels)), Signal(), Signal()
        valid, ready, state = Signal(), Signal(), Signal(32)
        step, busy = vectors(m, self.n_steps, taken=valid & ready, sent=sent, ends=ends)
        free(m, valid, code.levels)
        m.d.comb += [
            sent.eq(AnySeq(1) & busy),
            ends.eq(sent & (AnySeq(1) | (step == self.n_steps - 1))),
            ready.eq(~busy | ends),
        ]
        given = {"step": step, "sent": sent, "ends": ends, "valid": valid, "ready": ready}
        for name, value in {**given, "state": state}.items():
            if name in code.signature.members:
                m.d.comb += getattr(code, name).eq(value)
        with m.If(valid & ready):
            m.d.sync += levels.eq(code.levels)
        m.d.comb += Assert(~busy | (code.held == levels))
        counted = states(self.of, self.n_steps) if self.of.kind in STATE else [0] * self.n_steps
        with m.Switch(step):
            for t in range(self.n_steps):
                with m.Case(t):
                    m.d.comb += state.eq(counted[t])
                    self._compare(m, t, levels, busy)

    def _compare(self, m: Module, t: int, levels: Signal, busy: Signal) -> None:
        """What the inputs become at step ``t``."""
        kind, bits = self.of.kind, self.of.bits
        own = [levels[k * bits : (k + 1) * bits] for k in range(self.n_inputs)]
        expected: list[Value]
        if kind is EncoderKind.RATE:
            pairs = zip(self.numbers[t], own, strict=True)
            expected = [number < level for number, level in pairs]
        elif kind is EncoderKind.BIT_PLANE:
            expected = [level[bits - 1 - t % bits] for level in own]
        elif kind is EncoderKind.HOLD:
            expected = list(own)
        else:
            expected = [self._reaches(level, t) for level in own]
        if kind is EncoderKind.LATENCY:
            before = [self._reaches(level, t - 1) if t else Const(0) for level in own]
            expected = [now & ~then for now, then in zip(expected, before, strict=True)]
            m.d.comb += Assert(self.component.spent == Mux(busy, Cat(before), 0))
        m.d.comb += Assert(~busy | (self.component.code == Cat(expected)))

    def _reaches(self, level: Value, t: int) -> Value:
        """Whether a level has reached the threshold of step ``t``."""
        return level * (self.n_steps + 1) >= (self.n_steps - t) * self.of.max_level


def encoder_obligations(emitted: Emitted, encoder: LevelEncoder) -> Iterator[Obligation]:
    """The encoder of an emitted network gives the steps of its definition."""
    yield _control_obligation(emitted, encoder)
    n_inputs = emitted.network.n_inputs
    for begin in range(0, n_inputs, AT_ONCE):
        yield _code_obligation(emitted, encoder, range(begin, min(n_inputs, begin + AT_ONCE)))


def _control_obligation(emitted: Emitted, encoder: LevelEncoder) -> Obligation:
    """Counters, handshakes and tags."""
    of, capacity = encoder.encoder, encoder.capacity
    inputs = {"i_valid": emitted.bits(encoder.i.valid), "o_ready": emitted.bits(encoder.o.ready)}
    outputs = {"i_ready": emitted.bits(encoder.i.ready), "o_valid": emitted.bits(encoder.o.valid)}
    tags = emitted.fields(encoder.o)
    outputs |= {name: tags[name] for name in ("first", "last")}
    outputs |= {name: emitted.local(encoder, name) for name in ("step", "busy", "sent", "ends")}
    if of.kind in STATE:
        outputs["state"] = emitted.local(encoder, STATE[of.kind])
    if capacity is not None:
        inputs["decided"] = emitted.bits(encoder.decided)
        outputs["cut"] = emitted.local(encoder, "cut")
        outputs["count"] = emitted.local(emitted.child(encoder, "undecided"), "count")
    return by_induction(
        "encoder",
        emitted.path(encoder),
        Part(emitted.netlist, inputs=inputs, outputs=outputs),
        EncoderSpecification,
        of=of,
        n_steps=emitted.network.n_steps,
        capacity=capacity,
    )


def _code_obligation(emitted: Emitted, encoder: LevelEncoder, which: range) -> Obligation:
    """What a few inputs become."""
    of, network = encoder.encoder, emitted.network
    counted = ["step", *(["sent", "ends"] if of.kind is EncoderKind.LATENCY else [])]
    inputs = {
        "levels": _of_inputs(emitted.bits(encoder.i.payload), which, of.bits),
        "valid": emitted.bits(encoder.i.valid),
        "ready": emitted.bits(encoder.i.ready),
        **{name: emitted.local(encoder, name) for name in counted},
    }
    if of.kind in STATE:
        inputs["state"] = emitted.local(encoder, STATE[of.kind])
    outputs = {
        "code": _of_inputs(emitted.bits(encoder.o.payload), which, of.output_bits),
        "held": bits_of([emitted.local(encoder, f"level{k}") for k in which]),
    }
    if of.kind is EncoderKind.LATENCY:
        outputs["spent"] = _of_inputs(emitted.local(encoder, "spent"), which, 1)
    numbers: list[list[int]] = []  # only these depend on which inputs they are
    if of.kind is EncoderKind.RATE:
        every = rate_numbers(of, n_inputs=network.n_inputs, n_steps=network.n_steps)
        numbers = [[int(row[k]) for k in which] for row in every]
    return by_induction(
        "code",
        f"{emitted.path(encoder)} inputs {which.start} to {which.stop - 1}",
        Part(emitted.netlist, inputs=inputs, outputs=outputs),
        CodeSpecification,
        of=of,
        n_inputs=len(which),
        n_steps=network.n_steps,
        numbers=numbers,
    )


def _of_inputs(bits: Bits, which: range, width: int) -> Bits:
    """Nets of some inputs, each of ``width`` bits."""
    return bits[which.start * width : which.stop * width]
