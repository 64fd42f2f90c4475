"""Predictions that are as free as distinct inputs leave them: the program behind universal bounds.

Over all predictions Z that give rows of the same input the same scores,

    min_Z  sum_i (c_i / N) loss(Z_i, y_i) + sum_c r_c (max_i (Z_ic)_+ + max_i (-Z_ic)_+)

with a radius r_c for each output. The optimal Z is the free optimum clipped to an interval [-b_c,
a_c], and ``a_c + b_c`` is the span of output c. For squared, logistic and hinge loss outputs
separate and the levels have closed forms; softmax couples the outputs, which leaves a smooth convex
program of 2 C levels, with the scores of every distinct mix of labels inside it.

What is returned is a dual point: minus the gradient of the loss at the optimum, row by row. Its
value is the optimum where it is exact, and a lower bound where it is feasible.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logit

from convexon.convex.model.penalty import Cone, FloatArray, Penalty
from convexon.convex.model.target import Targets

IntArray = NDArray[np.int64]
DualValue = Callable[[FloatArray, Targets], float]
"""Objective of the dual program at a point (n, C): `convexon.convex.model.loss.Loss.dual_value`."""

_LEAST = 1e-6
"""Smallest share of an even radius that is tried for an output."""

_HIGHEST = 100.0
"""Highest level that is tried where there is no closed form: for softmax, a radius that pays for
more is below exp(-100)."""

_HALVINGS = 60
"""Bisections of an interval: what is left of it is rounding."""


def dual_norm(penalty: Penalty, values: FloatArray) -> float:
    """Dual norm of one row of the penalty, shape (C,)."""
    return float(penalty.dual_row_norms(values[None])[0])


class Basin:
    """Columns of given heights and areas, cut at the level above which they hold a given volume.

    Column g is ``heights[g]`` high (what is negative holds nothing) and ``areas[g]`` wide; what it
    holds above u is ``areas[g] * (heights[g] - u)_+``. O(n log n) once, O(log n) a level.
    """

    def __init__(self, heights: FloatArray, areas: FloatArray) -> None:
        """Sort the columns, of positive areas."""
        order = np.argsort(-heights, kind="stable")
        ordered, area = heights[order], areas[order]
        self._width = np.cumsum(area)
        self._held = np.cumsum(area * ordered)
        self._above = np.maximum.accumulate(self._held - ordered * self._width)

    def level(self, volume: float) -> float:
        """Smallest level u >= 0 above which the columns hold at most ``volume``, positive."""
        # With the k highest columns cut, the level is (held_k - volume) / width_k; that holds for
        # the largest k above whose lowest column there is less than the volume.
        k = int(np.searchsorted(self._above, volume)) - 1
        return max(0.0, float((self._held[k] - volume) / self._width[k]))


class Arrangement(ABC):
    """The program above for one loss and one set of rows."""

    def __init__(self, dual_value: DualValue, Y: Targets, inputs: IntArray) -> None:
        """Take the encoded targets (n, C) and the number of each row's input, 0 to G - 1, (n,)."""
        self._dual_value = dual_value
        self._Y = Y
        self._inputs = inputs

    def allotted(self, penalty: Penalty, radius: float) -> FloatArray:
        """Radius of each output, (C,), of which the penalty's dual norm is ``radius`` or about it.

        The l1 norm gives each output the whole radius. A group norm leaves a choice, and the bound
        is concave in it, its slope in each radius being that output's span.
        """
        n_outputs = self._Y.n_outputs
        even = np.full(n_outputs, radius / dual_norm(penalty, np.ones(n_outputs)))
        if even[0] == radius:
            return even
        best = self._best_radii(penalty, even)
        best = best * (radius / dual_norm(penalty, best)) if best.any() else even
        return best if self._value(best) > self._value(even) else even

    def _value(self, radii: FloatArray) -> float:
        """The bound for these radii, up to rounding."""
        return self._dual_value(self.dual(radii), self._Y)

    def _best_radii(self, penalty: Penalty, even: FloatArray) -> FloatArray:
        """Radii for which the bound is largest, or about so; ``even`` ones are where to begin."""
        radius = dual_norm(penalty, even)

        def negative(scaled: FloatArray) -> tuple[float, FloatArray]:
            radii = np.maximum(scaled, _LEAST) * even
            return -self._value(radii), -self.spans(radii) * even

        found = minimize(
            negative,
            np.ones(len(even)),
            jac=True,
            method="SLSQP",
            bounds=[(_LEAST, None)] * len(even),
            constraints={
                "type": "ineq",
                "fun": lambda scaled: 1.0 - dual_norm(penalty, scaled * even) / radius,
            },
            options={"maxiter": 100, "ftol": 1e-13},
        )
        return np.asarray(np.maximum(found.x, _LEAST) * even)

    @abstractmethod
    def dual(self, radii: FloatArray) -> FloatArray:
        """Dual point (n, C) for radii r_c > 0, shape (C,); feasible but for rounding."""

    @abstractmethod
    def spans(self, radii: FloatArray) -> FloatArray:
        """Spans ``a_c + b_c`` of the optimum, (C,): how the optimum grows with each radius."""

    def _by_input(self, values: FloatArray) -> FloatArray:
        """Sums of ``values`` (n, C) over the rows of each input, (G, C)."""
        sums = [np.bincount(self._inputs, weights=column) for column in values.T]
        return np.stack(sums, axis=1)


