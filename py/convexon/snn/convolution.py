"""Synapses that many neurons share: one kernel over an image, stored once.

Of an image x with pixels in the order channel, row, column::

    p[i, r, c] = sum of x[i] over a cell of ``pool`` pixels, cells side by side
    y[o, r, c] = sum_{i, m, n} kernel[o, i, m, n] * p[g + i, R + m * dilation, C + n * dilation]
                 R = r * stride - padding before, C alike

as in PyTorch's Conv2d: p is 0 where padding reaches beyond it, and g is the first channel of o's
group. A signal of one axis has the height 1. Pooling alone is a kernel of one weight a channel, and
a dense layer behind it a kernel as large as the pooled image. `unrolled` is what all of it means.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError, require_integer, require_within

Values = npt.NDArray[Any]
Pair = tuple[int, int]

NO_PADDING = ((0, 0), (0, 0))

MAX_PIXELS = 1 << 20
"""Most pixels of an image, of all channels, padding included."""

MAX_UNROLLED = 1 << 27
"""Most weights of a matrix that a convolution may be unrolled to."""

_MOST_PATCHES = 1 << 23
"""Values that windows read at once."""


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Where the windows of a convolution lie; every pair is of rows and columns.

    Members
    -------
    shape : channels, rows and columns of what is read
    pool : rows and columns of a cell that is summed up first; what no cell covers is not read
    padding : zeros before and behind the rows, and the columns, of the pooled image
    """

    shape: tuple[int, int, int]
    pool: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: tuple[Pair, Pair] = NO_PADDING
    dilation: Pair = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        for name, least in (("shape", 1), ("pool", 1), ("stride", 1), ("dilation", 1)):
            lengths = tuple(require_integer(name, each) for each in getattr(self, name))
            for each in lengths:
                require_within(name, each, least, MAX_PIXELS)
            object.__setattr__(self, name, lengths)
        if len(self.shape) != 3:
            raise InputError(f"shape must be channels, rows and columns, not {self.shape}")
        sides = tuple(tuple(require_integer("padding", e) for e in axis) for axis in self.padding)
        for each in (end for axis in sides for end in axis):
            require_within("padding", each, 0, MAX_PIXELS)
        object.__setattr__(self, "padding", sides)
        require_within("groups", self.groups, 1, self.shape[0])
        if self.shape[0] % self.groups:
            raise InputError(f"groups must divide the {self.shape[0]} channels, not {self.groups}")
        if min(self.pooled) < 1:
            raise InputError(f"pool must fit the image of {self.shape[1:]}, not {self.pool}")
        require_within("pixels of an image", math.prod(self.padded), 1, MAX_PIXELS)

    @property
    def n_inputs(self) -> int:
        """Pixels of all channels."""
        return math.prod(self.shape)

    @property
    def pooled(self) -> Pair:
        """Rows and columns of the pooled image."""
        return self.shape[1] // self.pool[0], self.shape[2] // self.pool[1]

    @property
    def padded(self) -> tuple[int, int, int]:
        """Channels, rows and columns of all that windows may read, in pixels of the image."""
        rows, columns = (
            (length + sum(sides)) * cell
            for length, sides, cell in zip(self.pooled, self.padding, self.pool, strict=True)
        )
        return self.shape[0], rows, columns

    def positions(self, size: Pair) -> Pair:
        """Rows and columns of windows of ``size``; below 1 where none fits."""
        rows, columns = (
            (length + sum(sides) - (reach - 1) * dilation - 1) // stride + 1
            for length, sides, reach, dilation, stride in zip(
                self.pooled, self.padding, size, self.dilation, self.stride, strict=True
            )
        )
        return rows, columns


