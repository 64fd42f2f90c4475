"""The method for smooth losses: a smooth term plus a weighted penalty, over a working set.

Accelerated proximal gradient steps (with backtracking and adaptive restart) find the support;
Newton steps on the support then converge in a few iterations where first-order steps would need
thousands, because the gradients of well-classified rows vanish and leave the problem badly
conditioned. Where loss and penalty both couple the outputs, proximal steps in the metric of the
columns' second moments find the support instead, one before each Newton step. All only ever lower
the objective, so any may take over from another at any time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, cast

import numpy as np

from convexon.convex.model.loss import FloatArray, Loss, SmoothLoss, Targets
from convexon.convex.model.penalty import Penalty
from convexon.convex.model.program import ConvexProgram
from convexon.convex.solvers.metric import Model, covering, ridged
from convexon.convex.solvers.newton import Operator, newton_cost, solver_for
from convexon.convex.solvers.products import Products
from convexon.convex.solvers.record import Budget
from convexon.convex.solvers.working_set import Sizes

_SHORTEST_BURST, _LONGEST_BURST = 20, 320
"""First-order steps between two attempts at Newton steps: more while those fail."""

_SETTLED = 0.05
"""Share of the support that may change over half a burst if Newton steps are to pay."""

_WHOLE_STEP = 0.2
"""Fraction of a Newton step below which the support was not yet right."""

_LEAST_DAMPING, _MOST_DAMPING = 1e-9, 1.0
"""Multiples of the mean diagonal that may be added to it: dependent columns would leave it
singular, and far from the solution it says too little.
"""

_DAMPING_FACTOR = 10.0
"""On the damping of a Newton step after a step shorter than that; its inverse after another."""

_FAR = 0.05
"""Share of the objective that a step in the metric takes off while Newton steps would not pay."""

_LESS = 0.7
"""On the scale of the metric before each step in it."""

_CG_ACCURACY = 0.1
"""Relative residual of a Newton system that is solved by iteration.

