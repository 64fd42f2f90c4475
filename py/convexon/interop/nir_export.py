"""Networks as NIR graphs, for other tools to read by a stated profile.

What is written is read back by the same profile, and refused where that is not the network: a file
that another tool would take for something else never comes to be. A network of integers is first
one of real numbers with the same spikes: a spike at ``u >= theta`` is one at ``u > theta - 1/2``,
and integers below 2**24 are exact in the float32 of other tools.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convexon.errors import InputError
from convexon.interop.dynamics import Dynamics, Node, Profile
from convexon.interop.nir import DEFAULT_PROFILE, from_nir, nir_package
from convexon.interop.profiles import PROFILES
from convexon.snn.convolution import Convolution
from convexon.snn.fixed import Interval
from convexon.snn.models.real import Real, RealLayer, RealNetwork
from convexon.snn.network import FixedPointNetwork, Layer
from convexon.snn.neuron import Feature, Leak, ReadoutMode, Reset
from convexon.snn.ranges import LayerRanges
from convexon.store.artefact import atomic_write
from convexon.tools.scratch import Scratch

if TYPE_CHECKING:
    import nir

DEFAULT_DT = 1e-3
"""Step in seconds, where neither the caller nor the profile's tool has one."""

_MOST = 1 << 24
"""Integers up to here are exact in float32."""


class LeakExport(Enum):
    """What becomes of the integers' leak, whose product is rounded down.

    ``EXACT``: a leak that rounds is refused. ``REAL``: it becomes its real factor, and a membrane
    within a rounding of its threshold may decide otherwise.
    """

    EXACT = "exact"
    REAL = "real"


def to_nir(
    network: RealNetwork | FixedPointNetwork,
    *,
    profile: str = DEFAULT_PROFILE,
    dt: float | None = None,
    leak: LeakExport = LeakExport.EXACT,
) -> nir.NIRGraph:
    """Return a network as a graph that a profile's tool reads as the same network.

    Parameters
    ----------
    network : RealNetwork or FixedPointNetwork
    profile : str
        The tool that is to read it: a name of `convexon.interop.profiles.PROFILES`.
    dt : float, optional
        The step in seconds; by default the tool's own, else `DEFAULT_DT`.
    leak : LeakExport
        For a network of integers.

    Raises
    ------
    InputError
        If the profile cannot say what a layer, or the readout, does; it names both.
    MissingToolError
        If nir is not installed.
    """
    if profile not in PROFILES:
        raise InputError(f"profile must be one of {', '.join(PROFILES)}, not {profile!r}")
    reading = PROFILES[profile]
    step = reading.dt or DEFAULT_DT if dt is None else dt
    least: list[Real | None] = []
    if isinstance(network, FixedPointNetwork):
        least = [_least(ranges) for ranges in network.ranges[0]]
        network = _as_real(network, reading, leak)
    integrators = {}
    if network.reads_membranes:
        integrators = {"integrators": network.readout_mode.value}
    elif network.readout_mode is not ReadoutMode.COUNT:
        raise InputError(
            f"the readout weighs {network.readout_mode.value}, and NIR has nothing but sums over "
            "the steps and membranes: export a network whose readout counts spikes"
        )
    graph = _graph(network, reading, profile, step)
    back = from_nir(graph, profile=profile, dt=step, **integrators)
    least = least or [None] * len(network.layers)
    for layer, found, own in zip(network.layers, back.layers, least, strict=True):
        _require_same(layer, found, own, profile)
    return graph


def write_nir(
    network: RealNetwork | FixedPointNetwork,
    path: Path,
    *,
    profile: str = DEFAULT_PROFILE,
    dt: float | None = None,
    leak: LeakExport = LeakExport.EXACT,
) -> Path:
    """Write `to_nir` to a file; raises as it does, and `ArtefactError` if it cannot be written."""
    graph = to_nir(network, profile=profile, dt=dt, leak=leak)
    with Scratch() as folder:
        nir_package().write(folder / "network.nir", graph)
        atomic_write(path, (folder / "network.nir").read_bytes())
    return path


def _as_real(card: FixedPointNetwork, profile: Profile, leak: LeakExport) -> RealNetwork:
    """The network of real numbers whose spikes are the card's."""
    if len(card.branches) != 1:
        raise InputError(
            f"the network has {len(card.branches)} branches, and a NIR graph that is read has one "
            "row of layers: export a network of one branch"
        )
    (branch,), (ranges,) = card.branches, card.ranges
    layers = tuple(
        _real_layer(
            f"layer{depth}",
            layer,
            own,
            profile,
            leak,
            integrates=card.feature(0, depth) is Feature.MEMBRANE,
        )
        for depth, (layer, own) in enumerate(zip(branch.layers, ranges, strict=True))
    )
    return RealNetwork(
        layers=layers,
        readout_weights=np.ldexp(card.readout_weights.astype(float), -card.readout_format.frac),
        readout_biases=np.ldexp(card.readout_biases.astype(float), -card.bias_format.frac)
        / (card.n_steps if card.readout_mode is ReadoutMode.COUNT else 1),
        readout_mode=card.readout_mode,
    )


