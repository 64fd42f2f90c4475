"""The quantizer: a real readout to integers, with bounds on what that changes.

The hidden part is integer from birth, so only the readout is rounded. Rounding moves the score c of
row i by at most ``sum_j d[i, j] * |delta[j, c]| + |delta_bias[c]|``. From this follow a bound on
the objective, so that the certificate survives, and the rows whose decision provably cannot flip:
those where the integer network's margin is larger than what rounding can have done to it.

All bounds hold in exact arithmetic: what float64 rounds is rounded against the claim.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convexon.certify.certificate import Rounded, SampleMargins
from convexon.convex.bounds.gap import certify
from convexon.convex.model.loss import UNIT, exact_sum
from convexon.convex.model.program import ConvexProgram, bounded_product
from convexon.errors import FormatError, InputError
from convexon.snn.fixed import MAX_WIDTH, Interval, QFormat, width_of
from convexon.snn.interface import Interface
from convexon.snn.network import FixedPointNetwork, FloatArray, IntArray, Network
from convexon.store.codec import Codec


@dataclass(frozen=True, eq=False)
class QuantizedReadout:
    """Integer readout; the integer q stands for q / 2**frac."""

    weights: IntArray
    biases: IntArray
    weight_format: QFormat
    bias_format: QFormat

    @property
    def real_weights(self) -> FloatArray:
        """What the integer weights stand for."""
        return np.ldexp(self.weights.astype(np.float64), -self.weight_format.frac)

    @property
    def real_biases(self) -> FloatArray:
        """What the integer biases stand for."""
        return np.ldexp(self.biases.astype(np.float64), -self.bias_format.frac)

    @property
    def stacked(self) -> IntArray:
        """Integer weights and, last, the biases: shape (k + 1, C)."""
        return np.concatenate([self.weights, self.biases[None]])

    @property
    def stacked_real(self) -> FloatArray:
        """What `stacked` stands for."""
        return np.concatenate([self.real_weights, self.real_biases[None]])

    def with_integers(self, stacked: IntArray) -> QuantizedReadout:
        """Other integers at the same step, ``stacked`` as they are here."""
        return _of_integers(stacked, width=self.weight_format.width, frac=self.weight_format.frac)

    def of_rows(self, rows: npt.NDArray[np.intp]) -> QuantizedReadout:
        """Weights of the given rows, and of none where -1, with the biases."""
        weights = np.where(rows[:, None] < 0, 0, self.weights[rows])
        return self.with_integers(np.concatenate([weights, self.biases[None]]))


READOUT: Codec[QuantizedReadout] = Codec(QuantizedReadout, "convexon.readout", 1)
"""File form of an integer readout."""

MAX_FRAC = 30
"""Most fractional bits; past them a float64 readout has nothing left to say."""


def quantize_readout(weights: FloatArray, biases: FloatArray, *, bits: int) -> QuantizedReadout:
    """Round weights to ``bits`` bits with the finest step that holds the largest of them.

    Biases get the same step, and as many bits as they need.

    Raises
    ------
    FormatError
        If bits are not 2 to 24, a weight is too large for them at any step, or a bias does not fit.
    """
    if not 2 <= bits <= 24:
        raise FormatError(f"bits must be 2 to 24, not {bits!r}")
    limit = (1 << (bits - 1)) - 1
    largest = float(np.abs(weights).max(initial=0.0))
    if largest > limit:
        raise FormatError(
            f"readout weights must be at most {limit} for {bits} bits, not {largest:.6g}: "
            "take more bits, or a larger rho"
        )
    return rounded_to(weights, biases, bits=bits, frac=finest(weights, bits=bits))


def finest(weights: FloatArray, *, bits: int) -> int:
    """Fractional bits of the finest step at which all weights fit ``bits`` bits; 0 if at none."""
    limit = (1 << (bits - 1)) - 1
    largest = float(np.abs(weights).max(initial=0.0))
    frac = 0
    while frac < MAX_FRAC and np.rint(np.ldexp(largest, frac + 1)) <= limit:
        frac += 1
    return frac


def rounded_to(
    weights: FloatArray, biases: FloatArray, *, bits: int, frac: int
) -> QuantizedReadout:
    """Nearest integers at the step ``2**-frac``, weights clipped to what ``bits`` bits hold.

    Raises `FormatError` if a bias does not fit.
    """
    limit = (1 << (bits - 1)) - 1
    if np.abs(biases).max(initial=0.0) >= math.ldexp(1.0, MAX_WIDTH - 1 - frac):
        raise FormatError(
            f"readout biases must fit {MAX_WIDTH} bits at the weights' step 2**-{frac}: "
            "scale the weights up or the biases down"
        )
    clipped = np.clip(np.rint(np.ldexp(weights, frac)), -limit, limit)
    stacked = np.concatenate([clipped, np.rint(np.ldexp(biases, frac))[None]]).astype(np.int64)
    return _of_integers(stacked, width=bits, frac=frac)


def _of_integers(stacked: IntArray, *, width: int, frac: int) -> QuantizedReadout:
    """Weights of a width and, last, biases, which have as many bits as they need."""
    bias_width = width_of(Interval.hull([0, *stacked[-1].tolist()]))
    return QuantizedReadout(
        stacked[:-1], stacked[-1], QFormat(width, frac), QFormat(bias_width, frac)
    )


def quantize(
    network: Network, *, bits: int, interface: Interface | None = None
) -> FixedPointNetwork:
    """Round the readout to nearest in ``bits`` bits; raises as `quantize_readout`, `with_readout`.

    ``interface`` is what the card says of raw samples.
    """
    readout = quantize_readout(network.readout_weights, network.readout_biases, bits=bits)
    return with_readout(network, readout, interface=interface)


def with_readout(
    network: Network, readout: QuantizedReadout, *, interface: Interface | None = None
) -> FixedPointNetwork:
    """Give a network an integer readout, and drop neurons whose weights are all zero.

    Raises
    ------
    InputError
        If every weight is zero.
    """
    used = (readout.weights != 0).any(axis=1)
    branches = []
    rows: list[npt.NDArray[np.intp]] = []
    offset = 0
    for branch in network.branches:
        kept = branch.closed(np.flatnonzero(used[offset : offset + branch.n_outputs]))
        if len(kept):
            branches.append(branch.pruned(kept))
            rows.append(kept + offset)
        offset += branch.n_outputs
    if not branches:
        bits = readout.weight_format.width
        raise InputError(f"every readout weight rounds to zero with {bits} bits: take more bits")
    return FixedPointNetwork(
        branches=tuple(branches),
        n_steps=network.n_steps,
        input_bits=network.input_bits,
        readout_mode=network.readout_mode,
        readout_weights=readout.weights[np.concatenate(rows)],
        readout_biases=readout.biases,
        readout_format=readout.weight_format,
        bias_format=readout.bias_format,
        interface=interface,
    )


def rounded_readout(program: ConvexProgram, W: FloatArray, readout: QuantizedReadout) -> Rounded:
    """Bound what a ``readout`` changes of a solution ``W``, whose last row is the intercept.

    The change of the mean loss is bounded row by row, as the loss itself states it
    (`convexon.convex.model.loss.Loss.change_terms`).
    """
    error = _above(*program.predict_bounded(_step(readout, W)))
    (Z, inexact), Y = program.predict_bounded(W), program.encoded
    per_row = program.loss.change_terms(Z, inexact, error, Y)
    rounding = 1.0 + (16.0 + 2.0 * Y.n_outputs) * UNIT
    fit = exact_sum(Y.shares[:, 0] * per_row) * rounding
    return Rounded(
        readout=readout.stacked,
        frac=readout.weight_format.frac,
        primal=float(certify(program, readout.stacked_real)[0].primal),
        score_error=float(error.max()),
        objective_change=(fit + _penalty_change(program, W, readout)) * _UP,
        train=_margins(readout, program.predict_bounded, error, counts=Y.counts, name="train"),
    )


def sample_margins(
    columns: npt.NDArray[np.uint8], W: FloatArray, readout: QuantizedReadout, *, name: str
) -> SampleMargins:
    """Decision margins on any samples, labelled or not.

    Parameters
    ----------
    columns : uint8 array, shape (n, k)
        What the readout weighs: spikes or counts of each active neuron.
    W : float64 array, shape (k + 1, C)
        Weights before rounding and, last, the biases.
    readout : QuantizedReadout
    name : what the samples are called in the certificate
    """
    ones = np.ones((_ROWS, 1))

    def predict_bounded(V: FloatArray) -> tuple[FloatArray, FloatArray]:
        parts = []
        for first in range(0, len(columns), _ROWS):
            block = columns[first : first + _ROWS].astype(np.float64)
            parts.append(bounded_product(np.concatenate([block, ones[: len(block)]], axis=1), V))
        products, errors = zip(*parts, strict=True)
        return np.concatenate(products), np.concatenate(errors)

    error = _above(*predict_bounded(_step(readout, W)))
    counts = np.ones(len(columns), dtype=np.int64)
    return _margins(readout, predict_bounded, error, counts=counts, name=name)


_ROWS = 4096
"""Rows that are converted to float64 at once."""

_LARGEST_FEATURE = 255.0
"""Largest entry of a column."""

_UP = 1.0 + 8.0 * UNIT
"""Factor that covers the rounding of a short chain of operations on non-negative numbers."""


def _above(values: FloatArray, errors: FloatArray) -> FloatArray:
    """Upper bounds on non-negative numbers that are known up to an error."""
    return np.asarray((values + errors) * _UP)


def _step(readout: QuantizedReadout, W: FloatArray) -> FloatArray:
    """Upper bound on how far rounding moved each weight; zero where it did not."""
    return np.asarray(np.abs(readout.stacked_real - W) * _UP)


def _penalty_change(program: ConvexProgram, W: FloatArray, readout: QuantizedReadout) -> float:
    """Upper bound on the change of ``rho * sum_j w_j ||W_j||``."""
    norms = program.penalty.row_norms

    def weighed(V: FloatArray) -> float:
        return exact_sum(program.weights * norms(V))

    before, after = weighed(W), weighed(readout.stacked_real)
    slack = (16.0 + W.shape[1]) * UNIT * (before + after)
    by_rows = weighed(_step(readout, W)) * (1.0 + (16.0 + W.shape[1]) * UNIT)
    return float(program.rho * min(abs(after - before) + slack, by_rows) * _UP)


def _margins(
    readout: QuantizedReadout,
    predict_bounded: Callable[[FloatArray], tuple[FloatArray, FloatArray]],
    error: FloatArray,
    *,
    counts: IntArray,
    name: str,
) -> SampleMargins:
    """Margins of the integer scores, rounded down, against score errors of the rows, (n, C)."""
    scores, inexact = predict_bounded(readout.stacked.astype(np.float64))
    # Sums of integers that stay below 2**52 are exact, and so are differences of two of them.
    reach = _LARGEST_FEATURE * np.abs(readout.stacked.astype(np.float64)).sum(axis=0)
    inexact = np.where(reach < 2.0**52, 0.0, inexact + 2.0**-50 * reach)
    if scores.shape[1] == 1:  # one score is read as the pair (0, score)
        margin, rounding = np.abs(scores[:, 0]) - inexact[:, 0], error[:, 0]
    else:
        index, winner = np.arange(len(scores)), scores.argmax(axis=1)
        others, other_errors = scores.copy(), error.copy()
        others[index, winner], other_errors[index, winner] = -np.inf, -np.inf
        margin = scores[index, winner] - others.max(axis=1) - 2.0 * inexact.max(axis=1)
        rounding = (error[index, winner] + other_errors.max(axis=1)) * _UP
    return SampleMargins(
        name=name,
        margin=np.ldexp(margin, -readout.weight_format.frac),
        rounding=np.asarray(rounding),
        counts=counts,
    )
