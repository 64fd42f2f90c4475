"""A trained network on its users' samples: how they come in, and what quantization changes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from convexon.data.samples import Samples
from convexon.errors import InputError
from convexon.quantizer.hidden import (
    Calibration,
    LayerChange,
    Quantized,
    card_spikes,
    disagreement,
    quantize_network,
)
from convexon.quantizer.settings import HiddenSettings, InputSettings
from convexon.snn.coding import CODINGS, DIRECT, INTENSITY, SERIES
from convexon.snn.convolution import Convolution
from convexon.snn.interface import ClassName, Interface
from convexon.snn.models.real import Real, RealNetwork, layer_spikes, outputs, scores
from convexon.snn.models.simulate import accuracy, decisions
from convexon.snn.models.simulate import scores as integer_scores
from convexon.snn.network import FixedPointNetwork, FloatArray
from convexon.store.untrusted import Count, Share

LEVELS = (INTENSITY, SERIES)
"""Codings whose integers stand for the values that the real network reads."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A spike that only one of two networks has, all counted from 0.

    ``membrane`` is u of the real neuron and ``threshold`` its theta; ``real`` and ``integer`` say
    which network has the spike.
    """

    sample: Count
    step: Count
    layer: str
    neuron: Count
    real: bool
    integer: bool
    membrane: float
    threshold: float

    def __str__(self) -> str:
        only = "real numbers" if self.real else "integers"
        return (
            f"sample {self.sample}, step {self.step}, {self.layer}, neuron {self.neuron}: a spike "
            f"in {only} alone, where the real membrane is {self.membrane:.6g} at a threshold of "
            f"{self.threshold:.6g}"
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison:
    """A real network beside its integers, on the same samples.

    Members
    -------
    names : tuple of str
        Of the layers.
    disagreement : float64 array, shape (layers, steps)
        Share of neurons and samples whose spikes differ.
    real, integer : float or None
        Share of right decisions, where the samples are labelled.
    same : float
        Share of samples on which both decide alike.
    first : Difference or None
        The first spike that differs; None where all are equal.
    """

    names: tuple[str, ...]
    disagreement: FloatArray
    real: float | None
    integer: float | None
    same: float
    first: Difference | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Trained:
    """A trained network, quantized.

    Members
    -------
    real : RealNetwork
    quantized : Quantized
    interface : Interface
        How raw samples come in.
    calibration : Comparison
        On the samples that it was quantized with.
    front : tuple of Choice
        Bits of the layers that no others beat, where they were searched.
    solved : FixedPointNetwork or None
        The same hidden neurons under a readout that was solved for them, where that was asked for.
    """

    real: RealNetwork
    quantized: Quantized
    interface: Interface
    calibration: Comparison
    front: tuple[Choice, ...] = ()
    solved: FixedPointNetwork | None = None

    @property
    def card(self) -> FixedPointNetwork:
        """The network of integers."""
        return self.quantized.card if self.solved is None else self.solved

    def with_readout(self, solved: FixedPointNetwork, samples: Samples) -> Trained:
        """The network under another readout, compared on the samples that calibrated it."""
        found = _compared(self.real, self.quantized.card, solved, self.interface, samples)
        return replace(self, solved=solved, calibration=found)

    def compare(self, samples: Samples) -> Comparison:
        """Return how both do on other raw samples.

        Raises
        ------
        InputError
            If the samples do not fit the network.
        """
        hidden = self.quantized.card
        return _compared(self.real, hidden, self.card, self.interface, samples)

    def lines(self) -> Iterator[str]:
        """What quantization changed, a line each, for people."""
        for change in self.quantized.layers:
            yield _told(change)
        yield from self.quantized.notes
        found = self.calibration
        told = f"{found.same:.2%} of the decisions are the same"
        if found.real is not None and found.integer is not None:
            told = f"accuracy {found.integer:.2%}, {found.real:.2%} in real numbers; {told}"
        yield f"on the calibration samples: {told}"
        if found.first is not None:
            yield f"first difference there: {found.first}"
        yield from map(str, self.front)

    def steps(self) -> Iterator[str]:
        """Share of spikes that differ at each step, before and after, a line a layer."""
        for change in self.quantized.layers:
            pairs = zip(change.before, change.after, strict=True)
            told = ", ".join(f"{before:.2%} -> {after:.2%}" for before, after in pairs)
            yield f"{change.name}, by step, rounded alone -> as delivered: {told}"


def quantize_trained(
    real: RealNetwork,
    samples: Samples,
    *,
    settings: HiddenSettings | None = None,
    inputs: InputSettings | None = None,
) -> Trained:
    """Quantize a trained network on raw samples, which calibrate it.

    Labels name the classes, if all classes occur; without labels, classes are numbers.

    Raises
    ------
    InputError
        If the samples do not fit the network, a layer has no counterpart in the contract, or is
        silent afterwards.
    FormatError
        If a value does not fit.
    """
    chosen = settings or HiddenSettings()
    front: tuple[Choice, ...] = ()
    if chosen.most_lost is not None:
        front = search_bits(
            real, samples, most_lost=chosen.most_lost, settings=chosen, inputs=inputs
        )
        chosen = replace(chosen, bits=front[-1].bits)
    interface, n_steps, bits = _interface(real, samples, inputs or InputSettings())
    quantized = quantize_network(
        real, calibration_of(interface, samples, n_steps, bits), chosen, interface=interface
    )
    found = _compared(real, quantized.card, quantized.card, interface, samples)
    return Trained(
        real=real, quantized=quantized, interface=interface, calibration=found, front=front
    )


def calibration_of(interface: Interface, samples: Samples, n_steps: int, bits: int) -> Calibration:
    """Samples as the integers come in, with what these stand for."""
    low, scale = np.zeros(interface.n_inputs), np.ones(interface.n_inputs)
    if interface.coding in LEVELS and interface.low is not None and interface.high is not None:
        low, scale = interface.low, (interface.high - interface.low) / ((1 << bits) - 1)
    encoded = interface.encode(samples.values, n_steps=n_steps, bits=bits)
    return Calibration(inputs=encoded, bits=bits, scale=scale, offset=low)


def _interface(
    real: RealNetwork, samples: Samples, settings: InputSettings
) -> tuple[Interface, int, int]:
    """How the samples come in, their steps, and the bits of one input."""
    values = samples.values
    coding = settings.coding or _coding_for(values, real)
    bits = settings.input_bits if coding in LEVELS else 1
    if coding == DIRECT:
        bits = max(1, int(values.max()).bit_length())
    n_steps = values.shape[1] if CODINGS[coding].per_step else settings.steps
    if n_steps is None:
        raise InputError("steps must be given: the samples have one value an input, and no steps")
    n_labels = max(2, real.n_classes)
    classes: tuple[ClassName, ...] = tuple(range(n_labels))
    if samples.labels is not None:
        if len(samples.classes) == n_labels:
            classes = samples.classes
        elif 0 not in samples.classes or not set(samples.classes) <= set(classes):
            raise InputError(
                f"samples must have all {n_labels} classes of the network, which take their names "
                f"from them, or be labelled by number from 0 on; they have {len(samples.classes)}"
            )
    interface = _per_channel(Interface.fitted(values, coding=coding, classes=classes), real)
    if interface.n_inputs != real.n_inputs:
        raise InputError(
            f"samples must have {real.n_inputs} inputs, as the network, not {interface.n_inputs}"
        )
    return interface, n_steps, bits


def _per_channel(interface: Interface, real: RealNetwork) -> Interface:
    """One range for all pixels of a channel, where they share their weights."""
    first, low, high = real.layers[0].weights, interface.low, interface.high
    if not isinstance(first, Convolution) or low is None or high is None:
        return interface
    channels = first.windows.shape[0]
    if low.size % channels:
        return interface
    ends = low.reshape(channels, -1).min(axis=1), high.reshape(channels, -1).max(axis=1)
    wide = [np.repeat(each, low.size // channels) for each in ends]
    return replace(interface, low=wide[0], high=wide[1])


def _coding_for(values: npt.NDArray[np.generic], real: RealNetwork) -> str:
    """The coding that changes least."""
    if values.ndim == 3 and values.shape[2] == real.n_inputs:
        low, high = values.min(), values.max()
        whole = bool((values == np.rint(values.astype(np.float64))).all())
        return DIRECT if low >= 0 and high <= 255 and whole else SERIES
    return INTENSITY


def _compared(
    real: RealNetwork,
    hidden: FixedPointNetwork,
    card: FixedPointNetwork,
    interface: Interface,
    samples: Samples,
) -> Comparison:
    """Spikes of the layers of ``hidden``, and decisions of ``card``, beside the real network's."""
    data = calibration_of(interface, samples, card.n_steps, card.input_bits)
    read = _read(interface, samples, data)
    spikes, given = outputs(real, read)
    # Behind a layer's own neurons are relays, and of integers one that carries a lateral bias.
    sizes = [layer.n_own for layer in real.layers]
    theirs, own = (
        [each[..., :size] for each, size in zip(found, sizes, strict=True)]
        for found in (spikes, card_spikes(hidden, data))
    )
    named = decisions(scores(real, given))
    labels = samples.labels
    if labels is not None:
        labels = samples.named_as(interface.classes).known_labels
    integers = decisions(integer_scores(card, data.inputs))[:, -1]
    return Comparison(
        names=tuple(layer.name for layer in real.layers),
        disagreement=disagreement(theirs, own),
        real=None if labels is None else float((named == labels).mean()),
        integer=None if labels is None else accuracy(card, data.inputs, labels),
        same=float((named == integers).mean()),
        first=_first_difference(real, read, spikes, own),
    )