class Levelled(Arrangement):
    """Any loss whose outputs do not interact: levels and scores by bisection on its slopes.

    The slope of an input's loss never falls as its score grows. An input scores where its slope is
    zero, clipped to the levels; at a level that binds, the slopes of the inputs that it clips add
    up to the radius. Where outputs do interact, the dual point is feasible all the same, and the
    bound valid though weaker than it could be.
    """

    def __init__(
        self,
        dual_value: DualValue,
        Y: Targets,
        inputs: IntArray,
        *,
        subgradient: Callable[[FloatArray, Targets], FloatArray],
    ) -> None:
        super().__init__(dual_value, Y, inputs)
        self._subgradient = subgradient
        self._last: tuple[bytes, FloatArray] | None = None

    def _pull(self, scores: FloatArray) -> FloatArray:
        """Minus the slope of each input's loss at its scores, both (G, C)."""
        return self._by_input(-self._subgradient(scores[self._inputs], self._Y))

    def _levels(self, radii: FloatArray) -> FloatArray:
        """Levels above and below zero, (2, C): the least that the inputs' pull leaves in place."""
        key = radii.tobytes()
        if self._last is None or self._last[0] != key:
            n_inputs = int(self._inputs.max()) + 1

            def beyond(levels: FloatArray, *, side: float) -> NDArray[np.bool_]:
                pull = side * self._pull(np.broadcast_to(side * levels, (n_inputs, len(radii))))
                return np.asarray(np.maximum(pull, 0.0).sum(axis=0) > radii)

            zero, top = np.zeros(len(radii)), np.full(len(radii), _HIGHEST)
            levels = [_bisected(zero, top, partial(beyond, side=side)) for side in (1.0, -1.0)]
            self._last = (key, np.stack(levels))
        return self._last[1]

    def dual(self, radii: FloatArray) -> FloatArray:  # noqa: D102
        above, below = self._levels(radii)
        shape = (int(self._inputs.max()) + 1, len(radii))
        low, high = np.broadcast_to(-below, shape), np.broadcast_to(above, shape)
        scores = _bisected(low, high, lambda middle: self._pull(middle) > 0.0)
        return -self._subgradient(scores[self._inputs], self._Y)

    def spans(self, radii: FloatArray) -> FloatArray:  # noqa: D102
        return np.asarray(self._levels(radii).sum(axis=0))


def _bisected(
    low: FloatArray, high: FloatArray, rising: Callable[[FloatArray], NDArray[np.bool_]]
) -> FloatArray:
    """Where ``rising`` turns from true to false, entry by entry, between ``low`` and ``high``."""
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        up = rising(middle)
        low, high = np.where(up, middle, low), np.where(up, high, middle)
    return 0.5 * (low + high)


