"""Linear nodes of a NIR graph as maps of arrays; what is applied to unit inputs is their matrix."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from convexon.errors import InputError
from convexon.snn.real import Real

LINEAR = ("Linear", "Affine", "Scale", "Conv1d", "Conv2d", "SumPool2d", "AvgPool2d", "Flatten")

MAX_MATRIX = 1 << 27
"""Most weights of one unrolled layer."""


def require_size(name: str, rows: int, columns: int) -> None:
    """Raise `InputError` if a matrix is larger than `MAX_MATRIX`."""
    if rows * columns > MAX_MATRIX:
        raise InputError(
            f"{name} must have at most {MAX_MATRIX} weights when it is unrolled, not "
            f"{rows} x {columns}"
        )


def numbers_of(name: str, node: Any, parameter: str) -> Real:
    """A parameter of a node, which is to be finite real numbers."""
    given = np.asarray(getattr(node, parameter))
    if given.dtype.kind not in "biuf":
        raise InputError(f"{parameter} of {name} must hold real numbers, not {given.dtype}")
    if not np.isfinite(given).all():
        raise InputError(f"{parameter} of {name} must be finite, not NaN or infinite")
    return given


def spread_over(given: Real, shape: tuple[int, ...], place: str) -> Real:
    """One value for each of a shape, in a row."""
    try:
        return np.broadcast_to(given, shape).reshape(-1)
    except ValueError:
        raise InputError(f"{place} must have shape {shape}, not {given.shape}") from None


Apply = Callable[[Real], Real]


def linear(name: str, node: Any, shape: tuple[int, ...]) -> tuple[Apply, Real | None]:
    """Return the map of a linear node on arrays (rows, *shape), and what it adds to each row."""
    kind = type(node).__name__
    if kind in ("Linear", "Affine"):
        weight = numbers_of(name, node, "weight")
        if weight.ndim != 2 or shape[-1] != weight.shape[1]:
            raise InputError(f"weight of {name} must have shape (outputs, {shape[-1]})")
        if kind == "Linear":
            return lambda x: x @ weight.T, None
        return lambda x: x @ weight.T, _bias(name, node, len(weight))
    if kind == "Scale":
        scale = numbers_of(name, node, "scale")
        fits = [mine in (1, its) for mine, its in zip(scale.shape, shape, strict=False)]
        if scale.ndim not in (0, len(shape)) or not all(fits):
            raise InputError(f"scale of {name} must have shape {shape}, not {scale.shape}")
        return lambda x: x * scale, None
    if kind == "Flatten":
        start, end = int(node.start_dim), int(node.end_dim) % max(1, len(shape))
        inner = (*shape[:start], -1, *shape[end + 1 :])
        return lambda x: x.reshape(len(x), *inner), None
    if kind in ("SumPool2d", "AvgPool2d"):
        _require_images(name, shape, 2)
        kernel, stride = _pair(node.kernel_size), _pair(node.stride)
        _require_lengths(name, kernel_size=kernel, stride=stride)
        share = 1.0 if kind == "SumPool2d" else 1.0 / math.prod(kernel)
        weights = np.full((1, 1, *kernel), share, dtype=np.float32)
        pooling = _Window(weights, stride, _padding(name, node.padding, [], 2), (1, 1), groups=1)
        return lambda x: pooling.each_channel(x), None
    dims = int(kind[4])
    _require_images(name, shape, dims)
    weights, groups = numbers_of(name, node, "weight"), int(node.groups)
    if weights.ndim != dims + 2 or groups < 1 or len(weights) % groups:
        raise InputError(
            f"weight of {name} must have shape (outputs, channels of a group, {dims} lengths), "
            f"outputs a multiple of its {groups} groups, not {weights.shape}"
        )
    if weights.shape[1] * groups != shape[0]:
        raise InputError(
            f"weight of {name} must be of {shape[0]} channels, as come in, not "
            f"{weights.shape[1]} in {groups} groups"
        )
    if dims == 1:
        weights = weights[:, :, None, :]
    dilation, stride = _pair(node.dilation, dims), _pair(node.stride, dims)
    _require_lengths(name, dilation=dilation, stride=stride)
    reach = [(k - 1) * d for k, d in zip(weights.shape[2:], dilation, strict=True)]
    padding = _padding(name, node.padding, reach, dims)
    window = _Window(weights, stride, padding, dilation, groups=groups)
    bias = _bias(name, node, len(weights)).reshape(-1, *(1,) * dims)
    if dims == 1:
        return lambda x: window(x[:, :, None, :])[:, :, 0], bias
    return window, bias


def _bias(name: str, node: Any, n_outputs: int) -> Real:
    bias = numbers_of(name, node, "bias")
    if bias.shape != (n_outputs,):
        raise InputError(f"bias of {name} must have shape ({n_outputs},), not {bias.shape}")
    return bias


def _require_images(name: str, shape: tuple[int, ...], dims: int) -> None:
    if len(shape) != dims + 1:
        raise InputError(f"{name} must read shape (channels, {dims} lengths), not {shape}")


def _require_lengths(name: str, **lengths: tuple[int, ...]) -> None:
    """Raise `InputError` unless each has one or two lengths of at least 1."""
    for parameter, pair in lengths.items():
        if len(pair) != 2 or min(pair) < 1:
            raise InputError(f"{parameter} of {name} must be one or two lengths from 1, not {pair}")


def _pair(value: Any, dims: int = 2) -> tuple[int, ...]:
    """Lengths along height and width; a row has the height 1."""
    given = tuple(int(each) for each in np.ravel(np.asarray(value)))
    full = given * dims if len(given) == 1 else given
    return (1, *full) if dims == 1 else full


def _padding(name: str, value: Any, reach: list[int], dims: int) -> list[tuple[int, int]]:
    """Zeros on each side; ``same`` puts the odd one behind, as torch does."""
    if isinstance(value, (str, bytes)) or np.asarray(value).dtype.kind in "SU":
        word = str(np.asarray(value).item() if not isinstance(value, str) else value)
        if word == "valid":
            return [(0, 0), (0, 0)]
        sides = [(each // 2, each - each // 2) for each in reach]
        return sides
    pair = _pair(value, dims)
    if len(pair) != 2 or min(pair[2 - dims :]) < 0:
        raise InputError(f"padding of {name} must be one or two lengths from 0, not {pair}")
    return [(each, each) for each in ((0, pair[1]) if dims == 1 else pair)]


@dataclass(frozen=True)
class _Window:
    """A correlation of images with windows of weights.

    Members
    -------
    weights : float array, shape (outputs, inputs of a group, height, width)
    stride, dilation : pairs of int
    padding : pair of (before, behind)
    groups : int
    """

    weights: Real
    stride: tuple[int, ...]
    padding: list[tuple[int, int]]
    dilation: tuple[int, ...]
    groups: int

    def __call__(self, x: Real) -> Real:
        """Return (rows, outputs, height, width) of (rows, inputs, height, width)."""
        outputs, inputs, rows, columns = self.weights.shape
        sides = [x.shape[2 + a] + sum(self.padding[a]) for a in range(2)]
        require_size("a padded window", x.shape[0] * x.shape[1], math.prod(sides))
        padded = np.pad(x, ((0, 0), (0, 0), *self.padding))
        height, width = (
            (padded.shape[2 + a] - (k - 1) * self.dilation[a] - 1) // self.stride[a] + 1
            for a, k in enumerate((rows, columns))
        )
        if height < 1 or width < 1:
            raise InputError(f"a window of {rows} x {columns} does not fit {x.shape[2:]}")
        result = np.zeros((len(x), outputs, height, width), dtype=x.dtype)
        share = outputs // self.groups
        for group in range(self.groups):
            block = slice(group * share, (group + 1) * share)
            read = padded[:, group * inputs : (group + 1) * inputs]
            for r in range(rows):
                for c in range(columns):
                    top, left = r * self.dilation[0], c * self.dilation[1]
                    seen = read[
                        :,
                        :,
                        top : top + height * self.stride[0] : self.stride[0],
                        left : left + width * self.stride[1] : self.stride[1],
                    ]
                    result[:, block] += np.einsum(
                        "nihw,oi->nohw", seen, self.weights[block, :, r, c], optimize=True
                    )
        return result

    def each_channel(self, x: Real) -> Real:
        """Apply one window of a single input to every channel alike."""
        rows, channels = x.shape[:2]
        found = self(x.reshape(rows * channels, 1, *x.shape[2:]))
        return found.reshape(rows, channels, *found.shape[2:])
