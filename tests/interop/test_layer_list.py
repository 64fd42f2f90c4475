"""A list of layers over a file of arrays: spikes of the tool, and one line for any other list."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from convexon.cli import app
from convexon.errors import InputError
from convexon.interop.layer_list import read_layer_list
from convexon.snn.models.real import stack_spikes
from convexon.snn.neuron import Reset

TRACES = Path(__file__).parent / "traces"
LIST = """\
weights = "{file}"
{layers}
"""
LAYER = """
[[layer]]
weight = "fc{k}.weight"
bias = "fc{k}.bias"
leak = "n{k}.beta"
threshold = 1.0
late = true
"""
BOTH = LAYER.format(k=1) + LAYER.format(k=2)


def listed(folder: Path, layers: str = BOTH, file: str = "model.npz") -> Path:
    path = folder / "net.toml"
    path.write_text(LIST.format(file=file, layers=layers))
    return path


@pytest.fixture
def arrays(tmp_path: Path) -> dict[str, np.ndarray]:
    """The arrays of a recorded network, as an .npz and as a state_dict."""
    with np.load(TRACES / "module-snntorch-leaky.npz") as file:
        found = dict(file)
    np.savez(tmp_path / "model.npz", **found)
    torch.save({name: torch.tensor(value) for name, value in found.items()}, tmp_path / "model.pt")
    return found


@pytest.mark.parametrize("file", ["model.npz", "model.pt"])
def test_spikes_are_those_of_the_tool(
    file: str, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    real = read_layer_list(listed(tmp_path, file=file))
    assert real.readout_weights.shape == (5, 5)
    spikes = stack_spikes(real.layers, arrays["inputs"])[-1]
    np.testing.assert_array_equal(spikes, arrays["spikes"])


def test_every_entry_arrives(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    lateral = np.random.default_rng(0).normal(size=(14, 14)).astype("f")
    np.savez(tmp_path / "model.npz", **arrays, lateral=lateral)
    text = LAYER.format(k=1).replace("late = true", 'reset = "zero"') + (
        'gain = 2\nlateral = "lateral"\nsynapse = 0.5\nstrict = false\nseveral = false\n'
        '[readout]\nweight = "fc2.weight"\nbias = "fc2.bias"\n'
    )
    real = read_layer_list(listed(tmp_path, text))
    (layer,) = real.layers
    assert layer.reset is Reset.ZERO
    assert (layer.late, layer.strict) == (False, False)
    np.testing.assert_array_equal(layer.weights, 2 * arrays["fc1.weight"].T)
    np.testing.assert_array_equal(layer.biases, 2 * arrays["fc1.bias"])
    np.testing.assert_array_equal(layer.lateral, 2 * lateral.T)
    assert layer.synapse is not None
    np.testing.assert_array_equal(layer.synapse, np.full(14, 0.5))
    np.testing.assert_array_equal(real.readout_weights, arrays["fc2.weight"].T)
    np.testing.assert_array_equal(real.readout_biases, arrays["fc2.bias"])


def test_the_command_goes_on_from_a_state_dict(
    arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    np.savez(tmp_path / "samples.npz", spikes=arrays["inputs"])
    run, data = str(tmp_path / "run"), str(tmp_path / "samples.npz")
    file = str(listed(tmp_path, file="model.pt"))
    result = CliRunner().invoke(app, ["import", file, run, "--data", data, "--rounding", "nearest"])
    assert result.exit_code == 0, result.output
    assert "quantize: net.toml, layers of model.pt" in result.stdout
    assert (tmp_path / "run" / "card.json").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("fc1.weight", "fc9.weight"), "layer 0 names fc9.weight, which model.npz has not: it has"),
        (("fc1.weight", "fc1.bias"), r"fc1.bias must have shape \(neurons, inputs\), not \(14,\)"),
        (("1.0", "true"), "threshold of layer 0 must be a number, or name an array, not True"),
        (("1.0", "1" + "0" * 400), "threshold of layer 0 must be a number, .*, not 1000"),
        (("1.0", "-1.0"), "thresholds of layer 0 must be positive"),
        (('"n1.beta"', '"fc2.bias"'), "leak of layer 0 must be one number, or 14, not of shape"),
        (("late = true", "late = 1"), "late of layer 0 must be true or false, not 1"),
        (("late", "lately"), "layer 0 has no lately: it may have weight, "),
        (("late = true", 'reset = "half"'), "reset of layer 0 must be one of subtract, zero, none"),
        (("model.npz", "absent.npz"), "absent.npz cannot be read: No such file"),
        (("model.npz", "absent.pt"), "absent.pt cannot be read: No such file"),
        (("[[layer]]", "[layer]"), "it must have weights = "),
    ],
)
def test_a_list_that_does_not_fit_gets_one_line(
    change: tuple[str, str], message: str, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = listed(tmp_path, LAYER.format(k=1))
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(InputError, match=f"^{path}: {message}") as told:
        read_layer_list(path)
    assert "\n" not in str(told.value)


class Hostile:
    """An object whose pickle runs a program."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.proof), "w")


def test_no_pickle_is_run(tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Hostile(proof)))
    torch.save({"fc1.weight": Hostile(proof)}, tmp_path / "saved.pt")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    torch.save({"wide": torch.zeros(1).expand(1 << 40)}, tmp_path / "wide.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    whole = (tmp_path / "wide.pt").read_bytes()
    (tmp_path / "half.pt").write_bytes(whole[: len(whole) // 2])
    for file in ("plain.pt", "saved.pt", "module.pt", "wide.pt", "list.pt", "half.pt"):
        with pytest.raises(InputError, match=f"{file} is no state_dict of torch.save that") as told:
            read_layer_list(listed(tmp_path, LAYER.format(k=1), file))
        assert "\n" not in str(told.value)
    assert not proof.exists()
