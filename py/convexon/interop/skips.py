"""Layers that read others than the one below, as layers in a row.

What passes a layer is repeated in it: a *relay* is a neuron that forgets at once and reads one
spike, and so fires in the steps in which its source did. In hardware it is the flip-flop that a
spike needs anyway to stay in step with those that go through the layer. A layer is then its own
neurons, and behind them the relays of each source that is still read further up. Of images relays
are channels, and the layer stays a convolution where its windows leave the image its size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import accumulate
from typing import Any

import numpy as np

from convexon.errors import InputError
from convexon.interop.synapses import Synapses, image_of, require_size
from convexon.snn.convolution import MAX_UNROLLED, Convolution, Pair, Windows
from convexon.snn.models.real import Real, RealLayer

Shape = tuple[int, ...]

_BELOW_ONE = 0.25
"""Threshold of a relay: a spike is above it, and stays so where a late reset takes it off once."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Reading:
    """A layer before it has its place in the row.

    Members
    -------
    layer : RealLayer
        Its weights are those of any one source, and take their place in the row from ``parts``.
    parts : dict of str to Synapses
        What it reads, by the names of layers or of the input.
    shape : tuple of int
        Of its neurons.
    """

    layer: RealLayer
    parts: Mapping[str, Synapses]
    shape: Shape

    def __post_init__(self) -> None:
        if math.prod(self.shape) != self.layer.n_neurons:
            raise InputError(
                f"{self.layer.name} must hand on the spikes of its {self.layer.n_neurons} neurons, "
                f"not of shape {self.shape}"
            )


@dataclass(frozen=True)
class _Block:
    """Spikes of one source among those that a layer hands on."""

    name: str
    shape: Shape

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def unchanged(self) -> Synapses:
        """What repeats them."""
        return Synapses.of_layer(self.shape, self.name)


def in_order(reads: Mapping[str, set[str]], start: str) -> list[str]:
    """Return ``start``, then all layers, each behind those that it reads.

    Raises
    ------
    InputError
        If layers read each other in a circle, or are not reached from ``start``.
    """
    order, names = [start], list(reads)
    place = {name: k for k, name in enumerate(names)}
    missing = {name: len(sources) for name, sources in reads.items()}
    readers: dict[str, list[str]] = {}
    for name, sources in reads.items():
        for source in sources:
            readers.setdefault(source, []).append(name)
    ready: list[int] = []
    for source in order:  # grows while it is walked
        for name in readers.get(source, ()):
            missing[name] -= 1
            if not missing[name]:
                heappush(ready, place[name])
        if ready:
            order.append(names[heappop(ready)])
    left = reads.keys() - set(order)
    for name in names:
        if name in left and not reads[name] & left:
            raise InputError(f"{name} must be reached from the input")
    for name in names:
        if name in left:
            raise InputError(
                f"{name} reads {min(reads[name] & left)}, which is not below it: only a layer "
                "itself may be read from above"
            )
    return order


