"""The silicon card: readable, complete, and refused where it contradicts itself."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from convexon.errors import ArtefactError
from convexon.snn.card import CARD, SEMANTICS
from convexon.snn.fixed import QFormat
from convexon.snn.models import golden
from convexon.snn.network import FixedPointNetwork, Layer
from convexon.snn.neuron import Leak, ReadoutMode, Reset
from convexon.store.artefact import digest_of, load, save
from convexon.store.codec import to_json
from strategies import equal, interface_of, layer_of, network_of, networks_with_inputs


def example() -> FixedPointNetwork:
    first = layer_of([[1, -2], [3, 0]], [2, -3], leak=Leak(3, 4), reset=Reset.ZERO, leaks=[3, 16])
    second = layer_of([[4], [5]], [6], recurrent=[[-1]], saturation=QFormat(5), synapse=Leak(1, 2))
    network = network_of(
        (first, second),
        n_steps=4,
        input_bits=2,
        readout_mode=ReadoutMode.COUNT,
        readout_weights=[[7, -8]],
        readout_biases=[1, 2],
    )
    interface = interface_of(network, classes=("cat", "dog"), high=np.array([1.0, 2.5]))
    return dataclasses.replace(network, interface=interface)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """File of the example's card."""
    save(CARD, example(), tmp_path / "card.json")
    return tmp_path / "card.json"


def members(layer: Layer) -> dict[str, Any]:
    """Members of a layer, arrays as lists."""
    values = {field.name: getattr(layer, field.name) for field in dataclasses.fields(layer)}
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}


def integers_of(network: FixedPointNetwork) -> dict[str, Any]:
    """All that a network states, in a form that compares."""
    names = ("n_steps", "input_bits", "readout_mode", "readout_format", "bias_format")
    return {
        **{name: getattr(network, name) for name in names},
        "branches": [[members(layer) for layer in branch.layers] for branch in network.branches],
        "readout": (network.readout_weights.tolist(), network.readout_biases.tolist()),
        "interface": None if network.interface is None else to_json(network.interface),
    }


def rewritten(path: Path, keys: list[Any], value: Any) -> None:
    """Change one value of the content, and give the file the digest that then fits."""
    head = json.loads(path.read_text())
    target = head["content"]
    for key in keys[:-1]:
        target = target[key]
    target[keys[-1]] = value
    digest = digest_of({**head, "digest": "", "source": ""})
    path.write_text(json.dumps({**head, "digest": digest}))


@given(networks_with_inputs())
def test_network_read_from_its_card_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[FixedPointNetwork, np.ndarray]
) -> None:
    network, inputs = case
    path = tmp_path_factory.mktemp("card") / "card.json"
    save(CARD, network, path)
    again, _ = load(CARD, path)
    assert integers_of(again) == integers_of(network)
    assert equal(golden.run(again, inputs), golden.run(network, inputs))
    before = path.read_bytes()
    save(CARD, again, path)
    assert path.read_bytes() == before


def test_card_is_one_readable_file(path: Path) -> None:
    assert [file.name for file in path.parent.iterdir()] == ["card.json"]
    card = json.loads(path.read_text())
    assert (card["schema"], card["schema_version"], card["arrays"]) == ("convexon.card", 3, {})
    content = card["content"]
    derived = content["derived"]
    assert derived["semantics"] == SEMANTICS
    assert (content["n_steps"], derived["n_inputs"], content["input_bits"]) == (4, 2, 2)
    assert content["interface"] == {
        "coding": "intensity",
        "shape": [2],
        "classes": ["cat", "dog"],
        "low": [0.0, 0.0],
        "high": [1.0, 2.5],
    }
    first, second = content["branches"][0]["layers"]
    assert first["weights"] == [[1, -2], [3, 0]]
    assert (first["thresholds"], first["biases"]) == ([2, -3], [0, 0])
    leak = {"d": 3, "f": 4, "rounding": "down"}
    assert (first["leak"], first["reset"]) == (leak, "zero")
    assert first["weight_format"] == {"width": 8, "frac": 0, "signedness": "signed"}
    assert (second["recurrent"], second["saturation"]["width"]) == ([[-1]], 5)
    assert (first["leaks"], second["leaks"]) == ([3, 16], None)
    assert (first["synapse"], second["synapse"]) == (None, {**leak, "d": 1, "f": 2})
    assert content["readout_mode"] == "count"
    # Scores: 1 + 7 * 4 at most, 2 - 8 * 4 at least.
    assert (derived["n_classes"], derived["score_width"]) == (2, 6)
    assert derived["membrane_widths"][0][1] == 5
    lines = [line.strip() for line in path.read_text().splitlines()]
    assert '"thresholds": [2, -3],' in lines  # a row of integers is a line


