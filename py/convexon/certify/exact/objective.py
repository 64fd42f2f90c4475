"""The objective of a certificate's program, exactly."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from convexon.certify.exact.dyadic import Dyadic, FloatArray
from convexon.certify.exact.losses import DOWN, EXACT_LOSSES, UP
from convexon.certify.exact.penalties import EXACT_PENALTIES
from convexon.certify.statement import Statement
from convexon.snn.fixed import QFormat


def objective(s: Statement, Z: Dyadic, W: Dyadic, *, up: bool) -> Fraction:
    """Objective of weights of the statement's columns, and their predictions Z = D W.

    Rounded ``up``, or down, where it is no rational number.
    """
    fit = EXACT_LOSSES[s.loss]().mean(Z, s.targets, s.counts, UP if up else DOWN)
    norms = EXACT_PENALTIES[s.penalty]().norms(W, up=up)
    weights = Dyadic.of(s.weights)[s.with_intercept(s.columns)]
    return fit + Fraction(s.rho) * (norms * weights).sum()


def nearest(W: FloatArray, n_weights: int, frac: int, stored: QFormat) -> Dyadic:
    """W rounded to ``2**-frac``, halves to even, the first rows clipped to what is stored."""
    high = stored.interval.high
    exact = np.array(
        [[round(Fraction(value) * 2**frac) for value in row] for row in W.tolist()], dtype=object
    )
    exact[:n_weights] = np.clip(exact[:n_weights], -high, high)
    return Dyadic(exact, -frac)
