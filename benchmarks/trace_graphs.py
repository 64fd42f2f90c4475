"""Small NIR graphs with random parameters, and how traces of them are kept for the tests."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np

TRACES = Path(__file__).parent.parent / "tests" / "interop" / "traces"
SAMPLES, STEPS, INPUTS, HIDDEN, OUTPUTS = 6, 40, 10, 14, 5


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a graph of two layers is made of.

    Members
    -------
    kind : str
        IF, LIF or CubaLIF.
    dt : float
        Step in seconds, of which time constants are 4 to 30.
    r, w_in : str
        ``1``, or ``tau/dt`` (less one), or ``1/dt``.
    gain : float
        Of the weights, at which neurons spike.
    alike : bool
        Whether neurons of a layer have the same parameters.
    bias : bool
    """

    kind: str
    dt: float
    r: str = "1"
    w_in: str = "1"
    gain: float = 2.0
    alike: bool = False
    bias: bool = True

    def node(self, n: int) -> nir.NIRNode:
        """A layer of n neurons."""
        rng = np.random.default_rng([n, len(self.kind), int(self.dt * 1e6)])

        def each(low: float, high: float) -> np.ndarray:
            return np.full(n, rng.uniform(low, high)) if self.alike else rng.uniform(low, high, n)

        def ratio(told: str, tau: np.ndarray) -> np.ndarray:
            known = {"1": np.ones(n), "1/dt": np.full(n, 1 / self.dt), "tau/dt": tau / self.dt}
            return known.get(told, tau / self.dt - 1)

        tau, level, tau_syn = each(6, 30) * self.dt, each(0.5, 1.2), each(3, 10) * self.dt
        # v_reset is 0 where it is left out; nir before 1.0.5, which sinabs asks for, has none.
        if self.kind == "IF":
            return nir.IF(r=ratio(self.r, tau), v_threshold=level)
        known = {"r": ratio(self.r, tau), "v_leak": np.zeros(n), "v_threshold": level}
        if self.kind == "LIF":
            return nir.LIF(tau=tau, **known)
        return nir.CubaLIF(tau_mem=tau, tau_syn=tau_syn, w_in=ratio(self.w_in, tau_syn), **known)

    def graph(self) -> nir.NIRGraph:
        """Two layers, with random weights."""
        rng = np.random.default_rng(len(self.kind) + int(10 * self.gain))

        def affine(inputs: int, outputs: int) -> nir.Affine:
            weight = rng.normal(0, self.gain / np.sqrt(inputs), (outputs, inputs)).astype("f")
            bias = rng.normal(0, 0.1 * self.gain, outputs).astype("f")
            return nir.Affine(weight, bias if self.bias else np.zeros_like(bias))

        names = ("input", "fc1", "n1", "fc2", "n2", "output")
        return nir.NIRGraph(
            nodes={
                "input": nir.Input({"input": np.array([INPUTS])}),
                "fc1": affine(INPUTS, HIDDEN),
                "n1": self.node(HIDDEN),
                "fc2": affine(HIDDEN, OUTPUTS),
                "n2": self.node(OUTPUTS),
                "output": nir.Output({"output": np.array([OUTPUTS])}),
            },
            edges=list(pairwise(names)),
        )


def random_spikes(seed: int) -> np.ndarray:
    """Spikes, shape (samples, steps, inputs)."""
    shape = (SAMPLES, STEPS, INPUTS)
    return (np.random.default_rng(seed).random(shape) < 0.4).astype(np.float32)


def write_graph(name: str, graph: nir.NIRGraph, dt: float, x: Any, spikes: Any) -> None:
    """Write the trace of a graph, with its parameters."""
    values = {
        f"{each}.{field}": value
        for each, inner in graph.nodes.items()
        for field, value in vars(inner).items()
        if isinstance(value, np.ndarray)
    }
    write(f"graph-{name}", x, spikes, {**values, "dt": np.array(dt)})


def write(name: str, x: Any, spikes: Any, values: Mapping[str, Any]) -> None:
    """Write one case, and say how busy it is."""
    found = np.asarray(spikes)
    share = float((found > 0).mean())
    print(f"{name}: {share:.3f} spikes a neuron and step")
    if not 0.01 < share < 0.9:
        print(f"  {name} hardly changes: choose another gain", file=sys.stderr)
    np.savez_compressed(
        TRACES / f"{name}.npz",
        inputs=np.asarray(x).astype(np.uint8),
        spikes=found.astype(np.uint8),
        **values,
    )