def in_a_row(
    readings: Sequence[Reading], given: tuple[str, Shape], output: Mapping[str, Synapses]
) -> tuple[tuple[RealLayer, ...], Real]:
    """Return layers each of which reads the one below, and the weights of the readout.

    Parameters
    ----------
    readings : sequence of Reading
        Each behind those that it reads.
    given : name and shape of the input
    output : dict of str to Synapses
        What the readout reads.

    Raises
    ------
    InputError
        If a layer is read by nothing, or one between cannot repeat spikes; it names the layer.
    """
    of_source = {each.layer.name: each.layer for each in readings}
    stacked = [*(each.parts for each in readings), output]
    last = {name: k for k, parts in enumerate(stacked, 1) for name in parts}
    for name in of_source:
        if name not in last:
            raise InputError(f"{name} must be read by a layer or by the output: nothing is dropped")
    below = [_Block(*given)]
    layers: list[RealLayer] = []
    n_weights = 0
    for k, reading in enumerate(readings, 1):
        # A layer's own spikes lead, and those that it repeats follow.
        passing = [each for each in (*below[1:], below[0]) if last.get(each.name, 0) > k]
        for each in passing:
            _require_repeats(reading.layer, each.name, of_source.get(each.name))
        repeated = [{each.name: each.unchanged} for each in passing]
        weights = _beside(reading.layer.name, below, [reading.parts, *repeated])
        layers.append(_with_relays(reading.layer, weights, sum(each.size for each in passing)))
        n_weights += layers[-1].columns.size if passing else 0
        if n_weights > MAX_UNROLLED:
            raise InputError(
                f"layers that spikes pass must have at most {MAX_UNROLLED} weights in all, which "
                f"is too few at {reading.layer.name}: skip fewer layers"
            )
        below = [_Block(reading.layer.name, reading.shape), *passing]
    readout = _matrix("the readout", below, [output])
    return tuple(layers), readout


def _require_repeats(layer: RealLayer, name: str, source: RealLayer | None) -> None:
    """Raise `InputError` if neurons beside those of ``layer`` would not repeat each spike."""
    told = None
    if layer.synapse is not None and layer.synapse.any():
        told = "its synaptic current goes on after a spike"
    elif layer.delayed:
        told = "its spikes come out a step after their neurons fired"
    elif source is not None and source.several and not layer.several:
        told = f"{name} may spike several times a step, and {layer.name} once"
    elif layer.several and layer.late:
        told = "several spikes are taken off one step late"
    if told is not None:
        raise InputError(f"{layer.name} cannot hand on spikes of {name} past itself: {told}")


def _with_relays(layer: RealLayer, weights: Convolution | Real, n: int) -> RealLayer:
    """The layer under its weights in the row, the last ``n`` of whose neurons are relays."""
    if not n:
        return replace(layer, weights=weights)

    def padded(value: Real | None, fill: float = 0.0) -> Real | None:
        return None if value is None else np.pad(value, (0, n), constant_values=fill)

    threshold = 1.0 if layer.several else _BELOW_ONE  # several spikes are floor(u / theta)
    members: dict[str, Any] = {
        name: padded(getattr(layer, name))
        for name in ("biases", "leak", "floor", "lateral_biases", "resets", "synapse")
    }
    members["thresholds"] = padded(layer.thresholds, threshold)
    members["lateral"] = None if layer.lateral is None else np.pad(layer.lateral, (0, n))
    return replace(layer, weights=weights, relays=n, **members)


def _beside(
    name: str, below: list[_Block], columns: list[Mapping[str, Synapses]]
) -> Convolution | Real:
    """Weights of all that is below, of the layer's own neurons and then of each of its relays."""
    if len(below) == len(columns) == 1:
        return columns[0][below[0].name].simplest
    found = _windows(below, columns)
    return _matrix(name, below, columns) if found is None else found


def _matrix(name: str, below: list[_Block], columns: list[Mapping[str, Synapses]]) -> Real:
    """The weights as one matrix."""
    rows = _places([each.size for each in below])
    sizes = [next(iter(each.values())).n_outputs for each in columns]
    require_size(name, rows[-1].stop, sum(sizes))
    parts = [
        (row, column, parts[block.name].matrix)
        for block, row in zip(below, rows, strict=True)
        for parts, column in zip(columns, _places(sizes), strict=True)
        if block.name in parts
    ]
    kind = np.result_type(*(part for *_, part in parts))
    total = np.zeros((rows[-1].stop, sum(sizes)), dtype=kind)
    for row, column, part in parts:
        total[row, column] = part
    return total


def _places(sizes: Sequence[int]) -> list[slice]:
    """Where parts of some sizes lie, one behind the other."""
    ends = list(accumulate(sizes))
    return [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]


