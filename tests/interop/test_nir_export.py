"""Networks as NIR graphs: what is read back, here and by other tools, has the same spikes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import convexon as cx
from convexon.cli import app
from convexon.errors import InputError
from convexon.interop.nir import from_nir
from convexon.interop.nir_export import LeakExport, to_nir
from convexon.snn.models.real import RealLayer, RealNetwork, outputs, scores, stack_spikes
from convexon.snn.models.simulate import run
from convexon.snn.network import FixedPointNetwork
from convexon.snn.neuron import INTEGRATE, MEMORYLESS, Leak, ReadoutMode, Reset

TRACES = Path(__file__).parent / "traces"
RECORDED = {
    "norse": "norse",
    "norse-lateral": "norse",
    "spikingjelly": "spikingjelly",
    "sinabs": "sinabs",
    "snntorch-nir": "snntorch-nir",
}
"""The profile of each recorded network."""


def card(**changes: Any) -> FixedPointNetwork:
    """Two layers of small integers, whose spikes are the scores."""
    rng = np.random.default_rng(5)
    stated: dict[str, Any] = {
        "weights": [rng.integers(-3, 7, (10, 14)), rng.integers(-3, 8, (14, 5))],
        "thresholds": [rng.integers(5, 12, 14), rng.integers(5, 12, 5)],
        "biases": [rng.integers(-1, 2, 14), rng.integers(-1, 2, 5)],
        "leak": INTEGRATE,
        "reset": "zero",
        "n_steps": 40,
    }
    return cx.Network.from_arrays(**{**stated, **changes}).card


def card_for(name: str) -> FixedPointNetwork:
    """A network that the profile's tool can be: sinabs subtracts, and keeps membranes above."""
    if name == "norse-lateral":
        return card(recurrent=[np.random.default_rng(1).integers(-4, 5, (14, 14)), None])
    if name != "sinabs":
        same = {"thresholds": [np.full(14, 8), np.full(5, 7)]}  # what some tools ask for
        leak = {"leak": MEMORYLESS} if name == "snntorch-nir" else {}
        return card(**same, **leak)
    rng = np.random.default_rng(6)
    wide = np.zeros((10, 14), dtype=np.int64)
    wide[np.arange(10), np.arange(10)] = rng.integers(1, 4, 10)
    return card(
        weights=[wide, np.abs(rng.integers(0, 2, (14, 5)))],
        thresholds=[np.full(14, 4), np.full(5, 16)],
        biases=None,
        reset="subtract",
    )


def inputs(n_inputs: int = 10, n_steps: int = 40) -> np.ndarray:
    shape = (6, n_steps, n_inputs)
    return (np.random.default_rng(2).random(shape) < 0.4).astype(np.uint8)


def same_spikes(own: FixedPointNetwork, back: RealNetwork) -> None:
    trace = run(own, inputs())
    for layer, spikes in zip(trace.layers[0], stack_spikes(back.layers, inputs()), strict=True):
        assert layer.spikes.any()
        np.testing.assert_array_equal(spikes, layer.spikes)


@pytest.mark.parametrize(("name", "profile"), [("nir-euler", "nir-euler"), *RECORDED.items()])
def test_a_card_is_read_back_with_equal_spikes(name: str, profile: str, tmp_path: Path) -> None:
    own = card_for(name)
    path = cx.to_nir(own, tmp_path / "own.nir", profile=profile)
    dt = None if profile != "nir-euler" else 1e-3
    same_spikes(own, cx.from_nir(path, profile=profile, dt=dt))


@pytest.mark.parametrize(
    "changes",
    [
        {"recurrent": [np.random.default_rng(1).integers(-4, 5, (14, 14)), None]},
        {"leak": [MEMORYLESS, INTEGRATE]},
        {"leak": Leak(0, 3), "leaks": [np.array([0, 8] * 7), np.array([8, 0, 0, 8, 0])]},
        {"readout_weights": np.arange(15).reshape(5, 3) - 7, "readout_biases": [1, -2, 3]},
    ],
)
def test_lateral_weights_and_readouts_are_said(changes: dict[str, Any]) -> None:
    own = card(**changes)
    back = from_nir(to_nir(own), dt=1e-3)
    same_spikes(own, back)
    spikes = stack_spikes(back.layers, inputs())[-1]
    np.testing.assert_allclose(scores(back, spikes), run(own, inputs()).scores[:, 0], atol=1e-9)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_real_networks_come_back(reset: str) -> None:
    rng = np.random.default_rng(0)
    layer = RealLayer(
        name="hidden",
        weights=rng.normal(0, 1, (10, 8)),
        biases=rng.normal(0, 0.1, 8),
        leak=rng.uniform(0.5, 1, 8),
        thresholds=rng.uniform(0.5, 1, 8),
        reset=Reset(reset),
        late=reset == "subtract",
        lateral=rng.normal(0, 0.3, (8, 8)),
        synapse=rng.uniform(0.2, 0.9, 8) if reset == "zero" else None,
    )
    net = RealNetwork(layers=(layer,), readout_weights=np.eye(8), readout_biases=np.zeros(8))
    profile = "nir-euler" if reset == "zero" else "snntorch"
    back = from_nir(to_nir(net, profile=profile, dt=1e-4), profile=profile, dt=1e-4)
    found, wanted = (stack_spikes(each.layers, inputs())[0] for each in (back, net))
    assert wanted.any()
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("changes", "profile", "told"),
    [
        ({"leak": Leak(1, 3)}, "nir-euler", "the leak of layer0 rounds its product down, "),
        ({"reset": "subtract"}, "nir-euler", "layer0 subtracts a threshold that a membrane may "),
        ({"reset": "none"}, "nir-euler", "layer0 has reset none, and the profile nir-euler reads "),
        ({"reset": "subtract"}, "sinabs", "neuron 0 of layer0 may reach twice its threshold, "),
        ({}, "rockpool", "neuron 0 of layer0 may reach twice its threshold, "),
        (
            {"thresholds": [np.zeros(14, dtype=int), 5]},
            "nir-euler",
            "thresholds of layer0 must be ",
        ),
        ({"saturation": 4}, "nir-euler", "layer0 saturates, which NIR cannot say: "),
        ({}, "nestml", "profile must be one of nir-euler, "),
    ],
)
def test_what_a_profile_cannot_say_is_refused(
    changes: dict[str, Any], profile: str, told: str
) -> None:
    with pytest.raises(InputError) as refused:
        to_nir(card(**changes), profile=profile)
    assert str(refused.value).startswith(told)


