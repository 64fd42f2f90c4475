"""Encoders that stand in front of the network on chip, as integers: the twins of the hardware.

The host hands over one vector of unsigned levels per inference, of which the encoder makes the T
steps; or of a series one vector for each step, of which it makes the spikes of that step.
`convexon_hdl.core.encoder` and `convexon_hdl.core.series` do the same in logic, and share nothing
with this module but the description of the choice, `Encoder`.

Rate coding compares every level with a pseudo-random byte. One linear-feedback register of 32 bits
makes all of them: its four bytes s0 (oldest) to s3 are the state, a step shifts eight new bits in,
and input i, at column c = i mod m and row d = i div m of a square of side m, reads ::

    r[i] = s0 + c * s1 + d * s2        in the field GF(2**8) modulo x**8 + x**4 + x**3 + x**2 + 1

For two inputs the two bytes are independent of each other: over the period of the register each of
the 2**16 pairs of values occurs equally often (the pair (0, 0) once less). A sum of the field is an
exclusive or, so each input costs one such gate per bit besides the comparison.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.snn.coding import CODINGS, crossings, deltas, upper_halves
from convexon.snn.fixed import MAX_INPUT_BITS
from convexon.snn.interface import Interface
from convexon.snn.network import FixedPointNetwork

SEED_FACTOR = 0x9E3779B1
"""Odd, so that no seed gives the register's forbidden state 0; dense, so that small seeds do not
start with small numbers."""

MAX_RATE_INPUTS = 1 << 16
"""Most inputs of rate coding: a column and a row of one byte each."""


class EncoderKind(Enum):
    """What the level of an input, of k bits, becomes at step t = 0 .. T - 1.

    ``THRESHOLD``: a spike where level / (2**k - 1) >= (T - t) / (T + 1), the thresholds of
    `convexon.snn.coding.ThresholdCoding`. ``LATENCY``: only the first of those spikes.
    ``BIT_PLANE``: bit k - 1 - (t mod k) of the level, so the most significant bit first, and all
    over again where T > k. ``RATE``: a spike where the k high bits of the input's pseudo-random
    byte are below the level, so with probability level / 2**k; every inference starts from the
    seed. ``HOLD``: the level itself at every step, for networks that read intensities of k bits.

    Of a series there is a level for each step, and k bits tell 2**B parts of the range apart, each
    of 2**(k - B) levels. ``MIDPOINT``: a spike where the level is at least 2**(k - 1). ``DELTA``
    and ``CROSSING``: two inputs a channel, for rises and for falls, as
    `convexon.snn.coding.DeltaCoding` and `CrossingCoding` have them, which are these of 8 bits.
    """

    THRESHOLD = "threshold"
    LATENCY = "latency"
    BIT_PLANE = "bit-plane"
    RATE = "rate"
    HOLD = "hold"
    MIDPOINT = "midpoint"
    DELTA = "delta"
    CROSSING = "crossing"


SERIES_KINDS = (EncoderKind.MIDPOINT, EncoderKind.DELTA, EncoderKind.CROSSING)
"""Kinds that read a vector of levels for each step."""

LEVEL_KINDS = tuple(kind for kind in EncoderKind if kind not in SERIES_KINDS)
"""Kinds that read one vector of levels for all steps."""


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """Choice of an encoder on chip.

    Members
    -------
    bits : k, bits of a level, 1 to 8
    seed : of `EncoderKind.RATE`, for which it must be given, 1 to 2**32 - 1. The register starts
        from ``seed * SEED_FACTOR`` modulo 2**32.
    resolution : B of ``DELTA`` and ``CROSSING``, for which it must be given, 1 to k

    Raises
    ------
    InputError
        Also from `check`, if the network does not read what the encoder gives.
    """

    kind: EncoderKind
    bits: int
    seed: int | None = None
    resolution: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= MAX_INPUT_BITS:
            raise InputError(f"bits must be 1 to {MAX_INPUT_BITS}, not {self.bits!r}")
        if (self.seed is not None) != (self.kind is EncoderKind.RATE):
            raise InputError(
                "seed must be given for rate coding, and for nothing else, "
                f"not {self.seed!r} with {self.kind.value} coding"
            )
        if self.seed is not None and not 1 <= self.seed < 1 << 32:
            raise InputError(f"seed must be 1 to {(1 << 32) - 1}, not {self.seed!r}")
        if (self.resolution is not None) != (self.inputs_per_level == 2):
            raise InputError(
                "resolution must be given for delta and crossing coding, and for nothing else, "
                f"not {self.resolution!r} with {self.kind.value} coding"
            )
        if self.resolution is not None and not 1 <= self.resolution <= self.bits:
            raise InputError(
                f"resolution must be 1 to {self.bits}, the bits of a level, not {self.resolution!r}"
            )

    @property
    def output_bits(self) -> int:
        """Bits that the network reads per input: k where levels are held, else 1."""
        return self.bits if self.kind is EncoderKind.HOLD else 1

    @property
    def per_step(self) -> bool:
        """Whether it reads a vector of levels for each step, not one for all of them."""
        return self.kind in SERIES_KINDS

    @property
    def inputs_per_level(self) -> int:
        """Inputs of the network that one level becomes."""
        return 2 if self.kind in (EncoderKind.DELTA, EncoderKind.CROSSING) else 1

    @property
    def part(self) -> int:
        """Levels of one of the 2**B parts."""
        return 1 << (self.bits - (self.resolution or 0))

    @property
    def max_level(self) -> int:
        """Largest level, 2**k - 1."""
        return (1 << self.bits) - 1

    def check(self, network: FixedPointNetwork) -> None:
        """Raise `InputError` unless ``network`` reads what this encoder gives."""
        if network.input_bits != self.output_bits:
            raise InputError(
                f"encoder of kind {self.kind.value} must feed a network whose inputs have "
                f"{self.output_bits} bits, not {network.input_bits}"
            )
        if network.n_inputs % self.inputs_per_level:
            raise InputError(
                f"encoder of kind {self.kind.value} must feed a network of two inputs a channel, "
                f"not of {network.n_inputs}"
            )
        if self.kind is EncoderKind.RATE and network.n_inputs > MAX_RATE_INPUTS:
            raise InputError(
                f"rate coding must have at most {MAX_RATE_INPUTS} inputs, not {network.n_inputs}"
            )


def encode_levels(
    encoder: Encoder, levels: npt.NDArray[np.integer], *, n_steps: int
) -> npt.NDArray[np.uint8]:
    """Steps that the encoder gives, shape (samples, n_steps, inputs).

    Parameters
    ----------
    levels : integer array, shape (samples, inputs), in 0 .. 2**k - 1
        Of a series shape (samples, n_steps, channels).
    n_steps : T

    Raises
    ------
    InputError
        If the shape is wrong, a level does not fit, T is less than 1, or there are too many inputs.
    """
    if n_steps < 1:
        raise InputError(f"n_steps must be at least 1, not {n_steps!r}")
    checked = checked_levels(encoder, levels)
    if encoder.per_step:
        if checked.shape[1] != n_steps:
            raise InputError(f"levels must have {n_steps} steps, not {checked.shape[1]}")
        return _series_steps(encoder, checked)
    n_inputs = checked.shape[1]
    steps: npt.NDArray[Any]
    if encoder.kind is EncoderKind.HOLD:
        steps = np.repeat(checked[:, None, :], n_steps, axis=1)
    elif encoder.kind is EncoderKind.BIT_PLANE:
        planes = encoder.bits - 1 - np.arange(n_steps) % encoder.bits
        steps = (checked[:, None, :] >> planes[None, :, None]) & 1
    elif encoder.kind is EncoderKind.RATE:
        numbers = rate_numbers(encoder, n_inputs=n_inputs, n_steps=n_steps)
        steps = numbers[None] < checked[:, None, :]
    else:
        thresholds = step_thresholds(encoder, n_steps=n_steps)
        steps = checked[:, None, :] >= thresholds[None, :, None]
        if encoder.kind is EncoderKind.LATENCY:
            steps[:, 1:] &= ~steps[:, :-1].copy()
    return steps.astype(np.uint8)


def encode_transfers(
    encoder: Encoder, transfers: npt.NDArray[np.integer], *, n_steps: int
) -> npt.NDArray[np.uint8]:
    """Steps of what the host sends, shape (samples, transfers, levels); raises as the above."""
    levels = transfers if encoder.per_step else transfers[:, 0]
    return encode_levels(encoder, levels, n_steps=n_steps)


def _series_steps(encoder: Encoder, levels: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Spikes of a series, step by step."""
    if encoder.kind is EncoderKind.MIDPOINT:
        return upper_halves(levels, bits=encoder.bits)
    of = deltas if encoder.kind is EncoderKind.DELTA else crossings
    return of(levels, bits=encoder.bits, resolution=int(encoder.resolution or 0))


