"""PyTorch modules of other tools are read as they run: spikes equal those that were recorded.

The tools are not installed here: modules stand in for theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from convexon.errors import InputError
from convexon.interop.pytorch.modules import from_torch
from convexon.snn.models.real import stack_spikes
from stand_ins import HIDDEN, MODULES, OUTPUTS, jelly, norse, recurrent, sinabs, snntorch

TRACES = Path(__file__).parents[1] / "traces"


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


class Own(torch.nn.Module):
    """Two layers and a linear readout, gone through as a test says."""

    def __init__(self, forward: Callable[[Any, torch.Tensor], Any]) -> None:
        super().__init__()
        self.fc, self.n1, self.fc2, self.n2 = linear(6, 6), leaky(), linear(6, 6), leaky()
        self.o, self.drop, self.act = linear(6, 2), torch.nn.Dropout(0.5), torch.nn.Identity()
        self.given = forward

    def forward(self, x: torch.Tensor) -> Any:
        return self.given(self, x)

    def first(self, x: torch.Tensor) -> torch.Tensor:
        return self.drop(self.n1(self.fc(x))[0])

    def hidden(self, x: torch.Tensor) -> torch.Tensor:
        return self.drop(self.n2(self.fc2(self.first(x)))[0])


def linear(n_inputs: int, n: int) -> torch.nn.Module:
    return torch.nn.Linear(n_inputs, n)


def steps_in_turn(m: Own, x: torch.Tensor) -> list[torch.Tensor]:
    """Layer by layer, each through all steps."""
    below = [m.first(x[:, t]) for t in range(3)]
    return [m.o(m.n2(m.fc2(each))[0]) for each in below]


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: torch.stack([m.o(m.hidden(x[:, t])) for t in range(3)]),
        lambda m, x: torch.stack([m.o(m.hidden(x[:, t])) for t in range(3)], -1),
        lambda m, x: [m.o(m.hidden(each)) for each in x.permute(1, 0, 2)],
        lambda m, x: {"scores": sum(m.o(m.hidden(x[:, t])) for t in range(3)) / 3},
        lambda m, x: ([m.o(m.hidden(x[:, t])) for t in range(3)][-1], None),
        steps_in_turn,
    ],
)
def test_steps_are_gone_through_in_any_order(forward: Any) -> None:
    torch.manual_seed(0)
    real = from_torch(Own(forward), torch.rand(2, 3, 6))
    assert [layer.name for layer in real.layers] == ["n1", "n2"]
    assert real.readout_weights.shape == (6, 2)


def scaled_in_place(m: Own, x: torch.Tensor) -> torch.Tensor:
    current = m.fc(x)
    current *= 0.1
    return m.o(m.n2(m.fc2(m.n1(current)[0]))[0])


@pytest.mark.parametrize("axis", [0, 1])
def test_a_sample_may_be_repeated_for_modules_that_take_all_steps(axis: int) -> None:
    """As is usual with SpikingJelly's multi-step mode; of its copies nothing may be computed."""

    def row(factor: float) -> torch.nn.Module:
        made = Own(lambda m, x: m.n1(m.fc(factor * torch.stack([x] * 5, axis)))[0].mean(axis))
        made.n1 = jelly("IFNode", step_mode="m")(6)
        return made

    real = from_torch(row(1.0), torch.rand(2, 6))
    assert real.layers[0].weights.shape == (6, 6)
    for factor, sample in ((2.0, torch.rand(2, 6)), (1.0, torch.zeros(2, 6))):
        with pytest.raises(InputError, match=r"^fc must read the sample, or a step of it"):
            from_torch(row(factor), sample)


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda m, x: m.o(m.hidden((x - 0.5) * 10)), "fc must read the sample, or a step of it, "),
        (lambda m, x: m.o(m.hidden(x[None].mT)), "fc must read the sample, or a step of it, "),
        (lambda m, x: m.o(m.hidden(x.mul_(2))), "fc must read the sample, or a step of it, "),
        (lambda m, x: -m.o(m.hidden(x)), "the model must return what o gives, of each step or "),
        (lambda m, x: m.o(m.hidden(x)).flip(1), "the model must return what o gives, "),
        (lambda m, x: m.o(m.hidden(x)).argmax(), "the model must return what o gives, "),
        (scaled_in_place, "n1 must read what fc gives, unchanged: "),
        (
            lambda m, x: m.o(m.n2(m.fc2(m.n1(m.fc(x).T)[0]))[0]),
            "n1 must read what fc gives, unchanged: ",
        ),
        (
            lambda m, x: m.o(m.n2(m.fc2(m.fc2(m.first(x))))[0]),
            "fc2 must be called as often as fc, once a step, not 2 times to 1: give each layer ",
        ),
        (
            lambda m, x: m.n1(m.fc(m.first(x)))[0],
            "fc must read the sample, or a step of it, unchanged: ",
        ),
    ],
)
def test_what_is_computed_outside_of_modules_is_refused(forward: Any, message: str) -> None:
    """As many samples as inputs, so that a transposed tensor has the same shape."""
    torch.manual_seed(0)
    with pytest.raises(InputError, match=f"^{message}"):
        from_torch(Own(forward), torch.rand(6, 6))


