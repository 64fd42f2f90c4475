"""A list of layers over a state_dict: networks of tools whose modules are not at hand.

::

    weights = "model.pt"      # torch.save(model.state_dict()), or an .npz, beside this file

    [[layer]]
    weight = "fc1.weight"     # shape (neurons, inputs), as torch.nn.Linear has it
    bias = "fc1.bias"
    leak = "lif1.beta"        # what is left of a membrane after a step: a name, or a number
    threshold = 1.0
    reset = "subtract"        # or zero, or none
    late = true               # whether the reset comes with the next step
    strict = true             # a spike needs u > threshold; where false u >= threshold

    [readout]                 # where spikes are not counted themselves
    weight = "fc3.weight"
    bias = "fc3.bias"

A layer may have ``gain``, which multiplies what comes in, ``lateral``, weights of shape (neurons,
neurons) from its own spikes one step earlier, and ``synapse``, the leak of a synaptic current.
`convexon.snn.models.real` states what each does. No pickle is run: torch loads tensors alone.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from convexon.errors import InputError, MissingToolError
from convexon.settings import choice
from convexon.snn.models.real import Real, RealLayer, RealNetwork
from convexon.snn.neuron import Reset
from convexon.store.archive import read_npz
from convexon.store.untrusted import LIMIT_VARIABLE, limit_bytes, open_regular, printable, read_toml

_NUMBERS = ("bias", "leak", "threshold", "gain", "synapse")
_FLAGS = ("late", "strict", "several")
_KEYS = ("weight", "lateral", "reset", *_NUMBERS, *_FLAGS)


def read_layer_list(path: Path) -> RealNetwork:
    """Read the TOML file at ``path``, and the arrays that it names.

    Raises
    ------
    InputError
        If a file cannot be read, or an entry has no counterpart; it names the entry.
    ConvexonError
        If torch, which reads a state_dict, is not installed.
    """
    content = read_toml(path, "a list of layers")
    try:
        _require_keys(content, ("weights", "layer", "readout"), "the list")
        file, entries = content.get("weights"), content.get("layer")
        if not isinstance(file, str) or not isinstance(entries, list) or not entries:
            raise InputError('it must have weights = "FILE" and at least one [[layer]]')
        arrays = _Arrays(path.parent / file, _names(content))
        layers = tuple(_layer(arrays, entry, f"layer {k}") for k, entry in enumerate(entries))
        size = layers[-1].n_neurons
        weights, biases = np.eye(size), np.zeros(size)
        if "readout" in content:
            _require_keys(content["readout"], ("weight", "bias"), "readout")
            weights = arrays.matrix(content["readout"], "weight", "readout")
            biases = arrays.numbers(content["readout"], "bias", 0.0, weights.shape[1], "readout")
        return RealNetwork(
            layers=layers,
            readout_weights=weights,
            readout_biases=biases,
            origin=f"{printable(path.name)}, layers of {printable(file)}",
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


@np.errstate(over="ignore", invalid="ignore")  # what is not finite then is refused by the layer
def _layer(arrays: _Arrays, entry: Any, place: str) -> RealLayer:
    """One layer."""
    _require_keys(entry, _KEYS, place)
    weights = arrays.matrix(entry, "weight", place)
    n = weights.shape[1]
    given = {"bias": 0.0, "leak": None, "threshold": None, "gain": 1.0}
    found = {name: arrays.numbers(entry, name, value, n, place) for name, value in given.items()}
    flags = {}
    for name in (name for name in _FLAGS if name in entry):
        flags[name] = entry[name]
        if not isinstance(flags[name], bool):
            raise InputError(f"{name} of {place} must be true or false, not {flags[name]!r}")
    lateral = arrays.matrix(entry, "lateral", place) if "lateral" in entry else None
    return RealLayer(
        name=place,
        weights=weights * found["gain"],
        biases=found["bias"] * found["gain"],
        leak=found["leak"],
        thresholds=found["threshold"],
        reset=choice(Reset, entry.get("reset", "subtract"), f"reset of {place}"),
        lateral=None if lateral is None else lateral * found["gain"],
        synapse=arrays.numbers(entry, "synapse", None, n, place) if "synapse" in entry else None,
        **flags,
    )


def _require_keys(entry: Any, known: tuple[str, ...], place: str) -> None:
    if not isinstance(entry, dict):
        raise InputError(f"{place} must be a table, not {entry!r}")
    for key in entry:
        if key not in known:
            raise InputError(f"{place} has no {key}: it may have {', '.join(known)}")


def _names(content: Mapping[str, Any]) -> list[str]:
    """Every name of an array in the list."""
    tables = [*content["layer"], content.get("readout", {})]
    values = [value for table in tables if isinstance(table, dict) for value in table.values()]
    return [value for value in values if isinstance(value, str)]


class _Arrays:
    """The arrays of a file, by name."""

    def __init__(self, file: Path, names: list[str]) -> None:
        self._file = file
        self._known: Mapping[str, Any]
        self._known = _npz(file, names) if file.suffix == ".npz" else _state_dict(file)

    def _named(self, name: str, place: str) -> Real:
        if name not in self._known:
            held = ", ".join(printable(str(each)) for each in list(self._known)[:8]) or "nothing"
            raise InputError(
                f"{place} names {name}, which {self._file.name} has not: it has {held}"
            )
        value = self._known[name]
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
            raise InputError(f"{name} of {self._file.name} must be an array of numbers")
        return value.astype(value.dtype if value.dtype == np.float64 else np.float32)

    def matrix(self, entry: Mapping[str, Any], key: str, place: str) -> Real:
        """Weights of shape (inputs, neurons), of those of torch."""
        name = entry.get(key)
        if not isinstance(name, str):
            raise InputError(f"{key} of {place} must name an array, not {name!r}")
        found = self._named(name, place)
        if found.ndim != 2:
            raise InputError(f"{name} must have shape (neurons, inputs), not {found.shape}")
        return found.T

    def numbers(
        self, entry: Mapping[str, Any], key: str, default: float | None, n: int, place: str
    ) -> Real:
        """One number a neuron, stated or named."""
        value = entry.get(key, default)
        if isinstance(value, str):
            found: Any = self._named(value, place)
        elif isinstance(value, float) or (type(value) is int and value.bit_length() < 64):
            found = float(value)
        else:
            told = printable(repr(value))[:40]
            raise InputError(f"{key} of {place} must be a number, or name an array, not {told}")
        shape = np.shape(found)
        if shape not in ((), (1,), (n,)):
            raise InputError(f"{key} of {place} must be one number, or {n}, not of shape {shape}")
        return np.broadcast_to(np.asarray(found, dtype=np.float64), (n,))


def _npz(file: Path, names: list[str]) -> dict[str, Any]:
    try:
        return dict(read_npz(file, names))
    except OSError as error:
        raise InputError(f"{file.name} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise InputError(f"{file.name} is no .npz of arrays: {printable(str(error))}") from None


def _state_dict(file: Path) -> dict[str, Any]:
    """Tensors of a state_dict, as arrays."""
    try:
        import torch
    except ImportError as error:
        raise MissingToolError("torch is not installed: pip install 'convexon[torch]'") from error
    try:
        with open_regular(file) as stream:
            with zipfile.ZipFile(stream) as archive:
                _require_within_limit(sum(each.file_size for each in archive.infolist()))
            stream.seek(0)
            loaded = torch.load(stream, map_location="cpu", weights_only=True)
        if not isinstance(loaded, dict):
            raise ValueError("it holds no state_dict")
        tensors = {k: v.detach() for k, v in loaded.items() if isinstance(v, torch.Tensor)}
        _require_within_limit(sum(8 * each.numel() for each in tensors.values()))
        return {str(name): each.numpy() for name, each in tensors.items()}
    except OSError as error:
        told = error.strerror or error
        raise InputError(f"{file.name} cannot be read: {told}") from None
    except Exception as error:  # what torch raises on a broken file is not documented
        told = printable((str(error) or type(error).__name__).splitlines()[0])[:200]
        raise InputError(
            f"{file.name} is no state_dict of torch.save that loads without pickle: {told}"
        ) from None


def _require_within_limit(size: int) -> None:
    if size > limit_bytes():
        raise InputError(
            f"its arrays take more than {limit_bytes():,} bytes: raise {LIMIT_VARIABLE}"
        )
