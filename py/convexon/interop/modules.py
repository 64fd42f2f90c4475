"""PyTorch modules, as networks of real numbers: snnTorch, SpikingJelly, sinabs, Norse.

The model runs once on a sample, and what each of its leaf modules reads and gives is followed from
the first to the last. So kinds of reset, delays and learned constants come from the modules
themselves, which no exchange format carries. No framework is imported: a neuron is known by its
class and its members.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from convexon.errors import InputError, MissingToolError
from convexon.interop.synapses import (
    Operation,
    Synapses,
    correlated,
    multiplied,
    pooled,
    reshaped,
    weighed,
)
from convexon.snn.convolution import NO_PADDING, Pair
from convexon.snn.models.real import Real, RealLayer, RealNetwork
from convexon.snn.neuron import Reset

if TYPE_CHECKING:
    import torch

Shape = tuple[int, ...]


def from_torch(model: torch.nn.Module, sample: Any) -> RealNetwork:
    """Return a trained model as a network of real numbers.

    Parameters
    ----------
    model : torch.nn.Module
        Linear modules and neurons in a row, each called once a step in ``forward``, which returns
        what the last of them gives: of each step, or their sum or mean. Dropout does nothing here,
        and BatchNorm is folded, with its running statistics.
    sample : tensor or array
        What the model takes, such as random numbers; its shape is what matters.

    Raises
    ------
    InputError
        If a module has no counterpart, or ``forward`` computes anything outside of modules; it
        names the module.
    ConvexonError
        If torch is not installed.
    """
    torch = _torch()
    try:
        traced = copy.deepcopy(model).eval()
    except RuntimeError as error:  # torch copies no tensor that a gradient may still flow through
        raise InputError(
            "the model holds state of a training step: reset or detach its states first"
        ) from error
    calls = _calls(torch, traced, sample)
    stack = _Stack(torch, lead=_lead(calls))
    for call in calls:
        stack.take(call)
    return stack.network(type(model).__name__)


@dataclass(frozen=True)
class _Seen:
    """A tensor, and how often it had been written to when it was seen.

    It is kept, so that no other takes its memory while the model runs.
    """

    tensor: Any
    version: int

    @classmethod
    def now(cls, tensor: Any) -> _Seen:
        return cls(tensor.detach(), tensor._version)

    def is_all_of(self, other: _Seen) -> bool:
        """Whether this is the other, or the same numbers in the same order in another shape."""
        mine, its = self.tensor, other.tensor
        if mine.data_ptr() != its.data_ptr() or mine.numel() != its.numel():
            return False
        if self.version != other.version:
            return False
        if mine.shape == its.shape:
            return bool(mine.stride() == its.stride())
        return bool(mine.is_contiguous() and its.is_contiguous())


@dataclass(frozen=True)
class _Call:
    """One call of a leaf module: what it read and what it gave."""

    name: str
    module: Any
    read: _Seen
    gave: _Seen


def _calls(torch: Any, model: Any, sample: Any) -> list[_Call]:
    """Run the model, and return the first call of each leaf module, in order."""
    found: dict[str, list[_Call]] = {}
    handles = []

    def watch(name: str, module: Any) -> None:
        reading: list[_Seen] = []

        def before(_: Any, read: tuple[Any, ...]) -> None:
            reading[:] = [_Seen.now(each) for each in read[:1] if isinstance(each, torch.Tensor)]

        def after(_: Any, __: Any, gave: Any) -> None:
            first = gave[0] if isinstance(gave, tuple) else gave
            if reading:
                call = _Call(name, module, reading[0], _Seen.now(first))
                found.setdefault(name, []).append(call)

        handles.append(module.register_forward_pre_hook(before))
        handles.append(module.register_forward_hook(after))

    inside: tuple[str, ...] = ()
    for name, module in model.named_modules():
        if inside and name.startswith(inside):
            continue
        if _reader(module, name) is not None:
            inside = (*inside, f"{name}.")  # a neuron's own parts are read with it
        elif any(True for _ in module.children()):
            continue
        elif isinstance(module, torch.nn.Identity | torch.nn.modules.dropout._DropoutNd):
            continue  # they hand on what they read, and often serve several layers
        watch(name or type(module).__name__, module)
    given = sample if isinstance(sample, torch.Tensor) else torch.as_tensor(np.asarray(sample))
    if given.dtype == torch.float64 or not given.is_floating_point():
        given = given.to(_type_of(torch, model))
    start = _Seen.now(given)
    try:
        with torch.no_grad():
            result = model(given)
    except Exception as error:  # whatever the user's own forward raises
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"the model does not run on the sample: {told}") from error
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise InputError("the model must call modules in its forward")
    _require_row(list(found.values()), start)
    row = [calls[0] for calls in found.values()]
    _require_returned(torch, result, found[row[-1].name], lead=_lead(row))
    return row


def _type_of(torch: Any, model: Any) -> Any:
    """The floating-point type that a model computes in."""
    types = {each.dtype for each in model.parameters() if each.is_floating_point()}
    return torch.float64 if types == {torch.float64} else torch.float32


def _lead(row: list[_Call]) -> int:
    """Axes ahead of features: samples, and steps where modules take all of them at once."""
    return (
        2
        if any(_steps_inside(each.module) for each in row if _kind(each.module) is not None)
        else 1
    )


def _require_row(modules: list[list[_Call]], sample: _Seen) -> None:
    """At each step the first module must read the sample, and any other what the last one gave.

    Steps may be gone through one by one, or by each module in turn.
    """
    first = modules[0]
    for calls in modules:
        if len(calls) != len(first):
            raise InputError(
                f"{calls[0].name} must be called as often as {first[0].name}, once a step, not "
                f"{len(calls)} times to {len(first)}: give each layer modules of its own"
            )
    for call in first:
        if not _is_step_of(call.read, sample):
            raise InputError(
                f"{call.name} must read the sample, or a step of it, unchanged: what the forward "
                "computes before it belongs into a module (a sample that it repeats must hold "
                "different numbers)"
            )
    for below, above in pairwise(modules):
        for gave, call in zip(below, above, strict=True):
            if not call.read.is_all_of(gave.gave):
                raise InputError(
                    f"{call.name} must read what {gave.name} gives, unchanged: what the forward "
                    "computes between them belongs into a module"
                )


def _is_step_of(read: _Seen, sample: _Seen) -> bool:
    """Whether a module reads the sample, a part of it in its order, or the sample at each step."""
    mine, its = read.tensor, sample.tensor
    if its._version != sample.version:
        return False
    if mine.untyped_storage().data_ptr() == its.untyped_storage().data_ptr():
        lengths = zip(mine.shape[1:], mine.stride()[1:], strict=True)
        strides = [stride for length, stride in lengths if length > 1]
        return strides == sorted(strides, reverse=True)
    # A sample of one number cannot tell whether anything was computed of it.
    if mine.ndim != its.ndim + 1 or bool((its == its.flatten()[0]).all()):
        return False
    axes = [axis for axis in (0, 1) if mine.select(axis, 0).shape == its.shape]
    return any(bool((mine == its.unsqueeze(axis)).all()) for axis in axes)


def _require_returned(torch: Any, result: Any, last: list[_Call], *, lead: int) -> None:
    """The model must return what its last module gives: of each step, or their sum or mean."""
    steps = torch.stack([call.gave.tensor for call in last])
    ways = [steps[-1], *(steps.movedim(0, axis) for axis in range(steps.ndim))]
    for axis in range(lead + 1 if lead > 1 else 1):
        ways += [steps.sum(axis), steps.mean(axis)]
    for each in _tensors(torch, result):
        values = each.detach().to(steps.dtype).flatten()
        if any(
            len(values) == way.numel() and torch.allclose(values, way.flatten()) for way in ways
        ):
            return
    raise InputError(
        f"the model must return what {last[0].name} gives, of each step or their sum or mean: "
        "what the forward computes after it belongs into a module"
    )


def _tensors(torch: Any, result: Any) -> Iterator[Any]:
    """Each tensor of what a model returns, and those of a list, one a step, as one."""
    if isinstance(result, torch.Tensor):
        yield result
    elif isinstance(result, list | tuple | Mapping):
        held = list(result.values()) if isinstance(result, Mapping) else list(result)
        if held and all(isinstance(each, torch.Tensor) for each in held):
            yield torch.cat([each.flatten() for each in held])
        for each in held:
            yield from _tensors(torch, each)


class _Stack:
    """Layers as they are met, and the linear map since the last of them."""

    def __init__(self, torch: Any, *, lead: int) -> None:
        self._torch, self._lead = torch, lead
        self._layers: list[RealLayer] = []
        self._synapses: Synapses | None = None
        self._biases: Real | None = None

    def take(self, call: _Call) -> None:
        """Go on with one module."""
        shape = tuple(int(length) for length in call.read.tensor.shape[self._lead :])
        reader = _reader(call.module, call.name)
        if reader is None:
            self._linear(call, shape)
        else:
            self._neurons(call, reader(call.module, call.name), shape)

    def _linear(self, call: _Call, shape: Shape) -> None:
        before = Synapses.of_layer(shape, call.name) if self._synapses is None else self._synapses
        apply = _applied(self._torch, call, shape)
        bias = apply(np.zeros((1, int(np.prod(shape)))))
        operation = _operation(self._torch, call.module)
        if operation is None:
            matrix, _ = _affine(apply, call, shape)
            self._synapses = Synapses(before.matrix @ matrix)
        else:
            self._synapses = before.then(operation, lambda rows: apply(rows) - bias)
        self._biases = (bias if self._biases is None else apply(self._biases[None]))[0]

    def _neurons(self, call: _Call, found: _Neurons, shape: Shape) -> None:
        size = int(np.prod(shape))
        if self._synapses is None or self._biases is None:
            self._synapses, self._biases = Synapses.of_layer(shape, call.name), np.zeros(size)

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
        self._layers.append(
            RealLayer(
                name=call.name,
                weights=self._synapses.scaled(gain).simplest.astype(computes),
                biases=self._biases * gain + spread(found.offset),
                leak=spread(found.leak),
                thresholds=spread(found.thresholds),
                floor=None if found.floor is None else spread(found.floor),
                synapse=None if found.synapse is None else spread(found.synapse),
                lateral=None if found.lateral is None else found.lateral(size),
                reset=found.reset,
                strict=found.strict,
                late=found.late,
                several=found.several,
            )
        )
        self._synapses = self._biases = None

    def network(self, name: str) -> RealNetwork:
        """All that was met; a linear map after the last neurons is the readout."""
        if not self._layers:
            raise InputError(f"{name} must have neurons: none of its modules spikes")
        size = self._layers[-1].n_neurons
        return RealNetwork(
            layers=tuple(self._layers),
            readout_weights=np.eye(size) if self._synapses is None else self._synapses.matrix,
            readout_biases=np.zeros(size) if self._biases is None else self._biases,
            origin=f"the PyTorch module {name}",
        )


_AT_ONCE = 256
"""Unit inputs that a linear module is applied to at once."""


def _applied(torch: Any, call: _Call, shape: Shape) -> Callable[[Real], Real]:
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
        weight = _array(module.weight)
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
        gains = 1.0 if module.weight is None else _array(module.weight)
        return multiplied(gains / np.sqrt(_array(module.running_var) + module.eps))
    if kind is nn.LPPool2d and module.norm_type == 1 and not module.ceil_mode:
        size = _pair(module.kernel_size, 1)
        return pooled(size, _pair(module.stride or size, 1), NO_PADDING, 1.0)
    if kind is nn.Flatten:
        return reshaped
    if kind is nn.Linear:
        return weighed(_array(module.weight))
    return None


def _pair(value: Any, height: int) -> Pair:
    """Lengths of rows and columns; of one axis the columns alone, and ``height`` of its rows."""
    given = (value, value) if isinstance(value, int) else tuple(value)
    return (height, given[0]) if len(given) == 1 else (given[0], given[1])


def _affine(apply: Callable[[Real], Real], call: _Call, shape: Shape) -> tuple[Real, Real]:
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


@dataclass(frozen=True, eq=False, kw_only=True)
class _Neurons:
    """What a neuron module does in a step; arrays are broadcast to the shape of its neurons.

    ``gain`` multiplies what comes in, and ``offset`` is added to it.
    """

    leak: Real
    thresholds: Real
    reset: Reset
    strict: bool
    late: bool = False
    several: bool = False
    gain: Real | float = 1.0
    offset: Real | float = 0.0
    floor: Real | None = None
    synapse: Real | None = None
    lateral: Callable[[int], Real] | None = None


_Reader = Callable[[Any, str], _Neurons]


class _Bare:
    """A class that defines nothing but how it is made."""

    size: int

    def __init__(self, size: int) -> None:
        self.size = size


_OWN = frozenset(vars(_Bare))
"""What a class may define and still be the neuron that it is a sub-class of."""


def _kind(module: Any) -> type | None:
    """The neuron's class that is known here, of which a module is a sub-class or itself."""
    return next((kind for kind in type(module).__mro__ if _key(kind) in _READERS), None)


