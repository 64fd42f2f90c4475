"""What quantization changed, for people: tables and the front of bits, drawn."""

from __future__ import annotations

from collections.abc import Sequence

from convexon.quantizer.record import QuantizationRecord
from convexon.quantizer.trained import Choice
from convexon.report.svg import tradeoff

Row = tuple[str, ...]

LAYER_HEADER: Row = (
    "layer",
    "neurons",
    "rate, float",
    "rate, integer",
    "differ, rounded alone",
    "differ",
    "differ, compared",
    "step that differs most",
    "clipped",
    "silent",
)


def layer_rows(record: QuantizationRecord) -> list[Row]:
    """Float beside integer, a row for each layer."""
    return [
        (
            layer.name,
            f"{layer.neurons}",
            f"{layer.real_rate:.4f}",
            f"{layer.rate:.4f}",
            f"{layer.before.mean():.3%}",
            f"{layer.after.mean():.3%}",
            f"{layer.differ.mean():.3%}",
            f"{int(layer.differ.argmax())}: {layer.differ.max():.3%}"
            if layer.differ.any()
            else "-",
            f"{layer.saturated}",
            f"{layer.silent}",
        )
        for layer in record.layers
    ]


def layers_note(record: QuantizationRecord) -> str:
    """How to read `layer_rows`, and the first difference."""
    accuracy = ""
    if record.real is not None and record.integer is not None:
        accuracy = f" Accuracy there: {record.integer:.2%}, {record.real:.2%} in real numbers."
    first = "no spike differs" if record.first is None else str(record.first)
    return (
        f"{record.origin}. Rates are spikes a neuron and step; a share counts the spikes that "
        f"differ from those of the real network, on the calibration samples and on the "
        f"{record.compared} that are compared.{accuracy} {record.same:.2%} of the decisions there "
        f"are the same. First difference there: {first}."
    )


FRONT_HEADER: Row = ("bits of the layers", "bits of hidden weights", "accuracy")


def front_rows(front: Sequence[Choice]) -> list[Row]:
    """The front, most bits first."""
    return [
        ("-".join(map(str, each.bits)), f"{each.weight_bits:,}", f"{each.accuracy:.2%}")
        for each in front
    ]


def front_drawing(front: Sequence[Choice]) -> str:
    """The front as SVG."""
    points = [
        (float(each.weight_bits), each.accuracy, "-".join(map(str, each.bits))) for each in front
    ]
    return tradeoff(
        points,
        across="bits of hidden weights",
        up="accuracy on the calibration samples",
        title="Accuracy over bits of hidden weights, bits of the layers named",
    )
