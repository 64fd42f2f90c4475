"""Programs of `torch.export`, as networks of real numbers: a neuron is known by what it computes.

The archive is read here, its graph as JSON, its tensors as bytes: `torch.export.load` would
unpickle what a stranger wrote. Of the graph only operators that are listed here are run, in
float64. Between neurons they must be linear, and the matrix is what they make of unit inputs. A
neuron is a module that compares, of whatever class: `convexon.interop.neuron_rule` finds what it
does by asking it.
"""

from __future__ import annotations

import math
import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from convexon.errors import ConvexonError, InputError, MissingToolError
from convexon.interop.neuron_rule import Values, rule_of
from convexon.snn.models.real import RealLayer, RealNetwork, stack_spikes
from convexon.snn.neuron import Reset
from convexon.store.untrusted import (
    LIMIT_VARIABLE,
    limit_bytes,
    open_regular,
    parse_json,
    printable,
)

_WEIGHTS = frozenset({"linear", "addmm", "mm", "matmul", "conv1d", "conv2d", "convolution"})
_COMPARES = frozenset({"gt", "ge", "lt", "le", "heaviside"})
_OTHERS = re.compile(
    "add|sub|rsub|mul|div|neg|reciprocal|sigmoid|exp|clamp|where|to|clone|detach|alias|contiguous|"
    "zeros|ones|full|new_zeros|new_ones|zeros_like|ones_like|full_like|t|transpose|permute|view|reshape|_unsafe_view|flatten|"
    "unflatten|squeeze|unsqueeze|select|slice|expand|cat|stack|sum|mean|dropout|batch_norm|"
    "avg_pool1d|avg_pool2d|pad|constant_pad_nd|lift_fresh_copy|logical_not|bitwise_not"
)
_IGNORED = "_assert_tensor_metadata"
_FLOATS = {6: "<f2", 7: "<f4", 8: "<f8"}
_DTYPES = {**_FLOATS, 1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 12: "?"}
"""Types of tensors by their number in the archive."""

_MAX_NODES = 100_000
_DAMAGES = (
    *(ValueError, TypeError, AttributeError, LookupError, ArithmeticError, MemoryError),
    *(RuntimeError, EOFError, zipfile.BadZipFile, zlib.error),
)
"""What a damaged archive, or operators that do not fit each other, may raise."""


def read_exported(path: Path) -> RealNetwork:
    """Read the archive that ``torch.export.save`` wrote of a network over three steps or more.

    Raises
    ------
    InputError
        If the file is none, or what it computes has no counterpart; it names the module.
    ConvexonError
        If torch is not installed.
    """
    try:
        return _Program.read(path).network(printable(path.name))
    except OSError as error:
        told = error.strerror or error
        raise InputError(f"{path} cannot be read: {told}: give a program of torch.export") from None
    except ConvexonError as error:
        raise type(error)(f"{path}: {error}") from None
    except _DAMAGES as error:
        told = printable((str(error) or type(error).__name__).splitlines()[0])[:200]
        raise InputError(
            f"{path} is no program of torch.export that is known here: {told}"
        ) from None


@dataclass(frozen=True)
class _Ref:
    """A tensor by its name."""

    name: str


@dataclass(frozen=True)
class _Node:
    """One operator: what it reads and gives, and the calls of modules that it belongs to."""

    operator: str
    overload: str
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    gives: tuple[str, ...]
    stack: tuple[tuple[str, str], ...]  # of each module around it the call and the path
    reads: frozenset[str]


@dataclass
class _Calls:
    """The calls of one neuron: its nodes, call by call."""

    path: str
    keys: list[str] = field(default_factory=list)
    gives: list[set[str]] = field(default_factory=list)
    reads: list[set[str]] = field(default_factory=list)
    is_strict: bool = True
    current: list[str] = field(default_factory=list)
    state: list[str] = field(default_factory=list)
    spikes: list[str] = field(default_factory=list)

    def take(self, key: str, node: _Node) -> None:
        """Add a node to its call."""
        if key not in self.keys:
            self.keys.append(key)
            self.gives.append(set())
            self.reads.append(set())
        at = self.keys.index(key)
        self.gives[at].update(node.gives)
        self.reads[at].update(node.reads)
        self.is_strict &= node.operator not in ("ge", "le")


