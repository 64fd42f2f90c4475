"""The LIF layer in torch: the integers of `convexon.snn.neuron` forward, a surrogate backward.

Every quantity of the forward pass is an integer held by a float. Which float type holds all of them
exactly follows from a bound over everything that training may reach, so the spikes are those of
`convexon.snn.simulate`, bit for bit, at each moment of the training. Backward, the floor of the
leak and the rounding of weights and thresholds are passed straight through, the reset is taken as
given, and the step function has the slope of a smooth one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convexon.errors import FormatError, require_positive
from convexon.snn.fixed import Interval, QFormat
from convexon.snn.network import Layer
from convexon.snn.neuron import Leak, Reset
from convexon.train.surrogate.grid import WeightGrid, straight_through

_EXACT = ((torch.float32, 24), (torch.float64, 53))
"""Float types with the bits up to which their integers are exact."""

_NARROWEST_WIDTH = 0.5
"""Least width of a surrogate, in units of the membrane: half a step of its grid."""


class SurrogateShape(Enum):
    """Smooth step function whose derivative replaces that of the Heaviside function."""

    FAST_SIGMOID = "fast_sigmoid"
    ARCTAN = "arctan"


@dataclass(frozen=True, kw_only=True)
class Surrogate:
    """The derivative of a spike by its membrane.

    Members
    -------
    shape : SurrogateShape
        With x = (u - theta) / width: 1 / (2 width (1 + abs(x))**2) for the fast sigmoid,
        1 / (pi width (1 + x**2)) for the arctangent.
    relative_width : float
        Width in units of the root mean square of u - theta of the neuron over the batch. So a
        membrane of any integer scale, and a silent neuron too, gets a gradient.

    Raises
    ------
    InputError
        If the width is not positive.
    """

    shape: SurrogateShape = SurrogateShape.ARCTAN
    relative_width: float = 0.5

    def __post_init__(self) -> None:
        require_positive(relative_width=self.relative_width)

    def spikes(self, excess: Tensor) -> Tensor:
        """1 where ``excess`` = u - theta, shape (..., neurons), is >= 0, else 0."""
        return _Spike.apply(excess, self)

    def slope(self, excess: Tensor) -> Tensor:
        """Return the derivative that stands for the step's."""
        axes = tuple(range(excess.dim() - 1))
        spread = excess.square().mean(dim=axes).sqrt()
        width = (self.relative_width * spread).clamp_min(_NARROWEST_WIDTH)
        x = excess / width
        if self.shape is SurrogateShape.FAST_SIGMOID:
            return 0.5 / (width * (1.0 + x.abs()).square())
        return 1.0 / (math.pi * width * (1.0 + x.square()))