def _key(kind: type) -> tuple[str, str]:
    return kind.__module__.partition(".")[0], kind.__name__


def _reader(module: Any, name: str) -> _Reader | None:
    """How a module's neurons are read; None for one that is no neuron known here."""
    known = _kind(module)
    if known is None:
        return None
    for kind in type(module).__mro__:
        if kind is known:
            break
        if set(vars(kind)) - _OWN:
            raise InputError(
                f"{name} is a {type(module).__name__}, which changes what it is a sub-class of: "
                f"{known.__name__} itself is known here"
            )
    return _READERS[_key(known)]


def _steps_inside(module: Any) -> bool:
    """Whether the module takes all steps in one call, samples and steps ahead of features."""
    kind = _kind(module)
    return getattr(module, "step_mode", None) == "m" or (
        kind is not None and _key(kind) in (("sinabs", "LIF"), ("sinabs", "IAF"))
    )


def _array(value: Any) -> Real:
    """A parameter as an array, of its own type."""
    return np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)


def _require(holds: bool, name: str, told: str) -> None:
    if not holds:
        raise InputError(f"{name} {told}")


_SNNTORCH_RESETS = {"subtract": Reset.SUBTRACT, "zero": Reset.ZERO, "none": Reset.NONE}


def _snntorch(module: Any, name: str) -> _Neurons:
    """Leaky and its kin: the reset follows the membrane of the step before, unless told not to."""
    _require(not module.inhibition, name, "must not inhibit all but one neuron (inhibition=True)")
    _require(not module.state_quant, name, "must not quantize its state (state_quant)")
    factor = _array(module.graded_spikes_factor)
    _require(bool((factor == 1).all()), name, "must have graded_spikes_factor 1: spikes are bits")
    kind = _called(_kind(module))
    reset = _SNNTORCH_RESETS[str(module.reset_mechanism)]
    if reset is Reset.SUBTRACT and not getattr(module, "reset_delay", True):
        raise InputError(
            f"{name} has reset_delay=False, which gives a threshold back to a membrane that is "
            "still above it: train it with reset_delay=True, or with reset_mechanism='zero'"
        )
    if reset is Reset.ZERO and kind in ("Lapicque", "Synaptic", "RSynaptic"):
        raise InputError(
            f"{name} is a {kind} with reset_mechanism='zero', which drops the input of the step "
            "after a spike too: train it with 'subtract' or 'none'"
        )
    gain: Real | float = 1.0
    if kind == "Lapicque":
        time_step, resistance, capacity = (
            _array(each) for each in (module.time_step, module.R, module.C)
        )
        gain = time_step / capacity
        leak = 1 - time_step / (resistance * capacity)
    else:
        leak = np.clip(_array(module.beta), 0, 1)
    lateral, offset = None, 0.0
    if kind.startswith("R"):
        lateral, offset = _snntorch_lateral(module.recurrent, name)
    return _Neurons(
        leak=leak,
        thresholds=_array(module.threshold),
        reset=reset,
        strict=True,
        # Setting to zero before the next leak or after this fire is the same.
        late=reset is Reset.SUBTRACT,
        gain=gain,
        offset=offset,
        synapse=np.clip(_array(module.alpha), 0, 1) if kind.endswith("Synaptic") else None,
        lateral=lateral,
    )


