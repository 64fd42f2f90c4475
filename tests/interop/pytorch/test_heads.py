"""PyTorch modules that end in membranes: they equal those that the tools recorded.

The tools are not installed here: modules stand in for theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import convexon as cx
from convexon.errors import InputError
from convexon.interop.pytorch.modules import from_torch
from convexon.snn.models.real import outputs, scores
from convexon.snn.models.simulate import scores as integer_scores
from convexon.snn.neuron import ReadoutMode
from stand_ins import HEADS, HIDDEN, OUTPUTS, norse, recurrent, snntorch

TRACES = Path(__file__).parents[1] / "traces"

Read = Callable[[list[torch.Tensor]], Any]

RETURNED: dict[str, Read] = {
    "a list of each step": lambda steps: steps,
    "each step": lambda steps: torch.stack(steps, 1),
    "the last": lambda steps: steps[-1],
    "the largest": lambda steps: torch.max(torch.stack(steps), 0),
}


class Headed(torch.nn.Module):
    """A hidden layer and a head, whose membranes are returned as a test says."""

    def __init__(
        self, hidden: torch.nn.Module, head: torch.nn.Module, read: Read, n_inputs: int = 10
    ) -> None:
        super().__init__()
        self.fc1, self.n1 = torch.nn.Linear(n_inputs, HIDDEN), hidden
        self.fc2, self.n2, self.read = torch.nn.Linear(HIDDEN, OUTPUTS), head, read
        self.spikes = False

    def forward(self, x: torch.Tensor) -> Any:
        gives_membranes = type(self.n2).__name__.startswith("LI")
        steps = []
        for t in range(x.shape[1]):
            spikes, _ = self.n1(self.fc1(x[:, t]))
            found = self.n2(self.fc2(spikes))
            steps.append(found[0] if gives_membranes or self.spikes else found[1])
        return self.read(steps)


def headed(name: str, read: str = "each step") -> Headed:
    torch.manual_seed(2)
    hidden, head = HEADS[name]
    return Headed(hidden(HIDDEN), head(OUTPUTS), RETURNED[read])


@pytest.mark.parametrize("name", HEADS)
def test_membranes_are_those_of_the_tool(name: str) -> None:
    with np.load(TRACES / f"head-{name}.npz") as file:
        arrays = dict(file)
    model = headed(name)
    model.load_state_dict({key: torch.tensor(arrays[key]) for key in model.state_dict()})
    real = from_torch(model, arrays["inputs"][:1])
    assert real.readout_mode is ReadoutMode.MEMBRANE
    spikes, membranes = outputs(real, arrays["inputs"])
    assert 0.01 < arrays["spikes"].mean() < 0.9
    np.testing.assert_array_equal(spikes[0], arrays["spikes"])
    assert not spikes[1].any()
    np.testing.assert_allclose(membranes, arrays["membranes"], rtol=1e-5, atol=1e-4)
    peak = from_torch(model, arrays["inputs"][:1], integrators="peak")
    np.testing.assert_allclose(
        scores(peak, membranes), arrays["membranes"].max(axis=1), rtol=1e-5, atol=1e-4
    )


def test_every_recorded_head_is_read_and_on_the_page() -> None:
    recorded = {path.stem.removeprefix("head-") for path in TRACES.glob("head-*.npz")}
    assert recorded == set(HEADS)
    page = (Path(__file__).parents[3] / "docs" / "import.md").read_text()
    assert {name for name in HEADS if f"`test_heads[{name}]`" in page} == set(HEADS)


@pytest.mark.parametrize("name", ["norse-li", "snntorch-leaky"])
def test_what_a_model_returns_must_be_what_is_read(name: str) -> None:
    sample = torch.rand(2, 4, 10)
    for read in RETURNED:
        other = {"the last": "peak", "the largest": "membrane"}.get(read)
        for asked in ("membrane", "peak"):
            model = headed(name, read)
            if asked != other:
                found = from_torch(model, sample, integrators=asked)
                assert found.readout_mode is ReadoutMode(asked)
                continue
            told = f"^the model returns membranes of n2 by another reading than {asked}: take "
            with pytest.raises(InputError, match=told):
                from_torch(model, sample, integrators=asked)
    model = headed(name)
    model.read = lambda steps: torch.stack(steps).mean(0)
    with pytest.raises(InputError, match=r"^the model must return .*n2"):
        from_torch(model, sample)
    with pytest.raises(InputError, match=r"^integrators must be membrane or peak, not 'mean'"):
        from_torch(headed(name), sample, integrators="mean")


def test_spikes_that_are_returned_are_still_counted() -> None:
    model = headed("snntorch-leaky")
    model.spikes = True
    real = from_torch(model, torch.rand(2, 4, 10))
    assert real.readout_mode is ReadoutMode.COUNT
    assert np.isfinite(real.layers[-1].thresholds).all()


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (
            snntorch("Leaky", beta=torch.tensor(0.9)),
            r"n2 must have no reset \(reset_mechanism='none'\) for its membranes to be the scores",
        ),
        (
            snntorch("RLeaky", beta=torch.tensor(0.9), recurrent=recurrent, reset_mechanism="none"),
            "n2 must not read its own spikes for its membranes to be the scores",
        ),
        (norse("LICell", tau_syn_inv=200.0, v_leak=0.5), "n2 must have v_leak 0"),
    ],
)
def test_a_head_that_spikes_change_is_refused(head: Any, told: str) -> None:
    model = Headed(norse("LIFBoxCell")(HIDDEN), head(OUTPUTS), RETURNED["each step"])
    with pytest.raises(InputError, match=f"^{told}"):
        from_torch(model, torch.rand(2, 4, 10))


def test_a_leaky_integrator_must_be_the_last() -> None:
    model = Headed(norse("LICell", tau_syn_inv=200.0)(HIDDEN), norse("LIBoxCell")(OUTPUTS), list)
    with pytest.raises(InputError, match=r"^n1 is a LICell, a leaky integrator without spikes: "):
        from_torch(model, torch.rand(2, 4, 10))


def test_a_box_neuron_that_subtracts_must_leak_to_zero() -> None:
    hidden = norse("LIFBoxCell", v_leak=0.2)(HIDDEN)

    def reset_subtract() -> None: ...

    hidden.p.reset_method = reset_subtract
    model = Headed(hidden, norse("LIBoxCell")(OUTPUTS), RETURNED["each step"])
    with pytest.raises(InputError, match=r"^n1 must have v_leak 0, or a reset to zero"):
        from_torch(model, torch.rand(2, 4, 10))


def test_integrators_that_take_all_steps_at_once_are_read() -> None:
    """Norse's LI, behind a linear layer, steps ahead of samples."""
    model = torch.nn.Sequential(torch.nn.Linear(6, 3), norse("LI", tau_syn_inv=200.0)(3))
    real = from_torch(model, torch.rand(4, 2, 6))
    assert real.readout_mode is ReadoutMode.MEMBRANE
    np.testing.assert_allclose(real.layers[0].synapse, 0.8, rtol=1e-6)
    np.testing.assert_allclose(real.layers[0].leak, 0.9, rtol=1e-6)


def test_a_head_goes_on_to_integers() -> None:
    """Scores of integers are those of the real membranes, at one scale."""
    with np.load(TRACES / "head-snntorch-leaky.npz") as file:
        arrays = dict(file)
    model = headed("snntorch-leaky")
    model.load_state_dict({key: torch.tensor(arrays[key]) for key in model.state_dict()})
    real = from_torch(model, arrays["inputs"][:1], integrators="peak")
    found = cx.quantize(real, calibrate=arrays["inputs"], bits=8)
    assert found.network.card.readout_mode is ReadoutMode.PEAK
    mine = integer_scores(found.network.card, arrays["inputs"])[:, 0].ravel()
    assert np.corrcoef(mine, arrays["membranes"].max(axis=1).ravel())[0, 1] > 0.99
