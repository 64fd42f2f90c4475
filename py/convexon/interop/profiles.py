"""What other tools mean by a spiking node: one row a tool.

NIR states differential equations; it states neither the step nor how a membrane is reset, and each
tool fills that in by itself. A profile is one tool's reading: order, comparison, reset, leak and
input scale, as a layer of `convexon.snn.models.real`. docs/import.md has them as a table, each row
tested against spikes that the tool itself produced.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from convexon.errors import InputError
from convexon.snn.models.real import Real
from convexon.snn.neuron import Reset

INTEGRATORS = ("I", "LI", "CubaLI")
"""Kinds of nodes that never spike; their membranes are read."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """A node of neurons of a graph: its kind, and its parameters, each of shape (neurons,).

    Kinds are those of NIR: IF, LIF, CubaLIF, Threshold, and `INTEGRATORS`.
    """

    name: str
    kind: str
    values: Mapping[str, Real]

    def __getitem__(self, name: str) -> Real:
        return self.values[name]

    def require_zero(self, *names: str) -> None:
        """Raise `InputError` unless all values of the parameters are zero."""
        for name in names:
            if self.values[name].any():
                raise InputError(
                    f"{name} of {self.name} must be 0, not {_first(self.values[name])}: it has no "
                    "counterpart in the neuron's contract"
                )

    def require(self, name: str, wanted: Real, told: str) -> None:
        """Raise `InputError` unless a parameter is ``wanted``, which ``told`` states."""
        if not np.allclose(self.values[name], wanted, rtol=1e-5, atol=0.0):
            raise InputError(f"{name} of {self.name} must be {told}")


@dataclass(frozen=True, eq=False, kw_only=True)
class Dynamics:
    """What a node does in a step, as members of `convexon.snn.models.real.RealLayer`.

    ``gain`` multiplies everything that comes in, and ``offset`` is added to it. Weights are then
    rounded towards zero to multiples of ``weight_unit``, where there is one.
    """

    leak: Real
    thresholds: Real
    gain: Real
    offset: Real
    reset: Reset
    strict: bool
    late: bool = False
    several: bool = False
    delayed: bool = False
    unit: float | None = None
    weight_unit: float | None = None
    floor: Real | None = None
    synapse: Real | None = None
    resets: Real | None = None


class Profile(ABC):
    """One tool's reading of spiking nodes.

    Members
    -------
    strict, reset, late, several, delayed
        As for `convexon.snn.models.real.RealLayer`.
    dt : float or None
        The step in seconds that the tool takes by itself; None where it has to be known.
    lateral, lateral_bias, bias : bool
        Whether the tool reads a layer that reads itself, the bias of that branch, and any other.
    integrators : tuple of str
        Those of `INTEGRATORS` that the tool reads.
    """

    strict: ClassVar[bool] = True
    reset: ClassVar[Reset] = Reset.ZERO
    late: ClassVar[bool] = False
    several: ClassVar[bool] = False
    delayed: ClassVar[bool] = False
    dt: ClassVar[float | None] = None
    lateral: ClassVar[bool] = True
    lateral_bias: ClassVar[bool] = True
    bias: ClassVar[bool] = True
    integrators: ClassVar[tuple[str, ...]] = ()

    def step(self, tau: Real, r: Real) -> float:
        """Return the step of a graph that does not state it, of its leaky nodes' parameters.

        Raises
        ------
        InputError
            If the step has to be given.
        """
        if self.dt is not None:
            return self.dt
        if not len(tau) or not (np.isfinite(tau) & (tau > 0) & np.isfinite(r) & (r > 0)).all():
            raise InputError("dt must be given: the graph's time constants and r state no step")
        return self._step(tau, r)

    def _step(self, tau: Real, r: Real) -> float:
        found = tau / r
        if found.max() - found.min() > 1e-5 * found.max():
            raise InputError(
                "dt must be given: the graph's time constants and r do not agree on a step"
            )
        return float(f"{np.median(found):.6g}")  # float32 in the file: keep what it resolves

    def require_biases(self, name: str, biases: Real) -> None:
        """Raise `InputError` if what flows into a node has a bias, and the tool reads none."""
        if not self.bias and biases.any():
            raise InputError(
                f"{name} must read nothing with a bias, which this profile's tool has not"
            )

    def require_lateral(self, name: str, *, bias: bool) -> None:
        """Raise `InputError` if the tool does not read lateral weights of a node, or their bias."""
        if not self.lateral:
            raise InputError(
                f"{name} reads itself, which this profile's tool does not read as NIR states it: "
                "choose the profile nir-euler"
            )
        if bias and not self.lateral_bias:
            raise InputError(f"{name} has a lateral bias, which this profile's tool drops")

    def dynamics(self, node: Node, dt: float) -> Dynamics:
        """Return what ``node`` does in a step of ``dt`` seconds.

        Raises
        ------
        InputError
            If the tool has no such node, or its parameters have no counterpart here.
        """
        found: Dynamics
        if node.kind == "Threshold":
            n = node["threshold"]
            # NIR states it in full: z = 1 if v > threshold, whatever the tool's neurons do.
            found = self._as(node, leak=0.0 * n, thresholds=n, reset=Reset.NONE)
            return replace(found, strict=True, several=False, delayed=False)
        if node.kind in INTEGRATORS:
            found = self.dynamics(self._that_spikes(node), dt)
            found = replace(found, late=False, several=False, delayed=False, floor=None)
            return replace(found, reset=Reset.NONE)
        if node.kind not in ("IF", "LIF", "CubaLIF"):
            raise InputError(f"{node.name} is a {node.kind}, which is no spiking node")
        found = getattr(self, f"_{node.kind.lower()}")(node, dt)
        if (found.leak < 0).any() or (found.synapse is not None and (found.synapse < 0).any()):
            raise InputError(
                f"dt must be at most the time constants of {node.name}, not {dt:g} s: give --dt"
            )
        return found

    def _that_spikes(self, node: Node) -> Node:
        """The spiking node of a leaky integrator's equations, at a threshold that none reaches."""
        if node.kind not in self.integrators:
            raise InputError(
                f"{node.name} is a {node.kind}, which this profile's tool does not read: choose "
                "the profile nir-euler"
            )
        ends = {"v_threshold": np.full_like(node["r"], np.inf), "v_reset": 0.0 * node["r"]}
        return replace(node, kind=f"{node.kind}F", values={**node.values, **ends})

    @abstractmethod
    def _lif(self, node: Node, dt: float) -> Dynamics: ...

    @abstractmethod
    def _if(self, node: Node, dt: float) -> Dynamics: ...

    def _cubalif(self, node: Node, dt: float) -> Dynamics:
        raise InputError(f"{node.name} is a CubaLIF, which this profile's tool does not read")

    def _euler_cubalif(self, node: Node, dt: float) -> Dynamics:
        """Current, then membrane, each by an Euler step: i sees the input, and v the new i."""
        of_current, of_membrane = dt / node["tau_syn"], dt / node["tau_mem"]
        return self._as(
            node,
            leak=1 - of_membrane,
            thresholds=node["v_threshold"],
            gain=of_current * node["w_in"] * of_membrane * node["r"],
            synapse=1 - of_current,
        )

    def _as(
        self,
        node: Node,
        *,
        leak: Real,
        thresholds: Real,
        gain: Real | None = None,
        offset: Real | None = None,
        reset: Reset | None = None,
        floor: Real | None = None,
        synapse: Real | None = None,
    ) -> Dynamics:
        ones = np.ones_like(thresholds)
        return Dynamics(
            leak=ones * leak,
            thresholds=thresholds,
            gain=ones if gain is None else ones * gain,
            offset=0.0 * ones if offset is None else ones * offset,
            reset=self.reset if reset is None else reset,
            strict=self.strict,
            late=self.late and reset is None,
            several=self.several,
            delayed=self.delayed,
            floor=floor,
            synapse=synapse,
        )


