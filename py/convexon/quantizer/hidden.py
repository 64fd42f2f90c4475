"""The quantizer of hidden layers: real weights to integers of few bits, spikes kept.

A neuron's spikes do not change when its weights, bias and threshold are multiplied by one positive
number. So each neuron has a scale of its own, which its threshold absorbs: no multiplier is left.
What changes is the rounding of weights, and it is chosen where it matters, by spikes:

1. each neuron gets the scale and rounding, to nearest or by error feedback, whose integer spikes
   differ least from the real ones on calibration samples;
2. its threshold, then single weights, are moved by a step where that restores spikes.

Layers are done from the input on, each on the integer spikes of the one below and towards the real
spikes, so that a later layer makes up for what an earlier one lost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from convexon.errors import FormatError, InputError
from convexon.quantizer.readout import quantize_readout
from convexon.quantizer.settings import Grid, HiddenSettings, Rounding
from convexon.snn.fixed import Interval, QFormat
from convexon.snn.interface import Interface
from convexon.snn.network import Branch, FixedPointNetwork, FloatArray, IntArray, Layer
from convexon.snn.neuron import Leak, Reset
from convexon.snn.real import RealLayer, RealNetwork, stack_spikes
from convexon.snn.simulate import layer_spikes, spikes_of

Spikes = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerChange:
    """What quantization did to one layer.

    Members
    -------
    name : str
    neurons : int
    before, after : float64 arrays, shape (steps,)
        Share of neurons and samples whose spike differs from the real layer's at each step, the
        layers below quantized too: with plain rounding to nearest, and as delivered.
    real_rate, rate : float
        Spikes a neuron and step.
    saturated : int
        Weights that were clipped to the largest integer.
    silent : int
        Neurons that spike in the real layer, and never here.
    time_constant : tuple of float
        In steps, of the real leak and of the integers'; infinite without leak.
    moved : int
        Thresholds and weights that the search moved.
    """

    name: str
    neurons: int
    before: FloatArray
    after: FloatArray
    real_rate: float
    rate: float
    saturated: int
    silent: int
    time_constant: tuple[float, float]
    moved: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Calibration:
    """Samples on which spikes are compared.

    Members
    -------
    inputs : uint8 array, shape (samples, steps, inputs)
        What the integer network reads.
    bits : int
        Of one input.
    scale, offset : float64 arrays, shape (inputs,)
        The real network reads ``offset + scale * inputs``.
    """

    inputs: Spikes
    bits: int
    scale: FloatArray
    offset: FloatArray

    @property
    def real(self) -> FloatArray:
        """What the real network reads, shape (samples, steps, inputs)."""
        return self.inputs * self.scale + self.offset


@dataclass(frozen=True, eq=False, kw_only=True)
class Quantized:
    """A network of integers, with what was lost on the way to it.

    Members
    -------
    card : FixedPointNetwork
    layers : tuple of LayerChange
    notes : tuple of str
        What of the real network has no exact counterpart, a line each.
    """

    card: FixedPointNetwork
    layers: tuple[LayerChange, ...]
    notes: tuple[str, ...]


def quantize_network(
    real: RealNetwork,
    calibration: Calibration,
    settings: HiddenSettings | None = None,
    *,
    interface: Interface | None = None,
) -> Quantized:
    """Return a network of integers whose spikes follow those of ``real``.

    Raises
    ------
    InputError
        If a layer has no counterpart in the contract, or is silent afterwards; it names the layer.
    FormatError
        If a value does not fit.
    """
    chosen = settings or HiddenSettings()
    inputs = calibration.inputs
    targets = stack_spikes(real.layers, calibration.real)
    notes: list[str] = []
    layers: list[Layer] = []
    plain: list[Layer] = []
    changes = []
    reach = Interval(0, (1 << calibration.bits) - 1)
    signal, plain_signal, real_signal = inputs, inputs, calibration.real
    for depth, (layer, target) in enumerate(zip(real.layers, targets, strict=True)):
        notes.extend(_require_contract(layer, target))
        folded = _folded(layer, calibration) if depth == 0 else layer
        given = inputs.astype(np.float64) if depth == 0 else real_signal
        own = replace(chosen, bits=(chosen.bits_of(depth, len(real.layers)),))
        work = _Work(folded, own, signal, given, target, reach)
        found, saturated, moved = work.quantized()
        layers.append(found)
        plain.append(work.nearest())
        signal = layer_spikes(found, signal, reach)
        plain_signal = layer_spikes(plain[-1], plain_signal, reach)
        real_signal, reach = target.astype(np.float64), Interval(0, 1)
        change = LayerChange(
            name=layer.name,
            neurons=layer.n_neurons,
            before=(plain_signal != target).mean(axis=(0, 2)),
            after=(signal != target).mean(axis=(0, 2)),
            real_rate=float(target.mean()),
            rate=float(signal.mean()),
            saturated=saturated,
            silent=int((target.any(axis=(0, 1)) & ~signal.any(axis=(0, 1))).sum()),
            time_constant=(_time_constant(_leak_of(layer)), _time_constant(found.leak.factor)),
            moved=moved,
        )
        _require_alive(change, chosen)
        changes.append(change)
    return Quantized(
        card=_assembled(real, layers, calibration, chosen, interface),
        layers=tuple(changes),
        notes=tuple(notes),
    )


def _assembled(
    real: RealNetwork,
    layers: list[Layer],
    calibration: Calibration,
    settings: HiddenSettings,
    interface: Interface | None,
) -> FixedPointNetwork:
    n_steps = calibration.inputs.shape[1]
    times = n_steps if real.readout_mode.value == "count" else 1
    limit = (1 << (settings.readout_bits - 1)) - 1
    largest = float(np.abs(real.readout_weights).max(initial=0.0))
    excess = math.ceil(math.log2(largest / limit)) if largest > limit else 0
    share = math.ldexp(1.0, -excess)  # scores that are all divided by one number decide alike
    readout = quantize_readout(
        share * real.readout_weights,
        share * times * real.readout_biases,
        bits=settings.readout_bits,
    )
    return FixedPointNetwork(
        branches=(Branch(tuple(layers)),),
        n_steps=n_steps,
        input_bits=calibration.bits,
        readout_mode=real.readout_mode,
        readout_weights=readout.weights,
        readout_biases=readout.biases,
        readout_format=readout.weight_format,
        bias_format=readout.bias_format,
        interface=interface,
    )


def _require_contract(layer: RealLayer, target: Spikes) -> list[str]:
    """Refuse what no integer layer can do, and return what is done only nearly."""
    if layer.synapse is not None and layer.synapse.any():
        raise InputError(
            f"{layer.name} has a synaptic current, for which the neuron's contract has no state: "
            "train it with a membrane alone"
        )
    if layer.several and target.max(initial=0) > 1:
        raise InputError(
            f"{layer.name} spikes up to {int(target.max())} times a step on the calibration "
            "samples, and the contract allows one: train it with single spikes, or scale its "
            "thresholds up"
        )
    _leak_of(layer)
    notes = []
    if layer.several:
        notes.append(f"{layer.name}: one spike a step at most, which sufficed for all samples")
    if layer.lateral_biases is not None and layer.lateral_biases.any():
        notes.append(f"{layer.name}: the lateral bias is there from the first step on")
    if layer.floor is not None:
        notes.append(f"{layer.name}: the membrane has no least value")
    return notes


def _require_alive(change: LayerChange, settings: HiddenSettings) -> None:
    if change.rate < settings.least_rate <= change.real_rate:
        raise InputError(
            f"{change.name} spikes {change.rate:.2g} times a neuron and step after quantization, "
            f"{change.real_rate:.2g} before: take more bits"
        )


LEAK_SPREAD = 1e-3
"""Most that the leak factors of one layer may differ, which share one integer leak."""


def _leak_of(layer: RealLayer) -> float:
    """The one leak factor of a layer."""
    low, high = float(layer.leak.min()), float(layer.leak.max())
    if high - low > LEAK_SPREAD:
        raise InputError(
            f"leak of {layer.name} must be the same for all its neurons, not {low:.4g} to "
            f"{high:.4g}: train one time constant a layer"
        )
    return (low + high) / 2


def _time_constant(factor: float) -> float:
    """Steps in which a membrane falls to 1/e."""
    if factor <= 0:
        return 0.0
    return math.inf if factor >= 1 else -1.0 / math.log(factor)


def _folded(layer: RealLayer, calibration: Calibration) -> RealLayer:
    """The first layer on the integers that come in, in place of what they stand for."""
    weights = layer.weights.astype(np.float64)
    return RealLayer(
        name=layer.name,
        weights=weights * calibration.scale[:, None],
        biases=layer.biases + calibration.offset @ weights,
        leak=layer.leak,
        thresholds=layer.thresholds,
        reset=layer.reset,
        strict=layer.strict,
        late=layer.late,
        lateral=layer.lateral,
        lateral_biases=layer.lateral_biases,
    )


_CLIPS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
"""Shares of the largest weight that the largest integer may stand for."""

_ROWS = 4096
"""Most samples and steps that error feedback looks at."""

_SAMPLES = 256
"""Most samples whose spikes the search compares."""

_MOVES = 64
"""Most weights of a neuron that the search tries to move at once."""

_ROUNDS = 8
"""Most moves of one neuron."""


class _Work:
    """One layer on its way to integers.

    Parameters
    ----------
    layer : RealLayer
    settings : HiddenSettings
        With the bits of this layer alone.
    signal : uint8 array, shape (samples, steps, inputs)
        Integer spikes of the layer below.
    given : float64 array, of the same shape
        What the real layer reads.
    target : uint8 array, shape (samples, steps, neurons)
        Its spikes.
    reach : Interval
        Of one input.
    """

    def __init__(
        self,
        layer: RealLayer,
        settings: HiddenSettings,
        signal: Spikes,
        given: FloatArray,
        target: Spikes,
        reach: Interval,
    ) -> None:
        self.layer, self.settings, self.reach = layer, settings, reach
        (self.bits,) = settings.bits
        self.limit = max(1, (1 << (self.bits - 1)) - 1)
        if settings.grid is Grid.POWER:
            self.limit = 1 << (self.limit.bit_length() - 1)
        # Files are often sorted by class: look at samples from everywhere.
        looked_at = np.linspace(0, len(signal) - 1, min(len(signal), _SAMPLES)).astype(np.intp)
        self.signal, self.target = signal[looked_at], target[looked_at]
        self.weights = layer.weights.astype(np.float64)
        self.leak = Leak.nearest(_leak_of(layer))
        stride = max(1, -(-signal.shape[0] * signal.shape[1] // _ROWS))
        rows = slice(None, None, stride)
        self.rows = signal.reshape(-1, signal.shape[2])[rows].astype(np.float64)
        self.given = given.reshape(-1, given.shape[2])[rows]
        largest = np.abs(self.weights).max(axis=0)
        if layer.lateral is not None:
            largest = np.maximum(largest, np.abs(layer.lateral).max(axis=0))
        # A neuron without weights lives on its bias: any scale does.
        self.finest = self.limit / np.where(largest > 0, largest, layer.thresholds)

    def nearest(self) -> Layer:
        """The layer with each weight at the nearest integer, at the finest scale."""
        return self._layer(self._rounded(self.finest), self.finest)

    def quantized(self) -> tuple[Layer, int, int]:
        """Return the layer, how many of its weights are clipped, and how many steps were made."""
        if self.settings.rounding is Rounding.NEAREST:
            return self.nearest(), 0, 0
        if self.settings.rounding is Rounding.FEEDBACK:
            fed = self._fed_back(self.finest)
            return self._layer(fed, self.finest), self._clipped(self.finest), 0
        scales, weights = self._best_of_scales()
        layer = self._layer(weights, scales)
        moved = 0
        # A neuron that others write to cannot be moved by itself.
        if self.layer.lateral is None:
            layer, moved = self._searched(layer)
        return layer, self._clipped(scales), moved

    def _clipped(self, scales: FloatArray) -> int:
        return int((np.abs(self.weights * scales) > self.limit + 0.5).sum())

    def _on_grid(self, values: FloatArray) -> FloatArray:
        """The nearest integers that a weight may be."""
        clipped = np.clip(values, -self.limit, self.limit)
        if self.bits == 1:
            return np.where(clipped < 0, -1.0, 1.0)
        if self.settings.grid is Grid.LINEAR:
            return np.asarray(np.rint(clipped))
        size = np.abs(clipped)
        # Between two powers of two the nearest changes at their mean, 3/2 of the lower one.
        power = np.exp2(np.floor(np.log2(np.maximum(size, 0.5) * (4.0 / 3.0))))
        return np.where(size < 0.5, 0.0, np.sign(clipped) * power)

    def _rounded(self, scales: FloatArray) -> FloatArray:
        kept = self._on_grid(self.weights * scales)
        # What the other tool left out stays out, where the grid can say so.
        return kept if self.bits == 1 else np.where(self.weights == 0, 0.0, kept)

    def _fed_back(self, scales: FloatArray) -> FloatArray:
        """Round input by input; what one leaves of the current is carried to the next."""
        result = np.empty_like(self.weights)
        carried = np.zeros((len(self.rows), self.weights.shape[1]))
        plain = self._rounded(scales)
        for i, wanted in enumerate(self.weights * scales):
            read = self.rows[:, i]
            power = float(read @ read)
            carried += np.outer(self.given[:, i], wanted)
            if power:
                best = self._on_grid(read @ carried / power)
                result[i] = best if self.bits == 1 else np.where(wanted == 0, 0.0, best)
                carried -= np.outer(read, result[i])
            else:
                result[i] = plain[i]
        return result

    def _best_of_scales(self) -> tuple[FloatArray, FloatArray]:
        """For each neuron the scale and rounding whose spikes differ least from the real ones."""
        kept_scales, kept = self.finest.copy(), self._rounded(self.finest)
        least = self._wrong(self._layer(kept, kept_scales))
        for clip in _CLIPS:
            scales = self.finest / clip
            for weights in (self._rounded(scales), self._fed_back(scales)):
                wrong = self._wrong(self._layer(weights, scales))
                better = wrong < least
                least = np.where(better, wrong, least)
                kept[:, better] = weights[:, better]
                kept_scales[better] = scales[better]
        return kept_scales, kept

    def _wrong(self, layer: Layer) -> IntArray:
        """Spikes of each neuron that differ from the real ones."""
        spikes = layer_spikes(layer, self.signal, self.reach)
        return np.asarray((spikes != self.target).sum(axis=(0, 1)))

    def _layer(self, weights: FloatArray, scales: FloatArray) -> Layer:
        """The integer layer of weights on the grid, ``scales`` to the weight."""
        real = self.layer
        guard = 1 << self.settings.guard_bits
        scaled = scales * guard
        biases = real.biases.astype(np.float64)
        lateral = None
        if real.lateral is not None:
            lateral = self._on_grid(real.lateral * scales) * guard
        if real.lateral_biases is not None:
            biases = biases + real.lateral_biases
        level = real.thresholds * scaled
        # On integers u > theta is u >= floor(theta) + 1.
        thresholds = np.floor(level) + 1 if real.strict else np.ceil(level)
        reset = real.reset
        if real.late:
            # A reset one step late is an inhibition of the neuron by its own spike.
            own = np.diag(np.rint(level))
            lateral = -own if lateral is None else lateral - own
            reset = Reset.NONE
        return _integer_layer(
            weights * guard, lateral, thresholds, np.rint(biases * scaled), self.leak, reset
        )

    def _searched(self, layer: Layer) -> tuple[Layer, int]:
        """Move thresholds, then single weights, as long as a step restores spikes."""
        weights = layer.weights.astype(np.float64)
        thresholds = layer.thresholds.astype(np.float64)
        moved = 0
        for j in range(layer.n_neurons):
            for _ in range(_ROUNDS):
                w, theta = self._candidates(weights[:, j], float(thresholds[j]))
                biases = np.full(len(theta), float(layer.biases[j]))
                own = None
                if layer.recurrent is not None:
                    own = np.diag(np.full(len(theta), float(layer.recurrent[j, j])))
                tried = _integer_layer(w, own, theta, biases, layer.leak, layer.reset)
                spikes = layer_spikes(tried, self.signal, self.reach)
                wrong = (spikes != self.target[:, :, j : j + 1]).sum(axis=(0, 1))
                best = int(wrong.argmin())
                if wrong[best] >= wrong[0]:
                    break
                weights[:, j], thresholds[j] = w[:, best], theta[best]
                moved += 1
        lateral = None if layer.recurrent is None else layer.recurrent.astype(np.float64)
        biases = layer.biases.astype(np.float64)
        return _integer_layer(weights, lateral, thresholds, biases, layer.leak, layer.reset), moved

    def _candidates(self, weights: FloatArray, threshold: float) -> tuple[FloatArray, FloatArray]:
        """The neuron as it is, then with another threshold, then with one other weight."""
        guard = 1 << self.settings.guard_bits
        reach = max(4.0, abs(threshold) / 4.0)
        shifts = np.unique(
            np.rint(np.concatenate([np.linspace(-reach, reach, 33), [-2, -1, 1, 2]]))
        )
        thetas = np.concatenate([[threshold], threshold + shifts[shifts != 0]])
        columns = [np.repeat(weights[:, None], len(thetas), axis=1)]
        busy = np.argsort(-self.rows.sum(axis=0), kind="stable")[:_MOVES]
        for step in (-guard, guard):
            moved = np.repeat(weights[:, None], len(busy), axis=1)
            moved[busy, np.arange(len(busy))] += step
            legal = self._on_grid(moved / guard) * guard == moved
            columns.append(moved[:, legal.all(axis=0)])
        tried = np.concatenate(columns, axis=1)
        extra = tried.shape[1] - len(thetas)
        return tried, np.concatenate([thetas, np.full(extra, threshold)])


def _integer_layer(
    weights: FloatArray,
    lateral: FloatArray | None,
    thresholds: FloatArray,
    biases: FloatArray,
    leak: Leak,
    reset: Reset,
) -> Layer:
    """A layer with the narrowest formats that hold its integers."""
    held = weights if lateral is None else np.concatenate([weights, lateral])
    largest = max(float(np.abs(held).max()), float(np.abs(thresholds).max()), 1.0)
    if largest >= 2.0**52:
        raise FormatError("weights and thresholds must stay below 2**52 at the chosen bits")

    def covering(*arrays: FloatArray) -> QFormat:
        ends = [int(f(a)) for a in arrays for f in (np.min, np.max)]
        return QFormat.covering(Interval.hull(ends))

    return Layer(
        weights=weights.astype(np.int64),
        thresholds=thresholds.astype(np.int64),
        biases=biases.astype(np.int64),
        recurrent=None if lateral is None else lateral.astype(np.int64),
        leak=leak,
        reset=reset,
        weight_format=covering(held),
        threshold_format=covering(thresholds, biases),
    )


def disagreement(
    targets: list[Spikes], card: FixedPointNetwork, calibration: Calibration
) -> FloatArray:
    """Share of neurons and samples whose spikes differ from ``targets``: (layers, steps)."""
    layers = card.branches[0].layers
    found = []
    for depth, target in enumerate(targets):
        spikes, _ = spikes_of(layers[: depth + 1], calibration.inputs, card.input_range)
        found.append((spikes != target).mean(axis=(0, 2)))
    return np.array(found)
