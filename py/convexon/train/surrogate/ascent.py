"""Surrogate ascent on the dual correlation of many witnesses at once, for pricing.

Pricing asks for a witness whose column s has a large abs(lambda^T s) (arXiv:2605.08022, dual
constraint). Here each neuron of a layer is a candidate with a direction of its own, and climbs
the surrogate's slope of lambda^T s on latent weights. Every iterate is on the integer grid, and its
value is exact; the best one is kept for each candidate.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from convexon.errors import InputError, require_positive
from convexon.snn.fixed import Interval
from convexon.snn.network import Branch, Layer
from convexon.snn.neuron import ReadoutMode
from convexon.train.surrogate.grid import WeightGrid
from convexon.train.surrogate.layer import Drive, SpikingLayer, Surrogate
from convexon.train.surrogate.model import EVALUATION_ENTRIES, SpikingBranch
from convexon.train.surrogate.optimizer import Decay, GridOptimizer


@dataclass(frozen=True, kw_only=True)
class AscentPlan:
    """The settings of an ascent.

    Members
    -------
    steps : int
        Adam steps.
    learning_rate : float
        In units of the grid's largest weight; falls along half a cosine.
    batch_size : int or None
        Samples of one step, drawn anew; None for all.
    evaluate_every : int
        Steps between exact evaluations of all samples. What lies between is not kept.
    grid : WeightGrid or None
        None for the weight format and the fan-in of the layer.
    surrogate : Surrogate
        What stands for the derivative of a spike.
    seed : int

    Raises
    ------
    InputError
        If a member is out of its range.
    """

    steps: int = 60
    learning_rate: float = 0.1
    batch_size: int | None = 2048
    evaluate_every: int = 5
    grid: WeightGrid | None = None
    surrogate: Surrogate = field(default_factory=Surrogate)
    seed: int = 0

    def __post_init__(self) -> None:
        require_positive(
            steps=self.steps,
            evaluate_every=self.evaluate_every,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Stimulus:
    """What candidates read, and what of their spikes makes a column.

    Members
    -------
    signal : uint8 array, shape (samples, steps, inputs)
        The inputs, or the spikes of fixed layers below.
    reach : Interval
        Values of one input.
    mode : ReadoutMode
    """

    signal: npt.NDArray[np.uint8]
    reach: Interval
    mode: ReadoutMode

    @property
    def n_readouts(self) -> int:
        """Readouts of a sample: one, or for `ReadoutMode.STEP` one a step."""
        return int(self.signal.shape[1]) if self.mode is ReadoutMode.STEP else 1


@dataclass(frozen=True, eq=False, kw_only=True)
class Ascent:
    """Where an ascent ended.

    Members
    -------
    layer : Layer
        The best integer iterate of every candidate.
    values : float64 array, shape (P,)
        Its lambda^T s, exact up to the rounding of the sum.
    start_values : float64 array, shape (P,)
        Those of the start, none larger than ``values``.
    """

    layer: Layer
    values: npt.NDArray[np.float64]
    start_values: npt.NDArray[np.float64]


def ascend(
    layer: Layer,
    stimulus: Stimulus,
    dual: npt.NDArray[np.float64],
    *,
    directions: npt.NDArray[np.float64] | None = None,
    plan: AscentPlan | None = None,
) -> Ascent:
    """Raise ``sum_i (dual @ directions)[i, p] * s[i, p]`` of every neuron p of a layer.

    Parameters
    ----------
    layer : Layer
        P candidates to start from.
    stimulus : Stimulus
        What they read, and what gives their columns s.
    dual : float64 array, shape (samples, C), or (samples * steps, C) for `ReadoutMode.STEP`
        The dual point lambda; 0 in rows that the program lacks.
    directions : float64 array, shape (C, P), or None
        What each candidate climbs: a signed unit vector for one class under an l1 penalty, a unit
        vector under a group penalty. None where C = P and ``dual`` has a column for each.
    plan : AscentPlan or None

    Raises
    ------
    InputError
        If a shape does not fit, a value is not finite, or the layer has lateral weights: then its
        neurons are no separate candidates.
    FormatError
        As `convexon.train.surrogate.layer.SpikingLayer`.
    """
    plan, signal = plan or AscentPlan(), stimulus.signal
    if layer.recurrent is not None:
        raise InputError("layer must have no lateral weights, as each neuron climbs by itself")
    if signal.ndim != 3 or signal.shape[2] != layer.n_inputs or not signal.size:
        raise InputError(
            f"signal must have shape (samples, steps, {layer.n_inputs}), not {signal.shape}"
        )
    model = SpikingBranch(
        Branch((layer,)),
        grids=[plan.grid or WeightGrid.holding(layer)],
        drive=Drive(inputs=stimulus.reach, n_steps=signal.shape[1]),
        surrogate=plan.surrogate,
        keep_formats=False,
    )
    shape = (len(signal), stimulus.n_readouts, layer.n_neurons)
    climb = _Climb(model, stimulus, _Objective(dual, directions, shape))
    start = climb.evaluate()
    generator = torch.Generator().manual_seed(plan.seed)
    for step in range(plan.steps):
        climb.step(plan, step, generator)
        if (step + 1) % plan.evaluate_every == 0 or step + 1 == plan.steps:
            climb.evaluate()
    return Ascent(layer=climb.best_layer(), values=climb.best.numpy(), start_values=start)


class _Objective:
    """lambda^T s in the direction of each candidate."""

    def __init__(
        self,
        dual: npt.NDArray[np.float64],
        directions: npt.NDArray[np.float64] | None,
        shape: tuple[int, int, int],
    ) -> None:
        samples, readouts, candidates = shape
        if dual.ndim != 2 or len(dual) != samples * readouts:
            raise InputError(
                f"dual must have shape ({samples * readouts}, outputs), one row a readout of every "
                f"sample, not {dual.shape}"
            )
        expected = (dual.shape[1], candidates)
        given = (candidates, candidates) if directions is None else directions.shape
        if given != expected:
            raise InputError(
                f"directions must have shape {expected}, not {given} (None: the identity)"
            )
        if not np.isfinite(dual).all() or (
            directions is not None and not np.isfinite(directions).all()
        ):
            raise InputError("dual and directions must hold finite numbers only")
        self.dual = torch.tensor(dual, dtype=torch.float64).reshape(samples, readouts, -1)
        self.directions = None
        if directions is not None:
            self.directions = torch.tensor(directions, dtype=torch.float64)
        # Adam does not mind the scale of its gradients, except against its epsilon.
        self.scale = 1.0 / max(float(self.dual.abs().max()), 1e-300)

    def pull(self, rows: Tensor | slice) -> Tensor:
        """Coefficients of the candidates' columns at ``rows``, (samples, readouts, P)."""
        dual = self.dual[rows]
        return dual if self.directions is None else dual @ self.directions


