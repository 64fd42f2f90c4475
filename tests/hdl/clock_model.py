"""The clock that the model of delays promises for a mapping, part by part."""

from convexon.plan.cost.timing import _decision_delay, _Layer, _Readout
from convexon.plan.family import Family
from convexon.plan.mapping import Mapping
from convexon.snn.network import FixedPointNetwork


def estimated_clock_hz(network: FixedPointNetwork, mapping: Mapping, family: Family) -> float:
    """Clock of a mapping that is spatial throughout."""
    model = family.delays
    readout = _Readout(network, mapping.readout.sums)
    delays = [
        readout.delay(model, mapping.readout.registers),
        _decision_delay(network, model, mapping.decision_registers),
    ]
    for depth in range(network.depth):
        choices = mapping.at_depth(depth)
        most = max(choice.registers for choice in choices.values())
        for b, choice in choices.items():
            delays.append(_Layer(network, b, depth, choice.sums).delay(model, most))
    return 1 / max(delays)
