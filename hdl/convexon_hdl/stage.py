"""Pipeline stages: the layers of all branches at one depth, in lockstep."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Value
from amaranth.lib import data

from convexon.network import Branch, FixedPointNetwork
from convexon.neuron import ReadoutMode
from convexon_hdl.elastic import ElasticRegister
from convexon_hdl.layer import LIFLayer


class StepLayout(data.StructLayout):
    """One time step on its way from a stage to the next.

    Members
    -------
    inputs : unsigned(n_inputs * input_bits)
        Before the first stage alone: the inputs that all branches read.
    branch0, branch1, ... : unsigned(neurons)
        Behind stage ``depth - 1``: for each branch the spikes of its layer there; behind the
        branch's last layer its features, which are the signs of its membranes (1 for >= 0) where
        the readout weighs signs, and its spikes elsewhere.
    first, last : unsigned(1)
        Whether the step begins and whether it ends an inference.
    """

    def __init__(self, network: FixedPointNetwork, depth: int) -> None:
        members: dict[str, int] = {}
        if depth == 0:
            members["inputs"] = network.n_inputs * network.input_bits
        else:
            for index, branch in enumerate(network.branches):
                layer = branch.layers[min(depth, branch.depth) - 1]
                members[f"branch{index}"] = layer.n_neurons
        super().__init__({**members, "first": 1, "last": 1})


class Stage(ElasticRegister):
    """Layer ``depth`` (from 0) of every branch, one time step per clock.

    A branch that ended earlier passes its features through a delay register, so that all branches
    reach the readout with the same step.

    Latency: 1 clock, as `ElasticRegister`. Resources: those of the layers, and one flip-flop per
    delayed feature and tag.

    Parameters
    ----------
    network : FixedPointNetwork
    depth : int

    Members
    -------
    i : In(stream.Signature(StepLayout(network, depth)))
    o : Out(stream.Signature(StepLayout(network, depth + 1)))
    """

    layer_class: type[LIFLayer] = LIFLayer

    def __init__(self, network: FixedPointNetwork, *, depth: int) -> None:
        self._network = network
        self._depth = depth
        super().__init__(
            i_layout=StepLayout(network, depth), o_layout=StepLayout(network, depth + 1)
        )

    @property
    def network(self) -> FixedPointNetwork:
        """Network that the stage belongs to."""
        return self._network

    @property
    def depth(self) -> int:
        """Position of the layers in their branches."""
        return self._depth

    def datapath(self, m: Module, accept: Value) -> None:
        """Build the layers and the delays."""
        for index, branch in enumerate(self.network.branches):
            target = self.o.payload[f"branch{index}"]
            if self.depth < branch.depth:
                m.d.comb += target.eq(self._layer_output(m, index, branch, accept))
            else:
                with m.If(accept):
                    m.d.sync += target.eq(self.i.payload[f"branch{index}"])
        with m.If(accept):
            m.d.sync += [
                self.o.payload.first.eq(self.i.payload.first),
                self.o.payload.last.eq(self.i.payload.last),
            ]

    def _layer_output(self, m: Module, index: int, branch: Branch, accept: Value) -> Value:
        """Add the layer of one branch and return what goes on to the next stage."""
        layer = self.layer_class(
            branch.layers[self.depth],
            ranges=self.network.ranges[index][self.depth],
            input_bits=self.network.input_bits if self.depth == 0 else 1,
        )
        m.submodules[f"branch{index}"] = layer
        m.d.comb += [
            layer.enable.eq(accept),
            layer.first.eq(self.i.payload.first),
            layer.inputs.eq(self.i.payload["inputs" if self.depth == 0 else f"branch{index}"]),
        ]
        ends = self.depth == branch.depth - 1
        if ends and self.network.readout_mode is ReadoutMode.SIGN:
            width = layer.ranges.membrane_width
            signs = [layer.membranes[(j + 1) * width - 1] for j in range(layer.layer.n_neurons)]
            return ~Cat(signs)
        return layer.spikes
