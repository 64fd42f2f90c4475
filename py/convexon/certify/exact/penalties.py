"""Penalties in exact arithmetic: row norms, and dual norms against limits.

Every norm but the row-group l2 one is rational where its arguments are; of that one, roots are
bounded on the side that is asked for, and what is compared are squares. Nothing here is shared with
`convexon.convex`; a penalty from outside brings an `ExactPenalty` under the same name.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from convexon.certify.exact.dyadic import Dyadic, FloatArray
from convexon.errors import InputError
from convexon.registry import Registry


class ExactPenalty(ABC):
    """A penalty ``sum_j w_j ||W_j||`` as the checker evaluates it."""

    power: ClassVar[int] = 1
    """Power of the dual norm that `dual_norms` gives, which is rational."""

    @abstractmethod
    def norms(self, W: Dyadic, *, up: bool) -> Dyadic:
        """Norm of each row of W (P, C), or a bound on it from above (``up``) or below: (P,)."""

    @abstractmethod
    def dual_norms(self, G: Dyadic) -> Dyadic:
        """Dual norm of each row of G (P, C) to the `power`, exactly: (P,)."""

    def exceeds(self, G: Dyadic, limits: Dyadic) -> npt.NDArray[np.bool_]:
        """Rows whose dual norm exceeds ``limits`` (P,), none of them negative."""
        left = self.dual_norms(G)
        right = Dyadic(limits.units**self.power, self.power * limits.exponent)
        low = min(left.exponent, right.exponent)
        return np.asarray(left.at(low) > right.at(low), dtype=bool)

    def reaches(self, magnitudes: FloatArray, limit: float) -> npt.NDArray[np.bool_]:
        """Rows (..., C) of non-negative numbers whose dual norm may exceed ``limit``: (...).

        A penalty that can tell quickly, in float64, leaves few rows to be looked at exactly.
        """
        return np.ones(magnitudes.shape[:-1], dtype=np.bool_)


def _require_stated(penalty: type[ExactPenalty]) -> None:
    if missing := sorted(getattr(penalty, "__abstractmethods__", ())):
        raise InputError(f"exact penalty {penalty.__name__} must state {', '.join(missing)}")


EXACT_PENALTIES = Registry[type[ExactPenalty]](
    "exact penalty", "convexon.certify.penalties", _require_stated
)
"""Exact penalties by the names that certificates state."""


@EXACT_PENALTIES("l1")
class ExactL1(ExactPenalty):
    """Sum of magnitudes; the dual norm is the largest of them."""

    def norms(self, W: Dyadic, *, up: bool) -> Dyadic:  # noqa: D102
        return Dyadic(np.abs(W.units).sum(axis=1), W.exponent)

    def dual_norms(self, G: Dyadic) -> Dyadic:  # noqa: D102
        return Dyadic(np.abs(G.units).max(axis=1, initial=0), G.exponent)

    def reaches(self, magnitudes: FloatArray, limit: float) -> npt.NDArray[np.bool_]:  # noqa: D102
        return np.asarray(magnitudes.max(axis=-1) > limit)


@EXACT_PENALTIES("group_linf")
class ExactGroupLInf(ExactPenalty):
    """Largest magnitude; the dual norm is their sum."""

    def norms(self, W: Dyadic, *, up: bool) -> Dyadic:  # noqa: D102
        return Dyadic(np.abs(W.units).max(axis=1, initial=0), W.exponent)

    def dual_norms(self, G: Dyadic) -> Dyadic:  # noqa: D102
        return Dyadic(np.abs(G.units).sum(axis=1), G.exponent)

    def reaches(self, magnitudes: FloatArray, limit: float) -> npt.NDArray[np.bool_]:  # noqa: D102
        return np.asarray(magnitudes.sum(axis=-1) * _above(magnitudes) > limit)


def _above(magnitudes: FloatArray) -> float:
    """Factor that covers the rounding of a sum of squares over the last axis, and a comparison."""
    return 1.0 + float(magnitudes.shape[-1] + 6) * 2.0**-52


_ROOT_BITS = 96
"""Bits after the binary point of a unit to which square roots are taken."""


@EXACT_PENALTIES("group_l2")
class ExactGroupL2(ExactPenalty):
    """Euclidean norm, which is its own dual."""

    power: ClassVar[int] = 2

    def norms(self, W: Dyadic, *, up: bool) -> Dyadic:  # noqa: D102
        squares = [int(s) << (2 * _ROOT_BITS) for s in (W.units**2).sum(axis=1)]
        roots = [math.isqrt(s) for s in squares]
        roots = [r + (up and r * r < s) for r, s in zip(roots, squares, strict=True)]
        return Dyadic(np.array(roots, dtype=object), W.exponent - _ROOT_BITS)

    def dual_norms(self, G: Dyadic) -> Dyadic:  # noqa: D102
        return Dyadic((G.units**2).sum(axis=1), 2 * G.exponent)

    def reaches(self, magnitudes: FloatArray, limit: float) -> npt.NDArray[np.bool_]:  # noqa: D102
        squares = np.square(magnitudes).sum(axis=-1)
        return np.asarray(squares * _above(magnitudes) > limit * limit)
