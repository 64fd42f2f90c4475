"""File form of branches, and of a network with a real readout."""

from __future__ import annotations

from typing import Any

from convexon.snn.card import layer_kind_from_json, layer_kind_to_json
from convexon.snn.network import Branch, Layer, Network
from convexon.snn.neuron import ReadoutMode
from convexon.store.artefact import Arrays, Codec, Json

Branches = tuple[Branch, ...]


def _encode_branches(branches: Branches) -> tuple[Json, Arrays]:
    content: list[Any] = []
    arrays: Arrays = {}
    for b, branch in enumerate(branches):
        layers = []
        for depth, layer in enumerate(branch.layers):
            for name in ("weights", "biases", "thresholds", "recurrent"):
                array = getattr(layer, name)
                if array is not None:
                    arrays[f"{name}_{b}_{depth}"] = array
            layers.append(layer_kind_to_json(layer))
        content.append(layers)
    return {"branches": content}, arrays


def _decode_branches(content: Json, arrays: Arrays) -> Branches:
    return tuple(
        Branch(tuple(_layer(layer, arrays, f"{b}_{depth}") for depth, layer in enumerate(layers)))
        for b, layers in enumerate(content["branches"])
    )


def _layer(content: Json, arrays: Arrays, place: str) -> Layer:
    return Layer(
        weights=arrays[f"weights_{place}"],
        biases=arrays[f"biases_{place}"],
        thresholds=arrays[f"thresholds_{place}"],
        recurrent=arrays.get(f"recurrent_{place}"),
        **layer_kind_from_json(content),
    )


def _encode_network(network: Network) -> tuple[Json, Arrays]:
    content, arrays = _encode_branches(network.branches)
    content |= {
        "n_steps": network.n_steps,
        "input_bits": network.input_bits,
        "readout_mode": network.readout_mode.value,
    }
    arrays |= {
        "readout_weights": network.readout_weights,
        "readout_biases": network.readout_biases,
    }
    return content, arrays


def _decode_network(content: Json, arrays: Arrays) -> Network:
    return Network(
        branches=_decode_branches(content, arrays),
        n_steps=content["n_steps"],
        input_bits=content["input_bits"],
        readout_mode=ReadoutMode(content["readout_mode"]),
        readout_weights=arrays["readout_weights"],
        readout_biases=arrays["readout_biases"],
    )


BRANCHES: Codec[Branches] = Codec("convexon.branches", 1, _encode_branches, _decode_branches)
"""File form of a tuple of branches."""

NETWORK: Codec[Network] = Codec("convexon.network", 1, _encode_network, _decode_network)
"""File form of a `Network`."""
