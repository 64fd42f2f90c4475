"""How a network is laid out in hardware, and the cycles that follow.

`Schedule` is the one definition of cycle counts: the estimator prints it, and the benches compare
every simulated inference with it, without tolerance.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from convexon.errors import InputError
from convexon.network import FixedPointNetwork


class LayerMapping(Enum):
    """How one layer becomes hardware.

    ``SPATIAL``: weights are constants in the logic, all neurons are updated in the same clock, one
    time step a clock.
    """

    SPATIAL = "spatial"


@dataclass(frozen=True)
class Mapping:
    """The choice for every layer, by branch and layer.

    Raises
    ------
    InputError
        From `check`, if the choices are not one per layer of the network.
    """

    layers: tuple[tuple[LayerMapping, ...], ...]

    @classmethod
    def spatial(cls, network: FixedPointNetwork) -> Mapping:
        """Map every layer spatially."""
        return cls(
            tuple(tuple(LayerMapping.SPATIAL for _ in branch.layers) for branch in network.branches)
        )

    def check(self, network: FixedPointNetwork) -> None:
        """Raise `InputError` unless this mapping has one choice per layer of ``network``."""
        own = [len(layers) for layers in self.layers]
        needed = [branch.depth for branch in network.branches]
        if own != needed:
            raise InputError(f"mapping must have {needed} layers by branch, not {own}")


READOUT_STAGES = 2
"""Registers behind the last layer: one holds the scores, one the decision."""


@dataclass(frozen=True)
class Schedule:
    """Cycles of an accelerator whose source is never idle and whose sink is always ready.

    Members
    -------
    n_steps : int
        T.
    n_stages : int
        Pipeline registers between input and output: one for each layer of the deepest branch
        (shallower branches are delayed to match), and the readout's.
    """

    n_steps: int
    n_stages: int

    @classmethod
    def of(cls, network: FixedPointNetwork, mapping: Mapping) -> Schedule:
        """Schedule of ``network`` under ``mapping``."""
        mapping.check(network)
        return cls(n_steps=network.n_steps, n_stages=network.depth + READOUT_STAGES)

    @property
    def latency_cycles(self) -> int:
        """Clock edges from the one that takes the first step to the one that hands over the result.

        Where there is a result per step, the last one is meant.

        Step t is taken at edge t - 1 and moves one stage at each edge; the edge after the last
        stage is filled hands it over: T - 1 + stages.
        """
        return self.n_steps - 1 + self.n_stages

    @property
    def initiation_interval_cycles(self) -> int:
        """Clock edges between the results of two inferences in a row: T, a step a clock."""
        return self.n_steps