def _snntorch_lateral(recurrent: Any, name: str) -> tuple[Callable[[int], Real], Any]:
    """Lateral weights, and the bias that comes with them from the first step on."""
    if hasattr(recurrent, "V"):
        own = _array(recurrent.V)
        return lambda size: np.diag(np.broadcast_to(own, (size,))), 0.0
    _require(type(recurrent).__name__ == "Linear", name, "must have linear lateral weights")
    weights = recurrent.weight.detach().cpu().numpy().T
    bias = 0.0 if recurrent.bias is None else _array(recurrent.bias)
    return lambda size: weights, bias


def _spikingjelly(module: Any, name: str) -> _Neurons:
    """IF, LIF and PLIF nodes: v >= threshold fires; v_reset None subtracts."""
    value = module.v_reset
    base = 0.0 if value is None else float(value)
    thresholds = _array(module.v_threshold)
    reset = Reset.SUBTRACT if value is None else Reset.ZERO
    kind = _called(_kind(module))
    if kind == "IFNode":
        return _Neurons(leak=np.ones(1), thresholds=thresholds - base, reset=reset, strict=False)
    if kind == "ParametricLIFNode":
        share = 1 / (1 + np.exp(-_array(module.w)))
    else:
        share = 1 / _array(module.tau)
    # Measured from v_reset, where it starts and to which it leaks, the membrane is one of ours.
    return _Neurons(
        leak=1 - share,
        thresholds=thresholds - base,
        reset=reset,
        strict=False,
        gain=share if module.decay_input else 1.0,
    )


