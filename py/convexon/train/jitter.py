"""Training samples that are moved a little, as further samples with the same labels.

An image that is turned, stretched, sheared or moved a little shows the same thing, and so does a
series that begins a little later or goes a little faster. Copies say so to a method that has no
other way to know it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from convexon.data.samples import Samples
from convexon.errors import InputError
from convexon.snn.coding import CODINGS
from convexon.snn.interface import is_image

FloatArray = npt.NDArray[np.float64]

_TURN, _STRETCH, _SHEAR, _MOVE = np.deg2rad(10.0), 0.1, 0.1, 1.5 / 28
"""How far, at most: radians, log of the scale along an axis, slant, and share of an axis."""

_MOST_CHANNELS = 4
"""Length of an axis that looks like channels: a mask, grey, colours, and colours with a mask."""


def require_jitter(copies: int, samples: Samples, coding: str) -> None:
    """Raise `InputError` unless such samples can be moved before they are coded so."""
    if not copies:
        return
    shape = samples.values.shape[1:]
    if samples.are_spikes or not CODINGS[coding].scaled:
        raise InputError(f"jitter must be 0 for spikes and intensities, not {copies}")
    if samples.is_table:
        raise InputError(
            f"jitter must be 0 for a table, whose features have no neighbours, not {copies}"
        )
    if len(shape) > 2 and shape[0] <= _MOST_CHANNELS < min(shape[1:3]):
        raise InputError(
            f"jitter needs images of (height, width, channels), not {shape}: move the channels to "
            "the end"
        )


def with_copies(samples: Samples, copies: int, *, coding: str, seed: int) -> Samples:
    """Return samples and, after them, so many jittered copies of all.

    Samples are series where the coding says so, or `is_image` that they are none. Each sample is of
    a group with its copies, so no later split parts them.

    Raises
    ------
    InputError
        If the samples are a table, spikes, intensities that no coding changes, or images whose
        channels come first.
    """
    require_jitter(copies, samples, coding)
    if not copies:
        return samples
    generator = np.random.default_rng([seed, _STREAM])
    values = samples.values
    image = not CODINGS[coding].per_step and is_image(values)
    every = [values, *(jittered(values, generator, image=image) for _ in range(copies))]
    groups = np.arange(samples.n_samples) if samples.groups is None else samples.groups
    labels, held_out = samples.labels, samples.held_out
    return replace(
        samples,
        values=np.concatenate(every),
        labels=None if labels is None else np.tile(labels, copies + 1),
        groups=np.tile(groups, copies + 1),
        held_out=None if held_out is None else np.tile(held_out, copies + 1),
        name=f"{samples.name}, with {copies} jittered {'copy' if copies == 1 else 'copies'} each",
    )


_STREAM = 7
"""Keeps the numbers of jitter apart from those that the same seed draws elsewhere."""


def jittered(
    values: npt.NDArray[np.generic], generator: np.random.Generator, *, image: bool = True
) -> npt.NDArray[np.generic]:
    """Return each sample moved at random, in its own type; what comes in is the edge's value.

    No value leaves the range that its channel has in the sample: a constant stays one.

    Parameters
    ----------
    values : array, shape (samples, height, width, ...), or (samples, steps, ...) of a series
    generator : what is drawn from
    image : whether samples move along their first two axes; a series along the first alone
    """
    from scipy.ndimage import affine_transform  # slow to load

    n_axes = 2 if image else 1
    ways, starts = _moves(len(values), values.shape[1 : 1 + n_axes], generator)
    behind = values.ndim - 1 - n_axes  # axes along which nothing moves
    moved, into = np.empty_like(values), np.empty(values.shape[1:])
    for sample, way, start, out in zip(values, ways, starts, moved, strict=True):
        whole = np.eye(n_axes + behind)
        whole[:n_axes, :n_axes] = way
        offset = np.append(start, np.zeros(behind))
        numbers = sample.astype(np.float64)
        affine_transform(numbers, whole, offset, output=into, order=1, mode="nearest")
        out[...] = _within(into, sample, tuple(range(n_axes)))
    return moved


def _within(
    moved: FloatArray, sample: npt.NDArray[np.generic], axes: tuple[int, ...]
) -> npt.NDArray[np.generic]:
    """Return what interpolation made in the sample's type, and within its range over the axes."""
    low, high = sample.min(axis=axes, keepdims=True), sample.max(axis=axes, keepdims=True)
    below, above = moved <= low.astype(np.float64), moved >= high.astype(np.float64)
    inside = np.where(below | above, 0.0, moved)
    if sample.dtype.kind != "f":
        inside = np.floor(inside + 0.5)
    return np.where(below, low, np.where(above, high, inside.astype(sample.dtype)))


def _moves(
    n: int, sides: tuple[int, ...], generator: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Matrices (n, axes, axes) and offsets (n, axes): where each place of a copy comes from."""
    lengths, n_axes = np.array(sides), len(sides)
    ways = np.tile(np.eye(n_axes), (n, 1, 1))
    if n_axes == 2:
        turns = generator.uniform(-_TURN, _TURN, n)
        cos, sin = np.cos(turns), np.sin(turns)
        shear = ways.copy()
        shear[:, 0, 1] = generator.uniform(-_SHEAR, _SHEAR, n)
        ways = np.array([[cos, -sin], [sin, cos]]).transpose(2, 0, 1) @ shear
    ways = ways * np.exp(generator.uniform(-_STRETCH, _STRETCH, (n, 1, n_axes)))
    middle = (lengths - 1) / 2
    shifts = generator.uniform(-_MOVE, _MOVE, (n, n_axes)) * lengths
    return ways, middle - ways @ middle + shifts
