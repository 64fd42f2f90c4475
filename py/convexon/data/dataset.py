"""Spike data sets: what a network reads, and what it should answer."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.snn.fixed import MAX_INPUT_BITS, Interval
from convexon.store.codec import Codec


@dataclass(frozen=True, eq=False, kw_only=True)
class SpikeDataset:
    """Encoded samples with their labels.

    Members
    -------
    inputs : uint8 array, shape (samples, steps, inputs)
        Spikes (``input_bits`` 1) or unsigned intensities of ``input_bits`` bits.
    labels : int64 array, shape (samples,), or (samples, steps) for `ReadoutMode.STEP`
        Classes 0..n_classes - 1.
    n_classes : number of classes
    input_bits : bits of one input in one step
    name : where the samples come from and how they were encoded
    groups : int64 array, shape (samples,), or None
        As `convexon.data.samples.Samples` has them.

    Raises
    ------
    InputError
        If there is no sample, step or input, or a shape or value does not fit.
    """

    inputs: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    n_classes: int
    input_bits: int
    name: str
    groups: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        inputs = np.asarray(self.inputs)
        if inputs.ndim != 3 or 0 in inputs.shape:
            raise InputError(
                f"inputs must have shape (samples, steps, inputs), none 0, not {inputs.shape}"
            )
        if not 1 <= self.input_bits <= MAX_INPUT_BITS:
            raise InputError(f"input_bits must be 1 to {MAX_INPUT_BITS}, not {self.input_bits!r}")
        limit = (1 << self.input_bits) - 1
        if inputs.dtype.kind not in "ui" or inputs.min() < 0 or inputs.max() > limit:
            raise InputError(f"inputs must be integers in 0..{limit} ({self.input_bits} bits)")
        shape = inputs.shape[: max(1, min(2, np.ndim(self.labels)))]
        labels = check_labels(self.labels, shape=shape, n_classes=self.n_classes)
        if self.groups is not None and self.groups.shape != inputs.shape[:1]:
            raise InputError(f"groups must have shape {inputs.shape[:1]}, not {self.groups.shape}")
        for name, values in (("inputs", inputs.astype(np.uint8)), ("labels", labels)):
            values.setflags(write=False)
            object.__setattr__(self, name, values)

    def take(self, rows: npt.NDArray[np.intp]) -> SpikeDataset:
        """Return the samples at ``rows``."""
        groups = None if self.groups is None else self.groups[rows]
        return replace(self, inputs=self.inputs[rows], labels=self.labels[rows], groups=groups)

    @property
    def input_range(self) -> Interval:
        """Values of one input in one step."""
        return Interval(0, (1 << self.input_bits) - 1)

    @property
    def has_step_labels(self) -> bool:
        """Whether every step has a label of its own."""
        return self.labels.ndim == 2

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return int(self.inputs.shape[0])

    @property
    def n_steps(self) -> int:
        """T, the steps of one sample."""
        return int(self.inputs.shape[1])

    @property
    def n_inputs(self) -> int:
        """Inputs of one step."""
        return int(self.inputs.shape[2])


def check_labels(
    labels: npt.ArrayLike, *, shape: tuple[int, ...], n_classes: int
) -> npt.NDArray[np.int64]:
    """Return the labels as int64, checked to be classes.

    Raises
    ------
    InputError
        If their number or a value does not fit.
    """
    array = np.asarray(labels)
    if array.shape != shape:
        raise InputError(f"labels must have shape {shape}, not {array.shape}")
    if array.dtype.kind not in "iu":
        raise InputError(f"labels must be integers, not {array.dtype}: number the classes from 0")
    outside = array[(array < 0) | (array >= n_classes)]
    if len(outside):
        raise InputError(f"labels must lie in 0..{n_classes - 1}, not {int(outside[0])}")
    return array.astype(np.int64)


DATASET: Codec[SpikeDataset] = Codec(SpikeDataset, "convexon.dataset", 3, made_by="convexon solve")
"""File form of a `SpikeDataset`."""
