"""What a network takes and gives: raw samples on one side, class names on the other.

A card carries it, so that a network made of one set of samples can be applied to the next: by
`cx.Network.predict`, by ``convexon predict``, by the C header, and on a board.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.snn.coding import CODINGS, FloatArray, Steps, finite, quantized, require_bits
from convexon.snn.series import as_array, is_ragged, rectangular
from convexon.store.untrusted import require_line

ClassName = bool | int | float | str
"""What a class may be called in a file."""

_BACKGROUND = 0.25
"""Share of the range of all values within which the columns of an image have their least ones."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Interface:
    """How raw samples become the steps of an inference, and what the classes are called.

    A feature is scaled by its range in the training samples, ``u = (x - low) / (high - low)``, and
    clipped to [0, 1]. A feature that was constant in training becomes 0, and never spikes.

    Members
    -------
    coding : of `convexon.snn.coding.CODINGS`
    shape : of one raw sample: (features,), (height, width), (steps, channels)
    classes : name of each class, in the order of the scores
    low, high : float64 array, shape (values,), or None
        Range of each feature; None where the coding takes integers as they are.

    Raises
    ------
    InputError
        If the shape is empty, a class has no name of its own, or the ranges do not fit.
    """

    coding: str
    shape: tuple[int, ...]
    classes: tuple[ClassName, ...]
    low: FloatArray | None = None
    high: FloatArray | None = None

    def __post_init__(self) -> None:
        coding = CODINGS[self.coding]
        if not self.shape or min(self.shape) < 1:
            raise InputError(f"shape must have lengths of at least 1, not {self.shape}")
        if coding.per_step and len(self.shape) != 2:
            raise InputError(f"shape must be (steps, inputs) for {self.coding}, not {self.shape}")
        for name in self.classes:
            if isinstance(name, str):
                require_line(name, "a class")
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise InputError(f"classes must be two or more different names, not {self.classes}")
        if coding.scaled != (self.low is not None) or (self.low is None) != (self.high is None):
            raise InputError(f"low and high must be given for codings that scale ({self.coding})")
        if self.low is not None and self.high is not None:
            for name, ends in (("low", self.low), ("high", self.high)):
                if ends.shape != (self.n_values,):
                    raise InputError(f"{name} must have shape ({self.n_values},), not {ends.shape}")
                finite(ends, name)
            if (self.low > self.high).any():
                raise InputError("low must be no larger than high, feature by feature")

    @classmethod
    def fitted(
        cls, values: npt.ArrayLike, *, coding: str, classes: tuple[ClassName, ...]
    ) -> Interface:
        """Return the interface of training samples.

        Features of a table have units of their own, and each is scaled by its own range; so have
        the channels of a series, the last axis. The pixels of an image share one (`is_image`).

        Parameters
        ----------
        values : array, shape (samples, ...)

        Raises
        ------
        InputError
            If a value is not a finite number, or the shape does not suit the coding.
        """
        x = np.asarray(values)
        if x.ndim < 2 or 0 in x.shape:
            raise InputError(f"samples must have shape (samples, ...), none 0, not {x.shape}")
        if not CODINGS[coding].scaled:
            return cls(coding=coding, shape=x.shape[1:], classes=classes)
        known = finite(x)
        low, high = _ranges(known)
        if not CODINGS[coding].per_step and x.ndim > 2:
            if is_image(known):
                low, high = low.min(), high.max()
            n_inputs = math.prod(x.shape[1:])
            low, high = np.resize(low, n_inputs), np.resize(high, n_inputs)
        return cls(coding=coding, shape=x.shape[1:], classes=classes, low=low, high=high)

    @property
    def n_values(self) -> int:
        """Values that are encoded: the channels of a step, or all features of a sample."""
        return self.shape[-1] if CODINGS[self.coding].per_step else math.prod(self.shape)

    @property
    def n_inputs(self) -> int:
        """Inputs that the network reads at each step."""
        return self.n_values * CODINGS[self.coding].inputs_per_value

    @property
    def constant_features(self) -> list[int]:
        """Features that had a single value in training, and never spike."""
        if self.low is None or self.high is None:
            return []
        return [int(k) for k in np.flatnonzero(self.low == self.high)]

    def scaled(self, values: npt.ArrayLike) -> FloatArray:
        """Return raw samples with each feature in [0, 1], shape (samples, inputs) or per step.

        Parameters
        ----------
        values : array, shape (samples, ...), or flat (samples, features), or series of unequal
            lengths up to the network's steps (`convexon.snn.series`)

        Raises
        ------
        InputError
            If the shape is another one, or a value is not a finite number.
        """
        x = self._as_array(values)
        if x.shape[1:] not in (self.shape, (math.prod(self.shape),)) or not len(x):
            told = ", ".join(str(length) for length in self.shape)
            raise InputError(f"samples must have shape (samples, {told}), not {x.shape}")
        inner = self.shape if CODINGS[self.coding].per_step else (self.n_values,)
        known = finite(x.reshape(len(x), *inner), "samples")
        if self.low is None or self.high is None:
            return known
        # Halved first: the difference of two large numbers could overflow.
        span = 0.5 * self.high - 0.5 * self.low
        with np.errstate(over="ignore"):
            unit = (0.5 * known - 0.5 * self.low) / np.where(span > 0, span, 1.0)
        return np.where(span > 0, np.clip(unit, 0.0, 1.0), 0.0)

    def _as_array(self, values: Any) -> npt.NDArray[Any]:
        """Return raw samples as one array; series shorter than the network's are padded."""
        coding = CODINGS[self.coding]
        if coding.per_step:
            ragged = is_ragged(values)
            x = values if ragged else as_array("samples", values)
            if ragged or (x.ndim == 3 and x.shape[1] < self.shape[0] and len(x)):
                return rectangular(x, hold=coding.scaled, n_steps=self.shape[0])
        return as_array("samples", values)

    def encode(self, values: npt.ArrayLike, *, n_steps: int, bits: int) -> Steps:
        """Return what the network reads, shape (samples, n_steps, inputs).

        Raises
        ------
        InputError
            If the samples do not fit, or the steps or bits do not suit the coding.
        """
        coding = CODINGS[self.coding]
        require_bits(self.coding, bits)
        if n_steps < 1 or (coding.per_step and n_steps != self.shape[0]):
            told = f"the {self.shape[0]} of a sample" if coding.per_step else "at least 1"
            raise InputError(f"n_steps must be {told}, not {n_steps!r}")
        x = self.scaled(values)
        most = (1 << bits) - 1
        if not coding.scaled and ((x < 0) | (x > most) | (x != np.rint(x))).any():
            raise InputError(f"samples must be integers in 0..{most} ({bits} bits)")
        return coding.encode(x, n_steps=n_steps, bits=bits)

    def levels(self, values: npt.ArrayLike, *, bits: int) -> Steps:
        """Return raw samples as levels of k bits, which an encoder on chip reads."""
        return quantized(self.scaled(values), bits=bits)

    def named(self, labels: npt.NDArray[np.integer]) -> npt.NDArray[Any]:
        """Return the names of classes, in an array of the shape of ``labels``."""
        names: npt.NDArray[Any] = np.array(self.classes)[labels]
        return names


def is_image(values: npt.NDArray[np.generic]) -> bool:
    """Whether samples, shape (samples, ...), are images, and neither a table nor series.

    Samples of two axes or more are images unless the least values of their columns lie further
    apart than a quarter of the whole range: pixels have a background in common, channels have not.
    """
    if values.ndim < 3:
        return False
    low, high = _ranges(values.astype(np.float64, copy=False))
    # Halved first: the difference of two large numbers could overflow.
    return bool(np.ptp(0.5 * low) <= _BACKGROUND * (0.5 * high.max() - 0.5 * low.min()))


def _ranges(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Least and largest value of each place of the last axis."""
    rows = values.reshape(-1, values.shape[-1])
    return rows.min(axis=0), rows.max(axis=0)
