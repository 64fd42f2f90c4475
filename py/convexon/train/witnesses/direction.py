"""Directions that tell classes apart: what logistic regression sees, on a few inputs at a time.

A witness along the difference of two samples is as noisy as these two. In a table, whose features
have no neighbours, classes often lie along one direction of many features. Here it is found by a
few Newton steps of a ridge-penalised logistic regression of one class against another, or against
all others, on inputs, samples and a strength at random, and then rounded to the alphabet. No
gradient goes through a spike: spikes come in when the witness's column is simulated.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

_STEPS = 6
"""Newton steps: on the scaled inputs more change no rounded weight."""

_STRENGTHS = (1e-2, 10.0)
"""Range of the ridge penalty, against a sum of losses over samples with inputs in 0..1."""

_FLAT = 1e-3
"""Least curvature of a sample's loss, which keeps the steps on separable samples short."""


def random_direction(
    activity: FloatArray,
    labels: IntArray,
    places: IntArray,
    fan_in: int,
    generator: np.random.Generator,
) -> tuple[IntArray, FloatArray]:
    """Return up to ``fan_in`` inputs at random of ``places``, and the direction of a class in them.

    ``activity`` is (samples, inputs), in 0..1; the largest weight of the direction is 1 or -1, or
    all are zero where the samples tell nothing.
    """
    n_samples, most = len(activity), min(fan_in, len(places))
    n_seen = int(generator.integers(min(2, most), most + 1))
    seen = generator.choice(places, n_seen, replace=False)
    rows = generator.integers(n_samples, size=n_samples)
    classes = np.unique(labels)
    one, other = generator.permutation(classes)[[0, -1]]
    if generator.random() < 0.5:  # against one other class alone
        rows = rows[np.isin(labels[rows], (one, other))]
    low, high = np.log(_STRENGTHS)
    strength = float(np.exp(generator.uniform(low, high)))
    weights = _fitted(activity[rows][:, seen], labels[rows] == one, strength)
    return seen, weights / (np.abs(weights).max(initial=0.0) or 1.0)


def _fitted(inputs: FloatArray, is_one: npt.NDArray[np.bool_], strength: float) -> FloatArray:
    """Weights of a logistic regression with an intercept that is not penalised."""
    x = np.column_stack([inputs, np.ones(len(inputs))])
    penalty = np.diag([strength] * inputs.shape[1] + [_FLAT])
    weights = np.zeros(x.shape[1])
    for _ in range(_STEPS):
        chance = 1.0 / (1.0 + np.exp(-np.clip(x @ weights, -30.0, 30.0)))
        curvature = np.maximum(chance * (1.0 - chance), _FLAT)
        slope = x.T @ (chance - is_one) + penalty @ weights
        weights = weights - np.linalg.solve((x * curvature[:, None]).T @ x + penalty, slope)
    return weights[:-1]
