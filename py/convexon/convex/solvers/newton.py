"""Newton systems: the second derivative over a set of weights, and how to solve with it.

The second derivative is ``D^T H D`` plus a term of the penalty, with H block-diagonal over the
rows. Where no term couples the outputs it falls into one system per output; otherwise it is
factored as a whole while that is cheap, and beyond that its products with vectors, which need
nothing but products with D, drive a conjugate gradient method (truncated Newton: Dembo, Eisenstat
and Steihaug, "Inexact Newton methods", 1982), preconditioned by the system without what couples
the outputs through the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from convexon.convex.model.loss import Curvature, FloatArray
from convexon.convex.solvers.products import Products

_ALWAYS_DENSE, _NEVER_DENSE = 600, 6000
"""Weights up to which a coupled system is always factored, and beyond which it never is: 288 MB."""

_TYPICAL_ITERATIONS = 20
"""Conjugate gradient iterations that a factor is weighed against."""

_MOST_ITERATIONS = 400

_THICK = 0.2
"""Time of an operation in a product of two large matrices, over that in one with few columns."""

Solve = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True, eq=False)
class Operator:
    """``D^T H D + diag(ridge)``, less a dent, over the weights of a support."""

    products: Products  # the columns D (n, A)
    curvature: Curvature  # H, row by row
    support: NDArray[np.bool_]  # weights that may move, (A, C); whole rows where there is a `dent`
    ridge: FloatArray  # what is added to the diagonal, (A, C)
    # Vectors v (A, C): the block of each row of weights is less `v v^T`; or None.
    dent: FloatArray | None = None
    # Second moments (A, A) of all columns under about the mean output's curvature, if at hand.
    moments: FloatArray | None = None

    @property
    def decoupled(self) -> bool:
        """Whether each output has a system of its own."""
        if self.dent is not None:
            return False
        return self.support.shape[1] == 1 or self.curvature.rank_one is None

    @cached_property
    def rows(self) -> list[NDArray[np.intp]]:
        """Rows of the support, for each output."""
        return [np.flatnonzero(self.support[:, c]) for c in range(self.support.shape[1])]

    @cached_property
    def diagonal(self) -> FloatArray:
        """The diagonal, (A, C), off the support too."""
        weights = self.curvature.diagonal
        if self.curvature.rank_one is not None:
            weights = weights - np.square(self.curvature.rank_one)
        total = self.products.adjoint_squares(weights) + self.ridge
        if self.dent is not None:
            total -= np.square(self.dent)
        return total

    def apply(self, V: FloatArray) -> FloatArray:
        """The product with ``V`` (A, C), which is zero off the support."""
        Z = self.products.forward(V)
        bent = self.curvature.diagonal * Z
        if (r := self.curvature.rank_one) is not None:
            bent -= r * (r * Z).sum(axis=1, keepdims=True)
        result = self.products.adjoint(bent) + self.ridge * V
        if self.dent is not None:
            result -= self.dent * (self.dent * V).sum(axis=1, keepdims=True)
        return np.where(self.support, result, 0.0)

    def uncoupled(self) -> Operator:
        """The part that couples no outputs, all but the dents."""
        weights = self.curvature.diagonal
        if self.curvature.rank_one is not None:
            weights = weights - np.square(self.curvature.rank_one)
        return replace(self, curvature=Curvature(weights), dent=None, moments=None)

    def dense(self) -> FloatArray:
        """The matrix over the support, outputs one after the other."""
        diagonal, rank_one = self.curvature
        rows = self.rows
        ends = np.cumsum([len(r) for r in rows])
        parts = [slice(end - len(r), end) for end, r in zip(ends, rows, strict=True)]
        if rank_one is None:
            H = np.zeros((ends[-1], ends[-1]))
        else:
            # One large product is far cheaper than one small product per pair of outputs.
            H = self.products.gram([(rank_one[:, c], r) for c, r in enumerate(rows)])
            np.negative(H, out=H)
        for c, r in enumerate(rows):
            H[parts[c], parts[c]] += self.products.gram([(np.sqrt(diagonal[:, c]), r)])
            across = np.arange(len(r))
            H[parts[c], parts[c]][across, across] += self.ridge[r, c]
        if self.dent is not None:
            some, across = rows[0], np.arange(len(rows[0]))  # whole rows, the same for every output
            for a, b in np.ndindex(len(rows), len(rows)):
                H[parts[a], parts[b]][across, across] -= self.dent[some, a] * self.dent[some, b]
        return H


def solver_for(operator: Operator, *, accuracy: float) -> Solve | None:
    """Solve with the operator, for right-hand sides (A, C); None where it is not definite.

    Where conjugate gradients are what pays, they end at a relative residual of ``accuracy``.
    """
    try:
        if operator.decoupled:
            return _per_output(operator)
        if operator.dent is not None and operator.curvature.rank_one is None:
            return _dented(replace(operator, moments=None), operator.dent)
        if _dense_pays(operator):
            return _as_a_whole(operator)
    except LinAlgError:
        return None
    return _iterative(operator, _nearby(operator), accuracy)


def newton_cost(products: Products, support: NDArray[np.bool_]) -> float:
    """Cost of solving one system with outputs coupled, in the cheaper way.

    In floating-point operations of products with D.
    """
    size = int(support.sum())
    n, n_columns = products.shape
    factor = _factor_cost(n, size)
    iterate = _TYPICAL_ITERATIONS * 4.0 * n * n_columns * support.shape[1]
    return factor if size <= _ALWAYS_DENSE else min(factor, iterate)


def _factor_cost(n: int, size: int) -> float:
    return _THICK * (float(n) * size**2 + size**3 / 3.0)


def _dense_pays(operator: Operator) -> bool:
    size = int(operator.support.sum())
    factor = _factor_cost(operator.products.shape[0], size)
    return size <= _NEVER_DENSE and factor <= newton_cost(operator.products, operator.support)


def _nearby(operator: Operator) -> Solve:
    """Solve a system near the operator's, to precondition it; by its diagonal if rounding forbids.

    What couples the outputs through the rows is left out, and the dents are kept: along them a row
    of small weights is all that is soft. With dents the curvature is that of the mean output, as
    one factor then serves all outputs.
    """
    near = operator.uncoupled()
    try:
        if operator.dent is None:
            return _per_output(near)
        mean = near.curvature.diagonal.mean(axis=1, keepdims=True)
        alike = Curvature(np.broadcast_to(mean, near.curvature.diagonal.shape))
        near = replace(near, curvature=alike, moments=operator.moments)
        return _dented(near, operator.dent)
    except LinAlgError:
        inverse = 1.0 / np.where(operator.diagonal > 0.0, operator.diagonal, 1.0)
        return lambda R: R * inverse


@dataclass(frozen=True, eq=False)
class _Factor:
    """A Cholesky factor (lower) of the system that some neighbouring outputs have in common."""

    lower: FloatArray
    outputs: slice

    def solve(self, R: FloatArray) -> FloatArray:
        return np.asarray(cho_solve((self.lower, True), R, check_finite=False))


def _factors(operator: Operator) -> list[_Factor]:
    """Factors of the systems of the outputs, whatever couples them left out."""
    operator = replace(operator.uncoupled(), moments=operator.moments)
    rows, weights = operator.rows, operator.curvature.diagonal
    factors: list[_Factor] = []
    gram = np.zeros((0, 0))
    for c, some in enumerate(rows):
        alike = c > 0 and np.array_equal(some, rows[c - 1])
        alike = alike and np.array_equal(weights[:, c], weights[:, c - 1])
        ridge = operator.ridge[some]
        if alike and np.array_equal(ridge[:, c], ridge[:, c - 1]):
            shared = factors.pop()
            factors.append(replace(shared, outputs=slice(shared.outputs.start, c + 1)))
            continue
        if operator.moments is not None:
            gram = operator.moments[np.ix_(some, some)]
        elif not alike:
            gram = operator.products.gram([(np.sqrt(np.maximum(weights[:, c], 0.0)), some)])
        H = gram.copy()
        H.flat[:: len(some) + 1] += ridge[:, c]
        lower, _ = cho_factor(H, lower=True, overwrite_a=True, check_finite=False)
        factors.append(_Factor(lower, slice(c, c + 1)))
    return factors


def _per_output(operator: Operator) -> Solve:
    factors = _factors(operator)

    def solve(R: FloatArray) -> FloatArray:
        X = np.zeros_like(R)
        for factor in factors:
            rows = operator.rows[factor.outputs.start]
            X[rows, factor.outputs] = factor.solve(R[rows, factor.outputs])
        return X

    return solve


def _dented(operator: Operator, dent: FloatArray) -> Solve:
    """Systems of the outputs that are coupled by dents alone.

    With ``E = [diag(v_1) diag(v_2) ...]`` (A, A C) the inverse of ``B - E^T E`` is ``B^-1 + B^-1
    E^T (I - E B^-1 E^T)^-1 E B^-1`` (Sherman, Morrison and Woodbury): systems as large as the
    columns, never as the weights.
    """
    factors, rows = _factors(operator), operator.rows[0]
    v = dent[rows]
    S = np.eye(len(rows))
    for factor in factors:
        some = v[:, factor.outputs]
        S -= factor.solve(np.eye(len(rows))) * (some @ some.T)
    schur = _Factor(cho_factor(0.5 * (S + S.T), lower=True, check_finite=False)[0], slice(None))

    def plain(R: FloatArray) -> FloatArray:
        return np.hstack([factor.solve(R[:, factor.outputs]) for factor in factors])

    def solve(R: FloatArray) -> FloatArray:
        X = plain(R[rows])
        solution = np.zeros_like(R)
        solution[rows] = X + plain(v * schur.solve((v * X).sum(axis=1))[:, None])
        return solution

    return solve


def _as_a_whole(operator: Operator) -> Solve:
    factor = cho_factor(operator.dense(), lower=True, overwrite_a=True, check_finite=False)
    order = operator.support.T  # outputs one after the other

    def solve(R: FloatArray) -> FloatArray:
        X = np.zeros(R.T.shape)
        X[order] = cho_solve(factor, R.T[order], check_finite=False)
        return X.T

    return solve


def _iterative(operator: Operator, precondition: Solve, accuracy: float) -> Solve:
    """Preconditioned conjugate gradients from zero; any iterate is a direction of descent."""

    def solve(R: FloatArray) -> FloatArray:
        X = np.zeros_like(R)
        residual = np.where(operator.support, R, 0.0)
        goal = accuracy * float(np.linalg.norm(residual))
        V = precondition(residual)
        V = np.where(operator.support, V, 0.0)
        energy = float((residual * V).sum())
        for _ in range(_MOST_ITERATIONS):
            if energy <= 0.0 or float(np.linalg.norm(residual)) <= goal:
                break
            HV = operator.apply(V)
            bend = float((V * HV).sum())
            if bend <= 0.0:
                break
            X = X + (energy / bend) * V
            residual = residual - (energy / bend) * HV
            Y = np.where(operator.support, precondition(residual), 0.0)
            before, energy = energy, float((residual * Y).sum())
            V = Y + (energy / before) * V
        return X

    return solve
