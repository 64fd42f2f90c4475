"""Proof that an encoder on chip gives the steps that its definition states, for every level."""

from __future__ import annotations

from collections.abc import Iterator

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Cat, Const, Elaboratable, Module, Mux, Signal, Value

from convexon.encoder import SEED_FACTOR, Encoder, EncoderKind, next_state, rate_numbers
from convexon_hdl.encoder import LevelEncoder
from convexon_hdl.proof.exits import account
from convexon_hdl.proof.netlist import bits_of
from convexon_hdl.proof.obligation import Emitted, Obligation, by_induction
from convexon_hdl.proof.part import StandIn

STATE = {EncoderKind.LATENCY: "spent", EncoderKind.BIT_PLANE: "plane", EncoderKind.RATE: "register"}
"""What an encoder remembers from step to step, by kind."""


class EncoderSpecification(Elaboratable):
    """Each vector of levels becomes the T steps of its kind's definition, in order.

    Levels come and steps are taken at will. A plain copy of the levels and of the number t of the
    step stands beside the encoder; a step holds, of a level l of k bits,

    - ``THRESHOLD``: l * (T + 1) >= (T - t) * (2**k - 1), by multiplication;
    - ``LATENCY``: the same, unless it held at t - 1 too;
    - ``BIT_PLANE``: bit k - 1 - (t mod k);
    - ``RATE``: whether the generator's number of `convexon.encoder` is below l;
    - ``HOLD``: l.

    With ``capacity``, decisions come at will, of the oldest inference that has begun. A step is its
    inference's last one if that was decided by the clock in which it is taken; and while there are
    ``capacity`` undecided inferences none begins. What the encoder remembers is tied to t, which
    makes all that inductive.

    Parameters
    ----------
    encoder : StandIn
        Of a `LevelEncoder`; watched: ``levels``, ``step``, ``busy``, ``ends``, and ``state``, what
        `STATE` names; with ``capacity`` also ``count`` and ``cut``.
    of : Encoder
    n_inputs, n_steps : int
    capacity : int or None
        Most inferences under way, where they may end early.
    """

    def __init__(
        self,
        encoder: StandIn,
        *,
        of: Encoder,
        n_inputs: int,
        n_steps: int,
        capacity: int | None = None,
    ) -> None:
        self.encoder = encoder
        self.of = of
        self.n_inputs = n_inputs
        self.n_steps = n_steps
        self.capacity = capacity

    def elaborate(self, platform: object) -> Module:
        """Build the copy, the definition and the comparison."""
        m = Module()
        m.submodules.encoder = encoder = self.encoder
        i, o, watched = encoder.i, encoder.o, encoder.watched
        m.d.comb += [
            i.valid.eq(AnySeq(1)),
            i.payload.eq(AnySeq(len(i.payload))),
            o.ready.eq(AnySeq(1)),
        ]
        levels = Signal(len(i.payload))
        step, busy = Signal(range(self.n_steps + 1)), Signal()
        sent, ends = Signal(), Signal()
        over, may_begin = self._exits(m, step == 0, ends)
        m.d.comb += [
            sent.eq(o.valid & o.ready),
            ends.eq(sent & ((step == self.n_steps - 1) | over)),
        ]
        with m.If(sent):
            m.d.sync += step.eq(Mux(ends, 0, step + 1))
        with m.If(i.valid & i.ready):
            m.d.sync += [levels.eq(i.payload), busy.eq(1)]
        with m.Elif(ends):
            m.d.sync += busy.eq(0)
        m.d.comb += [
            Assert(step < self.n_steps),
            Assert(busy | (step == 0)),
            Assert(watched["step"] == step),
            Assert(watched["busy"] == busy),
            Assert(watched["ends"] == ends),
            Assert(~busy | (watched["levels"] == levels)),
            Assert(o.payload.first == (step == 0)),
            Assert(o.payload.last == (step == self.n_steps - 1)),
            Assert(i.ready == (~busy | ends)),
            Assert(o.valid == (busy & ((step != 0) | may_begin))),
        ]
        with m.Switch(step):
            for t in range(self.n_steps):
                with m.Case(t):
                    self._compare(m, t, levels, busy)
        return m

    def _exits(self, m: Module, first: Value, ends: Signal) -> tuple[Value, Value]:
        """Whether the inference on its way is decided, and whether another one may begin."""
        if self.capacity is None:
            return Const(0), Const(1)
        watched = self.encoder.watched
        of = account(m, self.encoder.decided, first=first, ends=ends, capacity=self.capacity)
        m.d.comb += [Assert(watched["cut"] == of.met), Assert(watched["count"] == of.undecided)]
        return of.over & ~first, of.undecided != self.capacity

    def _compare(self, m: Module, t: int, levels: Signal, busy: Signal) -> None:
        """What the encoder gives and remembers at step ``t``."""
        kind, bits = self.of.kind, self.of.bits
        own = [levels[k * bits : (k + 1) * bits] for k in range(self.n_inputs)]
        step = self.encoder.o.payload.inputs
        state = self.encoder.watched.get("state", Const(0))
        if kind is EncoderKind.RATE:
            numbers = rate_numbers(self.of, n_inputs=self.n_inputs, n_steps=t + 1)[t]
            expected = [int(number) < level for number, level in zip(numbers, own, strict=True)]
            m.d.comb += Assert(state == self._register(t))
        elif kind is EncoderKind.BIT_PLANE:
            place = bits - 1 - t % bits
            expected = [level[place] for level in own]
            m.d.comb += Assert(state == place)
        elif kind is EncoderKind.HOLD:
            expected = list(own)
        else:
            expected = [self._reaches(level, t) for level in own]
        if kind is EncoderKind.LATENCY:
            before = [self._reaches(level, t - 1) if t else Const(0) for level in own]
            expected = [now & ~then for now, then in zip(expected, before, strict=True)]
            with m.If(busy):
                m.d.comb += Assert(state == Cat(before))
            with m.Else():
                m.d.comb += Assert(state == 0)
        with m.If(self.encoder.o.valid):
            m.d.comb += Assert(step == Cat(expected))

    def _reaches(self, level: Value, t: int) -> Value:
        """Whether a level has reached the threshold of step ``t``."""
        return level * (self.n_steps + 1) >= (self.n_steps - t) * self.of.max_level

    def _register(self, t: int) -> int:
        """The generator's state at step ``t``."""
        state = int(self.of.seed or 0) * SEED_FACTOR & 0xFFFFFFFF
        for _ in range(t):
            state = next_state(state)
        return state


def encoder_obligations(emitted: Emitted, encoder: LevelEncoder) -> Iterator[Obligation]:
    """The encoder of an emitted network gives the steps of its definition."""
    names, network = emitted.names, emitted.network
    watched = {name: names.local(encoder, name) for name in ("step", "busy", "ends")}
    inputs = range(network.n_inputs)
    watched["levels"] = bits_of([names.local(encoder, f"level{k}") for k in inputs])
    if encoder.encoder.kind in STATE:
        watched["state"] = names.local(encoder, STATE[encoder.encoder.kind])
    capacity = encoder.capacity
    if capacity is not None:
        watched["cut"] = names.local(encoder, "cut")
        watched["count"] = names.local(names.child(encoder, "undecided"), "count")
    part = emitted.cut(encoder, watched=watched)

    def specification() -> EncoderSpecification:
        return EncoderSpecification(
            StandIn(encoder.signature, part),
            of=encoder.encoder,
            n_inputs=network.n_inputs,
            n_steps=network.n_steps,
            capacity=capacity,
        )

    given = (encoder.encoder, network.n_inputs, network.n_steps, capacity)
    yield by_induction("encoder", names.path(encoder), part, specification, given=given)