The support is not final while the objective still falls much, and more accuracy would be wasted.
"""

_PATIENCE = 64
"""Steps shorter than that in a row of Newton steps, before first-order steps are the better buy."""


class Descent:
    """A `Method` for a `SmoothLoss` and a penalty that is smooth on a support."""

    single: ClassVar[bool] = True
    sizes: ClassVar[Sizes] = Sizes(256)

    def __init__(self, program: ConvexProgram, *, budget: Budget) -> None:
        self._loss, self._targets = cast(SmoothLoss, program.loss), program.encoded
        self._penalty, self._budget = program.penalty, budget

    @staticmethod
    def lacks(loss: Loss, penalty: Penalty) -> str | None:  # noqa: D102
        if not isinstance(loss, SmoothLoss):
            return "a smooth loss"
        return None if penalty.smooth_on_support else "a penalty that is smooth on a support"

    def dual_point(self, Z: FloatArray) -> FloatArray:
        """Minus the gradient."""
        return -self._loss.gradient(Z, self._targets)

    def improve(
        self, D: Products, thresholds: FloatArray, W: FloatArray, *, tolerance: float
    ) -> FloatArray:
        """Minimize over the columns ``D``."""
        problem = Composite(D, self._loss, self._targets, self._penalty, thresholds)
        return minimize(problem, W, tolerance=tolerance, budget=self._budget)


@dataclass(frozen=True, eq=False)
class Composite:
    """``loss(D W) + sum_j thresholds_j ||W_j||`` over the columns ``D`` (n, A) of a working set.

    ``thresholds`` are ``rho * w_j``, shape (A,).
    """

    D: Products
    loss: SmoothLoss
    targets: Targets
    penalty: Penalty
    thresholds: FloatArray

    def value(self, W: FloatArray, Z: FloatArray) -> float:
        """Objective at W, with ``Z = D W`` at hand."""
        return self.loss.value(Z, self.targets) + self.penalty.value(W, self.thresholds)

    def coupled(self, W: FloatArray, Z: FloatArray) -> bool:
        """Whether the second derivatives of both terms couple the outputs."""
        bent = self.penalty.curvature(W, self.thresholds) is not None
        return bent and self.loss.curvature(Z, self.targets).rank_one is not None

    def slack(self, value: float) -> float:
        """What rounding can do to the difference of two values of this size."""
        return 9.0 * self.D.unit * (1.0 + abs(value))

    def gap(self, W: FloatArray, Z: FloatArray) -> float:
        """Duality gap over the working set, at the scaled negative gradient."""
        dual = -self.loss.gradient(Z, self.targets)
        ratio = self.penalty.dual_ratio(self.D.adjoint(dual), self.thresholds)
        return self.value(W, Z) - self.loss.dual_value(dual / max(1.0, ratio), self.targets)


@dataclass(eq=False)
class _Iterate:
    """Weights with their predictions and objective, and the step constant that worked last."""

    W: FloatArray
    Z: FloatArray
    value: float
    lipschitz: float
    scale: float = 1.0  # the same of steps in the metric of second moments


def minimize(problem: Composite, W: FloatArray, *, tolerance: float, budget: Budget) -> FloatArray:
    """Minimize ``problem`` from ``W`` to a gap of ``tolerance``, or until the budget is spent."""
    Z = problem.D.forward(W)
    if problem.gap(W, Z) <= tolerance:
        return W
    # One sample's constant times the largest share of a row.
    start = problem.loss.smoothness * float(problem.targets.shares.max())
    start *= max(problem.D.largest_row(), 1e-300)
    at = _Iterate(W, Z, problem.value(W, Z), start)
    burst = _SHORTEST_BURST
    # Floating-point operations of a first-order step: two products with the working set.
    step_cost = 4.0 * float(np.prod(problem.D.shape)) * float(W.shape[1])
    # Cost of first-order steps since the last Newton step; from a warm start, one is due.
    worth = np.inf if W.any() else 0.0
    if problem.coupled(W, Z):
        _newton_phase(problem, at, tolerance=tolerance, budget=budget)
    while problem.gap(at.W, at.Z) > tolerance and not budget.spent:
        settled = _accelerate(problem, at, steps=burst, budget=budget)
        worth += burst * step_cost
        if worth < newton_cost(problem.D, problem.penalty.support(at.W)) and burst < _LONGEST_BURST:
            burst = min(2 * burst, _LONGEST_BURST)  # cheap steps first: they thin the support
            continue
        worth = 0.0
        if settled and _newton_phase(problem, at, tolerance=tolerance, budget=budget):
            burst = _SHORTEST_BURST
        else:
            burst = min(2 * burst, _LONGEST_BURST)
    return at.W


def _accelerate(problem: Composite, at: _Iterate, *, steps: int, budget: Budget) -> bool:
    """Accelerated proximal gradient, restarted whenever momentum points uphill; never ends higher.

    Returns whether the support hardly changed over the second half of the steps.
    """
    W, Z = at.W, at.Z
    previous_W, previous_Z, momentum = W, Z, 1.0
    value = at.value
    halfway = problem.penalty.support(W)
    for step in range(steps):
        if step == steps // 2:
            halfway = problem.penalty.support(W)
        if budget.spent:
            break
        budget.charge()
        following = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * momentum**2))
        weight = (momentum - 1.0) / following
        V, ZV = W + weight * (W - previous_W), Z + weight * (Z - previous_Z)
        next_W, next_Z, next_value = _proximal_step(problem, at, V, ZV)
        if next_value > value and momentum > 1.0:
            previous_W, previous_Z, momentum = W, Z, 1.0
            continue
        previous_W, previous_Z = W, Z
        W, Z, value, momentum = next_W, next_Z, next_value, following
        at.lipschitz *= 0.9
    if value <= at.value:
        at.W, at.Z, at.value = W, Z, value
    support = problem.penalty.support(at.W)
    return int((support != halfway).sum()) <= _SETTLED * int(support.sum())


def _proximal_step(
    problem: Composite, at: _Iterate, V: FloatArray, ZV: FloatArray
) -> tuple[FloatArray, FloatArray, float]:
    """One proximal gradient step from ``V``, with ``at.lipschitz`` raised until it majorizes.

    Returns the weights, their predictions and their objective.
    """
    G = problem.D.adjoint(problem.loss.gradient(ZV, problem.targets))
    base = problem.loss.value(ZV, problem.targets)
    slack = problem.slack(base)
    while True:
        W = problem.penalty.prox(V - G / at.lipschitz, problem.thresholds / at.lipschitz)
        Z = problem.D.forward(W)
        value = problem.loss.value(Z, problem.targets)
        step = W - V
        model = float((G * step).sum()) + 0.5 * at.lipschitz * float(np.square(step).sum())
        if value - base <= model + slack:
            return W, Z, value + problem.penalty.value(W, problem.thresholds)
        at.lipschitz *= 2.0


def _newton_phase(problem: Composite, at: _Iterate, *, tolerance: float, budget: Budget) -> bool:
    """Newton steps on the support, each with a proximal step that corrects the support.

    Returns whether they went well: whether each nearly whole step lowered the objective.
    """
    patience, damping = _PATIENCE, _LEAST_DAMPING
    coupled, moments = problem.coupled(at.W, at.Z), None
    while not budget.spent:
        budget.charge()
        if coupled:
            before, moments = at.value, _moments(problem, at)
            _metric_step(problem, at, moments)
            if at.value < (1.0 - _FAR) * before:
                continue
        direction = _newton_direction(problem, at, damping=damping, moments=moments)
        if direction is None:
            return False
        fraction = _line_search(problem, at, direction)
        if not coupled:
            W, Z, value = _proximal_step(problem, at, at.W, at.Z)
            if _improves(problem, at, W, Z, value):
                at.W, at.Z, at.value = W, Z, value
        if problem.gap(at.W, at.Z) <= tolerance:
            return True
        if fraction >= _WHOLE_STEP:
            damping = max(damping / _DAMPING_FACTOR, _LEAST_DAMPING)
            continue
        patience -= 1
        damping *= _DAMPING_FACTOR
        if damping > _MOST_DAMPING or patience < 0:
            return False
    return False


def _moments(problem: Composite, at: _Iterate) -> FloatArray:
    """Second moments of the columns under the mean output's curvature, about (A, A)."""
    diagonal, rank_one = problem.loss.curvature(at.Z, problem.targets)
    if rank_one is not None:
        diagonal = diagonal - np.square(rank_one)
    return ridged(problem.D.moments(covering(diagonal.mean(axis=1))))


