"""Training samples that are moved a little, as further samples with the same labels.

An image that is turned, stretched, sheared or moved a little shows the same thing, and so does a
series that begins a little later or goes a little faster. Copies say so to a method that has no
other way to know it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import affine_transform

from convexon.data.samples import Samples
from convexon.errors import InputError
from convexon.snn.interface import is_image

FloatArray = npt.NDArray[np.float64]

_TURN, _STRETCH, _SHEAR, _MOVE = np.deg2rad(10.0), 0.1, 0.1, 1.5 / 28
"""How far, at most: radians, log of the scale along an axis, slant, and share of an axis."""


def require_jitter(copies: int, samples: Samples) -> None:
    """Raise `InputError` unless such samples can be moved."""
    if copies and (samples.is_table or samples.are_spikes):
        what = "spikes" if samples.are_spikes else "a table, whose features have no neighbours"
        raise InputError(f"jitter must be 0 for {what}, not {copies}")


def with_copies(samples: Samples, copies: int, *, seed: int) -> Samples:
    """Return samples and, after them, so many jittered copies of all.

    Each sample is of a group with its copies, so no later split parts them.

    Raises
    ------
    InputError
        If the samples are a table, or spikes.
    """
    require_jitter(copies, samples)
    if not copies:
        return samples
    generator = np.random.default_rng([seed, _STREAM])
    values, image = samples.values, is_image(samples.values)
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

    Parameters
    ----------
    values : array, shape (samples, height, width, ...), or (samples, steps, ...) of a series
    generator : what is drawn from
    image : whether samples move along their first two axes; a series along the first alone
    """
    n_axes = 2 if image else 1
    numbers = values.view(np.uint8) if values.dtype.kind == "b" else values
    ways, starts = _moves(len(values), values.shape[1 : 1 + n_axes], generator)
    behind = values.ndim - 1 - n_axes  # axes along which nothing moves
    moved = np.empty_like(numbers)
    for sample, way, start, into in zip(numbers, ways, starts, moved, strict=True):
        whole = np.eye(n_axes + behind)
        whole[:n_axes, :n_axes] = way
        offset = np.append(start, np.zeros(behind))
        affine_transform(sample, whole, offset, output=into, order=1, mode="nearest")
    return moved.view(values.dtype)


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