def test_a_model_in_double_precision_stays_in_it() -> None:
    sample = torch.rand(1, 6, dtype=torch.float64)
    for model, kind in (
        (Row(linear(6, 4), leaky()), np.float32),
        (Row(linear(6, 4), leaky()).double(), np.float64),
    ):
        assert from_torch(model, sample).layers[0].weights.dtype == kind


def sub_class(**defined: Any) -> torch.nn.Module:
    """Neurons that are a sub-class of lateral ones, and define what is given."""
    base = snntorch("RLeaky", beta=torch.tensor(0.9), recurrent=recurrent)(4)
    base.__class__ = type("Mine", (type(base),), defined)
    return base


def test_a_sub_class_is_read_only_where_it_changes_nothing() -> None:
    real = from_torch(Row(linear(6, 4), sub_class(__init__=lambda self: None)), torch.rand(1, 6))
    assert real.layers[0].lateral is not None
    changed = Row(linear(6, 4), sub_class(fire=lambda self, mem: mem))
    with pytest.raises(InputError, match=r"^each.1 is a Mine, which changes .*: RLeaky itself is"):
        from_torch(changed, torch.rand(1, 6))


def test_state_of_training_is_told_in_one_line() -> None:
    model = Row(linear(6, 4), leaky())
    model.state = model.each[0](torch.rand(1, 6))
    with pytest.raises(InputError, match=r"^the model holds state of a training step: [^\n]*$"):
        from_torch(model, torch.rand(1, 6))


def test_parameters_of_a_channel_are_those_of_its_neurons() -> None:
    def image(n: int, *lengths: int) -> torch.nn.Module:
        beta = torch.linspace(0.5, 0.9, n).reshape(n, *lengths)
        return Row(torch.nn.Conv2d(1, 3, 3), snntorch("Leaky", beta=beta)(n), torch.nn.Flatten())

    real = from_torch(image(3, 1, 1), torch.rand(1, 1, 5, 5))
    np.testing.assert_allclose(real.layers[0].leak, np.repeat([0.5, 0.7, 0.9], 9), rtol=1e-6)
    with pytest.raises(InputError, match=r"^parameters of each.1 must have shape \(3, 3, 3\), or"):
        from_torch(image(4, 1, 1), torch.rand(1, 1, 5, 5))


def test_the_page_names_every_module_and_its_test() -> None:
    page = (Path(__file__).parents[3] / "docs" / "import.md").read_text()
    assert {name for name in MODULES if f"`test_modules[{name}]`" in page} == set(MODULES)
