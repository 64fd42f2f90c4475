"""Record what other tools do: `python benchmarks/record_traces.py` in an environment with them.

Each case is one .npz in tests/interop/traces: parameters of two layers, random spikes, and the
spikes that the tool itself produced. The tests need none of the tools, only these files. snnTorch
1.0.0, Norse 1.1.0, sinabs 3.1.3, SpikingJelly 2.0.0, Rockpool 3.1.0, lava-dl 0.6.0 and Lava 0.10.0
were recorded; `record_spyx.py` records Spyx. Lava and lava-dl ask for Python 3.10, and ran on 3.11
by pip's --ignore-requires-python, with `field(default_factory=ByteEncoder)` in var_model.py.
SpikingJelly's importer wants nirtorch 2.6 and nir 1.0.8, where sinabs asks for older ones.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import lava.lib.dl.slayer as slayer
import nir
import norse.torch
import numpy as np
import sinabs.layers
import sinabs.nir
import snntorch
import torch
from lava.proc.lif.models import PyLifModelBitAcc
from sinabs.activation import SingleSpike
from snntorch.import_nir import import_from_nir
from spikingjelly.activation_based import functional, neuron
from spikingjelly.activation_based.nir_exchange import import_from_nir as jelly_from_nir
from trace_graphs import (
    HIDDEN,
    INPUTS,
    OUTPUTS,
    SAMPLES,
    STEPS,
    Recipe,
    random_spikes,
    write,
    write_graph,
)

os.environ["PIP_NO_INDEX"] = "1"  # what Rockpool loads would install packages
from rockpool.nn.modules.torch.nir import _convert_nir_to_rockpool

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
        write(f"module-{name}", x, spikes.numpy(), parameters(model))


def stepped(model: Any, x: torch.Tensor) -> torch.Tensor:
    """Spikes of a graph executor that keeps its state outside."""
    state, out = None, []
    for t in range(x.shape[1]):
        found, state = model(x[:, t]) if state is None else model(x[:, t], state)
        out.append(found)
    return torch.stack(out, 1)


def sinabs_spikes(g: nir.NIRGraph, x: torch.Tensor) -> torch.Tensor:
    """Return the spikes of sinabs' own reading, which takes samples and steps as one axis."""
    model = sinabs.nir.from_nir(g, batch_size=SAMPLES)
    found = model(x.reshape(SAMPLES * STEPS, INPUTS))
    spikes = found[0] if isinstance(found, tuple) else found
    return spikes.reshape(SAMPLES, STEPS, OUTPUTS)


def of_lif(dt: float) -> Callable[[nir.NIRGraph, torch.Tensor], torch.Tensor]:
    """Spikes of snnTorch's own neurons, of which its export would have made the graph."""

    def run(g: nir.NIRGraph, x: torch.Tensor) -> torch.Tensor:
        def neurons(n: int) -> Module:
            made = g.nodes["n1" if n == HIDDEN else "n2"]
            threshold = torch.tensor(made.v_threshold).float()
            if isinstance(made, nir.LIF):
                return snntorch.Leaky(beta=share(made.tau), threshold=threshold)
            return snntorch.Synaptic(
                alpha=share(made.tau_syn), beta=share(made.tau_mem), threshold=threshold
            )

        def share(tau: np.ndarray[Any, Any]) -> torch.Tensor:
            return torch.tensor(1 - dt / tau).float()

        return filled(Stack(neurons, 1), g)(x)

    return run


def filled(stack: Module, g: nir.NIRGraph) -> Module:
    """A stack of two layers with the weights of a graph."""
    for name in ("fc1", "fc2"):
        linear = stack.get_submodule(name)
        linear.weight.data = torch.tensor(g.nodes[name].weight)
        linear.bias.data = torch.tensor(g.nodes[name].bias)
    return stack.eval()


def lava_dl_spikes(g: nir.NIRGraph, x: torch.Tensor) -> torch.Tensor:
    """Spikes of SLAYER's neurons, made as the importer of NIR's paper makes them."""
    signal = x
    for fc, name in (("fc1", "n1"), ("fc2", "n2")):
        node = g.nodes[name]
        given = signal @ torch.tensor(g.nodes[fc].weight).T + torch.tensor(g.nodes[fc].bias)
        if isinstance(node, nir.IF):
            level, scale, current, voltage = node.v_threshold * node.r, 4096, 1.0, 0.0
        else:
            level, scale = node.v_threshold, 64
            current, voltage = float(1e-4 / node.tau_syn[0]), float(1e-4 / node.tau_mem[0])
            given = given * torch.tensor(node.w_in * 1e-4 / node.tau_syn).float()
        neurons = slayer.neuron.cuba.Neuron(
            threshold=float(level[0]), current_decay=current, voltage_decay=voltage, scale=scale
        )
        signal = neurons(given.movedim(1, 2)).movedim(2, 1)
    return signal


