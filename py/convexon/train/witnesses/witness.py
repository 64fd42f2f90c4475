"""Witnesses: hidden weights of branches, drawn on the integer grid.

A witness realises one column of the spike dictionary (arXiv:2605.08022). Drawing it on the grid,
and simulating it with the integer contract, makes the hidden part of the later network exact by
construction. Blind Gaussian draws give poor columns on images, and deep stacks of them fall silent
or saturate. Here a layer is drawn on the spikes of the one below: a witness looks at the difference
of two samples of different classes through a few of its inputs, and its threshold is a quantile of
the membranes that it reaches, so that it is alive by its choice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.snn.fixed import Interval, QFormat, width_of
from convexon.snn.models.simulate import layer_spikes, layer_trace
from convexon.snn.network import Branch, Layer
from convexon.snn.neuron import Leak, Reset
from convexon.snn.seeded import MAX_BITS, MAX_NEURONS, seeded_weights
from convexon.train.witnesses.alphabet import Alphabet
from convexon.train.witnesses.direction import random_direction

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
UInt8Array = npt.NDArray[np.uint8]

_NEURONS = 1024
"""Neurons whose membranes are held at once while thresholds are chosen."""

_FIRING = (0.2, 0.8)
"""Range of shares of the samples in which a neuron should reach its threshold."""

CALIBRATION_SAMPLES = 2048
"""Most samples whose membranes are looked at to choose thresholds."""


class Guide(Enum):
    """How the weights of a witness are drawn.

    ``DIFFERENCE``: along the difference of two samples of different classes. ``DIRECTION``: along a
    direction in which a class lies (`convexon.train.witnesses.direction`), on at most so many
    inputs. ``BLIND``: inputs and values at random, whatever the data. ``SEEDED``: all inputs, with
    weights of neurons at random of those that `convexon.snn.seeded` makes of a seed, which hardware
    makes without a memory.
    """

    DIFFERENCE = "difference"
    DIRECTION = "direction"
    BLIND = "blind"
    SEEDED = "seeded"


@dataclass(frozen=True, eq=False, kw_only=True)
class Field:
    """What the data's own shape lets one witness see: a rectangle of a grid of inputs.

    Neighbours tell more together than inputs from anywhere: pixels of an image, neighbouring
    channels. A rectangle has sides at random between a least and a most share of the grid's.

    Raises `InputError` if the places are no grid, or the shares no range within 0..1.
    """

    places: IntArray  # inputs by (height, width), or with what lies at one place behind
    sides: tuple[float, float] = (0.2, 0.7)

    def __post_init__(self) -> None:
        low, high = self.sides
        if np.ndim(self.places) not in (2, 3) or not np.size(self.places):
            raise InputError(f"places must be (height, width[, inputs]), not {self.places.shape}")
        if not 0.0 < low <= high <= 1.0:
            raise InputError(f"sides must be a range within 0..1, not {self.sides!r}")

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> Field | None:
        """Return the field of samples of this shape; None where nothing lies beside another."""
        if len(shape) not in (2, 3):
            return None
        return cls(places=np.arange(math.prod(shape)).reshape(shape))

    def drawn(self, generator: np.random.Generator) -> IntArray:
        """Return the inputs of a rectangle at random."""
        where = []
        for length in self.places.shape[:2]:
            least, most = (max(1, round(share * length)) for share in self.sides)
            side = int(generator.integers(least, most + 1))
            start = int(generator.integers(length - side + 1))
            where.append(slice(start, start + side))
        return self.places[tuple(where)].ravel()


@dataclass(frozen=True, kw_only=True)
class WitnessFamily:
    """A grid of witnesses: LIF layers whose neurons share leak, reset, fan-in and alphabet.

    Raises `InputError` if a member is out of its range.
    """

    fan_in: int  # inputs with a weight that is not zero, of each neuron
    alphabet: Alphabet  # what a weight may be
    leak: Leak
    reset: Reset
    at_last: bool = False  # whether to fire at step T itself, as a readout of it asks, or by then
    # For spike counts: the threshold is divided by a number drawn from 1 to this, so that a neuron
    # may fire several times in an inference. 1 otherwise.
    spikes_per_sample: float = 1.0
    # Neurons of the layer whose spikes of the step before a neuron reads: 0 in a feed-forward
    # layer. With a full leak this is the recurrent threshold layer of arXiv:2605.08022.
    lateral: int = 0
    guide: Guide = Guide.DIFFERENCE
    # Of `Guide.DIFFERENCE` and `DIRECTION`: where a witness may look. The fan-in is then the most
    # that it reads: inputs in which its two samples agree are left out.
    field: Field | None = None
    # Of `Guide.SEEDED`, for which it must be given. The fan-in is then the inputs, and the alphabet
    # that of the integers of 2 to 8 bits.
    seed: int | None = None

    @property
    def memoryless(self) -> bool:
        """Whether a step of its neurons depends on no earlier one."""
        return self.leak.forgets and not self.lateral

    def __post_init__(self) -> None:
        if self.fan_in < 1:
            raise InputError(f"fan_in must be at least 1, not {self.fan_in!r}")
        if self.reset is Reset.LATE:
            raise InputError("reset of a witness must be subtract, zero or none, not late")
        if self.spikes_per_sample < 1.0:
            raise InputError(f"spikes_per_sample must be >= 1, not {self.spikes_per_sample!r}")
        if self.lateral < 0:
            raise InputError(f"lateral must be at least 0, not {self.lateral!r}")
        if (self.seed is not None) != (self.guide is Guide.SEEDED):
            raise InputError(
                "seed must be given for seeded weights, and for no others, "
                f"not {self.seed!r} with {self.guide.value} weights"
            )
        if self.seed is not None:
            self._check_seeded()

    def _check_seeded(self) -> None:
        """Raise `InputError` if `convexon.snn.seeded` makes no such weights."""
        bits = self.alphabet.format.width
        if bits > MAX_BITS or self.alphabet != Alphabet.integers(bits):
            raise InputError(
                f"alphabet of seeded weights must be ternary or int3 to int{MAX_BITS}, "
                f"not {self.alphabet.name}"
            )
        if self.lateral:
            raise InputError(f"lateral must be 0 for seeded weights, not {self.lateral!r}")

    def layer(
        self, weights: IntArray, thresholds: IntArray, recurrent: IntArray | None = None
    ) -> Layer:
        """Return the family's layer with these parameters, its threshold format just wide enough.

        Weights are (inputs, neurons), thresholds (neurons,), recurrent weights (neurons, neurons).
        """
        return Layer(
            weights=weights,
            thresholds=thresholds,
            biases=np.zeros(len(thresholds), dtype=np.int64),
            recurrent=recurrent,
            leak=self.leak,
            reset=self.reset,
            weight_format=self.alphabet.format,
            threshold_format=QFormat(width_of(Interval.hull([0, *thresholds.tolist()]))),
        )


def draw_branch(
    families: Sequence[WitnessFamily],
    dataset: SpikeDataset,
    *,
    widths: Sequence[int],
    generator: np.random.Generator,
    trunk: Sequence[Layer] = (),
) -> Branch:
    """Draw a branch of several layers, each on the spikes of the one below; the last is witnesses.

    Families and widths are those of the layers from the input up, or from the ``trunk`` up, which
    is given already.

    Raises `InputError` if a layer has no neuron, or a fan-in exceeds the neurons below.
    """
    chosen = _calibration(dataset.n_samples, generator)
    signal, reach = dataset.inputs[chosen], dataset.input_range
    labels = dataset.labels[chosen, -1] if dataset.has_step_labels else dataset.labels[chosen]
    layers = list(trunk)
    for layer in trunk:
        signal, reach = layer_spikes(layer, signal, reach), Interval(0, 1)
    for depth, (family, width) in enumerate(zip(families, widths, strict=True), start=1):
        # A silent witness is no column; a silent neuron below one would starve those above.
        revive = depth < len(families)
        layer = draw_layer(family, width, signal, labels, generator=generator, revive=revive)
        layers.append(layer)
        signal, reach = layer_spikes(layer, signal, reach), Interval(0, 1)
    return Branch(tuple(layers))


def draw_layer(
    family: WitnessFamily,
    n_neurons: int,
    signal: UInt8Array,
    labels: IntArray,
    *,
    generator: np.random.Generator,
    revive: bool = False,
) -> Layer:
    """Draw a layer that is alive on ``signal``; of many samples a random part is looked at.

    The signal has shape (samples, steps, inputs), spikes or intensities, and a label for each
    sample. With ``revive`` weights that let no sample reach a threshold of 1 change their signs,
    unless they are seeded.

    Raises `InputError` if there is no neuron to draw, or the fan-in exceeds the inputs.
    """
    chosen = _calibration(len(signal), generator)
    signal, labels = signal[chosen], labels[chosen]
    n_inputs = signal.shape[2]
    if n_neurons < 1:
        raise InputError(f"widths must be at least 1, not {n_neurons!r}")
    if family.fan_in > n_inputs:
        raise InputError(f"fan_in must be at most the {n_inputs} inputs, not {family.fan_in!r}")
    if family.seed is not None:
        weights = _seeded_weights(family, family.seed, (n_inputs, n_neurons), generator)
    elif family.guide is Guide.DIFFERENCE:
        weights = _difference_weights(family, signal, labels, n_neurons, generator)
    elif family.guide is Guide.DIRECTION:
        weights = _direction_weights(family, signal, labels, n_neurons, generator)
    else:
        weights = _blind_weights(family.alphabet, (n_inputs, n_neurons), family.fan_in, generator)
    # Other signs would not be made of the seed.
    revive = revive and family.seed is None
    thresholds = _live_thresholds(family, signal, weights, generator, revive=revive)
    if not family.lateral:
        return family.layer(weights, thresholds)
    fan = min(family.lateral, n_neurons)
    lateral = _blind_weights(family.alphabet, (n_neurons, n_neurons), fan, generator)
    return family.layer(weights, thresholds, lateral)


def _calibration(n_samples: int, generator: np.random.Generator) -> npt.NDArray[np.intp]:
    """Return the samples to look at: all of a few, a random part of many."""
    if n_samples <= CALIBRATION_SAMPLES:
        return np.arange(n_samples)
    return np.sort(generator.choice(n_samples, CALIBRATION_SAMPLES, replace=False))


def _difference_weights(
    family: WitnessFamily,
    signal: UInt8Array,
    labels: IntArray,
    n_witnesses: int,
    generator: np.random.Generator,
) -> IntArray:
    """Weights along differences of samples of different classes, on a few inputs each."""
    activity = _activity(family, signal)
    n, n_inputs = activity.shape
    weights = np.zeros((n_inputs, n_witnesses), dtype=np.int64)
    floor = 0.02 * max(float(activity.max()), 1e-9)
    for p in range(n_witnesses):
        first = int(generator.integers(n))
        others = np.flatnonzero(labels != labels[first])
        second = int(others[generator.integers(len(others))]) if len(others) else first
        difference = activity[first] - activity[second]
        if family.field is not None:
            _weigh_field(family, family.field, difference, weights[:, p], generator)
            continue
        # A small floor lets inputs in where the pair agrees: they tell it from third classes.
        attention = np.abs(difference) + floor
        chosen = generator.choice(
            n_inputs, family.fan_in, replace=False, p=attention / attention.sum()
        )
        part = difference[chosen]
        scale = float(np.abs(part).max()) or 1.0
        rounded = family.alphabet.nearest(part / scale * family.alphabet.largest)
        silent = rounded == 0
        rounded[silent] = generator.choice(np.array([-1, 1]), int(silent.sum()))
        weights[chosen, p] = rounded
    return weights


def _activity(family: WitnessFamily, signal: UInt8Array) -> FloatArray:
    """What each input shows of each sample, (samples, inputs): the mean of its steps.

    A neuron without memory that is read at the last step sees what is there then.
    """
    if family.memoryless and family.at_last:
        return signal[:, -1].astype(np.float64)
    return np.asarray(signal.mean(axis=1), dtype=np.float64)


def _direction_weights(
    family: WitnessFamily,
    signal: UInt8Array,
    labels: IntArray,
    n_witnesses: int,
    generator: np.random.Generator,
) -> IntArray:
    """Weights along directions of classes, signed so that most samples reach a threshold."""
    activity = _activity(family, signal)
    activity /= max(float(activity.max()), 1e-9)
    weights = np.zeros((activity.shape[1], n_witnesses), dtype=np.int64)
    places = np.arange(len(weights))
    for p in range(n_witnesses):
        if family.field is not None:
            places = family.field.drawn(generator)
        seen, direction = random_direction(activity, labels, places, family.fan_in, generator)
        rounded = family.alphabet.nearest(direction * family.alphabet.largest)
        weights[seen, p] = rounded if rounded.any() else 1
    weights[:, np.median(activity @ weights, axis=0) < 0] *= -1
    return weights


_TRIES = 16
"""Rectangles that are looked at until the two samples differ in one."""


def _weigh_field(
    family: WitnessFamily,
    field: Field,
    difference: FloatArray,
    weights: IntArray,
    generator: np.random.Generator,
) -> None:
    """Fill in the weights of one witness: the difference inside a rectangle at random."""
    for _ in range(_TRIES):
        seen = field.drawn(generator)
        seen = seen[difference[seen] != 0]
        if len(seen) >= min(2, difference.size):
            break
    else:  # the samples are equal nearly everywhere: anything is as good
        seen = generator.choice(difference.size, 1)
    if len(seen) > family.fan_in:
        seen = generator.choice(seen, family.fan_in, replace=False)
    part = difference[seen]
    scale = float(np.abs(part).max()) or 1.0
    weights[seen] = family.alphabet.nearest(part / scale * family.alphabet.largest)
    if not weights.any():
        weights[seen[0]] = 1


def _seeded_weights(
    family: WitnessFamily, seed: int, shape: tuple[int, int], generator: np.random.Generator
) -> IntArray:
    """Weights of distinct neurons of the seed, whose numbers are at random."""
    n_inputs, n_neurons = shape
    if family.fan_in != n_inputs:
        raise InputError(
            f"fan_in must be the {n_inputs} inputs for seeded weights, not {family.fan_in!r}"
        )
    if n_neurons > MAX_NEURONS:
        raise InputError(f"widths must be at most {MAX_NEURONS} of a seed, not {n_neurons!r}")
    numbers = generator.choice(MAX_NEURONS, n_neurons, replace=False)
    return seeded_weights(seed, n_inputs, numbers, bits=family.alphabet.format.width)


def _blind_weights(
    alphabet: Alphabet, shape: tuple[int, int], fan_in: int, generator: np.random.Generator
) -> IntArray:
    """``fan_in`` weights a column, at random places and of random values."""
    order = np.argsort(generator.random(shape), axis=0)
    values = generator.choice(alphabet.nonzero, shape)
    return np.where(order.argsort(axis=0) < fan_in, values, 0)


def _live_thresholds(
    family: WitnessFamily,
    signal: UInt8Array,
    weights: IntArray,
    generator: np.random.Generator,
    *,
    revive: bool,
) -> IntArray:
    """Thresholds from quantiles of the membranes that the samples reach without a reset.

    With ``revive`` weights that let no sample reach 1, the smallest threshold, change their signs
    in place: then nearly all samples do. No threshold is beyond what the highest sample reaches.
    """
    n_witnesses = weights.shape[1]
    highest = _highest(family, signal, weights)
    dead = np.flatnonzero(highest[-1] < 1)
    if revive and len(dead):
        weights[:, dead] *= -1
        highest[:, dead] = _highest(family, signal, weights[:, dead])
    levels = 1.0 - generator.uniform(*_FIRING, size=(n_witnesses,))
    divisors = generator.uniform(1.0, family.spikes_per_sample, n_witnesses)
    index = np.rint(levels * (len(highest) - 1)).astype(np.int64)
    quantiles = np.rint(highest[index, np.arange(n_witnesses)] / divisors).astype(np.int64)
    if family.field is not None and family.memoryless:
        return quantiles  # without a memory, a spike that needs no input is as good as any
    return np.clip(quantiles, 1, np.maximum(highest[-1], 1))


def _highest(family: WitnessFamily, signal: UInt8Array, weights: IntArray) -> IntArray:
    """Membrane that each sample reaches without a reset, sorted by neuron: (samples, neurons)."""
    reached = np.empty((len(signal), weights.shape[1]), dtype=np.int64)
    reach = Interval(0, int(signal.max(initial=0)))
    for first in range(0, weights.shape[1], _NEURONS):
        block = slice(first, first + _NEURONS)
        silent = np.zeros(weights[:, block].shape[1], dtype=np.int64)
        free = Layer(
            weights=weights[:, block],
            thresholds=silent,
            biases=silent,
            leak=family.leak,
            reset=Reset.NONE,
            weight_format=family.alphabet.format,
            threshold_format=QFormat(1),
        )
        membranes = layer_trace(free, signal, reach).membranes
        reached[:, block] = membranes[:, -1] if family.at_last else membranes.max(axis=1)
    reached.sort(axis=0)
    return reached
