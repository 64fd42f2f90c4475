"""Support functions of balls and boxes, in the primal-dual form of an interior-point method.

A hinge, an absolute value, a Euclidean norm and a largest magnitude are each the support function
of a simple set: ``phi(x) = max_g <g, x>`` over an interval, a ball or a cross-polytope. A method of
interior points keeps x with an epigraph variable ``t > ||x||`` and a slope g strictly inside the
set, and drives their complementarity to zero along the central path. Each class here holds many
such triples, eliminates everything but x from the linearized equations, and leaves the one relation
that a Newton system needs, ``dg = K dx + k``.

The equations of a ball are those of Alizadeh, Haeberly and Overton ("Primal-dual interior-point
methods for semidefinite programming", 1998) for the second-order cone, ``radius * t - <x, g> = mu``
and ``radius * x = t * g``; in one dimension they are the usual two pairs of a linear program.

Members
-------
Balls
    ``radius * ||x||_2``, rows of any length; of length one they are absolute values.
Polytopes
    ``radius * ||x||_inf``, whose slopes lie in a cross-polytope.
Move
    A direction of all their variables.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Move:
    """Directions of the primal rows, of the slopes, and of the epigraph variables."""

    x: FloatArray
    g: FloatArray
    t: FloatArray


@dataclass(eq=False)
class Balls:
    """Rows ``x`` (m, d) with slopes ``g`` in balls of ``radii`` (m,), and ``t`` (m,) above them."""

    radii: FloatArray
    x: FloatArray
    t: FloatArray
    g: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        self.g = np.zeros_like(self.x)
        self.t = np.maximum(self.t, 1.5 * _norms(self.x))

    @property
    def degree(self) -> int:
        """Number of complementarity products."""
        return len(self.x)

    def complementarity(self) -> float:
        """Sum of the products; the gap, where the slopes add up to what they should."""
        return float(self._products().sum())

    def _products(self) -> FloatArray:
        return np.asarray(self.radii * self.t - (self.x * self.g).sum(axis=1))

    def stiffness(self) -> FloatArray:
        """K, symmetrized, (m, d, d); it is symmetric on the central path."""
        inner = self.radii * self.t + (self.x * self.g).sum(axis=1)
        if self.x.shape[1] == 1:
            return ((self.radii**2 - self.g[:, 0] ** 2) / inner)[:, None, None]
        ratio = self.radii / self.t
        mixed = self.g[:, :, None] * self.x[:, None, :]
        across = self.g[:, :, None] * self.g[:, None, :]
        across += (0.5 * ratio)[:, None, None] * (mixed + mixed.transpose(0, 2, 1))
        identity = ratio[:, None, None] * np.eye(self.x.shape[1])
        return np.asarray(identity - across / inner[:, None, None])

    def respond(self, dx: FloatArray) -> FloatArray:
        """``K dx``."""
        return np.asarray(np.matmul(self.stiffness(), dx[:, :, None])[:, :, 0])

    def pull(self, mu: float, after: Move | None) -> tuple[FloatArray, FloatArray]:
        """``k`` (m, d), and what `move` needs, for products of ``mu``.

        ``after`` is the predictor, whose second-order terms are then taken off.
        """
        first = mu - self._products()
        second = self.t[:, None] * self.g - self.radii[:, None] * self.x
        if after is not None:
            first += (after.x * after.g).sum(axis=1)
            second += after.t[:, None] * after.g
        v = -second - self.g * (first / self.radii)[:, None]
        inner = self.radii * self.t + (self.x * self.g).sum(axis=1)
        along = (self.x * v).sum(axis=1) / inner
        return (v - self.g * along[:, None]) / self.t[:, None], first

    def move(self, dx: FloatArray, dg: FloatArray, first: FloatArray) -> Move:
        """The direction of all variables, once that of the rows and slopes is known."""
        dt = (first + (self.g * dx).sum(axis=1) + (self.x * dg).sum(axis=1)) / self.radii
        return Move(dx, dg, dt)

    def longest(self, move: Move) -> float:
        """Step at which a variable first leaves its cone; infinite where none does."""
        primal = _cone_step(self.t, self.x, move.t, move.x)
        return min(primal, _cone_step(self.radii, self.g, np.zeros_like(self.radii), move.g))

    def advance(self, move: Move, step: float, x: FloatArray) -> None:
        """Take the step; ``x`` are the rows after it."""
        self.x, self.g = x, self.g + step * move.g
        self.t = np.maximum(self.t + step * move.t, _norms(x) * (1.0 + 1e-15) + 1e-300)


@dataclass(eq=False)
class Polytopes:
    """Rows ``x`` (m, d) with ``t >= |x_c|``, and slopes in cross-polytopes of ``radii`` (m,).

    The slope is the difference of the multipliers of ``t - x >= 0`` and ``t + x >= 0``, which sum
    to the radius over each row.
    """

    radii: FloatArray
    x: FloatArray
    t: FloatArray
    g: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        d = self.x.shape[1]
        self.t = np.maximum(self.t, 1.5 * np.abs(self.x).max(axis=1, initial=0.0))
        self._upper = np.repeat((self.radii / (2.0 * d))[:, None], d, axis=1)
        self._lower = self._upper.copy()
        self.g = np.zeros_like(self.x)
        self._last = np.zeros((2, *self.x.shape))

    @property
    def degree(self) -> int:
        """Number of complementarity products."""
        return 2 * self.x.size

    def _slacks(self) -> tuple[FloatArray, FloatArray]:
        return self.t[:, None] - self.x, self.t[:, None] + self.x

    def complementarity(self) -> float:
        """Sum of the products; the gap, where the slopes add up to what they should."""
        return float((self.radii * self.t).sum() - (self.x * self.g).sum())

    def _rates(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Sum and difference of multiplier over slack, (m, d), and the total of the sums, (m,)."""
        above, below = self._slacks()
        up, down = self._upper / above, self._lower / below
        return up + down, up - down, (up + down).sum(axis=1)

    def stiffness(self) -> tuple[FloatArray, FloatArray]:
        """K as a diagonal (m, d) less the square of a vector, (m, d), for each row."""
        total, difference, mass = self._rates()
        return total, difference / np.sqrt(mass)[:, None]

    def respond(self, dx: FloatArray) -> FloatArray:
        """``K dx``."""
        total, dent = self.stiffness()
        return total * dx - dent * (dent * dx).sum(axis=1, keepdims=True)

    def pull(self, mu: float, after: Move | None) -> tuple[FloatArray, FloatArray]:
        """``k`` (m, d), and what `move` needs: the residuals over the slacks, (2, m, d)."""
        above, below = self._slacks()
        up, down = mu - self._upper * above, mu - self._lower * below
        if after is not None:
            d_upper, d_lower = self._multipliers(after, self._last)
            up -= d_upper * (after.t[:, None] - after.x)
            down -= d_lower * (after.t[:, None] + after.x)
        up, down = up / above, down / below
        _, difference, mass = self._rates()
        sway = (up + down).sum(axis=1) / mass
        return up - down - difference * sway[:, None], np.stack([up, down])

    def move(self, dx: FloatArray, dg: FloatArray, first: FloatArray) -> Move:
        """The direction of all variables, once that of the rows and slopes is known."""
        _, difference, mass = self._rates()
        dt = (first.sum(axis=(0, 2)) + (difference * dx).sum(axis=1)) / mass
        self._last = first
        return Move(dx, dg, dt)

    def _multipliers(self, move: Move, first: FloatArray) -> tuple[FloatArray, FloatArray]:
        above, below = self._slacks()
        up = first[0] - self._upper * (move.t[:, None] - move.x) / above
        return up, first[1] - self._lower * (move.t[:, None] + move.x) / below

    def longest(self, move: Move) -> float:
        """Step at which a variable first leaves its cone; infinite where none does."""
        above, below = self._slacks()
        d_upper, d_lower = self._multipliers(move, self._last)
        pairs = (
            (above, move.t[:, None] - move.x),
            (below, move.t[:, None] + move.x),
            (self._upper, d_upper),
            (self._lower, d_lower),
        )
        return min(_orthant_step(value, change) for value, change in pairs)

    def advance(self, move: Move, step: float, x: FloatArray) -> None:
        """Take the step; ``x`` are the rows after it."""
        d_upper, d_lower = self._multipliers(move, self._last)
        self._upper = self._upper + step * d_upper
        self._lower = self._lower + step * d_lower
        scale = self.radii / (self._upper + self._lower).sum(axis=1)  # keeps rounding from adding up
        self._upper *= scale[:, None]
        self._lower *= scale[:, None]
        self.g = self._upper - self._lower
        reach = np.abs(x).max(axis=1, initial=0.0)
        self.x, self.t = x, np.maximum(self.t + step * move.t, reach * (1.0 + 1e-15) + 1e-300)


def _norms(x: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(np.square(x).sum(axis=1)))


def _orthant_step(value: FloatArray, change: FloatArray) -> float:
    falling = change < 0.0
    return float((value[falling] / -change[falling]).min(initial=np.inf))


def _cone_step(t: FloatArray, x: FloatArray, dt: FloatArray, dx: FloatArray) -> float:
    """Smallest positive step at which ``t + step dt = ||x + step dx||``, of any row."""
    if x.shape[1] == 1:
        rise = dx[:, 0]
        up, down = _orthant_step(t - x[:, 0], dt - rise), _orthant_step(t + x[:, 0], dt + rise)
        return min(up, down)
    a = dt**2 - np.square(dx).sum(axis=1)
    b = t * dt - (x * dx).sum(axis=1)
    c = np.maximum((t - _norms(x)) * (t + _norms(x)), 0.0)
    root = np.sqrt(np.maximum(b * b - a * c, 0.0))
    # The smallest positive root of a s^2 + 2 b s + c, in the form without cancellation.
    leaves = (b < root) & ((a < 0.0) | (b < 0.0)) & (b * b >= a * c)
    steps = c[leaves] / (root - b)[leaves]
    steps = steps[steps > 0.0]
    return float(steps.min(initial=np.inf))