def test_resets_to_a_value_come_back_where_the_tool_reads_them() -> None:
    own = card(resets=[np.arange(14) % 4 - 1, None])
    graph = to_nir(own)
    assert graph.nodes["n0"].v_reset.tolist() == (np.arange(14) % 4 - 1).tolist()
    same_spikes(own, from_nir(graph, dt=1e-3))
    with pytest.raises(InputError, match=r"^the profile norse cannot say the resets of layer0"):
        to_nir(own, profile="norse")


@pytest.mark.parametrize("mode", ["membrane", "peak"])
@pytest.mark.parametrize("head", ["I", "LI", "CubaLI"])
def test_leaky_integrators_come_back_with_equal_scores(head: str, mode: str) -> None:
    leak = INTEGRATE if head == "I" else Leak(1, 1)
    own = card(
        reset=["zero", "none"],
        leak=[INTEGRATE, leak],
        synapse=[None, Leak(1, 1) if head == "CubaLI" else None],
        readout=mode,
    )
    graph = to_nir(own, leak=LeakExport.REAL)
    assert type(graph.nodes["n1"]).__name__ == head
    back = from_nir(graph, dt=1e-3, integrators=mode)
    assert back.readout_mode is own.readout_mode
    spikes, given = outputs(back, inputs())
    trace = run(own, inputs())
    np.testing.assert_array_equal(spikes[0], trace.layers[0][0].spikes)
    rounding = 0 if head == "I" else 4  # a product is rounded down at each step, and halved then
    assert np.abs(scores(back, given) - trace.scores[:, 0]).max() <= rounding + 1e-6


def test_a_readout_of_the_last_step_is_refused() -> None:
    with pytest.raises(InputError, match=r"^the readout weighs last, and NIR has nothing but sums"):
        to_nir(replace(card(), readout_mode=ReadoutMode.LAST))


def test_a_real_leak_is_written_where_it_is_asked_for() -> None:
    back = from_nir(to_nir(card(leak=Leak(1, 3)), leak=LeakExport.REAL), dt=1e-3)
    np.testing.assert_allclose(back.layers[0].leak, 0.875)


@pytest.mark.parametrize(("name", "profile"), RECORDED.items())
def test_the_tool_reads_it_with_equal_spikes(name: str, profile: str) -> None:
    """What the tool itself made of the file: benchmarks/record_exports.py."""
    with np.load(TRACES / f"export-{name}.npz") as file:
        recorded = dict(file)
    own = card_for(name)
    graph = to_nir(own, profile=profile)
    for key, node in graph.nodes.items():
        for field, value in vars(node).items():
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(recorded[f"{key}.{field}"], value)
    np.testing.assert_array_equal(recorded["inputs"], inputs())
    np.testing.assert_array_equal(recorded["spikes"], run(own, inputs()).layers[0][-1].spikes)


def test_the_command_writes_the_graph_beside_the_other_files(tmp_path: Path) -> None:
    path = tmp_path / "run"

    def convexon(*arguments: object) -> tuple[int, str]:
        found = CliRunner().invoke(app, [str(each) for each in arguments])
        return found.exit_code, found.output

    cx.Network(card()).save(tmp_path / "card.json")
    assert convexon("import", tmp_path / "card.json", path)[0] == 0
    code, told = convexon("export", path, "--nir")
    assert (code, told.rpartition(", ")[2]) == (0, f"{path / 'export'}\n")
    assert {"network.nir", "network.h", "weights.csv"} <= {
        each.name for each in (path / "export").iterdir()
    }
    code, told = convexon("export", path, "--dt", 1e-3)
    assert code == 2
    assert told.startswith("convexon: --nir must be given")
    code, told = convexon("export", path, "--nir", "--profile", "sinabs")
    assert code == 2
    assert told.startswith("convexon: ")