class NirEuler(Profile):
    """The equations of NIR themselves, by Euler steps of dt; a spike resets within its step."""

    integrators = INTEGRATORS

    def _reset(self, node: Node, found: Dynamics) -> Dynamics:
        """With resets to v_reset, where it is not 0."""
        return replace(found, resets=node["v_reset"]) if node["v_reset"].any() else found

    def _lif(self, node: Node, dt: float) -> Dynamics:
        share = dt / node["tau"]
        found = self._as(
            node,
            leak=1 - share,
            thresholds=node["v_threshold"],
            gain=share * node["r"],
            offset=share * node["v_leak"],
        )
        return self._reset(node, found)

    def _if(self, node: Node, dt: float) -> Dynamics:
        found = self._as(node, leak=_one(node), thresholds=node["v_threshold"], gain=dt * node["r"])
        return self._reset(node, found)

    def _cubalif(self, node: Node, dt: float) -> Dynamics:
        node.require_zero("v_leak")
        return self._reset(node, self._euler_cubalif(node, dt))


class SnnTorch(Profile):
    """snnTorch's own neurons, as `Leaky` starts them: the reset subtracts, one step late.

    Its files say nothing of the reset; this profile is for those whose neurons were left as they
    start, ``reset_mechanism="subtract", reset_delay=True``.
    """

    reset, late = Reset.SUBTRACT, True

    def _lif(self, node: Node, dt: float) -> Dynamics:
        node.require_zero("v_reset", "v_leak")
        share = dt / node["tau"]
        return self._as(
            node, leak=1 - share, thresholds=node["v_threshold"], gain=share * node["r"]
        )

    def _if(self, node: Node, dt: float) -> Dynamics:
        node.require_zero("v_reset")
        return self._as(node, leak=_one(node), thresholds=node["v_threshold"], gain=node["r"])

    def _cubalif(self, node: Node, dt: float) -> Dynamics:
        node.require_zero("v_reset", "v_leak")
        return self._euler_cubalif(node, dt)