def _first_difference(
    real: RealNetwork, read: Real, spikes: list[Real], own: list[Real]
) -> Difference | None:
    """The first spike that differs, by sample, then step, then layer."""
    found = []
    for depth, (theirs, mine) in enumerate(zip(spikes, own, strict=True)):
        where = np.argwhere(theirs[..., : mine.shape[2]] != mine)
        if len(where):
            sample, step, neuron = where[0].tolist()
            found.append((sample, step, depth, neuron))
    if not found:
        return None
    sample, step, depth, neuron = min(found)
    layer = real.layers[depth]
    below = read if not depth else spikes[depth - 1]
    _, membranes = layer_spikes(layer, below[sample : sample + 1])
    return Difference(
        sample=sample,
        step=step,
        layer=layer.name,
        neuron=neuron,
        real=bool(spikes[depth][sample, step, neuron]),
        integer=bool(own[depth][sample, step, neuron]),
        membrane=float(membranes[0, step, neuron]),
        threshold=float(layer.thresholds[neuron]),
    )


def _read(interface: Interface, samples: Samples, data: Calibration) -> Real:
    """What the real network reads: raw values where integers stand for them, else the spikes."""
    if interface.coding not in LEVELS:
        return data.real
    n_samples, n_steps, n_inputs = data.inputs.shape
    raw = samples.values.astype(np.float64)
    if CODINGS[interface.coding].per_step:
        return raw
    return np.broadcast_to(raw.reshape(n_samples, 1, n_inputs), (n_samples, n_steps, n_inputs))


