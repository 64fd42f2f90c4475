"""A primal-dual interior-point method, for what has kinks besides the zeros of the weights.

The hinge has kinks in the predictions and the largest-magnitude norm has them where magnitudes tie;
proximal steps crawl along both. Here each kink becomes a pair on the central path
(`convexon.convex.solvers.cones`), and each step solves one Newton system in the weights alone, with
predictor and corrector after Mehrotra ("On the implementation of a primal-dual interior point
method", 1992). The dual point is strictly inside its domain throughout, so every step yields a
duality gap; that gap ends the method. Last of all, weights whose dual constraint is slack, which a
method of interior points leaves small, are set to zero where the gap allows it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from convexon.convex.model.loss import Curvature, FloatArray, Loss, SmoothLoss, Targets
from convexon.convex.model.penalty import Cone, Penalty
from convexon.convex.model.program import ConvexProgram
from convexon.convex.solvers.cones import Balls, Move, Polytopes
from convexon.convex.solvers.newton import Operator, Solve, solver_for
from convexon.convex.solvers.products import Products
from convexon.convex.solvers.record import Budget
from convexon.convex.solvers.working_set import Sizes

_ACCURACY = 1e-6
"""Relative residual of a Newton system that is solved by iteration."""

_BACK_OFF = 0.99
"""Share of the way to the boundary that a step goes at most."""

_BACKTRACKS = 12
_PATIENCE = 50
"""Steps without any better bound after which the method says that it has stalled."""

_TOLERABLE = 0.05
"""Excess over a dual constraint, as a share of it, that the next Newton step mends."""

_STEEPEST = 0.01
"""Least target for the products, as a share of what the duality gap leaves to each.

Where stationarity still lacks something, the share is that: products that vanish before it does
would pin the weights to the kinks they happen to be near.
"""

_RIDGE = 1e-15
"""Multiple of the mean diagonal that is added to a system which rounding made indefinite."""


class _SmoothFit:
    """The loss's side of the equations, here a smooth one: there are no pairs.

    ``dZ`` and lambda are (n, C); ``degree`` is the number of pairs.
    """

    degree = 0

    def __init__(self, loss: SmoothLoss, targets: Targets, Z: FloatArray) -> None:
        self._loss, self._targets, self._Z = loss, targets, Z

    def dual(self) -> FloatArray:
        """Lambda, strictly inside the conjugate's domain."""
        return -self._loss.gradient(self._Z, self._targets)

    def curvature(self) -> Curvature:
        """What a change of the predictions does to minus lambda."""
        return self._loss.curvature(self._Z, self._targets)

    def complementarity(self) -> float:
        """Sum of the products on the central path."""
        return 0.0

    def pull(self, mu: float, after: Move | None) -> FloatArray:
        """Change of lambda at constant predictions that aims for products of ``mu``."""
        return np.zeros_like(self._Z)

    def move(self, dZ: FloatArray) -> Move | None:
        """The direction of its own variables."""
        return None

    def longest(self, move: Move | None) -> float:
        """Step at which they leave their cones."""
        return np.inf

    def advance(self, move: Move | None, step: float, Z: FloatArray) -> None:
        """Take the step; ``Z`` are the predictions after it."""
        self._Z = Z


class _HingeFit:
    """The hinge of margin shortfalls ``u = 1 - y z``: ``s max(0, u) = (s / 2) (u + |u|)``."""

    def __init__(self, targets: Targets, Z: FloatArray) -> None:
        self._y = targets.values
        self._half = 0.5 * np.broadcast_to(targets.shares, Z.shape)
        u = self._rows(Z)
        self._balls = Balls(self._half.ravel(), u, 1.0 + np.abs(u[:, 0]))
        self.degree = self._balls.degree

    def _rows(self, Z: FloatArray) -> FloatArray:
        return (1.0 - self._y * Z).reshape(-1, 1)

    def dual(self) -> FloatArray:
        return np.asarray(self._y * (self._half + self._balls.g.reshape(self._y.shape)))

    def curvature(self) -> Curvature:
        return Curvature(self._balls.stiffness()[0].reshape(self._y.shape))

    def complementarity(self) -> float:
        return self._balls.complementarity()

    def pull(self, mu: float, after: Move | None) -> FloatArray:
        return np.asarray(self._y * self._balls.pull(mu, after).reshape(self._y.shape))

    def move(self, dZ: FloatArray) -> Move:
        return self._balls.move((-self._y * dZ).reshape(-1, 1))

    def longest(self, move: Move | None) -> float:
        return np.inf if move is None else self._balls.longest(move)

    def advance(self, move: Move | None, step: float, Z: FloatArray) -> None:
        if move is not None:
            self._balls.advance(move, step, self._rows(Z))


