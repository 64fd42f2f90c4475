"""The LIF layer in torch: the integers of `convexon.snn.neuron` forward, a surrogate backward.

Every quantity of the forward pass is an integer held by a float. Which float type holds all of them
exactly follows from a bound over everything that training may reach, so the spikes are those of the
vectorised model, bit for bit, at each moment of the training. Backward, the floor of the
leak and the rounding of weights and thresholds are passed straight through, the reset is taken as
given, and the step function has the slope of a smooth one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from convexon.errors import FormatError
from convexon.snn.fixed import Interval, QFormat
from convexon.snn.network import Layer
from convexon.snn.neuron import Leak, LeakRounding, Reset
from convexon.train.surrogate.grid import WeightGrid, straight_through

_EXACT = ((torch.float32, 24), (torch.float64, 53))
"""Float types with the bits up to which their integers are exact."""

_RELATIVE_WIDTH, _NARROWEST_WIDTH = 0.5, 0.5
"""Width of the surrogate in units of a neuron's spread, and at least in those of the membrane."""


def slope(excess: Tensor, relative_width: float = _RELATIVE_WIDTH) -> Tensor:
    """Return what stands for the derivative of a spike by ``excess`` = u - theta, (..., neurons).

    It is that of an arctangent, ``1 / (pi width (1 + (excess / width)**2))``. Its width is a share
    of the root mean square of a neuron's excess over the batch, so that a membrane of any integer
    scale, and a silent neuron too, gets a gradient.
    """
    spread = excess.square().mean(dim=tuple(range(excess.dim() - 1))).sqrt()
    width = (relative_width * spread).clamp_min(_NARROWEST_WIDTH)
    return 1.0 / (math.pi * width * (1.0 + (excess / width).square()))


