"""Linear maps between two layers, composed one by one: convolutions as long as they are some.

A `Synapses` begins with a layer's own spikes and is followed by linear operations. Each operation
says what becomes of a convolution behind it; where that is none, all is one matrix from there on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from convexon.errors import InputError
from convexon.snn.convolution import MAX_UNROLLED, NO_PADDING, Convolution, Pair, Windows
from convexon.snn.models.real import Real

Operation = Callable[[Convolution], Convolution | None]
"""What a linear operation makes of a convolution before it; None where that is no convolution."""


def require_size(name: str, rows: int, columns: int) -> None:
    """Raise `InputError` if a matrix is larger than `MAX_UNROLLED`."""
    if rows * columns > MAX_UNROLLED:
        raise InputError(
            f"{name} must have at most {MAX_UNROLLED} weights when it is unrolled, not "
            f"{rows} x {columns}"
        )


def image_of(shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    """Channels, rows and columns of a shape; a signal of one axis is an image of height 1."""
    if len(shape) not in (2, 3):
        return None
    channels, *lengths = shape
    return channels, lengths[0] if len(shape) == 3 else 1, lengths[-1]


@dataclass(frozen=True, eq=False)
class Synapses:
    """A linear map from a layer's spikes.

    Members
    -------
    weights : Convolution, or float array of shape (size of the source, size of the result)
    """

    weights: Convolution | Real

    @classmethod
    def of_layer(cls, shape: tuple[int, ...], name: str) -> Synapses:
        """What a layer of ``shape`` hands on, unchanged."""
        if (image := image_of(shape)) is not None:
            channels, *_ = image
            kernel = np.ones((channels, 1, 1, 1), dtype=np.float32)
            return cls(Convolution(kernel, Windows(shape=image, groups=channels)))
        size = math.prod(shape)
        require_size(name, size, size)
        return cls(np.eye(size, dtype=np.float32))

    def then(self, operation: Operation, apply: Callable[[Real], Real] | None = None) -> Synapses:
        """Return the map with an operation behind it, which ``apply`` does to rows of values."""
        found = operation(self.weights) if isinstance(self.weights, Convolution) else None
        if found is None and apply is not None:
            return Synapses(apply(self.matrix))
        return self if found is None else Synapses(found)

    def plus(self, other: Synapses) -> Synapses:
        """Return the sum of two maps."""
        mine, its = self.weights, other.weights
        if isinstance(mine, Convolution) and isinstance(its, Convolution):
            alike = mine.windows == its.windows and mine.kernel.shape == its.kernel.shape
            if alike:
                return Synapses(mine.with_kernel(mine.kernel + its.kernel))
        return Synapses(self.matrix + other.matrix)

    def scaled(self, gain: Real) -> Synapses:
        """Return the map with its results multiplied, each by one of ``gain``."""
        if isinstance(self.weights, Convolution):
            each = np.broadcast_to(gain, self.weights.n_outputs).reshape(
                len(self.weights.kernel), -1
            )
            if (each == each[:, :1]).all():
                kernel = self.weights.kernel * each[:, 0, None, None, None]
                return Synapses(self.weights.with_kernel(kernel))
        return Synapses(self.matrix * gain)

    def mapped(self, function: Callable[[Real], Real]) -> Synapses:
        """Return the map with a function of each weight in its place."""
        own = self.weights
        if isinstance(own, Convolution):
            return Synapses(own.with_kernel(function(own.kernel)))
        return Synapses(function(own))

    @property
    def n_outputs(self) -> int:
        """Size of the result."""
        own = self.weights
        return own.n_outputs if isinstance(own, Convolution) else int(own.shape[1])

    @property
    def matrix(self) -> Real:
        """The map as a matrix."""
        own = self.weights
        return own.unrolled() if isinstance(own, Convolution) else own

    @property
    def simplest(self) -> Convolution | Real:
        """The weights; a matrix where each input is weighed by itself."""
        own = self.weights
        is_alone = isinstance(own, Convolution) and _is_cells(own) and own.windows.pool == (1, 1)
        return self.matrix if is_alone else own


def summed(maps: Iterable[Mapping[str, Synapses]]) -> dict[str, Synapses]:
    """Return the sum of maps from several sources, by their names."""
    total: dict[str, Synapses] = {}
    for each in maps:
        for name, part in each.items():
            total[name] = total[name].plus(part) if name in total else part
    return total


def correlated(
    kernel: Real, *, stride: Pair, padding: tuple[Pair, Pair], dilation: Pair, groups: int
) -> Operation:
    """Return a convolution with a kernel, (outputs, channels of a group, rows, columns)."""

    def after(before: Convolution) -> Convolution | None:
        if not _is_cells(before):
            return None
        windows = replace(
            before.windows, stride=stride, padding=padding, dilation=dilation, groups=groups
        )
        return Convolution(kernel, windows).scaled_inputs(before.kernel)

    return after


def pooled(size: Pair, stride: Pair, padding: tuple[Pair, Pair], share: float) -> Operation:
    """Return sums over cells of ``size``, times ``share``."""

    def after(before: Convolution) -> Convolution | None:
        windows, kernel = before.windows, before.kernel * np.float32(share)
        if _is_cells(before):
            pool = (windows.pool[0] * size[0], windows.pool[1] * size[1])
            if size == stride and padding == NO_PADDING:
                return Convolution(kernel, replace(windows, pool=pool))
            spread = np.broadcast_to(kernel, (*kernel.shape[:2], *size)).copy()
            return Convolution(spread, replace(windows, stride=stride, padding=padding))
        if padding != NO_PADDING:
            return None  # its zeros are of what the windows give, not of what they read
        return _summed(before.with_kernel(kernel), size, stride)

    return after


def _summed(before: Convolution, size: Pair, stride: Pair) -> Convolution:
    """Sums over neighbouring windows as larger windows."""
    windows, kernel = before.windows, before.kernel
    reach = [
        (k - 1) * d + 1 + (cell - 1) * step
        for k, d, cell, step in zip(
            before.size, windows.dilation, size, windows.stride, strict=True
        )
    ]
    total = np.zeros((*kernel.shape[:2], *reach), dtype=kernel.dtype)
    dilated = [(k - 1) * d + 1 for k, d in zip(before.size, windows.dilation, strict=True)]
    for row in range(size[0]):
        for column in range(size[1]):
            top, left = row * windows.stride[0], column * windows.stride[1]
            total[
                :,
                :,
                top : top + dilated[0] : windows.dilation[0],
                left : left + dilated[1] : windows.dilation[1],
            ] += kernel
    steps = (windows.stride[0] * stride[0], windows.stride[1] * stride[1])
    return Convolution(total, replace(windows, stride=steps, dilation=(1, 1)))


def weighed(weight: Real) -> Operation:
    """A dense layer, (outputs, inputs): windows as large as an image that was pooled."""

    def after(before: Convolution) -> Convolution | None:
        pixels = before.windows.shape[0] * math.prod(before.windows.pooled)
        flat = _is_cells(before) and weight.shape[1] == pixels
        if not flat or before.windows.pool == (1, 1):
            return None
        kernel = weight.reshape(len(weight), before.windows.shape[0], *before.windows.pooled)
        whole = Convolution(kernel, replace(before.windows, groups=1))
        return whole.scaled_inputs(before.kernel)

    return after


def multiplied(gains: Real) -> Operation:
    """One factor for all, or one for each output channel."""

    def after(before: Convolution) -> Convolution | None:
        flat = gains.reshape(-1)
        if len(flat) not in (1, len(before.kernel)):
            return None
        return before.with_kernel(before.kernel * flat.reshape(-1, 1, 1, 1))

    return after


def reshaped(before: Convolution) -> Convolution | None:
    """The same numbers in another shape."""
    return before


def _is_cells(weights: Convolution) -> bool:
    """Whether each channel is pooled and multiplied by itself, and nothing more."""
    windows = weights.windows
    plain = Windows(shape=windows.shape, pool=windows.pool, groups=windows.shape[0])
    return windows == plain and weights.kernel.shape == (windows.shape[0], 1, 1, 1)