class Averaged(Arrangement):
    """Squared and logistic loss: an input's free optimum is the mean of its targets.

    For logistic the mean is a probability, and levels are measured from 1/2: the radius caps
    ``sum_g s_g (mean_g - u)_+`` for squared and logistic alike, s_g being the share of the rows.
    """

    def __init__(
        self, dual_value: DualValue, Y: Targets, inputs: IntArray, *, probabilities: bool
    ) -> None:
        super().__init__(dual_value, Y, inputs)
        self._probabilities = probabilities
        self._centre = 0.5 if probabilities else 0.0
        self._targets = (Y.values + 1.0) / 2.0 if probabilities else Y.values
        self._shares = self._by_input(Y.shares)
        self._means = self._by_input(Y.shares * self._targets) / self._shares

    @cached_property
    def _basins(self) -> tuple[list[Basin], list[Basin]]:
        """Means above and below the centre, a basin an output."""
        heights, areas = (self._means - self._centre).T, self._shares[:, 0]
        return [Basin(h, areas) for h in heights], [Basin(-h, areas) for h in heights]

    def _levels(self, radii: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Levels of the means above and below the centre, each (C,)."""
        above, below = (
            np.array([b.level(float(r)) for b, r in zip(basins, radii, strict=True)])
            for basins in self._basins
        )
        return above, below

    def dual(self, radii: FloatArray) -> FloatArray:  # noqa: D102
        above, below = self._levels(radii)
        means = np.clip(self._means, self._centre - below, self._centre + above)
        return self._Y.shares * (self._targets - means[self._inputs])

    def spans(self, radii: FloatArray) -> FloatArray:  # noqa: D102
        above, below = self._levels(radii)
        if self._probabilities:
            return np.asarray(logit(0.5 + above) + logit(0.5 + below))
        return above + below


class Majority(Arrangement):
    """Hinge loss: an input takes the side of its majority, as far as the radius makes it pay.

    Both labels of an input with as many rows of each pay 1 at any score in between. What the
    majority has more, summed over the inputs of one side, is paid by the loss up to the radius.
    """

    def __init__(self, dual_value: DualValue, Y: Targets, inputs: IntArray) -> None:
        super().__init__(dual_value, Y, inputs)
        self._net = self._by_input(Y.shares * Y.values)

    def _sides(self) -> tuple[FloatArray, FloatArray]:
        """What the inputs with a majority of +1, and of -1, have more, each (C,)."""
        return np.maximum(self._net, 0.0).sum(axis=0), np.maximum(-self._net, 0.0).sum(axis=0)

    def dual(self, radii: FloatArray) -> FloatArray:  # noqa: D102
        shares, labels = self._Y.shares, self._Y.values
        parts = [np.minimum(1.0, radii / np.where(s > 0.0, s, np.inf)) for s in self._sides()]
        kept = np.where(self._net > 0.0, parts[0], parts[1])
        own = self._by_input(shares * (labels * np.sign(self._net)[self._inputs] > 0.0))
        # The majority's own slopes are lowered until the part that is kept remains of the excess.
        lowered = 1.0 - (1.0 - kept) * np.abs(self._net) / np.where(own > 0.0, own, 1.0)
        majority = labels * self._net[self._inputs] > 0.0
        return shares * labels * np.where(majority, lowered[self._inputs], 1.0)

    def spans(self, radii: FloatArray) -> FloatArray:  # noqa: D102
        above, below = self._sides()
        return (above > radii).astype(np.float64) + (below > radii)


class Coupled(Arrangement):
    """Softmax: inputs with the same mix of labels have the same scores.

    At levels a, b an input with label probabilities pi scores ``clip(log pi + nu, -b, a)``, where
    nu is the log-sum of those very scores. Where pi is one-hot they are a on the label and -b
    elsewhere.
    """

    def __init__(self, dual_value: DualValue, Y: Targets, inputs: IntArray) -> None:
        super().__init__(dual_value, Y, inputs)
        samples = self._by_input(Y.counts[:, None] * Y.values).astype(np.int64)
        mixes = samples // np.gcd.reduce(samples, axis=1)[:, None]
        kinds, kind_of_input = np.unique(mixes, axis=0, return_inverse=True)
        kind_of_input = kind_of_input.reshape(-1)
        self._kind = kind_of_input[inputs]
        self._weights = np.bincount(kind_of_input, weights=samples.sum(axis=1)) / Y.total
        self._mix = kinds / kinds.sum(axis=1, keepdims=True)
        self._one_hot = bool((self._mix.max(axis=1) == 1.0).all())
        self._last: tuple[bytes, FloatArray] | None = None

    def _scores(self, levels: FloatArray) -> FloatArray:
        """Optimal scores of each mix of labels at ``levels``, a and then b: (mixes, C)."""
        a, b = levels[: self._mix.shape[1]], levels[self._mix.shape[1] :]
        if self._one_hot:
            return np.where(self._mix > 0.0, a, -b)
        # In t = exp(nu) the equation is piecewise linear, sum_c clip(pi_c t, exp(-b), exp(a)) = t,
        # and the excess of its left side never grows: the root follows the last corner above it.
        low, high = np.exp(-b), np.exp(a)
        with np.errstate(divide="ignore"):
            corners = np.concatenate([low / self._mix, high / self._mix], axis=1)
        corners = np.sort(np.where(np.isfinite(corners), corners, 0.0), axis=1)
        scaled = self._mix[:, None, :] * corners[:, :, None]
        excess = np.clip(scaled, low, high).sum(axis=2) - corners
        last = np.maximum((excess > 0.0).cumsum(axis=1).argmax(axis=1), 0)[:, None]
        following = np.minimum(last + 1, corners.shape[1] - 1)
        at = np.take_along_axis(corners, last, axis=1)
        beyond = np.take_along_axis(corners, following, axis=1)
        over = np.maximum(np.take_along_axis(excess, last, axis=1), 0.0)
        inside = ((self._mix * at >= low) & (self._mix * at < high)) * self._mix
        slope = np.maximum(1.0 - inside.sum(axis=1, keepdims=True), 1e-300)
        t = at + over / slope
        t = np.where(beyond > at, np.minimum(t, beyond), t)
        return np.asarray(np.log(np.clip(self._mix * t, low, high)))

    def _fit(self, levels: FloatArray) -> tuple[float, FloatArray]:
        """Mean loss at ``levels``, and minus its slopes: what each level takes of the radii."""
        scores = self._scores(levels)
        sums = _log_sums(scores)
        fit = self._weights @ (sums[:, 0] - (self._mix * scores).sum(axis=1))
        pull = self._weights[:, None] * (self._mix - np.exp(scores - sums))
        return float(fit), np.concatenate([np.maximum(p, 0.0).sum(axis=0) for p in (pull, -pull)])

    def _optimum(self, radii: FloatArray) -> FloatArray:
        """Optimal levels, a and then b, (2 C,)."""
        key = radii.tobytes()
        if self._last is not None and self._last[0] == key:
            return self._last[1]
        prices, unit = np.concatenate([radii, radii]), 1.0 / radii.max()

        def objective(levels: FloatArray) -> tuple[float, FloatArray]:
            fit, taken = self._fit(levels)
            return unit * (fit + float(prices @ levels)), unit * (prices - taken)

        start = np.full(len(prices), 0.1) if self._last is None else self._last[1]
        found = minimize(
            objective,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=[(0.0, _HIGHEST)] * len(prices),
            options={"maxiter": 2000, "ftol": 0.0, "gtol": 1e-9, "maxcor": 3 * len(prices)},
        )
        self._last = (key, found.x)
        return np.asarray(found.x)

    def _best_radii(self, penalty: Penalty, even: FloatArray) -> FloatArray:
        """What the levels take at the optimum of the program with the penalty's own norm.

        The last variable bounds the norm of the spans from above; it alone has a price.
        """
        n_outputs, unit = len(even), 1.0 / dual_norm(penalty, even)
        start = self._optimum(even)

        def spans(variables: FloatArray) -> FloatArray:
            return variables[:n_outputs] + variables[n_outputs:-1]

        def objective(variables: FloatArray) -> tuple[float, FloatArray]:
            fit, taken = self._fit(variables[:-1])
            return unit * fit + variables[-1], np.append(-unit * taken, 1.0)

        def room(variables: FloatArray) -> FloatArray:
            if penalty.cone is Cone.LARGEST:  # an inequality an output, each smooth
                return np.asarray(variables[-1] - spans(variables))
            return variables[-1:] - penalty.row_norms(spans(variables)[None])

        found = minimize(
            objective,
            np.append(start, penalty.row_norms((start[:n_outputs] + start[n_outputs:])[None])),
            jac=True,
            method="SLSQP",
            bounds=[(0.0, _HIGHEST)] * (2 * n_outputs) + [(0.0, None)],
            constraints={"type": "ineq", "fun": room},
            options={"maxiter": 100, "ftol": 1e-13},
        )
        taken = self._fit(found.x[:-1])[1]
        return np.maximum(taken[:n_outputs], taken[n_outputs:])

    def dual(self, radii: FloatArray) -> FloatArray:  # noqa: D102
        scores = self._scores(self._optimum(radii))
        p = np.exp(scores - _log_sums(scores))
        return self._Y.shares * (self._Y.values - p[self._kind])

    def spans(self, radii: FloatArray) -> FloatArray:  # noqa: D102
        levels = self._optimum(radii)
        return levels[: len(radii)] + levels[len(radii) :]


def _log_sums(scores: FloatArray) -> FloatArray:
    """Log of the sum of exponentials of each row, (rows, 1)."""
    top = scores.max(axis=1, keepdims=True)
    return np.asarray(top + np.log(np.exp(scores - top).sum(axis=1, keepdims=True)))
