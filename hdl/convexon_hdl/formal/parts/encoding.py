"""Proof that an encoder on chip gives the steps that its definition states, for every level.

What it counts, and when it gives and takes, is one obligation (*encoder*); what the inputs become
is proved for a few of them at a time (*code*), given what the encoder counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from convexon.data.encoder import SEED_FACTOR, Encoder, EncoderKind, next_state, rate_numbers
from convexon_hdl.core.encoder import LevelEncoder
from convexon_hdl.formal.netlist.netlist import Bits, bits_of
from convexon_hdl.formal.netlist.part import Part, StandIn
from convexon_hdl.formal.obligation import Emitted, Obligation, by_induction
from convexon_hdl.formal.parts.exits import account

STATE = {EncoderKind.BIT_PLANE: "plane", EncoderKind.RATE: "register"}
"""What an encoder counts besides the steps, by kind."""

AT_ONCE = 16
"""Inputs that a proof speaks of."""


def states(of: Encoder, n_steps: int) -> list[int]:
    """What an encoder's own counter holds at each step: a plane, or the generator's state."""
    if of.kind is EncoderKind.BIT_PLANE:
        return [of.bits - 1 - t % of.bits for t in range(n_steps)]
    state = int(of.seed or 0) * SEED_FACTOR & 0xFFFFFFFF
    found = []
    for _ in range(n_steps):
        found.append(state)
        state = next_state(state)
    return found


class EncoderSpecification(Elaboratable):
    """Each vector of levels becomes T steps, in order.

    Vectors come and steps are taken at will. A step counter of its own stands beside the encoder;
    the plane of bits, or the generator of ``RATE``, is that of the step in every clock.

    With ``capacity``, decisions come at will, of the oldest inference that has begun. A step is its
    inference's last one if that was decided by the clock in which it is taken; and while there are
    ``capacity`` undecided inferences none begins.

    Parameters
    ----------
    encoder : StandIn
        With the signature `EncoderSpecification.signature`; watched: ``step``, ``busy``, ``sent``
        and ``ends``; ``state``, what `STATE` names; with ``capacity`` also ``count`` and ``cut``.
    of : Encoder
    n_steps : int
    capacity : int or None
        Most inferences under way, where they may end early.
    """

    def __init__(
        self, encoder: StandIn, *, of: Encoder, n_steps: int, capacity: int | None = None
    ) -> None:
        self.encoder = encoder
        self.of = of
        self.n_steps = n_steps
        self.capacity = capacity

    @staticmethod
    def signature(encoder: LevelEncoder) -> wiring.Signature:
        """Ports of an encoder but for the payloads, with the tags of a step."""
        members = {"i_valid": In(1), "i_ready": Out(1), "o_valid": Out(1), "o_ready": In(1)}
        members |= {"first": Out(1), "last": Out(1)}
        if encoder.capacity is not None:
            members["decided"] = In(1)
        return wiring.Signature(members)

    def elaborate(self, platform: object) -> Module:
        """Build the counter and the comparison."""
        m = Module()
        m.submodules.encoder = encoder = self.encoder
        watched = encoder.watched
        m.d.comb += [encoder.i_valid.eq(AnySeq(1)), encoder.o_ready.eq(AnySeq(1))]
        step, busy = Signal(range(self.n_steps + 1)), Signal()
        sent, ends = Signal(), Signal()
        over, may_begin = self._exits(m, step == 0, ends)
        m.d.comb += [
            sent.eq(encoder.o_valid & encoder.o_ready),
            ends.eq(sent & ((step == self.n_steps - 1) | over)),
        ]
        with m.If(sent):
            m.d.sync += step.eq(Mux(ends, 0, step + 1))
        with m.If(encoder.i_valid & encoder.i_ready):
            m.d.sync += busy.eq(1)
        with m.Elif(ends):
            m.d.sync += busy.eq(0)
        m.d.comb += [
            Assert(step < self.n_steps),
            Assert(busy | (step == 0)),
            Assert(watched["step"] == step),
            Assert(watched["busy"] == busy),
            Assert(watched["sent"] == sent),
            Assert(watched["ends"] == ends),
            Assert(encoder.first == (step == 0)),
            Assert(encoder.last == (step == self.n_steps - 1)),
            Assert(encoder.i_ready == (~busy | ends)),
            Assert(encoder.o_valid == (busy & ((step != 0) | may_begin))),
        ]
        if "state" in watched:
            with m.Switch(step):
                for t, state in enumerate(states(self.of, self.n_steps)):
                    with m.Case(t):
                        m.d.comb += Assert(watched["state"] == state)
        return m

    def _exits(self, m: Module, first: Value, ends: Signal) -> tuple[Value, Value]:
        """Whether the inference on its way is decided, and whether another one may begin."""
        if self.capacity is None:
            return Const(0), Const(1)
        watched = self.encoder.watched
        of = account(m, self.encoder.decided, first=first, ends=ends, capacity=self.capacity)
        m.d.comb += [Assert(watched["cut"] == of.met), Assert(watched["count"] == of.undecided)]
        return of.over & ~first, of.undecided != self.capacity


class CodeSignature(wiring.Signature):
    """Nets around the levels of a few inputs.

    Parameters
    ----------
    of : Encoder
    n_inputs : int
    widths : mapping of str to int
        Those of ``step``, ``sent``, ``ends`` and ``state`` that the kind reads, and their bits.

    Members
    -------
    levels : In(n_inputs * k)
        Of the inputs, from the host.
    valid, ready : In(1)
        Of the host's transfer.
    step, sent, ends, state : In
        What the encoder counts, and whether a step leaves.
    code : Out(n_inputs * output_bits)
        What the inputs are in the step on offer.
    """

    def __init__(self, of: Encoder, n_inputs: int, widths: dict[str, int]) -> None:
        members = {"levels": In(n_inputs * of.bits), "code": Out(n_inputs * of.output_bits)}
        members |= {name: In(width) for name, width in widths.items()}
        super().__init__(members)


class CodeSpecification(Elaboratable):
    """What a level l of k bits becomes at step t of its inference.

    - ``THRESHOLD``: l * (T + 1) >= (T - t) * (2**k - 1), by multiplication;
    - ``LATENCY``: the same, unless it held at t - 1 too;
    - ``BIT_PLANE``: bit k - 1 - (t mod k);
    - ``RATE``: whether the generator's number of `convexon.data.encoder` is below l;
    - ``HOLD``: l.

    Vectors come while none is held or the one that is held ends; steps leave, and inferences end,
    at will. What the encoder counts is what `EncoderSpecification` says.

    Parameters
    ----------
    code : StandIn
        With `CodeSignature`; watched: ``held``, the levels, and ``spent``, of ``LATENCY``.
    of : Encoder
    inputs : sequence of int
        Which they are.
    n_inputs, n_steps : int
        Of the network.
    """

    def __init__(
        self, code: StandIn, *, of: Encoder, inputs: Sequence[int], n_inputs: int, n_steps: int
    ) -> None:
        self.code = code
        self.of = of
        self.inputs = inputs
        self.n_inputs = n_inputs
        self.n_steps = n_steps

    def elaborate(self, platform: object) -> Module:
        """Build the environment, a copy of the levels, and the definition."""
        m = Module()
        m.submodules.code = code = self.code
        levels = Signal(len(code.levels))
        step, busy, sent, ends = Signal(range(self.n_steps + 1)), Signal(), Signal(), Signal()
        valid, ready = Signal(), Signal()
        m.d.comb += [
            sent.eq(AnySeq(1) & busy),
            ends.eq(sent & (AnySeq(1) | (step == self.n_steps - 1))),
            valid.eq(AnySeq(1)),
            ready.eq(~busy | ends),
            code.levels.eq(AnySeq(len(code.levels))),
        ]
        state = Signal(32)
        given = {"step": step, "sent": sent, "ends": ends, "valid": valid, "ready": ready}
        for name, value in {**given, "state": state}.items():
            if name in code.signature.members:
                m.d.comb += getattr(code, name).eq(value)
        with m.If(sent):
            m.d.sync += step.eq(Mux(ends, 0, step + 1))
        with m.If(valid & ready):
            m.d.sync += [levels.eq(code.levels), busy.eq(1)]
        with m.Elif(ends):
            m.d.sync += busy.eq(0)
        m.d.comb += [
            Assert(step < self.n_steps),
            Assert(busy | (step == 0)),
            Assert(~busy | (code.watched["held"] == levels)),
        ]
        counted = states(self.of, self.n_steps) if self.of.kind in STATE else [0] * self.n_steps
        with m.Switch(step):
            for t in range(self.n_steps):
                with m.Case(t):
                    m.d.comb += state.eq(counted[t])
                    self._compare(m, t, levels, busy)
        return m

    def _compare(self, m: Module, t: int, levels: Signal, busy: Signal) -> None:
        """What the inputs become at step ``t``."""
        kind, bits = self.of.kind, self.of.bits
        own = [levels[k * bits : (k + 1) * bits] for k in range(len(self.inputs))]
        expected: list[Value]
        if kind is EncoderKind.RATE:
            numbers = rate_numbers(self.of, n_inputs=self.n_inputs, n_steps=t + 1)[t]
            of = [int(numbers[k]) for k in self.inputs]
            expected = [number < level for number, level in zip(of, own, strict=True)]
        elif kind is EncoderKind.BIT_PLANE:
            expected = [level[bits - 1 - t % bits] for level in own]
        elif kind is EncoderKind.HOLD:
            expected = list(own)
        else:
            expected = [self._reaches(level, t) for level in own]
        if kind is EncoderKind.LATENCY:
            before = [self._reaches(level, t - 1) if t else Const(0) for level in own]
            expected = [now & ~then for now, then in zip(expected, before, strict=True)]
            spent = self.code.watched["spent"]
            m.d.comb += Assert(spent == Mux(busy, Cat(before), 0))
        m.d.comb += Assert(~busy | (self.code.code == Cat(expected)))

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
    names, of, n_steps = emitted.names, encoder.encoder, emitted.network.n_steps
    inputs = {"i_valid": names.bits(encoder.i.valid), "o_ready": names.bits(encoder.o.ready)}
    outputs = {"i_ready": names.bits(encoder.i.ready), "o_valid": names.bits(encoder.o.valid)}
    payload = names.bits(encoder.o.payload)
    outputs |= {"first": payload[-2:-1], "last": payload[-1:]}
    outputs |= {name: names.local(encoder, name) for name in ("step", "busy", "sent", "ends")}
    if of.kind in STATE:
        outputs["state"] = names.local(encoder, STATE[of.kind])
    capacity = encoder.capacity
    if capacity is not None:
        inputs["decided"] = names.bits(encoder.decided)
        outputs["cut"] = names.local(encoder, "cut")
        outputs["count"] = names.local(names.child(encoder, "undecided"), "count")
    part = Part(emitted.netlist, inputs=inputs, outputs=outputs)

    def specification() -> EncoderSpecification:
        stand_in = StandIn(EncoderSpecification.signature(encoder), part)
        return EncoderSpecification(stand_in, of=of, n_steps=n_steps, capacity=capacity)

    given = (of, n_steps, capacity)
    return by_induction("encoder", names.path(encoder), part, specification, given=given)


def _code_obligation(emitted: Emitted, encoder: LevelEncoder, which: range) -> Obligation:
    """What a few inputs become."""
    names, of = emitted.names, encoder.encoder
    n_inputs, n_steps, bits = emitted.network.n_inputs, emitted.network.n_steps, of.bits
    cut: dict[str, Bits] = {
        "valid": names.bits(encoder.i.valid),
        "ready": names.bits(encoder.i.ready),
        "step": names.local(encoder, "step"),
    }
    if of.kind in STATE:
        cut["state"] = names.local(encoder, STATE[of.kind])
    if of.kind is EncoderKind.LATENCY:
        cut |= {name: names.local(encoder, name) for name in ("sent", "ends")}
    levels = names.bits(encoder.i.payload)[which.start * bits : which.stop * bits]
    width = of.output_bits
    code = names.bits(encoder.o.payload)[which.start * width : which.stop * width]
    held = bits_of([names.local(encoder, f"level{k}") for k in which])
    outputs: dict[str, Bits] = {"code": code, "held": held}
    if of.kind is EncoderKind.LATENCY:
        outputs["spent"] = names.local(encoder, "spent")[which.start : which.stop]
    part = Part(emitted.netlist, inputs={"levels": levels, **cut}, outputs=outputs)
    widths = {name: len(own) for name, own in cut.items()}

    def specification() -> CodeSpecification:
        stand_in = StandIn(CodeSignature(of, len(which), widths), part)
        return CodeSpecification(stand_in, of=of, inputs=which, n_inputs=n_inputs, n_steps=n_steps)

    # Only the numbers of the generator depend on which inputs they are.
    given = (of, n_steps, (n_inputs, which) if of.kind is EncoderKind.RATE else len(which))
    where = f"{names.path(encoder)} inputs {which.start} to {which.stop - 1}"
    return by_induction("code", where, part, specification, given=given)
