# amaranth: UnusedElaboratable=no
"""Neurons that repeat a spike past a layer, in hardware: a flip-flop each."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from convexon.plan.family import Family
from convexon.quantizer.hidden import Calibration, quantize_network
from convexon.quantizer.settings import HiddenSettings
from convexon.snn.fixed import Interval
from convexon.snn.models.real import RealLayer, RealNetwork
from convexon.snn.network import Layer
from convexon.snn.neuron import Reset
from convexon.snn.ranges import layer_ranges
from convexon_boards.tools.synthesis import synthesize_verilog
from convexon_hdl.core.layer import LIFLayer
from convexon_hdl.emit.emitter import to_verilog
from tiers import leading

PASSING = 24


def layer_of(passing: int) -> RealLayer:
    """Two neurons that leak, and those that repeat an input each."""
    rng = np.random.default_rng(0)
    own = np.zeros((PASSING, 2 + passing))
    own[:4, :2] = rng.normal(0.3, 0.5, (4, 2))
    own[:passing, 2:] = np.eye(passing)
    return RealLayer(
        name="n",
        weights=own,
        biases=np.zeros(2 + passing),
        leak=np.r_[np.full(2, 0.9), np.zeros(passing)],
        thresholds=np.r_[np.full(2, 1.0), np.full(passing, 0.25)],
        reset=Reset.ZERO,
        relays=passing,
    )


class Spiking(wiring.Component):
    """A layer of which nothing but its spikes is read."""

    def __init__(self, layer: Layer) -> None:
        ranges = layer_ranges(layer, Interval(0, 1), 6)
        self.inner = LIFLayer(layer, ranges=ranges, input_bits=1)
        ends = {"enable": In(1), "first": In(1), "inputs": In(layer.n_inputs)}
        super().__init__({**ends, "spikes": Out(layer.n_neurons)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.inner = self.inner
        for name in ("enable", "first", "inputs"):
            m.d.comb += getattr(self.inner, name).eq(getattr(self, name))
        m.d.comb += self.spikes.eq(self.inner.spikes)
        return m


@pytest.mark.parametrize("family", leading([Family.ICE40, Family.ECP5]))
def test_a_relay_is_one_flip_flop(family: Family) -> None:
    """What it adds to a layer of other neurons, whose leak is not its own."""
    used = []
    for passing in (0, PASSING):
        real = layer_of(passing)
        net = RealNetwork(
            layers=(real,),
            readout_weights=np.eye(2 + passing),
            readout_biases=np.zeros(2 + passing),
        )
        inputs = (np.random.default_rng(1).random((20, 6, PASSING)) < 0.5).astype(np.uint8)
        ones = np.ones(PASSING)
        calibration = Calibration(inputs=inputs, bits=1, scale=ones, offset=0 * ones)
        settings = HiddenSettings(bits=(4,), least_rate=0.0)
        layer = quantize_network(net, calibration, settings).card.branches[0].layers[0]
        text = to_verilog(Spiking(layer), "n")
        used.append(synthesize_verilog(text, "n", family).cells)
    before, after = used
    assert after.ff - before.ff == PASSING
    assert after.lut4 == before.lut4