class _Norms:
    """The penalty's side: triples for each entry (l1) or each row (row norms) of the weights."""

    def __init__(
        self, cone: Cone | None, thresholds: FloatArray, W: FloatArray, *, product: float
    ) -> None:
        self._shape = W.shape
        self._entrywise = cone is Cone.ENTRIES
        radii = np.repeat(thresholds, W.shape[1]) if self._entrywise else thresholds
        rows = W.reshape(-1, 1) if self._entrywise else W
        polytope = cone is Cone.LARGEST
        # At slope zero a ball has one product, radius * t, and a polytope 2 d with this sum.
        share = 2.0 * W.shape[1] if polytope else 1.0
        self.cones = (Polytopes if polytope else Balls)(radii, rows, share * product / radii)

    def slopes(self) -> FloatArray:
        """Slopes of the penalty, (A, C), strictly dual-feasible."""
        return self.cones.g.reshape(self._shape)

    def pull(self, mu: float, after: Move | None) -> FloatArray:
        """Change of the slopes at constant weights."""
        return self.cones.pull(mu, after).reshape(self._shape)

    def operator(self, D: Products, curvature: Curvature) -> Operator:
        """The Newton system of the weights."""
        total, dent = (part.reshape(self._shape) for part in self.cones.stiffness())
        everywhere = np.ones(self._shape, dtype=bool)
        return Operator(D, curvature, everywhere, total, dent=None if self._entrywise else dent)

    def move(self, dW: FloatArray) -> Move:
        """The direction of all its variables."""
        return self.cones.move(dW.reshape(self.cones.x.shape))

    def advance(self, move: Move, step: float, W: FloatArray) -> None:
        """Take the step; ``W`` are the weights after it."""
        self.cones.advance(move, step, W.reshape(self.cones.x.shape))


class _Path:
    """Iterates over a fixed working set."""

    def __init__(
        self, D: Products, loss: Loss, targets: Targets, penalty: Penalty, thresholds: FloatArray
    ) -> None:
        self.D, self.loss, self.targets = D, loss, targets
        self.penalty, self.thresholds = penalty, thresholds
        self.W = np.zeros((D.shape[1], targets.n_outputs))
        self.Z = np.zeros_like(targets.values)
        self.fit: _SmoothFit | _HingeFit
        if isinstance(loss, SmoothLoss):
            self.fit = _SmoothFit(loss, targets, self.Z)
            product = loss.value(self.Z, targets) / max(1, self.W.size)
        else:
            self.fit = _HingeFit(targets, self.Z)
            product = self.fit.complementarity() / self.fit.degree
        self.norms = _Norms(penalty.cone, thresholds, self.W, product=max(product, 1e-300))

    def mu(self) -> float:
        """Mean product of all pairs."""
        cones = self.norms.cones
        total = self.fit.complementarity() + cones.complementarity()
        return total / (self.fit.degree + cones.degree)

    def residual(self) -> FloatArray:
        """What stationarity lacks: ``D^T lambda`` less the slopes, (A, C)."""
        return self.D.adjoint(self.fit.dual()) - self.norms.slopes()

    def gap(self) -> tuple[float, FloatArray]:
        """Duality gap over the working set, and the feasible dual point."""
        dual = self.fit.dual()
        ratio = self.penalty.dual_ratio(self.D.adjoint(dual), self.thresholds)
        dual = dual / max(1.0, ratio)
        return self.primal(self.W, self.Z) - self.loss.dual_value(dual, self.targets), dual

    def primal(self, W: FloatArray, Z: FloatArray) -> float:
        """Objective over the working set."""
        return self.loss.value(Z, self.targets) + self.penalty.value(W, self.thresholds)

    def step(self) -> bool:
        """One predictor and corrector; whether it moved."""
        solve = self._factor()
        if solve is None:
            return False
        residual, mu = self.residual(), self.mu()
        predictor = self._direction(solve, residual, 0.0, None)
        ahead = min(1.0, self._longest(predictor))
        excess = min(1.0, self.penalty.dual_ratio(residual, self.thresholds))
        least = max(_STEEPEST, excess) * self.gap()[0] / (self.fit.degree + self.norms.cones.degree)
        corrector = self._direction(solve, residual, max((1.0 - ahead) ** 3 * mu, least), predictor)
        length = min(1.0, _BACK_OFF * self._longest(corrector))
        return length > 1e-10 and self._advance(corrector, length, residual)

    def _factor(self) -> Solve | None:
        operator = self.norms.operator(self.D, self.fit.curvature())
        solve = solver_for(operator, accuracy=_ACCURACY)
        if solve is None:
            more = operator.ridge + _RIDGE * float(operator.diagonal.max())
            solve = solver_for(replace(operator, ridge=more), accuracy=_ACCURACY)
        return solve

    def _direction(
        self,
        solve: Solve,
        residual: FloatArray,
        mu: float,
        after: tuple[FloatArray, FloatArray, Move | None, Move] | None,
    ) -> tuple[FloatArray, FloatArray, Move | None, Move]:
        """Directions of weights, predictions, and the variables of either side."""
        fit, norms = (None, None) if after is None else after[2:]
        rhs = residual + self.D.adjoint(self.fit.pull(mu, fit)) - self.norms.pull(mu, norms)
        dW = solve(rhs)
        dZ = self.D.forward(dW)
        return dW, dZ, self.fit.move(dZ), self.norms.move(dW)

    def _longest(self, direction: tuple[FloatArray, FloatArray, Move | None, Move]) -> float:
        return min(self.fit.longest(direction[2]), self.norms.cones.longest(direction[3]))

    def _advance(
        self,
        direction: tuple[FloatArray, FloatArray, Move | None, Move],
        length: float,
        residual: FloatArray,
    ) -> bool:
        """Take the step; for a loss that bends, only as far as its linear model holds."""
        dW, dZ, fit, norms = direction
        before = self.penalty.dual_ratio(residual, self.thresholds)
        if isinstance(self.loss, SmoothLoss):
            slopes = self.norms.slopes()
            for _ in range(_BACKTRACKS):
                dual = -self.loss.gradient(self.Z + length * dZ, self.targets)
                left = self.D.adjoint(dual) - slopes - length * norms.g.reshape(slopes.shape)
                ratio = self.penalty.dual_ratio(left, self.thresholds)
                if ratio <= max((1.0 - 0.1 * length) * before, _TOLERABLE):
                    break
                length *= 0.5
        self.W = self.W + length * dW
        self.Z = self.D.forward(self.W)
        self.fit.advance(fit, length, self.Z)
        self.norms.advance(norms, length, self.W)
        return True

    def thinned(self, W: FloatArray, dual: FloatArray, allowed: float) -> FloatArray:
        """``W`` without the weights that the dual point leaves slack, if the gap stays ``allowed``.

        On the central path the product of a weight's size and the slack of its constraint is nearly
        constant, so the smaller of the two tells which of them is zero at the solution.
        """
        G = self.D.adjoint(dual) / self.thresholds[:, None]
        if self.penalty.cone is Cone.ENTRIES:
            size, slack = np.abs(W), 1.0 - np.abs(G)
        else:
            size = self.penalty.row_norms(W)[:, None]
            slack = 1.0 - self.penalty.dual_row_norms(G)[:, None]
        relative = size / max(float(size.max(initial=0.0)), 1e-300)
        floor = self.loss.dual_value(dual, self.targets)
        for caution in (1.0, 1e2, 1e4, 1e8):
            thin = np.where(slack > caution * relative, 0.0, W)
            if self.primal(thin, self.D.forward(thin)) - floor <= allowed:
                return thin
        return W


