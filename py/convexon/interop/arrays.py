"""Arrays of integers as a network, for whoever has a trained one already.

Nothing is rounded here. Formats follow from the values: each is the narrowest that holds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from convexon.errors import ConvexonError, InputError, require_integer, require_type
from convexon.settings import choice
from convexon.snn.coding import CODINGS, DIRECT
from convexon.snn.convolution import Convolution, IntegerConvolution
from convexon.snn.fixed import Interval, QFormat
from convexon.snn.interface import ClassName, Interface
from convexon.snn.network import Branch, FixedPointNetwork, IntArray, Layer, integer_array
from convexon.snn.neuron import INTEGRATE, Leak, ReadoutMode, Reset
from convexon.snn.series import as_array

E = TypeVar("E", bound=Enum)


def network_of_arrays(
    *,
    weights: npt.ArrayLike | Convolution | Sequence[npt.ArrayLike | Convolution],
    thresholds: npt.ArrayLike | Sequence[npt.ArrayLike],
    n_steps: int,
    biases: npt.ArrayLike | Sequence[npt.ArrayLike | None] | None = None,
    recurrent: npt.ArrayLike | Sequence[npt.ArrayLike | None] | None = None,
    leak: Leak | Sequence[Leak] = INTEGRATE,
    reset: Reset | str | Sequence[Reset | str] = Reset.SUBTRACT,
    saturation: int | Sequence[int | None] | None = None,
    synapse: Leak | Sequence[Leak | None] | None = None,
    leaks: npt.ArrayLike | Sequence[npt.ArrayLike | None] | None = None,
    resets: npt.ArrayLike | Sequence[npt.ArrayLike | None] | None = None,
    tables: npt.ArrayLike | Sequence[npt.ArrayLike | None] | None = None,
    input_bits: int = 1,
    readout: ReadoutMode | str = ReadoutMode.COUNT,
    readout_weights: npt.ArrayLike | None = None,
    readout_biases: npt.ArrayLike | None = None,
    classes: Sequence[ClassName] | None = None,
    coding: str = DIRECT,
    shape: Sequence[int] | None = None,
    low: npt.ArrayLike = 0.0,
    high: npt.ArrayLike = 1.0,
) -> FixedPointNetwork:
    """Return a network of one branch, layer upon layer.

    For a single layer, give one array; for several, a list with one for each. ``leak``, ``reset``,
    ``saturation`` and ``synapse`` may be the same for all of them.

    Parameters
    ----------
    weights : integer array, shape (inputs, neurons), or Convolution, or a list of these
        Torch keeps the transpose, ``linear.weight.T``.
    thresholds : integer, or integer array of shape (neurons,), or a list of these
        Of a convolution, as its biases, one for each output channel if need be.
    n_steps : T, the steps of an inference
    biases, recurrent : the same of shapes (neurons,) and (neurons, neurons), optional
        Lateral weights ``recurrent[k, j]`` lead from neuron k to neuron j, one step later.
    leak : `Leak.nearest` makes one of a real factor
    saturation : bits of the membrane to clamp to
    synapse : leak of a synaptic current, where neurons have one
    leaks : integer array, shape (neurons,), optional
        d of each neuron, in place of the leak's d.
    resets : integer array, shape (neurons,), optional
        What a reset to zero sets each membrane to, in place of 0.
    tables : array of 0 and 1, shape (2**k, neurons), optional
        Truth tables, for which the weights are powers of two (`convexon.snn.network.Layer`).
        `convexon.snn.cells.cell_layer` says what a layer of logic cells is.
    input_bits : 1 for spikes, k for intensities of k bits
    readout : what the readout weighs
    readout_weights : integer array, shape (neurons of the last layer, classes), optional
        Without it the features themselves are the scores: spike counts, say.
    readout_biases : integer array, shape (classes,), optional
    classes : names; the numbers from 0 on where left out
    coding, shape, low, high
        How raw samples come in (`convexon.snn.interface.Interface`). By default samples are encoded
        already, shape (samples, steps, inputs).

    Raises
    ------
    InputError, FormatError
        If a type, shape or value does not fit; of several layers it names the one.
    """
    stack = [_weights(each) for each in _layers(weights)]
    count = len(stack)
    members = {
        "biases": _of_each("biases", biases, count),
        "recurrent": _of_each("recurrent", recurrent, count),
        "leak": _of_all("leak", leak, count),
        "reset": _of_all("reset", reset, count),
        "saturation": _of_all("saturation", saturation, count),
        "synapse": _of_all("synapse", synapse, count),
        "leaks": _of_each("leaks", leaks, count),
        "resets": _of_each("resets", resets, count),
        "tables": _of_each("tables", tables, count),
        "thresholds": _of_each("thresholds", thresholds, count),
    }
    layers = []
    for depth, own in enumerate(stack):
        try:
            layers.append(_layer(own, **{name: values[depth] for name, values in members.items()}))
        except ConvexonError as error:
            raise type(error)(f"layer {depth}: {error}" if count > 1 else str(error)) from None
    n_features = layers[-1].n_neurons
    scores = np.eye(n_features, dtype=np.int64) if readout_weights is None else readout_weights
    table = as_array("readout_weights", scores)
    if table.ndim != 2:
        raise InputError(
            f"readout_weights must have shape ({n_features}, classes), not {table.shape}"
        )
    final = integer_array("readout_weights", table, table.shape)
    n_scores = final.shape[1]
    offset = np.zeros(n_scores, dtype=np.int64) if readout_biases is None else readout_biases
    last = integer_array("readout_biases", offset, (n_scores,))
    n_inputs = layers[0].n_inputs
    return FixedPointNetwork(
        branches=(Branch(tuple(layers)),),
        n_steps=n_steps,
        input_bits=input_bits,
        readout_mode=_choice(ReadoutMode, readout, "readout"),
        readout_weights=final,
        readout_biases=last,
        readout_format=_format_of(final),
        bias_format=_format_of(last),
        interface=_interface(
            coding,
            shape=shape,
            per_step=(n_steps, n_inputs),
            classes=tuple(range(max(2, final.shape[-1])) if classes is None else classes),
            ends=(low, high),
        ),
    )


def _layers(weights: Any) -> list[Any]:
    """One array a layer: a list of tables is several of them, and a table is one."""
    if isinstance(weights, list | tuple) and len(weights):
        first = _weights(weights[0])
        if isinstance(first, Convolution) or first.ndim == 2:
            return list(weights)
    return [weights]


def _weights(values: Any) -> npt.NDArray[Any] | Convolution:
    return values if isinstance(values, Convolution) else as_array("weights", values)


def _of_each(name: str, values: Any, count: int) -> list[Any]:
    """One value a layer, where a single layer's stands alone."""
    if values is None:
        return [None] * count
    if count == 1 and not (isinstance(values, list | tuple) and len(values) == 1):
        return [values]
    return _listed(name, values, count)


