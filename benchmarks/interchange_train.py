"""Train small networks in snnTorch, Norse, SpikingJelly and sinabs, and record what they do.

    PYTHONPATH=py python benchmarks/interchange_train.py [--seeds N] [NAME ...]

It runs in an environment that has those tools, mlxtend, aeon and seglearn, which need not be
Convexon's own, and writes build/interchange/NAME.npz: the network as `cx.from_torch` reads the
tool's own module, samples, and the spikes of every layer that the tool itself produced on the test
samples. Both compute in float64 there, so that the order of a sum decides no spike. A network whose
file is there is not trained again. With --seeds N each is trained from N seeds; files of the second
on are NAME.1.npz, NAME.2.npz and so on.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import norse.torch
import numpy as np
import sinabs.layers
import snntorch
import torch
from interchange_data import DATA, LEVEL_STEP, LEVEL_ZERO, Split
from real_files import arrays_of
from sinabs.activation import SingleSpike
from spikingjelly.activation_based import functional, neuron

from convexon.interop.pytorch.modules import from_torch
from convexon.snn.models.real import RealNetwork

FOLDER = Path(__file__).parent.parent / "build" / "interchange"
STEPS = 10
"""Steps of an inference whose samples have none."""

Module = torch.nn.Module
Tensor = torch.Tensor


class Steps(Module):
    """Modules in a row, called once a step; what the last of them gives is summed over steps."""

    def __init__(self, *modules: Module) -> None:
        super().__init__()
        self.row = torch.nn.ModuleList(modules)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores, (samples, classes), of values at each step, or of the same at all."""
        forget(self)
        states: list[Any] = [None] * len(self.row)
        total: Tensor | None = None
        for t in range(x.shape[1] if x.ndim == 3 else STEPS):
            signal = x[:, t] if x.ndim == 3 else x
            for k, module in enumerate(self.row):
                signal, states[k] = stepped(module, signal, states[k])
            total = signal if total is None else total + signal
        if total is None:
            raise ValueError("samples must have steps")
        return total


def forget(model: Module) -> None:
    """Set every state back to where an inference starts."""
    functional.reset_net(model)
    for module in model.modules():
        for name in ("reset_mem", "reset_states"):
            if hasattr(module, name):
                getattr(module, name)()


def stepped(module: Module, signal: Tensor, state: Any) -> tuple[Tensor, Any]:
    """One step of a module, with the state that some tools hand about."""
    root = type(module).__module__.partition(".")[0]
    if root == "snntorch":
        found = module(signal) if state is None else module(signal, *state)
        keeps_spikes = type(module).__name__.startswith("R")
        return found[0], found if keeps_spikes else found[1:]
    if root == "norse":
        given, state = module(signal, state)
        return given, state
    return module(signal), None


class Flat(Module):
    """Modules in a row, which read steps of all samples as one axis: sinabs' Squeeze."""

    def __init__(self, *modules: Module) -> None:
        super().__init__()
        self.row = torch.nn.Sequential(*modules)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores of each step, (samples times steps, classes)."""
        return self.row(x)


class Linear(torch.nn.Linear):
    """torch's, in the type of its weights: some tools give spikes as float32 always."""

    def forward(self, x: Tensor) -> Tensor:
        """Return what the layer gives."""
        return super().forward(x.to(self.weight.dtype))


class Conv2d(torch.nn.Conv2d):
    """torch's, in the type of its weights."""

    def forward(self, x: Tensor) -> Tensor:
        """Return what the layer gives."""
        return super().forward(x.to(self.weight.dtype))


class Standard(Module):
    """What the levels of a series stand for."""

    def forward(self, x: Tensor) -> Tensor:
        """Return standardized values."""
        return (x - LEVEL_ZERO) * LEVEL_STEP


def scaled(inputs: int, outputs: int, gain: float) -> Linear:
    """A linear layer with ``gain`` times the weights that torch draws."""
    made = Linear(inputs, outputs)
    with torch.no_grad():
        made.weight *= gain
        made.bias *= gain
    return made


@dataclass(frozen=True, kw_only=True)
class Net:
    """A network that is trained: its data, how it is made, and how it learns.

    ``noise`` is that of each weight while gradients are computed, as a share of the largest weight
    of its neuron: 0.04 is what rounding to 4 bits will do.
    """

    data: str
    make: Callable[[], Module]
    epochs: int
    rate: float = 2e-3
    noise: float = 0.0


def leaky(**members: Any) -> Module:
    """A neuron of snnTorch, whose leak is learned."""
    return snntorch.Leaky(beta=0.9, learn_beta=True, **members)


def recurrent(n: int) -> Module:
    """Neurons of snnTorch, which read each other's spikes."""
    made = snntorch.RLeaky(beta=0.9, linear_features=n)
    made.recurrent = scaled(n, n, 1)
    return made


