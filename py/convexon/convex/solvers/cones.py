"""Support functions of balls and boxes, in the primal-dual form of an interior-point method.

A hinge, an absolute value, a Euclidean norm and a largest magnitude are each the support function
of a simple set: ``phi(x) = max_g <g, x>`` over an interval, a ball or a cross-polytope. A method of
interior points keeps x with an epigraph variable ``t > ||x||`` and a slope g strictly inside the
set, and drives their complementarity to zero along the central path. Each class here holds many
such triples, eliminates everything but x from the linearized equations, and leaves the one relation
that a Newton system needs, ``dg = K dx + k``.

For a ball, ``s = (t, x)`` and ``z = (radius, -g)`` lie in second-order cones, and the equations are
those of Nesterov and Todd ("Self-scaled barriers and interior-point methods for convex
programming", 1997): a symmetric W with ``W z = W^-1 s`` keeps K definite wherever the iterate is.
In one dimension they are the two pairs of a linear program.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Move:
    """Directions of the primal rows, of the slopes, and of the epigraph variables."""

    x: FloatArray
    g: FloatArray
    t: FloatArray


class _Scaling(NamedTuple):
    """``W = eta [[w0, w1^T], [w1, I + w1 w1^T / (1 + w0)]]`` for each row, and ``W z``."""

    eta: FloatArray
    w0: FloatArray
    w1: FloatArray
    scaled: FloatArray
    determinant: FloatArray

    def apply(self, v: FloatArray, *, inverse: bool = False) -> FloatArray:
        """``W v`` or ``W^-1 v`` for ``v`` (m, 1 + d)."""
        sign = -1.0 if inverse else 1.0
        factor = (1.0 / self.eta if inverse else self.eta)[:, None]
        along = (self.w1 * v[:, 1:]).sum(axis=1)
        rest = along / (1.0 + self.w0) + sign * v[:, 0]
        head = self.w0 * v[:, 0] + sign * along
        return np.asarray(
            factor * np.concatenate([head[:, None], v[:, 1:] + self.w1 * rest[:, None]], axis=1)
        )

    def divide(self, r: FloatArray) -> FloatArray:
        """The v with ``(W z) o v = r`` in the algebra of the cone."""
        head, tail = self.scaled[:, 0], self.scaled[:, 1:]
        v0 = (head * r[:, 0] - (tail * r[:, 1:]).sum(axis=1)) / self.determinant
        rest = (r[:, 1:] - v0[:, None] * tail) / head[:, None]
        return np.asarray(np.concatenate([v0[:, None], rest], axis=1))


@dataclass(eq=False)
class _Triples(ABC):
    """Rows ``x`` (m, d) with slopes ``g`` in sets of ``radii`` (m,), and ``t`` (m,) above them."""

    radii: FloatArray
    x: FloatArray
    t: FloatArray
    g: FloatArray = field(init=False)
    _k: FloatArray = field(init=False)
    _first: FloatArray = field(init=False)  # what the last pull makes of the epigraph variables

    def complementarity(self) -> float:
        """Sum of the products; the gap, where the slopes add up to what they should."""
        return float((self.radii * self.t).sum() - (self.x * self.g).sum())

    @abstractmethod
    def pull(self, mu: float, after: Move | None) -> FloatArray:
        """``k`` (m, d) for products of ``mu``; the next `move` rests on it.

        ``after`` is the predictor, whose second-order terms are then taken off.
        """

    @abstractmethod
    def stiffness(self) -> tuple[FloatArray, FloatArray]:
        """K as a diagonal (m, d) less the square of a vector, (m, d), for each row."""

    def respond(self, dx: FloatArray) -> FloatArray:
        """``K dx``."""
        total, dent = self.stiffness()
        return np.asarray(total * dx - dent * (dent * dx).sum(axis=1, keepdims=True))


@dataclass(eq=False)
class Balls(_Triples):
    """``radius * ||x||_2``: slopes in balls; in one dimension ``x`` are absolute values."""

    def __post_init__(self) -> None:
        self.g = np.zeros_like(self.x)
        self.t = np.maximum(self.t, 1.5 * _norms(self.x))
        self._scaling = self._scaled()

    @property
    def degree(self) -> int:
        """Number of complementarity products."""
        return len(self.x)

    def _scaled(self) -> _Scaling:
        s = np.column_stack([self.t, self.x])
        z = np.column_stack([self.radii, -self.g])
        det_s, det_z = _determinant(self.t, self.x), _determinant(self.radii, self.g)
        root = np.sqrt(det_s * det_z)
        gamma = np.sqrt(0.5 * (1.0 + (s * z).sum(axis=1) / root))
        w = s / np.sqrt(det_s)[:, None]
        w[:, 0] += z[:, 0] / np.sqrt(det_z)
        w[:, 1:] -= z[:, 1:] / np.sqrt(det_z)[:, None]
        w /= 2.0 * gamma[:, None]
        # Normalized by its definition; the head follows from the tail without cancellation.
        w0 = np.sqrt(1.0 + np.square(w[:, 1:]).sum(axis=1))
        partial = _Scaling((det_s / det_z) ** 0.25, w0, w[:, 1:], z, root)
        return partial._replace(scaled=partial.apply(z))

    def stiffness(self) -> tuple[FloatArray, FloatArray]:  # noqa: D102
        eta, w0, w1 = self._scaling[:3]
        share = 2.0 * np.square(w0) - 1.0
        if w1.shape[1] == 1:  # the difference of the two, without cancellation
            return (1.0 / (eta**2 * share))[:, None], np.zeros_like(w1)
        total = np.repeat((1.0 / eta**2)[:, None], w1.shape[1], axis=1)
        return total, w1 * (np.sqrt(2.0 / share) / eta)[:, None]

    def pull(self, mu: float, after: Move | None) -> FloatArray:  # noqa: D102
        scaling = self._scaling
        r = np.zeros((len(self.x), 1 + self.x.shape[1]))
        r[:, 0] = mu
        if after is not None:
            ds = scaling.apply(np.column_stack([after.t, after.x]), inverse=True)
            dz = scaling.apply(np.column_stack([np.zeros_like(after.t), -after.g]))
            r[:, 0] -= (ds * dz).sum(axis=1)
            r[:, 1:] -= ds[:, :1] * dz[:, 1:] + dz[:, :1] * ds[:, 1:]
        p = scaling.apply(scaling.divide(r), inverse=True)
        p -= np.column_stack([self.radii, -self.g])
        lean = 2.0 * scaling.w0 / (2.0 * np.square(scaling.w0) - 1.0)
        self._first = p[:, 0]
        self._k = -p[:, 1:] - scaling.w1 * (lean * p[:, 0])[:, None]
        return self._k

    def move(self, dx: FloatArray) -> Move:
        """The direction of all variables, once that of the rows is known."""
        eta, w0, w1 = self._scaling[:3]
        along = 2.0 * w0 * (w1 * dx).sum(axis=1)
        dt = (eta**2 * self._first + along) / (2.0 * np.square(w0) - 1.0)
        return Move(dx, self.respond(dx) + self._k, dt)

    def longest(self, move: Move) -> float:
        """Step at which a variable first leaves its cone; infinite where none does."""
        primal = _cone_step(self.t, self.x, move.t, move.x)
        return min(primal, _cone_step(self.radii, self.g, np.zeros_like(self.radii), move.g))

    def advance(self, move: Move, step: float, x: FloatArray) -> None:
        """Take the step; ``x`` are the rows after it."""
        self.x, self.g = x, self.g + step * move.g
        self.t = np.maximum(self.t + step * move.t, _norms(x) * (1.0 + 1e-15) + 1e-300)
        size = _norms(self.g)
        self.g *= np.minimum(1.0, self.radii * (1.0 - 1e-15) / np.maximum(size, 1e-300))[:, None]
        self._scaling = self._scaled()


@dataclass(eq=False)
class Polytopes(_Triples):
    """``radius * ||x||_inf``: slopes in cross-polytopes, and ``t >= |x_c|``.

    The slope is the difference of the multipliers of ``t - x >= 0`` and ``t + x >= 0``, which sum
    to the radius over each row.
    """

    def __post_init__(self) -> None:
        d = self.x.shape[1]
        self.t = np.maximum(self.t, 1.5 * np.abs(self.x).max(axis=1, initial=0.0))
        self._upper = np.repeat((self.radii / (2.0 * d))[:, None], d, axis=1)
        self._lower = self._upper.copy()
        self.g = np.zeros_like(self.x)
        self._first = np.zeros((2, *self.x.shape))

    @property
    def degree(self) -> int:
        """Number of complementarity products."""
        return 2 * self.x.size

    def _slacks(self) -> tuple[FloatArray, FloatArray]:
        return self.t[:, None] - self.x, self.t[:, None] + self.x

    def _rates(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Sum and difference of multiplier over slack, (m, d), and the total of the sums, (m,)."""
        above, below = self._slacks()
        up, down = self._upper / above, self._lower / below
        return up + down, up - down, (up + down).sum(axis=1)

    def stiffness(self) -> tuple[FloatArray, FloatArray]:  # noqa: D102
        total, difference, mass = self._rates()
        return total, difference / np.sqrt(mass)[:, None]

    def pull(self, mu: float, after: Move | None) -> FloatArray:  # noqa: D102
        above, below = self._slacks()
        up, down = mu - self._upper * above, mu - self._lower * below
        if after is not None:
            d_upper, d_lower = self._multipliers(after)
            up -= d_upper * (after.t[:, None] - after.x)
            down -= d_lower * (after.t[:, None] + after.x)
        up, down = up / above, down / below
        _, difference, mass = self._rates()
        sway = (up + down).sum(axis=1) / mass
        self._first = np.stack([up, down])
        self._k = up - down - difference * sway[:, None]
        return self._k

    def move(self, dx: FloatArray) -> Move:
        """The direction of all variables, once that of the rows is known."""
        _, difference, mass = self._rates()
        dt = (self._first.sum(axis=(0, 2)) + (difference * dx).sum(axis=1)) / mass
        return Move(dx, self.respond(dx) + self._k, dt)

    def _multipliers(self, move: Move) -> tuple[FloatArray, FloatArray]:
        above, below = self._slacks()
        up = self._first[0] - self._upper * (move.t[:, None] - move.x) / above
        return up, self._first[1] - self._lower * (move.t[:, None] + move.x) / below

    def longest(self, move: Move) -> float:
        """Step at which a variable first leaves its cone; infinite where none does."""
        above, below = self._slacks()
        d_upper, d_lower = self._multipliers(move)
        pairs = (
            (above, move.t[:, None] - move.x),
            (below, move.t[:, None] + move.x),
            (self._upper, d_upper),
            (self._lower, d_lower),
        )
        return min(_orthant_step(value, change) for value, change in pairs)

    def advance(self, move: Move, step: float, x: FloatArray) -> None:
        """Take the step; ``x`` are the rows after it."""
        d_upper, d_lower = self._multipliers(move)
        self._upper = self._upper + step * d_upper
        self._lower = self._lower + step * d_lower
        scale = self.radii / (self._upper + self._lower).sum(
            axis=1
        )  # keeps rounding from adding up
        self._upper *= scale[:, None]
        self._lower *= scale[:, None]
        self.g = self._upper - self._lower
        reach = np.abs(x).max(axis=1, initial=0.0)
        self.x, self.t = x, np.maximum(self.t + step * move.t, reach * (1.0 + 1e-15) + 1e-300)


def _norms(x: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(np.square(x).sum(axis=1)))


def _determinant(t: FloatArray, x: FloatArray) -> FloatArray:
    """``t^2 - ||x||^2``, positive."""
    size = _norms(x)
    return np.maximum((t - size) * (t + size), 1e-16 * np.square(t) + 1e-300)


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
    c = _determinant(t, x)
    root = np.sqrt(np.maximum(b * b - a * c, 0.0))
    # The smallest positive root of a s^2 + 2 b s + c, in the form without cancellation.
    leaves = (b < root) & ((a < 0.0) | (b < 0.0)) & (b * b >= a * c)
    steps = c[leaves] / (root - b)[leaves]
    steps = steps[steps > 0.0]
    return float(steps.min(initial=np.inf))
