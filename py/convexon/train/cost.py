"""Silicon in the objective: what a neuron costs, as its penalty weight.

With these weights the convex program trades accuracy against area, energy or memory, and its
certificate speaks of that trade. Costs are estimates in units of the mean neuron of a reference
layer, so that rho keeps its scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.plan.cost.resource_model import neuron_sites
from convexon.snn.network import Layer
from convexon.train.pricing.site import LEAST_WEIGHT, Site

FloatArray = npt.NDArray[np.float64]


class CostKind(Enum):
    """What is counted.

    ``LUTS``: LUT sites of the spatial mapping, weights as constants in logic, as
    `convexon.plan.cost.resource_model.neuron_sites` estimates them. ``EVENTS``: synaptic events of
    an inference, the spikes that reach a weight which is not zero, in the mean over the training
    samples. ``MEMORY``: bits of block RAM in the folded mapping, for weights and membrane.
    """

    LUTS = "luts"
    EVENTS = "events"
    MEMORY = "memory"


@dataclass(frozen=True, kw_only=True)
class SiliconCost:
    """A `Cost`: penalty weights of a site's neurons, where a cost of ``unit`` weighs one.

    A neuron that costs nothing would be free, so weights are kept above a hundredth.
    """

    kind: CostKind
    unit: float

    def __post_init__(self) -> None:
        if not 0.0 < self.unit < np.inf:
            raise InputError(f"unit must be positive and finite, not {self.unit!r}")

    @classmethod
    def relative_to(cls, kind: CostKind, site: Site, layer: Layer) -> SiliconCost:
        """Return the cost in units of the mean neuron of ``layer``."""
        return cls(kind=kind, unit=float(costs_of(kind, site, layer).mean()))

    def __call__(self, site: Site, layer: Layer) -> FloatArray:
        """Return penalty weights, shape (neurons,)."""
        return np.maximum(costs_of(self.kind, site, layer) / self.unit, LEAST_WEIGHT)


def costs_of(kind: CostKind, site: Site, layer: Layer) -> FloatArray:
    """Return the cost of each neuron of a layer on a site, in LUTs, events or bits."""
    match kind:
        case CostKind.LUTS:
            return neuron_sites(layer, site.reach, site.signal.shape[1])
        case CostKind.EVENTS:
            return _events(site, layer)
        case CostKind.MEMORY:
            return _memory(site, layer)


def _events(site: Site, layer: Layer) -> FloatArray:
    per_input = (site.signal > 0).sum(axis=(0, 1)) / len(site.signal)
    return np.asarray(per_input @ (layer.matrix != 0))


def _memory(site: Site, layer: Layer) -> FloatArray:
    synapses = (layer.matrix != 0).sum(axis=0)
    address = max(1, (site.n_inputs - 1).bit_length())  # a sparse row holds input and weight
    # A membrane is as wide as the sum of the magnitudes over the steps that it integrates.
    steps = 1 if site.memoryless else site.signal.shape[1]
    reach = np.abs(layer.matrix).sum(axis=0) * site.reach.high * steps
    return np.asarray(
        synapses * (layer.weight_format.width + address) + np.ceil(np.log2(reach + 1)) + 1
    )
