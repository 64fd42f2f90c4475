"""One hidden layer rounded to integers: scale and rounding of each neuron, chosen by its spikes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.errors import FormatError, InputError
from convexon.quantizer.settings import Grid, HiddenSettings, Rounding
from convexon.snn.convolution import Convolution, IntegerConvolution
from convexon.snn.fixed import Interval, QFormat
from convexon.snn.models.real import Real, RealLayer
from convexon.snn.models.simulate import layer_spikes, layer_trace
from convexon.snn.network import FloatArray, IntArray, Layer
from convexon.snn.neuron import Leak, LeakRounding, Reset
from convexon.snn.ranges import layer_ranges

Spikes = npt.NDArray[np.uint8]


LEAK_SPREAD = 1e-3
"""Most that the leak factors of neurons may differ which share one integer leak."""


def _nearest(layer: RealLayer, factor: float) -> Leak:
    """The integer leak of a factor; where states have a unit, exact and rounded as they are."""
    if layer.unit is None:
        return Leak.nearest(factor)
    return Leak.nearest(factor, tolerance=0.0, rounding=LeakRounding.ZERO)


def _leaks_of(layer: RealLayer) -> tuple[Leak, IntArray | None]:
    """The integer leak of a layer; with d of each neuron where their factors differ."""
    factors = layer.leak.astype(np.float64)
    leak = _nearest(layer, float(factors.min() + factors.max()) / 2)
    if np.ptp(factors) <= (LEAK_SPREAD if layer.unit is None else 0.0):
        return leak, None
    f = max(_nearest(layer, float(factor)).f for factor in factors)
    return Leak(0, f, leak.rounding), np.rint(np.ldexp(1.0 - factors, f)).astype(np.int64)


def _synapse_of(layer: RealLayer) -> Leak | None:
    """Leak of the synaptic current; a current that keeps nothing is none."""
    if layer.synapse is None or not layer.synapse.any():
        return None
    low, high = float(layer.synapse.min()), float(layer.synapse.max())
    if high - low > LEAK_SPREAD:
        raise InputError(
            f"synapse of {layer.name} must be the same for all its neurons, not {low:.4g} to "
            f"{high:.4g}: train one synaptic time constant a layer"
        )
    return _nearest(layer, (low + high) / 2)


_CLIPS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
"""Shares of the largest weight that the largest integer may stand for."""

_ROWS = 4096
"""Most samples and steps that error feedback looks at."""

_SAMPLES = 256
"""Most samples whose spikes the search compares."""

_MOVES = 64
"""Most weights of a neuron that the search tries to move, each alone, for one step."""

_SHIFTS, _TRIES = (0.3, 0.06), 9
"""How far a channel's threshold is moved, as shares of it, and how many places are tried."""

_ROUNDS = 8
"""Most moves of one neuron."""


def _unreached(layer: Layer, reach: Interval, n_steps: int) -> Layer:
    """A layer that is never reset, with thresholds beyond all that its membranes can be."""
    highest = max(each.high for each in layer_ranges(layer, reach, n_steps).integrated)
    held = Interval.hull([0, highest + 1, *layer.biases.tolist()])
    return replace(
        layer,
        thresholds=np.full(layer.n_neurons, highest + 1),
        threshold_format=QFormat.covering(held),
    )


def _a_step_earlier(spikes: Spikes) -> Spikes:
    """At each step the spikes of the one before; none at the first."""
    return np.concatenate([np.zeros_like(spikes[:, :1]), spikes[:, :-1]], axis=1)


