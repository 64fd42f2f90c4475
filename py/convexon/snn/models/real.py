"""Networks of real numbers: what other tools train, before it is rounded to integers.

A layer is stated by what it does in one step, not by the tool that made it. For neuron j, with all
states 0 before the first step::

    x = sum_i w[i,j] * input[i,t]  +  b[j]  +  sum_k r[k,j] * s[k,t-1]  (+ c[j] from step 2 on)
    i = alpha[j] * i + x                     where a synaptic current is stated; else i = x
    u = beta[j] * v + i  (- theta[j] * s[j,t-1]    where the reset comes one step late)
    s = 1 if u > theta[j] (or u >= theta[j])  else 0
    v = u - theta[j] * s  |  z[j] if s else u  |  u

A leaky integrator is a neuron whose threshold is infinite, which never spikes or resets.
`several` spikes a step are floor(u / theta) of them. Where states have a `unit`, x, alpha[j] * i
and beta[j] * v are rounded towards zero to multiples of it. Every profile of
`convexon.interop.profiles` is a choice among these. The model computes in the floating-point type
of the weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.snn.convolution import Convolution
from convexon.snn.neuron import Feature, ReadoutMode, Reset

Real = npt.NDArray[Any]
"""A float32 or float64 array."""

_MOST_SPIKES = 255
"""Most spikes of a neuron in one step, where several are allowed."""


@dataclass(frozen=True, eq=False, kw_only=True)
class RealLayer:
    """One layer of real-valued neurons; the module states what it computes.

    Members
    -------
    name : str
        What the other tool calls it.
    weights : float array, shape (inputs, neurons), or Convolution
        Unrolled where neurons read their own spikes: laterally, or by a reset one step late.
    biases, leak, thresholds : float arrays, shape (neurons,)
        b, beta and theta; theta is infinite for leaky integrators.
    reset : Reset
    strict : bool
        Whether a spike needs u > theta; u >= theta otherwise.
    late : bool
        Whether the reset comes with the next step, after its leak. Only `Reset.SUBTRACT` can.
    several : bool
        Whether a neuron may spike more than once a step.
    delayed : bool
        Whether spikes come out a step after their neuron fired.
    unit : float or None
        What states are multiples of; None where they are real numbers.
    floor : float array, shape (neurons,), or None
        Least value that v keeps after the reset.
    lateral : float array, shape (neurons, neurons), or None
        r, from the spike of neuron k one step earlier.
    lateral_biases : float array, shape (neurons,), or None
        c, which comes with the first lateral spikes.
    resets : float array, shape (neurons,), or None
        z, which a reset to zero sets v to; None for 0, where states begin anyway.
    synapse : float array, shape (neurons,), or None
        alpha of a synaptic current; None where there is none.
    relays : int
        How many of the neurons, the last ones, do nothing but repeat a spike that passes the layer
        on its way to one above. Integers keep that at any number of bits.

    Raises
    ------
    InputError
        If a shape is wrong, a value is not finite, a leak lies outside 0..1, or a threshold is not
        positive; it names the layer.
    """

    name: str
    weights: Real | Convolution
    biases: Real
    leak: Real
    thresholds: Real
    reset: Reset = Reset.SUBTRACT
    strict: bool = True
    late: bool = False
    several: bool = False
    delayed: bool = False
    unit: float | None = None
    floor: Real | None = None
    lateral: Real | None = None
    lateral_biases: Real | None = None
    synapse: Real | None = None
    resets: Real | None = None
    relays: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.weights, Convolution):
            object.__setattr__(self, "weights", np.asarray(self.weights))
        elif self.lateral is not None:
            object.__setattr__(self, "weights", self.weights.unrolled())
        weights = self.columns
        if weights.ndim != 2 or 0 in weights.shape or weights.dtype.kind != "f":
            raise InputError(
                f"weights of {self.name} must be real numbers of shape (inputs, neurons), not "
                f"{weights.dtype} of {weights.shape}"
            )
        if not np.isfinite(weights).all():
            raise InputError(f"weights of {self.name} must be finite, not NaN or infinite")
        n = self.n_neurons
        shapes = {
            "lateral": (n, n),
            **dict.fromkeys(
                ("biases", "leak", "thresholds", "floor", "lateral_biases", "synapse", "resets"),
                (n,),
            ),
        }
        for name, shape in shapes.items():
            if (value := getattr(self, name)) is None:
                continue
            array = np.asarray(value, dtype=weights.dtype)
            if array.shape != shape:
                raise InputError(
                    f"{name} of {self.name} must have shape {shape}, not {array.shape}"
                )
            endless = name == "thresholds" and self.reset is Reset.NONE
            if not np.isfinite(array[array != np.inf] if endless else array).all():
                raise InputError(f"{name} of {self.name} must be finite, not NaN or infinite")
            object.__setattr__(self, name, array)
        for name in ("leak", "synapse"):
            factor = getattr(self, name)
            if factor is not None and ((factor < 0) | (factor > 1)).any():
                raise InputError(f"{name} of {self.name} must lie in 0..1, a factor a step")
        if (self.thresholds <= 0).any():
            raise InputError(f"thresholds of {self.name} must be positive")
        if self.resets is not None and self.reset is not Reset.ZERO:
            raise InputError(f"resets of {self.name} must have a reset to zero to replace")
        if self.reset is Reset.LATE or (self.late and self.reset is not Reset.SUBTRACT):
            raise InputError(f"the late reset of {self.name} must subtract, not {self.reset.value}")

    @property
    def n_inputs(self) -> int:
        """Number of feed-forward inputs."""
        own = self.weights
        return own.n_inputs if isinstance(own, Convolution) else int(own.shape[0])

    @property
    def n_neurons(self) -> int:
        """Number of neurons."""
        own = self.weights
        return own.n_outputs if isinstance(own, Convolution) else int(own.shape[1])

    @property
    def n_own(self) -> int:
        """Number of neurons, the first ones, that are not relays."""
        return self.n_neurons - self.relays

    @property
    def columns(self) -> Real:
        """Weights in one column for each neuron, or for each channel of neurons that share them."""
        own = self.weights
        return own.columns if isinstance(own, Convolution) else own


@dataclass(frozen=True, eq=False, kw_only=True)
class RealNetwork:
    """A stack of layers under a linear readout, as it was trained.

    Members
    -------
    layers : tuple of RealLayer
    readout_weights : float array, shape (neurons of the last layer, classes)
    readout_biases : float array, shape (classes,)
        Added once; at each step where spikes are counted, as a linear output that is summed.
    readout_mode : ReadoutMode
        What the readout weighs: COUNT where another tool sums spikes, or outputs, over the steps.
        Membranes are scores as they are, without weights, of neurons that are never reset.
    origin : str
        Where it comes from, and by which profile it is read, for people.

    Raises
    ------
    InputError
        If there is no layer, or shapes do not fit each other.
    """

    layers: tuple[RealLayer, ...]
    readout_weights: Real
    readout_biases: Real
    readout_mode: ReadoutMode = ReadoutMode.COUNT
    origin: str = "arrays"

    def __post_init__(self) -> None:
        if not self.layers:
            raise InputError("layers must hold at least one layer, not none")
        for below, above in zip(self.layers, self.layers[1:], strict=False):
            if above.n_inputs != below.n_neurons:
                raise InputError(
                    f"{above.name} must have {below.n_neurons} inputs, the neurons of "
                    f"{below.name}, not {above.n_inputs}"
                )
        weights = np.asarray(self.readout_weights, dtype=np.float64)
        biases = np.asarray(self.readout_biases, dtype=np.float64)
        wanted = self.layers[-1].n_neurons
        if weights.ndim != 2 or weights.shape[0] != wanted or biases.shape != weights.shape[1:]:
            raise InputError(
                f"the readout must have shapes ({wanted}, classes) and (classes,), not "
                f"{weights.shape} and {biases.shape}"
            )
        if not (np.isfinite(weights).all() and np.isfinite(biases).all()):
            raise InputError("the readout must be finite, not NaN or infinite")
        if self.reads_membranes and (
            self.layers[-1].reset is not Reset.NONE
            or not np.array_equal(weights, np.eye(wanted))
            or biases.any()
        ):
            raise InputError(
                f"{self.layers[-1].name} must have no reset, and nothing behind it, for its "
                "membranes to be the scores"
            )
        object.__setattr__(self, "readout_weights", weights)
        object.__setattr__(self, "readout_biases", biases)

    @property
    def reads_membranes(self) -> bool:
        """Whether the membranes of the last layer are the scores."""
        return self.readout_mode.feature is Feature.MEMBRANE

    @property
    def n_inputs(self) -> int:
        """Inputs of the first layer."""
        return self.layers[0].n_inputs

    @property
    def n_classes(self) -> int:
        """Number of scores."""
        return int(self.readout_biases.shape[0])

    @property
    def n_neurons(self) -> int:
        """Neurons of all layers."""
        return sum(layer.n_neurons for layer in self.layers)


def layer_spikes(layer: RealLayer, inputs: Real) -> tuple[Real, Real]:
    """Run one layer.

    Parameters
    ----------
    layer : RealLayer
    inputs : array, shape (samples, steps, layer.n_inputs)

    Returns
    -------
    spikes : uint8 array, shape (samples, steps, neurons)
        Spikes that come out in each step; more than one only where several are allowed.
    membranes : float array, of the same shape
        u, before the reset.

    Raises
    ------
    InputError
        If the layer hands on its inputs past itself, and they are no spikes.
    """
    if layer.relays and not _are_spikes(inputs, most=_MOST_SPIKES if layer.several else 1):
        raise InputError(
            f"inputs of {layer.name} must be spikes, which it hands on past itself: values of "
            "several bits cannot pass a layer"
        )
    dtype = layer.columns.dtype
    samples, steps, _ = inputs.shape
    spikes = np.zeros((samples, steps, layer.n_neurons), dtype=np.uint8)
    membranes = np.zeros(spikes.shape, dtype=dtype)
    v = np.zeros((samples, layer.n_neurons), dtype=dtype)
    current, fired = np.zeros_like(v), np.zeros_like(v)
    for t in range(steps):
        x = inputs[:, t].astype(dtype) @ layer.weights + layer.biases
        if layer.lateral is not None:
            x += fired @ layer.lateral
        if layer.lateral_biases is not None and t:
            x += layer.lateral_biases
        x = _whole(layer, x)
        current = x if layer.synapse is None else _whole(layer, layer.synapse * current) + x
        u = _whole(layer, layer.leak * v) + current
        if layer.late:
            u -= layer.thresholds * fired
        fired = _fired(layer, u).astype(dtype)
        v = u
        if layer.reset is Reset.SUBTRACT and not layer.late:
            v = u - layer.thresholds * fired
        elif layer.reset is Reset.ZERO:
            v = np.where(fired > 0, dtype.type(0) if layer.resets is None else layer.resets, u)
        if layer.floor is not None:
            v = np.maximum(v, layer.floor)
        spikes[:, t], membranes[:, t] = fired, u
    if layer.delayed:
        spikes[:, 1:], spikes[:, 0] = spikes[:, :-1].copy(), 0
    return spikes, membranes


def _are_spikes(inputs: Real, *, most: int) -> bool:
    """Whether inputs are numbers of spikes, at most so many."""
    return bool(((inputs >= 0) & (inputs <= most) & (inputs == np.rint(inputs))).all())


def _whole(layer: RealLayer, state: Real) -> Real:
    """A state, rounded towards zero where the layer has a unit."""
    return state if layer.unit is None else np.trunc(state / layer.unit) * layer.unit


def _fired(layer: RealLayer, u: Real) -> Real:
    """Spikes of one step."""
    if layer.several:
        return np.clip(np.floor(u / layer.thresholds), 0, _MOST_SPIKES)
    return np.asarray(u > layer.thresholds if layer.strict else u >= layer.thresholds)


def stack_spikes(layers: Iterable[RealLayer], inputs: Real) -> list[Real]:
    """Spikes of each of ``layers``, each on those of the one below, (samples, steps, neurons)."""
    found = []
    for layer in layers:
        inputs = layer_spikes(layer, inputs)[0]
        found.append(inputs)
    return found


def outputs(network: RealNetwork, inputs: Real) -> tuple[list[Real], Real]:
    """Spikes of every layer as `stack_spikes`, and what the readout reads of the last one."""
    *below, last = network.layers
    found = stack_spikes(below, inputs)
    spikes, membranes = layer_spikes(last, found[-1] if found else inputs)
    return [*found, spikes], membranes if network.reads_membranes else spikes


def scores(network: RealNetwork, given: Real) -> Real:
    """Scores of what the last layer gives, (samples, steps, neurons): (samples, classes).

    ``given`` are its spikes, or where they are the scores its membranes.

    Raises
    ------
    InputError
        If the network is read out at each step, or by signs: neither is known of other tools.
    """
    if network.readout_mode is ReadoutMode.PEAK:
        return np.asarray(given.max(axis=1))
    if network.readout_mode is ReadoutMode.MEMBRANE:
        return given[:, -1]
    spikes = given
    if network.readout_mode is ReadoutMode.COUNT:
        weighed, times = spikes.sum(axis=1, dtype=np.float64), spikes.shape[1]
    elif network.readout_mode is ReadoutMode.LAST:
        weighed, times = spikes[:, -1].astype(np.float64), 1
    else:
        mode = network.readout_mode.value
        raise InputError(f"readout must be count, last, membrane or peak, not {mode}")
    return np.asarray(weighed @ network.readout_weights + times * network.readout_biases)
