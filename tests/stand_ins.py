"""Neurons that stand in for those of other tools, which are not installed here.

Modules of the same class names with the same members, from which the reader takes all that it
knows; parameters are those of the traces in tests/interop/traces.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch

HIDDEN, OUTPUTS = 14, 5


def stand_in(path: str, **members: Any) -> torch.nn.Module:
    """A module of a class of this name, such as ``snntorch._neurons.leaky.Leaky``."""
    module, _, name = path.rpartition(".")

    def forward(self: Any, x: torch.Tensor, *state: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return (x > 0).float(), x.clone()

    kind = type(name, (torch.nn.Module,), {"__module__": module, "forward": forward})
    made: torch.nn.Module = kind()
    for key, value in members.items():
        setattr(made, key, value)
    return made


def snntorch(kind: str, **members: Any) -> Callable[[int], torch.nn.Module]:
    def make(n: int) -> torch.nn.Module:
        known = {key: value(n) if callable(value) else value for key, value in members.items()}
        stated = {
            "threshold": torch.tensor(1.0),
            "reset_mechanism": "subtract",
            "reset_delay": True,
            "inhibition": False,
            "state_quant": False,
            "graded_spikes_factor": torch.tensor(1.0),
        }
        return stand_in(f"snntorch._neurons.{kind.lower()}.{kind}", **{**stated, **known})

    return make


def jelly(kind: str, **members: Any) -> Callable[[int], torch.nn.Module]:
    stated = {"v_threshold": 1.0, "v_reset": 0.0, "step_mode": "s", "decay_input": True}
    known = {**stated, **members}
    return lambda n: stand_in(f"spikingjelly.activation_based.neuron.{kind}", **known)


class MultiSpike:
    pass


class SingleSpike:
    pass


class MembraneSubtract:
    subtract_value = None


def sinabs(kind: str, **members: Any) -> Callable[[int], torch.nn.Module]:
    stated = {
        "spike_fn": MultiSpike,
        "reset_fn": MembraneSubtract(),
        "spike_threshold": torch.tensor(1.0),
        "min_v_mem": None,
        "tau_mem": None,
        "tau_syn": None,
        "norm_input": False,
    }
    known = {**stated, **members}
    return lambda n: stand_in(f"sinabs.layers.{kind.lower()}.{kind}", **known)


def norse(kind: str, **members: Any) -> Callable[[int], torch.nn.Module]:
    stated = {"v_th": 1.0, "v_reset": 0.0, "v_leak": 0.0, "tau_mem_inv": 100.0}
    p = SimpleNamespace(**{k: torch.tensor(v) for k, v in {**stated, **members}.items()})
    return lambda n: stand_in(f"norse.torch.module.{kind.lower()}.{kind}", p=p, dt=1e-3)


def recurrent(n: int) -> torch.nn.Module:
    return torch.nn.Linear(n, n)


def decay(tau: float) -> torch.Tensor:
    return torch.exp(torch.tensor(-1.0 / tau))


_LAPICQUE = {
    "beta": torch.tensor(0.8),
    "time_step": torch.tensor(1.0),
    "R": torch.tensor(1.0),
    "C": 1.0 / torch.log(torch.tensor(1 / 0.8)),
}
MODULES: dict[str, Callable[[int], torch.nn.Module]] = {
    "snntorch-leaky": snntorch("Leaky", beta=torch.tensor(0.9)),
    "snntorch-leaky-zero": snntorch("Leaky", beta=torch.tensor(0.8), reset_mechanism="zero"),
    "snntorch-leaky-none": snntorch("Leaky", beta=torch.tensor(0.6), reset_mechanism="none"),
    "snntorch-leaky-each": snntorch(
        "Leaky",
        beta=lambda n: torch.linspace(0.5, 0.9, n),
        threshold=lambda n: torch.linspace(0.5, 2.0, n),
    ),
    "snntorch-rleaky": snntorch("RLeaky", beta=torch.tensor(0.9), recurrent=recurrent),
    "snntorch-rleaky-own": snntorch(
        "RLeaky",
        beta=torch.tensor(0.9),
        recurrent=lambda n: SimpleNamespace(V=torch.full((n,), -0.3)),
    ),
    "snntorch-lapicque": snntorch("Lapicque", **_LAPICQUE),
    "snntorch-synaptic": snntorch("Synaptic", alpha=torch.tensor(0.7), beta=torch.tensor(0.8)),
    "snntorch-rsynaptic": snntorch(
        "RSynaptic", alpha=torch.tensor(0.7), beta=torch.tensor(0.8), recurrent=recurrent
    ),
    "spikingjelly-if": jelly("IFNode"),
    "spikingjelly-if-soft": jelly("IFNode", v_reset=None),
    "spikingjelly-lif": jelly("LIFNode", tau=3.0),
    "spikingjelly-lif-from": jelly("LIFNode", tau=3.0, v_reset=-0.2),
    "spikingjelly-lif-soft": jelly("LIFNode", tau=3.0, v_reset=None, decay_input=False),
    "spikingjelly-plif": jelly("ParametricLIFNode", w=-torch.log(torch.tensor(2.5 - 1.0))),
    "sinabs-lif": sinabs("LIF", tau_mem=8.0, alpha_mem_calculated=decay(8.0)),
    "sinabs-lif-scaled": sinabs(
        "LIF", tau_mem=8.0, alpha_mem_calculated=decay(8.0), norm_input=True
    ),
    "sinabs-lif-current": sinabs(
        "LIF",
        tau_mem=8.0,
        tau_syn=3.0,
        alpha_mem_calculated=decay(8.0),
        alpha_syn_calculated=decay(3.0),
    ),
    "sinabs-iaf": sinabs("IAF"),
    "sinabs-iaf-single": sinabs("IAF", spike_fn=SingleSpike, min_v_mem=torch.tensor(-1.0)),
    "norse-lif": norse("LIFBoxCell"),
    "norse-iaf": norse("IAFCell"),
}

HEADS: dict[str, tuple[Callable[[int], torch.nn.Module], Callable[[int], torch.nn.Module]]] = {
    "norse-li": (norse("LIFBoxCell", v_leak=0.2), norse("LICell", tau_syn_inv=200.0)),
    "norse-li-box": (norse("LIFBoxCell"), norse("LIBoxCell")),
    "snntorch-leaky": (
        snntorch("Leaky", beta=torch.tensor(0.9)),
        snntorch("Leaky", beta=lambda n: torch.linspace(0.5, 0.9, n), reset_mechanism="none"),
    ),
    "snntorch-synaptic": (
        snntorch("Leaky", beta=torch.tensor(0.9)),
        snntorch(
            "Synaptic", alpha=torch.tensor(0.7), beta=torch.tensor(0.8), reset_mechanism="none"
        ),
    ),
}
"""Hidden neurons, and those whose membranes are the scores."""
