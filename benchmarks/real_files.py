"""Networks of real numbers as files of arrays: what one environment trains, another quantizes."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from convexon.snn.convolution import Convolution, Windows
from convexon.snn.models.real import RealLayer, RealNetwork
from convexon.snn.neuron import ReadoutMode, Reset


def arrays_of(network: RealNetwork) -> dict[str, np.ndarray]:
    """Every member of a network as an array, by name; layers are numbered."""
    found: dict[str, np.ndarray] = {}
    told: dict[str, Any] = {"origin": network.origin, "mode": network.readout_mode.value}
    told["layers"] = []
    for depth, layer in enumerate(network.layers):
        plain: dict[str, Any] = {}
        for each in fields(RealLayer):
            value = getattr(layer, each.name)
            if isinstance(value, Convolution):
                found[f"layers.{depth}.kernel"] = value.kernel
                plain["windows"] = asdict(value.windows)
            elif isinstance(value, np.ndarray):
                found[f"layers.{depth}.{each.name}"] = value
            elif value is not None:
                plain[each.name] = value.value if isinstance(value, Reset) else value
        told["layers"].append(plain)
    found["readout_weights"], found["readout_biases"] = (
        network.readout_weights,
        network.readout_biases,
    )
    return {**found, "told": np.array(json.dumps(told))}


def network_of(arrays: dict[str, np.ndarray]) -> RealNetwork:
    """The network of what `arrays_of` gave."""
    told = json.loads(str(arrays["told"]))
    layers = []
    for depth, plain in enumerate(told["layers"]):
        head = f"layers.{depth}."
        own = {key.removeprefix(head): arrays[key] for key in arrays if key.startswith(head)}
        if "kernel" in own:
            windows = {key: _tuples(value) for key, value in plain.pop("windows").items()}
            own["weights"] = Convolution(own.pop("kernel"), Windows(**windows))
        layers.append(RealLayer(**{**plain, "reset": Reset(plain["reset"])}, **own))
    return RealNetwork(
        layers=tuple(layers),
        readout_weights=arrays["readout_weights"],
        readout_biases=arrays["readout_biases"],
        readout_mode=ReadoutMode(told["mode"]),
        origin=told["origin"],
    )


def _tuples(value: Any) -> Any:
    """Lists of JSON as the tuples that they were."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz file; none of them is unpickled."""
    with np.load(path, allow_pickle=False) as file:
        return dict(file)
