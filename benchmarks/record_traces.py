"""Record what other tools do: `python benchmarks/record_traces.py` in an environment with them.

Each case is one .npz in tests/interop/traces: parameters of two layers, random spikes, and the
spikes that the tool itself produced. The tests need none of the tools, only these files. snnTorch
1.0.0, Norse 1.1.0, sinabs 3.1.3 and SpikingJelly 2.0.0 were recorded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import norse.torch
import numpy as np
import sinabs.layers
import sinabs.nir
import snntorch
import torch
from sinabs.activation import SingleSpike
from snntorch.import_nir import import_from_nir
from spikingjelly.activation_based import functional, neuron
from spikingjelly.activation_based.nir_exchange import import_from_nir as jelly_from_nir

TRACES = Path(__file__).parent.parent / "tests" / "interop" / "traces"
SAMPLES, STEPS, INPUTS, HIDDEN, OUTPUTS = 6, 40, 10, 14, 5

Module = torch.nn.Module


def linear(inputs: int, outputs: int, gain: float) -> torch.nn.Linear:
    """Return a layer whose weights are ``gain`` times those that torch draws."""
    made = torch.nn.Linear(inputs, outputs)
    with torch.no_grad():
        made.weight *= gain
        made.bias *= gain
    return made


class Stack(Module):
    """Two linear layers, each with neurons, run step by step, or all steps at once."""

    def __init__(self, neurons: Callable[[int], Module], gain: float) -> None:
        super().__init__()
        self.fc1, self.n1 = linear(INPUTS, HIDDEN, gain), neurons(HIDDEN)
        self.fc2, self.n2 = linear(HIDDEN, OUTPUTS, gain), neurons(OUTPUTS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the spikes of the second layer."""
        root = type(self.n1).__module__.partition(".")[0]
        if root == "sinabs":
            return self.n2(self.fc2(self.n1(self.fc1(x))))
        functional.reset_net(self)
        states: list[Any] = [None, None]
        out = []
        for t in range(x.shape[1]):
            signal = x[:, t]
            for k, (fc, each) in enumerate(((self.fc1, self.n1), (self.fc2, self.n2))):
                given = fc(signal)
                if root == "snntorch":
                    found = each(given) if states[k] is None else each(given, *states[k])
                    keeps_spikes = type(each).__name__.startswith("R")
                    signal, states[k] = found[0], found if keeps_spikes else found[1:]
                elif root == "norse":
                    signal, states[k] = each(given, states[k])
                else:
                    signal = each(given)
            out.append(signal)
        return torch.stack(out, 1)


def spread(low: float, high: float) -> Callable[[int], torch.Tensor]:
    """Return what gives each neuron a value of its own."""
    return lambda n: torch.linspace(low, high, n)