class _Program:
    """A graph of operators, with its tensors."""

    def __init__(self, content: Any, tensors: Mapping[str, Any]) -> None:
        self._torch = _torch()
        graph = content["graph_module"]["graph"]
        if len(graph["nodes"]) > _MAX_NODES:
            raise InputError(f"it must have at most {_MAX_NODES:,} operators")
        nodes = [_node(each) for each in graph["nodes"]]
        self._nodes = [each for each in nodes if each.operator != _IGNORED]
        self._shapes = {
            name: tuple(int(length["as_int"]) for length in meta["sizes"])
            for name, meta in graph["tensor_values"].items()
        }
        self._known, self._inputs = {}, []
        self._orders: dict[tuple[tuple[str, ...], frozenset[str]], list[_Node]] = {}
        for spec in content["graph_module"]["signature"]["input_specs"]:
            ((kind, value),) = spec.items()
            if kind == "user_input":
                self._inputs.append(str(value["arg"]["as_tensor"]["name"]))
            else:
                name = value.get("parameter_name") or value.get("buffer_name")
                name = name or value.get("tensor_constant_name")
                self._known[str(value["arg"]["name"])] = tensors[str(name)]
        self._live = set(self._inputs)  # what follows from the sample, and is no constant
        for node in self._nodes:
            if node.reads & self._live:
                self._live.update(node.gives)
        self._outputs = [str(each["as_tensor"]["name"]) for each in graph["outputs"]]
        if len(self._inputs) != 1:
            raise InputError(f"it must take one tensor, not {len(self._inputs)}")

    @classmethod
    def read(cls, path: Path) -> _Program:
        """Read the archive, within the limits on sizes."""
        with open_regular(path) as stream, zipfile.ZipFile(stream) as archive:
            entries = {each.filename: each for each in archive.infolist()}
            if sum(each.file_size for each in entries.values()) > limit_bytes():
                raise InputError(
                    f"it unpacks to more than {limit_bytes():,} bytes: raise {LIMIT_VARIABLE}"
                )
            name = next((each for each in entries if each.endswith("models/model.json")), None)
            if name is None:
                raise InputError("it must hold models/model.json, as torch.export.save writes it")
            head = name.removesuffix("models/model.json")
            tensors: dict[str, Any] = {}
            for kind, folder in (("weights", "weights"), ("constants", "constants")):
                config = f"{head}data/{folder}/model_{kind}_config.json"
                if config in entries:
                    for each, meta in _json(archive.read(config))["config"].items():
                        data = archive.read(f"{head}data/{folder}/{meta['path_name']}")
                        tensors[each] = _tensor(each, meta, data)
            return cls(_json(archive.read(name)), tensors)

    # -- what the graph computes -------------------------------------------------------------------

    def _sources(self, wanted: str, ends: set[str]) -> set[str]:
        """Which of ``ends`` a tensor is made of."""
        needed, found = {wanted}, set[str]()
        if wanted in ends:
            return {wanted}
        for node in reversed(self._nodes):
            if needed.intersection(node.gives):
                found |= node.reads & ends
                needed |= node.reads - ends
        return found

    def _run(self, wanted: Iterable[str], given: Mapping[str, Any]) -> list[Any]:
        """Compute tensors, where some are given."""
        aten, names = self._torch.ops.aten, list(wanted)
        values = {**self._known, **given}

        def value(argument: Any) -> Any:
            if isinstance(argument, list):
                return [value(each) for each in argument]
            return values[argument.name] if isinstance(argument, _Ref) else argument

        for node in self._order(tuple(names), frozenset(given)):
            overload = getattr(getattr(aten, node.operator), node.overload)
            keywords = {key: value(each) for key, each in node.keywords.items()}
            found = overload(*[value(each) for each in node.arguments], **keywords)
            if not isinstance(found, self._torch.Tensor) or found.numel() * 8 > limit_bytes():
                raise InputError(f"{node.gives[0]} must be one tensor, and not be too large")
            values[node.gives[0]] = found.double() if found.is_floating_point() else found
        return [values[name] for name in names]

    def _order(self, wanted: tuple[str, ...], given: frozenset[str]) -> list[_Node]:
        """The operators that tensors are made by, where some are given."""
        if (wanted, given) in self._orders:
            return self._orders[wanted, given]
        needed, found = set(wanted) - given, []
        for node in reversed(self._nodes):
            if needed.intersection(node.gives):
                found.append(node)
                needed |= node.reads - given
        self._orders[wanted, given] = found[::-1]
        return self._orders[wanted, given]

    def _full(self, name: str, numbers: Values) -> Any:
        """A tensor of the shape of ``name``, each of whose samples holds ``numbers``."""
        shape = self._shapes[name]
        one = self._torch.tensor(np.broadcast_to(numbers, (math.prod(shape[1:]),)).copy())
        return one.reshape(shape[1:]).expand(shape).clone()

    def _linear(self, source: str, wanted: str) -> tuple[Values, Values]:
        """Matrix, (inputs, outputs), and bias of what is made of one tensor."""
        shape = self._shapes[source]
        batch, size = shape[0], math.prod(shape[1:])
        n = math.prod(self._shapes[wanted][1:])
        if 8 * size * n > limit_bytes():
            raise InputError(f"a matrix of {size} x {n} is too large: raise {LIMIT_VARIABLE}")

        def apply(rows: Values) -> Values:
            done = []
            for begin in range(0, len(rows), batch):
                block = np.zeros((batch, size))
                part = rows[begin : begin + batch]
                block[: len(part)] = part
                given = {source: self._torch.tensor(block).reshape(shape)}
                done.append(self._run([wanted], given)[0].reshape(batch, -1)[: len(part)])
            return np.concatenate([np.asarray(each) for each in done])

        bias = apply(np.zeros((1, size)))[0]
        matrix = apply(np.eye(size)) - bias
        trial = np.linspace(-3, 5, size)[None]
        if not np.allclose(apply(trial), trial @ matrix + bias, rtol=1e-6, atol=1e-6):
            raise InputError(f"what is between {source} and {wanted} must be linear")
        return matrix, bias

    # -- the network -------------------------------------------------------------------------------

    def network(self, name: str) -> RealNetwork:
        """Neurons in a row, with what is linear between them."""
        neurons = self._neurons()
        start = self._steps()
        spikes = {each for neuron in neurons for each in neuron.spikes}
        ends = start | spikes | {each for neuron in neurons for each in neuron.state}
        row: list[_Calls] = []
        layers: list[RealLayer] = []
        below = start
        while len(row) < len(neurons):
            above = [
                (each, sources)
                for each in neurons
                if each not in row and (sources := self._sources(each.current[1], ends)) <= below
            ]
            if len(above) != 1 or len(above[0][1]) != 1:
                at = row[-1].path if row else "the input"
                raise InputError(f"{at} must be read by one module of neurons, and by nothing else")
            neuron, (source,) = above[0]
            layers.append(self._layer(neuron, *self._linear(source, neuron.current[1])))
            row.append(neuron)
            below = {neuron.spikes[1]}
        weights, biases = self._readout(row[-1], ends)
        self._require_same(layers, row, ends)
        return RealNetwork(
            layers=tuple(replace(each, weights=each.weights.astype(np.float32)) for each in layers),
            readout_weights=weights,
            readout_biases=biases,
            origin=f"{name}, a program of torch.export",
        )

    def _steps(self) -> set[str]:
        """The sample, or what is cut out of it for a step, as others read it."""
        cut = set(self._inputs)
        others = set[str]()
        for node in self._nodes:
            if node.operator in ("select", "slice") and node.reads <= cut:
                cut.update(node.gives)
            else:
                others |= node.reads
        return cut & others

    def _require_same(self, layers: list[RealLayer], row: list[_Calls], ends: set[str]) -> None:
        """The program itself must spike as the layers that were read do, at every step."""
        rng, (name,) = np.random.default_rng(0), self._inputs
        given = {name: self._torch.tensor(rng.normal(0, 2, self._shapes[name]))}
        sources = [self._sources(each, ends) for each in row[0].current]
        steps = self._run([each for found in sources for each in found], given)
        inputs, wanted = (
            np.stack([np.asarray(each).reshape(len(each), -1) for each in tensors], axis=1)
            for tensors in (steps, self._run(row[-1].spikes, given))
        )
        found = stack_spikes(layers, inputs)[-1]
        if found.shape != wanted.shape or (found != wanted).any():
            raise InputError("it must do the same at each step, and does not")

    def _neurons(self) -> list[_Calls]:
        """Modules that compare, and hold no weights."""
        holds: dict[str, set[str]] = {}
        for node in self._nodes:
            for _, path in node.stack:
                holds.setdefault(path, set()).add(node.operator)
        compares = {
            path for path, held in holds.items() if held & _COMPARES and not held & _WEIGHTS
        }
        neurons: dict[str, _Calls] = {}
        for node in self._nodes:
            inside = next((each for each in node.stack if each[1] in compares), None)
            if inside is not None:
                key, path = inside
                neurons.setdefault(path, _Calls(path)).take(key, node)
            elif node.operator in _COMPARES:
                raise InputError(
                    f"{node.gives[0]} compares outside of a module of neurons alone: give neurons "
                    "modules of their own"
                )
        if not neurons:
            raise InputError("it must have neurons: none of its modules compares")
        for neuron in neurons.values():
            self._connect(neuron)
        return list(neurons.values())

    def _connect(self, neuron: _Calls) -> None:
        """Find what comes in, the membrane and the spikes of each call."""
        n_steps = len(neuron.keys)
        if n_steps < 3:
            raise InputError(f"{neuron.path} must be called at three steps or more, not {n_steps}")
        within = set().union(*neuron.gives)
        outside = set(self._outputs)
        for node in self._nodes:
            if not within.intersection(node.gives):
                outside |= node.reads
        outside &= self._live
        for k in range(n_steps):
            fresh = (neuron.reads[k] - neuron.gives[k]) & self._live
            states = fresh & within
            currents = fresh - within
            if len(currents) != 1 or len(states) > 1 or (k and not states):
                raise InputError(
                    f"{neuron.path} must read one current and one membrane a step, not "
                    f"{len(currents)} and {len(states)}"
                )
            neuron.current += currents
            neuron.state += states
        for k in range(n_steps):
            spikes = (neuron.gives[k] & outside) - set(neuron.state)
            if k < n_steps - 1:
                if len(spikes) != 1:
                    raise InputError(f"{neuron.path} must give its spikes alone, a tensor a step")
                neuron.spikes += spikes
        # No step reads the last membrane, which may be returned: spikes are made as those before.
        made = {give: node.operator for node in self._nodes for give in node.gives}
        alike = made[neuron.spikes[-1]]
        last = (neuron.gives[-1] & outside) - set(neuron.state)
        neuron.spikes += sorted(last, key=lambda each: made[each] != alike)[:1]

    def _layer(self, neuron: _Calls, matrix: Values, bias: Values) -> RealLayer:
        """What a neuron does, found by asking it."""
        n = matrix.shape[1]

        def step(x: Values, v: Values, is_first: bool) -> tuple[Values, Values]:
            call = 0 if is_first else 1
            given = {neuron.current[call]: self._full(neuron.current[call], x)}
            if not is_first:
                given[neuron.state[0]] = self._full(neuron.state[0], v)
            found = self._run([neuron.spikes[call], neuron.state[call]], given)
            fired, left = (np.asarray(each.double()).reshape(-1)[:n] for each in found)
            return fired, left

        rule = rule_of(step, n, strict=neuron.is_strict, name=neuron.path)
        return RealLayer(
            name=neuron.path,
            weights=matrix * rule.gain,
            biases=bias * rule.gain + rule.offset,
            leak=np.clip(rule.leak, 0, 1),
            thresholds=rule.threshold,
            reset=rule.reset,
            strict=neuron.is_strict,
            late=rule.late and rule.reset is Reset.SUBTRACT,
        )

    def _responses(self, output: str, spikes: list[str], n: int) -> tuple[Values, Values, Values]:
        """An output without spikes, and what each neuron's adds in the first and second step."""
        rest = {each: self._full(each, np.zeros(n)) for each in spikes}
        silent = np.asarray(self._run([output], rest)[0])

        def of_step(name: str) -> Values:
            units = [{**rest, name: self._full(name, unit)} for unit in np.eye(n)]
            return np.array([np.asarray(self._run([output], each)[0]) - silent for each in units])

        return silent, of_step(spikes[0]), of_step(spikes[1])

    def _readout(self, last: _Calls, ends: set[str]) -> tuple[Values, Values]:
        """Weights and biases of one step: outputs are of each step, or their sum or mean."""
        for output in self._outputs:
            if self._sources(output, ends) != set(last.spikes):
                continue
            n, n_steps = math.prod(self._shapes[last.spikes[0]][1:]), len(last.spikes)
            silent, first, second = self._responses(output, last.spikes, n)
            batch = self._shapes[last.spikes[0]][0]
            if silent.shape[:1] == (batch,) and np.allclose(first, second):
                return first[:, 0].reshape(n, -1), silent[0].reshape(-1) / n_steps
            for axis in (0, 1):
                if silent.shape[axis : axis + 1] != (n_steps,):
                    continue
                one, two = np.take(first, 0, axis + 1), np.take(second, 1, axis + 1)
                if np.allclose(one, two) and np.allclose(first.sum(axis + 1), one):
                    told = np.take(silent, 0, axis)
                    return one[:, 0].reshape(n, -1), told[0].reshape(-1)
        raise InputError(
            "it must return what its last neurons give, of each step or their sum or mean"
        )