def _each_step(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """One row a sample and step."""
    samples, steps, width = values.shape
    return values.reshape(samples * steps, width)


class LayerRounding:
    """One layer on its way to integers.

    Neurons that read each other's spikes are rounded each by itself, on the spikes that the real
    layer had: lateral weights are then weights of inputs more. The loop is closed at the end.

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
    scored : float array, shape (samples, steps, neurons), or None
        Its membranes, where they are the scores: they are kept in place of spikes, at one scale for
        all neurons, so that scores stay comparable.
    """

    def __init__(
        self,
        layer: RealLayer,
        settings: HiddenSettings,
        signal: Spikes,
        given: FloatArray,
        target: Spikes,
        reach: Interval,
        scored: Real | None = None,
    ) -> None:
        self.layer, self.settings, self.reach = layer, settings, reach
        (self.bits,) = settings.bits
        self.limit = max(1, (1 << (self.bits - 1)) - 1)
        if settings.grid is Grid.POWER:
            self.limit = 1 << (self.limit.bit_length() - 1)
        # Files are often sorted by class: look at samples from everywhere.
        looked_at = np.linspace(0, len(signal) - 1, min(len(signal), _SAMPLES)).astype(np.intp)
        self.target = target[looked_at]
        fed = _a_step_earlier(target) if layer.lateral is not None else target[..., :0]
        ticks = _a_step_earlier(np.ones_like(self.target[..., : self._has_lateral_biases]))
        self.signal = np.concatenate([signal[looked_at], fed[looked_at], ticks], axis=2)
        self.scored = None if scored is None else scored[looked_at]
        self.shared = layer.weights if isinstance(layer.weights, Convolution) else None
        lateral = [] if layer.lateral is None else [layer.lateral]
        self.weights = np.concatenate([layer.columns, *lateral]).astype(np.float64)
        self.leak, self.leaks = _leaks_of(layer)
        self.synapse = _synapse_of(layer)
        stride = max(1, -(-signal.shape[0] * signal.shape[1] // _ROWS))
        rows, wanted, before = (_each_step(each)[::stride] for each in (signal, given, fed))
        self.rows = self._read(np.concatenate([rows, before], axis=1))
        self.given = self._read(np.concatenate([wanted, before], axis=1))
        largest = np.abs(self.weights).max(axis=0)
        # A neuron without weights lives on its bias: any scale does.
        self.finest = self.limit / np.where(
            largest > 0, largest, self._by_column(layer.thresholds)[:, 0]
        )
        if layer.unit is not None:  # where the weights fit, the last guard bit is that unit
            own = 1.0 / (layer.unit * (1 << settings.guard_bits))
            self.finest = np.where(self.finest >= own, own, self.finest)
        if scored is not None:
            self.finest[:] = self.limit / (float(largest.max()) or 1.0)
        # A relay repeats its spike at the largest weight, and is left as it is.
        self.searched = np.arange(len(self.finest)) < len(self.finest) - self._n_relaying
        self.finest[~self.searched] = self.limit
        if layer.relays and layer.late and self.limit << settings.guard_bits < 2:
            raise InputError(
                f"guard_bits must be 1 or more, or bits 3: {layer.name} hands on spikes past a "
                "late reset, from which a weight of 1 does not keep them"
            )

    @property
    def _has_lateral_biases(self) -> bool:
        """Whether an input that spikes from the second step on carries biases."""
        return self.layer.lateral_biases is not None and bool(self.layer.lateral_biases.any())

    @property
    def _n_relaying(self) -> int:
        """Columns of weights, the last ones, of neurons that repeat a spike."""
        return self.layer.relays // (1 if self.shared is None else self.shared.spread)

    def _by_column(self, per_neuron: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """One row a column of weights: of the neurons that share it."""
        return per_neuron.reshape(self.weights.shape[1], -1)

    def _each(self, per_column: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """One value a neuron."""
        return per_column if self.shared is None else self.shared.each(per_column)

    def _read(self, rows: npt.NDArray[Any]) -> FloatArray:
        """What a column of weights reads of the layer's inputs."""
        values = rows.astype(np.float64)
        if self.shared is None:
            return values
        some = values[:: self.shared.spread]
        return self.shared.patches(some).reshape(-1, self.weights.shape[0])

    def nearest(self) -> Layer:
        """The layer with each weight at the nearest integer, at the finest scale."""
        return self._looped(self._layer(self._rounded(self.finest), self.finest))

    def quantized(self) -> tuple[Layer, int, int]:
        """Return the layer, how many of its weights are clipped, and how many steps were made."""
        if self.settings.rounding is Rounding.NEAREST:
            return self.nearest(), 0, 0
        if self.settings.rounding is Rounding.FEEDBACK:
            fed = self._fed_back(self.finest)
            return self._looped(self._layer(fed, self.finest)), self._clipped(self.finest), 0
        scales, weights = self._best_of_scales()
        layer = self._layer(weights, scales)
        moved = 0
        if self.scored is None:
            alone = self.shared is None
            layer, moved = self._searched(layer) if alone else self._shifted(layer)
        return self._looped(layer), self._clipped(scales), moved

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
        if self.shared is not None and self.shared.windows.groups > 1:
            return self._rounded(scales)  # columns that read different inputs
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
        return np.where(self.searched, result, plain)

    def _best_of_scales(self) -> tuple[FloatArray, FloatArray]:
        """For each neuron the scale and rounding whose spikes differ least from the real ones."""
        kept_scales, kept = self.finest.copy(), self._rounded(self.finest)
        least = self._wrong(self._layer(kept, kept_scales), kept_scales)
        for clip in _CLIPS:
            scales = self.finest / clip
            for weights in (self._rounded(scales), self._fed_back(scales)):
                wrong = self._wrong(self._layer(weights, scales), scales)
                better = (wrong < least) & self.searched
                least = np.where(better, wrong, least)
                kept[:, better] = weights[:, better]
                kept_scales[better] = scales[better]
        return kept_scales, kept

    def _wrong(self, layer: Layer, scales: FloatArray) -> npt.NDArray[Any]:
        """Spikes that differ from the real ones, of the neurons of each column of weights.

        Of scores it is their error, which all columns share as they share their scale.
        """
        if self.scored is not None:
            found = layer_trace(layer, self.signal, self.reach).membranes
            error = found / (scales[0] * (1 << self.settings.guard_bits)) - self.scored
            return np.full(len(scales), float(np.square(error).mean()))
        spikes = layer_spikes(layer, self.signal, self.reach)
        return np.asarray(self._by_column((spikes != self.target).sum(axis=(0, 1))).sum(axis=1))

    def _layer(self, weights: FloatArray, scales: FloatArray) -> Layer:
        """The integer layer of weights on the grid, ``scales`` to the weight, one a column."""
        real = self.layer
        guard = 1 << self.settings.guard_bits
        scaled = self._each(scales) * guard
        biases = np.rint(real.biases.astype(np.float64) * scaled)
        fires = np.isfinite(real.thresholds)
        level = np.where(fires, real.thresholds, 0.0) * scaled
        # On integers u > theta is u >= floor(theta) + 1.
        thresholds = np.floor(level) + 1 if real.strict else np.ceil(level)
        resets = None if real.resets is None else np.rint(real.resets * scaled)
        forward = weights * guard
        if real.lateral_biases is not None and self._has_lateral_biases:
            forward = np.vstack([forward, np.rint(real.lateral_biases * scaled)])
        found = self._integer_layer(forward, thresholds, biases, self.leaks, resets)
        return found if fires.all() else _unreached(found, self.reach, self.signal.shape[1])

    def _looped(self, alone: Layer) -> Layer:
        """The layer whose neurons read their own spikes, in place of those of the real layer."""
        real, n = self.layer, alone.n_neurons
        if real.lateral is None and not self._has_lateral_biases:
            return alone
        forward, lateral = np.split(alone.matrix, [real.n_inputs])
        if real.lateral is None:
            lateral = np.concatenate([np.zeros((n, n), dtype=np.int64), lateral])
        # A neuron more that fires at every step: like a lateral spike, it is felt one later.
        more = len(lateral) - n

        def padded(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return np.pad(array, [*[(0, 0)] * (array.ndim - 1), (0, more)])

        return replace(
            alone,
            weights=padded(forward),
            recurrent=padded(lateral),
            thresholds=padded(alone.thresholds),
            biases=padded(alone.biases),
            leaks=None if alone.leaks is None else padded(alone.leaks),
            resets=None if alone.resets is None else padded(alone.resets),
        )

    def _shifted(self, layer: Layer) -> tuple[Layer, int]:
        """Move the thresholds of a convolution's channels to where they restore most spikes."""
        ones = np.ones(self.weights.shape[1])
        thresholds, least = layer.thresholds.astype(np.float64), self._wrong(layer, ones)
        for reach in _SHIFTS:
            around = thresholds.copy()
            for shift in np.linspace(-reach, reach, _TRIES):
                tried = np.rint(around + shift * np.abs(around))
                wrong = self._wrong(self._with_thresholds(layer, tried), ones)
                neurons = self._each((wrong < least) & self.searched)
                thresholds[neurons], least = tried[neurons], np.minimum(wrong, least)
        found = self._with_thresholds(layer, thresholds)
        moved = self._by_column(found.thresholds != layer.thresholds)[:, 0]
        return found, int(moved.sum())

    @staticmethod
    def _with_thresholds(layer: Layer, thresholds: FloatArray) -> Layer:
        resets = [] if layer.resets is None else [layer.resets]
        held = np.concatenate([thresholds, layer.biases, *resets])
        return replace(
            layer,
            thresholds=thresholds.astype(np.int64),
            threshold_format=QFormat.covering(Interval.hull([int(held.min()), int(held.max())])),
        )

    def _searched(self, layer: Layer) -> tuple[Layer, int]:
        """Move a threshold or a weight, whichever is best, as long as a step restores spikes."""
        weights = layer.matrix.astype(np.float64)
        thresholds = layer.thresholds.astype(np.float64)
        moved = 0
        for j in np.flatnonzero(self.searched).tolist():
            for _ in range(_ROUNDS):
                w, theta = self._candidates(weights[:, j], float(thresholds[j]))
                biases = np.full(len(theta), float(layer.biases[j]))
                leaks = None if self.leaks is None else np.full(len(theta), self.leaks[j])
                to = None if layer.resets is None else np.full(len(theta), float(layer.resets[j]))
                tried = self._integer_layer(w, theta, biases, leaks, to)
                spikes = layer_spikes(tried, self.signal, self.reach)
                wrong = (spikes != self.target[:, :, j : j + 1]).sum(axis=(0, 1))
                best = int(wrong.argmin())
                if wrong[best] >= wrong[0]:
                    break
                weights[:, j], thresholds[j] = w[:, best], theta[best]
                moved += 1
        biases = layer.biases.astype(np.float64)
        resets = None if layer.resets is None else layer.resets.astype(np.float64)
        return self._integer_layer(weights, thresholds, biases, self.leaks, resets), moved

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
        self,
        weights: FloatArray,
        thresholds: FloatArray,
        biases: FloatArray,
        leaks: IntArray | None,
        resets: FloatArray | None,
    ) -> Layer:
        """A layer with the narrowest formats that hold its integers."""
        largest = max(float(np.abs(weights).max()), float(np.abs(thresholds).max()), 1.0)
        if largest >= 2.0**52:
            raise FormatError("weights and thresholds must stay below 2**52 at the chosen bits")

        def covering(*arrays: FloatArray) -> QFormat:
            ends = [int(f(a)) for a in arrays for f in (np.min, np.max)]
            return QFormat.covering(Interval.hull(ends))

        integers: IntArray | IntegerConvolution = weights.astype(np.int64)
        if self.shared is not None:
            kernel = self.shared.with_columns(weights).kernel.astype(np.int64)
            integers = IntegerConvolution(kernel, self.shared.windows)
        return Layer(
            weights=integers,
            thresholds=thresholds.astype(np.int64),
            biases=biases.astype(np.int64),
            leak=self.leak,
            reset=Reset.LATE if self.layer.late else self.layer.reset,
            weight_format=covering(weights),
            threshold_format=covering(thresholds, biases, *([] if resets is None else [resets])),
            synapse=self.synapse,
            leaks=leaks,
            resets=None if resets is None else resets.astype(np.int64),
        )
