"""Pipeline stages: the layers of all branches at one depth, in lockstep."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Value
from amaranth.lib import data

from convexon.errors import InputError
from convexon.plan.mapping import PLAIN, Mapping, Spatial
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import Feature
from convexon_hdl.arith.arithmetic import extended
from convexon_hdl.core.layer import LIFLayer
from convexon_hdl.streams import ElasticRegister


class StepLayout(data.StructLayout):
    """One time step on its way from a stage to the next.

    Before the first stage, ``inputs`` are those that all branches read. Behind stage ``depth - 1``,
    ``branch0``, ``branch1``, ... (of ``branches``, or all) are for each branch the spikes of its
    layer there; behind the branch's last layer its features, which are the signs of its membranes
    (1 for >= 0) where the readout weighs signs, its membranes in the width of a score where they
    are the scores, and its spikes elsewhere. ``first`` and ``last`` say whether the step begins and
    whether it ends an inference.
    """

    def __init__(
        self, network: FixedPointNetwork, depth: int, *, branches: Sequence[int] | None = None
    ) -> None:
        members: dict[str, int] = {}
        if depth == 0:
            members["inputs"] = network.n_inputs * network.input_bits
        else:
            for index in chosen_branches(network, branches):
                branch = network.branches[index]
                place = min(depth, branch.depth) - 1
                is_membrane = network.feature(index, place) is Feature.MEMBRANE
                bits = network.score_width if is_membrane else 1
                members[f"branch{index}"] = branch.layers[place].n_neurons * bits
        super().__init__({**members, "first": 1, "last": 1})


def chosen_branches(network: FixedPointNetwork, branches: Sequence[int] | None) -> tuple[int, ...]:
    """``branches``, or all for None; `InputError` if none, out of order, or not of ``network``."""
    every = range(len(network.branches))
    chosen = tuple(every if branches is None else branches)
    if not chosen or list(chosen) != sorted(set(chosen) & set(every)):
        raise InputError(
            f"branches must be some of 0 to {len(every) - 1}, ascending, not {chosen!r}"
        )
    return chosen


class Stage(ElasticRegister):
    """Layer ``depth`` (from 0) of every branch, or of ``branches``, one time step per clock.

    A branch that ended earlier passes its features through delay registers, so that all branches
    reach the readout with the same step. The stage has as many registers as the layer that needs
    most, as `convexon.plan.schedule` counts them. Without a mapping it has none.

    Latency: 1 + registers clocks, as `ElasticRegister`. Resources: those of the layers, and for
    each register one flip-flop per delayed feature and tag.

    Raises `InputError` if the mapping does not fit the network, or folds a layer of this stage.
    """

    def __init__(
        self,
        network: FixedPointNetwork,
        *,
        depth: int,
        mapping: Mapping | None = None,
        branches: Sequence[int] | None = None,
    ) -> None:
        self.network = network
        self.depth = depth
        self.mapping = Mapping.spatial(network) if mapping is None else mapping
        self.mapping.check(network)
        self.branches = chosen_branches(network, branches)
        at_depth = self.mapping.at_depth(depth)
        self._sums = {}
        for index in self.branches:
            choice = at_depth.get(index, PLAIN)  # a branch that ended earlier has none
            if not isinstance(choice, Spatial):
                raise InputError(
                    f"mapping of branch {index} layer {depth} must be Spatial, not {choice!r}"
                )
            self._sums[index] = choice.sums
        spatial = [choice for choice in at_depth.values() if isinstance(choice, Spatial)]
        super().__init__(
            i_layout=StepLayout(network, depth, branches=self.branches),
            o_layout=StepLayout(network, depth + 1, branches=self.branches),
            registers=max((choice.registers for choice in spatial), default=0),
        )

    def datapath(self, m: Module, accept: Value) -> None:
        """Build the layers and the delays."""
        for index in self.branches:
            target = self.o.payload[f"branch{index}"]
            if self.depth < self.network.branches[index].depth:
                m.d.comb += target.eq(self._layer_output(m, index, accept))
            else:
                name = f"branch{index}"
                source = self.chain.carry(m, self.i.payload[name], 0, self.registers, name=name)
                with m.If(accept):
                    m.d.sync += target.eq(source)

    def _layer_output(self, m: Module, index: int, accept: Value) -> Value:
        """Add the layer of one branch and return what goes on to the next stage."""
        branch = self.network.branches[index]
        layer = LIFLayer(
            branch.layers[self.depth],
            ranges=self.network.ranges[index][self.depth],
            input_bits=self.network.input_bits if self.depth == 0 else 1,
            sums=self._sums[index],
            registers=self.registers,
        )
        m.submodules[f"branch{index}"] = layer
        m.d.comb += [
            layer.enable.eq(accept),
            layer.first.eq(self.arriving.first),
            layer.inputs.eq(self.i.payload["inputs" if self.depth == 0 else f"branch{index}"]),
        ]
        if self.registers:
            m.d.comb += layer.advance.eq(Cat(self.chain.advance))
        feature = self.network.feature(index, self.depth)
        if feature is Feature.SPIKE:
            return layer.spikes
        width = layer.ranges.membrane_width
        places = range(0, layer.layer.n_neurons * width, width)
        if feature is Feature.SIGN:
            return ~Cat(layer.membranes[place + width - 1] for place in places)
        words = [layer.membranes[place : place + width] for place in places]
        return Cat(extended(word, self.network.score_width) for word in words)
