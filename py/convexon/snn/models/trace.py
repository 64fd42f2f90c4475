"""Spike traces, and the one way to compare two of them.

The golden model, the vectorised model and every simulator produce the same `SpikeTrace`. A
comparison is exact and never says "arrays differ": it names quantity, sample, step, layer, neuron,
expected and actual.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.store.codec import Codec


@dataclass(frozen=True, eq=False)
class LayerTrace:
    """What one layer did.

    Members
    -------
    spikes : uint8 array, shape (samples, steps, neurons)
        s after each step.
    membranes : int64 array, shape (samples, steps, neurons)
        v after the reset of each step.
    """

    spikes: npt.NDArray[np.uint8]
    membranes: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.spikes.ndim != 3 or self.spikes.shape != self.membranes.shape:
            raise InputError(
                "spikes and membranes must have one shape (samples, steps, neurons), "
                f"not {self.spikes.shape} and {self.membranes.shape}"
            )


@dataclass(frozen=True)
class Mismatch:
    """The first place where two traces differ.

    ``neuron`` is a class for scores, and None for labels and cycle counts; ``branch`` and ``layer``
    are None outside the branches. Samples, steps, branches, layers and neurons count from 0.
    """

    quantity: str
    sample: int
    expected: int
    actual: int
    step: int | None = None
    branch: int | None = None
    layer: int | None = None
    neuron: int | None = None

    def __str__(self) -> str:
        places = [f"sample {self.sample}"]
        for name in ("step", "branch", "layer"):
            value = getattr(self, name)
            if value is not None:
                places.append(f"{name} {value}")
        if self.neuron is not None:
            places.append(f"{'class' if self.quantity == 'score' else 'neuron'} {self.neuron}")
        return (
            f"{self.quantity} at {', '.join(places)}: expected {self.expected}, got {self.actual}"
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class SpikeTrace:
    """Everything that a network did on a set of samples.

    Members
    -------
    scores : int64 array, shape (samples, readouts, classes)
        One readout per sample; one per step for `ReadoutMode.STEP`.
    labels : int64 array, shape (samples, readouts)
    latency_cycles : int64 array, shape (samples,), or None
        Clock edges from the one that takes the first step of a sample to the one that hands over
        its last result. None for models, which have no clock.
    steps : int64 array, shape (samples,), or None
        Steps of each sample that count, 1 to T, where inferences may end early: of a model, those
        that the decision read; of hardware, those that it took, at least as many. None: all.
    """

    layers: tuple[tuple[LayerTrace, ...], ...]
    scores: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    latency_cycles: npt.NDArray[np.int64] | None = None
    steps: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if self.scores.ndim != 3 or self.labels.shape != self.scores.shape[:2]:
            raise InputError(
                "scores must have shape (samples, readouts, classes), labels (samples, readouts), "
                f"not {self.scores.shape} and {self.labels.shape}"
            )

    @property
    def n_samples(self) -> int:
        """Number of inferences."""
        return int(self.scores.shape[0])

    def head(self, n_samples: int) -> SpikeTrace:
        """Return the first ``n_samples`` samples."""
        layers = tuple(
            tuple(LayerTrace(each.spikes[:n_samples], each.membranes[:n_samples]) for each in own)
            for own in self.layers
        )
        return SpikeTrace(
            layers=layers,
            scores=self.scores[:n_samples],
            labels=self.labels[:n_samples],
            latency_cycles=None if self.latency_cycles is None else self.latency_cycles[:n_samples],
            steps=None if self.steps is None else self.steps[:n_samples],
        )

    def flat_layers(self) -> Iterator[tuple[int, int, LayerTrace]]:
        """Yield (branch, layer, trace) in order."""
        for branch, layers in enumerate(self.layers):
            for depth, trace in enumerate(layers):
                yield branch, depth, trace


def first_mismatch(expected: SpikeTrace, actual: SpikeTrace) -> Mismatch | None:
    """Return the mismatch that comes first in time, nearest to the input; None if there is none.

    Where inferences may end early, each step that ``actual`` took is compared, and it must have
    taken those that ``expected`` counts.

    Raises
    ------
    InputError
        If the traces are not of the same shape.
    """
    require_one_shape(expected, actual)
    found: list[tuple[tuple[int, ...], Mismatch]] = []
    pairs = zip(expected.flat_layers(), actual.flat_layers(), strict=True)
    for branch, depth, want, have in ((b, d, w, h) for (b, d, w), (_, _, h) in pairs):
        for order, quantity in enumerate(("membranes", "spikes")):
            place = _first_difference(
                getattr(want, quantity), getattr(have, quantity), actual.steps
            )
            if place is None:
                continue
            sample, step, neuron = place
            mismatch = Mismatch(
                quantity.removesuffix("s"),
                sample,
                int(getattr(want, quantity)[place]),
                int(getattr(have, quantity)[place]),
                step,
                branch,
                depth,
                neuron,
            )
            found.append(((sample, step, depth, branch, order, neuron), mismatch))
    found.extend(_readout_mismatches(expected, actual))
    return min(found, key=lambda item: item[0])[1] if found else None


_AFTER_LAYERS = 1 << 30
"""Sorts readouts after the layers of their sample."""


def _readout_mismatches(
    expected: SpikeTrace, actual: SpikeTrace
) -> Iterator[tuple[tuple[int, ...], Mismatch]]:
    """Yield the first missing step, and the first differing score and label, with sort keys."""
    if expected.steps is not None and actual.steps is not None:
        for sample in np.flatnonzero(actual.steps < expected.steps)[:1].tolist():
            want, have = int(expected.steps[sample]), int(actual.steps[sample])
            yield (sample, have), Mismatch("steps", sample, want, have)
    place = _first_difference(expected.scores, actual.scores)
    if place is not None:
        sample, readout, c = place
        want, have = int(expected.scores[place]), int(actual.scores[place])
        key = (sample, _AFTER_LAYERS, readout, c)
        yield key, Mismatch("score", sample, want, have, step=readout, neuron=c)
    place = _first_difference(expected.labels, actual.labels)
    if place is not None:
        sample, readout = place
        want, have = int(expected.labels[place]), int(actual.labels[place])
        key = (sample, _AFTER_LAYERS, readout, _AFTER_LAYERS)
        yield key, Mismatch("label", sample, want, have, step=readout)


def differing_samples(expected: SpikeTrace, actual: SpikeTrace) -> npt.NDArray[np.bool_]:
    """Return for every sample whether it differs anywhere, shape (samples,).

    Raises
    ------
    InputError
        If the traces are not of the same shape.
    """
    require_one_shape(expected, actual)
    wrong = np.zeros(expected.n_samples, dtype=np.bool_)
    pairs = zip(expected.flat_layers(), actual.flat_layers(), strict=True)
    for (_, _, want), (_, _, have) in pairs:
        for a, b in ((want.spikes, have.spikes), (want.membranes, have.membranes)):
            wrong |= differences(a, b, actual.steps).any(axis=(1, 2))
    wrong |= (expected.scores != actual.scores).any(axis=(1, 2))
    wrong |= (expected.labels != actual.labels).any(axis=1)
    if expected.steps is not None and actual.steps is not None:
        wrong |= actual.steps < expected.steps
    return wrong


def mismatched_samples(expected: SpikeTrace, actual: SpikeTrace) -> int:
    """Return the number of samples that differ anywhere; `InputError` as `differing_samples`."""
    return int(differing_samples(expected, actual).sum())


def require_one_shape(expected: SpikeTrace, actual: SpikeTrace) -> None:
    """Raise `InputError` unless both traces have the same layers, steps and readouts."""
    if _shapes(expected) != _shapes(actual):
        raise InputError(
            f"traces must have one shape: {_shapes(expected)} expected, not {_shapes(actual)}"
        )


def differences(
    expected: npt.NDArray[np.integer],
    actual: npt.NDArray[np.integer],
    steps: npt.NDArray[np.int64] | None,
) -> npt.NDArray[np.bool_]:
    """Where two arrays differ, within the first ``steps`` of each sample where they are given."""
    different: npt.NDArray[np.bool_] = expected != actual
    if steps is not None:
        different &= (np.arange(expected.shape[1]) < steps[:, None])[:, :, None]
    return different


def _first_difference(
    expected: npt.NDArray[np.integer],
    actual: npt.NDArray[np.integer],
    steps: npt.NDArray[np.int64] | None = None,
) -> tuple[int, ...] | None:
    """Index of the first differing element in row-major order, or None."""
    different = differences(expected, actual, steps).ravel()
    if not different.any():
        return None
    place = np.unravel_index(int(different.argmax()), expected.shape)
    return tuple(int(i) for i in place)


def _shapes(trace: SpikeTrace) -> tuple[object, ...]:
    """Shapes of everything that is compared."""
    return (
        tuple(tuple(layer.spikes.shape for layer in layers) for layers in trace.layers),
        trace.scores.shape,
        trace.labels.shape,
    )


TRACE: Codec[SpikeTrace] = Codec(SpikeTrace, "convexon.trace", 2, made_by="convexon verify")
"""File form of a `SpikeTrace`."""