def _sinabs(module: Any, name: str) -> _Neurons:
    """LIF and IAF: several spikes a step, each subtracted; a least membrane where one is set."""
    told = "must fire by sinabs' MultiSpike or SingleSpike and reset by MembraneSubtract"
    fires, resets = (_called(each) for each in (module.spike_fn, module.reset_fn))
    _require(fires in ("MultiSpike", "SingleSpike") and resets == "MembraneSubtract", name, told)
    subtract = getattr(module.reset_fn, "subtract_value", None)
    _require(subtract is None, name, "must subtract its threshold (subtract_value=None)")
    _require(not hasattr(module, "rec_connect"), name, "must have no recurrent connection")
    gain: Real | float = 1.0
    leak = np.ones(1)
    synapse = None
    if module.tau_mem is not None:
        leak = _array(module.alpha_mem_calculated)
        gain = 1 - leak if module.norm_input else 1.0
        if module.tau_syn is not None:
            synapse = _array(module.alpha_syn_calculated)
            _require(not module.norm_input, name, "must not scale its input twice (norm_input)")
            gain = synapse  # the current decays after it was added to
    floor = None if module.min_v_mem is None else _array(module.min_v_mem)
    return _Neurons(
        leak=leak,
        thresholds=_array(module.spike_threshold),
        reset=Reset.SUBTRACT,
        strict=False,
        several=fires == "MultiSpike",
        gain=gain,
        floor=floor,
        synapse=synapse,
    )


