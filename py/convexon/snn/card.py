"""The silicon card: a `FixedPointNetwork` as one readable JSON file.

The golden model, the bench, the Verilog and the C header all come from this one file, unchanged. It
states every integer, every width, and the semantics they follow, so that a person can read it and
another tool can run it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convexon.errors import InputError
from convexon.snn.fixed import QFormat, Signedness
from convexon.snn.network import Branch, FixedPointNetwork, Layer
from convexon.snn.neuron import Leak, ReadoutMode, Reset
from convexon.store.artefact import Arrays, Codec, Json

SEMANTICS = {
    "current": "I = sum_i w[i][j] * x[i] + sum_k r[k][j] * s_before[k] + b[j]",
    "integrate": "u = sat(v - ((d * v) >> f) + I), >> rounds towards minus infinity",
    "fire": "s = 1 if u >= theta[j] else 0",
    "reset": "subtract: v = sat(u - theta[j] * s); zero: v = 0 if s else u; none: v = u",
    "start": "v = 0 and s_before = 0 before the first step of an inference",
    "score": "score[c] = bias[c] + sum_j weight[j][c] * feature[j], j over all last layers",
    "feature": "last: s of step T; sign: v >= 0 after step T; count: sum of s; step: s of each",
    "decision": "the largest score, the lowest class among equals; one score is read as (0, score)",
}
"""The contract of `convexon.snn.neuron` in the words that every card carries."""


def format_to_json(number_format: QFormat) -> Json:
    """Return a format as JSON."""
    return {
        "width": number_format.width,
        "frac": number_format.frac,
        "signedness": number_format.signedness.value,
    }


def format_from_json(content: Json) -> QFormat:
    """Inverse of `format_to_json`."""
    return QFormat(content["width"], content["frac"], Signedness(content["signedness"]))


def layer_kind_to_json(layer: Layer) -> Json:
    """Return everything of a layer but its integers: leak, reset and formats."""
    return {
        "leak": {"d": layer.leak.d, "f": layer.leak.f},
        "reset": layer.reset.value,
        "weight_format": format_to_json(layer.weight_format),
        "threshold_format": format_to_json(layer.threshold_format),
        "saturation": None if layer.saturation is None else format_to_json(layer.saturation),
    }


def layer_kind_from_json(content: Json) -> dict[str, Any]:
    """Return the arguments of `Layer` that `layer_kind_to_json` wrote."""
    saturation = content["saturation"]
    return {
        "leak": Leak(content["leak"]["d"], content["leak"]["f"]),
        "reset": Reset(content["reset"]),
        "weight_format": format_from_json(content["weight_format"]),
        "threshold_format": format_from_json(content["threshold_format"]),
        "saturation": None if saturation is None else format_from_json(saturation),
    }


def _layer_to_json(layer: Layer, membrane_width: int) -> Json:
    return layer_kind_to_json(layer) | {
        "weights": layer.weights.tolist(),
        "recurrent": None if layer.recurrent is None else layer.recurrent.tolist(),
        "biases": layer.biases.tolist(),
        "thresholds": layer.thresholds.tolist(),
        "membrane_width": membrane_width,
    }


def _layer_from_json(content: Json) -> Layer:
    recurrent = content["recurrent"]
    return Layer(
        weights=np.array(content["weights"]),
        recurrent=None if recurrent is None else np.array(recurrent),
        biases=np.array(content["biases"]),
        thresholds=np.array(content["thresholds"]),
        **layer_kind_from_json(content),
    )


def _encode(network: FixedPointNetwork) -> tuple[Json, Arrays]:
    branches: list[Any] = [
        {
            "layers": [
                _layer_to_json(layer, ranges.membrane_width)
                for layer, ranges in zip(branch.layers, per_layer, strict=True)
            ]
        }
        for branch, per_layer in zip(network.branches, network.ranges, strict=True)
    ]
    content: Json = {
        "semantics": SEMANTICS,
        "n_steps": network.n_steps,
        "n_inputs": network.n_inputs,
        "input_bits": network.input_bits,
        "branches": branches,
        "readout": {
            "mode": network.readout_mode.value,
            "weights": network.readout_weights.tolist(),
            "biases": network.readout_biases.tolist(),
            "weight_format": format_to_json(network.readout_format),
            "bias_format": format_to_json(network.bias_format),
            "score_width": network.score_width,
        },
        "certificate": dict(network.certificate),
    }
    return content, {}


def _decode(content: Json, _: Arrays) -> FixedPointNetwork:
    readout = content["readout"]
    network = FixedPointNetwork(
        branches=tuple(
            Branch(tuple(_layer_from_json(layer) for layer in branch["layers"]))
            for branch in content["branches"]
        ),
        n_steps=content["n_steps"],
        input_bits=content["input_bits"],
        readout_mode=ReadoutMode(readout["mode"]),
        readout_weights=np.array(readout["weights"]),
        readout_biases=np.array(readout["biases"]),
        readout_format=format_from_json(readout["weight_format"]),
        bias_format=format_from_json(readout["bias_format"]),
        certificate=content["certificate"],
    )
    # Derived figures and the semantics are for readers, but a card that contradicts itself is
    # refused.
    again, _arrays = _encode(network)
    for field in ("semantics", "n_inputs", "branches", "readout"):
        if again[field] != content[field]:
            raise InputError(f"{field} must agree with the integers of the card")
    return network


CARD: Codec[FixedPointNetwork] = Codec("convexon.card", 1, _encode, _decode)
"""File form of a `FixedPointNetwork`."""
