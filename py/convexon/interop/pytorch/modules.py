"""PyTorch modules, as networks of real numbers: snnTorch, SpikingJelly, sinabs, Norse.

The model runs once on a sample, and what each of its leaf modules reads and gives is followed from
the first to the last (`convexon.interop.pytorch.calls`). So kinds of reset, delays and learned
constants come from the modules themselves, which no exchange format carries
(`convexon.interop.pytorch.neurons`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from convexon.errors import InputError, MissingToolError
from convexon.interop.pytorch.calls import SAMPLE, Call, Trace, lead_of, traced
from convexon.interop.pytorch.neurons import Neurons, array, reader
from convexon.interop.skips import Reading, Shape, in_a_row
from convexon.interop.synapses import (
    Operation,
    Synapses,
    correlated,
    multiplied,
    pooled,
    reshaped,
    summed,
    weighed,
)
from convexon.snn.convolution import NO_PADDING, Pair
from convexon.snn.models.real import Real, RealLayer, RealNetwork
from convexon.snn.neuron import ReadoutMode, reading_of

if TYPE_CHECKING:
    import torch


def from_torch(
    model: torch.nn.Module, sample: Any, *, integrators: str = ReadoutMode.MEMBRANE.value
) -> RealNetwork:
    """Return a trained model as a network of real numbers.

    Parameters
    ----------
    model : torch.nn.Module
        Linear modules and neurons, each called once a step in ``forward``, which may add up what
        they give, and returns what the last of them gives: of each step, or their sum or mean.
        Dropout does nothing here, and BatchNorm is folded, with its running statistics.
    sample : tensor or array
        What the model takes, such as random numbers; its shape is what matters.
    integrators : str
        What is read of leaky integrators at the end, or of neurons without a reset whose membranes
        the model returns: of `convexon.snn.neuron.READINGS`.

    Raises
    ------
    InputError
        If a module has no counterpart, or ``forward`` computes anything outside of modules; it
        names the module.
    ConvexonError
        If torch is not installed.
    """
    reading = reading_of(integrators)
    torch = _torch()
    try:
        copied = copy.deepcopy(model).eval()
    except RuntimeError as error:  # torch copies no tensor that a gradient may still flow through
        raise InputError(
            "the model holds state of a training step: reset or detach its states first"
        ) from error
    trace = traced(torch, copied, sample, reading)
    graph = _Graph(torch, trace, reading)
    for call in trace.calls:
        graph.take(call)
    return graph.network(type(model).__name__)


@dataclass(frozen=True, eq=False)
class _Signal:
    """What comes of linear modules: a map of what neurons, or the sample, hand on, by name."""

    parts: dict[str, Synapses]
    bias: Real | None = None


class _Graph:
    """Layers as they are met, and what linear modules give."""

    def __init__(self, torch: Any, trace: Trace, integrators: ReadoutMode) -> None:
        self._torch, self._lead = torch, lead_of(trace.calls)
        self._readings: list[Reading] = []
        self._signals: dict[str, _Signal] = {}
        self._given: Shape = ()
        self._last = trace.calls[-1].name
        self._mode = integrators if trace.membranes else ReadoutMode.COUNT

    def take(self, call: Call) -> None:
        """Go on with one module."""
        shape = tuple(int(length) for length in call.read.tensor.shape[self._lead :])
        self._given = self._given or shape
        came = [self._signal(name, shape) for name in call.reads]
        biases = [each.bias for each in came if each.bias is not None]
        bias = reduce(np.add, biases) if biases else None
        given = _Signal(summed(each.parts for each in came), bias)
        found = reader(call.module, call.name)
        if found is None:
            self._signals[call.name] = self._linear(call, shape, given)
        else:
            self._neurons(call, self._read(call, found(call.module, call.name)), shape, given)

    def _read(self, call: Call, found: Neurons) -> Neurons:
        """What neurons do; the last may be leaky integrators, and are where membranes are read."""
        if call.name == self._last and self._mode is not ReadoutMode.COUNT:
            return found.as_integrators(call.name)
        if found.integrate:
            kind = type(call.module).__name__
            raise InputError(
                f"{call.name} is a {kind}, a leaky integrator without spikes: it must be the last"
            )
        return found

    def _signal(self, name: str, shape: Shape) -> _Signal:
        """What a module gives to one that takes it in a shape; neurons, their spikes."""
        return self._signals.get(name) or _Signal({name: Synapses.of_layer(shape, name)})

    def _linear(self, call: Call, shape: Shape, came: _Signal) -> _Signal:
        apply = _applied(self._torch, call, shape)
        bias = apply(np.zeros((1, int(np.prod(shape)))))
        operation = _operation(self._torch, call.module)
        if operation is None:
            matrix, _ = _affine(apply, call, shape)
            after = {name: Synapses(each.matrix @ matrix) for name, each in came.parts.items()}
        else:
            after = {
                name: each.then(operation, lambda rows: apply(rows) - bias)
                for name, each in came.parts.items()
            }
        return _Signal(after, (bias if came.bias is None else apply(came.bias[None]))[0])

    def _neurons(self, call: Call, found: Neurons, shape: Shape, came: _Signal) -> None:
        size = int(np.prod(shape))

        def spread(value: Real | float) -> Real:
            given = np.asarray(value, dtype=np.float64)
            try:
                return np.broadcast_to(given, shape).ravel()
            except ValueError:
                raise InputError(
                    f"parameters of {call.name} must have shape {shape}, or one that is broadcast "
                    f"to it, not {given.shape}"
                ) from None

        gain = spread(found.gain)
        is_double = call.read.tensor.dtype == self._torch.float64
        computes = np.float64 if is_double else np.float32
        parts = {
            name: each.scaled(gain).mapped(lambda weights: weights.astype(computes))
            for name, each in came.parts.items()
        }
        layer = RealLayer(
            name=call.name,
            weights=next(iter(parts.values())).weights,
            biases=(np.zeros(size) if came.bias is None else came.bias) * gain
            + spread(found.offset),
            leak=spread(found.leak),
            thresholds=spread(found.thresholds),
            floor=None if found.floor is None else spread(found.floor),
            synapse=None if found.synapse is None else spread(found.synapse),
            resets=None if found.resets is None else spread(found.resets),
            lateral=None if found.lateral is None else found.lateral(size),
            reset=found.reset,
            strict=found.strict,
            late=found.late,
            several=found.several,
        )
        self._readings.append(Reading(layer=layer, parts=parts, shape=shape))

    def network(self, name: str) -> RealNetwork:
        """All that was met; a linear map after the last neurons is the readout."""
        if not self._readings:
            raise InputError(f"{name} must have neurons: none of its modules spikes")
        last = self._signal(self._last, self._readings[-1].shape)
        layers, weights = in_a_row(self._readings, (SAMPLE, self._given), last.parts)
        return RealNetwork(
            layers=layers,
            readout_weights=weights,
            readout_biases=np.zeros(weights.shape[1]) if last.bias is None else last.bias,
            readout_mode=self._mode,
            origin=f"the PyTorch module {name}",
        )


_AT_ONCE = 256
"""Unit inputs that a linear module is applied to at once."""


def _applied(torch: Any, call: Call, shape: Shape) -> Callable[[Real], Real]:
    """A module as a function of rows of what it reads at a step."""
    module = copy.deepcopy(call.module).double()
    if getattr(module, "step_mode", None) == "m":
        module.step_mode = "s"

    def apply(rows: Real) -> Real:
        given = torch.as_tensor(np.asarray(rows, dtype=np.float64)).reshape(-1, *shape)
        try:
            with torch.no_grad():
                parts = [module(part).reshape(len(part), -1) for part in given.split(_AT_ONCE)]
        except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
            told = str(error).splitlines()[0]
            kind = type(call.module).__name__
            raise InputError(f"{call.name} ({kind}) cannot be read: {told}") from error
        return np.asarray(torch.cat(parts).numpy())

    return apply


_WITH_LAYERS = ("spikingjelly", "sinabs")
"""Tools whose linear layers are those of torch, but for how steps come in."""


def _operation(torch: Any, module: Any) -> Operation | None:
    """What a module of torch itself makes of a convolution; None for any other."""
    kind, nn = type(module), torch.nn
    if kind.__module__.partition(".")[0] in _WITH_LAYERS:
        kind = next((base for base in kind.__mro__ if base.__module__.startswith("torch.")), kind)
    if kind in (nn.Conv1d, nn.Conv2d) and module.padding_mode == "zeros":
        weight = array(module.weight)
        kernel = weight if weight.ndim == 4 else weight[:, :, None, :]
        stride, dilation = _pair(module.stride, 1), _pair(module.dilation, 1)
        if isinstance(module.padding, str):
            reach = [
                (k - 1) * d * (module.padding == "same")
                for k, d in zip(kernel.shape[2:], dilation, strict=True)
            ]
            rows, columns = ((each // 2, each - each // 2) for each in reach)
        else:
            rows, columns = ((each, each) for each in _pair(module.padding, 0))
        return correlated(
            kernel, stride=stride, padding=(rows, columns), dilation=dilation, groups=module.groups
        )
    if kind in (nn.AvgPool1d, nn.AvgPool2d) and not module.ceil_mode:
        size, stride = _pair(module.kernel_size, 1), _pair(module.stride, 1)
        down, right = _pair(module.padding, 0)
        share = 1.0 / (getattr(module, "divisor_override", None) or size[0] * size[1])
        if (down, right) == (0, 0) or module.count_include_pad:
            return pooled(size, stride, ((down, down), (right, right)), share)
    if kind in (nn.BatchNorm1d, nn.BatchNorm2d) and module.running_var is not None:
        gains = 1.0 if module.weight is None else array(module.weight)
        return multiplied(gains / np.sqrt(array(module.running_var) + module.eps))
    if kind is nn.LPPool2d and module.norm_type == 1 and not module.ceil_mode:
        size = _pair(module.kernel_size, 1)
        return pooled(size, _pair(module.stride or size, 1), NO_PADDING, 1.0)
    if kind is nn.Flatten:
        return reshaped
    if kind is nn.Linear:
        return weighed(array(module.weight))
    return None


def _pair(value: Any, height: int) -> Pair:
    """Lengths of rows and columns; of one axis the columns alone, and ``height`` of its rows."""
    given = (value, value) if isinstance(value, int) else tuple(value)
    return (height, given[0]) if len(given) == 1 else (given[0], given[1])


def _affine(apply: Callable[[Real], Real], call: Call, shape: Shape) -> tuple[Real, Real]:
    """Return the matrix and the bias of a module that is linear, by applying it to unit inputs."""
    size = int(np.prod(shape))
    bias = apply(np.zeros((1, size)))
    matrix = apply(np.eye(size)) - bias
    trial = np.linspace(-3, 5, size)[None]
    if not np.allclose(apply(trial), trial @ matrix + bias, rtol=1e-6, atol=1e-6):
        raise InputError(
            f"{call.name} is a {type(call.module).__name__}, which is neither linear nor a neuron "
            "that is known here"
        )
    return matrix, bias[0]


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingToolError("torch is not installed: pip install 'convexon[torch]'") from error
    return torch
