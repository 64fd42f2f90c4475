"""Series of unequal length as one array.

Shorter series are padded at their end: measured values with their last one, which is no event to a
coding that looks for changes, and spikes with zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError


def is_ragged(values: object) -> bool:
    """Whether ``values`` are arrays of two axes or more whose first lengths differ."""
    if not isinstance(values, list | tuple) and not (
        isinstance(values, np.ndarray) and values.dtype == object and values.ndim == 1
    ):
        return False
    lengths = {len(each) for each in values if hasattr(each, "__len__") and np.ndim(each) >= 2}
    return len(lengths) > 1


def as_array(name: str, values: Any) -> npt.NDArray[Any]:
    """Return values as an array; raises `InputError` where rows differ in length."""
    try:
        return np.asarray(values)
    except ValueError:
        raise InputError(f"{name} must have rows of equal length") from None


def rectangular(
    values: Any, *, hold: bool, n_steps: int | None = None, name: str = "samples"
) -> npt.NDArray[Any]:
    """Return series as one array, shape (samples, steps, channels).

    Parameters
    ----------
    values : sequence of arrays, shape (steps, channels) each, or one array of them
    hold : whether to pad with each series' last values; with zeros otherwise
    n_steps : steps to pad to; those of the longest series by default
    name : what the series are called in messages

    Raises
    ------
    InputError
        If a series is empty, is longer than ``n_steps``, or channels differ.
    """
    series = [np.asarray(each) for each in values]
    longest = max((len(each) for each in series), default=0)
    length = longest if n_steps is None else n_steps
    channels = series[0].shape[1:] if series else ()
    for k, each in enumerate(series):
        if each.ndim < 2 or not len(each) or each.shape[1:] != channels:
            told = ", ".join(str(axis) for axis in channels) or "channels"
            raise InputError(f"{name}[{k}] must have shape (steps, {told}), not {each.shape}")
        if len(each) > length:
            raise InputError(
                f"{name}[{k}] must have at most {length} steps, not {len(each)}: cut it, or "
                "average over steps"
            )
    padded = np.zeros((len(series), length, *channels), np.result_type(*series))
    for row, each in zip(padded, series, strict=True):
        row[: len(each)] = each
        if hold:
            row[len(each) :] = each[-1]
    return padded


def split_at(values: npt.NDArray[Any], lengths: npt.ArrayLike) -> list[npt.NDArray[Any]]:
    """Cut series that follow each other in one array, as files hold them, into one array each.

    Raises
    ------
    InputError
        If the lengths are no positive integers that sum up to the rows there are.
    """
    counts = np.asarray(lengths)
    if counts.ndim != 1 or counts.dtype.kind not in "iu" or not len(counts) or counts.min() < 1:
        raise InputError("lengths must be positive integers, one a sample")
    if sum(counts.tolist()) != len(values):
        raise InputError(
            f"lengths must sum up to the {len(values)} rows there are, not {sum(counts.tolist())}"
        )
    return np.split(values, np.cumsum(counts)[:-1])
