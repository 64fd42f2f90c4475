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
    """

    scaled: ClassVar[bool] = True
    per_step: ClassVar[bool] = False
    max_bits: ClassVar[int] = 1
    c_expression: ClassVar[str | None] = None

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


THRESHOLD, LATENCY, INTENSITY, SERIES, DIRECT = (
    "threshold",
    "latency",
    "intensity",
    "series",
    "direct",
)
CODINGS.add(THRESHOLD, ThresholdCoding())
CODINGS.add(LATENCY, LatencyCoding())
CODINGS.add(INTENSITY, IntensityCoding())
CODINGS.add(SERIES, SeriesCoding())
CODINGS.add(DIRECT, DirectCoding())


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
