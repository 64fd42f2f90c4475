"""Networks: parallel branches of LIF layers under one linear readout.

A *branch* is a feed-forward stack of layers; K branches read the same input side by side, and the
readout weighs the neurons of all their last layers, branch after branch (arXiv:2605.08022).
`Network` has a real readout, as the convex program leaves it. `FixedPointNetwork` is integer
throughout and is what hardware runs. The hidden part of both is the same integers: witnesses are
drawn on the grid, so nothing is rounded there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from types import NoneType
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.errors import (
    FormatError,
    InputError,
    require_integer,
    require_type,
    require_within,
)
from convexon.snn.coding import CODINGS, require_bits
from convexon.snn.convolution import IntegerConvolution
from convexon.snn.fixed import MAX_INPUT_BITS, Interval, QFormat, Signedness, width_of
from convexon.snn.interface import Interface
from convexon.snn.neuron import Feature, Leak, ReadoutMode, Reset
from convexon.snn.ranges import LayerRanges, layer_ranges, score_range

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

MAX_SHARED_WIDTH = 32
"""Most bits of a weight that neurons share: so that sums over any window fit 64 bits."""

MAX_TABLE_INPUTS = 6
"""Most spikes that a truth table is of: those of the widest lookup table of an FPGA."""

MAX_STEPS = 1 << 16
"""Most steps of an inference: the exact ranges are a walk over all of them."""


def integer_array(name: str, values: npt.ArrayLike, shape: tuple[int, ...]) -> IntArray:
    """Read-only int64 copy of ``values``, checked to be integers of ``shape``.

    Raises
    ------
    InputError
        If the shape differs, or a value is NaN, infinite or not an integer.
    """
    array = np.asarray(values)
    if array.shape != shape:
        raise InputError(f"{name} must have shape {shape}, not {array.shape}")
    # Floats, unsigned integers, and the objects that hold larger ones, may not survive the cast.
    try:
        with np.errstate(invalid="ignore"):
            result = array.astype(np.int64)
        exact = array.dtype.kind in "iubfO" and np.array_equal(result, array)
    except (OverflowError, TypeError, ValueError):
        exact = False
    if not exact:
        raise InputError(f"{name} must hold 64-bit integers only: round to the grid first")
    result.setflags(write=False)
    return result


def require_fit(name: str, values: IntArray, number_format: QFormat) -> None:
    """Raise `FormatError` naming the first of ``values`` that ``number_format`` cannot hold."""
    limits = number_format.interval
    outside = np.argwhere((values < limits.low) | (values > limits.high))
    if len(outside):
        where = tuple(int(i) for i in outside[0])
        raise FormatError(
            f"{name}{list(where)} must lie in {limits.low}..{limits.high} "
            f"({number_format.width} bits), not {int(values[where])}: widen the format or rescale"
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Layer:
    """One layer of LIF neurons; `convexon.snn.neuron` states what it computes.

    Members
    -------
    weights : int64 array, shape (n_inputs, n_neurons), or IntegerConvolution
        Feed-forward weights w[i, j]; `matrix` has them unrolled.
    thresholds, biases : int64 array, shape (n_neurons,)
        theta[j] and b[j].
    recurrent : int64 array, shape (n_neurons, n_neurons), or None
        Lateral weights r[k, j], from the spike of neuron k one step earlier.
    leak, reset : the same for all neurons of the layer
    leaks : int64 array, shape (n_neurons,), or None
        d[j] of each neuron, in place of the leak's d.
    resets : int64 array, shape (n_neurons,), or None
        z[j], which a reset to zero sets the membrane to; None for 0. Membranes begin at 0 anyway.
    synapse : leak of the synaptic current, the same for all neurons; None where there is none
    tables : int64 array, shape (2**k, n_neurons), or None
        Truth tables, 0 or 1 for each code of up to 6 spikes, in place of the sum. The weights of a
        neuron, recurrent ones too, are then different powers of two below 2**k, or 0.
    weight_format, threshold_format : formats that hold the weights (recurrent too), and the
        thresholds, biases and resets
    saturation : membrane format to clamp to. None, the default, computes without clamping.

    Raises
    ------
    InputError
        If a shape is wrong, a value is not an integer, or a member is of another type.
    FormatError
        If a value does not fit its format.
    """

    weights: IntArray | IntegerConvolution
    thresholds: IntArray
    biases: IntArray
    leak: Leak
    reset: Reset
    weight_format: QFormat
    threshold_format: QFormat
    recurrent: IntArray | None = None
    saturation: QFormat | None = None
    synapse: Leak | None = None
    leaks: IntArray | None = None
    tables: IntArray | None = None
    resets: IntArray | None = None

    def __post_init__(self) -> None:
        require_type("leak", self.leak, Leak)
        require_type("reset", self.reset, Reset)
        require_type("weight_format", self.weight_format, QFormat)
        require_type("threshold_format", self.threshold_format, QFormat)
        require_type("saturation", self.saturation, QFormat, NoneType)
        require_type("synapse", self.synapse, Leak, NoneType)
        if isinstance(self.weights, IntegerConvolution):
            n = self._share(self.weights)
        else:
            weights = np.asarray(self.weights)
            if weights.ndim != 2 or 0 in weights.shape:
                raise InputError(
                    "weights must have shape (inputs, neurons), both at least 1, not "
                    f"{weights.shape}"
                )
            n = weights.shape[1]
            own = integer_array("weights", weights, weights.shape)
            self._set("weights", own, self.weight_format)
        self._set(
            "thresholds", integer_array("thresholds", self.thresholds, (n,)), self.threshold_format
        )
        self._set("biases", integer_array("biases", self.biases, (n,)), self.threshold_format)
        if self.recurrent is not None:
            recurrent = integer_array("recurrent", self.recurrent, (n, n))
            self._set("recurrent", recurrent, self.weight_format)
        if self.leaks is not None:
            leaks = integer_array("leaks", self.leaks, (n,))
            for j, d in enumerate(leaks.tolist()):
                if not 0 <= d <= 1 << self.leak.f:
                    raise FormatError(
                        f"leaks[{j}] must be 0 to 2**f = {1 << self.leak.f}, not {d}: they are d "
                        "of each neuron, with the leak's f"
                    )
            object.__setattr__(self, "leaks", leaks)
        if self.tables is not None:
            object.__setattr__(self, "tables", self._truth_tables(self.tables))
        if self.resets is not None:
            if self.reset is not Reset.ZERO:
                raise InputError(f"resets must be None with the reset {self.reset.value}, not zero")
            resets = integer_array("resets", self.resets, (n,))
            self._set("resets", resets, self.threshold_format)
            if self.saturation is not None:
                require_fit("resets", resets, self.saturation)

    def _truth_tables(self, tables: npt.ArrayLike) -> IntArray:
        """Check tables, and that the weights address them."""
        n_codes = (np.shape(tables) or (0,))[0]
        if n_codes not in [1 << k for k in range(1, MAX_TABLE_INPUTS + 1)]:
            raise InputError(
                f"tables must have 2**k rows, a code each, k from 1 to {MAX_TABLE_INPUTS}, not "
                f"shape {np.shape(tables)}"
            )
        found = integer_array("tables", tables, (n_codes, self.n_neurons))
        require_fit("tables", found, QFormat(1, signedness=Signedness.UNSIGNED))
        if isinstance(self.weights, IntegerConvolution):
            raise InputError("a convolution must not have tables: give its layer a matrix instead")
        addressed = self.addresses
        powers = (addressed >= 0) & (addressed < n_codes) & (addressed & (addressed - 1) == 0)
        twice = np.bitwise_or.reduce(addressed, axis=0) != addressed.sum(axis=0)
        for j in np.flatnonzero(~powers.all(axis=0) | twice).tolist():
            raise InputError(
                f"weights of neuron {j} must be different powers of two below {n_codes}, or 0, to "
                "address its table"
            )
        return found

    @property
    def addresses(self) -> IntArray:
        """Weights of a matrix, and recurrent ones below them, shape (sources, n_neurons)."""
        return self.matrix if self.recurrent is None else np.vstack([self.matrix, self.recurrent])

    def _share(self, weights: IntegerConvolution) -> int:
        """Check a convolution, and return the neurons it leads to."""
        kernel = integer_array("kernel", weights.kernel, weights.kernel.shape)
        require_fit("kernel", kernel, self.weight_format)
        if self.weight_format.width > MAX_SHARED_WIDTH:
            raise FormatError(
                f"weights of a convolution must have at most {MAX_SHARED_WIDTH} bits, not "
                f"{self.weight_format.width}"
            )
        if self.recurrent is not None:
            raise InputError("a convolution must not be recurrent: give its layer a matrix instead")
        object.__setattr__(self, "weights", weights.with_kernel(kernel))
        return weights.n_outputs

    def _set(self, name: str, values: IntArray, number_format: QFormat) -> None:
        require_fit(name, values, number_format)
        object.__setattr__(self, name, values)

    def leak_of(self, j: int) -> Leak:
        """Leak of neuron ``j``."""
        return self.leak if self.leaks is None else self.leak.of(int(self.leaks[j]))

    def reset_of(self, j: int) -> int:
        """What a reset to zero sets the membrane of neuron ``j`` to."""
        return 0 if self.resets is None else int(self.resets[j])

    @property
    def leak_numerators(self) -> IntArray:
        """The d of every neuron, or the one of all of them, shape ()."""
        return np.array(self.leak.d) if self.leaks is None else self.leaks

    @property
    def keeps_membrane(self) -> bool:
        """Whether a step depends on the membrane that the step before has left."""
        forgets = (self.leak_numerators == 1 << self.leak.f).all()
        return not forgets or self.reset is Reset.LATE

    @property
    def memoryless(self) -> bool:
        """Whether no step depends on an earlier one."""
        return self.recurrent is None and self.synapse is None and not self.keeps_membrane

    @property
    def n_inputs(self) -> int:
        """Number of feed-forward inputs."""
        if isinstance(self.weights, IntegerConvolution):
            return self.weights.n_inputs
        return int(self.weights.shape[0])

    @property
    def n_neurons(self) -> int:
        """Number of neurons."""
        return len(self.thresholds)

    @cached_property
    def matrix(self) -> IntArray:
        """The weights w[i, j], shape (n_inputs, n_neurons); `InputError` if they are too many."""
        if isinstance(self.weights, IntegerConvolution):
            return np.asarray(self.weights.unrolled(), dtype=np.int64)
        return self.weights

    @property
    def stored(self) -> IntArray:
        """The weights as they are stored, once each: a matrix, or a kernel."""
        own = self.weights
        return own.kernel if isinstance(own, IntegerConvolution) else own

    @property
    def synapses(self) -> IntArray | IntegerConvolution:
        """1 for each weight that is not zero, 0 for others, in the form of the weights."""
        used = (self.stored != 0).astype(np.int64)
        own = self.weights
        return own.with_kernel(used) if isinstance(own, IntegerConvolution) else used

    @property
    def fan_ins(self) -> IntArray:
        """Feed-forward synapses of each neuron, shape (n_neurons,)."""
        return np.asarray(np.ones(self.n_inputs, dtype=np.int64) @ self.synapses)

    @property
    def n_synapses(self) -> int:
        """Number of weights that are not zero, recurrent ones included."""
        lateral = 0 if self.recurrent is None else int(np.count_nonzero(self.recurrent))
        return int(self.fan_ins.sum()) + lateral

    def restricted(self, neurons: npt.NDArray[np.intp], inputs: npt.NDArray[np.intp]) -> Layer:
        """Return the layer that keeps only the given neurons and inputs, in the given order.

        A convolution that loses some of them is a matrix.
        """
        whole = (np.arange(self.n_neurons), np.arange(self.n_inputs))
        if all(np.array_equal(*pair) for pair in zip(whole, (neurons, inputs), strict=True)):
            return self
        return replace(
            self,
            weights=self.matrix[np.ix_(inputs, neurons)],
            thresholds=self.thresholds[neurons],
            biases=self.biases[neurons],
            recurrent=None if self.recurrent is None else self.recurrent[np.ix_(neurons, neurons)],
            leaks=None if self.leaks is None else self.leaks[neurons],
            resets=None if self.resets is None else self.resets[neurons],
            tables=None if self.tables is None else self.tables[:, neurons],
        )


@dataclass(frozen=True, eq=False)
class Branch:
    """A feed-forward stack of layers: one of the K parallel sub-networks.

    Raises
    ------
    InputError
        If there is no layer, or a layer's inputs are not the neurons of the layer before.
    """

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if not self.layers:
            raise InputError("layers must hold at least one layer, not none")
        for depth, (below, above) in enumerate(zip(self.layers, self.layers[1:], strict=False)):
            if above.n_inputs != below.n_neurons:
                raise InputError(
                    f"layer {depth + 1} must have {below.n_neurons} inputs, the neurons of layer "
                    f"{depth}, not {above.n_inputs}"
                )

    @property
    def n_inputs(self) -> int:
        """Inputs of the first layer."""
        return self.layers[0].n_inputs

    @property
    def n_outputs(self) -> int:
        """Neurons of the last layer."""
        return self.layers[-1].n_neurons

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len(self.layers)

    def closed(self, outputs: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Return ``outputs`` of the last layer, then all that they read through lateral weights."""
        return _with_lateral_sources(self.layers[-1], np.asarray(outputs, dtype=np.intp))

    def pruned(self, outputs: npt.NDArray[np.intp]) -> Branch:
        """Keep the given neurons of the last layer, and below them only what they depend on.

        Exact: a neuron is dropped only when no kept neuron reads it, directly or through
        recurrence.
        """
        layers: list[Layer] = []
        wanted = np.asarray(outputs, dtype=np.intp)
        for depth in range(self.depth - 1, -1, -1):
            layer = self.layers[depth]
            neurons = _with_lateral_sources(layer, wanted)
            if depth == self.depth - 1 and len(neurons) != len(wanted):
                raise InputError(
                    "outputs must be closed under lateral weights in the last layer: keep every "
                    "neuron that a kept one reads"
                )
            below = _read_by(layer, neurons) if depth else np.arange(layer.n_inputs)
            if not len(below):  # bias-driven neurons alone: keep one input, as a layer needs one
                below = np.array([0])
            if depth:  # what the layer below keeps for its own sake is an input too, of weight 0
                below = _with_lateral_sources(self.layers[depth - 1], below)
            layers.append(layer.restricted(neurons, below))
            wanted = below
        return Branch(tuple(reversed(layers)))