@dataclass(frozen=True, eq=False)
class Convolution:
    """Weights that the windows of an image share.

    ``x @ convolution`` is what ``x @ convolution.unrolled()`` would be, without unrolling it.

    Members
    -------
    kernel : array, shape (outputs, channels of a group, rows, columns)
    windows : Windows

    Raises
    ------
    InputError
        If the kernel does not fit the windows.
    """

    kernel: npt.NDArray[Any]
    windows: Windows

    def __post_init__(self) -> None:
        kernel, windows = np.asarray(self.kernel), self.windows
        object.__setattr__(self, "kernel", kernel)
        channels = windows.shape[0] // windows.groups
        if kernel.ndim != 4 or 0 in kernel.shape or kernel.shape[1] != channels:
            raise InputError(
                f"kernel must have shape (outputs, {channels} channels, rows, columns), "
                f"not {kernel.shape}"
            )
        if len(kernel) % windows.groups:
            raise InputError(
                f"outputs of the kernel must be a multiple of {windows.groups} groups, "
                f"not {len(kernel)}"
            )
        if min(self.shape) < 1:
            raise InputError(
                f"kernel of {kernel.shape[2:]} must fit the image of {windows.pooled} that it reads"
            )

    @property
    def size(self) -> Pair:
        """Rows and columns of the kernel."""
        rows, columns = self.kernel.shape[2:]
        return int(rows), int(columns)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of what comes out."""
        return (len(self.kernel), *self.windows.positions(self.size))

    @property
    def n_inputs(self) -> int:
        """Pixels that are read."""
        return self.windows.n_inputs

    @property
    def n_outputs(self) -> int:
        """Neurons that the windows lead to, in the order channel, row, column."""
        return math.prod(self.shape)

    @property
    def fan_in(self) -> int:
        """Pixels that a window reads, padding included."""
        return int(self.kernel[0].size) * math.prod(self.windows.pool)

    def with_kernel(self, kernel: Values) -> Self:
        """The same windows with another kernel."""
        return replace(self, kernel=kernel)

    def astype(self, dtype: Any) -> Self:
        """The same in another type of numbers."""
        return self.with_kernel(self.kernel.astype(dtype))

    @property
    def spread(self) -> int:
        """Neurons that share an output channel's weights."""
        return math.prod(self.shape[1:])

    @property
    def columns(self) -> Values:
        """The kernel as a matrix, one column an output channel: shape (weights, outputs)."""
        return self.kernel.reshape(len(self.kernel), -1).T

    def with_columns(self, columns: Values) -> Self:
        """Inverse of `columns`."""
        return self.with_kernel(columns.T.reshape(self.kernel.shape))

    def scaled_inputs(self, gains: Values) -> Self:
        """The same on inputs that are multiplied, those of each channel by one of ``gains``."""
        groups = self.windows.groups
        own = self.kernel.reshape(groups, -1, *self.kernel.shape[1:])
        scaled = own * gains.reshape(groups, 1, -1, 1, 1)
        return self.with_kernel(scaled.reshape(self.kernel.shape))

    def each(self, per_channel: Values) -> Values:
        """A value of every output channel as one of every neuron."""
        return np.repeat(per_channel, self.spread)

    def patches(self, x: Values) -> Values:
        """Return what every window reads of ``x``, (samples, inputs), pooled.

        Its shape is (samples, groups, rows, columns, channels of a group, kernel's rows, columns).
        """
        windows = self.windows
        channels, *_ = windows.shape
        high, wide = windows.pooled
        image = x.reshape(len(x), *windows.shape)
        down, right = windows.pool
        cells = image[:, :, : high * down, : wide * right]
        pooled = cells.reshape(len(x), channels, high, down, wide, right).sum(
            axis=(3, 5), dtype=x.dtype
        )
        padded = np.pad(pooled, ((0, 0), (0, 0), *windows.padding))
        reach = [(k - 1) * d + 1 for k, d in zip(self.size, windows.dilation, strict=True)]
        views = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(2, 3))
        down, right = windows.stride
        views = views[:, :, ::down, ::right, :: windows.dilation[0], :: windows.dilation[1]]
        grouped = views.reshape(len(x), windows.groups, -1, *views.shape[2:])
        return np.moveaxis(grouped, 2, 4)

    def __rmatmul__(self, x: Values) -> Values:
        """Weigh ``x`` of shape (samples, inputs), or (inputs,), to one value a neuron."""
        rows = np.atleast_2d(x)
        at_once = max(1, _MOST_PATCHES // (self.n_outputs * self.fan_in))
        parts = [self._weighed(rows[k : k + at_once]) for k in range(0, len(rows), at_once)]
        return np.concatenate(parts).reshape(*x.shape[:-1], self.n_outputs)

    def _weighed(self, x: Values) -> Values:
        patches = self.patches(x)
        samples, groups, rows, columns = patches.shape[:4]
        flat = patches.reshape(samples, groups, rows * columns, -1)
        kernel = self.kernel.reshape(groups, -1, flat.shape[-1])
        found = flat @ kernel.transpose(0, 2, 1).astype(flat.dtype, copy=False)
        return np.asarray(found.swapaxes(2, 3).reshape(samples, -1))

    __array_ufunc__ = None  # arrays leave ``x @ convolution`` to this class

    def unrolled(self) -> Values:
        """Return the matrix that it stands for, shape (inputs, neurons).

        Raises
        ------
        InputError
            If that has more than `MAX_UNROLLED` weights.
        """
        if self.n_inputs * self.n_outputs > MAX_UNROLLED:
            raise InputError(
                f"a convolution of {self.n_inputs} inputs and {self.n_outputs} neurons must have "
                f"at most {MAX_UNROLLED} weights to be unrolled: fold it instead"
            )
        units = np.eye(self.n_inputs, dtype=self.kernel.dtype)
        return np.asarray(units @ self)


@dataclass(frozen=True, eq=False)
class IntegerConvolution(Convolution):
    """A `Convolution` of integers, as networks hold it."""

    kernel: npt.NDArray[np.int64]
