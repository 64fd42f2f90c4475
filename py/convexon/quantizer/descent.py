"""A readout in few bits: integers that no single step improves.

Rounding to nearest minimises how far each weight moves, and not what the program asks for. Here the
objective itself decides: from the nearest integers on, single weights move by one step, the best
first, until none lowers it by a millionth. A finer step than the largest weight allows may be worth
that this weight is clipped, so steps are halved as long as that lowers the objective too. And where
a bit of a weight has a price, fewer bits are tried: the program is then

    min over b, f and integers |q| < 2**(b-1) of  F(q / 2**f) + bit_penalty * b

with the objective F of `convexon.convex.model.program`, searched and not proved.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from convexon.convex.model.program import ConvexProgram
from convexon.quantizer.readout import (
    MAX_FRAC,
    QuantizedReadout,
    finest,
    rounded_to,
)
from convexon.snn.network import FloatArray, IntArray

_LEAST_GAIN = 1e-6
"""Share of the objective by which a step must lower it: a solution is no closer to its optimum, and
of many bits there would be steps without end."""


def descended(
    program: ConvexProgram, W: FloatArray, *, bits: int, bit_penalty: float = 0.0
) -> QuantizedReadout:
    """Integers of at most ``bits`` bits from which no single step lowers the objective.

    Rows of W that are zero stay so: there is no neuron to weigh.

    Parameters
    ----------
    program : ConvexProgram
        Over the columns of the weights and, last, the intercept.
    W : float64 array, shape (k + 1, C)
        Its solution.
    bits : int
    bit_penalty : float
        What a bit of a weight adds to the objective; zero takes all ``bits``.

    Raises
    ------
    FormatError
        If a bias does not fit.
    """
    active = np.append(np.flatnonzero(W[:-1].any(axis=1)), len(W) - 1)
    descent, inner = _Descent(program.restricted(active)), W[active]
    best, value = _at_best_step(descent, inner, bits)
    for fewer in range(bits - 1, 1, -1) if bit_penalty > 0.0 else ():
        found, reached = _at_best_step(descent, inner, fewer)
        saved = (best.weight_format.width - fewer) * bit_penalty
        if reached < value + saved:
            best, value = found, reached
    places = np.full(len(W) - 1, -1)
    places[active[:-1]] = np.arange(len(active) - 1)
    return best.of_rows(places)


def _at_best_step(descent: _Descent, W: FloatArray, bits: int) -> tuple[QuantizedReadout, float]:
    """Halve the step as long as that lowers the objective; return readout and objective."""
    first = finest(W[:-1], bits=bits)
    best, value = descent.settled(rounded_to(W[:-1], W[-1], bits=bits, frac=first))
    for frac in range(first + 1, MAX_FRAC + 1):
        finer, reached = descent.settled(rounded_to(W[:-1], W[-1], bits=bits, frac=frac))
        if not reached < (1.0 - _LEAST_GAIN) * value:
            break
        best, value = finer, reached
    return best, value


@dataclass
class _Descent:
    """Steps of single weights on one program."""

    program: ConvexProgram

    def __post_init__(self) -> None:
        self._columns = self.program.take(slice(0, self.program.n_columns))
        self._values = np.unique(self._columns[self._columns > 0.0])
        self._prices = self.program.rho * self.program.weights

    def settled(self, readout: QuantizedReadout) -> tuple[QuantizedReadout, float]:
        """Step until no single step lowers the objective; return readout and objective.

        Each round tells what every step would bring, and takes them in that order, as far as each
        still lowers the objective after the ones before it.
        """
        limit, frac = readout.weight_format.interval.high, readout.weight_format.frac
        q, step = readout.stacked, math.ldexp(1.0, -frac)
        Z = self._columns @ _real(q, frac)
        losses = self._losses(Z)
        while True:
            gains = self._gains(q, frac, Z, losses)
            least = -_LEAST_GAIN * float(losses.sum() + self._penalty(_real(q, frac)).sum())
            moved = False
            for flat in np.argsort(gains, axis=None, kind="stable"):
                if not gains.flat[flat] < least:
                    break
                up, j, c = np.unravel_index(flat, gains.shape)
                after = q.copy()
                after[j, c] += 1 if up else -1
                if abs(after[j, c]) > limit and j < len(q) - 1:
                    continue
                scores = Z.copy()
                scores[:, c] += (after[j, c] - q[j, c]) * step * self._columns[:, j]
                lost = self._losses(scores)
                price = self._penalty(_real(after, frac)) - self._penalty(_real(q, frac))
                if float(lost.sum() - losses.sum() + price.sum()) < least:
                    q, Z, losses, moved = after, scores, lost, True
            if not moved:
                break
        value = float(losses.sum() + self._penalty(_real(q, frac)).sum())
        return readout.with_integers(q), value

    def _gains(self, q: IntArray, frac: int, Z: FloatArray, losses: FloatArray) -> FloatArray:
        """What one step of each weight adds to the objective, shape (2, k + 1, C): down and up."""
        gains = np.zeros((2, *q.shape))
        before = self._penalty(_real(q, frac))
        for c in range(q.shape[1]):
            for side, sign in enumerate((-1, 1)):
                unit = np.zeros(q.shape[1])
                unit[c] = math.ldexp(sign, -frac)
                gains[side, :, c] = self._penalty(_real(q, frac) + unit) - before
                for value in self._values:
                    change = self._losses(Z + value * unit) - losses
                    gains[side, :, c] += change @ (self._columns == value)
        return gains

    def _losses(self, Z: FloatArray) -> FloatArray:
        """Share of each row in the mean loss, shape (n,)."""
        Y = self.program.encoded
        terms = self.program.loss.upper_terms(Z, np.zeros_like(Z), Y)
        return np.asarray(Y.shares[:, 0] * terms.reshape(len(Z), -1).sum(axis=1))

    def _penalty(self, W: FloatArray) -> FloatArray:
        """What each row of weights adds to the objective, shape (k + 1,)."""
        return np.asarray(self._prices * self.program.penalty.row_norms(W))


def _real(q: IntArray, frac: int) -> FloatArray:
    """What integers stand for."""
    return np.ldexp(q.astype(np.float64), -frac)
