"""Samples from files: npz, npy, csv and Parquet, and the embedded digits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.data.columns import read_csv, read_parquet
from convexon.data.events import binned
from convexon.data.kinds import NPY, NPZ, PARQUET, TEXT, kind_of
from convexon.data.samples import Samples
from convexon.errors import ArtefactError, InputError
from convexon.snn.series import rectangular, split_at
from convexon.store.archive import read_npy, read_npz
from convexon.store.untrusted import printable

Arrays = dict[str, npt.NDArray[Any]]

EMBEDDED = "digits"
"""Name of the embedded samples, in place of a file's."""

VALUES = ("features", "series", "spikes", "events")
"""Arrays of which a file has one: a table or images; series; spikes; events."""

ARRAYS = (*VALUES, "lengths", "sensor", "steps", "labels", "groups", "split")
"""Arrays that an npz file may have.

``features`` (samples, ...); ``series`` and ``spikes`` (samples, steps, channels), or (rows,
channels) with ``lengths`` (samples,); ``events`` (rows, 4) with ``lengths``, and where it is known
``sensor`` (height, width) and ``steps``; ``labels``, ``groups`` and ``split`` (samples,), the last
one of texts ``train`` and ``test``.
"""

TOLD = (
    "give an npz with features, series, spikes or events, and labels; an npy; or a csv or Parquet "
    "table with a column label"
)


def load_samples(source: str, *, n_steps: int | None = None) -> Samples:
    """Load the embedded digits, or a file.

    Parameters
    ----------
    source : ``digits``, or the file's path
    n_steps : steps to which events are binned, where the file does not say

    Raises
    ------
    ArtefactError
        If the file is missing, damaged, or of a kind that holds no samples; it says what it is.
    InputError
        If a value is NaN or infinite, or arrays do not go together.
    """
    return digits() if source == EMBEDDED else from_file(Path(source), n_steps=n_steps)


def digits() -> Samples:
    """Load scikit-learn's embedded handwritten digits: 1,797 images of 8x8 pixels, 10 classes."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return Samples.of(images.reshape(-1, 8, 8) / 16.0, labels.astype(np.int64), name="digits 8x8")


def from_file(path: Path, *, n_steps: int | None = None) -> Samples:
    """Load a file, whatever its name is; parameters and errors are those of `load_samples`."""
    arrays = _READERS[kind_of(path, TOLD)](path)
    kinds = [name for name in VALUES if name in arrays]
    if len(kinds) != 1:
        raise ArtefactError(f"{path} must hold one of {', '.join(VALUES)}: {TOLD}")
    kind = kinds[0]
    return Samples.of(
        _values(kind, arrays, n_steps),
        arrays.get("labels"),
        groups=arrays.get("groups"),
        split=arrays.get("split"),
        name=printable(path.stem),
        are_spikes=kind in ("spikes", "events"),
    )


def to_npz(path: Path, samples: Samples) -> None:
    """Write samples to a file that `from_file` reads; for processes, which share no memory."""
    arrays: Arrays = {"spikes" if samples.are_spikes else "features": samples.values}
    if samples.labels is not None:
        arrays["labels"] = np.array(samples.classes)[samples.labels]
    if samples.groups is not None:
        arrays["groups"] = samples.groups
    if samples.held_out is not None:
        arrays["split"] = np.where(samples.held_out, "test", "train")
    np.savez(path, allow_pickle=False, **arrays)


def _values(kind: str, arrays: Arrays, n_steps: int | None) -> npt.NDArray[Any]:
    """What the samples are, one array of them all."""
    values, lengths = arrays[kind], arrays.get("lengths")
    if kind == "events":
        if lengths is None:
            raise InputError("lengths must be given: events of each sample, one after the other")
        return binned(
            split_at(values, lengths), n_steps=_steps(arrays, n_steps), sensor=_sensor(arrays)
        )
    if lengths is None:
        if kind != "features" and values.ndim != 3:
            raise InputError(
                f"{kind} must have shape (samples, steps, channels), not {values.shape}"
            )
        return values
    if kind == "features":
        raise InputError("lengths must be left out for features: name the array series or spikes")
    return rectangular(split_at(values, lengths), hold=kind == "series", name=kind)


def _steps(arrays: Arrays, n_steps: int | None) -> int:
    """Steps of events: the file's, or the caller's."""
    if "steps" in arrays and arrays["steps"].shape == () and arrays["steps"].dtype.kind in "iu":
        return int(arrays["steps"])
    if "steps" in arrays or n_steps is None:
        raise InputError("the file must have an integer steps: events are binned to so many")
    return n_steps


def _sensor(arrays: Arrays) -> tuple[int, int] | None:
    sensor = arrays.get("sensor")
    if sensor is None:
        return None
    if sensor.shape != (2,) or sensor.dtype.kind not in "iu" or sensor.min() < 1:
        raise InputError(f"sensor must be two integers, height and width, not {sensor.tolist()}")
    return int(sensor[0]), int(sensor[1])


def _read_npz(path: Path) -> Arrays:
    """The arrays of an npz file that are known."""
    try:
        return read_npz(path, ARRAYS)
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{path} is not a readable npz file: {error}") from error


def _read_npy(path: Path) -> Arrays:
    """An array alone: features without labels."""
    try:
        return {"features": read_npy(path)}
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{path} is not a readable npy file: {error}") from error


_READERS: dict[str, Callable[[Path], Arrays]] = {
    NPZ: _read_npz,
    NPY: _read_npy,
    TEXT: read_csv,
    PARQUET: read_parquet,
}
