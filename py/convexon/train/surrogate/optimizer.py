"""The optimizer of whatever is trained on the grid, end to end or for pricing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from convexon.train.surrogate.layer import SpikingLayer


class Decay(Enum):
    """How the learning rate falls over the budget: along half a cosine, or by tenths in 3 steps."""

    COSINE = "cosine"
    STEP = "step"

    def factor(self, progress: float) -> float:
        """Return the share of the first rate when ``progress`` of the budget, 0 to 1, is spent."""
        if self is Decay.COSINE:
            return 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))
        return 0.1 ** sum(progress >= edge for edge in (0.5, 0.8))


class GridOptimizer:
    """AdamW on latent weights and thresholds, with learning rates in units of each layer's grid.

    Parameters
    ----------
    layers : sequence of SpikingLayer
    further : sequence of dict
        Groups of further parameters; "lr" is each group's unit.
    """

    def __init__(
        self, layers: Sequence[SpikingLayer], further: Sequence[dict[str, Any]] = ()
    ) -> None:
        groups = [group for layer in layers for group in layer.parameter_groups()]
        groups += further
        self._layers = layers
        self._units = [float(group["lr"]) for group in groups]
        self._adam = torch.optim.AdamW(groups, fused=True)

    def step(self, loss: Tensor, rate: float) -> None:
        """Take one step down ``loss``, and bring the layers back within their limits."""
        for group, unit in zip(self._adam.param_groups, self._units, strict=True):
            group["lr"] = rate * unit
        self._adam.zero_grad(set_to_none=True)
        loss.backward()
        self._adam.step()
        for layer in self._layers:
            layer.constrain()
