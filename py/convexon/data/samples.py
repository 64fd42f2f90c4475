"""Raw samples: values, labels or none, and which of them belong together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.data.dataset import SpikeDataset
from convexon.data.labels import numbered
from convexon.data.split import apart, stratified
from convexon.errors import InputError
from convexon.snn.coding import finite
from convexon.snn.interface import ClassName, Interface
from convexon.snn.series import as_array, is_ragged, rectangular
from convexon.store.artefact import array_digest, digest_of
from convexon.store.codec import Codec

TEST_SHARE = 0.3
"""Share of the samples that is held out for the test."""
SIDES = ("train", "test")
"""What a given split says of each sample."""

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False, kw_only=True)
class Samples:
    """Raw samples with their classes.

    Members
    -------
    values : array of numbers, shape (samples, ...)
        Features, images, series, or spikes, as they came in.
    labels : int64 array, shape (samples,), or None
        Classes by their place in ``classes``; None where there are none.
    classes : name of each class
    are_spikes : whether the values are spikes or intensities, step by step, which no coding is to
        change
    groups : int64 array, shape (samples,), or None
        Number of what each sample is of, such as its subject; no split parts a group.
    held_out : bool array, shape (samples,), or None
        Samples that were given for the test; None where they are to be drawn.

    Raises
    ------
    InputError
        If there is no sample, a value is no finite number, or labels and classes do not fit.
    """

    values: npt.NDArray[np.generic]
    labels: npt.NDArray[np.int64] | None
    classes: tuple[ClassName, ...]
    name: str
    are_spikes: bool = False
    groups: npt.NDArray[np.int64] | None = None
    held_out: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        shape = self.values.shape
        if len(shape) < 2 or 0 in shape:
            raise InputError(f"samples must have shape (samples, features), none 0, not {shape}")
        if self.values.dtype.kind not in "biuf":
            raise InputError(
                f"samples must be numbers, not {self.values.dtype}: encode categories as numbers"
            )
        if self.values.dtype.kind == "f":
            finite(self.values, "samples")  # said by the user's own counting, before any split
        for what, each in (("groups", self.groups), ("split", self.held_out)):
            if each is not None and each.shape != shape[:1]:
                raise InputError(f"{what} must have shape {shape[:1]}, not {each.shape}")
        labels = self.labels
        if labels is None:
            return
        if labels.shape != shape[:1]:
            raise InputError(f"labels must have shape {shape[:1]}, not {labels.shape}")
        if labels.min() < 0 or labels.max() >= len(self.classes):
            raise InputError(f"labels must lie in 0..{len(self.classes) - 1}")

    @classmethod
    def of(
        cls,
        values: Any,
        labels: Any = None,
        *,
        groups: Any = None,
        split: Any = None,
        name: str = "samples",
        classes: tuple[ClassName, ...] | None = None,
        are_spikes: bool = False,
    ) -> Samples:
        """Return samples whose labels may be anything that can be told apart.

        Parameters
        ----------
        values : array, shape (samples, ...), or sequence of series of unequal length
            Series are padded at their end with their last values, spikes with zeros.
        labels : array or sequence, shape (samples,), optional
            Of any one hashable kind (`convexon.data.labels`).
        groups : array or sequence, shape (samples,), optional
            Of any one hashable kind: samples of one are never on both sides of a split.
        split : array or sequence, shape (samples,), optional
            ``train`` or ``test``, or whether a sample is for the test.
        classes : names that the labels are of; those that occur, in order, where None

        Raises
        ------
        InputError
            If shapes differ, labels are no classes (regression, several a sample), or a label is
            none of ``classes``.
        """
        is_series = is_ragged(values)
        x = rectangular(values, hold=not are_spikes) if is_series else as_array("samples", values)
        if x.ndim == 0:
            raise InputError("samples must have shape (samples, features), not ()")
        held_out = None if split is None else _is_test(split)
        if held_out is not None and held_out.shape == x.shape[:1] and held_out.all():
            raise InputError("split must have samples of train, not of test alone")
        found = None
        if labels is not None:
            found = numbered(labels, count=len(x), names=classes)
        return cls(
            values=x,
            labels=None if found is None else found.numbers,
            classes=(classes or ()) if found is None else found.names,
            name=name,
            are_spikes=are_spikes,
            groups=None if groups is None else group_numbers(groups, count=len(x)),
            held_out=held_out,
        )

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return int(self.values.shape[0])

    @property
    def is_table(self) -> bool:
        """Whether a sample is a row of features, in no order and each with units of its own."""
        return self.values.ndim == 2 and not self.are_spikes

    @property
    def digest(self) -> str:
        """Hash of all that the samples are but their name: what a file holds counts."""
        arrays = (self.values, self.labels, self.groups, self.held_out)
        hashes = [None if each is None else array_digest(each) for each in arrays]
        return digest_of([*hashes, self.classes])

    def take(self, indices: npt.NDArray[np.intp], suffix: str) -> Samples:
        """Return the samples at ``indices``, the name extended by ``suffix``."""
        return replace(
            self,
            values=self.values[indices],
            labels=None if self.labels is None else self.labels[indices],
            groups=None if self.groups is None else self.groups[indices],
            held_out=None if self.held_out is None else self.held_out[indices],
            name=f"{self.name}, {suffix}",
        )

    def split(self, *, seed: int, share: float = TEST_SHARE) -> tuple[Samples, Samples]:
        """Split off the test samples; returns training and test samples.

        They are those that were given, else ``share`` of the groups, else ``share`` of every class.

        Raises
        ------
        InputError
            If there are no labels, a class cannot be on both sides, or given test samples share a
            group with others.
        """
        labels = self.known_labels
        if len(self.classes) < 2:
            raise InputError(
                f"labels must be of two classes or more, not of {self.classes[0]} alone"
            )
        if self.held_out is not None:
            kept, held = np.flatnonzero(~self.held_out), np.flatnonzero(self.held_out)
            self._require_apart(kept, held)
        elif self.groups is not None:
            kept, held = apart(labels, self.groups, share, seed=seed)
            if not len(held):
                raise InputError(
                    "groups must leave samples of every class when one is held out: each class "
                    "needs two groups or more"
                )
        else:
            classes, counts = np.unique(labels, return_counts=True)
            if counts.min() < 2:
                alone = self.classes[int(classes[counts.argmin()])]
                raise InputError(f"class {alone} must have 2 or more samples to be split, not 1")
            kept, held = stratified(labels, share, seed=seed)
        return self.take(kept, "train"), self.take(held, "test")

    def _require_apart(self, kept: Indices, held: Indices) -> None:
        """Raise `InputError` unless a given split has two sides that share no group."""
        if not len(held):
            raise InputError("split must have samples of test, not of train alone")
        missing = np.setdiff1d(self.known_labels[held], self.known_labels[kept])
        if len(missing):
            name = self.classes[int(missing[0])]
            raise InputError(f"split must have class {name} in train, not in test alone")
        if self.groups is not None and len(np.intersect1d(self.groups[kept], self.groups[held])):
            raise InputError("split must keep groups apart: a group is in train and in test")

    @property
    def known_labels(self) -> npt.NDArray[np.int64]:
        """The labels; raises `InputError` where there are none."""
        if self.labels is None:
            raise InputError(f"labels must be given: {self.name} has none")
        return self.labels

    def named_as(self, classes: tuple[ClassName, ...]) -> Samples:
        """Return the samples with labels by the places of their names in ``classes``.

        Raises
        ------
        InputError
            If there are no labels, or one is none of ``classes``.
        """
        names = np.array([self.classes[label] for label in self.known_labels], dtype=object)
        named = Samples.of(self.values, names, name=self.name, classes=classes)
        return replace(
            named, are_spikes=self.are_spikes, groups=self.groups, held_out=self.held_out
        )

    def encoded(self, interface: Interface, *, n_steps: int, bits: int) -> SpikeDataset:
        """Encode labelled samples for a network with this interface."""
        return SpikeDataset(
            inputs=interface.encode(self.values, n_steps=n_steps, bits=bits),
            labels=self.known_labels,
            n_classes=max(2, len(self.classes)),
            input_bits=bits,
            groups=self.groups,
            name=f"{self.name}, {interface.coding} coding, {n_steps} steps",
        )


def group_numbers(groups: Any, *, count: int) -> npt.NDArray[np.int64]:
    """Number groups of any hashable kind from 0 on, shape (count,); raises `InputError`."""
    return numbered(groups, count=count, what="groups").numbers


def _is_test(split: Any) -> npt.NDArray[np.bool_]:
    """Whether each sample is for the test, from texts or truth values."""
    sides = np.asarray(split)
    if sides.dtype.kind == "b":
        return sides
    texts = np.char.lower(sides.astype(str))
    wrong = np.flatnonzero(~np.isin(texts, SIDES))
    if sides.dtype.kind not in "UO" or len(wrong):
        told = repr(sides.ravel()[wrong[0]].item()) if len(wrong) else str(sides.dtype)
        raise InputError(f"split must be train or test for each sample, not {told}")
    held_out: npt.NDArray[np.bool_] = texts == SIDES[1]
    return held_out


SAMPLES: Codec[Samples] = Codec(Samples, "convexon.samples", 4, made_by="convexon solve")
"""File form of `Samples`."""
