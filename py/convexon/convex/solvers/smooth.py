"""The smooth part of the program, as the inner solver sees it: the mean loss over its targets."""

from __future__ import annotations

from dataclasses import dataclass

from convexon.convex.model.loss import Curvature, FloatArray, SmoothLoss, Targets


@dataclass(frozen=True, eq=False)
class MeanLoss:
    """A smooth loss with its targets."""

    loss: SmoothLoss
    targets: Targets

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
        """One sample's constant times the largest share of a row."""
        return self.loss.smoothness * float(self.targets.shares.max())

    def dual_value(self, dual: FloatArray) -> float:
        """Objective of the dual program."""
        return self.loss.dual_value(dual, self.targets)