def _called(thing: Any) -> str:
    """Name of a class, or of the class of an instance."""
    return str(thing.__name__ if isinstance(thing, type) else type(thing).__name__)


def _norse(module: Any, name: str) -> _Neurons:
    """LIF without a synaptic current, and IAF; what a spike resets to must be 0."""
    p = module.p
    _require(not _array(p.v_reset).any(), name, "must have v_reset 0")
    reset = Reset.ZERO
    if "subtract" in getattr(getattr(p, "reset_method", None), "__name__", ""):
        reset = Reset.SUBTRACT
    if _called(_kind(module)).startswith("IAF"):
        return _Neurons(leak=np.ones(1), thresholds=_array(p.v_th), reset=reset, strict=True)
    share = (float(module.dt) * _array(p.tau_mem_inv)).astype(np.float64)
    return _Neurons(
        leak=1 - share,
        thresholds=_array(p.v_th),
        reset=reset,
        strict=True,
        gain=share,
        offset=share * _array(p.v_leak),
    )


_READERS: Mapping[tuple[str, str], _Reader] = {
    **{
        ("snntorch", kind): _snntorch
        for kind in ("Leaky", "RLeaky", "Lapicque", "Synaptic", "RSynaptic")
    },
    **{
        ("spikingjelly", kind): _spikingjelly for kind in ("IFNode", "LIFNode", "ParametricLIFNode")
    },
    **{("sinabs", kind): _sinabs for kind in ("LIF", "IAF", "LIFSqueeze", "IAFSqueeze")},
    **{("norse", kind): _norse for kind in ("LIFBoxCell", "IAFCell")},
}
"""Neuron modules by their framework and class."""


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingToolError("torch is not installed: pip install 'convexon[torch]'") from error
    return torch