def _real_layer(
    name: str,
    layer: Layer,
    ranges: LayerRanges,
    profile: Profile,
    leak: LeakExport,
    *,
    integrates: bool,
) -> RealLayer:
    leaks = [layer.leak.of(d) for d in np.unique(layer.leak_numerators).tolist()]
    currents = [] if layer.synapse is None else [layer.synapse]
    for kind, several in (("leak", leaks), ("synapse", currents)):
        if leak is LeakExport.EXACT and any(map(_rounds, several)):
            raise InputError(
                f"the {kind} of {name} rounds its product down, which NIR cannot say: take leak "
                "real, and spikes may differ where a membrane is within a rounding of its threshold"
            )
    thresholds = np.full(layer.n_neurons, np.inf) if integrates else layer.thresholds
    if (thresholds <= 0).any():
        raise InputError(f"thresholds of {name} must be positive: other tools have no others")
    reach = Interval.union((*ranges.integrated, *ranges.membrane))
    limits = reach if layer.saturation is None else layer.saturation.interval
    if reach.low not in limits or reach.high not in limits:
        raise InputError(f"{name} saturates, which NIR cannot say: widen its membranes")
    if max(-reach.low, reach.high) >= _MOST:
        raise InputError(f"membranes of {name} must stay below 2**24, which float32 holds exactly")
    if profile.several and not integrates:
        for j, (own, theta) in enumerate(zip(ranges.integrated, layer.thresholds, strict=True)):
            if own.high >= 2 * theta:
                raise InputError(
                    f"neuron {j} of {name} may reach twice its threshold, where this profile's "
                    "tool gives several spikes a step: raise its threshold"
                )
    if layer.tables is not None:
        raise InputError(f"{name} has truth tables, which a NIR graph has no node for")
    ones = np.ones(layer.n_neurons)
    # Half below on integers, unless the reset subtracts the threshold itself.
    below = 0.5 if layer.reset is Reset.ZERO else 0.0
    if layer.reset is Reset.SUBTRACT and profile.strict:
        raise InputError(
            f"{name} subtracts a threshold that a membrane may equal, where this profile's tool "
            "spikes above it alone: choose the profile sinabs, or a reset to zero"
        )
    return RealLayer(
        name=name,
        weights=layer.matrix.astype(np.float64),
        biases=layer.biases.astype(np.float64),
        leak=(1.0 - np.ldexp(layer.leak_numerators.astype(float), -layer.leak.f)) * ones,
        thresholds=thresholds - below,
        reset=layer.reset,
        strict=profile.strict,
        several=profile.several and not integrates,
        lateral=None if layer.recurrent is None else layer.recurrent.astype(np.float64),
        synapse=None if layer.synapse is None else layer.synapse.factor * ones,
        resets=None if layer.resets is None else layer.resets.astype(np.float64),
    )


def _rounds(leak: Leak) -> bool:
    """Whether the leak's product is ever rounded."""
    return leak.d != 0 and not leak.forgets


def _graph(network: RealNetwork, reading: Profile, profile: str, dt: float) -> nir.NIRGraph:
    """The graph, its weights divided by what the profile multiplies them with."""
    nir = nir_package()
    nodes: dict[str, Any] = {"input": nir.Input({"input": np.array([network.n_inputs])})}
    edges: list[tuple[str, str]] = []
    last = "input"
    for depth, layer in enumerate(network.layers):
        kind, values, found = _node(layer, reading, profile, dt)
        fc, name, rec = f"fc{depth}", f"n{depth}", f"rec{depth}"
        biases = (layer.biases - found.offset) / found.gain
        nodes[fc] = _affine(_matrix(layer) / found.gain, biases)
        nodes[name] = getattr(nir, kind)(**values)
        edges += [(last, fc), (fc, name)]
        if layer.lateral is not None:
            lateral, late = layer.lateral / found.gain, layer.lateral_biases
            nodes[rec] = (
                nir.Linear(_outputs_first(lateral))
                if late is None
                else _affine(lateral, late / found.gain)
            )
            edges += [(name, rec), (rec, name)]
        last = name
    plain = np.array_equal(network.readout_weights, np.eye(len(network.readout_weights)))
    if not plain or network.readout_biases.any():
        nodes["readout"] = _affine(network.readout_weights, network.readout_biases)
        edges.append((last, "readout"))
        last = "readout"
    nodes["output"] = nir.Output({"output": np.array([network.n_classes])})
    return nir.NIRGraph(nodes=nodes, edges=[*edges, (last, "output")])


