"""Sites: where a last-layer neuron may be added; and the pricing problem that asks for one.

A dual point lambda of the restricted master prices every pattern d that the dictionary lacks: its
row of weights would leave zero exactly if ``||d^T lambda||_dual > rho w``. Pricing looks for the
pattern that violates the most, among those that a neuron at a *site* realises: on top of a fixed
trunk of layers, or beside a fixed layer whose spikes of the step before it reads, with leak, reset,
fan-in and alphabet of a witness family.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from convexon.convex.model.penalty import Penalty
from convexon.data.dataset import SpikeDataset
from convexon.errors import InputError
from convexon.snn.fixed import Interval
from convexon.snn.models.simulate import layer_features, layer_spikes, spikes_of
from convexon.snn.network import Branch, Layer
from convexon.snn.neuron import MEMORYLESS, ReadoutMode, Reset, in_words
from convexon.train.columns.rows import Rows
from convexon.train.witnesses.threshold import threshold_layer
from convexon.train.witnesses.witness import WitnessFamily

FloatArray = npt.NDArray[np.float64]
UInt8Array = npt.NDArray[np.uint8]


Cost = Callable[["Site", Layer], FloatArray]
"""Penalty weights of a site's neurons, (k,), from the layer that holds them."""

LEAST_WEIGHT = 0.01
"""Smallest penalty weight: at zero a column would be free, and nothing could be certified."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Site:
    """A trunk with the spikes on top of it, and the family of neurons that may stand there."""

    name: str  # of the site in reports
    trunk: tuple[Layer, ...]  # layers below the neuron; none where it reads the input itself
    beside: Layer | None  # neurons on the trunk that those of the site read through lateral weights
    family: WitnessFamily
    # (samples, steps, inputs), what the neuron reads, of the samples that the rows come from: the
    # spikes of the trunk, then those of `beside` one step earlier.
    signal: UInt8Array
    reach: Interval  # values of one input of the neuron
    rows: Rows  # rows of the program
    cost: Cost | None = None  # penalty weights of the site's neurons; ones where None

    @property
    def mode(self) -> ReadoutMode:
        """What the readout weighs."""
        return self.rows.mode

    @property
    def n_inputs(self) -> int:
        """Inputs that a neuron of the site may read."""
        return int(self.signal.shape[2])

    @property
    def form(self) -> str:
        """The neurons that may stand here, in words: what a bound over all of them is about."""
        family = self.family
        kind = in_words(family.leak, family.reset)
        below = "the input"
        if self.trunk:
            below = f"the {self.trunk[-1].n_neurons} neurons of a fixed layer ({self.name})"
        if self.beside is not None:
            below += f" and {self.beside.n_neurons} fixed neurons beside them"
        weights = f"up to {family.fan_in} {family.alphabet.name} weights"
        return f"{kind} on {below}, {weights}, any threshold of 1 or more"

    @property
    def max_feature(self) -> int:
        """Largest value that a column can take: 1, or T for counts."""
        return int(self.signal.shape[1]) if self.mode is ReadoutMode.COUNT else 1

    @property
    def memoryless(self) -> bool:
        """Whether a row depends on one step of the signal alone."""
        return self.family.memoryless and self.mode in (ReadoutMode.LAST, ReadoutMode.STEP)

    def last_step(self) -> UInt8Array:
        """Return the step of the signal that each row depends on, shape (m, inputs).

        For a `memoryless` site.
        """
        if self.mode is ReadoutMode.STEP:
            return self.signal[self.rows.samples, self.rows.steps]
        return self.signal[:, -1]

    @property
    def sample_labels(self) -> npt.NDArray[np.int64]:
        """A label of each sample of the signal: its own, or that of its last row."""
        if self.mode is not ReadoutMode.STEP:
            return self.rows.labels
        labels = np.zeros(len(self.signal), dtype=np.int64)
        labels[self.rows.samples] = self.rows.labels
        return labels

    @property
    def first_neuron(self) -> int:
        """Number, in `branch`, of the first neuron of the layer that is put on the site."""
        return 0 if self.beside is None else self.beside.n_neurons

    def branch(self, layer: Layer) -> Branch:
        """Return the branch with ``layer`` on the trunk, behind the neurons beside it."""
        hubs = self.beside
        if hubs is None:
            return Branch((*self.trunk, layer))
        below = hubs.n_inputs
        lateral = np.zeros((hubs.n_neurons + layer.n_neurons,) * 2, dtype=np.int64)
        if hubs.recurrent is not None:
            lateral[: hubs.n_neurons, : hubs.n_neurons] = hubs.recurrent
        lateral[: hubs.n_neurons, hubs.n_neurons :] = layer.matrix[below:]
        joined = threshold_layer(
            np.concatenate([hubs.matrix, layer.matrix[:below]], axis=1),
            np.concatenate([hubs.thresholds, layer.thresholds]),
            lateral,
        )
        return Branch((*self.trunk, joined))

    def weights(self, layer: Layer) -> FloatArray:
        """Return the penalty weights of the neurons of ``layer``, (k,)."""
        return np.ones(layer.n_neurons) if self.cost is None else self.cost(self, layer)

    @property
    def least_weight(self) -> float:
        """Smallest penalty weight that a neuron can have here."""
        return 1.0 if self.cost is None else LEAST_WEIGHT

    def features(self, layer: Layer) -> UInt8Array:
        """Return what the readout weighs of the neurons of ``layer``, shape (m, neurons)."""
        weighed = layer_features(self.mode, layer, self.signal, self.reach)
        flat = weighed.reshape(-1, layer.n_neurons)
        return flat[self.rows.index] if self.mode is ReadoutMode.STEP else flat


def site_on(
    dataset: SpikeDataset,
    rows: Rows,
    family: WitnessFamily,
    *,
    trunk: Sequence[Layer] = (),
    beside: Layer | None = None,
    name: str = "input",
) -> Site:
    """Simulate ``trunk`` on the samples of ``rows`` and return the site on top of it.

    Raises `InputError` if the family has lateral weights, the fan-in exceeds what there is to read,
    or neurons beside the site are given and it or they are not recurrent threshold units.
    """
    inputs = dataset.inputs if rows.mode is ReadoutMode.STEP else dataset.inputs[rows.samples]
    signal, reach = spikes_of(trunk, inputs, dataset.input_range)
    if beside is not None:
        if (family.leak, family.reset) != (MEMORYLESS, Reset.NONE) or not _threshold(beside):
            raise InputError(
                "family and beside must be threshold units (full leak, no reset) to share a layer"
            )
        held = layer_spikes(beside, signal, reach)
        before = np.concatenate([np.zeros_like(held[:, :1]), held[:, :-1]], axis=1)
        signal = np.concatenate([signal, before], axis=2)
        reach = reach | Interval(0, 1)
    if family.lateral:
        raise InputError("lateral must be 0 on a site: give the neurons to be read as beside")
    if family.fan_in > signal.shape[2]:
        raise InputError(
            f"fan_in must be at most the {signal.shape[2]} inputs of site {name}, "
            f"not {family.fan_in}"
        )
    return Site(
        name=name,
        trunk=tuple(trunk),
        beside=beside,
        family=family,
        signal=signal,
        reach=reach,
        rows=rows,
    )


def _threshold(layer: Layer) -> bool:
    """Whether ``layer`` is of recurrent threshold units without biases."""
    forgets = not layer.keeps_membrane and layer.synapse is None
    plain = (layer.reset, layer.saturation, layer.tables) == (Reset.NONE, None, None)
    return forgets and plain and not layer.biases.any()


@dataclass(frozen=True, eq=False, kw_only=True)
class PricingProblem:
    """What the restricted master asks of the oracles."""

    dual: FloatArray  # (m, C), dual-feasible lambda of the master
    penalty: Penalty
    rho: float
    n_wanted: int  # columns that are wanted of one oracle

    def ratios(self, site: Site, layer: Layer, features: UInt8Array) -> FloatArray:
        """Dual norm over ``rho w`` of each column (m, k): above one where it is violated."""
        width = max(1, _BLOCK_ENTRIES // max(1, len(features)))
        blocks = [
            self.penalty.dual_row_norms(
                features[:, first : first + width].T.astype(np.float64) @ self.dual
            )
            for first in range(0, features.shape[1], width)
        ]
        norms = np.concatenate([np.zeros(0), *blocks])
        return np.asarray(norms / (self.rho * site.weights(layer)))

    def directions(self, count: int, generator: np.random.Generator) -> FloatArray:
        """Return signed directions to ascend, shape (m, count): sums of outputs of the dual.

        A column that is long in a direction violates its constraint. For diversity each of them
        looks at one output or at the difference of two, on its own random part of the rows.
        """
        m, n_outputs = self.dual.shape
        mix = np.zeros((n_outputs, count))
        for k in range(count):
            signs = generator.permutation([1.0, -1.0])
            two = n_outputs > 1 and generator.random() < 0.5
            chosen = generator.choice(n_outputs, 2 if two else 1, replace=False)
            mix[chosen, k] = signs[: len(chosen)]
        seen = generator.random((m, count)) < _ROWS_SEEN
        return np.asarray((self.dual @ mix) * seen)


_BLOCK_ENTRIES = 1 << 22
"""Entries of columns that are converted to float64 at once."""

_ROWS_SEEN = 0.7
"""Share of the rows that a direction looks at."""
