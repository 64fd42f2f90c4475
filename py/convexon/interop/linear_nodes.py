"""Linear nodes of a NIR graph: as maps of arrays, and as what they make of a convolution."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from convexon.errors import InputError
from convexon.interop.synapses import (
    Operation,
    Synapses,
    correlated,
    multiplied,
    pooled,
    reshaped,
    weighed,
)
from convexon.snn.convolution import NO_PADDING, Convolution, Pair
from convexon.snn.models.real import Real

LINEAR = ("Linear", "Affine", "Scale", "Conv1d", "Conv2d", "SumPool2d", "AvgPool2d", "Flatten")


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


@dataclass(frozen=True)
class Linear:
    """What a linear node does.

    Members
    -------
    apply : callable
        To arrays (rows, *shape), without its bias.
    operation : Operation
        To a convolution.
    bias : float array or None
        What it adds to each row.
    """

    apply: Callable[[Real], Real]
    operation: Operation
    bias: Real | None = None


def linear(name: str, node: Any, shape: tuple[int, ...]) -> Linear:
    """Return what a linear node does to what it reads, of ``shape``."""
    kind = type(node).__name__
    if kind in ("Linear", "Affine"):
        weight = numbers_of(name, node, "weight")
        if weight.ndim != 2 or shape[-1] != weight.shape[1]:
            raise InputError(f"weight of {name} must have shape (outputs, {shape[-1]})")
        bias = None if kind == "Linear" else _bias(name, node, len(weight))
        return Linear(lambda x: x @ weight.T, weighed(weight), bias)
    if kind == "Scale":
        scale = numbers_of(name, node, "scale")
        fits = [mine in (1, its) for mine, its in zip(scale.shape, shape, strict=False)]
        if scale.ndim not in (0, len(shape)) or not all(fits):
            raise InputError(f"scale of {name} must have shape {shape}, not {scale.shape}")
        each_channel = scale.size in (1, *scale.shape[:1])
        operation = multiplied(scale) if each_channel else _nothing
        return Linear(lambda x: x * scale, operation)
    if kind == "Flatten":
        start, end = int(node.start_dim), int(node.end_dim) % max(1, len(shape))
        inner = (*shape[:start], -1, *shape[end + 1 :])
        return Linear(lambda x: x.reshape(len(x), *inner), reshaped)
    if kind in ("SumPool2d", "AvgPool2d"):
        _require_images(name, shape, 2)
        kernel = _lengths(name, "kernel_size", node.kernel_size)
        stride = _lengths(name, "stride", node.stride)
        share = 1.0 if kind == "SumPool2d" else 1.0 / math.prod(kernel)
        padding = _padding(name, node.padding, [], 2)
        return _windowed(name, pooled(kernel, stride, padding, share), shape)
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
    dilation = _lengths(name, "dilation", node.dilation, dims)
    stride = _lengths(name, "stride", node.stride, dims)
    reach = [(k - 1) * d for k, d in zip(weights.shape[2:], dilation, strict=True)]
    padding = _padding(name, node.padding, reach, dims)
    operation = correlated(
        weights, stride=stride, padding=padding, dilation=dilation, groups=groups
    )
    bias = _bias(name, node, len(weights)).reshape(-1, *(1,) * dims)
    return replace(_windowed(name, operation, shape), bias=bias)


def _windowed(name: str, operation: Operation, shape: tuple[int, ...]) -> Linear:
    """An operation on images, as one on rows of them too."""
    try:
        found = Synapses.of_layer(shape, name).then(operation)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    own = found.weights
    if not isinstance(own, Convolution):
        raise InputError(f"{name} must read images that its windows fit, not {shape}")
    lengths = own.shape if len(shape) == 3 else (own.shape[0], own.shape[2])
    return Linear(lambda x: (x.reshape(len(x), -1) @ own).reshape(len(x), *lengths), operation)


def _nothing(before: Convolution) -> None:
    """What has no place in a convolution."""


def _bias(name: str, node: Any, n_outputs: int) -> Real:
    bias = numbers_of(name, node, "bias")
    if bias.shape != (n_outputs,):
        raise InputError(f"bias of {name} must have shape ({n_outputs},), not {bias.shape}")
    return bias


def _require_images(name: str, shape: tuple[int, ...], dims: int) -> None:
    if len(shape) != dims + 1:
        raise InputError(f"{name} must read shape (channels, {dims} lengths), not {shape}")


def _lengths(name: str, parameter: str, value: Any, dims: int = 2, least: int = 1) -> Pair:
    """Lengths along height and width; a row has the height ``least``."""
    given = tuple(int(each) for each in np.ravel(np.asarray(value)))
    full = given * dims if len(given) == 1 else given
    if len(full) != dims or min(full) < least:
        raise InputError(
            f"{parameter} of {name} must be one or two lengths from {least}, not {given}"
        )
    return (least, full[0]) if dims == 1 else (full[0], full[1])


def _padding(name: str, value: Any, reach: list[int], dims: int) -> tuple[Pair, Pair]:
    """Zeros on each side; ``same`` puts the odd one behind, as torch does."""
    if isinstance(value, (str, bytes)) or np.asarray(value).dtype.kind in "SU":
        word = str(np.asarray(value).item() if not isinstance(value, str) else value)
        if word == "valid":
            return NO_PADDING
        rows, columns = ((each // 2, each - each // 2) for each in reach)
        return rows, columns
    down, right = _lengths(name, "padding", value, dims, least=0)
    return (down, down), (right, right)