def _matrix(layer: RealLayer) -> Real:
    weights = layer.weights
    return np.asarray(weights.unrolled() if isinstance(weights, Convolution) else weights)


def _affine(weights: Real, biases: Real) -> Any:
    """Weights with biases, zero or not: sinabs reads no Linear."""
    return nir_package().Affine(_outputs_first(weights), np.asarray(biases))


def _outputs_first(weights: Real) -> Real:
    return np.ascontiguousarray(weights.T)


def _node(
    layer: RealLayer, reading: Profile, profile: str, dt: float
) -> tuple[str, dict[str, Real], Dynamics]:
    """Kind and parameters of a neuron that the profile reads with the layer's leaks."""
    for kind, values in _candidates(layer, dt):
        try:
            found = reading.dynamics(Node(name=layer.name, kind=kind, values=values), dt)
        except InputError:
            continue
        if _close(found.leak, layer.leak) and _close(found.synapse, layer.synapse):
            return kind, values, found
    told = "synaptic current" if layer.synapse is not None else "leak"
    raise InputError(f"{layer.name} has a {told} that the profile {profile} cannot say")


def _candidates(layer: RealLayer, dt: float) -> Iterator[tuple[str, dict[str, Real]]]:
    """Parameters to try: leaks as Euler steps, then as exponentials."""
    ones = np.ones(layer.n_neurons)
    resets = 0.0 * ones if layer.resets is None else layer.resets
    ends = {"v_threshold": layer.thresholds * ones, "v_reset": resets}
    spikes = "F"
    if np.isinf(layer.thresholds).all():
        ends, spikes = {}, ""
    if layer.synapse is None and (layer.leak == 1).all():
        for r in (1 / dt, 1.0):
            yield f"I{spikes}", {"r": r * ones, **ends}
        return
    for euler in (True, False):
        tau = _time_constants(layer.leak, dt, euler=euler)
        if layer.synapse is None:
            for scale in (tau / dt, ones):
                yield f"LI{spikes}", {"tau": tau, "r": scale, "v_leak": 0.0 * ones, **ends}
            continue
        tau_syn = _time_constants(layer.synapse, dt, euler=euler)
        yield (
            f"CubaLI{spikes}",
            {
                "tau_mem": tau,
                "tau_syn": tau_syn,
                "r": tau / dt,
                "w_in": tau_syn / dt,
                "v_leak": 0.0 * ones,
                **ends,
            },
        )


def _time_constants(factor: Real, dt: float, *, euler: bool) -> Real:
    """Time constants that a leak factor is of; the longest of float32 where nothing leaks."""
    with np.errstate(divide="ignore"):
        tau = dt / (1 - factor) if euler else -dt / np.log(factor)
    return np.clip(tau, np.finfo(np.float32).tiny, dt * 1e12)


def _close(found: Real | None, wanted: Real | None) -> bool:
    if found is None or wanted is None:
        return found is wanted
    return bool(np.allclose(found, wanted, rtol=0.0, atol=1e-9))


_STATED = ("reset", "strict", "late", "several", "delayed", "unit")


def _require_same(layer: RealLayer, back: RealLayer, least: Real | None, profile: str) -> None:
    """Raise `InputError` if a layer is read as another one.

    ``least`` are the least values of its membranes, where they are known.
    """
    for name in _STATED:
        mine, theirs = getattr(layer, name), getattr(back, name)
        if mine != theirs:
            told = [str(getattr(each, "value", each)).lower() for each in (mine, theirs)]
            raise InputError(
                f"{layer.name} has {name} {told[0]}, and the profile {profile} reads {name} "
                f"{told[1]}: choose another profile, or export another network"
            )
    if not np.allclose(_matrix(layer), _matrix(back), rtol=1e-9):
        raise InputError(f"the profile {profile} cannot say the weights of {layer.name}")
    for name in ("thresholds", "biases", "lateral", "lateral_biases", "resets"):
        each = [getattr(which, name) for which in (layer, back)]
        mine, theirs = (np.zeros(1) if value is None else value for value in each)
        if not np.allclose(mine, theirs, rtol=1e-9):
            raise InputError(f"the profile {profile} cannot say the {name} of {layer.name}")
    if (
        back.floor is not None
        and layer.floor is None
        and (least is None or (least < back.floor).any())
    ):
        raise InputError(
            f"membranes of {layer.name} may fall below minus their thresholds, where the profile "
            f"{profile} keeps them: choose another profile, or weights that never take them there"
        )
    if layer.floor is not None and (back.floor is None or not np.allclose(layer.floor, back.floor)):
        raise InputError(f"membranes of {layer.name} have a least value, which {profile} has not")


def _least(ranges: LayerRanges) -> Real:
    return np.array([each.low for each in ranges.membrane], dtype=np.float64)
