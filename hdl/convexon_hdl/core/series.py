"""Encoders of series on chip: the levels of a step become its spikes.

`convexon.data.encoder` states what each kind computes, and is the twin that tests compare with.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from convexon.data.encoder import Encoder, EncoderKind
from convexon.snn.network import FixedPointNetwork
from convexon_hdl.core.sequencer import Sequencer
from convexon_hdl.core.stage import StepLayout


class SeriesEncoder(wiring.Component):
    """Makes the spikes of each step of its levels, in front of a `Sequencer`.

    The sequencer counts the steps of ``i``; what a channel keeps from the step before is not read
    at the first step of an inference.

    Latency: none, combinational. Resources: those of the sequencer, and per channel

    - ``MIDPOINT``: nothing;
    - ``DELTA``: k flip-flops, two comparators and an adder of k bits;
    - ``CROSSING``: B flip-flops, and two comparators of B bits.

    Raises `InputError` if the network does not read what the encoder gives.
    """

    def __init__(
        self, network: FixedPointNetwork, encoder: Encoder, *, capacity: int | None = None
    ) -> None:
        encoder.check(network)
        self.network = network
        self.encoder = encoder
        self.capacity = capacity
        self.n_channels = network.n_inputs // encoder.inputs_per_level
        super().__init__(
            {
                # Levels of one step, channel c at bits c * k and up.
                "i": In(stream.Signature(unsigned(self.n_channels * encoder.bits))),
                "o": Out(stream.Signature(StepLayout(network, 0))),
                # The oldest inference under way was decided.
                **({} if capacity is None else {"decided": In(1)}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the coding of a step, and the sequencer behind it."""
        m = Module()
        m.submodules.sequencer = sequencer = Sequencer(self.network, capacity=self.capacity)
        first, taken = Signal(), Signal()
        bits = self.encoder.bits
        levels = [self.i.payload[c * bits : (c + 1) * bits] for c in range(self.n_channels)]
        m.d.comb += [
            first.eq(sequencer.o.payload.first),
            taken.eq(self.i.valid & self.i.ready),
            sequencer.i.valid.eq(self.i.valid),
            self.i.ready.eq(sequencer.i.ready),
            sequencer.i.payload.eq(
                Cat(self._spikes(m, c, level, first, taken) for c, level in enumerate(levels))
            ),
        ]
        wiring.connect(m, sequencer.o, wiring.flipped(self.o))
        if self.capacity is not None:
            m.d.comb += sequencer.decided.eq(self.decided)
        return m

    def _spikes(self, m: Module, c: int, level: Value, first: Signal, taken: Signal) -> Value:
        """What a level becomes: one input, or one for rises and one for falls."""
        if self.encoder.kind is EncoderKind.MIDPOINT:
            return level[-1]
        if self.encoder.kind is EncoderKind.DELTA:
            return self._delta(m, c, level, first, taken)
        low = self.encoder.bits - int(self.encoder.resolution or 0)
        band = level[low:]
        held = Signal(len(band), name=f"held{c}")
        with m.If(taken):
            m.d.sync += held.eq(band)
        return self.changes(band > held, band < held, first)

    def _delta(self, m: Module, c: int, level: Value, first: Signal, taken: Signal) -> Value:
        """Rises and falls from a reference that follows by ``part``."""
        held = Signal(self.encoder.bits, name=f"held{c}")
        part = self.encoder.part
        changes = Signal(2, name=f"changes{c}")
        m.d.comb += changes.eq(self.changes(level >= held + part, held >= level + part, first))
        with m.If(taken):
            m.d.sync += held.eq(self.followed(level, held, changes, first))
        return changes

    def changes(self, rises: Value, falls: Value, first: Value) -> Value:
        """Both inputs of a channel; there is no change at the first step."""
        return Cat(rises & ~first, falls & ~first)

    def followed(self, level: Value, held: Signal, changes: Signal, first: Signal) -> Value:
        """The reference of the step after."""
        part = self.encoder.part
        moved = Mux(changes[0], held + part, Mux(changes[1], held - part, held))
        return Mux(first, level, moved)