def _json(data: bytes) -> Any:
    """Parse JSON, less what is of several lines."""
    return parse_json(data.decode(), without=("stack_trace", "guards_code"))


def _tensor(name: str, meta: Mapping[str, Any], data: bytes) -> Any:
    """A tensor of its bytes."""
    if meta["use_pickle"]:
        raise InputError(f"{name} is kept as a pickle, which is not read: save plain tensors")
    shape = tuple(int(length["as_int"]) for length in meta["tensor_meta"]["sizes"])
    strides = tuple(int(length["as_int"]) for length in meta["tensor_meta"]["strides"])
    kind = _DTYPES.get(meta["tensor_meta"]["dtype"])
    if kind is None:
        raise InputError(f"{name} must be of numbers that are no complex ones")
    array = np.zeros(0, dtype=kind) if 0 in shape else np.frombuffer(data, dtype=kind)
    whole = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    if array.size != math.prod(shape) or any(
        stride != step
        for stride, step, length in zip(strides, whole, shape, strict=True)
        if length > 1
    ):
        raise InputError(f"{name} must be kept whole: make it contiguous before the export")
    floats = meta["tensor_meta"]["dtype"] in _FLOATS
    wide = array.astype(np.float64) if floats else array.copy()
    return _torch().from_numpy(wide.reshape(shape))