def _of_all(name: str, values: Any, count: int) -> list[Any]:
    """One value a layer, or the same for all."""
    several = isinstance(values, list | tuple)
    return _listed(name, values, count) if several else [values] * count


def _listed(name: str, values: Any, count: int) -> list[Any]:
    if not isinstance(values, list | tuple) or len(values) != count:
        raise InputError(f"{name} must be a list with one for each of the {count} layers")
    return list(values)


def _layer(
    weights: npt.NDArray[Any] | Convolution,
    *,
    thresholds: Any,
    biases: Any,
    recurrent: Any,
    leak: Leak,
    reset: Reset | str,
    saturation: int | None,
    synapse: Leak | None,
    leaks: Any,
    resets: Any,
    tables: Any,
) -> Layer:
    """A layer in the formats that its values ask for."""
    if isinstance(weights, Convolution):
        n = weights.n_outputs
        stored = integer_array("kernel", weights.kernel, np.shape(weights.kernel))
        forward: IntArray | IntegerConvolution = IntegerConvolution(stored, weights.windows)
    else:
        if weights.ndim != 2:
            raise InputError(f"weights must have shape (inputs, neurons), not {weights.shape}")
        n = weights.shape[1]
        stored = forward = integer_array("weights", weights, weights.shape)
    lateral = (
        None
        if recurrent is None
        else integer_array("recurrent", as_array("recurrent", recurrent), (n, n))
    )
    theta = _of_neurons(weights, as_array("thresholds", thresholds))
    levels = integer_array("thresholds", np.full(n, theta) if theta.ndim == 0 else theta, (n,))
    given = np.zeros(n, np.int64) if biases is None else as_array("biases", biases)
    offsets = integer_array("biases", _of_neurons(weights, given), (n,))
    to = None
    if resets is not None:
        to = integer_array("resets", _of_neurons(weights, as_array("resets", resets)), (n,))
    return Layer(
        weights=forward,
        recurrent=lateral,
        thresholds=levels,
        biases=offsets,
        leak=leak,
        reset=_choice(Reset, reset, "reset"),
        weight_format=_format_of(stored, *(() if lateral is None else (lateral,))),
        threshold_format=_format_of(levels, offsets, *(() if to is None else (to,))),
        saturation=None
        if saturation is None
        else QFormat(require_integer("saturation", saturation)),
        synapse=synapse,
        leaks=None if leaks is None else as_array("leaks", leaks),
        resets=to,
        tables=None if tables is None else as_array("tables", tables),
    )


def _of_neurons(
    weights: npt.NDArray[Any] | Convolution, values: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """Values of neurons; where there is one for each output channel, its neurons share it."""
    if isinstance(weights, Convolution) and values.shape == (len(weights.kernel),):
        return weights.each(values)
    return values


def _format_of(*arrays: IntArray) -> QFormat:
    """Narrowest signed format of all values."""
    ends = [int(end) for array in arrays if array.size for end in (array.min(), array.max())]
    return QFormat.covering(Interval.hull(ends or [0]))


def _choice(kind: type[E], value: E | str, name: str) -> E:
    require_type(name, value, kind, str)
    return choice(kind, value, name) if isinstance(value, str) else value


def _interface(
    coding: str,
    *,
    shape: Sequence[int] | None,
    per_step: tuple[int, int],
    classes: tuple[ClassName, ...],
    ends: tuple[npt.ArrayLike, npt.ArrayLike],
) -> Interface:
    """How raw samples come in; one range for all features, or one for each."""
    known = CODINGS[coding]
    n_steps, n_inputs = per_step
    n_values = n_inputs // known.inputs_per_value
    default = (n_steps, n_values) if known.per_step else (n_values,)
    low, high = (
        _range_end(name, end, n_values) for name, end in zip(("low", "high"), ends, strict=True)
    )
    return Interface(
        coding=coding,
        shape=default if shape is None else tuple(shape),
        classes=classes,
        low=low if known.scaled else None,
        high=high if known.scaled else None,
    )


def _range_end(name: str, end: npt.ArrayLike, n_values: int) -> npt.NDArray[np.float64]:
    """One end of the range of each feature."""
    try:
        return np.broadcast_to(np.asarray(end, np.float64), (n_values,)).copy()
    except (TypeError, ValueError):
        raise InputError(
            f"{name} must be one number, or one of each of the {n_values} features"
        ) from None
