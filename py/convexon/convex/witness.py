"""Witnesses: hidden weights of LIF branches, drawn on the integer grid.

A witness realises one column of the spike dictionary (arXiv:2605.08022). Drawing it on the grid,
and simulating it with the integer contract, makes the hidden part of the later network exact by
construction. Blind Gaussian draws give poor columns on images. Here a witness looks at the
difference of two training samples of different classes, through a few inputs where they differ:
sparse, of few bits, and alive by its choice of threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convexon.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.fixed import Interval, QFormat, width_of
from convexon.network import Branch, Layer
from convexon.neuron import Leak, Reset
from convexon.simulate import layer_trace


@dataclass(frozen=True, kw_only=True)
class WitnessFamily:
    """A grid of witnesses: one LIF layer whose neurons share leak, reset, fan-in and bits.

    Members
    -------
    fan_in : int
        Inputs with a weight that is not zero, of each neuron.
    weight_bits : int
        Bits of a weight, 2 (ternary) and up; symmetric, so -2**(bits - 1) does not occur.
    leak, reset
        Of the layer.
    firing : tuple of float
        Range of shares of the training samples in which a neuron should reach its threshold by step
        T.
    spikes_per_sample : float
        For spike counts: the threshold is divided by a number drawn from 1 to this, so that a
        neuron may fire several times in an inference. 1 otherwise.

    Raises
    ------
    InputError
        If a member is out of its range.
    """

    fan_in: int
    weight_bits: int
    leak: Leak
    reset: Reset
    firing: tuple[float, float] = (0.2, 0.8)
    spikes_per_sample: float = 1.0

    def __post_init__(self) -> None:
        if self.fan_in < 1:
            raise InputError(f"fan_in must be at least 1, not {self.fan_in!r}")
        if not 2 <= self.weight_bits <= 16:
            raise InputError(f"weight_bits must be 2 to 16, not {self.weight_bits!r}")
        low, high = self.firing
        if not 0.0 < low <= high < 1.0:
            raise InputError(f"firing must be a range within 0..1, not {self.firing!r}")
        if self.spikes_per_sample < 1.0:
            raise InputError(f"spikes_per_sample must be >= 1, not {self.spikes_per_sample!r}")

    @property
    def largest_weight(self) -> int:
        """Largest magnitude of a weight."""
        return (1 << (self.weight_bits - 1)) - 1


def draw_branch(
    family: WitnessFamily,
    dataset: SpikeDataset,
    *,
    n_witnesses: int,
    generator: np.random.Generator,
) -> Branch:
    """Draw a branch of one layer with ``n_witnesses`` neurons, each a witness.

    Parameters
    ----------
    family : WitnessFamily
    dataset : SpikeDataset
        Training samples, which guide weights and thresholds.
    n_witnesses : int
    generator : numpy.random.Generator

    Raises
    ------
    InputError
        If there is no witness to draw, or the fan-in exceeds the inputs.
    """
    if n_witnesses < 1:
        raise InputError(f"n_witnesses must be at least 1, not {n_witnesses!r}")
    if family.fan_in > dataset.n_inputs:
        raise InputError(
            f"fan_in must be at most the {dataset.n_inputs} inputs, not {family.fan_in!r}"
        )
    weights = _difference_weights(family, dataset, n_witnesses, generator)
    thresholds = _live_thresholds(family, dataset, weights, generator)
    return Branch((_layer(family, weights, thresholds),))


def _difference_weights(
    family: WitnessFamily,
    dataset: SpikeDataset,
    n_witnesses: int,
    generator: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """Weights along differences of samples of different classes, on a few inputs each."""
    activity = dataset.inputs.mean(axis=1)
    n = dataset.n_samples
    weights = np.zeros((dataset.n_inputs, n_witnesses), dtype=np.int64)
    for p in range(n_witnesses):
        first = int(generator.integers(n))
        others = np.flatnonzero(dataset.labels != dataset.labels[first])
        second = int(others[generator.integers(len(others))]) if len(others) else first
        difference = activity[first] - activity[second]
        # A small floor lets inputs in where the pair agrees: they tell it from third classes.
        attention = np.abs(difference) + 0.02 * max(float(activity.max()), 1e-9)
        chosen = generator.choice(
            dataset.n_inputs, family.fan_in, replace=False, p=attention / attention.sum()
        )
        part = difference[chosen]
        scale = float(np.abs(part).max()) or 1.0
        rounded = np.rint(part / scale * family.largest_weight).astype(np.int64)
        silent = rounded == 0
        rounded[silent] = generator.choice(np.array([-1, 1]), int(silent.sum()))
        weights[chosen, p] = rounded
    return weights


def _live_thresholds(
    family: WitnessFamily,
    dataset: SpikeDataset,
    weights: npt.NDArray[np.int64],
    generator: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """Thresholds from quantiles of the membranes that the samples reach without a reset."""
    n_witnesses = weights.shape[1]
    free = WitnessFamily(
        fan_in=family.fan_in, weight_bits=family.weight_bits, leak=family.leak, reset=Reset.NONE
    )
    layer = _layer(free, weights, np.zeros(n_witnesses, dtype=np.int64))
    reach = Interval(0, (1 << dataset.input_bits) - 1)
    highest = layer_trace(layer, dataset.inputs, reach).membranes.max(axis=1)
    low, high = family.firing
    levels = 1.0 - generator.uniform(low, high, size=(n_witnesses,))
    divisors = generator.uniform(1.0, family.spikes_per_sample, n_witnesses)
    quantiles = np.array([np.quantile(highest[:, p], levels[p]) for p in range(n_witnesses)])
    return np.maximum(1, np.rint(quantiles / divisors)).astype(np.int64)


def _layer(
    family: WitnessFamily, weights: npt.NDArray[np.int64], thresholds: npt.NDArray[np.int64]
) -> Layer:
    """Return the layer with these parameters, its threshold format just wide enough."""
    return Layer(
        weights=weights,
        thresholds=thresholds,
        biases=np.zeros(len(thresholds), dtype=np.int64),
        leak=family.leak,
        reset=family.reset,
        weight_format=QFormat(family.weight_bits),
        threshold_format=QFormat(width_of(Interval.hull([0, *thresholds.tolist()]))),
    )
