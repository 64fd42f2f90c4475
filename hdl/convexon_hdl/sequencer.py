"""Step counter: tells the stages where an inference begins and ends."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from convexon.network import FixedPointNetwork
from convexon_hdl.stage import StepLayout


class Sequencer(wiring.Component):
    """Tags the steps of a stream with ``first`` and ``last``, T steps to an inference.

    Steps are counted where they are transferred, so idle clocks and back-pressure do not matter; a
    reset begins a new inference.

    Latency: none, combinational. Resources: a counter of ceil(log2 T) bits.

    Parameters
    ----------
    network : FixedPointNetwork

    Members
    -------
    i : In(stream.Signature(n_inputs * input_bits))
    o : Out(stream.Signature(StepLayout(network, 0)))
    """

    def __init__(self, network: FixedPointNetwork) -> None:
        self._n_steps = network.n_steps
        super().__init__(
            {
                "i": In(stream.Signature(unsigned(network.n_inputs * network.input_bits))),
                "o": Out(stream.Signature(StepLayout(network, 0))),
            }
        )

    @property
    def n_steps(self) -> int:
        """T, the steps of an inference."""
        return self._n_steps

    def elaborate(self, platform: object) -> Module:
        """Build the counter."""
        m = Module()
        m.d.comb += [
            self.o.valid.eq(self.i.valid),
            self.i.ready.eq(self.o.ready),
            self.o.payload.inputs.eq(self.i.payload),
        ]
        if self.n_steps == 1:  # range(1) has no bits: there is nothing to count
            m.d.comb += [self.o.payload.first.eq(1), self.o.payload.last.eq(1)]
            return m
        step = Signal(range(self.n_steps))
        m.d.comb += [
            self.o.payload.first.eq(~step.any()),
            self.o.payload.last.eq(step == self.n_steps - 1),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += step.eq(step + 1)
            with m.If(self.o.payload.last):
                m.d.sync += step.eq(0)
        return m