class SnnTorchNir(Profile):
    """What snnTorch 1.0 makes of a NIR file: a step of 0.1 ms, a reset to zero, v_reset unread."""

    dt = 1e-4
    lateral = False

    def _lif(self, node: Node, dt: float) -> Dynamics:
        node.require_zero("v_leak")
        share = dt / node["tau"]
        return self._as(node, leak=1 - share, thresholds=node["v_threshold"] / (share * node["r"]))

    def _if(self, node: Node, dt: float) -> Dynamics:
        raise InputError(
            f"{node.name} is an IF, which snnTorch 1.0 reads with a leak of 0.9: choose the "
            "profile nir-euler or snntorch"
        )

    def _cubalif(self, node: Node, dt: float) -> Dynamics:
        node.require_zero("v_leak")
        node.require("r", node["tau_mem"] / dt, "tau_mem / dt, as snnTorch asks")
        of_current = dt / node["tau_syn"]
        return self._as(
            node,
            leak=1 - dt / node["tau_mem"],
            thresholds=node["v_threshold"] / (of_current * node["w_in"]),
            synapse=1 - of_current,
        )


class Norse(Profile):
    """Norse 1.1: Euler steps, reset to zero; r of LIF and IF, and v_reset, are not read."""

    dt = 1e-3

    def _lif(self, node: Node, dt: float) -> Dynamics:
        share = dt / node["tau"]
        return self._as(
            node,
            leak=1 - share,
            thresholds=node["v_threshold"],
            gain=share,
            offset=share * node["v_leak"],
        )

    def _if(self, node: Node, dt: float) -> Dynamics:
        return self._as(node, leak=_one(node), thresholds=node["v_threshold"])

    def _cubalif(self, node: Node, dt: float) -> Dynamics:
        node.require_zero("v_leak")
        return self._euler_cubalif(node, dt)


