"""Pipeline depth for a target clock: a model of delays, and the registers that it asks for.

The model counts lookups and adders between two registers, a few constants for each family. It
ranks depths and picks one; what place and route reaches is measured by `convexon_boards`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.utils import ceil_log2

from convexon.cells import Family
from convexon.errors import InputError
from convexon.fixed import width_of
from convexon.mapping import MAX_REGISTERS, Mapping, Spatial, Sums
from convexon.network import FixedPointNetwork, Layer
from convexon.neuron import Leak, ReadoutMode
from convexon.ranges import LayerRanges
from convexon_hdl.adder_graph import Addend, AdderGraph, GraphBuilder
from convexon_hdl.arithmetic import signed_digits
from convexon_hdl.lowering import cut
from convexon_hdl.readout import score_width
from convexon_hdl.weighted_sum import weighted_sums


@dataclass(frozen=True, kw_only=True)
class DelayModel:
    """Delays of a family in seconds, each with the wire that leads to it.

    Members
    -------
    register : float
        From a clock edge to a flip-flop's output, set-up time, and the wires of high fan-out.
    lookup : float
        A LUT4, and a multiplexer of two.
    adder, carry : float
        A carry chain of no bits, and each bit of it.
    """

    register: float
    lookup: float
    adder: float
    carry: float

    def sum_of(self, width: int) -> float:
        """Delay of an adder or comparator of ``width`` bits."""
        return self.adder + self.carry * width


DELAYS = {
    Family.ECP5: DelayModel(register=2.0e-9, lookup=1.0e-9, adder=1.75e-9, carry=0.035e-9),
    Family.ICE40: DelayModel(register=4.0e-9, lookup=2.9e-9, adder=4.0e-9, carry=0.28e-9),
}
"""Fitted on nextpnr's critical paths: ECP5 of speed grade 6, a 40-16-10 network of 6-bit weights
with 0, 1 and 2 registers; iCE40 UP5K, a 10-6-4 network of 4-bit weights with 0 and 2. Estimates of
their clocks are within 20 % of what nextpnr reached."""


def registers_for(
    network: FixedPointNetwork, clock_hz: float, family: Family, *, sums: Sums = Sums.TABLES
) -> Mapping:
    """Spatial mapping of ``network`` with the fewest registers that promise a clock.

    A higher clock never gets fewer registers.

    Parameters
    ----------
    network : FixedPointNetwork
    clock_hz : float
    family : Family
    sums : Sums

    Raises
    ------
    InputError
        If the clock is not positive, or higher than any number of registers promises.
    """
    if not clock_hz > 0:
        raise InputError(f"clock_hz must be above 0, not {clock_hz!r}")
    parts = _delays(network, DELAYS[family], sums)
    # The slowest part bounds the clock; it has the least delay that its registers can give it.
    fastest = 1 / max(min(delays) for delays in parts)
    if clock_hz > fastest:
        raise InputError(
            f"clock_hz must be at most {fastest:.4g} for this network on {family.value}, "
            f"not {clock_hz:.4g}: the neurons' own loops are in the way"
        )
    chosen = [_fewest(delays, 1 / clock_hz) for delays in parts]
    return Mapping(
        layers=tuple(
            tuple(Spatial(registers=chosen[depth], sums=sums) for depth in range(branch.depth))
            for branch in network.branches
        ),
        readout=Spatial(registers=chosen[-2], sums=sums),
        decision_registers=chosen[-1],
    )


def estimated_clock_hz(network: FixedPointNetwork, mapping: Mapping, family: Family) -> float:
    """Clock that the model promises for a spatial ``mapping``.

    Raises
    ------
    InputError
        If the mapping does not fit the network, or folds a layer.
    """
    mapping.check(network)
    if not mapping.is_spatial or not isinstance(mapping.readout, Spatial):
        raise InputError("mapping must be spatial throughout: a folded layer has no such estimate")
    model = DELAYS[family]
    delays = [_decision_delay(network, model, mapping.decision_registers)]
    delays.append(_readout_delay(network, model, mapping.readout))
    for depth in range(network.depth):
        choices = mapping.at_depth(depth)
        registers = max(choice.registers for choice in choices.values())
        delays += [
            _layer_delay(network, model, b, depth, Spatial(registers=registers, sums=choice.sums))
            for b, choice in choices.items()
        ]
    return 1 / max(delays)


def _fewest(delays: Sequence[float], period: float) -> int:
    """Fewest registers whose delay is within ``period``."""
    return next(registers for registers, delay in enumerate(delays) if delay <= period)


def _delays(network: FixedPointNetwork, model: DelayModel, sums: Sums) -> list[list[float]]:
    """Delay of every layer depth, of the readout and of the decision, by number of registers."""
    choices = [Spatial(registers=registers, sums=sums) for registers in range(MAX_REGISTERS + 1)]
    parts = [
        [
            max(
                _layer_delay(network, model, b, depth, choice)
                for b, branch in enumerate(network.branches)
                if depth < branch.depth
            )
            for choice in choices
        ]
        for depth in range(network.depth)
    ]
    parts.append([_readout_delay(network, model, choice) for choice in choices])
    parts.append([_decision_delay(network, model, choice.registers) for choice in choices])
    return parts


def _layer_delay(
    network: FixedPointNetwork, model: DelayModel, b: int, depth: int, choice: Spatial
) -> float:
    """Longest delay between two registers of a layer."""
    layer, ranges = network.branches[b].layers[depth], network.ranges[b][depth]
    planes = network.input_bits if depth == 0 else 1
    forward = _graph(layer.weights.tolist(), layer.biases.tolist(), choice.sums, planes)
    lateral = 0.0
    if layer.recurrent is not None:
        graph = _graph(layer.recurrent.tolist(), [0] * layer.n_neurons, choice.sums, 1)
        lateral = model.lookup + _longest(graph, model, 1)
    if not choice.registers:
        current = max(_longest(forward, model, 1), lateral + model.adder * (lateral > 0))
        return _loop_delay(layer, ranges, model, current, is_split=False)
    below = model.sum_of(width_of(max(ranges.current, key=width_of)))  # I - theta, after I
    loop = _loop_delay(layer, ranges, model, lateral, is_split=True)
    return max(model.register + _longest(forward, model, choice.registers, below), loop)


def _loop_delay(
    layer: Layer, ranges: LayerRanges, model: DelayModel, current: float, *, is_split: bool
) -> float:
    """From the membrane, or from a current that comes late, around to the membrane."""
    adder = model.sum_of(width_of(max(ranges.integrated, key=width_of)))
    leaked = model.lookup + leak_adders(layer.leak) * adder
    delay = max(leaked, current) + adder + model.lookup
    if not is_split:
        delay += adder  # u - theta, after u
    elif layer.recurrent is not None:
        delay += adder  # the recurrent current joins the leaky membrane first
    if layer.saturation is not None:
        delay += 2 * (adder + model.lookup)
    return model.register + delay


def leak_adders(leak: Leak) -> int:
    """Adders in a row from v to v - ((d * v) >> f)."""
    if leak.d in (0, 1 << leak.f):
        return 0
    digits = len(signed_digits(leak.d))
    return 1 + ceil_log2(digits)


def _readout_delay(network: FixedPointNetwork, model: DelayModel, choice: Spatial) -> float:
    graph = _graph(
        network.readout_weights.tolist(), network.readout_biases.tolist(), choice.sums, 1
    )
    if network.readout_mode is not ReadoutMode.COUNT:
        return model.register + _longest(graph, model, choice.registers + 1)
    accumulates = model.lookup + model.sum_of(score_width(network))
    if not choice.registers:
        return model.register + _longest(graph, model, 1) + accumulates
    return model.register + max(_longest(graph, model, choice.registers), accumulates)


def _decision_delay(network: FixedPointNetwork, model: DelayModel, registers: int) -> float:
    """A round is a comparator and a multiplexer of a whole score."""
    rounds = -(-max(1, ceil_log2(network.n_classes)) // (registers + 1))
    return model.register + rounds * (model.sum_of(score_width(network)) + 2 * model.lookup)


def _graph(weights: list[list[int]], offsets: list[int], sums: Sums, planes: int) -> AdderGraph:
    """Adder graph of a matrix of weights, by input and output."""
    rows = [
        [
            Addend(i * planes + plane, row[j], plane)
            for plane in range(planes)
            for i, row in enumerate(weights)
            if row[j]
        ]
        for j in range(len(offsets))
    ]
    builder = GraphBuilder(len(weights) * planes)
    return builder.graph(weighted_sums(builder, rows, offsets, sums))


def _longest(graph: AdderGraph, model: DelayModel, n_clocks: int, then: float = 0.0) -> float:
    """Longest delay within a clock of a cut graph, ``then`` added where outputs leave."""
    clocks = cut(graph, n_clocks)
    delays: list[float] = []
    for node, clock in zip(graph.nodes, clocks, strict=True):
        inside = [delays[t.node] for t in node.operands if clocks[t.node] == clock]
        own = model.sum_of(node.width) if node.operands else model.lookup * (not node.is_wire)
        delays.append(own + max(inside, default=0.0))
    leaving = {term.node for term in graph.outputs}
    last = [
        delays[k] * (clocks[k] == n_clocks - 1) + then for k in leaving
    ]
    return max([*delays, *last], default=0.0)