def boxed() -> Module:
    """Norse's leaky neuron, with a slope that small networks learn by."""
    return norse.torch.LIFBoxCell(p=norse.torch.LIFBoxParameters(alpha=torch.as_tensor(10.0)))


def integrate(steps: int) -> Module:
    """A neuron of sinabs without leak, one spike a step."""
    return sinabs.layers.IAFSqueeze(num_timesteps=steps, spike_fn=SingleSpike)


def leaking(steps: int, tau_syn: float | None = None) -> Module:
    """A leaky neuron of sinabs, one spike a step; with a synaptic current where it is stated."""
    return sinabs.layers.LIFSqueeze(
        tau_mem=8.0,
        tau_syn=tau_syn,
        norm_input=False,
        num_timesteps=steps,
        spike_fn=SingleSpike,
    )


NETS: Mapping[str, Net] = MappingProxyType(
    {
        "snntorch-digits": Net(
            data="digits",
            make=lambda: Steps(scaled(64, 48, 1), leaky(), scaled(48, 10, 1), leaky()),
            epochs=60,
        ),
        "snntorch-mnist-zero": Net(
            data="mnist",
            make=lambda: Steps(
                scaled(196, 64, 1),
                leaky(reset_mechanism="zero"),
                scaled(64, 10, 1),
                leaky(reset_mechanism="zero"),
            ),
            epochs=40,
        ),
        "snntorch-vowels-recurrent": Net(
            data="vowels",
            make=lambda: Steps(
                Standard(),
                scaled(12, 64, 1),
                recurrent(64),
                scaled(64, 9, 1),
            ),
            epochs=80,
            noise=0.04,
        ),
        "sinabs-vowels-current": Net(
            data="vowels",
            make=lambda: Flat(
                Standard(), scaled(12, 64, 1), leaking(29, tau_syn=3.0), scaled(64, 9, 1)
            ),
            epochs=80,
            noise=0.04,
        ),
        "snntorch-watch-recurrent": Net(
            data="watch",
            make=lambda: Steps(
                Standard(),
                scaled(6, 48, 1),
                recurrent(48),
                scaled(48, 7, 1),
            ),
            epochs=60,
            noise=0.04,
        ),
        "norse-mnist": Net(
            data="mnist",
            make=lambda: Steps(scaled(196, 64, 10), boxed(), scaled(64, 10, 10), boxed()),
            epochs=40,
            rate=1e-2,
        ),
        "norse-watch": Net(
            data="watch",
            make=lambda: Steps(Standard(), scaled(6, 64, 10), boxed(), scaled(64, 7, 1)),
            epochs=60,
            noise=0.04,
            rate=5e-3,
        ),
        "spikingjelly-mnist": Net(
            data="mnist",
            make=lambda: Steps(
                scaled(196, 64, 4), neuron.LIFNode(), scaled(64, 10, 4), neuron.LIFNode()
            ),
            epochs=40,
        ),
        "spikingjelly-convolution": Net(
            data="mnist",
            make=lambda: Steps(
                torch.nn.Unflatten(1, (1, 14, 14)),
                Conv2d(1, 12, 5, stride=2, padding=1),
                torch.nn.BatchNorm2d(12),
                neuron.IFNode(v_reset=None),
                torch.nn.AvgPool2d(2),
                torch.nn.Flatten(),
                scaled(108, 10, 2),
            ),
            epochs=40,
        ),
        "sinabs-digits": Net(
            data="digits",
            make=lambda: Flat(
                scaled(64, 48, 1), integrate(STEPS), scaled(48, 10, 1), integrate(STEPS)
            ),
            epochs=60,
        ),
        "sinabs-convolution": Net(
            data="mnist",
            make=lambda: Flat(
                torch.nn.Unflatten(1, (1, 14, 14)),
                Conv2d(1, 6, 5, stride=2, padding=1),
                integrate(STEPS),
                Conv2d(6, 12, 3),
                integrate(STEPS),
                torch.nn.Flatten(),
                scaled(192, 10, 1),
            ),
            epochs=30,
        ),
        "sinabs-watch": Net(
            data="watch",
            make=lambda: Flat(Standard(), scaled(6, 64, 1), leaking(25), scaled(64, 7, 1)),
            epochs=60,
            noise=0.04,
        ),
    }
)
"""By name; the first part of each is the tool."""

BATCH = 64


def outputs_of(model: Module, x: Tensor) -> Tensor:
    """Scores, summed over the steps."""
    if not isinstance(model, Flat):
        return model(x)
    forget(model)
    rows = x if x.ndim == 3 else torch.stack([x] * STEPS, 1)
    return model(rows.flatten(0, 1)).unflatten(0, rows.shape[:2]).sum(1)