class Sinabs(Profile):
    """sinabs 3.1: tau in steps, exponential leak, several spikes a step, each subtracted."""

    strict, reset, several, dt = False, Reset.SUBTRACT, True, 1.0
    integrators = ("LI",)

    def _that_spikes(self, node: Node) -> Node:
        node.require("r", np.ones_like(node["r"]), "1, as sinabs asks of a LI")
        return super()._that_spikes(node)

    def _lif(self, node: Node, dt: float) -> Dynamics:
        node.require_zero("v_leak")
        return self._as(node, leak=np.exp(-dt / node["tau"]), thresholds=node["v_threshold"])

    def _if(self, node: Node, dt: float) -> Dynamics:
        thresholds = node["v_threshold"]
        return self._as(node, leak=_one(node), thresholds=thresholds, floor=-thresholds)


class SpikingJelly(Profile):
    """SpikingJelly 2.0: v reaches the threshold, and is set to v_reset, from which it starts."""

    strict, dt = False, 1e-4

    def _lif(self, node: Node, dt: float) -> Dynamics:
        share = dt / node["tau"]
        if (node["v_leak"] != node["v_reset"]).any():
            raise InputError(f"v_leak of {node.name} must equal v_reset, as SpikingJelly asks")
        if np.allclose(node["r"] * share, 1.0, rtol=1e-5):
            gain = _one(node)
        elif (node["r"] == 1).all():
            gain = share
        else:
            raise InputError(f"r of {node.name} must be 1 or tau / dt, as SpikingJelly asks")
        # Measured from v_reset, where it starts and to which it leaks, the membrane is one of ours.
        return self._as(
            node,
            leak=1 - share,
            thresholds=node["v_threshold"] - node["v_reset"],
            gain=gain,
        )

    def _if(self, node: Node, dt: float) -> Dynamics:
        node.require("r", _one(node) / dt, "1 / dt, as SpikingJelly asks")
        thresholds = node["v_threshold"] - node["v_reset"]
        return self._as(node, leak=_one(node), thresholds=thresholds)

    def _cubalif(self, node: Node, dt: float) -> Dynamics:
        node.require_zero("v_leak", "v_reset")
        node.require("r", node["tau_mem"] / dt, "tau_mem / dt, as SpikingJelly asks")
        node.require("w_in", node["tau_syn"] / dt, "tau_syn / dt, as SpikingJelly asks")
        return self._as(
            node,
            leak=1 - dt / node["tau_mem"],
            thresholds=node["v_threshold"],
            synapse=1 - dt / node["tau_syn"],
        )


class Rockpool(Profile):
    """Rockpool 3.1: current-based neurons alone, whose current decays after it was added to."""

    strict, reset, several, lateral_bias = False, Reset.SUBTRACT, True, False

    def _step(self, tau: Real, r: Real) -> float:
        return float(f"{(tau / (1 + r)).min():.6g}")

    def _lif(self, node: Node, dt: float) -> Dynamics:
        raise InputError(f"{node.name} is a LIF, which Rockpool 3.1 does not read")

    def _if(self, node: Node, dt: float) -> Dynamics:
        raise InputError(f"{node.name} is an IF, which Rockpool 3.1 does not read")

    def _cubalif(self, node: Node, dt: float) -> Dynamics:
        node.require_zero("v_leak")
        decay = np.exp(-dt / node["tau_syn"])
        return self._as(
            node,
            leak=np.exp(-dt / node["tau_mem"]),
            thresholds=node["v_threshold"],
            gain=decay,
            synapse=decay,
        )