def _told(change: LayerChange) -> str:
    """One layer in a line."""
    told = (
        f"{change.name}: {change.neurons} neurons, {change.after.mean():.3%} of spikes differ "
        f"({change.before.mean():.3%} by rounding alone)"
    )
    before, after = change.time_constant
    if math.isfinite(before) and before != after:
        told += f", time constant {before:.3g} -> {after:.3g} steps"
    if change.saturated:
        told += f", {change.saturated} weights clipped"
    if change.silent:
        told += f", {change.silent} neurons fell silent"
    return told


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Bits of each layer, with what they reach.

    Members
    -------
    bits : tuple of int
    weight_bits : int
        Bits in which the network stores its hidden weights that are not zero.
    accuracy : float
        Of decisions, on the labelled samples; of decisions as in real numbers without labels.
    """

    bits: tuple[Count, ...]
    weight_bits: Count
    accuracy: Share

    def __str__(self) -> str:
        bits = "-".join(map(str, self.bits))
        return f"{bits} bits: {self.weight_bits} bits of weights, accuracy {self.accuracy:.2%}"


def search_bits(
    real: RealNetwork,
    samples: Samples,
    *,
    most_lost: float = 0.01,
    settings: HiddenSettings | None = None,
    inputs: InputSettings | None = None,
) -> tuple[Choice, ...]:
    """Take bits away, layer by layer, while at most ``most_lost`` of the accuracy goes.

    From the bits of ``settings`` on, each round takes a bit from the layer where it costs least
    accuracy, and among equals saves most: a greedy path, which may miss better networks. Of the
    networks on it those are returned that no other on it beats, from most ``weight_bits`` to
    fewest; its last stores the fewest within the bound.

    Raises
    ------
    InputError
        As `quantize_trained`.
    """
    chosen = replace(settings or HiddenSettings(), most_lost=None)
    n_layers = len(real.layers)
    bits = [chosen.bits_of(depth, n_layers) for depth in range(n_layers)]

    def tried(each: list[int]) -> Choice:
        found = quantize_trained(
            real, samples, settings=replace(chosen, bits=tuple(each)), inputs=inputs
        )
        layers = found.card.branches[0].layers
        used = sum(layer.weight_format.width * layer.n_synapses for layer in layers)
        reached = found.calibration
        value = reached.same if reached.integer is None else reached.integer
        return Choice(bits=tuple(each), weight_bits=used, accuracy=value)

    path = [tried(bits)]
    bound = path[0].accuracy - most_lost
    while True:
        steps = []
        for depth in range(n_layers):
            fewer = [b - (k == depth) for k, b in enumerate(path[-1].bits)]
            if min(fewer) >= 1:
                try:
                    steps.append(tried(fewer))
                except InputError:  # a layer fell silent
                    continue
        legal = [step for step in steps if step.accuracy >= bound]
        if not legal:
            return _front(path)
        path.append(max(legal, key=lambda step: (step.accuracy, -step.weight_bits)))


def _front(path: list[Choice]) -> tuple[Choice, ...]:
    """Choices that no other beats, from most bits to fewest."""
    front: list[Choice] = []
    for choice in sorted(path, key=lambda each: (each.weight_bits, -each.accuracy)):
        if not front or choice.accuracy > front[-1].accuracy:
            front.append(choice)
    return tuple(reversed(front))
