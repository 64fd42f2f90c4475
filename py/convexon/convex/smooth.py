"""The smooth part of the program, as the inner solver sees it.

For a smooth loss that is the mean loss. For a loss with kinks it is the envelope that the method of
multipliers puts in its place; both offer the same functions, so one inner solver serves both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from convexon.convex.loss import Curvature, FloatArray, NonsmoothLoss, SmoothLoss


class SmoothTerm(Protocol):
    """A smooth convex function of the predictions ``Z`` (n, C), and its conjugate."""

    def value(self, Z: FloatArray) -> float:
        """Value at ``Z``."""

    def gradient(self, Z: FloatArray) -> FloatArray:
        """Gradient at ``Z``, (n, C)."""

    def curvature(self, Z: FloatArray) -> Curvature:
        """Second derivative row by row."""

    def smoothness(self) -> float:
        """Lipschitz constant of the gradient."""

    def dual_value(self, dual: FloatArray) -> float:
        """Minus the conjugate at ``-dual``, for ``dual`` a scaled negative gradient."""


@dataclass(frozen=True, eq=False)
class MeanLoss:
    """A smooth loss with its targets."""

    loss: SmoothLoss
    targets: FloatArray

    def value(self, Z: FloatArray) -> float:
        """Mean loss at ``Z``."""
        return self.loss.value(Z, self.targets)

    def gradient(self, Z: FloatArray) -> FloatArray:
        """Gradient of the mean loss."""
        return self.loss.gradient(Z, self.targets)

    def curvature(self, Z: FloatArray) -> Curvature:
        """Second derivative of the mean loss."""
        return self.loss.curvature(Z, self.targets)

    def smoothness(self) -> float:
        """One row's constant over n."""
        return self.loss.smoothness / len(self.targets)

    def dual_value(self, dual: FloatArray) -> float:
        """Objective of the dual program."""
        return -self.loss.conjugate(-len(dual) * dual, self.targets)


@dataclass(frozen=True, eq=False)
class Envelope:
    """The augmented Lagrangian of ``h(z) s.t. z = Z``, minimized over z, with h the mean loss.

    With multiplier m and penalty parameter s this is ``max_u <u, Z> - h*(u) - ||u - m||^2 / (2
    s)``: smooth with constant s, and its gradient is the maximizing u, which is the next
    multiplier.
    """

    loss: NonsmoothLoss
    targets: FloatArray
    multiplier: FloatArray
    parameter: float

    def _lagrangian(self, u: FloatArray) -> float:
        distance = float(np.square(u - self.multiplier).sum()) / (2.0 * self.parameter)
        return self.loss.conjugate(len(u) * u, self.targets) + distance

    def value(self, Z: FloatArray) -> float:
        """Value at ``Z``, from the maximizer."""
        u = self.gradient(Z)
        return float((u * Z).sum()) - self._lagrangian(u)

    def gradient(self, Z: FloatArray) -> FloatArray:
        """The maximizer, by the proximal map of the conjugate."""
        shifted = self.multiplier + self.parameter * Z
        return self.loss.conjugate_prox(shifted, self.targets, step=self.parameter)

    def curvature(self, Z: FloatArray) -> Curvature:
        """A generalized second derivative: s where the proximal map does not clip."""
        share = -self.targets * self.gradient(Z) * len(Z)
        return Curvature(np.where((share > 0.0) & (share < 1.0), self.parameter, 0.0))

    def smoothness(self) -> float:
        """The penalty parameter."""
        return self.parameter

    def dual_value(self, dual: FloatArray) -> float:
        """Value of the inner dual program, whose feasible set is that of the program itself."""
        return -self._lagrangian(-dual)