class _Climb:
    """A layer of candidates on its way up, and the best that each has been."""

    def __init__(self, model: SpikingBranch, stimulus: Stimulus, objective: _Objective) -> None:
        self.layer: SpikingLayer = model.layers[0]
        self.model = model.to(self.layer.exact_dtype)
        self.mode, self.objective = stimulus.mode, objective
        self.inputs = torch.from_numpy(stimulus.signal.copy())
        self.optimizer = GridOptimizer([self.layer])
        self.best = torch.full((self.layer.n_neurons,), -torch.inf, dtype=torch.float64)
        self.kept = [p.detach().clone() for p in self._parameters()]

    def _parameters(self) -> tuple[Tensor, Tensor]:
        return self.layer.latent_weights, self.layer.latent_thresholds

    def step(self, plan: AscentPlan, number: int, generator: torch.Generator) -> None:
        """One Adam step on a batch."""
        n = len(self.inputs)
        rows: Tensor | slice = slice(None)
        if plan.batch_size is not None and plan.batch_size < n:
            rows = torch.randperm(n, generator=generator)[: plan.batch_size]
        columns = self.model(self.inputs[rows].to(self.layer.exact_dtype), self.mode)
        pull = (self.objective.pull(rows) * self.objective.scale).to(columns.dtype)
        rate = plan.learning_rate * Decay.COSINE.factor(number / plan.steps)
        self.optimizer.step(-(pull * columns).sum(), rate)

    @torch.no_grad()
    def evaluate(self) -> npt.NDArray[np.float64]:
        """Values of the present iterate; keeps each candidate that is at its best."""
        size = max(1, EVALUATION_ENTRIES // (self.inputs[0].numel() + self.layer.n_neurons))
        values = torch.zeros_like(self.best)
        for first in range(0, len(self.inputs), size):
            rows = slice(first, first + size)
            columns = self.model(self.inputs[rows].to(self.layer.exact_dtype), self.mode)
            values += (self.objective.pull(rows) * columns.double()).sum(dim=(0, 1))
        better = values > self.best
        for kept, now in zip(self.kept, self._parameters(), strict=True):
            kept[better] = now[better]
        self.best = torch.where(better, values, self.best)
        return values.numpy()

    @torch.no_grad()
    def best_layer(self) -> Layer:
        """The integer layer with every candidate as it was at its best."""
        for kept, now in zip(self.kept, self._parameters(), strict=True):
            now.copy_(kept)
        return self.layer.to_layer()
