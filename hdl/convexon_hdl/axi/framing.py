"""Inferences as packets: words are collected into steps, and a broken packet is lost alone."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from convexon.network import FixedPointNetwork
from convexon.neuron import ReadoutMode
from convexon_hdl.axi.stream import WordLayout

FLIGHT_BITS = 16
"""Bits of the signed count of inferences inside the accelerator."""


def step_bits(network: FixedPointNetwork) -> int:
    """Bits of one time step."""
    return network.n_inputs * network.input_bits


def words_per_step(network: FixedPointNetwork, width: int) -> int:
    """Words that carry one time step."""
    return -(-step_bits(network) // width)


class StepCollector(wiring.Component):
    """Collects the words of a packet into the time steps of an inference, and checks its length.

    A step is ``words_per_step`` words, its lowest bits first; bits above the step's are ignored. A
    packet is T steps, ``last`` on its last word alone. The last word of a step passes through to
    ``o`` together with the words kept from before, so the words of a step cost a clock each and
    nothing more.

    A word whose ``last`` is not as due breaks its packet: ``broken`` is high in the clock that
    takes the word, which is not handed on, and the rest of the packet is dropped up to its
    ``last``.
    ``abandon`` gives up the packet under way in the same manner. Either way the next packet starts
    anew, so what was handed on of the broken one must be forgotten by whoever took it.

    Latency: none, combinational. Resources: ``width * (words_per_step - 1)`` flip-flops for words
    kept, and counters of words and steps.

    Parameters
    ----------
    network : FixedPointNetwork
    width : int
        Bits of a word.

    Members
    -------
    i : In(stream.Signature(WordLayout(width)))
    o : Out(stream.Signature(n_inputs * input_bits))
    hold : In(1)
        Neither takes nor offers anything.
    abandon : In(1)
        With ``hold``: gives up the packet under way, if there is one.
    broken : Out(1)
        A word is taken whose ``last`` is wrong.
    final : Out(1)
        The step on ``o`` is the last of its inference.
    under_way : Out(1)
        A packet has begun and not ended, or its rest is being dropped.

    Attributes
    ----------
    word, step : Signal
        Position in the packet: the word of the step, and the step.
    skipping : Signal
        The rest of a packet is being dropped.
    kept : list of Signal
        The words of the step so far.
    """

    def __init__(self, network: FixedPointNetwork, *, width: int) -> None:
        self._n_steps = network.n_steps
        self._n_words = words_per_step(network, width)
        self._width = width
        self.word = Signal(range(max(2, self.n_words)))
        self.step = Signal(range(max(2, self.n_steps)))
        self.skipping = Signal()
        self.kept = [Signal(width, name=f"kept{k}") for k in range(self.n_words - 1)]
        super().__init__(
            {
                "i": In(stream.Signature(WordLayout(width))),
                "o": Out(stream.Signature(unsigned(step_bits(network)))),
                "hold": In(1),
                "abandon": In(1),
                "broken": Out(1),
                "final": Out(1),
                "under_way": Out(1),
            }
        )

    @property
    def n_steps(self) -> int:
        """T, the steps of a packet."""
        return self._n_steps

    @property
    def n_words(self) -> int:
        """Words of a step."""
        return self._n_words

    @property
    def width(self) -> int:
        """Bits of a word."""
        return self._width

    def elaborate(self, platform: object) -> Module:
        """Build the counters, the kept words and the check."""
        m = Module()
        word, step, skipping = self.word, self.step, self.skipping
        completes = Signal()  # the word on i ends a step
        wrong = Signal()
        m.d.comb += [
            completes.eq(word == self.n_words - 1),
            self.final.eq(step == self.n_steps - 1),
            wrong.eq(self.i.payload.last != (completes & self.final)),
            self.under_way.eq(skipping | word.any() | step.any()),
            self.o.payload.eq(Cat(*self.kept, self.i.payload.data)[: len(self.o.payload)]),
        ]
        taken = self.i.valid & self.i.ready
        for k, register in enumerate(self.kept):
            with m.If(taken & (word == k)):
                m.d.sync += register.eq(self.i.payload.data)
        with m.If(self.hold), m.If(self.abandon):
            m.d.sync += [word.eq(0), step.eq(0), skipping.eq(self.under_way)]
        with m.Elif(skipping):
            m.d.comb += self.i.ready.eq(1)
            with m.If(taken):
                m.d.sync += skipping.eq(~self.i.payload.last)
        with m.Elif(self.i.valid & wrong):
            m.d.comb += [self.i.ready.eq(1), self.broken.eq(1)]
            m.d.sync += [word.eq(0), step.eq(0), skipping.eq(~self.i.payload.last)]
        with m.Elif(~completes):
            m.d.comb += self.i.ready.eq(1)
            with m.If(taken):
                m.d.sync += word.eq(word + 1)
        with m.Else():
            m.d.comb += [self.o.valid.eq(self.i.valid), self.i.ready.eq(self.o.ready)]
            with m.If(taken):
                m.d.sync += [word.eq(0), step.eq(Mux(self.final, 0, step + 1))]
        return m


class InferenceGuard(wiring.Component):
    """Keeps whole inferences whole: stands between the words and the accelerator.

    Where a packet breaks, or a restart is asked for, its first steps are inside the accelerator
    already, perhaps behind whole inferences that have not left it. The guard closes the input,
    waits until the results of those have been handed over, and resets the accelerator for one
    clock. So the inference under way is lost, and no other. The rest of its packet is dropped.

    With a result per step, results of the lost inference may have gone out before. The guard then
    has the record of an aborted inference sent (``aborted``), which ends the packet of results.

    Latency: none, combinational; a restart takes two clocks and the time that whole inferences need
    to leave. Resources: those of `StepCollector`, and a counter of `FLIGHT_BITS` bits.

    Parameters
    ----------
    network : FixedPointNetwork
    width : int

    Members
    -------
    i : In(stream.Signature(WordLayout(width)))
    o : Out(stream.Signature(n_inputs * input_bits))
    restart : In(1)
        Asks for a restart, for one clock.
    given, given_last : In(1)
        The accelerator hands over a result, and the last one of an inference.
    aborted_ready : In(1)
        The record that ``aborted`` asks for is being taken.
    aborted : Out(1)
        The record of an aborted inference must be sent; high until ``aborted_ready``.
    reset : Out(1)
        Resets the accelerator; its result must not be taken in this clock.
    broken : Out(1)
        A packet breaks in this clock.
    busy : Out(1)
        A packet is under way, or whole inferences are inside, or a restart is.

    Attributes
    ----------
    collector : StepCollector
    flight : Signal
        Whole inferences inside the accelerator; one that was decided early may count below zero.
    running : Signal
        Neither a restart nor what leads up to it.
    """

    def __init__(self, network: FixedPointNetwork, *, width: int) -> None:
        self._network = network
        self.collector = StepCollector(network, width=width)
        self.flight = Signal(signed(FLIGHT_BITS))
        self.running = Signal()
        super().__init__(
            {
                "i": In(stream.Signature(WordLayout(width))),
                "o": Out(stream.Signature(unsigned(step_bits(network)))),
                "restart": In(1),
                "given": In(1),
                "given_last": In(1),
                "aborted_ready": In(1),
                "aborted": Out(1),
                "reset": Out(1),
                "broken": Out(1),
                "busy": Out(1),
            }
        )

    @property
    def network(self) -> FixedPointNetwork:
        """Network whose inferences are kept whole."""
        return self._network

    def drained(self) -> Value:
        """Whether no whole inference is inside."""
        return self.flight <= 0

    def elaborate(self, platform: object) -> Module:
        """Build the collector and the order of a restart."""
        m = Module()
        m.submodules.collector = collector = self.collector
        wiring.connect(m, wiring.flipped(self.i), collector.i)
        wiring.connect(m, collector.o, wiring.flipped(self.o))
        flight, running = self.flight, self.running
        entered = self.o.valid & self.o.ready & collector.final
        left = self.given & self.given_last
        m.d.sync += flight.eq(flight + entered - left)
        per_step = self.network.readout_mode is ReadoutMode.STEP
        part_given = Signal()  # the results given end in the middle of an inference
        if per_step:
            with m.If(self.given):
                m.d.sync += part_given.eq(~self.given_last)
        m.d.comb += [
            self.broken.eq(collector.broken),
            collector.hold.eq(~running),
            self.busy.eq(~running | collector.under_way | flight.any()),
        ]
        with m.FSM(name="order"):
            with m.State("Run"):
                # A restart holds the collector at once: the word on offer belongs to what follows.
                m.d.comb += [running.eq(~self.restart), collector.abandon.eq(self.restart)]
                with m.If(self.restart | collector.broken):
                    m.next = "Drain"
            with m.State("Drain"), m.If(self.drained()):
                m.next = "Reset"
            with m.State("Reset"):
                m.d.comb += self.reset.eq(1)
                m.d.sync += flight.eq(0)
                m.next = "Run"
                if per_step:
                    with m.If(part_given):
                        m.next = "Abort"
            if per_step:
                with m.State("Abort"):
                    m.d.comb += self.aborted.eq(1)
                    with m.If(self.aborted_ready):
                        m.d.sync += part_given.eq(0)
                        m.next = "Run"
        return m
