"""Encoders: real features to spikes or intensities over T steps."""

from __future__ import annotations

from enum import Enum

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.snn.network import MAX_INPUT_BITS


class Coding(Enum):
    """How a feature in [0, 1] becomes T steps.

    ``THRESHOLD``: a spike at every step whose threshold it reaches; thresholds fall evenly from
    near 1 to near 0, so bright features start early and keep firing. ``LATENCY``: only the first of
    those spikes. ``INTENSITY``: at every step the same unsigned number of k bits, which hardware
    reads bit plane by bit plane.
    """

    THRESHOLD = "threshold"
    LATENCY = "latency"
    INTENSITY = "intensity"


def encode(
    features: npt.ArrayLike, *, coding: Coding, n_steps: int, bits: int = 1
) -> npt.NDArray[np.uint8]:
    """Encode features, shape (samples, inputs) in [0, 1], to shape (samples, n_steps, inputs).

    Parameters
    ----------
    features : array
    coding : Coding
    n_steps : int
        T.
    bits : int
        Bits of an intensity, for `Coding.INTENSITY`; 1 for spikes.

    Raises
    ------
    InputError
        If the shape is wrong, a feature is NaN, infinite or outside [0, 1], T is less than 1, or
        the bits do not suit the coding.
    """
    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2 or 0 in x.shape:
        raise InputError(f"features must have shape (samples, inputs), not {x.shape}")
    if n_steps < 1:
        raise InputError(f"n_steps must be at least 1, not {n_steps!r}")
    bad = np.argwhere(~np.isfinite(x))
    if len(bad):
        sample, i = (int(k) for k in bad[0])
        raise InputError(f"features[{sample}, {i}] must be finite, not {x[sample, i]}")
    outside = np.argwhere((x < 0) | (x > 1))
    if len(outside):
        sample, i = (int(k) for k in outside[0])
        raise InputError(
            f"features[{sample}, {i}] must lie in 0..1, not {x[sample, i]}: scale them"
        )
    highest_bits = MAX_INPUT_BITS if coding is Coding.INTENSITY else 1
    if not 1 <= bits <= highest_bits:
        raise InputError(
            f"bits must be 1 to {highest_bits} for {coding.value} coding, not {bits!r}"
        )
    if coding is Coding.INTENSITY:
        level = quantized(x, bits=bits)
        return np.repeat(level[:, None, :], n_steps, axis=1)
    thresholds = (n_steps - np.arange(n_steps)) / (n_steps + 1)
    reached = x[:, None, :] >= thresholds[None, :, None]
    if coding is Coding.LATENCY:
        reached[:, 1:] &= ~reached[:, :-1].copy()
    return reached.astype(np.uint8)


def quantized(features: npt.ArrayLike, *, bits: int) -> npt.NDArray[np.uint8]:
    """Nearest level of k bits of each feature in [0, 1]: what an encoder on chip reads.

    Parameters
    ----------
    features : array
    bits : int
        k, 1 to 8.

    Raises
    ------
    InputError
        If a feature is no number in [0, 1], or the bits are not 1 to 8.
    """
    if not 1 <= bits <= MAX_INPUT_BITS:
        raise InputError(f"bits must be 1 to {MAX_INPUT_BITS}, not {bits!r}")
    x = finite(features)
    outside = np.argwhere((x < 0) | (x > 1))
    if len(outside):
        where = [int(k) for k in outside[0]]
        raise InputError(f"features{where} must lie in 0..1, not {x[tuple(where)]}: scale them")
    return np.rint(x * ((1 << bits) - 1)).astype(np.uint8)


def finite(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the values as float64, checked to be finite numbers.

    Raises
    ------
    InputError
        If a value is not a number, NaN or infinite.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "iufb":
        raise InputError(f"values must be numbers, not {array.dtype}")
    x = array.astype(np.float64)
    bad = np.argwhere(~np.isfinite(x))
    if len(bad):
        where = [int(k) for k in bad[0]]
        raise InputError(f"values{where} must be finite, not {x[tuple(where)]}")
    return x


def scaled_to_unit(
    values: npt.ArrayLike, *, reference: npt.ArrayLike | None = None
) -> npt.NDArray[np.float64]:
    """Scale to [0, 1] by the smallest and largest value of ``reference``; clip what lies outside.

    Parameters
    ----------
    values : array
    reference : array, optional
        Training samples, so that test samples have no say in the scale; ``values`` where None.

    Raises
    ------
    InputError
        If a value is not a number, NaN or infinite.
    """
    x = finite(values)
    known = x if reference is None else finite(reference)
    largest = float(np.abs(known).max(initial=0.0)) or 1.0
    # Divided first: the difference of two large numbers could overflow.
    ends = (known.min(), known.max()) if known.size else (0.0, 1.0)
    low, high = (float(end) / largest for end in ends)
    if high <= low:
        return np.zeros_like(x)
    with np.errstate(over="ignore"):
        return np.clip((x / largest - low) / (high - low), 0.0, 1.0)
