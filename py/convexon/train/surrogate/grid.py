"""The witness grid for latent floats: which integers a trained weight may be.

A trained network keeps a latent float per weight and computes with the nearest grid point, so that
what is trained is the integer network itself. The gradient passes the rounding unchanged (the
straight-through estimator).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from convexon.errors import InputError
from convexon.snn.network import Layer
from convexon.train.witnesses.alphabet import Alphabet
from convexon.train.witnesses.witness import WitnessFamily

MAX_BITS = 16
"""Widest weights that are trained, in bits."""


@dataclass(frozen=True, kw_only=True)
class WeightGrid:
    """The grid of one layer's weights.

    ``fan_in`` and ``lateral`` are the most feed-forward weights, and the most lateral ones, of a
    neuron that are not zero: the largest magnitudes win.
    """

    alphabet: Alphabet
    fan_in: int | None = None
    lateral: int | None = None

    def __post_init__(self) -> None:
        for name, limit in (("fan_in", self.fan_in), ("lateral", self.lateral)):
            if limit is not None and limit < 1:
                raise InputError(f"{name} must be at least 1, not {limit!r}: use None for all")

    def nearest(self, latent: Tensor, limit: int | None) -> Tensor:
        """Grid point next to each latent float, shape (neurons, sources), within a limit."""
        magnitudes = [0, *self.alphabet.magnitudes]
        if magnitudes == list(range(len(magnitudes))):
            values = latent.round().clamp(-self.alphabet.largest, self.alphabet.largest)
        else:
            borders = latent.new_tensor([(a + b) / 2 for a, b in pairwise(magnitudes)])
            place = torch.bucketize(latent.abs(), borders)
            values = latent.new_tensor(magnitudes)[place] * latent.sign()
        if limit is None or limit >= latent.shape[1]:
            return values
        kept = latent.abs().topk(limit, dim=1).indices
        return torch.zeros_like(values).scatter(1, kept, values.gather(1, kept))

    def feed_forward(self, latent: Tensor) -> Tensor:
        """Grid weights of latent ones, (neurons, inputs); the gradient passes unchanged.

        Weights beyond the fan-in are zero but keep their gradient: they may come back.
        """
        return straight_through(latent, self.nearest(latent.detach(), self.fan_in))

    def among_neurons(self, latent: Tensor) -> Tensor:
        """Lateral weights of latent ones, (neurons, neurons), as `feed_forward`."""
        return straight_through(latent, self.nearest(latent.detach(), self.lateral))

    def require(self, layer: Layer) -> None:
        """Raise `InputError` unless the weights of ``layer`` are on the grid."""
        if layer.tables is not None:
            raise InputError("a layer of truth tables must be left as it is: it has no gradient")
        for name, weights, limit in (
            ("weights", layer.matrix, self.fan_in),
            ("recurrent", layer.recurrent, self.lateral),
        ):
            if weights is None:
                continue
            if not np.isin(weights, self.alphabet.values).all():
                raise InputError(
                    f"{name} must be of the alphabet {self.alphabet.name}: take another alphabet"
                )
            if limit is not None and _densest(weights) > limit:
                raise InputError(
                    f"{name} of a neuron must hold at most {limit} that are not zero, "
                    f"not {_densest(weights)}: raise the limit"
                )

    @classmethod
    def of_family(cls, family: WitnessFamily) -> WeightGrid:
        """Return the grid of a witness family."""
        return cls(alphabet=family.alphabet, fan_in=family.fan_in, lateral=family.lateral or None)

    @classmethod
    def holding(cls, layer: Layer) -> WeightGrid:
        """Return the integers of a layer's weight format, with the fan-in that the layer has.

        Raises `InputError` if the format is not signed.
        """
        if not layer.weight_format.signed or layer.weight_format.width < 2:
            raise InputError(
                "weight_format must be signed and of 2 bits at least, as training moves weights "
                f"below 0, not {layer.weight_format}"
            )
        recurrent = layer.recurrent
        return cls(
            alphabet=Alphabet.integers(min(layer.weight_format.width, MAX_BITS)),
            fan_in=max(1, _densest(layer.matrix)),
            lateral=None if recurrent is None else max(1, _densest(recurrent)),
        )


def _densest(weights: npt.NDArray[np.int64]) -> int:
    """Most weights of a neuron that are not zero."""
    return int((weights != 0).sum(axis=0).max(initial=0))


class _StraightThrough(torch.autograd.Function):
    """Given values forward, the identity backward."""

    @staticmethod
    def forward(ctx: Any, latent: Tensor, values: Tensor) -> Tensor:
        return values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def straight_through(latent: Tensor, values: Tensor) -> Tensor:
    """Return ``values``, whose gradient goes to ``latent`` unchanged."""
    return _StraightThrough.apply(latent, values)