class _Spike(torch.autograd.Function):
    """Heaviside step forward, `slope` backward."""

    @staticmethod
    def forward(ctx: Any, excess: Tensor) -> Tensor:
        ctx.save_for_backward(excess)
        return (excess >= 0).to(excess.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (excess,) = ctx.saved_tensors
        return gradient * slope(excess)


def spikes_of(excess: Tensor) -> Tensor:
    """1 where ``excess`` = u - theta is >= 0, else 0, differentiable by the surrogate."""
    return _Spike.apply(excess)


class _Leak(torch.autograd.Function):
    """What a leak leaves of v forward, of d in place of its own; the real leak factor backward."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, d: Tensor | int, leak: Leak) -> Tensor:
        ctx.factor = 1.0 - d / (1 << leak.f)
        # The product is exact by the layer's bound, and a division by a power of two always is.
        lost = v * d / (1 << leak.f)
        if leak.rounding is LeakRounding.ZERO:
            return v - torch.where(lost > 0, torch.ceil(lost), torch.floor(lost))
        return v - torch.floor(lost)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient * ctx.factor, None, None


@dataclass(frozen=True, kw_only=True)
class Drive:
    """What a layer is fed: the values of one input in one step, and the steps of an inference."""

    inputs: Interval
    n_steps: int


class SpikingLayer(nn.Module):
    """A layer with latent weights (neurons, inputs) and thresholds, in units of the integers.

    Training begins at the integers of ``start``. Thresholds stay at 1 or above, or where they
    started if that was below. With ``keep_formats`` they stay in their format too, and weights keep
    theirs however wide; otherwise thresholds may grow up to what a membrane can reach, and formats
    become as narrow as they can be. Biases are constants.

    Raises `InputError` if weights are not on the grid, and `FormatError` if no float type holds
    every integer that training may reach.
    """

    biases: Tensor
    leaks: Tensor
    resets: Tensor
    floors: Tensor

    def __init__(
        self,
        start: Layer,
        *,
        grid: WeightGrid,
        drive: Drive,
        keep_formats: bool,
    ) -> None:
        super().__init__()
        grid.require(start)
        self.grid = grid
        self.leak, self.reset, self.saturation = start.leak, start.reset, start.saturation
        self.synapse, self.memoryless = start.synapse, start.memoryless
        self.has_leaks = start.leaks is not None
        self.n_inputs, self.n_neurons = start.n_inputs, start.n_neurons
        self.formats = (start.weight_format, start.threshold_format) if keep_formats else None
        recurrent = start.recurrent
        reach = _reach(start, grid, drive)
        self.ceiling = start.threshold_format.interval.high if keep_formats else reach
        numerators = start.leak_numerators.ravel().tolist()
        factor = max(1, *numerators, self.synapse.d if self.synapse is not None else 0)
        self.exact_dtype = _exact_dtype(reach * factor, reach + self.ceiling)
        self.latent_weights = nn.Parameter(_floats(start.matrix.T))
        self.latent_thresholds = nn.Parameter(_floats(start.thresholds))
        self.latent_recurrent = None if recurrent is None else nn.Parameter(_floats(recurrent.T))
        self.register_buffer("biases", _floats(start.biases))
        self.register_buffer("leaks", _floats(start.leak_numerators))
        self.has_resets = start.resets is not None
        resets = [start.reset_of(j) for j in range(start.n_neurons)]
        self.register_buffer("resets", _floats(np.array(resets)))
        self.register_buffer("floors", _floats(np.minimum(start.thresholds, 1)))

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
        unit = float(self.grid.alphabet.largest)
        weights = [self.latent_weights]
        if self.latent_recurrent is not None:
            weights.append(self.latent_recurrent)
        taps = self.n_inputs if self.grid.fan_in is None else min(self.grid.fan_in, self.n_inputs)
        return [
            {"params": weights, "lr": unit},
            {"params": [self.latent_thresholds], "lr": unit * taps**0.5},
        ]

    @torch.no_grad()
    def constrain(self) -> None:
        """Bring latent values back within the grid, thresholds within their limits."""
        for latent in (self.latent_weights, self.latent_recurrent):
            if latent is not None:
                latent.clamp_(-self.grid.alphabet.largest, self.grid.alphabet.largest)
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
        v = before = s = torch.zeros_like(current[:, 0])
        for t in range(current.shape[1]):
            total = current[:, t]
            if lateral is not None:
                total = total + nn.functional.linear(s, lateral)
            i = total
            if self.synapse is not None:
                i = _Leak.apply(before, self.synapse.d, self.synapse) + total
            before = i
            u = _Leak.apply(v, self.leaks, self.leak) + i
            if self.reset is Reset.LATE:
                u = u - thresholds * s.detach()
            s, v = self._fire(u, thresholds)
            spikes.append(s)
            membranes.append(v)
        return torch.stack(spikes, dim=1), torch.stack(membranes, dim=1)

    def _fire(self, u: Tensor, thresholds: Tensor) -> tuple[Tensor, Tensor]:
        """Spike and membrane after the reset, from the integrated membrane."""
        u = self._saturated(u)
        s = spikes_of(u - thresholds)
        if self.reset in (Reset.NONE, Reset.LATE):
            return s, u
        fired = s.detach()
        if self.reset is Reset.ZERO:
            return s, u * (1.0 - fired) + self.resets * fired
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
        resets = _integers(self.resets)
        reach = Interval.hull([0, *thresholds.tolist(), *biases.tolist(), *resets.tolist()])
        narrowest = (self.grid.alphabet.format, QFormat.covering(reach))
        weight_format, threshold_format = self.formats or narrowest
        lateral = None
        if self.latent_recurrent is not None:
            lateral = _integers(self.grid.among_neurons(self.latent_recurrent)).T
        return Layer(
            weights=_integers(self.grid.feed_forward(self.latent_weights)).T,
            thresholds=thresholds,
            biases=biases,
            recurrent=lateral,
            leak=self.leak,
            reset=self.reset,
            weight_format=weight_format,
            threshold_format=threshold_format,
            saturation=self.saturation,
            synapse=self.synapse,
            leaks=_integers(self.leaks) if self.has_leaks else None,
            resets=resets if self.has_resets else None,
        )


def _reach(start: Layer, grid: WeightGrid, drive: Drive) -> int:
    """Largest magnitude that u, v or i can take, whatever training does to the weights."""
    taps = start.n_inputs if grid.fan_in is None else min(grid.fan_in, start.n_inputs)
    current = taps * grid.alphabet.largest * max(-drive.inputs.low, drive.inputs.high)
    if start.recurrent is not None:
        current += min(grid.lateral or start.n_neurons, start.n_neurons) * grid.alphabet.largest
    current += int(np.abs(start.biases).max())
    if start.synapse is not None:
        current = _kept(current, start.synapse, drive.n_steps)
    # A reset by subtraction raises the membrane only where a threshold is negative.
    push = current + max(0, -int(start.thresholds.min()))
    push += max(abs(start.reset_of(j)) for j in range(start.n_neurons))
    slowest = start.leak.of(int(start.leak_numerators.min()))
    # A late reset is made after the leak, and may leave as much below 0.
    membrane = _kept(push, slowest, drive.n_steps) * (2 if start.reset is Reset.LATE else 1)
    return membrane + current


def _kept(push: int, leak: Leak, n_steps: int) -> int:
    """Largest magnitude of a state that leaks and is pushed at each step."""
    if not leak.d:
        return n_steps * push
    # |v| <= |v| (1 - d / 2**f) + 1 + push has the fixed point (push + 1) 2**f / d.
    return min(n_steps * push, math.ceil((push + 1) * (1 << leak.f) / leak.d))


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