class Spyx(Profile):
    """Spyx 1.0: spikes of the membrane of the step before; r, v_leak and v_reset are not read."""

    reset, late, delayed, dt = Reset.SUBTRACT, True, True, 1.0
    lateral = False

    def _lif(self, node: Node, dt: float) -> Dynamics:
        return self._as(node, leak=1 - dt / node["tau"], thresholds=node["v_threshold"])

    def _if(self, node: Node, dt: float) -> Dynamics:
        return self._as(node, leak=_one(node), thresholds=node["v_threshold"])

    def _cubalif(self, node: Node, dt: float) -> Dynamics:
        found = self._as(
            node,
            leak=1 - dt / node["tau_mem"],
            thresholds=node["v_threshold"],
            synapse=1 - dt / node["tau_syn"],
        )
        return replace(found, late=False)  # here the leak comes after the reset


class LavaDl(Profile):
    """lava-dl 0.6 by the importer of NIR's paper: states of 12 bits, rounded towards zero."""

    dt = 1e-4
    lateral = False

    def _lif(self, node: Node, dt: float) -> Dynamics:
        raise InputError(f"{node.name} is a LIF, which lava-dl does not read")

    def _if(self, node: Node, dt: float) -> Dynamics:
        found = self._as(node, leak=_one(node), thresholds=node["v_threshold"] * node["r"])
        return self._slayer(found, scale=4096, name=node.name)

    def _cubalif(self, node: Node, dt: float) -> Dynamics:
        node.require_zero("v_leak")
        node.require("r", node["tau_mem"] / dt, "tau_mem / dt, as lava-dl asks")
        of_current = dt / node["tau_syn"]
        found = self._as(
            node,
            leak=_twelfth(1 - dt / node["tau_mem"]),
            thresholds=node["v_threshold"],
            gain=node["w_in"] * of_current,
            synapse=_twelfth(1 - of_current),
        )
        return self._slayer(found, scale=64, name=node.name)

    def _slayer(self, found: Dynamics, *, scale: int, name: str) -> Dynamics:
        """SLAYER's neuron: thresholds are of ``scale`` steps to 1, states of 64 times as many."""
        for values in (found.thresholds, found.leak, found.gain, found.synapse):
            if values is not None and (values != values[0]).any():
                raise InputError(f"neurons of {name} must all be alike, as lava-dl asks")
        thresholds = np.trunc(scale * found.thresholds) / scale
        return replace(found, thresholds=thresholds, unit=1 / (64 * scale))


class Loihi(Profile):
    """Lava's model of Loihi, bit by bit, on weights of 8 bits below the point.

    Lava hands a spike on one step later, which only shifts what comes out, as there are no biases.
    Loihi's states have 24 bits, which is 512 in the units of a threshold; none goes beyond here.
    """

    dt = 1e-4
    lateral = bias = False

    def _lif(self, node: Node, dt: float) -> Dynamics:
        node.require_zero("v_leak", "v_reset")
        share = dt / node["tau"]
        found = self._as(
            node,
            leak=1 - np.trunc(4095 * share) / 4096,
            thresholds=np.floor(np.trunc(131071 * node["v_threshold"]) / 512) / 256,
            gain=share * node["r"],
        )
        return replace(found, unit=2.0**-14, weight_unit=2.0**-8)

    def _if(self, node: Node, dt: float) -> Dynamics:
        raise InputError(f"{node.name} is an IF, which Lava's importer does not read")


PROFILES: Mapping[str, Profile] = {
    "nir-euler": NirEuler(),
    "snntorch": SnnTorch(),
    "snntorch-nir": SnnTorchNir(),
    "norse": Norse(),
    "sinabs": Sinabs(),
    "rockpool": Rockpool(),
    "spikingjelly": SpikingJelly(),
    "spyx": Spyx(),
    "lava-dl": LavaDl(),
    "loihi": Loihi(),
}
"""Every profile by its name; the first is what the documents of NIR say."""


def _twelfth(factor: Real) -> Real:
    """A leak as one of 12 bits."""
    return np.asarray(1 - np.rint(4096 * (1 - factor)) / 4096)


def _one(node: Node) -> Real:
    return np.ones_like(node["v_threshold"])


def _first(values: npt.NDArray[np.floating]) -> float:
    return float(values[values != 0][0])
