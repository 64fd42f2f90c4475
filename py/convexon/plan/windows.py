"""The folded mapping of a convolution: windows one after the other, their kernel stored once.

Lanes are output channels; a fold is one position of their window. A step's inputs go into a memory
with a border of zeros around each channel, a pixel a clock, so that windows lie at the same
distances everywhere. Then each window is read weight by weight, whatever spikes there are: the
cycles of a convolution do not depend on its inputs.

What is where follows from nested loops (`Walk`): every address is a sum of multiples of their
counters. The golden model knows nothing of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.plan.fold import FoldPlan
from convexon.plan.mapping import Weights
from convexon.snn.convolution import IntegerConvolution

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Loop:
    """One of nested loops.

    Members
    -------
    count : how often it is gone through
    steps : by what each address grows with its counter
    """

    count: int
    steps: tuple[int, ...]


@dataclass(frozen=True)
class Walk:
    """Nested loops, the outermost first, and where their addresses begin."""

    loops: tuple[Loop, ...]
    begins: tuple[int, ...]

    @property
    def clocks(self) -> int:
        """Places of the walk."""
        return math.prod(loop.count for loop in self.loops)

    @property
    def ends(self) -> tuple[int, ...]:
        """Largest value of each address."""
        return tuple(
            begin + sum((loop.count - 1) * loop.steps[k] for loop in self.loops)
            for k, begin in enumerate(self.begins)
        )

    def addresses(self) -> IntArray:
        """Every address at every place of the walk, shape (clocks, addresses)."""
        found = np.array([self.begins], dtype=np.int64)
        for loop in self.loops:
            offsets = np.arange(loop.count)[:, None] * np.array(loop.steps)
            found = (found[:, None] + offsets).reshape(-1, len(self.begins))
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class WindowPlan(FoldPlan):
    """The engine of a convolution: it streams windows past memories of pixels and of weights.

    Raises
    ------
    InputError
        If lanes, banks or the kind of weights do not suit a convolution.
    """

    def __post_init__(self) -> None:
        channels = len(self.shared.kernel) // self.shared.windows.groups
        where = f"branch {self.branches[0]} layer {self.depth}, a convolution,"
        if channels % self.choice.lanes:
            raise InputError(
                f"lanes of {where} must divide its {channels} output channels of a group, which "
                f"{self.choice.lanes} does not"
            )
        if self.choice.banks > 1 or self.choice.weights is not Weights.FIXED:
            raise InputError(
                f"{where} must have one bank of fixed weights, not {self.choice.banks} of "
                f"{self.choice.weights.value}: give its layer a matrix for others"
            )

    @property
    def shared(self) -> IntegerConvolution:
        """The convolution."""
        if not isinstance(self.layer.weights, IntegerConvolution):
            raise InputError("a plan of windows must be of a convolution")
        return self.layer.weights

    @property
    def blocks(self) -> int:
        """Blocks of output channels, each with a lane for every channel."""
        return len(self.shared.kernel) // self.choice.lanes

    @property
    def folds(self) -> int:
        """Windows of a step."""
        return self.blocks * self.shared.spread

    @property
    def rows(self) -> int:
        """Rows of a block: weights of a channel."""
        return int(self.shared.kernel[0].size)

    @property
    def depth_of_bank(self) -> int:
        """Addresses of the weights."""
        return self.blocks * self.rows

    @property
    def handover_clocks(self) -> int:
        """Clock edges from the last read of a window to its handover: memory, register, sum."""
        return 3

    @property
    def load_clocks(self) -> int:
        """Clocks in which the pixels of a step come in."""
        return self.loading.clocks

    @cached_property
    def places(self) -> IntArray:
        """Neuron at each place, window after window."""
        neurons = np.arange(self.layer.n_neurons)
        by_lane = neurons.reshape(self.blocks, self.choice.lanes, self.shared.spread)
        return by_lane.transpose(0, 2, 1).reshape(-1)

    def bank(self, index: int) -> IntArray:
        """Rows of weights, block after block: shape (depth_of_bank, lanes)."""
        kernel = self.shared.kernel.reshape(self.blocks, self.choice.lanes, self.rows)
        return kernel.transpose(0, 2, 1).reshape(self.depth_of_bank, self.choice.lanes)

    def spikes_of_pass(self, sources: npt.NDArray[np.uint8]) -> IntArray:
        """Reads of a pass, which are those of a window, of whatever sources, (...)."""
        return np.full(sources.shape[:-1], self.shared.fan_in)

    def clocks_of_pass(self, reads: IntArray) -> IntArray:
        """Clocks of passes: one to begin, and one a read."""
        return reads + 1

    def mean_clocks(self, spikes: float) -> float:
        """Clocks of a step; whatever spikes, it takes all of them."""
        each = self.input_bits * (self.shared.fan_in + 1)
        return self.load_clocks + self.folds * max(each, self.spacing)

    @property
    def pixels(self) -> int:
        """Words of the memory of pixels, their border of zeros included."""
        return math.prod(self.shared.windows.padded)

    @cached_property
    def loading(self) -> Walk:
        """Where each pixel comes from, a source, and goes to, an address of the memory."""
        windows = self.shared.windows
        channels, high, wide = windows.shape
        _, rows, columns = windows.padded
        (down, right), (above, _), (left, _) = windows.pool, *windows.padding
        return Walk(
            loops=(
                Loop(channels, (high * wide, rows * columns)),
                Loop(windows.pooled[0] * down, (wide, columns)),
                Loop(windows.pooled[1] * right, (1, 1)),
            ),
            begins=(0, above * down * columns + left * right),
        )

    @cached_property
    def outer(self) -> tuple[Loop, ...]:
        """Loops over the windows of a step: groups, blocks of a group, rows, columns."""
        windows, shape = self.shared.windows, self.shared.shape
        channels, rows, columns = windows.padded
        groups = windows.groups
        blocks = self.blocks // groups
        return (
            Loop(groups, (channels // groups * rows * columns, blocks * self.rows)),
            Loop(blocks, (0, self.rows)),
            Loop(shape[1], (windows.stride[0] * windows.pool[0] * columns, 0)),
            Loop(shape[2], (windows.stride[1] * windows.pool[1], 0)),
        )

    @cached_property
    def inner(self) -> tuple[Loop, ...]:
        """Loops over a window: channels, rows and pixels of a cell, columns and its pixels."""
        windows = self.shared.windows
        _, n_channels, n_rows, n_columns = self.shared.kernel.shape
        _, rows, columns = windows.padded
        (down, right), (dilation, spacing) = windows.pool, windows.dilation
        return (
            Loop(n_channels, (rows * columns, n_rows * n_columns)),
            Loop(n_rows, (dilation * down * columns, n_columns)),
            Loop(down, (columns, 0)),
            Loop(n_columns, (spacing * right, 1)),
            Loop(right, (1, 0)),
        )

    @cached_property
    def reading(self) -> Walk:
        """Addresses of pixels and of weights, bit planes between windows and what they read."""
        planes = Loop(self.input_bits, (0, 0))
        return Walk(loops=(*self.outer, planes, *self.inner), begins=(0, 0))


def window_lanes(shared: IntegerConvolution, most: int) -> int:
    """Most lanes that a convolution can have, up to ``most``."""
    channels = len(shared.kernel) // shared.windows.groups
    return max(lanes for lanes in range(1, min(most, channels) + 1) if channels % lanes == 0)
