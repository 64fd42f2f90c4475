"""The quantizer of hidden layers: real weights to integers of few bits, spikes kept.

A neuron's spikes do not change when its weights, bias and threshold are multiplied by one positive
number. So each neuron has a scale of its own, which its threshold absorbs: no multiplier is left.
What changes is the rounding of weights, and it is chosen where it matters, by spikes:

1. each neuron gets the scale and rounding, to nearest or by error feedback, whose integer spikes
   differ least from the real ones on calibration samples;
2. its threshold and single weights are moved, the best step first, as long as that restores spikes.

Layers are done from the input on, each on the integer spikes of the one below and towards the real
spikes, so that a later layer makes up for what an earlier one lost. Where neurons read each other's
spikes, each is rounded on those that the real layer has: lateral weights are weights like others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.quantizer.readout import quantize_readout
from convexon.quantizer.rounding import LayerRounding
from convexon.quantizer.settings import HiddenSettings
from convexon.snn.convolution import Convolution
from convexon.snn.fixed import Interval
from convexon.snn.interface import Interface
from convexon.snn.models.real import Real, RealLayer, RealNetwork, outputs
from convexon.snn.models.simulate import layer_spikes
from convexon.snn.network import Branch, FixedPointNetwork, FloatArray, Layer

Spikes = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerChange:
    """What quantization did to one layer.

    Relays, which only hand on spikes, do not count.

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
        In steps, of the real leak and of the integers'; infinite without leak. Of the mean, where
        neurons differ.
    moved : int
        Steps of thresholds and weights that the search took.
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
    _require_spikes(real.layers[0], calibration)
    targets, given_last = outputs(real, calibration.real)
    notes: list[str] = []
    layers: list[Layer] = []
    changes = []
    reach = Interval(0, (1 << calibration.bits) - 1)
    signal, plain_signal, real_signal = inputs, inputs, calibration.real
    below = 0
    for depth, (layer, target) in enumerate(zip(real.layers, targets, strict=True)):
        notes.extend(_require_contract(layer, target))
        if below or layer.relays:
            _require_zeros(layer, chosen.bits_of(depth, len(real.layers)))
        below = layer.relays
        folded = _folded(layer, calibration) if depth == 0 else layer
        given = inputs.astype(np.float64) if depth == 0 else real_signal
        bits = replace(chosen, bits=(chosen.bits_of(depth, len(real.layers)),))
        is_read = real.reads_membranes and depth == len(real.layers) - 1
        scored = given_last if is_read else None
        work = LayerRounding(folded, bits, signal, given, target, reach, scored)
        found, saturated, moved = work.quantized()
        signal = layer_spikes(found, signal, reach)[..., : layer.n_neurons]
        plain_signal = layer_spikes(work.nearest(), plain_signal, reach)[..., : layer.n_neurons]
        more = layers[-1].n_neurons - found.n_inputs if layers else 0
        if more:  # no weight leads from what carries a lateral bias below
            found = replace(found, weights=np.pad(found.matrix, ((0, more), (0, 0))))
        layers.append(found)
        real_signal, reach = target.astype(np.float64), Interval(0, 1)
        own = layer.n_own
        wanted, got, plain = (each[..., :own] for each in (target, signal, plain_signal))
        change = LayerChange(
            name=layer.name,
            neurons=own,
            before=(plain != wanted).mean(axis=(0, 2)),
            after=(got != wanted).mean(axis=(0, 2)),
            real_rate=float(wanted.mean()),
            rate=float(got.mean()),
            saturated=saturated,
            silent=int((wanted.any(axis=(0, 1)) & ~got.any(axis=(0, 1))).sum()),
            time_constant=(
                _time_constant(layer.leak[:own]),
                _time_constant(_factors(found).reshape(-1)[:own]),
            ),
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
    bits = 2 if real.reads_membranes else settings.readout_bits  # an identity stays one
    limit = (1 << (bits - 1)) - 1
    largest = float(np.abs(real.readout_weights).max(initial=0.0))
    excess = math.ceil(math.log2(largest / limit)) if largest > limit else 0
    more = layers[-1].n_neurons - len(real.readout_weights)
    share = math.ldexp(1.0, -excess)  # scores that are all divided by one number decide alike
    readout = quantize_readout(
        share * np.pad(real.readout_weights, ((0, more), (0, 0))),
        share * times * real.readout_biases,
        bits=bits,
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
    if layer.delayed:
        raise InputError(
            f"spikes of {layer.name} come out a step after their neuron fired, and the neuron's "
            "contract has no delay: choose the profile snntorch, which is the same without it"
        )
    if layer.several and target.max(initial=0) > 1:
        raise InputError(
            f"{layer.name} spikes up to {int(target.max())} times a step on the calibration "
            "samples, and the contract allows one: train it with single spikes, or scale its "
            "thresholds up"
        )
    notes = []
    if layer.relays:
        notes.append(f"{layer.name}: {layer.relays} neurons more hand on spikes that pass it")
    if layer.several:
        notes.append(f"{layer.name}: one spike a step at most, which sufficed for all samples")
    if layer.lateral_biases is not None and layer.lateral_biases.any():
        notes.append(f"{layer.name}: a neuron more, which always fires, carries the lateral bias")
    if layer.unit is not None:
        notes.append(f"{layer.name}: states round towards zero, in units of the guard bits")
    if layer.floor is not None:
        notes.append(f"{layer.name}: the membrane has no least value")
    return notes


def _require_spikes(first: RealLayer, calibration: Calibration) -> None:
    """Refuse intensities where a layer above the first reads the input: they cannot pass it."""
    as_they_are = (calibration.scale == 1).all() and not calibration.offset.any()
    if first.relays and not (calibration.bits == 1 and as_they_are):
        raise InputError(
            f"inputs must be spikes, as a layer above {first.name} reads them past it: a spike of "
            f"{first.name} hands on one bit a step, not {calibration.bits}"
        )


def _require_zeros(layer: RealLayer, bits: int) -> None:
    """Refuse weights of 1 bit, -1 and 1, where neurons must not read what passes by."""
    if bits == 1:
        raise InputError(
            f"bits of {layer.name} must be 2 or more: spikes pass it, or a layer below it, which "
            "only weights of 0 leave alone"
        )


def _require_alive(change: LayerChange, settings: HiddenSettings) -> None:
    if change.rate < settings.least_rate <= change.real_rate:
        raise InputError(
            f"{change.name} spikes {change.rate:.2g} times a neuron and step after quantization, "
            f"{change.real_rate:.2g} before: take more bits"
        )


def _factors(layer: Layer) -> FloatArray:
    return np.asarray(1.0 - np.ldexp(layer.leak_numerators, -layer.leak.f))


def _time_constant(factors: Real) -> float:
    """Steps in which a membrane falls to 1/e, by the mean factor of its layer."""
    factor = float(factors.mean())
    if factor <= 0:
        return 0.0
    return math.inf if factor >= 1 else -1.0 / math.log(factor)


def _folded(layer: RealLayer, calibration: Calibration) -> RealLayer:
    """The first layer on the integers that come in, in place of what they stand for."""
    weights = layer.weights.astype(np.float64)
    return replace(
        layer,
        weights=_reading(weights, calibration.scale),
        biases=layer.biases + calibration.offset @ weights,
    )


def _reading(weights: FloatArray | Convolution, scale: FloatArray) -> FloatArray | Convolution:
    """Weights of inputs that are multiplied by ``scale``; shared where each channel has one."""
    if not isinstance(weights, Convolution):
        return weights * scale[:, None]
    of_channels = scale.reshape(weights.windows.shape[0], -1)
    if (of_channels == of_channels[:, :1]).all():
        return weights.scaled_inputs(of_channels[:, 0])
    return np.asarray(weights.unrolled() * scale[:, None])


def disagreement(targets: list[Spikes], found: list[Spikes]) -> FloatArray:
    """Share of neurons and samples whose spikes differ: (layers, steps)."""
    pairs = zip(found, targets, strict=True)
    return np.array([(spikes != target).mean(axis=(0, 2)) for spikes, target in pairs])


def card_spikes(card: FixedPointNetwork, calibration: Calibration) -> list[Spikes]:
    """Spikes of each layer of integers, each on those of the one below."""
    signal, reach = calibration.inputs, card.input_range
    found = []
    for layer in card.branches[0].layers:
        signal, reach = layer_spikes(layer, signal, reach), Interval(0, 1)
        found.append(signal)
    return found