def loihi_spikes(g: nir.NIRGraph, x: torch.Tensor) -> torch.Tensor:
    """Spikes of Lava's model of Loihi, with integers as the importer of NIR's paper makes them.

    Its own methods compute; spikes are handed on at once, where Lava would take a step.
    """
    signal = x.numpy().astype(np.int64)
    for fc, name in (("fc1", "n1"), ("fc2", "n2")):
        node, out = g.nodes[name], np.zeros((*signal.shape[:2], len(g.nodes[name].tau)), np.int64)
        weights = (256 * g.nodes[fc].weight * (1e-4 / node.tau)[:, None]).astype(np.int32)
        for sample in range(len(signal)):
            model = PyLifModelBitAcc({})
            model.u, model.v = np.zeros((2, len(node.tau)), dtype=np.int32)
            model.du, model.dv = int(1.0 * 4095), (1e-4 / node.tau * 4095).astype(np.int32)
            model.vth = (node.v_threshold * 131071).astype(np.int32) >> 9
            model.scale_threshold()
            for t in range(signal.shape[1]):
                model.subthr_dynamics((weights @ signal[sample, t]).astype(np.int32))
                fired = model.spiking_activation()
                model.reset_voltage(fired)
                out[sample, t] = fired
        signal = out
    return torch.tensor(signal)


def rockpool_spikes(g: nir.NIRGraph, x: torch.Tensor) -> torch.Tensor:
    """Spikes of Rockpool's own reading, node by node."""
    signal = x
    for each in ("fc1", "n1", "fc2", "n2"):
        signal, *_ = _convert_nir_to_rockpool(g.nodes[each])(signal)
    return signal


def norse_spikes(g: nir.NIRGraph, x: torch.Tensor) -> torch.Tensor:
    """Spikes of Norse's own reading at a step of 1 ms."""
    return stepped(norse.torch.from_nir(g, dt=1e-3), x)


def jelly_spikes(g: nir.NIRGraph, x: torch.Tensor) -> torch.Tensor:
    """Spikes of SpikingJelly's own reading at a step of 0.1 ms."""
    return stepped(jelly_from_nir(g, dt=1e-4), x)


def snntorch_spikes(g: nir.NIRGraph, x: torch.Tensor) -> torch.Tensor:
    """Spikes of snnTorch's own reading."""
    return stepped(import_from_nir(g), x)


Run = Callable[[nir.NIRGraph, torch.Tensor], Any]

GRAPHS: dict[str, tuple[Recipe, Run]] = {
    "norse-lif": (Recipe(kind="LIF", dt=1e-3, gain=20), norse_spikes),
    "norse-if": (Recipe(kind="IF", dt=1e-3), norse_spikes),
    "norse-cuba": (
        Recipe(kind="CubaLIF", dt=1e-3, r="tau/dt", w_in="tau/dt", gain=1),
        norse_spikes,
    ),
    "sinabs-lif": (Recipe(kind="LIF", dt=1.0), sinabs_spikes),
    "sinabs-if": (Recipe(kind="IF", dt=1.0), sinabs_spikes),
    "spikingjelly-lif": (Recipe(kind="LIF", dt=1e-4, r="tau/dt", alike=True), jelly_spikes),
    "spikingjelly-if": (Recipe(kind="IF", dt=1e-4, r="1/dt", alike=True), jelly_spikes),
    "spikingjelly-cuba": (
        Recipe(kind="CubaLIF", dt=1e-4, r="tau/dt", w_in="tau/dt", gain=1, alike=True),
        jelly_spikes,
    ),
    "snntorch-lif": (Recipe(kind="LIF", dt=1e-4, r="tau/dt"), of_lif(1e-4)),
    "snntorch-cuba": (
        Recipe(kind="CubaLIF", dt=1e-4, r="tau/dt", w_in="tau/dt", gain=1),
        of_lif(1e-4),
    ),
    "snntorch-nir-lif": (Recipe(kind="LIF", dt=1e-4, r="tau/dt", alike=True), snntorch_spikes),
    "snntorch-nir-cuba": (
        Recipe(kind="CubaLIF", dt=1e-4, r="tau/dt", w_in="tau/dt", gain=1, alike=True),
        snntorch_spikes,
    ),
    "rockpool-cuba": (
        Recipe(kind="CubaLIF", dt=1e-3, r="tau/dt - 1", gain=1),
        rockpool_spikes,
    ),
    "lava-dl-if": (Recipe(kind="IF", dt=1e-4, alike=True), lava_dl_spikes),
    "lava-dl-cuba": (
        Recipe(kind="CubaLIF", dt=1e-4, r="tau/dt", w_in="tau/dt", gain=1, alike=True),
        lava_dl_spikes,
    ),
    "loihi-lif": (Recipe(kind="LIF", dt=1e-4, gain=20, bias=False), loihi_spikes),
}
"""What a graph is made of, and how the tool runs it."""


def record_graphs() -> None:
    """Write the traces of graphs, each run by a tool's own importer, or by its own neurons."""
    for name, (recipe, run) in GRAPHS.items():
        torch.manual_seed(1)
        g, x = recipe.graph(), torch.from_numpy(random_spikes(1))
        try:
            with torch.no_grad():
                spikes = run(g, x)
        except Exception as error:  # a tool that cannot run its own reading is told, and left out
            print(f"graph {name}: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        write_graph(name, g, recipe.dt, x, spikes)


if __name__ == "__main__":
    record_modules()
    record_graphs()