def test_semantics_state_every_part_of_the_contract() -> None:
    assert set(SEMANTICS) == {
        "current",
        "synapse",
        "integrate",
        "rounding",
        "fire",
        "reset",
        "start",
        "score",
        "feature",
        "decision",
    }
    for choices, text in ((Reset, SEMANTICS["reset"]), (ReadoutMode, SEMANTICS["feature"])):
        assert [choice.value for choice in choices] == re.findall(r"(\w+):", text)


LAYER = ["branches", 0, "layers", 0]


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (
            ["derived", "membrane_widths", 0, 0],
            3,
            "derived.membrane_widths must agree with the rest of the file",
        ),
        (["derived", "score_width"], 60, "derived.score_width must agree with the rest of the"),
        (["derived", "n_inputs"], 3, "derived.n_inputs must agree with the rest of the file"),
        (["derived", "fields"], 3, "derived.derived must agree with the rest of the file"),
        (["derived"], None, "derived.semantics must agree with the rest of the file"),
        (
            ["derived", "semantics", "fire"],
            "s = 1 if u > theta[j] else 0",
            "derived.semantics must agree with the rest of the file",
        ),
        (
            [*LAYER, "weights", 0, 0],
            128,
            "branches.0.layers.0: weights[0, 0] must lie in -128..127 (8 bits), not 128: widen the",
        ),
        (
            [*LAYER, "thresholds", 1],
            -129,
            "branches.0.layers.0: thresholds[1] must lie in -128..127 (8 bits), not -129: widen",
        ),
        ([*LAYER, "thresholds", 1], 1 << 70, "branches.0.layers.0.thresholds must hold int64, not"),
        (
            [*LAYER, "weights", 0, 0],
            0.5,
            "branches.0.layers.0.weights must hold int64, not float64",
        ),
        ([*LAYER, "biases"], [0], "branches.0.layers.0: biases must have shape (2,), not (1,)"),
        ([*LAYER, "leak", "d"], 17, "branches.0.layers.0.leak: leak d must be 0 to 2**f = 16, not"),
        (["n_steps"], 0, "n_steps must be 1 to 65536, not 0"),
        (["input_bits"], 9, "input_bits must be 1 to 8, not 9"),
        (["readout_weights", 0, 0], 200, "readout_weights[0, 0] must lie in -128..127 (8 bits)"),
        (["branches"], [], "branches must hold at least one branch, not none"),
        (
            ["interface", "classes"],
            ["cat", "dog", "cow"],
            "interface must have 2 classes and 2 inputs, not 3 and 2",
        ),
        (["interface", "shape"], [3], "interface: low must have shape (3,), not (2,)"),
        (["interface", "coding"], "latency", "bits must be 1 to 1 for latency coding, not 2"),
        (["interface", "coding"], "morse", "interface: coding must be one of threshold, latency"),
    ],
)
def test_card_that_contradicts_itself_is_refused(
    path: Path, keys: list[Any], value: Any, message: str
) -> None:
    rewritten(path, keys, value)
    with pytest.raises(
        ArtefactError, match=f"^{re.escape(f'{path} holds bad content: {message}')}"
    ):
        load(CARD, path)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        ([*LAYER, "reset"], "never"),
        ([*LAYER, "weights"], [[1, 2], [3]]),
        ([*LAYER, "weights"], None),
        ([*LAYER, "leak"], [3, 4]),
        ([*LAYER, "weight_format", "signedness"], "both"),
        ([*LAYER, "weight_format", "width"], "8"),
        (["readout_mode"], "all"),
        (["n_steps"], "4"),
        (["branches"], 5),
        (["interface"], 5),
        (["interface", "classes"], [{}, {}]),
        (["interface", "low"], [[0.0], [0.0, 1.0]]),
    ],
)
def test_card_with_a_garbled_field_is_refused(path: Path, keys: list[Any], value: Any) -> None:
    rewritten(path, keys, value)
    with pytest.raises(ArtefactError, match=f"^{re.escape(str(path))} holds bad content"):
        load(CARD, path)


def test_a_card_of_the_version_before_is_refused_with_what_makes_a_new_one(path: Path) -> None:
    """Version 1 said nothing of raw samples, and had no member ``source``."""
    head = {**json.loads(path.read_text()), "schema_version": 1}
    before = {name: head[name] for name in head if name != "source"}
    again = f"run `convexon solve {path.parent}` again"
    message = f"{path} must have convexon.card version 3, not 1: {again} with this version"
    for written in (head, before):
        path.write_text(json.dumps(written))
        with pytest.raises(ArtefactError, match=f"^{re.escape(message)}"):
            load(CARD, path)