@contextmanager
def noisy(model: Module, share: float) -> Iterator[None]:
    """Matrices of weights with noise, until the end of the block."""
    kept = [(each, each.detach().clone()) for each in model.parameters() if each.ndim == 2]
    for weights, clean in kept:
        largest = clean.abs().amax(dim=1, keepdim=True)
        weights.data += share * largest * torch.randn_like(clean)
    yield
    for weights, clean in kept:
        weights.data.copy_(clean)


def trained(net: Net, split: Split, seed: int) -> Module:
    """Learn by the tool's own surrogate gradients; the test is not looked at."""
    torch.manual_seed(seed)
    model = net.make()
    values, labels = torch.from_numpy(split.train), torch.from_numpy(split.train_labels)
    optimizer = torch.optim.Adam(model.parameters(), lr=net.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, net.epochs)
    for _ in range(net.epochs):
        for chosen in torch.randperm(len(values)).split(BATCH):
            optimizer.zero_grad()
            with noisy(model, net.noise):
                found = outputs_of(model, values[chosen])
                scale = found.detach().abs().max().clamp(min=1) / 10
                torch.nn.functional.cross_entropy(found / scale, labels[chosen]).backward()
            optimizer.step()
        schedule.step()
    return model.eval()


def known(net: Net, file: Path) -> Module:
    """The network of a file, with what it learned: it is read and recorded anew."""
    model = net.make()
    with np.load(file) as arrays:
        own = {
            key.removeprefix("learned."): torch.from_numpy(arrays[key])
            for key in arrays
            if key.startswith("learned.")
        }
    model.load_state_dict(own, strict=False)
    return model.eval()


def recorded(model: Module, network: RealNetwork, x: Tensor) -> dict[str, np.ndarray]:
    """Spikes of every layer, (samples, steps, neurons), and scores, as the tool computes them."""
    given: dict[str, list[Tensor]] = {layer.name: [] for layer in network.layers}

    def keep(name: str) -> Callable[[Module, Any, Any], None]:
        def hook(_: Module, __: Any, gave: Any) -> None:
            given[name].append(gave[0] if isinstance(gave, tuple) else gave)

        return hook

    for name in given:
        model.get_submodule(name).register_forward_hook(keep(name))
    with torch.no_grad():
        scores = outputs_of(model, x)
    spikes = {}
    for name, each in given.items():
        steps = each[0].unflatten(0, (len(x), -1)) if len(each) == 1 else torch.stack(each, 1)
        spikes[f"spikes.{name}"] = steps.flatten(2).numpy().astype(np.uint8)
    return {**spikes, "scores": scores.numpy()}


def record(name: str, turn: int = 0) -> None:
    """Train one network from a seed of this turn, and write its file."""
    net, file = NETS[name], FOLDER / (f"{name}.{turn}.npz" if turn else f"{name}.npz")
    split, seed = DATA[net.data](), sum(name.encode()) + turn * 10_000
    started = time.monotonic()
    model = known(net, file) if file.exists() else trained(net, split, seed=seed)
    took = time.monotonic() - started
    forget(model)
    fresh = net.make().state_dict()
    learned = {
        f"learned.{key}": value.numpy()
        for key, value in model.state_dict().items()
        if key in fresh and value.shape == fresh[key].shape  # states have their samples' shape
    }
    model = model.double()
    calibrate, labels = split.calibration()
    test = torch.from_numpy(split.test).double()
    shape = (STEPS, test.shape[1]) if test.ndim == 2 else test.shape[1:]
    sample = torch.rand(*shape if isinstance(model, Flat) else (1, *test.shape[1:])).double()
    started = time.monotonic()
    network = from_torch(model, sample)
    seconds = time.monotonic() - started
    found = recorded(model, network, test)
    right = float((found["scores"].argmax(1) == split.test_labels).mean())
    rates = [round(float(found[f"spikes.{each.name}"].mean()), 3) for each in network.layers]
    print(
        f"{file.stem}: accuracy {right:.4f}, spikes a neuron and step {rates}, {took:.0f} s",
        flush=True,
    )
    FOLDER.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        file,
        calibrate=calibrate,
        calibrate_labels=labels,
        test=split.test,
        test_labels=split.test_labels,
        seconds=np.array(seconds),
        steps=np.array(STEPS if test.ndim == 2 else test.shape[1]),
        **arrays_of(network),
        **found,
        **learned,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NETS, []], metavar="NAME")
    parser.add_argument("--seeds", type=int, default=1, metavar="N")
    torch.set_num_threads(1)
    chosen = parser.parse_args()
    for each in chosen.names or NETS:
        for turn in range(chosen.seeds):
            record(each, turn)