def _windows(below: list[_Block], columns: list[Mapping[str, Synapses]]) -> Convolution | None:
    """The weights as one convolution of the channels below; None where they are none."""
    images = {each.name: image_of(each.shape) for each in below}
    own = [_convolutions(parts, images) for parts in columns]
    if any(len(found) < len(parts) for found, parts in zip(own, columns, strict=True)):
        return None
    read = [each for found in own for each in found.values()]
    channels = [image[0] for image in images.values() if image is not None]
    alike = {(each.windows.pool, each.windows.stride, each.shape[1:]) for each in read}
    lengths = {image and image[1:] for image in images.values()}
    axes = [axis for axis in (_axis(read, 0), _axis(read, 1)) if axis is not None]
    if max(len(alike), len(lengths)) > 1 or None in lengths or len(axes) < 2:
        return None
    outputs = [len(next(iter(found.values())).kernel) for found in own]
    kind = np.result_type(*(each.kernel for each in read))
    total = np.zeros((sum(outputs), sum(channels), *(axis.size for axis in axes)), dtype=kind)
    for found, out in zip(own, _places(outputs), strict=True):
        for block, place in zip(below, _places(channels), strict=True):
            if block.name in found:
                each = found[block.name]
                high, wide = (axis.place(each) for axis in axes)
                total[out, place, high, wide] = _of_all_channels(each)
    windows = Windows(
        shape=(sum(channels), *read[0].windows.shape[1:]),
        pool=read[0].windows.pool,
        stride=read[0].windows.stride,
        padding=(axes[0].padding, axes[1].padding),
        dilation=(axes[0].dilation, axes[1].dilation),
    )
    return Convolution(total, windows)


def _convolutions(
    parts: Mapping[str, Synapses], images: Mapping[str, tuple[int, int, int] | None]
) -> dict[str, Convolution]:
    """Parts that are convolutions of the images that are there."""
    return {
        name: part.weights
        for name, part in parts.items()
        if isinstance(part.weights, Convolution) and part.weights.windows.shape == images[name]
    }


@dataclass(frozen=True)
class _Axis:
    """Rows, or columns, of a kernel that several fit into, each with zeros around it."""

    axis: int
    size: int
    dilation: int
    padding: Pair

    def place(self, own: Convolution) -> slice:
        """Where a kernel lies within."""
        before = (self.padding[0] - own.windows.padding[self.axis][0]) // self.dilation
        return slice(before, before + own.size[self.axis])


def _axis(read: list[Convolution], axis: int) -> _Axis | None:
    """The kernel's rows or columns that hold those of all; None where there are none such."""
    dilations = {each.windows.dilation[axis] for each in read if each.size[axis] > 1} or {1}
    if len(dilations) > 1:
        return None
    (dilation,) = dilations
    starts = [each.windows.padding[axis][0] for each in read]
    before = max(starts)
    if any((before - each) % dilation for each in starts):
        return None
    size = max(
        (before - its) // dilation + each.size[axis] for its, each in zip(starts, read, strict=True)
    )
    # Zeros behind, as many as the last window needs.
    windows, positions = read[0].windows, read[0].shape[1 + axis]
    reach = (positions - 1) * windows.stride[axis] + (size - 1) * dilation + 1
    behind = reach - windows.pooled[axis] - before
    if behind <= -windows.stride[axis]:
        return None
    return _Axis(axis, size, dilation, (before, max(0, behind)))


def _of_all_channels(own: Convolution) -> Real:
    """The kernel over the channels of all groups, zero where a group has no part."""
    groups, channels = own.windows.groups, own.windows.shape[0]
    if groups == 1:
        return own.kernel
    outputs, each, *size = own.kernel.shape
    total = np.zeros((outputs, channels, *size), dtype=own.kernel.dtype)
    for group in range(groups):
        out = slice(group * outputs // groups, (group + 1) * outputs // groups)
        total[out, group * each : (group + 1) * each] = own.kernel[out]
    return total
