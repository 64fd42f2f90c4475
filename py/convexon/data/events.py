"""Events of a sensor, binned to the steps of an inference.

A sample's T steps are equal parts of the time from its first event to its last. An input spikes in
a step if it has an event there, however many. Inputs are ordered by polarity, row and column.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError

COLUMNS = ("t", "x", "y", "polarity")
"""Columns of a list of events."""

MAX_BYTES = 1 << 32
"""Most bytes that the steps of all samples may take."""


def binned(
    events: Sequence[npt.ArrayLike], *, n_steps: int, sensor: tuple[int, int] | None = None
) -> npt.NDArray[np.uint8]:
    """Return spikes, shape (samples, n_steps, 2 * height * width).

    Parameters
    ----------
    events : sequence of arrays, shape (events, 4) each
        Columns t, x, y, polarity; t in any unit, polarity 0 or 1 (or -1 or 1).
    sensor : (height, width), optional
        As large as the events say by default; new samples need the sensor of the training's.

    Raises
    ------
    InputError
        If a list is empty, a value is no finite number, or a place lies outside the sensor.
    """
    if n_steps < 1:
        raise InputError(f"n_steps must be at least 1, not {n_steps!r}")
    lists = [_checked(each, k) for k, each in enumerate(events)]
    if not lists:
        raise InputError("events must hold at least one sample, not none")
    largest = np.max([each[:, 1:3].max(axis=0) for each in lists], axis=0)
    height, width = sensor or (int(largest[1]) + 1, int(largest[0]) + 1)
    n_inputs = 2 * height * width
    if len(lists) * n_steps * n_inputs > MAX_BYTES:
        raise InputError(
            f"events must give at most {MAX_BYTES} inputs over all steps, not {len(lists)} x "
            f"{n_steps} x {n_inputs}: crop the sensor, or give fewer samples or steps"
        )
    spikes = np.zeros((len(lists), n_steps, n_inputs), np.uint8)
    for k, each in enumerate(lists):
        t, x, y, polarity = each.T
        if x.max() >= width or y.max() >= height:
            raise InputError(
                f"events of sample {k} must lie on the sensor of {height} rows and {width} columns"
            )
        span = t.max() - t.min()
        part = (t - t.min()) / span if span > 0 else np.zeros(len(t))
        step = np.minimum((part * n_steps).astype(np.int64), n_steps - 1)
        place = ((polarity > 0) * height + y.astype(np.int64)) * width + x.astype(np.int64)
        spikes[k, step, place] = 1
    return spikes


def _checked(events: npt.ArrayLike, sample: int) -> npt.NDArray[np.float64]:
    """A list of events as numbers."""
    array = np.asarray(events)
    if array.ndim != 2 or array.shape[1] != len(COLUMNS) or not len(array):
        raise InputError(
            f"events of sample {sample} must have shape (events, 4): {', '.join(COLUMNS)}, not "
            f"{array.shape}"
        )
    if array.dtype.kind not in "biuf" or not np.isfinite(array.astype(np.float64)).all():
        raise InputError(f"events of sample {sample} must be finite numbers")
    known = array.astype(np.float64)
    place = known[:, 1:3]
    if (place < 0).any() or (place != np.rint(place)).any():
        raise InputError(f"events of sample {sample} must have whole x and y from 0 on")
    if not np.isin(known[:, 3], (-1, 0, 1)).all():
        raise InputError(f"events of sample {sample} must have a polarity of 0 or 1, or -1 or 1")
    return known
