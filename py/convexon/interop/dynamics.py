"""A spiking node of a graph, and what it does in a step by one tool's reading.

`convexon.interop.profiles` has the tools.
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


def _first(values: npt.NDArray[np.floating]) -> float:
    return float(values[values != 0][0])
