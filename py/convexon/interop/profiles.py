"""What other tools mean by a spiking node: one row a tool.

NIR states differential equations; it states neither the step nor how a membrane is reset, and each
tool fills that in by itself. A profile is one tool's reading: order, comparison, reset, leak and
input scale, as a layer of `convexon.snn.models.real`. docs/import.md has them as a table, each row
tested against spikes that the tool itself produced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from convexon.errors import InputError
from convexon.interop.dynamics import INTEGRATORS, Dynamics, Node, Profile
from convexon.snn.models.real import Real
from convexon.snn.neuron import Reset


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
