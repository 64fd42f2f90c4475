"""Programs of `torch.export`, as networks of real numbers: a neuron is known by what it computes.

The archive is read without pickle (`convexon.interop.pytorch.exported_file`), and its operators are
run in float64. Between neurons they must be linear, and the matrix is what they make of unit
inputs. A neuron is a module that compares, of whatever class: `convexon.interop.neuron_rule` finds
what it does by asking it.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from convexon.errors import ConvexonError, InputError
from convexon.interop.neuron_rule import Values, rule_of
from convexon.interop.pytorch.exported_file import (
    COMPARES,
    IGNORED,
    WEIGHTS,
    Node,
    Ref,
    node_of,
    read_archive,
    torch_package,
)
from convexon.interop.skips import Reading, in_a_row
from convexon.interop.synapses import Synapses, summed
from convexon.snn.models.real import RealLayer, RealNetwork, stack_spikes
from convexon.snn.neuron import Reset
from convexon.store.untrusted import LIMIT_VARIABLE, limit_bytes, printable

_SAMPLE = "the sample"
"""What calls the sample, or what is cut out of it for a step, among the names of modules."""

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
        return _Program(*read_archive(path)).network(printable(path.name))
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

    def take(self, key: str, node: Node) -> None:
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
        self._torch = torch_package()
        graph = content["graph_module"]["graph"]
        if len(graph["nodes"]) > _MAX_NODES:
            raise InputError(f"it must have at most {_MAX_NODES:,} operators")
        nodes = [node_of(each) for each in graph["nodes"]]
        self._nodes = [each for each in nodes if each.operator != IGNORED]
        self._shapes = {
            name: tuple(int(length["as_int"]) for length in meta["sizes"])
            for name, meta in graph["tensor_values"].items()
        }
        self._known, self._inputs = {}, []
        self._orders: dict[tuple[tuple[str, ...], frozenset[str]], list[Node]] = {}
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
            return values[argument.name] if isinstance(argument, Ref) else argument

        for node in self._order(tuple(names), frozenset(given)):
            overload = getattr(getattr(aten, node.operator), node.overload)
            keywords = {key: value(each) for key, each in node.keywords.items()}
            found = overload(*[value(each) for each in node.arguments], **keywords)
            if not isinstance(found, self._torch.Tensor) or found.numel() * 8 > limit_bytes():
                raise InputError(f"{node.gives[0]} must be one tensor, and not be too large")
            values[node.gives[0]] = found.double() if found.is_floating_point() else found
        return [values[name] for name in names]

    def _order(self, wanted: tuple[str, ...], given: frozenset[str]) -> list[Node]:
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

    def _size(self, name: str) -> int:
        """Numbers of one sample of a tensor."""
        return math.prod(self._shapes[name][1:])

    def _full(self, name: str, numbers: Values) -> Any:
        """A tensor of the shape of ``name``, each of whose samples holds ``numbers``."""
        shape = self._shapes[name]
        one = self._torch.tensor(np.broadcast_to(numbers, (math.prod(shape[1:]),)).copy())
        return one.reshape(shape[1:]).expand(shape).clone()

    def _linear(self, source: str, wanted: str, others: Mapping[str, Any]) -> tuple[Values, Values]:
        """Matrix, (inputs, outputs), and bias of what is made of one tensor beside ``others``."""
        shape = self._shapes[source]
        batch, size = shape[0], math.prod(shape[1:])
        n = self._size(wanted)
        if 8 * size * n > limit_bytes():
            raise InputError(f"a matrix of {size} x {n} is too large: raise {LIMIT_VARIABLE}")

        def apply(rows: Values) -> Values:
            done = []
            for begin in range(0, len(rows), batch):
                block = np.zeros((batch, size))
                part = rows[begin : begin + batch]
                block[: len(part)] = part
                given = {**others, source: self._torch.tensor(block).reshape(shape)}
                done.append(self._run([wanted], given)[0].reshape(batch, -1)[: len(part)])
            return np.concatenate([np.asarray(each) for each in done])

        bias = apply(np.zeros((1, size)))[0]
        matrix = apply(np.eye(size)) - bias
        trial = np.linspace(-3, 5, size)[None]
        if not np.allclose(apply(trial), trial @ matrix + bias, rtol=1e-6, atol=1e-6):
            raise InputError(f"what is between {source} and {wanted} must be linear")
        return matrix, bias

    def _current(self, wanted: str, sources: list[str]) -> tuple[dict[str, Values], Values]:
        """What a tensor is of several: a matrix of each, and a bias."""
        sizes = {each: self._size(each) for each in sources}
        rest = {each: self._full(each, np.zeros(size)) for each, size in sizes.items()}
        found = {each: self._linear(each, wanted, rest) for each in sources}
        bias = found[sources[0]][1]
        trial = {each: np.linspace(-3, 5, size) for each, size in sizes.items()}
        total = bias + np.sum([trial[each] @ found[each][0] for each in sources], axis=0)
        given = {each: self._full(each, values) for each, values in trial.items()}
        computed = np.asarray(self._run([wanted], given)[0]).reshape(-1, len(bias))
        if not np.allclose(computed, total, rtol=1e-6, atol=1e-6):
            told = " and ".join(sources)
            raise InputError(f"what is between {told} and {wanted} must be linear")
        return {each: matrix for each, (matrix, _) in found.items()}, bias

    # -- the network -------------------------------------------------------------------------------

    def network(self, name: str) -> RealNetwork:
        """Neurons in a row, with what is linear between them."""
        neurons = self._neurons()
        start = self._steps()
        spikes = {each for neuron in neurons for each in neuron.spikes}
        ends = start | spikes | {each for neuron in neurons for each in neuron.state}
        known = dict.fromkeys(start, _SAMPLE)  # names of sources, by the tensors of a step
        row: list[_Calls] = []
        readings: list[Reading] = []
        while len(row) < len(neurons):
            above = [
                (each, sources)
                for each in neurons
                if each not in row
                and (sources := self._sources(each.current[1], ends))
                and sources <= known.keys()
            ]
            if not above:
                at = row[-1].path if row else "the input"
                raise InputError(
                    f"{at} must be read by a module of neurons, which reads nothing but what those "
                    "below it give in the same step"
                )
            neuron, sources = above[0]
            readings.append(self._reading(neuron, {each: known[each] for each in sorted(sources)}))
            row.append(neuron)
            known[neuron.spikes[1]] = neuron.path
        output, biases = self._readout(row, ends)
        (size,) = {self._size(each) for each in start}
        layers, weights = in_a_row(readings, (_SAMPLE, (size,)), output)
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

    def _require_same(
        self, layers: tuple[RealLayer, ...], row: list[_Calls], ends: set[str]
    ) -> None:
        """The program itself must spike as the layers that were read do, at every step."""
        rng, (name,) = np.random.default_rng(0), self._inputs
        values = rng.normal(0, 2, self._shapes[name])
        if layers[0].relays:  # spikes alone pass a layer
            values = (values > 0).astype(np.float64)
        given = {name: self._torch.tensor(values)}
        sources = [self._sources(each, ends) for each in row[0].current]
        steps = self._run([each for found in sources for each in found], given)
        inputs, *wanted = (
            np.stack([np.asarray(each).reshape(len(each), -1) for each in tensors], axis=1)
            for tensors in (steps, *(self._run(each.spikes, given) for each in row))
        )
        for found, its in zip(stack_spikes(layers, inputs), wanted, strict=True):
            own = found[..., : its.shape[-1]]
            if own.shape != its.shape or (own != its).any():
                raise InputError("it must do the same at each step, and does not")

    def _neurons(self) -> list[_Calls]:
        """Modules that compare, and hold no weights."""
        holds: dict[str, set[str]] = {}
        for node in self._nodes:
            for _, path in node.stack:
                holds.setdefault(path, set()).add(node.operator)
        compares = {path for path, held in holds.items() if held & COMPARES and not held & WEIGHTS}
        neurons: dict[str, _Calls] = {}
        for node in self._nodes:
            inside = next((each for each in node.stack if each[1] in compares), None)
            if inside is not None:
                key, path = inside
                neurons.setdefault(path, _Calls(path)).take(key, node)
            elif node.operator in COMPARES:
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

    def _reading(self, neuron: _Calls, sources: Mapping[str, str]) -> Reading:
        """What a neuron reads of tensors, by the names of what gives them, and what it does."""
        matrices, bias = self._current(neuron.current[1], list(sources))
        n = len(bias)

        def step(x: Values, v: Values, is_first: bool) -> tuple[Values, Values]:
            call = 0 if is_first else 1
            given = {neuron.current[call]: self._full(neuron.current[call], x)}
            if not is_first:
                given[neuron.state[0]] = self._full(neuron.state[0], v)
            found = self._run([neuron.spikes[call], neuron.state[call]], given)
            fired, left = (np.asarray(each.double()).reshape(-1)[:n] for each in found)
            return fired, left

        rule = rule_of(step, n, strict=neuron.is_strict, name=neuron.path)
        parts = summed(
            {name: Synapses(matrices[each] * rule.gain)} for each, name in sources.items()
        )
        layer = RealLayer(
            name=neuron.path,
            weights=next(iter(parts.values())).weights,
            biases=bias * rule.gain + rule.offset,
            leak=np.clip(rule.leak, 0, 1),
            thresholds=rule.threshold,
            reset=rule.reset,
            strict=neuron.is_strict,
            late=rule.late and rule.reset is Reset.SUBTRACT,
        )
        return Reading(layer=layer, parts=parts, shape=(n,))

    def _responses(
        self, output: str, row: list[_Calls], place: int
    ) -> tuple[Values, Values, Values]:
        """An output without spikes, and what those of a layer add in the first and second step."""
        rest = {
            name: self._full(name, np.zeros(self._size(name)))
            for each in row
            for name in each.spikes
        }
        silent = np.asarray(self._run([output], rest)[0])

        def of_step(name: str) -> Values:
            units = [{**rest, name: self._full(name, unit)} for unit in np.eye(self._size(name))]
            return np.array([np.asarray(self._run([output], each)[0]) - silent for each in units])

        first, second = row[place].spikes[:2]
        return silent, of_step(first), of_step(second)

    def _readout(self, row: list[_Calls], ends: set[str]) -> tuple[dict[str, Synapses], Values]:
        """Weights and biases of one step: outputs are of each step, or their sum or mean."""
        for output in self._outputs:
            sources = self._sources(output, ends)
            read = [each for each in row if sources.intersection(each.spikes)]
            if not read or sources != {name for each in read for name in each.spikes}:
                continue
            found = [self._step_of(output, read, place) for place in range(len(read))]
            if any(each is None for each in found):
                continue
            steps = [each for each in found if each is not None]
            parts = {
                each.path: Synapses(weights) for each, (weights, _) in zip(read, steps, strict=True)
            }
            return parts, steps[0][1]
        raise InputError(
            "it must return what its last neurons give, of each step or their sum or mean"
        )

    def _step_of(self, output: str, read: list[_Calls], place: int) -> tuple[Values, Values] | None:
        """Weights of one layer's spikes in an output of one step, and its bias; None of others."""
        spikes = read[place].spikes
        n, n_steps = self._size(spikes[0]), len(spikes)
        silent, first, second = self._responses(output, read, place)
        batch = self._shapes[spikes[0]][0]
        if silent.shape[:1] == (batch,) and np.allclose(first, second):
            return first[:, 0].reshape(n, -1), silent[0].reshape(-1) / n_steps
        for axis in (0, 1):
            if silent.shape[axis : axis + 1] != (n_steps,):
                continue
            one, two = np.take(first, 0, axis + 1), np.take(second, 1, axis + 1)
            if np.allclose(one, two) and np.allclose(first.sum(axis + 1), one):
                told = np.take(silent, 0, axis)
                return one[:, 0].reshape(n, -1), told[0].reshape(-1)
        return None
