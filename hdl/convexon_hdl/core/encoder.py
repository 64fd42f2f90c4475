"""Encoders on chip: levels of k bits become the steps of an inference.

`convexon.data.encoder` states what each kind computes, and is the twin that tests compare with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from operator import xor

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from convexon.data.encoder import SEED_FACTOR, Encoder, EncoderKind
from convexon.snn.network import FixedPointNetwork
from convexon_hdl.arith.arithmetic import table
from convexon_hdl.core.sequencer import Undecided
from convexon_hdl.core.stage import StepLayout


class LevelEncoder(wiring.Component):
    """Makes the T steps of an inference from one vector of levels, in the sequencer's place.

    ``o`` gives one step per clock, without a gap between inferences: the next vector is accepted in
    the clock in which the last step leaves. A step depends on the levels and on its number alone,
    not on earlier inferences.

    With ``capacity``, the most inferences under way, for rules that decide early
    (`convexon_hdl.core.decision`): once the inference being sent has been decided, the step on
    offer is its last one, and the next inference follows. One more than there are registers from
    here to the decision is never reached.

    Latency: 1 clock. Resources: n_inputs * k + 1 + ceil(log2 T) flip-flops, and per input

    - ``THRESHOLD``: a comparator of k bits, and for all inputs together a table of the thresholds;
    - ``LATENCY``: the same, one flip-flop and one gate;
    - ``BIT_PLANE``: a multiplexer of k bits, and for all inputs together a counter of planes;
    - ``RATE``: a comparator of k bits with an exclusive or before each of its bits, and for all
      inputs together 32 flip-flops, 8 gates and 2 * sqrt(n_inputs) constant multiplications of 8
      bits;
    - ``HOLD``: nothing.

    Raises `InputError` if the network does not read what the encoder gives.
    """

    def __init__(
        self, network: FixedPointNetwork, encoder: Encoder, *, capacity: int | None = None
    ) -> None:
        encoder.check(network)
        self.network = network
        self.encoder = encoder
        self.capacity = capacity
        super().__init__(
            {
                # Levels of one inference, input i at bits i * k and up.
                "i": In(stream.Signature(unsigned(network.n_inputs * encoder.bits))),
                "o": Out(stream.Signature(StepLayout(network, 0))),
                # The oldest inference under way was decided.
                **({} if capacity is None else {"decided": In(1)}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the control, and the coding of one step."""
        m = Module()
        n_steps = self.network.n_steps
        levels = [Signal(self.encoder.bits, name=f"level{i}") for i in range(self.network.n_inputs)]
        busy = Signal()
        step = Signal(range(max(2, n_steps)))
        first = Signal()
        last = Signal()
        sent = Signal()
        ends = Signal()
        may_begin, cuts = self._exits(m, first, sent, ends)
        m.d.comb += [
            first.eq(~step.any()),
            last.eq(step == n_steps - 1),
            self.o.valid.eq(busy & (~first | may_begin)),
            sent.eq(self.o.valid & self.o.ready),
            ends.eq(sent & (last | cuts)),
            self.i.ready.eq(~busy | ends),
            self.o.payload.inputs.eq(self._inputs(m, levels, step, sent, ends)),
            self.o.payload.first.eq(first),
            self.o.payload.last.eq(last),
        ]
        with m.If(sent):
            m.d.sync += step.eq(step + 1)
        with m.If(ends):
            m.d.sync += [step.eq(0), busy.eq(0)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [busy.eq(1), Cat(levels).eq(self.i.payload)]
        return m

    def _exits(self, m: Module, first: Signal, sent: Signal, ends: Signal) -> tuple[Value, Value]:
        """Whether an inference may begin, and whether the present step is the last of its own."""
        if self.capacity is None:
            return Const(1), Const(0)
        m.submodules.undecided = undecided = Undecided(capacity=self.capacity)
        cut = Signal()
        cuts = Signal()
        m.d.comb += [
            undecided.begun.eq(sent & first),
            undecided.decided.eq(self.decided),
            cuts.eq(cut | (self.decided & undecided.single & ~first)),
        ]
        # Remembered until the step that is on offer is taken: an offer is never withdrawn.
        m.d.sync += cut.eq(cuts & ~ends)
        return ~undecided.full, cuts

    def _inputs(
        self, m: Module, levels: list[Signal], step: Signal, sent: Signal, ends: Signal
    ) -> Value:
        """What the network reads at this step, input 0 lowest."""
        kind = self.encoder.kind
        if kind is EncoderKind.HOLD:
            return Cat(levels)
        if kind is EncoderKind.BIT_PLANE:
            return self._plane(m, levels, sent, ends)
        if kind is EncoderKind.RATE:
            numbers = self._numbers(m, self._register(m, sent, ends))
            return Cat(number < level for number, level in zip(numbers, levels, strict=True))
        threshold = self._threshold(m, step)
        reached = Signal(len(levels))
        m.d.comb += reached.eq(Cat(level >= threshold for level in levels))
        return self._onsets(m, reached, sent, ends) if kind is EncoderKind.LATENCY else reached

    def _plane(self, m: Module, levels: list[Signal], sent: Signal, ends: Signal) -> Value:
        """One bit of each level, from the highest down, and then from the highest again."""
        highest = self.encoder.bits - 1
        plane = Signal(range(highest + 1), init=highest)
        with m.If(sent):
            m.d.sync += plane.eq(Mux(ends | (plane == 0), highest, plane - 1))
        return Cat(Array(level)[plane] for level in levels)

    def _threshold(self, m: Module, step: Signal) -> Value:
        """Lowest level that spikes at ``step``: (T - t) / (T + 1) of the highest, rounded up."""
        n_steps, highest = self.network.n_steps, self.encoder.max_level
        # Adding T before the division by T + 1 rounds up.
        entries = [((n_steps - t) * highest + n_steps) // (n_steps + 1) for t in range(n_steps)]
        address = step[: ceil_log2(n_steps)]
        padding = [entries[-1]] * ((1 << len(address)) - n_steps)
        return table(m, list(address), entries + padding, name="threshold").value

    def _onsets(self, m: Module, reached: Signal, sent: Signal, ends: Signal) -> Value:
        """Bits of ``reached`` that were 0 at all earlier steps of the inference."""
        spent = Signal.like(reached)
        with m.If(sent):
            m.d.sync += spent.eq(Mux(ends, 0, spent | reached))
        return reached & ~spent

    def _register(self, m: Module, sent: Signal, ends: Signal) -> Signal:
        """Shift register of the rate coding, eight shifts a step, from the seed at each start."""
        start = (int(self.encoder.seed or 0) * SEED_FACTOR) & 0xFFFFFFFF
        register = Signal(32, init=start)
        taps = (0, 1, 2, 22)
        news = [reduce(xor, [register[n + tap] for tap in taps]) for n in range(8)]
        with m.If(sent):
            m.d.sync += register.eq(Cat(register[8:], *news))
            with m.If(ends):
                m.d.sync += register.eq(register.init)
        return register

    def _numbers(self, m: Module, register: Signal) -> list[Value]:
        """Pseudo-random number of each input: the k high bits of s0 + column * s1 + row * s2."""
        n_inputs = self.network.n_inputs
        side = math.isqrt(n_inputs - 1) + 1
        base, by_column, by_row = (register[8 * k : 8 * k + 8] for k in range(3))
        columns = [
            base ^ product for product in _multiples(m, by_column, range(side), name="column")
        ]
        rows = _multiples(m, by_row, range(math.ceil(n_inputs / side)), name="row")
        low = 8 - self.encoder.bits
        return [(columns[i % side] ^ rows[i // side])[low:] for i in range(n_inputs)]


def _multiples(m: Module, byte: Value, factors: Sequence[int], *, name: str) -> list[Signal]:
    """``factor * byte`` in GF(2**8) for each of ``factors``: exclusive ors of shared doublings."""
    doublings = [byte]
    for place in range(1, max(factors).bit_length()):
        # A signal for each, as an expression would hold the one before many times over.
        bits, doubled = doublings[-1], Signal(8, name=f"{name}_doubled{place}")
        reduced = [bits[k] ^ bits[7] if k in (1, 2, 3) else bits[k] for k in range(7)]
        m.d.comb += doubled.eq(Cat(bits[7], *reduced))
        doublings.append(doubled)
    products = []
    for factor in factors:
        product = Signal(8, name=f"{name}{factor}")
        terms = [doubling for k, doubling in enumerate(doublings) if factor >> k & 1]
        m.d.comb += product.eq(reduce(xor, terms, Const(0, 8)))
        products.append(product)
    return products
