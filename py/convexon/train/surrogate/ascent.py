"""Surrogate ascent on the dual correlation of many witnesses at once, for pricing.

Pricing asks for a witness whose column s has a large abs(lambda^T s) (arXiv:2605.08022, dual
constraint). Here each neuron of a layer is a candidate with a direction of its own, and climbs
the surrogate's slope of lambda^T s on latent weights. Every iterate is on the integer grid, and its
value is exact; the best one is kept for each candidate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from convexon.errors import InputError
from convexon.snn.fixed import Interval
from convexon.snn.network import Branch, Layer
from convexon.snn.neuron import ReadoutMode
from convexon.train.surrogate.grid import WeightGrid
from convexon.train.surrogate.layer import Drive, SpikingLayer
from convexon.train.surrogate.model import EVALUATION_ENTRIES, SpikingBranch
from convexon.train.surrogate.optimizer import GridOptimizer, cosine

_LEARNING_RATE = 0.1
"""In units of the grid's largest weight; it falls along half a cosine."""

_BATCH = 2048
"""Most samples of one step, drawn anew."""

_EVALUATE_EVERY = 5
"""Steps between exact evaluations of all samples. What lies between is not kept."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Stimulus:
    """What candidates read, and what of their spikes makes a column."""

    signal: npt.NDArray[np.uint8]  # (samples, steps, inputs)
    reach: Interval  # values of one input
    mode: ReadoutMode

    @property
    def n_readouts(self) -> int:
        """Readouts of a sample: one, or for `ReadoutMode.STEP` one a step."""
        return int(self.signal.shape[1]) if self.mode is ReadoutMode.STEP else 1


def ascend(
    layer: Layer,
    stimulus: Stimulus,
    directions: npt.NDArray[np.float64],
    *,
    grid: WeightGrid,
    steps: int,
    seed: int,
) -> Layer:
    """Return each neuron p of a layer at the largest ``sum_i directions[i, p] * s[i, p]`` it found.

    It climbs by Adam steps. Directions have shape (samples, P), or (samples * steps, P) for
    `ReadoutMode.STEP`; they are 0 in rows that the program lacks.

    Raises `InputError` if a shape does not fit, a value is not finite, or the layer has lateral
    weights: then its neurons are no separate candidates. Raises `FormatError` as
    `convexon.train.surrogate.layer.SpikingLayer`.
    """
    signal = stimulus.signal
    if layer.recurrent is not None:
        raise InputError("layer must have no lateral weights, as each neuron climbs by itself")
    if signal.ndim != 3 or signal.shape[2] != layer.n_inputs or not signal.size:
        raise InputError(
            f"signal must have shape (samples, steps, {layer.n_inputs}), not {signal.shape}"
        )
    shape = (len(signal) * stimulus.n_readouts, layer.n_neurons)
    if directions.shape != shape or not np.isfinite(directions).all():
        raise InputError(f"directions must be finite and of shape {shape}, not {directions.shape}")
    model = SpikingBranch(
        Branch((layer,)),
        grids=[grid],
        drive=Drive(inputs=stimulus.reach, n_steps=signal.shape[1]),
        keep_formats=False,
    )
    climb = _Climb(model, stimulus, directions)
    climb.evaluate()
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        climb.step(_LEARNING_RATE * cosine(step / steps), generator)
        if (step + 1) % _EVALUATE_EVERY == 0 or step + 1 == steps:
            climb.evaluate()
    return climb.best_layer()


class _Climb:
    """A layer of candidates on its way up, and the best that each has been."""

    def __init__(
        self, model: SpikingBranch, stimulus: Stimulus, directions: npt.NDArray[np.float64]
    ) -> None:
        self.layer: SpikingLayer = model.layers[0]
        self.model, self.mode = model.to(self.layer.exact_dtype), stimulus.mode
        self.inputs = torch.from_numpy(stimulus.signal.copy())
        pull = torch.tensor(directions, dtype=torch.float64)
        self.pull = pull.reshape(len(self.inputs), stimulus.n_readouts, -1)
        # Adam does not mind the scale of its gradients, except against its epsilon.
        self.scale = 1.0 / max(float(self.pull.abs().max()), 1e-300)
        self.optimizer = GridOptimizer([self.layer])
        self.best = torch.full((self.layer.n_neurons,), -torch.inf, dtype=torch.float64)
        self.kept = [p.detach().clone() for p in self._parameters()]

    def _parameters(self) -> tuple[Tensor, Tensor]:
        return self.layer.latent_weights, self.layer.latent_thresholds

    def step(self, rate: float, generator: torch.Generator) -> None:
        """One Adam step on a batch."""
        n = len(self.inputs)
        rows: Tensor | slice = slice(None)
        if n > _BATCH:
            rows = torch.randperm(n, generator=generator)[:_BATCH]
        columns = self.model(self.inputs[rows].to(self.layer.exact_dtype), self.mode)
        pull = (self.pull[rows] * self.scale).to(columns.dtype)
        self.optimizer.step(-(pull * columns).sum(), rate)

    @torch.no_grad()
    def evaluate(self) -> None:
        """Keep each candidate that is at its best, by its exact value on all samples."""
        size = max(1, EVALUATION_ENTRIES // (self.inputs[0].numel() + self.layer.n_neurons))
        values = torch.zeros_like(self.best)
        for first in range(0, len(self.inputs), size):
            rows = slice(first, first + size)
            columns = self.model(self.inputs[rows].to(self.layer.exact_dtype), self.mode)
            values += (self.pull[rows] * columns.double()).sum(dim=(0, 1))
        better = values > self.best
        for kept, now in zip(self.kept, self._parameters(), strict=True):
            kept[better] = now[better]
        self.best = torch.where(better, values, self.best)

    @torch.no_grad()
    def best_layer(self) -> Layer:
        """The integer layer with every candidate as it was at its best."""
        for kept, now in zip(self.kept, self._parameters(), strict=True):
            now.copy_(kept)
        return self.layer.to_layer()
