"""Penalties of the convex program: the entrywise l1 norm, and row-group l2 and l-infinity norms.

With positive column weights w the penalty is ``Omega_w(W) = sum_j w_j ||W_j||`` over the rows W_j
of W, one row per column of the dictionary. The row norm is l1 (which decides synapse by synapse),
l2 (which prunes whole neurons, and with them their area) or l-infinity (which prunes whole neurons
too, and drives the synapses of those that stay to one magnitude). A dual point lambda is feasible
when the dual norm of each row of ``D^T lambda`` is at most ``rho * w_j``.

A penalty is one class, and `PENALTIES` knows it by name. The checker of certificates has an
evaluation of its own (`convexon.certify.exact.penalties.EXACT_PENALTIES`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from convexon.errors import InputError
from convexon.registry import Registry

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


class Cone(Enum):
    """A norm that the interior-point method takes: entry by entry, or of a row."""

    ENTRIES = "sum of magnitudes"
    EUCLIDEAN = "Euclidean norm"
    LARGEST = "largest magnitude"


class Penalty(ABC):
    """A weighted sum of row norms. ``W`` is (P, C), ``weights`` is (P,) and positive.

    The norm depends on the magnitudes of a row alone and falls with none of them, which the
    universal bound rests on.
    """

    cone: ClassVar[Cone | None]
    """The row norm as the interior-point method takes it; None where it is none of these."""

    smooth_on_support: ClassVar[bool]
    """Whether the only kinks are at the zeros of the weights, so that Newton steps on a support
    converge."""

    @property
    def name(self) -> str:
        """Name in `PENALTIES`."""
        return PENALTIES.name_of(type(self))

    @abstractmethod
    def row_norms(self, W: FloatArray) -> FloatArray:
        """Norm of each row, shape (P,)."""

    @abstractmethod
    def dual_row_norms(self, G: FloatArray) -> FloatArray:
        """Dual norm of each row, shape (P,)."""

    @abstractmethod
    def prox(self, V: FloatArray, thresholds: FloatArray) -> FloatArray:
        """Minimizer over W of ``1/2 ||W - V||^2 + sum_j thresholds_j ||W_j||``."""

    @abstractmethod
    def support(self, W: FloatArray) -> BoolArray:
        """Entries of W near which the penalty is differentiable, shape (P, C)."""

    @abstractmethod
    def gradient(self, W: FloatArray, weights: FloatArray) -> FloatArray:
        """Gradient of the penalty on the support of W, zero elsewhere."""

    @abstractmethod
    def curvature(self, W: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray] | None:
        """Second derivative on the support; None where the penalty is linear.

        A ridge r (P,) and dents v (P, C): the block of a row is ``r I - v v^T``.
        """

    @abstractmethod
    def retract(self, V: FloatArray, W: FloatArray) -> FloatArray:
        """``V`` with zeros where the way from ``W`` leaves the piece that `gradient` is for."""

    @abstractmethod
    def dual_norm_bound(self, n_outputs: int) -> float:
        """Largest dual norm of a row of ``n_outputs`` entries whose Euclidean norm is one."""

    def value(self, W: FloatArray, weights: FloatArray) -> float:
        """``sum_j w_j ||W_j||``."""
        return float(weights @ self.row_norms(W))

    def dual_ratios(self, G: FloatArray, weights: FloatArray) -> FloatArray:
        """Dual norm of each row over its weight, (P,); the dual constraint is ``<= rho``.

        ``G`` is ``D^T lambda``, shape (P, C).
        """
        return np.asarray(self.dual_row_norms(G) / weights)

    def dual_ratio(self, G: FloatArray, weights: FloatArray) -> float:
        """Largest of `dual_ratios`; zero for a dictionary without columns."""
        return float(self.dual_ratios(G, weights).max(initial=0.0))


def _require_stated(penalty: type[Penalty]) -> None:
    """Raise `InputError` unless a penalty states all that is asked of it."""
    asked = ("cone", "smooth_on_support")
    missing = sorted(getattr(penalty, "__abstractmethods__", ()))
    missing += [name for name in asked if not hasattr(penalty, name)]
    if missing:
        raise InputError(
            f"penalty {penalty.__name__} must state {', '.join(missing)}: "
            "without them no program could be solved or certified"
        )


PENALTIES = Registry[type[Penalty]]("penalty", "convexon.penalties", _require_stated)
"""The penalties by name, those of other packages included."""


@PENALTIES("l1")
@dataclass(frozen=True)
class L1(Penalty):
    """``sum_j w_j sum_c |W_jc|``; its dual norm is the largest magnitude in a row."""

    cone: ClassVar[Cone | None] = Cone.ENTRIES
    smooth_on_support: ClassVar[bool] = True

    def row_norms(self, W: FloatArray) -> FloatArray:  # noqa: D102
        return np.asarray(np.abs(W).sum(axis=1))

    def dual_row_norms(self, G: FloatArray) -> FloatArray:  # noqa: D102
        return np.asarray(np.abs(G).max(axis=1))

    def dual_norm_bound(self, n_outputs: int) -> float:  # noqa: D102
        return 1.0

    def prox(self, V: FloatArray, thresholds: FloatArray) -> FloatArray:  # noqa: D102
        bound = thresholds[:, None]
        return V - np.clip(V, -bound, bound)

    def support(self, W: FloatArray) -> BoolArray:  # noqa: D102
        return np.asarray(W != 0.0)

    def gradient(self, W: FloatArray, weights: FloatArray) -> FloatArray:  # noqa: D102
        return weights[:, None] * np.sign(W)

    def curvature(self, W: FloatArray, weights: FloatArray) -> None:  # noqa: D102
        return None

    def retract(self, V: FloatArray, W: FloatArray) -> FloatArray:
        """Entries that change sign stop at zero."""
        return np.where(V * W > 0.0, V, 0.0)


class _RowGroup(Penalty):
    """A norm whose kink is where a whole row is zero."""

    def support(self, W: FloatArray) -> BoolArray:
        return np.repeat((self.row_norms(W) > 0.0)[:, None], W.shape[1], axis=1)

    def retract(self, V: FloatArray, W: FloatArray) -> FloatArray:
        """Rows that turn by a right angle or more stop at zero."""
        return np.where(((V * W).sum(axis=1) > 0.0)[:, None], V, 0.0)


@PENALTIES("group_l2")
@dataclass(frozen=True)
class GroupL2(_RowGroup):
    """``sum_j w_j ||W_j||_2``; the norm is its own dual."""

    cone: ClassVar[Cone | None] = Cone.EUCLIDEAN
    smooth_on_support: ClassVar[bool] = True

    def row_norms(self, W: FloatArray) -> FloatArray:  # noqa: D102
        return np.asarray(np.sqrt(np.square(W).sum(axis=1)))

    def dual_row_norms(self, G: FloatArray) -> FloatArray:  # noqa: D102
        return self.row_norms(G)

    def dual_norm_bound(self, n_outputs: int) -> float:  # noqa: D102
        return 1.0

    def prox(self, V: FloatArray, thresholds: FloatArray) -> FloatArray:  # noqa: D102
        norms = self.row_norms(V)
        keep = norms > thresholds
        shrink = np.where(keep, 1.0 - thresholds / np.where(keep, norms, 1.0), 0.0)
        return shrink[:, None] * V

    def gradient(self, W: FloatArray, weights: FloatArray) -> FloatArray:  # noqa: D102
        norms = self.row_norms(W)
        return (weights / np.where(norms > 0.0, norms, 1.0))[:, None] * W

    def curvature(  # noqa: D102
        self, W: FloatArray, weights: FloatArray
    ) -> tuple[FloatArray, FloatArray] | None:
        if W.shape[1] == 1:
            return None
        norms = self.row_norms(W)
        scale = np.where(norms > 0.0, norms, 1.0)
        ridge = weights / scale
        return ridge, (np.sqrt(ridge) / scale)[:, None] * W


@PENALTIES("group_linf")
@dataclass(frozen=True)
class GroupLInf(_RowGroup):
    """``sum_j w_j max_c |W_jc|``; its dual norm is the l1 norm of a row."""

    cone: ClassVar[Cone | None] = Cone.LARGEST
    smooth_on_support: ClassVar[bool] = False

    def row_norms(self, W: FloatArray) -> FloatArray:  # noqa: D102
        return np.asarray(np.abs(W).max(axis=1, initial=0.0))

    def dual_row_norms(self, G: FloatArray) -> FloatArray:  # noqa: D102
        return np.asarray(np.abs(G).sum(axis=1))

    def dual_norm_bound(self, n_outputs: int) -> float:  # noqa: D102
        return float(np.sqrt(n_outputs))

    def prox(self, V: FloatArray, thresholds: FloatArray) -> FloatArray:
        """What is left of each row after its projection on the l1 ball (Moreau)."""
        return V - _onto_l1_balls(V, thresholds)

    def gradient(self, W: FloatArray, weights: FloatArray) -> FloatArray:
        """The gradient where one magnitude is largest; it is shared where several tie."""
        top = (np.abs(W) == self.row_norms(W)[:, None]) & (W != 0.0)
        shared = weights / np.maximum(top.sum(axis=1), 1)
        return np.asarray(np.where(top, shared[:, None] * np.sign(W), 0.0))

    def curvature(self, W: FloatArray, weights: FloatArray) -> None:  # noqa: D102
        return None


def _onto_l1_balls(V: FloatArray, radii: FloatArray) -> FloatArray:
    """Projection of each row on the l1 ball of its radius.

    Magnitudes are cut by one level a row, the largest at which the k entries above it still leave
    the radius (Duchi, Shalev-Shwartz, Singer and Chandra, 2008).
    """
    size = np.abs(V)
    ordered = -np.sort(-size, axis=1)
    ranks = np.arange(1, V.shape[1] + 1)
    levels = (np.cumsum(ordered, axis=1) - radii[:, None]) / ranks
    count = np.maximum((ordered > levels).sum(axis=1), 1)
    level = np.maximum(levels[np.arange(len(V)), count - 1], 0.0)
    return np.asarray(np.sign(V) * np.maximum(size - level[:, None], 0.0))
