"""The quantizer: a real readout to integers, with bounds on what that changes.

The hidden part is integer from birth, so only the readout is rounded. Rounding moves the score c of
row i by at most ``sum_j d[i, j] * |delta[j, c]| + |delta_bias[c]|``. From this follow a bound on
the objective, so that the certificate survives, and the rows whose decision provably cannot flip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convexon.convex.loss import LossKind
from convexon.convex.program import ConvexProgram
from convexon.errors import FormatError, InputError
from convexon.fixed import MAX_WIDTH, Interval, QFormat, width_of
from convexon.network import FixedPointNetwork, FloatArray, IntArray, Network


@dataclass(frozen=True, kw_only=True)
class QuantizationBound:
    """What rounding the readout can do, over the rows of a program.

    Members
    -------
    score_error : float
        Largest possible change of any score of any row.
    objective_change : float
        Bound on the change of the mean loss plus the exact change of the penalty's value.
    decisions : int
        Rows.
    certified_decisions : int
        Rows whose margin exceeds what rounding can do: their decision cannot flip.
    """

    score_error: float
    objective_change: float
    decisions: int
    certified_decisions: int


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


MAX_FRAC = 30
"""Most fractional bits; past them a float64 readout has nothing left to say."""


def quantize_readout(weights: FloatArray, biases: FloatArray, *, bits: int) -> QuantizedReadout:
    """Round weights to ``bits`` bits with the finest step that holds the largest of them.

    Biases get the same step, and as many bits as they need.

    Raises
    ------
    FormatError
        If there are fewer than 2 bits, or a weight is too large for them at any step.
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
    frac = 0
    while frac < MAX_FRAC and np.rint(np.ldexp(largest, frac + 1)) <= limit:
        frac += 1
    if np.abs(biases).max(initial=0.0) >= math.ldexp(1.0, MAX_WIDTH - 1 - frac):
        raise FormatError(
            f"readout biases must fit {MAX_WIDTH} bits at the weights' step 2**-{frac}: "
            "scale the weights up or the biases down"
        )
    integer_weights = np.rint(np.ldexp(weights, frac)).astype(np.int64)
    integer_biases = np.rint(np.ldexp(biases, frac)).astype(np.int64)
    bias_width = width_of(Interval.hull([0, *integer_biases.tolist()]))
    return QuantizedReadout(
        integer_weights, integer_biases, QFormat(bits, frac), QFormat(bias_width, frac)
    )


def quantize(
    network: Network, *, bits: int, certificate: dict[str, float] | None = None
) -> FixedPointNetwork:
    """Quantize the readout to ``bits`` bits and drop neurons whose weights all round to zero.

    Raises
    ------
    FormatError
        If the weights do not fit.
    InputError
        If every weight rounds to zero.
    """
    readout = quantize_readout(network.readout_weights, network.readout_biases, bits=bits)
    used = (readout.weights != 0).any(axis=1)
    branches = []
    rows: list[npt.NDArray[np.intp]] = []
    offset = 0
    for branch in network.branches:
        kept = np.flatnonzero(used[offset : offset + branch.n_outputs])
        if len(kept):
            branches.append(branch.pruned(kept))
            rows.append(kept + offset)
        offset += branch.n_outputs
    if not branches:
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
        certificate=certificate or {},
    )


def quantization_bound(program: ConvexProgram, W: FloatArray, *, bits: int) -> QuantizationBound:
    """Bound what `quantize_readout` changes of a solution ``W``, whose last row is the intercept.

    The change of the mean loss is bounded row by row: by the score error for logistic and hinge
    (slope at most 1, summed over outputs), by twice the largest score error for softmax (its
    gradient has l1 norm at most 2), and by ``|z - y| e + e**2 / 2`` for squared.
    """
    readout = quantize_readout(W[:-1], W[-1], bits=bits)
    rounded = np.concatenate([readout.real_weights, readout.real_biases[None]])
    features = np.asarray(program.features, dtype=np.float64)
    error = features @ np.abs(rounded - W)
    scores = features @ W
    kind = program.loss.kind
    if kind is LossKind.SOFTMAX:
        per_row = 2.0 * error.max(axis=1)
    elif kind is LossKind.SQUARED:
        per_row = (np.abs(scores - program.encoded) * error + 0.5 * error**2).sum(axis=1)
    else:
        per_row = error.sum(axis=1)
    penalty = program.rho * (
        program.penalty.value(rounded, program.weights) - program.penalty.value(W, program.weights)
    )
    return QuantizationBound(
        score_error=float(error.max()),
        objective_change=float(per_row.mean() + abs(penalty)),
        decisions=len(scores),
        certified_decisions=_cannot_flip(scores, error),
    )


def _cannot_flip(scores: FloatArray, error: FloatArray) -> int:
    """Count rows whose winner stays ahead whatever the errors within their bounds."""
    if scores.shape[1] == 1:  # one score is read as the pair (0, score)
        return int((np.abs(scores[:, 0]) > error[:, 0]).sum())
    index = np.arange(len(scores))
    winner = scores.argmax(axis=1)
    worst = scores[index, winner] - error[index, winner]
    best = scores + error
    best[index, winner] = -np.inf
    return int((worst > best.max(axis=1)).sum())