MODULES: dict[str, tuple[Callable[[int], Module], float]] = {
    "snntorch-leaky": (lambda n: snntorch.Leaky(beta=0.9), 3),
    "snntorch-leaky-zero": (lambda n: snntorch.Leaky(beta=0.8, reset_mechanism="zero"), 3),
    "snntorch-leaky-none": (lambda n: snntorch.Leaky(beta=0.6, reset_mechanism="none"), 3),
    "snntorch-leaky-each": (
        lambda n: snntorch.Leaky(beta=spread(0.5, 0.9)(n), threshold=spread(0.5, 2.0)(n)),
        3,
    ),
    "snntorch-rleaky": (lambda n: snntorch.RLeaky(beta=0.9, linear_features=n), 3),
    "snntorch-rleaky-own": (
        lambda n: snntorch.RLeaky(beta=0.9, V=torch.full((n,), -0.3), all_to_all=False),
        3,
    ),
    "snntorch-lapicque": (lambda n: snntorch.Lapicque(beta=0.8), 12),
    "snntorch-synaptic": (lambda n: snntorch.Synaptic(alpha=0.7, beta=0.8), 2),
    "snntorch-rsynaptic": (
        lambda n: snntorch.RSynaptic(alpha=0.7, beta=0.8, linear_features=n),
        1,
    ),
    "spikingjelly-if": (lambda n: neuron.IFNode(), 2),
    "spikingjelly-if-soft": (lambda n: neuron.IFNode(v_reset=None), 2),
    "spikingjelly-lif": (lambda n: neuron.LIFNode(tau=3.0), 8),
    "spikingjelly-lif-from": (lambda n: neuron.LIFNode(tau=3.0, v_reset=-0.2), 8),
    "spikingjelly-lif-soft": (
        lambda n: neuron.LIFNode(tau=3.0, decay_input=False, v_reset=None),
        4,
    ),
    "spikingjelly-plif": (lambda n: neuron.ParametricLIFNode(init_tau=2.5), 8),
    "sinabs-lif": (lambda n: sinabs.layers.LIF(tau_mem=8.0, norm_input=False), 2),
    "sinabs-lif-scaled": (lambda n: sinabs.layers.LIF(tau_mem=8.0), 40),
    "sinabs-lif-current": (
        lambda n: sinabs.layers.LIF(tau_mem=8.0, tau_syn=3.0, norm_input=False),
        2,
    ),
    "sinabs-iaf": (lambda n: sinabs.layers.IAF(), 2),
    "sinabs-iaf-single": (
        lambda n: sinabs.layers.IAF(spike_fn=SingleSpike, min_v_mem=-1.0),
        2,
    ),
    "norse-lif": (lambda n: norse.torch.LIFBoxCell(), 30),
    "norse-iaf": (lambda n: norse.torch.IAFCell(), 2),
}
"""Neuron modules, and a gain of the weights at which they spike."""


def parameters(module: Module) -> dict[str, np.ndarray[Any, Any]]:
    """Return all parameters and buffers by name."""
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def record_modules() -> None:
    """Write the traces of neuron modules."""
    for name, (make, gain) in MODULES.items():
        torch.manual_seed(sum(name.encode()))
        model = Stack(make, gain).eval()
        x = (torch.rand(SAMPLES, STEPS, INPUTS) < 0.4).float()
        with torch.no_grad():
            spikes = model(x)
        write(f"module-{name}", x, spikes, parameters(model))


def node(kind: str, n: int, dt: float, r: str) -> nir.NIRNode:
    """A spiking node with parameters of its own for each neuron, or one for all where asked."""
    rng = np.random.default_rng([n, len(kind), int(dt * 1e6)])
    tau = np.full(n, 12 * dt) if "uniform" in r else rng.uniform(6, 30, n) * dt
    level = np.full(n, 0.8) if "uniform" in r else rng.uniform(0.5, 1.2, n)
    gain = {"tau/dt": tau / dt, "1/dt": np.full(n, 1 / dt)}.get(
        r.removesuffix(" uniform"), np.ones(n)
    )
    # v_reset is 0 where it is left out; nir before 1.0.5, which sinabs asks for, does not know it.
    if kind == "IF":
        return nir.IF(r=gain, v_threshold=level)
    return nir.LIF(tau=tau, r=gain, v_leak=np.zeros(n), v_threshold=level)


def graph(kind: str, dt: float, r: str, gain: float) -> nir.NIRGraph:
    """Return two layers of one node kind, with random weights."""
    rng = np.random.default_rng(len(kind) + int(10 * gain))

    def affine(inputs: int, outputs: int) -> nir.Affine:
        weight = rng.normal(0, gain / np.sqrt(inputs), (outputs, inputs)).astype("f")
        return nir.Affine(weight, rng.normal(0, 0.1 * gain, outputs).astype("f"))

    names = ("input", "fc1", "n1", "fc2", "n2", "output")
    return nir.NIRGraph(
        nodes={
            "input": nir.Input({"input": np.array([INPUTS])}),
            "fc1": affine(INPUTS, HIDDEN),
            "n1": node(kind, HIDDEN, dt, r),
            "fc2": affine(HIDDEN, OUTPUTS),
            "n2": node(kind, OUTPUTS, dt, r),
            "output": nir.Output({"output": np.array([OUTPUTS])}),
        },
        edges=list(pairwise(names)),
    )


