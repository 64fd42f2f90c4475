"""The optimizer of whatever is trained on the grid, end to end or for pricing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from convexon.train.surrogate.layer import SpikingLayer


def cosine(progress: float) -> float:
    """Return the share of the first learning rate when ``progress`` of the budget is spent."""
    return 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))


class GridOptimizer:
    """AdamW on latent weights and thresholds, with learning rates in units of each layer's grid.

    ``further`` are groups of other parameters; "lr" is each group's unit.
    """

    def __init__(
        self, layers: Sequence[SpikingLayer], further: Sequence[dict[str, Any]] = ()
    ) -> None:
        groups = [group for layer in layers for group in layer.parameter_groups()]
        groups += further
        self._layers = layers
        self._units = [float(group["lr"]) for group in groups]
        self._adam = torch.optim.AdamW(groups, weight_decay=0.0, fused=True)

    def step(self, loss: Tensor, rate: float) -> None:
        """Take one step down ``loss``, and bring the layers back within their limits."""
        for group, unit in zip(self._adam.param_groups, self._units, strict=True):
            group["lr"] = rate * unit
        self._adam.zero_grad(set_to_none=True)
        loss.backward()
        self._adam.step()
        for layer in self._layers:
            layer.constrain()
