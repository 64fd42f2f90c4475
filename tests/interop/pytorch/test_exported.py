"""Programs of torch.export: spikes of the tool, neurons of any class, one line for the rest."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from convexon.cli import app
from convexon.errors import InputError
from convexon.interop.pytorch.exported import read_exported
from convexon.snn.models.real import scores, stack_spikes
from convexon.snn.neuron import Reset

TRACES = Path(__file__).parents[1] / "traces"


@pytest.mark.parametrize(
    ("name", "reset", "late"),
    [
        ("snntorch-leaky", Reset.SUBTRACT, True),
        ("snntorch-leaky-zero", Reset.ZERO, False),
        ("norse-lif", Reset.ZERO, False),
    ],
)
def test_spikes_are_those_of_the_tool(name: str, reset: Reset, late: bool) -> None:
    real = read_exported(TRACES / f"program-{name}.pt2")
    assert [(layer.name, layer.reset, layer.late) for layer in real.layers] == [
        ("n1", reset, late),
        ("n2", reset, late),
    ]
    with np.load(TRACES / f"program-{name}.npz") as file:
        inputs, wanted = file["inputs"], file["spikes"]
    assert wanted.any()
    np.testing.assert_array_equal(stack_spikes(real.layers, inputs)[-1], wanted)
    np.testing.assert_array_equal(scores(real, wanted), wanted.sum(axis=1))


def test_an_operator_of_another_library_is_refused_by_name() -> None:
    """SpikingJelly's nodes are operators of its own, whose code is not in the file."""
    with pytest.raises(InputError, match=r": torch\.ops\.sj_lif\.forward\.default is no operator"):
        read_exported(TRACES / "program-spikingjelly-lif.pt2")


class Own(torch.nn.Module):
    """Somebody's own neuron; what a spike leaves is a test's choice."""

    def __init__(self, left: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.left = left
        self.level = torch.nn.Parameter(torch.tensor([0.5, 1.0, 1.5, 2.0]))

    def forward(self, x: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        u = 0.75 * v + 0.5 * x + 0.125
        s = (u >= self.level).float()
        return s, self.left(u, s * self.level)


class Net(torch.nn.Module):
    """A convolution, neurons, and a readout of which the mean is returned."""

    def __init__(self, neuron: torch.nn.Module, n_steps: int = 3) -> None:
        super().__init__()
        self.window = torch.nn.Conv1d(1, 2, 2, stride=2)
        self.flat = torch.nn.Flatten()
        self.neuron, self.out, self.n_steps = neuron, torch.nn.Linear(4, 3), n_steps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        v, found = torch.zeros(len(x), 4), []
        for t in range(self.n_steps):
            s, v = self.neuron(self.flat(self.window(x[:, t : t + 1])), v)
            found.append(self.out(s))
        return torch.stack(found).mean(0)


def exported(model: torch.nn.Module, folder: Path, *shape: int) -> Path:
    path = folder / "model.pt2"
    torch.export.save(torch.export.export(model.eval(), (torch.rand(*shape),)), path)
    return path


def test_a_neuron_of_any_class_is_known_by_what_it_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Net(Own(lambda u, s: u - s))
    with torch.no_grad():
        model.window.weight *= 6
    real = read_exported(exported(model, tmp_path, 2, 3, 4))
    (layer,) = real.layers
    assert (layer.reset, layer.late, layer.strict) == (Reset.SUBTRACT, False, False)
    np.testing.assert_array_equal(layer.leak, np.full(4, 0.75, np.float32))
    np.testing.assert_array_equal(layer.thresholds, [0.5, 1.0, 1.5, 2.0])
    x = torch.rand(40, 3, 4)
    with torch.no_grad():
        wanted = model(x).numpy()
    spikes = stack_spikes(real.layers, x.numpy())[-1]
    assert 0.1 < spikes.mean() < 0.9
    np.testing.assert_allclose(scores(real, spikes), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("neuron", "n_steps", "message"),
    [
        (Own(lambda u, s: u - 0.5 * s), 3, "neuron is no neuron that is known here: its membrane"),
        (Own(lambda u, s: u - s), 2, "neuron must be called at three steps or more, not 2"),
    ],
)
def test_what_is_no_neuron_here_is_refused(
    neuron: torch.nn.Module, n_steps: int, message: str, tmp_path: Path
) -> None:
    path = exported(Net(neuron, n_steps), tmp_path, 2, 3, 4)
    with pytest.raises(InputError, match=f"^{path}: {message}"):
        read_exported(path)


def changed(folder: Path, change: Callable[[str, Any], Any]) -> Path:
    """A sound program, of which JSON members are changed."""
    path = folder / "changed.pt2"
    with (
        zipfile.ZipFile(TRACES / "program-norse-lif.pt2") as sound,
        zipfile.ZipFile(path, "w") as written,
    ):
        for name in sound.namelist():
            data = sound.read(name)
            if name.endswith(".json"):
                content = json.loads(data)
                change(name, content)
                data = json.dumps(content).encode()
            written.writestr(name, data)
    return path


def pickled(name: str, content: Any) -> None:
    if name.endswith("model_weights_config.json"):
        content["config"]["fc1.weight"]["use_pickle"] = True


def widened(name: str, content: Any) -> None:
    if name.endswith("model_weights_config.json"):
        sizes = content["config"]["fc1.weight"]["tensor_meta"]["sizes"]
        sizes[0]["as_int"] = 1 << 40


def calling(name: str, content: Any) -> None:
    if name.endswith("models/model.json"):
        content["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.aten.from_file.default"


def emptied(name: str, content: Any) -> None:
    content.clear()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pickled, "fc1.weight is kept as a pickle, which is not read"),
        (widened, "fc1.weight must be kept whole"),
        (calling, "torch.ops.aten.from_file.default is no operator that is known here"),
        (emptied, "is no program of torch.export that is known here: "),
    ],
)
def test_what_a_stranger_may_write_gets_one_line(
    change: Callable[[str, Any], Any], message: str, tmp_path: Path
) -> None:
    path = changed(tmp_path, change)
    with pytest.raises(InputError, match=f"^{path}:? {message}") as told:
        read_exported(path)
    assert "\n" not in str(told.value)


def test_files_that_are_no_archive_get_one_line(tmp_path: Path) -> None:
    sound = (TRACES / "program-norse-lif.pt2").read_bytes()
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    for data in (b"", b"\x80\x04K\x01.", sound[: len(sound) // 2], empty.getvalue()):
        path = tmp_path / "file.pt2"
        path.write_bytes(data)
        with pytest.raises(InputError) as told:
            read_exported(path)
        assert str(told.value).startswith(str(path))
        assert "\n" not in str(told.value)


def test_the_command_goes_on_from_a_program(tmp_path: Path) -> None:
    data, run = str(TRACES / "program-snntorch-leaky.npz"), str(tmp_path / "run")
    with np.load(data) as file:
        np.savez(tmp_path / "samples.npz", spikes=file["inputs"])
    file_ = str(TRACES / "program-snntorch-leaky.pt2")
    result = CliRunner().invoke(
        app, ["import", file_, run, "--data", str(tmp_path / "samples.npz")]
    )
    assert result.exit_code == 0, result.output
    assert (tmp_path / "run" / "card.json").exists()