def _metric_step(problem: Composite, at: _Iterate, moments: FloatArray) -> None:
    """A proximal step in the metric, ``at.scale`` raised until its model majorizes."""
    model = Model(moments, problem.penalty, problem.thresholds)
    G = problem.D.adjoint(problem.loss.gradient(at.Z, problem.targets))
    base = problem.loss.value(at.Z, problem.targets)
    at.scale *= _LESS
    while True:
        W = model.minimum(at.W, G, scale=at.scale)
        Z = problem.D.forward(W)
        value = problem.loss.value(Z, problem.targets)
        if value - base <= model.rise(W - at.W, G, scale=at.scale) + problem.slack(base):
            break
        at.scale *= 2.0
    value += problem.penalty.value(W, problem.thresholds)
    if _improves(problem, at, W, Z, value):
        at.W, at.Z, at.value = W, Z, value


def _newton_direction(
    problem: Composite, at: _Iterate, *, damping: float, moments: FloatArray | None
) -> FloatArray | None:
    """Damped Newton direction (A, C), zero off the support; None where there is none."""
    support = problem.penalty.support(at.W)
    if not support.any():
        return None
    gradient = problem.D.adjoint(problem.loss.gradient(at.Z, problem.targets))
    gradient += problem.penalty.gradient(at.W, problem.thresholds)
    gradient = np.where(support, gradient, 0.0)
    ridge, dent = np.zeros_like(at.W), None
    if (curved := problem.penalty.curvature(at.W, problem.thresholds)) is not None:
        ridge, dent = ridge + curved[0][:, None], curved[1]
    curvature = problem.loss.curvature(at.Z, problem.targets)
    plain = Operator(problem.D, curvature, support, ridge, dent, moments)
    mean = max(float(plain.diagonal[support].mean()), 1e-300)
    solve = solver_for(replace(plain, ridge=ridge + damping * mean), accuracy=_CG_ACCURACY)
    return None if solve is None else -solve(gradient)


def _improves(problem: Composite, at: _Iterate, W: FloatArray, Z: FloatArray, value: float) -> bool:
    """Whether the objective falls, or where rounding hides that, whether the gap does.

    The gap is of first order in the distance to the optimum and the objective of second, so close
    to the optimum only the gap still tells points apart.
    """
    slack = 0.4 * problem.slack(at.value)
    if abs(value - at.value) > slack:
        return value < at.value
    return problem.gap(W, Z) < problem.gap(at.W, at.Z)


def _line_search(problem: Composite, at: _Iterate, direction: FloatArray) -> float:
    """Halve the step until the objective falls; entries that leave their piece stop at zero.

    Where dependent columns make the objective linear along the direction, the step is long and most
    entries would stop; then the step to the first of them is a descent, and thins the support by
    one.

    Returns the fraction that was taken, zero where none lowered the objective.
    """
    leaving = at.W * direction < 0.0
    first = float((-at.W[leaving] / direction[leaving]).min(initial=np.inf)) * (1.0 + 1e-12)
    fractions = [f for f in 0.5 ** np.arange(11.0) if f > first]
    fractions.append(min(1.0, first))
    for fraction in fractions:
        W = problem.penalty.retract(at.W + fraction * direction, at.W)
        Z = problem.D.forward(W)
        value = problem.value(W, Z)
        if _improves(problem, at, W, Z, value):
            at.W, at.Z, at.value = W, Z, value
            return float(fraction)
    return 0.0
