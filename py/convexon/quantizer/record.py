"""What quantization changed, as an artefact of a run: float beside integer, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

from convexon.errors import InputError
from convexon.quantizer.trained import Choice, Comparison, Difference, Trained
from convexon.snn.network import FloatArray
from convexon.store.codec import Codec
from convexon.store.untrusted import Amount, Count, Share


@dataclass(frozen=True, eq=False, kw_only=True)
class LayerRecord:
    """One layer; raises `InputError` if its shares are not of the same steps.

    ``before`` and ``after`` are shares of spikes that differ on the calibration samples, (steps,):
    with plain rounding, and as delivered. ``differ`` is that of the samples that are compared, and
    rates are spikes a neuron and step on the calibration samples.
    """

    name: str
    neurons: Count
    before: FloatArray
    after: FloatArray
    differ: FloatArray
    real_rate: Amount
    rate: Amount
    saturated: Count
    silent: Count
    moved: Count

    def __post_init__(self) -> None:
        shapes = {self.before.shape, self.after.shape, self.differ.shape}
        if len(shapes) != 1 or self.before.ndim != 1 or not len(self.before):
            raise InputError(f"shares of {self.name} must be one a step, not of {sorted(shapes)}")


@dataclass(frozen=True, eq=False, kw_only=True)
class QuantizationRecord:
    """A real network beside its integers.

    ``compared`` says on which samples decisions and first difference are: the test samples where
    there are labels, else those of the calibration.
    """

    origin: str
    compared: str
    layers: tuple[LayerRecord, ...]
    notes: tuple[str, ...]
    real: Share | None
    integer: Share | None
    same: Share
    first: Difference | None
    front: tuple[Choice, ...]


def record_of(trained: Trained, found: Comparison, compared: str) -> QuantizationRecord:
    """The record of a quantized network, compared on the samples that ``compared`` names."""
    return QuantizationRecord(
        origin=trained.real.origin,
        compared=compared,
        layers=tuple(
            LayerRecord(
                name=change.name,
                neurons=change.neurons,
                before=change.before,
                after=change.after,
                differ=differ,
                real_rate=change.real_rate,
                rate=change.rate,
                saturated=change.saturated,
                silent=change.silent,
                moved=change.moved,
            )
            for change, differ in zip(trained.quantized.layers, found.disagreement, strict=True)
        ),
        notes=trained.quantized.notes,
        real=found.real,
        integer=found.integer,
        same=found.same,
        first=found.first,
        front=trained.front,
    )


QUANTIZATION: Codec[QuantizationRecord] = Codec(
    QuantizationRecord, "convexon.quantization", 1, made_by="convexon import"
)
"""File form of a record."""
