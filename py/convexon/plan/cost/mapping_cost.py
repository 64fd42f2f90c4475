"""What a mapping costs: estimates from widths and counts alone, before anything is built.

They rank choices; `convexon_boards` measures what comes of the one that is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convexon.data.encoder import Encoder
from convexon.plan.cost.amounts import (
    Amounts,
    folded_amounts,
    loader_amounts,
    mapping_amounts,
    memories_of,
    neuron_memories,
    readout_amounts,
    spatial_amounts,
    surroundings_amounts,
    weight_memories,
)
from convexon.plan.cost.resource_model import lut_sites, resource_model
from convexon.plan.cost.resources import ResourceEstimate
from convexon.plan.family import Family
from convexon.plan.fold import plans_at, readout_plan
from convexon.plan.mapping import LayerMapping, Mapping, Spatial
from convexon.snn.decision import Decision
from convexon.snn.models.trace import SpikeTrace
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import ReadoutMode


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Estimated cost of a part."""

    luts: float  # LUT4 sites
    block_rams: int
    clocks: float  # mean clocks for one step

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            luts=self.luts + other.luts,
            block_rams=self.block_rams + other.block_rams,
            clocks=self.clocks + other.clocks,
        )

    def beats(self, other: Cost) -> bool:
        """Whether this is nowhere worse than ``other``."""
        return (
            self.luts <= other.luts
            and self.block_rams <= other.block_rams
            and self.clocks <= other.clocks
        )


@dataclass(frozen=True, kw_only=True)
class Activity:
    """Mean spikes of a step: of the inputs (over all bit planes), and of every layer."""

    inputs: float
    layers: tuple[tuple[float, ...], ...]  # by branch and layer

    @classmethod
    def of(cls, inputs: npt.NDArray[np.uint8], trace: SpikeTrace) -> Activity:
        """Activity of the samples of a trace of ``inputs``, shape (samples, steps, inputs)."""
        bits = np.unpackbits(np.ascontiguousarray(inputs)[..., None], axis=-1)
        return cls(
            inputs=float(bits.sum(axis=(2, 3)).mean()),
            layers=tuple(
                tuple(float(layer.spikes.sum(axis=2).mean()) for layer in layers)
                for layers in trace.layers
            ),
        )

    @classmethod
    def most(cls, network: FixedPointNetwork) -> Activity:
        """Activity of a network whose inputs and neurons are never silent."""
        return cls(
            inputs=float(network.n_inputs * network.input_bits),
            layers=tuple(
                tuple(float(layer.n_neurons) for layer in branch.layers)
                for branch in network.branches
            ),
        )

    @property
    def reads(self) -> float:
        """Mean spikes of a step that the readout reads."""
        return sum(layers[-1] for layers in self.layers)


def readout_cost(
    network: FixedPointNetwork, choice: LayerMapping, spikes: float, family: Family
) -> Cost:
    """Cost of the readout."""
    luts = lut_sites(readout_amounts(network, choice, family), family)
    if isinstance(choice, Spatial):
        return Cost(luts=luts, block_rams=0, clocks=1.0)
    plan = readout_plan(network, choice)
    clocks = plan.mean_clocks(spikes)
    if network.readout_mode in (ReadoutMode.LAST, ReadoutMode.SIGN):
        clocks = 1 + clocks / network.n_steps
    blocks = sum(memory.blocks(family) for memory in weight_memories(plan))
    return Cost(luts=luts, block_rams=blocks, clocks=clocks)


def cost_at(
    network: FixedPointNetwork,
    choices: dict[int, LayerMapping],
    depth: int,
    activity: Activity,
    family: Family,
) -> Cost:
    """Cost of all layers at ``depth``: resources add up, the slowest unit sets the clocks."""
    amounts, blocks, clocks = Amounts(), 0, []
    for b, choice in choices.items():
        if isinstance(choice, Spatial):
            amounts += spatial_amounts(network, b, depth, choice)
            clocks.append(1.0)
    for plan in plans_at(network, choices, depth):
        b = plan.branches[0]
        spikes = activity.inputs if depth == 0 else activity.layers[b][depth - 1]
        own = 0
        if plan.layer.recurrent is not None:  # nothing overlaps
            spikes += sum(activity.layers[k][depth] for k in plan.branches)
            own = plan.completion_clocks
        amounts += folded_amounts(plan, family)
        memories = (*weight_memories(plan), *neuron_memories(plan))
        blocks += sum(memory.blocks(family) for memory in memories)
        clocks.append(plan.mean_clocks(spikes) + own)
    return Cost(luts=lut_sites(amounts, family), block_rams=blocks, clocks=max(clocks))


def surroundings_cost(
    network: FixedPointNetwork, encoder: Encoder | None, decision: Decision, family: Family
) -> Cost:
    """Cost of what stands around the layers: the source of the steps, and the decision."""
    luts = lut_sites(surroundings_amounts(network, encoder, decision), family)
    return Cost(luts=luts, block_rams=0, clocks=0.0)


def mapping_cost(
    network: FixedPointNetwork, mapping: Mapping, activity: Activity, family: Family
) -> Cost:
    """Estimated cost of ``mapping``, with all that stands around the layers."""
    cost = surroundings_cost(network, mapping.encoder, mapping.decision, family)
    luts = lut_sites(loader_amounts(network, mapping), family)
    cost += Cost(luts=luts, block_rams=0, clocks=0.0)
    for depth in range(network.depth):
        cost += cost_at(network, mapping.at_depth(depth), depth, activity, family)
    return cost + readout_cost(network, mapping.readout, activity.reads, family)


def estimated_resources(
    network: FixedPointNetwork, mapping: Mapping, family: Family
) -> ResourceEstimate:
    """LUT sites and block RAMs of ``mapping``, with the errors that such estimates had."""
    model = resource_model(family)
    return ResourceEstimate(
        family=family,
        lut_sites=round(model.lut_sites(mapping_amounts(network, mapping, family))),
        block_rams=sum(memory.blocks(family) for memory in memories_of(network, mapping)),
        median_error=model.median_error,
        usual_error=model.usual_error,
        max_error=model.max_error,
    )