def _node(content: Mapping[str, Any]) -> _Node:
    """One operator of the graph."""
    target = str(content["target"])
    head, _, name = target.partition("torch.ops.aten.")
    operator, _, overload = name.partition(".")
    known = operator in (*_WEIGHTS, *_COMPARES, _IGNORED) or _OTHERS.fullmatch(operator)
    if head or not known:
        raise InputError(f"{target} is no operator that is known here")
    arguments, keywords = [], {}
    for each in content["inputs"]:
        ((kind, value),) = each["arg"].items()
        if kind in ("as_device", "as_layout", "as_memory_format"):
            continue
        if each["kind"] == 1:
            arguments.append(_argument(kind, value))
        elif each["name"] != "pin_memory":
            keywords[str(each["name"])] = _argument(kind, value)
    if operator == "to":  # devices are one here
        kinds = [each for each in arguments if not isinstance(each, _Ref | bool)]
        operator, overload = ("to", "dtype") if kinds else ("alias", "default")
        arguments, keywords = [arguments[0], *kinds[:1]], {}
    gives = tuple(str(each["as_tensor"]["name"]) for each in content["outputs"])
    calls = [each.split(",") for each in content["metadata"].get("nn_module_stack", "").split(";")]
    stack = tuple((each[0], each[1]) for each in calls if len(each) >= 3 and each[1])
    flat = [*arguments, *keywords.values()]
    held = [each for value in flat for each in (value if isinstance(value, list) else [value])]
    reads = frozenset(each.name for each in held if isinstance(each, _Ref))
    return _Node(operator, overload, tuple(arguments), keywords, gives, stack, reads)


def _argument(kind: str, value: Any) -> Any:
    """An argument of an operator."""
    if kind == "as_none":
        return None
    if kind == "as_tensor":
        return _Ref(str(value["name"]))
    if kind == "as_tensors":
        return [_Ref(str(each["name"])) for each in value]
    if kind == "as_scalar_type":
        torch = _torch()
        return {12: torch.bool, 5: torch.int64}.get(value, torch.float64)
    if kind == "as_ints" and math.prod(map(abs, value)) * 8 > limit_bytes():
        raise InputError(f"a tensor of {value} is too large: raise {LIMIT_VARIABLE}")
    if kind in ("as_int", "as_float", "as_bool", "as_ints", "as_floats", "as_string"):
        return value
    raise InputError(f"{kind} is no argument that is known here")


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingToolError("torch is not installed: pip install 'convexon[torch]'") from error
    return torch