def _read_by(layer: Layer, neurons: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Inputs of which some of ``neurons`` have a weight."""
    if isinstance(layer.weights, IntegerConvolution) and len(neurons) == layer.n_neurons:
        return np.arange(layer.n_inputs)
    return np.flatnonzero(layer.matrix[:, neurons].any(axis=1))


def _with_lateral_sources(layer: Layer, neurons: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """``neurons`` in their order, followed by all that they read through recurrent weights."""
    if layer.recurrent is None:
        return neurons
    kept = list(neurons)
    seen = set(kept)
    for neuron in kept:  # grows while it is walked: a breadth-first closure
        for source in np.flatnonzero(layer.recurrent[:, neuron]):
            if source not in seen:
                seen.add(source)
                kept.append(source)
    return np.array(kept, dtype=np.intp)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Hidden:
    """What `Network` and `FixedPointNetwork` have in common: branches, input coding, readout mode.

    Members
    -------
    branches : the K parallel branches, all with ``n_inputs`` inputs
    n_steps : T, the steps of one inference
    input_bits : 1 for spikes, k for unsigned intensities of k bits
    readout_mode : what the readout weighs
    """

    branches: tuple[Branch, ...]
    n_steps: int
    input_bits: int
    readout_mode: ReadoutMode

    def _check_hidden(self) -> None:
        if not self.branches:
            raise InputError("branches must hold at least one branch, not none")
        require_type("readout_mode", self.readout_mode, ReadoutMode)
        for name, most in (("n_steps", MAX_STEPS), ("input_bits", MAX_INPUT_BITS)):
            value = require_integer(name, getattr(self, name))
            require_within(name, value, 1, most)
            object.__setattr__(self, name, value)
        widths = {branch.n_inputs for branch in self.branches}
        if len(widths) > 1:
            raise InputError(f"branches must all read the same inputs, not {sorted(widths)} inputs")
        if self.input_bits > 1 and any(b.layers[0].tables is not None for b in self.branches):
            raise InputError(
                f"input_bits must be 1 for a first layer with tables, not {self.input_bits}: a "
                "truth table is of spikes"
            )

    @property
    def n_inputs(self) -> int:
        """Inputs that every branch reads."""
        return self.branches[0].n_inputs

    @property
    def n_features(self) -> int:
        """Neurons that the readout weighs: the last layers of all branches."""
        return sum(branch.n_outputs for branch in self.branches)

    @property
    def n_neurons(self) -> int:
        """Neurons of all layers of all branches."""
        return sum(layer.n_neurons for branch in self.branches for layer in branch.layers)

    def feature(self, branch: int, depth: int) -> Feature:
        """What the layer at ``depth`` of a branch hands on: of the last one, what is read."""
        ends = self.branches[branch].depth == depth + 1
        return self.readout_mode.feature if ends else Feature.SPIKE

    @property
    def reads_membranes(self) -> bool:
        """Whether the membranes of the last layers are the scores."""
        return self.readout_mode.feature is Feature.MEMBRANE

    @property
    def n_cells(self) -> int:
        """Neurons that fire by a truth table: logic cells, which are no LIF neurons."""
        layers = (layer for branch in self.branches for layer in branch.layers)
        return sum(layer.n_neurons for layer in layers if layer.tables is not None)

    @property
    def depth(self) -> int:
        """Layers of the deepest branch."""
        return max(branch.depth for branch in self.branches)

    @property
    def input_range(self) -> Interval:
        """Values of one input in one step."""
        return Interval(0, (1 << self.input_bits) - 1)

    @cached_property
    def ranges(self) -> tuple[tuple[LayerRanges, ...], ...]:
        """Exact ranges of every neuron, by branch and layer (`convexon.snn.ranges`)."""
        result = []
        for branch in self.branches:
            inputs = self.input_range
            per_layer = []
            for layer in branch.layers:
                per_layer.append(layer_ranges(layer, inputs, self.n_steps))
                inputs = Interval(0, 1)
            result.append(tuple(per_layer))
        return tuple(result)


@dataclass(frozen=True, eq=False, kw_only=True)
class Network(_Hidden):
    """Integer branches under a real readout: what `convexon.train` reconstructs.

    Members
    -------
    readout_weights : float64 array, shape (n_features, n_classes)
    readout_biases : float64 array, shape (n_classes,)

    Raises
    ------
    InputError
        If a shape is wrong or a value is not finite.
    """

    readout_weights: FloatArray
    readout_biases: FloatArray

    def __post_init__(self) -> None:
        self._check_hidden()
        self.readout_mode.require_weighed("a readout of real numbers")
        weights = np.asarray(self.readout_weights, dtype=np.float64)
        biases = np.asarray(self.readout_biases, dtype=np.float64)
        if weights.ndim != 2 or weights.shape[0] != self.n_features or weights.shape[1] < 1:
            raise InputError(
                f"readout_weights must have shape ({self.n_features}, classes), not {weights.shape}"
            )
        if biases.shape != (weights.shape[1],):
            raise InputError(
                f"readout_biases must have shape ({weights.shape[1]},), not {biases.shape}"
            )
        for name, values in (("readout_weights", weights), ("readout_biases", biases)):
            if not np.isfinite(values).all():
                raise InputError(f"{name} must be finite, not NaN or infinite")
            frozen = values.copy()
            frozen.setflags(write=False)
            object.__setattr__(self, name, frozen)

    @property
    def n_classes(self) -> int:
        """Number of scores."""
        return int(self.readout_weights.shape[1])


@dataclass(frozen=True, eq=False, kw_only=True)
class FixedPointNetwork(_Hidden):
    """A network of integers only: the one description that models, hardware and benches share.

    Its file is the *silicon card* (`convexon.snn.card`).

    Members
    -------
    readout_weights : int64 array, shape (n_features, n_classes)
        The identity where membranes are read, as these are the scores.
    readout_biases : int64 array, shape (n_classes,)
    readout_format, bias_format : formats of the readout's weights and biases; both have the same
        ``frac``
    interface : how raw samples become inputs, and what the classes are called; None for a network
        that takes encoded steps alone

    Raises
    ------
    InputError, FormatError
        If a shape is wrong, or a value is not an integer or does not fit its format.
    """

    readout_weights: IntArray
    readout_biases: IntArray
    readout_format: QFormat
    bias_format: QFormat
    interface: Interface | None = None

    def __post_init__(self) -> None:
        self._check_hidden()
        shape = np.shape(self.readout_weights)
        if len(shape) != 2 or shape[0] != self.n_features or shape[1] < 1:
            raise InputError(
                f"readout_weights must have shape ({self.n_features}, classes), not {shape}"
            )
        if self.readout_format.frac != self.bias_format.frac:
            raise FormatError(
                f"bias_format must have the readout's frac {self.readout_format.frac}, "
                f"not {self.bias_format.frac}"
            )
        weights = integer_array("readout_weights", self.readout_weights, shape)
        biases = integer_array("readout_biases", self.readout_biases, (shape[1],))
        require_fit("readout_weights", weights, self.readout_format)
        require_fit("readout_biases", biases, self.bias_format)
        object.__setattr__(self, "readout_weights", weights)
        object.__setattr__(self, "readout_biases", biases)
        if self.reads_membranes and (not np.array_equal(weights, np.eye(shape[0])) or biases.any()):
            raise InputError(
                "readout_weights must be the identity, and readout_biases 0, for the readout "
                f"{self.readout_mode.value}, whose scores are the membranes: put weights and "
                "biases into the last layer"
            )
        if self.interface is not None:
            self._check_interface(self.interface)

    def _check_interface(self, interface: Interface) -> None:
        """Raise `InputError` unless the interface is of this network."""
        n_labels = max(2, self.n_classes)
        if len(interface.classes) != n_labels or interface.n_inputs != self.n_inputs:
            raise InputError(
                f"interface must have {n_labels} classes and {self.n_inputs} inputs, not "
                f"{len(interface.classes)} and {interface.n_inputs}"
            )
        require_bits(interface.coding, self.input_bits)
        if CODINGS[interface.coding].per_step and interface.shape[0] != self.n_steps:
            raise InputError(
                f"interface must have the {self.n_steps} steps of the network, not "
                f"{interface.shape[0]}"
            )

    @property
    def n_classes(self) -> int:
        """Number of scores."""
        return int(self.readout_weights.shape[1])

    def encode(self, samples: npt.ArrayLike) -> npt.NDArray[np.uint8]:
        """Return raw samples as what the network reads, shape (samples, steps, inputs).

        Raises
        ------
        InputError
            If the network has no interface, or the samples do not fit it.
        """
        if self.interface is None:
            raise InputError(
                "the network takes encoded steps: its card does not say how raw samples are encoded"
            )
        return self.interface.encode(samples, n_steps=self.n_steps, bits=self.input_bits)

    def check_inputs(self, inputs: npt.NDArray[Any]) -> None:
        """Raise `InputError` unless ``inputs`` are samples that this network takes."""
        expected = (self.n_steps, self.n_inputs)
        if inputs.ndim != 3 or inputs.shape[1:] != expected or not len(inputs):
            raise InputError(
                f"inputs must have shape (samples, {expected[0]}, {expected[1]}), "
                f"not {inputs.shape}"
            )
        limit = self.input_range.high
        if inputs.dtype.kind not in "ui" or int(inputs.min()) < 0 or int(inputs.max()) > limit:
            raise InputError(f"inputs must be integers in 0..{limit} ({self.input_bits} bits)")

    @property
    def n_synapses(self) -> int:
        """Weights that are not zero: branches, and a readout that weighs."""
        hidden = sum(layer.n_synapses for branch in self.branches for layer in branch.layers)
        return hidden + (not self.reads_membranes) * int(np.count_nonzero(self.readout_weights))

    @cached_property
    def score_ranges(self) -> tuple[Interval, ...]:
        """Exact range of each class's score, partial sums over steps included."""
        if self.reads_membranes:
            return tuple(each for branch in self.ranges for each in branch[-1].membrane)
        return tuple(
            score_range(self.readout_weights[:, c], int(self.readout_biases[c]), self.max_feature)
            for c in range(self.n_classes)
        )

    @property
    def score_width(self) -> int:
        """Bits of one score: the narrowest signed format that holds those of all classes."""
        return max(width_of(interval) for interval in self.score_ranges)

    @property
    def max_feature(self) -> int:
        """Largest value of one feature: T for spike counts, else 1."""
        return self.n_steps if self.readout_mode is ReadoutMode.COUNT else 1
