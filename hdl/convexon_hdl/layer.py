"""A layer of neurons with its synapses in the logic."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from convexon.network import Layer
from convexon.ranges import LayerRanges
from convexon_hdl.arithmetic import Operand, add_all, resize, weighted_sum
from convexon_hdl.lif import LIF, NeuronParameters


class LIFLayer(wiring.Component):
    """All neurons of one layer, weights as constants.

    In a clock with ``enable``, every neuron takes the step that ``inputs`` belong to; from the next
    clock on, ``spikes`` and ``membranes`` hold s and v of that step until another one is taken. ::

        I[j] = sum_i w[i,j] * inputs[i] + sum_k r[k,j] * s[k] + b[j]

    An intensity of k bits uses the array once for every bit plane, shifted by the plane's place:
    exact, and no multiplier. Recurrent spikes are 0 in the first step of an inference.

    Latency: 1 clock. Resources: for each neuron and bit plane one table for every four weights that
    are not zero, one adder less than tables (`weighted_sum`), and the neuron's own.

    Parameters
    ----------
    layer : Layer
    ranges : LayerRanges
        Ranges of this layer over an inference.
    input_bits : int
        k: 1 for spikes.

    Members
    -------
    enable : In(1)
    first : In(1)
        This step begins an inference.
    inputs : In(n_inputs * input_bits)
        Input i at bits ``i * input_bits`` and up.
    spikes : Out(n_neurons)
        s of the last step taken, neuron j at bit j.
    membranes : Out(n_neurons * membrane_width)
        v of the last step taken, neuron j sign-extended at bits ``j * membrane_width`` and up.
    """

    neuron_class: type[LIF] = LIF

    def __init__(self, layer: Layer, *, ranges: LayerRanges, input_bits: int) -> None:
        self._layer = layer
        self._ranges = ranges
        self._input_bits = input_bits
        super().__init__(
            {
                "enable": In(1),
                "first": In(1),
                "inputs": In(layer.n_inputs * input_bits),
                "spikes": Out(layer.n_neurons),
                "membranes": Out(layer.n_neurons * ranges.membrane_width),
            }
        )

    @property
    def layer(self) -> Layer:
        """Weights and constants of the layer."""
        return self._layer

    @property
    def ranges(self) -> LayerRanges:
        """Ranges that size the layer."""
        return self._ranges

    @property
    def input_bits(self) -> int:
        """Bits of one input."""
        return self._input_bits

    def elaborate(self, platform: object) -> Module:
        """Build synapses and neurons."""
        m = Module()
        neurons = []
        previous = Signal(self.layer.n_neurons)
        if self.layer.recurrent is not None:
            m.d.comb += previous.eq(Mux(self.first, 0, self.spikes))
        for j in range(self.layer.n_neurons):
            neuron = self.neuron_class(NeuronParameters.of(self.layer, self.ranges, j))
            m.submodules[f"neuron{j}"] = neuron
            neurons.append(neuron)
            m.d.comb += [
                neuron.enable.eq(self.enable),
                neuron.first.eq(self.first),
                neuron.current.eq(self._current(m, j, previous).value),
            ]
        width = self.ranges.membrane_width
        m.d.comb += [
            self.spikes.eq(Cat(neuron.spike for neuron in neurons)),
            self.membranes.eq(Cat(_extended(neuron.membrane, width) for neuron in neurons)),
        ]
        return m

    def _current(self, m: Module, j: int, previous: Signal) -> Operand:
        """I of neuron ``j``."""
        name = f"current{j}"
        weights = [int(w) for w in self.layer.weights[:, j]]
        bits, lowest = self._plane(0), weights
        if self.layer.recurrent is not None:  # spikes too: they share tables with the lowest plane
            bits = [*bits, *previous]
            lowest = [*weights, *(int(r) for r in self.layer.recurrent[:, j])]
        bias = int(self.layer.biases[j])
        terms = [weighted_sum(m, bits, lowest, offset=bias, name=f"{name}_plane0")]
        for plane in range(1, self.input_bits):
            term = weighted_sum(m, self._plane(plane), weights, name=f"{name}_plane{plane}")
            terms.append(term.shifted(plane))
        total = add_all(m, terms, name=name)
        return resize(m, total, self.ranges.current[j], name=name)

    def _plane(self, plane: int) -> list[Value]:
        """Bit ``plane`` of every input."""
        return [self.inputs[i * self.input_bits + plane] for i in range(self.layer.n_inputs)]


def _extended(value: Value, width: int) -> Value:
    """Signed ``value`` in ``width`` bits, as plain bits for a packed port."""
    return Cat(value, value[-1].replicate(width - len(value)))