class _Spike(torch.autograd.Function):
    """Heaviside step forward, a surrogate's slope backward."""

    @staticmethod
    def forward(ctx: Any, excess: Tensor, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(excess)
        ctx.surrogate = surrogate
        return (excess >= 0).to(excess.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (excess,) = ctx.saved_tensors
        return gradient * ctx.surrogate.slope(excess), None


class _Leak(torch.autograd.Function):
    """v - floor(d * v / 2**f) forward, the real leak factor backward."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, leak: Leak) -> Tensor:
        ctx.factor = leak.factor
        # The product is exact by the layer's bound, and a division by a power of two always is.
        return v - torch.floor(v * leak.d / (1 << leak.f))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factor, None


@dataclass(frozen=True, kw_only=True)
class Drive:
    """What a layer is fed: the values of one input in one step, and the steps of an inference."""

    inputs: Interval
    n_steps: int


class SpikingLayer(nn.Module):
    """A layer with latent weights (neurons, inputs) and thresholds, in units of the integers.

    Thresholds stay at 1 or above, or where they started if that was below, and within the format
    of a layer that training starts from. Biases are constants.

    Parameters
    ----------
    start : Layer
        The integers to start from.
    grid : WeightGrid
        Grid of feed-forward and lateral weights.
    drive : Drive
    keep_formats : bool
        Whether thresholds stay in their format, and weights keep theirs however wide. Otherwise
        thresholds may grow up to what a membrane can reach, and formats become as narrow as they
        can be.
    surrogate : Surrogate

    Raises
    ------
    InputError
        If weights are not on the grid.
    FormatError
        If no float type holds every integer that training may reach.
    """

    biases: Tensor
    floors: Tensor

    def __init__(
        self,
        start: Layer,
        *,
        grid: WeightGrid,
        drive: Drive,
        keep_formats: bool,
        surrogate: Surrogate,
    ) -> None:
        super().__init__()
        grid.require(start)
        self.grid, self.surrogate = grid, surrogate
        self.leak, self.reset, self.saturation = start.leak, start.reset, start.saturation
        self.n_inputs, self.n_neurons = start.n_inputs, start.n_neurons
        self.formats = (start.weight_format, start.threshold_format) if keep_formats else None
        recurrent = start.recurrent
        reach = _reach(start, grid, drive)
        self.ceiling = start.threshold_format.interval.high if keep_formats else reach
        self.exact_dtype = _exact_dtype(reach * max(1, self.leak.d), reach + self.ceiling)
        self.latent_weights = nn.Parameter(_floats(start.weights.T))
        self.latent_thresholds = nn.Parameter(_floats(start.thresholds))
        self.latent_recurrent = None if recurrent is None else nn.Parameter(_floats(recurrent.T))
        self.register_buffer("biases", _floats(start.biases))
        self.register_buffer("floors", _floats(np.minimum(start.thresholds, 1)))

    @property
    def memoryless(self) -> bool:
        """Whether a step depends on no earlier one."""
        return self.latent_recurrent is None and self.leak.forgets

    @property
    def thresholds(self) -> Tensor:
        """Integer thresholds, through which the gradient passes to the latent ones."""
        latent = self.latent_thresholds
        return straight_through(latent, latent.detach().round())

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for Adam; "lr" is each group's unit, the factor on the learning rate.

        Weights have the largest one of their grid for a unit. Thresholds compare with sums of
        them, and have it times the square root of the number of inputs of a neuron.
        """
        unit = float(self.grid.largest)
        weights = [self.latent_weights]
        if self.latent_recurrent is not None:
            weights.append(self.latent_recurrent)
        taps = self.n_inputs if self.grid.fan_in is None else min(self.grid.fan_in, self.n_inputs)
        return [
            {"params": weights, "lr": unit, "weight_decay": 0.0},
            {"params": [self.latent_thresholds], "lr": unit * taps**0.5, "weight_decay": 0.0},
        ]

    @torch.no_grad()
    def constrain(self) -> None:
        """Bring latent values back within the grid, thresholds within their limits."""
        for latent in (self.latent_weights, self.latent_recurrent):
            if latent is not None:
                latent.clamp_(-self.grid.largest, self.grid.largest)
        limits = torch.minimum(
            self.latent_thresholds, self.latent_thresholds.new_tensor(self.ceiling)
        )
        self.latent_thresholds.copy_(torch.maximum(limits, self.floors))

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Spikes and membranes after the reset, both (samples, steps, neurons).

        ``inputs`` are integers in floats of `exact_dtype` or wider, (samples, steps, n_inputs).
        """
        current = nn.functional.linear(
            inputs, self.grid.feed_forward(self.latent_weights), self.biases
        )
        thresholds = self.thresholds
        if self.memoryless:
            return self._fire(current, thresholds)
        lateral = None
        if self.latent_recurrent is not None:
            lateral = self.grid.among_neurons(self.latent_recurrent)
        spikes, membranes = [], []
        v = s = torch.zeros_like(current[:, 0])
        for t in range(current.shape[1]):
            u = _Leak.apply(v, self.leak) + current[:, t]
            if lateral is not None:
                u = u + nn.functional.linear(s, lateral)
            s, v = self._fire(u, thresholds)
            spikes.append(s)
            membranes.append(v)
        return torch.stack(spikes, dim=1), torch.stack(membranes, dim=1)

    def _fire(self, u: Tensor, thresholds: Tensor) -> tuple[Tensor, Tensor]:
        """Spike and membrane after the reset, from the integrated membrane."""
        u = self._saturated(u)
        s = self.surrogate.spikes(u - thresholds)
        if self.reset is Reset.NONE:
            return s, u
        fired = s.detach()
        if self.reset is Reset.ZERO:
            return s, u * (1.0 - fired)
        return s, self._saturated(u - thresholds * fired)

    def _saturated(self, values: Tensor) -> Tensor:
        if self.saturation is None:
            return values
        limits = self.saturation.interval
        return values.clamp(limits.low, limits.high)

    @torch.no_grad()
    def to_layer(self) -> Layer:
        """Return the integer layer that `forward` computes now."""
        thresholds = _integers(self.thresholds)
        biases = _integers(self.biases)
        reach = Interval.hull([0, *thresholds.tolist(), *biases.tolist()])
        narrowest = (self.grid.alphabet.format, QFormat.covering(reach))
        weight_format, threshold_format = self.formats or narrowest
        recurrent = self.latent_recurrent
        return Layer(
            weights=_integers(self.grid.feed_forward(self.latent_weights)).T,
            thresholds=thresholds,
            biases=biases,
            recurrent=None
            if recurrent is None
            else _integers(self.grid.among_neurons(recurrent)).T,
            leak=self.leak,
            reset=self.reset,
            weight_format=weight_format,
            threshold_format=threshold_format,
            saturation=self.saturation,
        )


def _reach(start: Layer, grid: WeightGrid, drive: Drive) -> int:
    """Largest magnitude that u or v can take, whatever training does to the weights."""
    taps = start.n_inputs if grid.fan_in is None else min(grid.fan_in, start.n_inputs)
    current = taps * grid.largest * max(-drive.inputs.low, drive.inputs.high)
    if start.recurrent is not None:
        current += min(grid.lateral or start.n_neurons, start.n_neurons) * grid.largest
    current += int(np.abs(start.biases).max())
    # A reset by subtraction raises the membrane only where a threshold is negative.
    push = current + max(0, -int(start.thresholds.min()))
    membrane = drive.n_steps * push
    if start.leak.d:
        # |v| <= |v| (1 - d / 2**f) + 1 + push has the fixed point (push + 1) 2**f / d.
        membrane = min(membrane, math.ceil((push + 1) * (1 << start.leak.f) / start.leak.d))
    return membrane + current


def _exact_dtype(*magnitudes: int) -> torch.dtype:
    """Narrowest float type in which integers of these magnitudes are exact."""
    largest = max(magnitudes)
    for dtype, bits in _EXACT:
        # Where products of float32 may be computed in fewer bits, float64 it has to be.
        narrowed = dtype is torch.float32 and torch.get_float32_matmul_precision() != "highest"
        if largest <= 1 << bits and not narrowed:
            return dtype
    raise FormatError(
        f"membranes must stay within 2**53 to be trained, not {largest}: use smaller weights"
    )


def _floats(values: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64))


def _integers(values: Tensor) -> Any:
    return values.detach().cpu().numpy().astype(np.int64)