def stepped(model: Any, x: torch.Tensor) -> torch.Tensor:
    """Spikes of a graph executor that keeps its state outside."""
    state, out = None, []
    for t in range(x.shape[1]):
        found, state = model(x[:, t]) if state is None else model(x[:, t], state)
        out.append(found)
    return torch.stack(out, 1)


GRAPHS: dict[str, tuple[str, float, str, float, Callable[[nir.NIRGraph, torch.Tensor], Any]]] = {
    "norse-lif": ("LIF", 1e-3, "1", 20, lambda g, x: stepped(norse.torch.from_nir(g, dt=1e-3), x)),
    "norse-if": ("IF", 1e-3, "1", 2, lambda g, x: stepped(norse.torch.from_nir(g, dt=1e-3), x)),
    "sinabs-lif": ("LIF", 1.0, "1", 2, lambda g, x: sinabs_spikes(g, x)),
    "sinabs-if": ("IF", 1.0, "1", 2, lambda g, x: sinabs_spikes(g, x)),
    "spikingjelly-lif": (
        "LIF",
        1e-4,
        "tau/dt uniform",
        2,
        lambda g, x: stepped(jelly_from_nir(g, dt=1e-4), x),
    ),
    "spikingjelly-if": (
        "IF",
        1e-4,
        "1/dt uniform",
        2,
        lambda g, x: stepped(jelly_from_nir(g, dt=1e-4), x),
    ),
    "snntorch-nir-lif": (
        "LIF",
        1e-4,
        "tau/dt uniform",
        2,
        lambda g, x: stepped(import_from_nir(g), x),
    ),
}
"""Node kind, step, r, gain of the weights, and how the tool runs a graph."""


def sinabs_spikes(g: nir.NIRGraph, x: torch.Tensor) -> torch.Tensor:
    """Return the spikes of sinabs' own reading, which takes samples and steps as one axis."""
    model = sinabs.nir.from_nir(g, batch_size=SAMPLES)
    found = model(x.reshape(SAMPLES * STEPS, INPUTS))
    spikes = found[0] if isinstance(found, tuple) else found
    return spikes.reshape(SAMPLES, STEPS, OUTPUTS)


def record_graphs() -> None:
    """Write the traces of graphs, each run by a tool's own importer."""
    for name, (kind, dt, r, gain, run) in GRAPHS.items():
        torch.manual_seed(1)
        g = graph(kind, dt, r, gain)
        x = (torch.rand(SAMPLES, STEPS, INPUTS) < 0.4).float()
        try:
            with torch.no_grad():
                spikes = run(g, x)
        except Exception as error:  # a tool that cannot run its own reading is told, and left out
            print(f"graph {name}: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        values = {
            f"{each}.{field}": value
            for each, inner in g.nodes.items()
            for field, value in vars(inner).items()
            if isinstance(value, np.ndarray)
        }
        write(f"graph-{name}", x, spikes, {**values, "dt": np.array(dt)})


def write(name: str, x: torch.Tensor, spikes: torch.Tensor, values: dict[str, Any]) -> None:
    """Write one case, and say how busy it is."""
    found = spikes.detach().numpy()
    share = float((found > 0).mean())
    print(f"{name}: {share:.3f} spikes a neuron and step")
    if not 0.01 < share < 0.9:
        print(f"  {name} hardly changes: choose another gain", file=sys.stderr)
    np.savez_compressed(
        TRACES / f"{name}.npz",
        inputs=x.numpy().astype(np.uint8),
        spikes=found.astype(np.uint8),
        **values,
    )


if __name__ == "__main__":
    record_modules()
    record_graphs()
