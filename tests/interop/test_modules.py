"""PyTorch modules of other tools are read as they run: spikes equal those that were recorded.

The tools are not installed here. Neurons stand in for theirs: modules of the same class names with
the same members, from which the reader takes all that it knows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from convexon.errors import InputError
from convexon.interop.modules import from_torch
from convexon.snn.real import stack_spikes

TRACES = Path(__file__).parent / "traces"
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


class Stack(torch.nn.Module):
    """Two linear layers, each with neurons; sinabs' take all steps at once."""

    def __init__(self, make: Callable[[int], torch.nn.Module], inputs: int = 10) -> None:
        super().__init__()
        self.fc1, self.n1 = torch.nn.Linear(inputs, HIDDEN), make(HIDDEN)
        self.drop = torch.nn.Dropout(0.5)
        self.fc2, self.n2 = torch.nn.Linear(HIDDEN, OUTPUTS), make(OUTPUTS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(2):  # what comes after the first step is of no interest
            hidden, _ = self.n1(self.fc1(x))
            out, _ = self.n2(self.fc2(self.drop(hidden)))
        return out


@pytest.mark.parametrize("name", MODULES)
def test_spikes_are_those_of_the_tool(name: str) -> None:
    with np.load(TRACES / f"module-{name}.npz") as file:
        arrays = dict(file)
    model = Stack(MODULES[name])
    state = model.state_dict()
    for key in state:
        value = torch.tensor(arrays[key])
        assert value.shape == state[key].shape
        state[key] = value
    model.load_state_dict(state)
    inputs = arrays["inputs"]
    sample = inputs[:1] if name.startswith("sinabs") else inputs[:1, 0]
    real = from_torch(model, sample)
    assert [layer.name for layer in real.layers] == ["n1", "n2"]
    spikes = stack_spikes(real.layers, inputs)[-1]
    assert 0.01 < arrays["spikes"].mean() < 0.9
    np.testing.assert_array_equal(spikes, arrays["spikes"])


def test_every_recorded_module_is_read() -> None:
    recorded = {path.stem.removeprefix("module-") for path in TRACES.glob("module-*.npz")}
    assert recorded == set(MODULES)


class Row(torch.nn.Module):
    """Modules one after the other; of a pair that neurons give, the spikes go on."""

    def __init__(self, *modules: torch.nn.Module, change: Any = None) -> None:
        super().__init__()
        self.each, self.change = torch.nn.ModuleList(modules), change

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for module in self.each:
            found = module(x)
            x = found[0] if isinstance(found, tuple) else found
            if self.change is not None:
                x = self.change(x)
        return x


def leaky(n: int = 0) -> torch.nn.Module:
    return snntorch("Leaky", beta=torch.tensor(0.9))(n)


def test_linear_modules_are_one_matrix() -> None:
    """Convolution, batch normalisation, pooling, flattening and a layer are what they compute."""
    torch.manual_seed(3)
    row = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3, stride=2, padding=1, groups=1),
        torch.nn.BatchNorm2d(3),
        torch.nn.AvgPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Dropout(0.3),
        torch.nn.Linear(12, 7),
        torch.nn.BatchNorm1d(7),
    )
    for norm in (row[1], row[6]):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    images = torch.randn(5, 2, 8, 8)
    real = from_torch(Row(*row, leaky(), torch.nn.Linear(7, 4)), images[:1])
    with torch.no_grad():
        expected = row.eval()(images).numpy()
    flat = images.numpy().reshape(5, -1)
    found = flat @ real.layers[0].weights + real.layers[0].biases
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert real.readout_weights.shape == (7, 4)
    assert real.n_inputs == 128


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Row(torch.nn.Linear(6, 4)), "Row must have neurons: none of its modules spikes"),
        (
            Row(torch.nn.Linear(6, 4), torch.nn.ReLU(), leaky()),
            "each.1 is a ReLU, which is neither linear nor a neuron that is known here",
        ),
        (
            Row(torch.nn.Linear(6, 4), leaky(), change=lambda x: x * 2),
            "each.1 must read what each.0 gives, unchanged: ",
        ),
        (Row(torch.nn.Linear(5, 4), leaky()), "the model does not run on the sample: "),
        (Row(torch.nn.LSTM(6, 4), leaky()), r"each.0 \(LSTM\) cannot be read: "),
        (
            Row(torch.nn.Linear(6, 4), snntorch("Leaky", beta=0.9, reset_delay=False)(4)),
            "each.1 has reset_delay=False, ",
        ),
        (
            Row(torch.nn.Linear(6, 4), snntorch("Leaky", beta=0.9, inhibition=True)(4)),
            "each.1 must not inhibit all but one neuron",
        ),
        (
            Row(
                torch.nn.Linear(6, 4),
                snntorch("Synaptic", beta=0.9, alpha=0.8, reset_mechanism="zero")(4),
            ),
            "each.1 is a Synaptic with reset_mechanism='zero', ",
        ),
        (
            Row(torch.nn.Linear(6, 4), norse("LIFBoxCell", v_reset=0.5)(4)),
            "each.1 must have v_reset 0",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_has_no_counterpart_is_refused(model: torch.nn.Module, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        from_torch(model, torch.zeros(1, 6))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"spike_fn": object()}, "each.1 must fire by sinabs' MultiSpike or SingleSpike"),
        ({"rec_connect": object()}, "each.1 must have no recurrent connection"),
    ],
)
def test_what_sinabs_can_do_besides_is_refused(members: dict[str, Any], message: str) -> None:
    model = Row(torch.nn.Linear(6, 4), sinabs("IAF", **members)(4))
    with pytest.raises(InputError, match=f"^{message}"):
        from_torch(model, torch.zeros(1, 3, 6))


def test_the_page_names_every_module_and_its_test() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "import.md").read_text()
    assert {name for name in MODULES if f"`test_modules[{name}]`" in page} == set(MODULES)
