"""A layer of neurons with its synapses in the logic."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from convexon.plan.adders.graph import Addend, GraphBuilder
from convexon.plan.adders.sums import weighted_sums
from convexon.plan.mapping import Sums
from convexon.snn.network import IntArray, Layer
from convexon.snn.ranges import LayerRanges
from convexon_hdl.arith.arithmetic import Operand, add_all, extended, resize
from convexon_hdl.arith.lowering import lower
from convexon_hdl.core.lif import LIF, NeuronParameters
from convexon_hdl.streams import Chain


class LIFLayer(wiring.Component):
    """All neurons of one layer, weights as constants.

    In a clock with ``enable``, every neuron takes the step that ``inputs`` belong to; from the next
    clock on, ``spikes`` and ``membranes`` hold s and v of that step until another one is taken.
    With ``registers``, the sums over ``inputs`` pass as many registers before they reach the
    neurons, and ``enable`` and ``first`` belong to the step that has passed them. ::

        I[j] = sum_i w[i,j] * inputs[i] + sum_k r[k,j] * s[k] + b[j]

    With truth tables I[j] is one bit that its spikes look up, and a bias. Where the neuron forgets
    at once, that is one LUT and the flip-flop of its spike: a logic cell.

    An intensity of k bits uses the array once for every bit plane, shifted by the plane's place:
    exact, and no multiplier. Recurrent spikes are 0 in the first step of an inference; their sum
    and the neuron's own loop take the last clock, for they need what the last step left.

    Latency: 1 + registers clocks. Resources: those of the adder graph
    (`convexon.plan.adders.sums`), its registers where it is cut, and the neurons' own. With
    registers, one adder more for each neuron (I - theta), for which its loop is faster
    (`convexon_hdl.core.lif.SplitUpdate`); not where it has a synaptic current.
    """

    def __init__(
        self,
        layer: Layer,
        *,
        ranges: LayerRanges,
        input_bits: int,
        sums: Sums = Sums.AUTO,
        registers: int = 0,
    ) -> None:
        self.layer = layer
        self.ranges = ranges
        self.input_bits = input_bits
        self.sums = sums
        self.registers = registers
        self._neurons = range(layer.n_neurons)
        self._biases = [int(bias) for bias in layer.biases]
        super().__init__(
            {
                # Register k of the sums takes what stands before it.
                **({"advance": In(registers)} if registers else {}),
                "enable": In(1),
                "first": In(1),  # the step begins an inference
                "inputs": In(layer.n_inputs * input_bits),  # input i at bits i * input_bits
                "spikes": Out(layer.n_neurons),
                # Neuron j sign-extended at bits j * membrane_width and up.
                "membranes": Out(layer.n_neurons * ranges.membrane_width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build synapses and neurons."""
        m = Module()
        previous = Signal(self.layer.n_neurons)
        if self.layer.recurrent is not None:
            m.d.comb += previous.eq(Mux(self.first, 0, self.spikes))
        neurons: list[LIF] = []
        for j in self._neurons:
            parameters = NeuronParameters.of(self.layer, self.ranges, j)
            m.submodules[f"neuron{j}"] = neuron = LIF(parameters, split=self._is_split)
            neurons.append(neuron)
            m.d.comb += [neuron.enable.eq(self.enable), neuron.first.eq(self.first)]
        if self.layer.tables is not None:
            self._connect_tables(m, neurons, previous, self.layer.tables)
        elif self.registers:
            self._connect_ahead(m, neurons, previous)
        else:
            self._connect(m, neurons, previous)
        width = self.ranges.membrane_width
        m.d.comb += [
            self.spikes.eq(Cat(neuron.spike for neuron in neurons)),
            self.membranes.eq(Cat(extended(neuron.membrane, width) for neuron in neurons)),
        ]
        return m

    def _connect(self, m: Module, neurons: list[LIF], previous: Signal) -> None:
        """Give each neuron I: recurrent spikes share lookups with the lowest bit plane."""
        rows = [[*self._forward(j), *self._lateral(j, len(self.inputs))] for j in self._neurons]
        bits = [*self.inputs, *previous]
        graph = weighted_sums(len(bits), rows, self._biases, self.sums)
        currents = lower(m, graph, bits, chain=Chain(()), n_clocks=1, name="current")
        for j, (neuron, current) in enumerate(zip(neurons, currents, strict=True)):
            sized = resize(m, current, self.ranges.current[j], name=f"current{j}")
            m.d.comb += neuron.current.eq(sized.value)

    @property
    def _is_split(self) -> bool:
        return bool(self.registers) and self.layer.synapse is None and self.layer.tables is None

    def _connect_tables(
        self, m: Module, neurons: list[LIF], previous: Signal, tables: IntArray
    ) -> None:
        """Give each neuron the bit of its table that its spikes address, lowest weight first."""
        inputs = Chain(self.advance if self.registers else ()).carry(
            m, self.inputs, 0, self.registers, name="inputs"
        )
        for j, neuron in enumerate(neurons):
            read = sorted(
                [(addend.weight, inputs[addend.bit]) for addend in self._forward(j)]
                + [(addend.weight, previous[addend.bit]) for addend in self._lateral(j, 0)],
                key=lambda pair: pair[0],
            )
            # Bits of the code that nothing sets are 0.
            codes = [0]
            for weight, _ in read:
                codes += [code + weight for code in codes]
            ones = [int(tables[code, j]) for code in codes]
            looked_up = Operand.constant(ones[0])
            if len(set(ones)) > 1:
                table = Const(sum(one << k for k, one in enumerate(ones)), len(ones))
                looked_up = Operand.bit(table.bit_select(Cat(bit for _, bit in read), 1))
            total = add_all(m, [looked_up, Operand.constant(self._biases[j])], name=f"current{j}")
            sized = resize(m, total, self.ranges.current[j], name=f"sum{j}")
            m.d.comb += neuron.current.eq(sized.value)

    def _connect_ahead(self, m: Module, neurons: list[LIF], previous: Signal) -> None:
        """Give each neuron I, of which all but the recurrent part is known a clock ahead.

        A neuron that is split takes the parts, and I - theta.
        """
        chain = Chain(self.advance)
        rows = [self._forward(j) for j in self._neurons]
        graph = weighted_sums(len(self.inputs), rows, self._biases, self.sums)
        builder = GraphBuilder(graph.n_bits, graph.nodes)
        below = [
            builder.add_constant(term, -int(threshold))
            for term, threshold in zip(graph.outputs, self.layer.thresholds, strict=True)
            if self._is_split
        ]
        graph, clocks = builder.graph([*graph.outputs, *below]), self.registers
        bits = list(self.inputs)
        operands = lower(m, graph, bits, chain=chain, n_clocks=clocks, name="current")
        ahead = []
        for k, operand in enumerate(operands):
            j, name = k % len(neurons), "surplus" if k >= len(neurons) else "current"
            carried = chain.carry(m, operand.value, clocks - 1, clocks, name=f"{name}{j}")
            ahead.append(Operand(carried, operand.interval))
            if self._is_split:
                m.d.comb += getattr(neurons[j], name).eq(carried)
        rows = [self._lateral(j, 0) for j in self._neurons]
        graph = weighted_sums(len(previous), rows, [0] * len(rows), self.sums)
        laterals = lower(m, graph, list(previous), chain=Chain(()), n_clocks=1, name="lateral")
        for j, (neuron, lateral) in enumerate(zip(neurons, laterals, strict=True)):
            if self._is_split:
                m.d.comb += neuron.lateral.eq(lateral.value)
                continue
            total = add_all(m, [ahead[j], lateral], name=f"total{j}")
            sized = resize(m, total, self.ranges.current[j], name=f"sum{j}")
            m.d.comb += neuron.current.eq(sized.value)

    def _forward(self, j: int) -> list[Addend]:
        """Addends of neuron ``j``, plane by plane: input i is at bit ``i * input_bits``."""
        column = self.layer.matrix[:, j]
        return [
            Addend(i * self.input_bits + plane, int(column[i]), plane)
            for plane in range(self.input_bits)
            for i in np.flatnonzero(column).tolist()
        ]

    def _lateral(self, j: int, start: int) -> list[Addend]:
        """Addends of the recurrent spikes, whose bits begin at ``start``."""
        if self.layer.recurrent is None:
            return []
        return [
            Addend(start + k, int(self.layer.recurrent[k, j]))
            for k in np.flatnonzero(self.layer.recurrent[:, j]).tolist()
        ]
