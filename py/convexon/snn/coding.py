"""Codings: what a raw value in [0, 1] becomes over the T steps of an inference.

Each coding is one class. Another one is added by an entry point of the group ``convexon.encoders``
(`convexon.registry`), and is then known to the command line, the estimator and sweeps by its name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.registry import Registry
from convexon.snn.fixed import MAX_INPUT_BITS

LEVEL_BITS = 8
"""Bits of the levels that codings of a series compare."""

RESOLUTIONS = (2, 3, 4)
"""B of the built-in codings ``delta-B`` and ``crossing-B``."""

FloatArray = npt.NDArray[np.float64]
Steps = npt.NDArray[np.uint8]


class Coding(ABC):
    """How samples become what a network reads.

    Members
    -------
    scaled : whether it reads values in [0, 1], to which `convexon.snn.interface` scales; otherwise
        it reads unsigned integers of the network's input bits, as they are
    per_step : whether a sample has a value for each step, shape (T, inputs), or one for all of them
    max_bits : most bits of one input in one step: 1 for spikes
    c_expression : the same in C99, for the header that runs the network: the value at step ``t`` of
        ``T``, from the value ``u`` (a double) and ``LEVELS``, the largest input. None: the header
        takes encoded steps alone.
    inputs_per_value : inputs that a value of a step becomes, one after the other
    c_step : in place of ``c_expression`` where there are two: statements that set the ints ``on``
        and ``off`` from ``level``, the nearest of 256, at step ``t``; the int ``held`` is theirs to
        keep from step to step of a channel
    resolution : B of codings that tell 2**B parts of a channel's range apart
    """

    scaled: ClassVar[bool] = True
    per_step: ClassVar[bool] = False
    max_bits: ClassVar[int] = 1
    c_expression: ClassVar[str | None] = None
    inputs_per_value: ClassVar[int] = 1
    c_step: str | None = None
    resolution: int | None = None

    @abstractmethod
    def encode(self, values: FloatArray, *, n_steps: int, bits: int) -> Steps:
        """Return the steps, shape (samples, n_steps, inputs), integers below ``2**bits``.

        Parameters
        ----------
        values : float64 array, shape (samples, inputs), or (samples, n_steps, inputs) per step
        """


def _check(coding: Coding) -> None:
    if not isinstance(coding, Coding) or not 1 <= coding.max_bits <= MAX_INPUT_BITS:
        raise InputError(
            "a coding must be an instance of convexon.snn.coding.Coding with max_bits of 1 to "
            f"{MAX_INPUT_BITS}, not {coding!r}"
        )


CODINGS: Registry[Coding] = Registry("coding", "convexon.encoders", _check)
"""Every coding by its name."""


def step_thresholds(n_steps: int) -> FloatArray:
    """Thresholds of the steps, evenly from near 1 to near 0, shape (n_steps,)."""
    return (n_steps - np.arange(n_steps)) / (n_steps + 1)


class ThresholdCoding(Coding):
    """A spike at each step whose threshold is reached: large values start early and keep firing."""

    c_expression = "u >= (double)(T - t) / (T + 1)"

    def encode(self, values: FloatArray, *, n_steps: int, bits: int) -> Steps:
        """Compare each value with the threshold of each step."""
        return (values[:, None, :] >= step_thresholds(n_steps)[:, None]).astype(np.uint8)


class LatencyCoding(Coding):
    """The first spike of threshold coding alone: the larger the value, the earlier it comes."""

    c_expression = "u >= (double)(T - t) / (T + 1) && !(t && u >= (double)(T - t + 1) / (T + 1))"

    def encode(self, values: FloatArray, *, n_steps: int, bits: int) -> Steps:
        """Keep a spike where none came before."""
        reached = ThresholdCoding().encode(values, n_steps=n_steps, bits=bits)
        reached[:, 1:] &= 1 - reached[:, :-1].copy()
        return reached


class IntensityCoding(Coding):
    """The same unsigned number of k bits at each step; hardware reads it bit plane by bit plane."""

    max_bits = MAX_INPUT_BITS
    c_expression = "rint(u * LEVELS)"

    def encode(self, values: FloatArray, *, n_steps: int, bits: int) -> Steps:
        """Repeat the nearest level."""
        return np.repeat(quantized(values, bits=bits)[:, None, :], n_steps, axis=1)


class SeriesCoding(Coding):
    """The level of each channel at each step of a series, of k bits."""

    per_step = True
    max_bits = MAX_INPUT_BITS
    c_expression = "rint(u * LEVELS)"

    def encode(self, values: FloatArray, *, n_steps: int, bits: int) -> Steps:
        """Round each value to its nearest level."""
        return quantized(values, bits=bits)


class DirectCoding(Coding):
    """Spikes, or intensities of k bits, that come in as they are."""

    scaled = False
    per_step = True
    max_bits = MAX_INPUT_BITS
    c_expression = "u"

    def encode(self, values: FloatArray, *, n_steps: int, bits: int) -> Steps:
        """Return the values as bytes."""
        return values.astype(np.uint8)


class MidpointCoding(Coding):
    """A spike at each step of a series in which a channel is in the upper half of its range."""

    per_step = True
    c_expression = "rint(u * 255) >= 128"

    def encode(self, values: FloatArray, *, n_steps: int, bits: int) -> Steps:
        """Compare each channel with the middle of its range."""
        return upper_halves(quantized(values, bits=LEVEL_BITS), bits=LEVEL_BITS)


class DeltaCoding(Coding):
    """Two inputs a channel of a series: one spikes where it has risen, the other where it fell.

    By more than 2**-B of the channel's range from a reference, which starts at the first value and
    follows by that much with each spike.
    """

    per_step = True
    inputs_per_value = 2

    def __init__(self, resolution: int) -> None:
        self.resolution = resolution
        step = 1 << (LEVEL_BITS - resolution)
        self.c_step = (
            f"held = t ? held : level; on = level >= held + {step}; off = held >= level + {step}; "
            f"held += {step} * (on - off);"
        )

    def encode(self, values: FloatArray, *, n_steps: int, bits: int) -> Steps:
        """Follow each channel by its spikes."""
        levels = quantized(values, bits=LEVEL_BITS)
        return deltas(levels, bits=LEVEL_BITS, resolution=int(self.resolution or 0))


class CrossingCoding(Coding):
    """Two inputs a channel of a series, which spike where it enters a higher or a lower band.

    The bands are 2**B equal parts of the channel's range; the first step is no crossing.
    """

    per_step = True
    inputs_per_value = 2

    def __init__(self, resolution: int) -> None:
        self.resolution = resolution
        low = LEVEL_BITS - resolution
        self.c_step = (
            f"on = t && level >> {low} > held; off = t && level >> {low} < held; "
            f"held = level >> {low};"
        )

    def encode(self, values: FloatArray, *, n_steps: int, bits: int) -> Steps:
        """Compare the band of each channel with that of the step before."""
        levels = quantized(values, bits=LEVEL_BITS)
        return crossings(levels, bits=LEVEL_BITS, resolution=int(self.resolution or 0))


def upper_halves(levels: npt.NDArray[np.integer], *, bits: int) -> Steps:
    """Spikes of levels of k bits, shape (samples, steps, channels), from 2**(k - 1) on."""
    return (levels >= 1 << (bits - 1)).astype(np.uint8)


def deltas(levels: npt.NDArray[np.integer], *, bits: int, resolution: int) -> Steps:
    """Rises and falls of levels of k bits by 2**(k - B), shape (samples, steps, 2 * channels)."""
    known = levels.astype(np.int64)
    step = 1 << (bits - resolution)
    spikes = np.zeros((*known.shape, 2), np.uint8)
    reference = known[:, 0].copy()
    for t in range(known.shape[1]):
        rises = known[:, t] - reference >= step
        falls = reference - known[:, t] >= step
        reference += step * (rises.astype(np.int64) - falls)
        spikes[:, t, :, 0], spikes[:, t, :, 1] = rises, falls
    return spikes.reshape(len(known), known.shape[1], -1)


def crossings(levels: npt.NDArray[np.integer], *, bits: int, resolution: int) -> Steps:
    """Bands of 2**(k - B) levels entered from below and above, of the shape of `deltas`."""
    bands = levels.astype(np.int64) >> (bits - resolution)
    change = np.diff(bands, axis=1, prepend=bands[:, :1])
    spikes = np.stack([change > 0, change < 0], axis=-1).astype(np.uint8)
    return spikes.reshape(len(bands), bands.shape[1], -1)


THRESHOLD, LATENCY, INTENSITY, SERIES, DIRECT = (
    "threshold",
    "latency",
    "intensity",
    "series",
    "direct",
)
MIDPOINT = "midpoint"
CODINGS.add(THRESHOLD, ThresholdCoding())
CODINGS.add(LATENCY, LatencyCoding())
CODINGS.add(INTENSITY, IntensityCoding())
CODINGS.add(SERIES, SeriesCoding())
CODINGS.add(DIRECT, DirectCoding())
CODINGS.add(MIDPOINT, MidpointCoding())
for _bits in RESOLUTIONS:
    CODINGS.add(f"delta-{_bits}", DeltaCoding(_bits))
for _bits in RESOLUTIONS:
    CODINGS.add(f"crossing-{_bits}", CrossingCoding(_bits))


def require_bits(coding: str, bits: int) -> None:
    """Raise `InputError` unless the coding gives inputs of ``bits`` bits."""
    most = CODINGS[coding].max_bits
    if not 1 <= bits <= most:
        raise InputError(f"bits must be 1 to {most} for {coding} coding, not {bits!r}")


def quantized(values: npt.ArrayLike, *, bits: int) -> Steps:
    """Nearest level of k bits of each value in [0, 1]: what an encoder on chip reads.

    Raises
    ------
    InputError
        If a value is no number in [0, 1], or the bits are not 1 to 8.
    """
    if not 1 <= bits <= MAX_INPUT_BITS:
        raise InputError(f"bits must be 1 to {MAX_INPUT_BITS}, not {bits!r}")
    x = finite(values)
    outside = np.argwhere((x < 0) | (x > 1))
    if len(outside):
        where = [int(k) for k in outside[0]]
        raise InputError(f"values{where} must lie in 0..1, not {x[tuple(where)]}: scale them")
    return np.rint(x * ((1 << bits) - 1)).astype(np.uint8)


def finite(values: npt.ArrayLike, name: str = "values") -> FloatArray:
    """Return the values as float64, checked to be finite numbers.

    Raises
    ------
    InputError
        If a value is not a number, NaN or infinite; it names the first.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "iufb":
        raise InputError(f"{name} must be numbers, not {array.dtype}")
    x = array.astype(np.float64)
    bad = np.argwhere(~np.isfinite(x))
    if len(bad):
        where = [int(k) for k in bad[0]]
        raise InputError(f"{name}{where} must be finite, not {x[tuple(where)]}")
    return x