def transfers_of(
    encoder: Encoder, interface: Interface, samples: npt.ArrayLike
) -> npt.NDArray[np.uint8]:
    """Raw samples as the host sends them, shape (samples, transfers, levels).

    Raises
    ------
    InputError
        If the samples do not fit, or the encoder reads series and the network does not, or the
        other way round.
    """
    if encoder.per_step != CODINGS[interface.coding].per_step:
        wanted = "series" if encoder.per_step else "one vector of values a sample"
        raise InputError(
            f"encoder {encoder.kind.value} must have a network that reads {wanted}, not one of "
            f"{interface.coding} coding"
        )
    levels = interface.levels(samples, bits=encoder.bits)
    return levels if encoder.per_step else levels[:, None]


def checked_levels(encoder: Encoder, levels: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Levels as int64, shape (samples, inputs), or (samples, steps, channels) of a series.

    Raises
    ------
    InputError
        If the shape is wrong, or a level is no integer in 0 .. 2**k - 1.
    """
    array = np.asarray(levels)
    if array.ndim != 2 + encoder.per_step or 0 in array.shape:
        axes = "samples, steps, channels" if encoder.per_step else "samples, inputs"
        raise InputError(f"levels must have shape ({axes}), not {array.shape}")
    if array.dtype.kind not in "ui":
        raise InputError(f"levels must be integers, not {array.dtype}")
    outside = np.argwhere((array < 0) | (array > encoder.max_level))
    if len(outside):
        where = tuple(int(k) for k in outside[0])
        raise InputError(
            f"levels{list(where)} must lie in 0..{encoder.max_level} ({encoder.bits} bits), "
            f"not {int(array[where])}"
        )
    return array.astype(np.int64)


def step_thresholds(encoder: Encoder, *, n_steps: int) -> npt.NDArray[np.int64]:
    """Lowest level that spikes at each step under threshold coding, shape (n_steps,).

    level / (2**k - 1) >= (T - t) / (T + 1) with integers alone: the level times T + 1 must reach
    (T - t) * (2**k - 1). Lies in 1 .. 2**k - 1, so level 0 never spikes and the highest always.
    """
    remaining = n_steps - np.arange(n_steps, dtype=np.int64)
    return -((-remaining * encoder.max_level) // (n_steps + 1))


def rate_numbers(encoder: Encoder, *, n_inputs: int, n_steps: int) -> npt.NDArray[np.int64]:
    """Pseudo-random numbers of k bits that rate coding compares with, shape (n_steps, n_inputs).

    Raises
    ------
    InputError
        If the encoder is of another kind, or there are more than 65,536 inputs.
    """
    if encoder.seed is None:
        raise InputError(f"encoder must be of kind rate, not {encoder.kind.value}")
    if n_inputs > MAX_RATE_INPUTS:
        raise InputError(f"rate coding must have at most {MAX_RATE_INPUTS} inputs, not {n_inputs}")
    side = math.isqrt(n_inputs - 1) + 1
    row, column = np.divmod(np.arange(n_inputs, dtype=np.int64), side)
    state = (encoder.seed * SEED_FACTOR) & 0xFFFFFFFF
    numbers = np.empty((n_steps, n_inputs), dtype=np.int64)
    for t in range(n_steps):
        s0, s1, s2 = (state >> shift & 0xFF for shift in (0, 8, 16))
        numbers[t] = s0 ^ _product(column, s1) ^ _product(row, s2)
        state = next_state(state)
    return numbers >> (8 - encoder.bits)


def next_state(state: int) -> int:
    """Register of the rate encoder one step on: eight shifts of x**32 + x**22 + x**2 + x + 1.

    Bit n of the sequence is bit n of the state, and bit n + 32 is the exclusive or of the bits n,
    n + 1, n + 2 and n + 22. The polynomial is primitive: from any state but 0 it takes 2**32 - 1
    shifts, and as many steps, to come back.
    """
    new = (state ^ state >> 1 ^ state >> 2 ^ state >> 22) & 0xFF
    return state >> 8 | new << 24


def _product(factors: npt.NDArray[np.int64], byte: int) -> npt.NDArray[np.int64]:
    """``factors * byte`` in GF(2**8), by Horner's rule over the bits of ``byte``."""
    product = np.zeros_like(factors)
    for place in range(7, -1, -1):
        product <<= 1
        product ^= (product >> 8) * 0x11D
        if byte >> place & 1:
            product ^= factors
    return product