class InteriorPoint:
    """A `Method` for a smooth loss or the hinge; it keeps its dual point between working sets."""

    single: ClassVar[bool] = False
    sizes: ClassVar[Sizes] = Sizes(256)

    def __init__(self, program: ConvexProgram, *, budget: Budget) -> None:
        self._penalty = program.penalty
        self._loss, self._targets = program.loss, program.encoded
        self._budget = budget
        self._dual: FloatArray | None = None
        self._path: _Path | None = None

    @staticmethod
    def lacks(loss: Loss, penalty: Penalty) -> str | None:  # noqa: D102
        if not (loss.hinged or isinstance(loss, SmoothLoss)):
            return "a loss that is smooth or hinged"
        return None if penalty.cone is not None else "a penalty with a cone"

    def dual_point(self, Z: FloatArray) -> FloatArray:
        """The method's own dual point; before its first step, minus a subgradient."""
        if self._dual is None:
            return -self._loss.subgradient(Z, self._targets)
        return self._dual

    def improve(
        self, D: Products, thresholds: FloatArray, W: FloatArray, *, tolerance: float
    ) -> FloatArray:
        """Follow the central path over the columns ``D`` to a gap of at most ``tolerance``."""
        path = self._path
        if path is None or path.D is not D:
            path = _Path(D, self._loss, self._targets, self._penalty, thresholds)
        self._path = path
        best_W, best_primal = W, path.primal(W, D.forward(W))
        best_dual, best_value = path.fit.dual(), -np.inf
        idle = 0  # steps since either bound last moved
        while not self._budget.spent:
            _, dual = path.gap()
            primal, value = path.primal(path.W, path.Z), self._loss.dual_value(dual, self._targets)
            idle += 1
            if primal < best_primal:
                best_W, best_primal, idle = path.W, primal, 0
            if value > best_value:
                best_dual, best_value, idle = dual, value, 0
            if best_primal - best_value <= 0.5 * tolerance:
                break
            self._budget.charge()
            if not path.step() or idle > _PATIENCE:
                self._budget.stalled = True
        self._dual = best_dual
        return path.thinned(best_W, best_dual, tolerance)
