"""NIR, the neuromorphic intermediate representation, as networks of real numbers.

A graph is read from its input to its output. Linear nodes between two spiking ones, in a row or
side by side, are one map. A spiking node that reads itself has lateral weights; what it reads from
further below than the layer beneath it passes the layers between (`convexon.interop.skips`).
Whatever has no counterpart is refused by the node's name: nothing is dropped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convexon.errors import ConvexonError, InputError, MissingToolError
from convexon.interop.dynamics import INTEGRATORS, Node, Profile
from convexon.interop.linear_nodes import LINEAR, linear, numbers_of, spread_over
from convexon.interop.profiles import PROFILES
from convexon.interop.skips import Reading, in_a_row, in_order
from convexon.interop.synapses import Synapses, require_size
from convexon.snn.models.real import Real, RealLayer, RealNetwork
from convexon.snn.neuron import ReadoutMode, reading_of
from convexon.store.untrusted import LIMIT_VARIABLE, limit_bytes, open_regular, printable
from convexon.tools.process import survives

if TYPE_CHECKING:
    import nir

DEFAULT_PROFILE = "nir-euler"

SPIKING = ("IF", "LIF", "CubaLIF", "Threshold")
LAYERS = (*SPIKING, *INTEGRATORS)
STRUCTURE = ("Input", "Output", "NIRGraph")
REFUSED = {
    "Delay": "the step of the delayed spikes is not stated by NIR",
}
"""The other node types of NIR, each with the reason why it is refused."""

MAX_NODES = 10_000
MAX_NESTING = 32


def read_nir(
    path: Path,
    *,
    profile: str = DEFAULT_PROFILE,
    dt: float | None = None,
    integrators: str = ReadoutMode.MEMBRANE.value,
) -> RealNetwork:
    """Read a NIR file; raises as `from_nir`, and if the file is none."""
    nir = nir_package()
    try:
        open_regular(path).close()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}: give a NIR graph") from None

    def read() -> Any:
        _require_within_limit(path)
        return nir.read(path)

    if not survives(read):
        raise InputError(f"{path} is damaged: the HDF5 library does not live through it")
    try:
        graph = read()
    except Exception as error:  # what a broken file makes h5py raise is not documented
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} is no NIR graph that nir {nir.version} reads: {told}") from error
    try:
        name = printable(path.name)
        return from_nir(graph, profile=profile, dt=dt, integrators=integrators, name=name)
    except ConvexonError:
        raise
    except (TypeError, ValueError, ArithmeticError, LookupError, MemoryError) as error:
        told = printable(str(error))[:200]
        raise InputError(f"{path} has nodes whose parameters do not fit: {told}") from error


def _require_within_limit(path: Path) -> None:
    """Raise `InputError` if the arrays that a file declares are more than the limit."""
    import h5py

    sizes: list[int] = []
    with h5py.File(path) as file:
        file.visititems(lambda _, item: sizes.append(int(getattr(item, "nbytes", 0))))
    if sum(sizes) > limit_bytes():
        raise InputError(
            f"its arrays take more than {limit_bytes():,} bytes: raise {LIMIT_VARIABLE}"
        )


def from_nir(
    graph: nir.NIRGraph,
    *,
    profile: str = DEFAULT_PROFILE,
    dt: float | None = None,
    integrators: str = ReadoutMode.MEMBRANE.value,
    name: str = "",
) -> RealNetwork:
    """Return a graph as a network of real numbers.

    Parameters
    ----------
    graph : nir.NIRGraph
    profile : str
        Whose reading of spiking nodes counts: a name of `convexon.interop.profiles.PROFILES`.
    dt : float, optional
        The step in seconds. By default what the profile's tool takes: for most ``tau / r`` where
        that is one number for all leaky nodes, as tools write it.
    integrators : str
        What is read where the graph ends in leaky integrators: of `convexon.snn.neuron.READINGS`.
    name : str
        What messages call the graph.

    Raises
    ------
    InputError
        If a node, a parameter or a connection has no counterpart, or the step is not known.
    """
    if profile not in PROFILES:
        raise InputError(f"profile must be one of {', '.join(PROFILES)}, not {profile!r}")
    of_integrators = reading_of(integrators)
    flat = _flattened(graph)
    reading = PROFILES[profile]
    step = _step(flat, reading, dt)
    order = _order(flat)
    if len(order) == 1:
        raise InputError("the graph must have a spiking node between its input and its output")
    readings = [_reading(flat, each, reading, step) for each in order[1:]]
    came = _map(flat, flat.the("Output"))
    layers, weights = in_a_row(readings, (order[0], _shape_of(flat, order[0])), came.parts)
    biases = sum(came.biases.values()) if came.biases else np.zeros(weights.shape[1])
    ends_in_spikes = type(flat.nodes[order[-1]]).__name__ in SPIKING
    return RealNetwork(
        layers=layers,
        readout_weights=weights,
        readout_biases=np.asarray(biases),
        readout_mode=ReadoutMode.COUNT if ends_in_spikes else of_integrators,
        origin=f"{name or 'a NIR graph'} by {profile}, dt = {step:g} s",
    )


@dataclass
class _Flat:
    """A graph without sub-graphs.

    Members
    -------
    nodes : dict of str to node
    into, out_of : dict of str to list of str
        What a node reads, and what reads it.
    maps : dict
        Maps that were composed already.
    """

    nodes: dict[str, Any]
    into: dict[str, list[str]]
    out_of: dict[str, list[str]]
    maps: dict[str, _Map] = field(default_factory=dict)

    def the(self, kind: str) -> str:
        """Name of the only node of a kind."""
        found = [name for name, node in self.nodes.items() if type(node).__name__ == kind]
        if len(found) != 1:
            raise InputError(f"the graph must have one {kind} node, not {len(found)}")
        return found[0]


def _flattened(graph: nir.NIRGraph) -> _Flat:
    """Inline sub-graphs, and look at the kind of every node."""
    nodes: dict[str, Any] = {}
    edges: list[tuple[str, str]] = []

    def inline(inner: nir.NIRGraph, prefix: str, nesting: int) -> None:
        if nesting > MAX_NESTING:
            raise InputError(f"graphs must nest at most {MAX_NESTING} deep")
        for name, node in inner.nodes.items():
            kind = type(node).__name__
            if kind in REFUSED:
                raise InputError(f"{prefix}{name} is a {kind}: {REFUSED[kind]}")
            if kind not in (*LAYERS, *LINEAR, *STRUCTURE):
                raise InputError(f"{prefix}{name} is a {kind}, which is not known here")
            if kind == "NIRGraph":
                inline(node, f"{prefix}{name}.", nesting + 1)
            else:
                nodes[prefix + name] = node
            if len(nodes) > MAX_NODES:
                raise InputError(f"the graph must have at most {MAX_NODES} nodes")
        for source, target in inner.edges:
            for end in (source, target):
                if end not in inner.nodes:
                    raise InputError(f"an edge names {prefix}{end}, which is not there")
            edges.append(
                (_end(inner, prefix, source, "Output"), _end(inner, prefix, target, "Input"))
            )

    inline(graph, "", 0)
    into: dict[str, list[str]] = {name: [] for name in nodes}
    out_of: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in dict.fromkeys(edges):
        into[target].append(source)
        out_of[source].append(target)
    # Inside, the ends of a sub-graph only hand on.
    for name in [n for n, each in nodes.items() if type(each).__name__ in ("Input", "Output")]:
        if into[name] and out_of[name]:
            for source in into[name]:
                out_of[source] = [t for t in out_of[source] if t != name] + out_of[name]
            for target in out_of[name]:
                into[target] = [s for s in into[target] if s != name] + into[name]
            del nodes[name], into[name], out_of[name]
    return _Flat(nodes, into, out_of)


def _end(graph: nir.NIRGraph, prefix: str, name: str, kind: str) -> str:
    """Where an edge really ends: at a node, or at the input or output of a sub-graph."""
    node = graph.nodes[name]
    if type(node).__name__ != "NIRGraph":
        return prefix + name
    ends = [each for each, inner in node.nodes.items() if type(inner).__name__ == kind]
    if len(ends) != 1:
        raise InputError(f"the sub-graph {prefix}{name} must have one {kind} node")
    return f"{prefix}{name}.{ends[0]}"


def _order(flat: _Flat) -> list[str]:
    """Input, then the layers, each behind those that it reads."""
    reads = {
        name: {source for source in _map(flat, name).parts if source != name}
        for name, node in flat.nodes.items()
        if type(node).__name__ in LAYERS
    }
    order = in_order(reads, flat.the("Input"))
    output = flat.the("Output")
    for name in order[1:]:
        kind = type(flat.nodes[name]).__name__
        if kind not in INTEGRATORS:
            continue
        if flat.out_of[name] != [output] or set(_map(flat, output).parts) != {name}:
            raise InputError(
                f"{name} is a {kind}, a leaky integrator without spikes: it must be the last, read "
                "by the output alone"
            )
    return order


@dataclass(frozen=True)
class _Map:
    """What comes out of a node that is linear, by the layers that it reads.

    Members
    -------
    parts : dict of str to Synapses
    biases : dict of str to float array
        By the source with which they come: of a layer itself, they come with its first spikes.
    shape : tuple of int
    """

    parts: dict[str, Synapses]
    biases: dict[str, Real]
    shape: tuple[int, ...]


def _map(flat: _Flat, name: str) -> _Map:
    """Sum of what a node reads, as maps from layers; of a spiking node, what flows into it."""
    if name in flat.maps:
        return flat.maps[name]
    # Walked with a list, not by recursion: a file decides how long the rows are.
    waiting, open_ = [name], set()
    while waiting:
        each = waiting[-1]
        missing = [s for s in flat.into[each] if not _is_source(flat, s) and s not in flat.maps]
        if not missing:
            flat.maps[each] = _summed(flat, each)
            open_.discard(each)
            waiting.pop()
        elif each in open_:
            raise InputError(f"{each} reads itself without a spiking node between")
        else:
            open_.add(each)
            waiting.extend(missing)
    return flat.maps[name]


def _is_source(flat: _Flat, name: str) -> bool:
    return type(flat.nodes[name]).__name__ in (*LAYERS, "Input")


def _summed(flat: _Flat, name: str) -> _Map:
    """Add up what the edges into a node carry."""
    parts: dict[str, Synapses] = {}
    biases: dict[str, Real] = {}
    if not flat.into[name]:
        raise InputError(f"{name} must be reached from the input")
    shape = _through(flat, flat.into[name][0]).shape
    for source in flat.into[name]:
        came = _through(flat, source)
        if came.shape != shape:
            raise InputError(f"edges into {name} must have one shape, not {shape} and {came.shape}")
        for key, part in came.parts.items():
            parts[key] = parts[key].plus(part) if key in parts else part
        for key, bias in came.biases.items():
            biases[key] = biases[key] + bias if key in biases else bias
    return _Map(parts, biases, shape)


def _through(flat: _Flat, name: str) -> _Map:
    """What a node hands on: a layer its own spikes, a linear node its map of what it reads."""
    node = flat.nodes[name]
    if _is_source(flat, name):
        shape = _shape_of(flat, name)
        return _Map({name: Synapses.of_layer(shape, name)}, {}, shape)
    came = flat.maps[name]
    node_map = linear(name, node, came.shape)
    shape = node_map.apply(np.zeros((1, *came.shape), dtype=np.float64)).shape[1:]

    def apply(rows: Real) -> Real:
        require_size(name, len(rows), math.prod(shape))
        return node_map.apply(rows.reshape(-1, *came.shape)).reshape(len(rows), -1)

    parts = {key: part.then(node_map.operation, apply) for key, part in came.parts.items()}
    biases = {key: apply(bias.reshape(1, -1)).reshape(-1) for key, bias in came.biases.items()}
    offset = node_map.bias
    if offset is not None:
        full = spread_over(offset, shape, f"bias of {name}")
        # The bias of a lateral branch comes with its spikes; any other is there from the start.
        key = next(iter(came.parts)) if len(came.parts) == 1 else flat.the("Input")
        biases[key] = biases[key] + full if key in biases else full
    return _Map(parts, biases, shape)


def _shape_of(flat: _Flat, name: str) -> tuple[int, ...]:
    """Shape of what an input or a layer hands on."""
    node = flat.nodes[name]
    types = node.input_type if type(node).__name__ == "Input" else node.output_type
    shape = tuple(int(length) for length in next(iter(types.values())))
    if not shape or min(shape) < 1:
        raise InputError(f"{name} must have lengths of at least 1, not {shape}")
    return shape


def _reading(flat: _Flat, name: str, profile: Profile, dt: float) -> Reading:
    """The layer of one spiking node, with all that is linear before it."""
    came = _map(flat, name)
    node = flat.nodes[name]
    n = math.prod(came.shape)
    found = profile.dynamics(_node(name, node, came.shape), dt)
    lateral = came.parts.get(name)
    if lateral is not None:
        profile.require_lateral(name, bias=bool(np.any(came.biases.get(name, 0.0))))
    others = [bias for key, bias in came.biases.items() if key != name]
    biases = found.gain * np.sum(others, axis=0) + found.offset if others else found.offset
    profile.require_biases(name, biases)
    parts = {key: each.scaled(found.gain) for key, each in came.parts.items() if key != name}
    if (unit := found.weight_unit) is not None:
        parts = {
            key: each.mapped(lambda weight: np.trunc(weight / unit) * unit)
            for key, each in parts.items()
        }
    layer = RealLayer(
        name=name,
        weights=next(iter(parts.values())).weights,
        biases=biases,
        lateral=None if lateral is None else lateral.matrix * found.gain,
        lateral_biases=found.gain * came.biases[name] if name in came.biases else None,
        leak=np.broadcast_to(found.leak, (n,)),
        thresholds=found.thresholds,
        reset=found.reset,
        strict=found.strict,
        late=found.late,
        several=found.several,
        delayed=found.delayed,
        unit=found.unit,
        floor=found.floor,
        synapse=found.synapse,
        resets=found.resets,
    )
    return Reading(layer=layer, parts=parts, shape=_shape_of(flat, name))


_PARAMETERS = ("tau", "tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in")


def _node(name: str, node: Any, shape: tuple[int, ...]) -> Node:
    """A spiking node with one value a neuron of each of its parameters."""
    values = {}
    for parameter in (*_PARAMETERS, "threshold"):
        if getattr(node, parameter, None) is None:
            continue
        given = numbers_of(name, node, parameter).astype(np.float64)
        values[parameter] = spread_over(given, shape, f"{parameter} of {name}")
    for parameter in ("tau", "tau_syn", "tau_mem"):
        if parameter in values and (values[parameter] <= 0).any():
            raise InputError(f"{parameter} of {name} must be positive")
    return Node(name=name, kind=type(node).__name__, values=values)


def _step(flat: _Flat, profile: Profile, dt: float | None) -> float:
    """The step in seconds: what was asked for, else what the tool takes."""
    if dt is not None:
        if not (math.isfinite(dt) and dt > 0):
            raise InputError(f"dt must be a positive number of seconds, not {dt!r}")
        return dt
    taus, scales = [np.zeros(0)], [np.zeros(0)]
    for node in flat.nodes.values():
        for name in ("tau", "tau_mem"):
            if getattr(node, name, None) is not None:
                tau, r = (np.asarray(each, np.float64) for each in (getattr(node, name), node.r))
                taus.append(np.ravel(tau + 0.0 * r))
                scales.append(np.ravel(r + 0.0 * tau))
    return profile.step(np.concatenate(taus), np.concatenate(scales))


def nir_package() -> Any:
    """Return the package nir; raises `MissingToolError` where it is not installed."""
    try:
        import nir
    except ImportError as error:
        raise MissingToolError("nir is not installed: pip install 'convexon[nir]'") from error
    return nir
